"""Commands that print, and the one that says where to: echo, fprintf, output."""

from __future__ import annotations

from model.scripting import FileVerb, Stream
from shell.language.buffers import Buffer
from shell.language.calls import Call, Command, Failure, Waiting
from shell.language.commands.formats import fill

_ECHO = "echo [-no-return] [WORD ...]"


def _echo(call: Call) -> bool:
    goes_on = call.flag("-no-return") if len(call.words) > 1 else True
    text = " ".join(call.words[1:])
    if goes_on:  # nothing at all for `echo` alone, as scripts know it
        call.language.say(call.run, text)
    else:
        call.say(text)
    return True


_FPRINTF = "fprintf FORMAT [VALUE ...]"


def _fprintf(call: Call) -> bool:
    form, *values = call.arguments(1, None, _FPRINTF)
    call.say(fill("fprintf", form, values))
    return True


_OUTPUT = "output [-err] FILE | stdout | stderr | -current VAR | -buffer | -dump FILE"


def _output(call: Call) -> Waiting:
    """About answers, with `-err` about error lines. A file is added to. The names stdout and stderr end it."""
    stream = Stream.ERROR if call.flag("-err") else Stream.OUT
    current = call.option("-current")
    dump = call.option("-dump")
    buffer = call.flag("-buffer")
    other = (current is not None) + (dump is not None) + buffer
    names = call.arguments(1 - other, 1 - other, _OUTPUT)
    places = call.language.output_of(call.run.session)
    place = places.get(stream, "stderr" if stream is Stream.ERROR else "stdout")
    if current is not None:
        call.set(current, "buffer" if isinstance(place, Buffer) else place)
    elif dump is not None:
        if not isinstance(place, Buffer):
            raise Failure("output: there is no buffer to dump", hint="begin one with: output -buffer")
        yield from _dump(call, place, dump)
    elif buffer:
        places[stream] = place if isinstance(place, Buffer) else Buffer()
    elif names[0] in {"stdout", "stderr"}:
        places.pop(stream, None)
    else:
        # with nothing to add: the file is made, or the complaint comes now instead of with the first answer
        yield from _append(call, names[0], "")
        places[stream] = call.path(names[0])
    return True


def _dump(call: Call, buffer: Buffer, name: str) -> Waiting:
    text = buffer.take()  # before the wait: another run may print meanwhile
    try:
        return (yield from _append(call, name, text))
    except Failure:
        buffer.put_back(text)
        raise


def _append(call: Call, name: str, text: str) -> Waiting:
    reply = yield from call.use_file(FileVerb.APPEND, name, text)
    if not reply.ok:
        raise Failure(f"output: {reply.error}")
    return True


COMMANDS = (
    Command("echo", _echo, _ECHO, "print words joined by one blank; -no-return: no new line; without words: nothing"),
    Command("fprintf", _fprintf, _FPRINTF, "print a line in a format (conversions as in sprintf)", least=1),
    Command(
        "output",
        _output,
        _OUTPUT,
        "answers (-err: errors) are added to a file from now on; stdout, stderr: back; -buffer: they are kept until"
        " -dump FILE adds them to one; -current VAR: where they go now",
        waits=True,
        least=1,
        most=3,
    ),
)
