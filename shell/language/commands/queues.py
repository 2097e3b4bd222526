"""The queue commands: `queuepush`, `queuepop`, ... What queues are is in `shell/language/queues.py`.

`queuepush Q text` and `queuepop Q -var V` are the statements of inner loops: they come first, and look for no options.
"""

from __future__ import annotations

from model.scripting import FileVerb
from shell.language.calls import Call, Command, Failure, Waiting
from shell.language.queues import WHOLE_LINE, cut_lines, key_columns

PUSH = "queuepush QUEUE TEXT [-key N[:N...]] [-uniq] [-replace]"
POP = "queuepop QUEUE [-var NAME] [-key N[:N...] VALUE]"
DROP = "queuedrop QUEUE -key N[:N...] VALUE"
LOAD = 'queueload QUEUE -x "COMMAND" [-trap]'
SAVE = "queuesave QUEUE FILE"
SIZE = "queuesize QUEUE [-var NAME]"
PRINT = "queueprint QUEUE"
INIT = "queueinit QUEUE"
DELETE = "queuedelete QUEUE"
LIST = "queuelist"
SUBSTITUTE = "queuesubstr QUEUE OLD NEW"


def push(call: Call) -> bool:
    """Without `-uniq` and `-replace` a key means nothing. With both, the second decides: replace, else push."""
    words = call.words
    if len(words) == 3:
        call.language.queues.push(words[1], words[2])
        return True
    key = call.option("-key")
    unique = call.flag("-uniq")
    replace = call.flag("-replace")
    name, text = call.arguments(2, 2, PUSH)
    if not unique and not replace:
        call.language.queues.push(name, text)
        return True
    columns = WHOLE_LINE if key is None else key_columns(key)
    queue = call.language.queues.make(name)
    for line in cut_lines(text):
        if replace:
            queue.push_replacing(line, columns)
        else:
            queue.push_unique(line, columns)
    return True


def pop(call: Call) -> bool:
    """The first line, or the first one with the key. A queue that does not exist is an error, with `-var` too."""
    words = call.words
    if len(words) == 4 and words[2] == "-var":
        line = call.language.queues.find(words[1]).pop()
        call.set(words[3], "NULL" if line is None else line)
        return True
    keys = call.options("-key", 2)
    variable = call.option("-var")
    (name,) = call.arguments(1, 1, POP)
    queue = call.language.queues.find(name)
    line = queue.pop_key(key_columns(keys[-1][0]), keys[-1][1]) if keys else queue.pop()
    if variable is not None:
        call.set(variable, "NULL" if line is None else line)
    elif line is None:
        raise Failure(f"queue {name} has no such entry" if keys else f"queue {name} is empty")
    else:
        call.say(line)
    return True


def drop(call: Call) -> bool:
    """Removes all entries with the key; that there is none is no failure."""
    keys = call.options("-key", 2)
    (name,) = call.arguments(1, 1, DROP)
    if not keys:
        raise Failure(f"USAGE: {DROP}", hint="-key says what to drop; queueinit empties the queue")
    queue = call.language.queues.find(name)
    for columns, value in keys:
        queue.drop_key(key_columns(columns), value)
    return True


def load(call: Call) -> Waiting:
    """Adds the command's lines that are not empty. A bad end warns, and with `-trap` fails: then nothing is added."""
    command = call.option("-x", "-exec")
    trap = call.flag("-trap")
    if command is None:
        raise Failure(f"USAGE: {LOAD}", hint="the shell line stands behind -x, in quotes")
    (name,) = call.arguments(1, 1, LOAD)
    answer = yield from call.execute(command, capture=True)
    if answer.error:
        raise Failure(f"queueload: {command}: {answer.error}")
    if answer.status:
        kind = "exit status" if answer.status > 0 else "signal"
        sentence = f"queueload: {kind} {abs(answer.status)} of: {command}"
        if trap:
            raise Failure(sentence)
        call.complain(f"warning: {sentence}")
    queue = call.language.queues.make(name)
    for line in cut_lines(answer.output):
        if line:
            queue.push(line)
    return True


def save(call: Call) -> Waiting:
    """Adds the lines to the end of a file; the queue keeps them."""
    name, path = call.arguments(2, 2, SAVE)
    lines = "".join([f"{line}\n" for line in call.language.queues.find(name)])
    answer = yield from call.use_file(FileVerb.APPEND, path, lines)
    if not answer.ok:
        raise Failure(f"queuesave: {answer.error}")
    return True


def size(call: Call) -> bool:
    variable = call.option("-var")
    (name,) = call.arguments(1, 1, SIZE)
    count = len(call.language.queues.find(name))
    if variable is None:
        call.say(f"Nlines: {count}")
    else:
        call.set(variable, count)
    return True


def show(call: Call) -> bool:
    (name,) = call.arguments(1, 1, PRINT)
    queue = call.language.queues.find(name)
    if queue:
        call.say("\n".join(queue))
    return True


def init(call: Call) -> bool:
    (name,) = call.arguments(1, 1, INIT)
    call.language.queues.init(name)
    return True


def delete(call: Call) -> bool:
    (name,) = call.arguments(1, 1, DELETE)
    if not call.language.queues.delete(name):
        raise Failure(f"queue {name} not found")
    return True


def show_all(call: Call) -> bool:
    call.arguments(0, 0, LIST)
    for queue in call.language.queues:
        call.say(f"{queue.name:<15} {len(queue)}")
    return True


def substitute(call: Call) -> bool:
    """Repeats until OLD is gone from every line. Where NEW contains OLD (it would never end): each occurrence once."""
    name, old, new = call.arguments(3, 3, SUBSTITUTE)
    call.language.queues.find(name).substitute(old, new)
    return True


COMMANDS: tuple[Command, ...] = (
    Command("queuepush", push, PUSH, "add text to the end of a queue, one entry for each line", least=2),
    Command("queuepop", pop, POP, "remove the first line of a queue and print it or keep it in a variable", least=1),
    Command("queuedrop", drop, DROP, "remove all entries of a queue with a key", least=4, most=4),
    Command("queueload", load, LOAD, "add the output lines of a command to a queue", waits=True, least=3, most=4),
    Command("queuesave", save, SAVE, "append the lines of a queue to a file", waits=True, least=2, most=2),
    Command("queuesize", size, SIZE, "say how many lines a queue has", least=1, most=3),
    Command("queueprint", show, PRINT, "print the lines of a queue", least=1, most=1),
    Command("queueinit", init, INIT, "create a queue, or empty it", least=1, most=1),
    Command("queuedelete", delete, DELETE, "delete a queue", least=1, most=1),
    Command("queuelist", show_all, LIST, "list all queues with their number of lines", most=0),
    Command("queuesubstr", substitute, SUBSTITUTE, "replace text in all lines of a queue", least=3, most=3),
)
