"""Commands that steer the scheduler and end things: `run`, `stop`, `halt`, `kill`, `delete`, `flush`, `quit`, `server`.

Changes are orders to the scheduler (`model/events.py`); what was refused fails with the scheduler's sentence. Not
here: what people look at (`looking.py`), hosts and jobs without a task (`controller.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from model.effects import Answer
from model.events import IntakeVerb, JobVerb, OrderIntake, OrderJob, OrderTask, TaskVerb
from model.scripting import MAIN_SESSION, FetchOutput, Give, Leave, OutputFetched
from model.view_rows import Machines
from shell.language.calls import Call, Command, Data, Failure, SessionEnds, Waiting
from shell.language.direct_jobs import direct_jobs
from shell.wording import nearest

JOB_MOST = 1 << 62
STATUS_MOST = 255
"""Of a process."""
_HEXADECIMAL = re.compile(r"([0-9a-fA-F]{1,4})\.([0-9a-fA-F]{1,4})\.([0-9a-fA-F]{1,4})\.([0-9a-fA-F]{1,4})")
_SWITCH = {"on": True, "true": True, "off": False, "false": False}


# what these commands share


def machines_of(call: Call) -> Machines:
    """The machines to look at. Raises `Failure` where there are none (yet)."""
    machines = call.language.machines()
    if machines is None:
        raise Failure(f"{call.words[0]}: there is no scheduler here")
    return machines


def is_script(call: Call) -> bool:
    """Whether a script file or a task's macro says it, not a person at a prompt: it says it again in each life of the
    server."""
    return call.run.session == MAIN_SESSION


def job_number(word: str) -> int:
    """A job's number; the historical form of four hexadecimal groups (`0.0.0.1a`) is read too. Raises `Failure`."""
    if word.isascii() and word.isdigit() and len(word) <= 19 and int(word) <= JOB_MOST:
        return int(word)
    if groups := _HEXADECIMAL.fullmatch(word):
        return int("".join(group.zfill(4) for group in groups.groups()), 16)
    raise Failure(f"{word} is no job's number")


def choose(call: Call, word: str, names: Sequence[str]) -> str:
    """The one of `names` that `word` is, or begins. Raises `Failure`."""
    if word in names:
        return word
    found = [name for name in names if name.startswith(word)]
    if len(found) == 1:
        return found[0]
    if found:
        raise Failure(f"ambiguous command: {call.words[0]} {word} ( {' '.join(found)} )")
    hint = nearest(word, list(names)) or f" ({', '.join(names)})"
    raise Failure(f"{call.words[0]} {word}: there is no such command{hint}")


def unwaited(call: Call, machine: str, make: Callable[[int], Any]) -> None:
    """Give an order whose answer nobody waits for, and that is certain to be obeyed."""
    call.language.effects.append(Give(machine, call.language.ordered(call.run, make)))


def obeyed(answer: Answer) -> str:
    """What happened. Raises `Failure` with the machine's sentence when it refused."""
    if not answer.ok:
        raise Failure(answer.text)
    return answer.text


# the intake


def intake(call: Call, verb: IntakeVerb) -> Waiting:
    """Say whether tasks make jobs and ends are reacted to."""
    name = call.words[0]
    call.arguments(0, 0, name)
    reason = "" if verb is IntakeVerb.RESUME else f"{name} at {call.at}"
    lasting = not is_script(call)
    answer = yield from call.order("scheduler", lambda request: OrderIntake(request, verb, reason, 0, lasting))
    obeyed(answer)
    return True


def run(call: Call) -> Waiting:
    """`run`: tasks make jobs, and ends are reacted to."""
    call.language.begin_data()
    return (yield from intake(call, IntakeVerb.RESUME))


def stop(call: Call) -> Waiting:
    """`stop`: no new jobs; what runs is harvested."""
    return (yield from intake(call, IntakeVerb.STOP))


def halt(call: Call) -> Waiting:
    """`halt`: no new jobs; ends wait for `run`."""
    return (yield from intake(call, IntakeVerb.HALT))


# jobs


def end_job(call: Call, verb: JobVerb, number: int) -> Generator[Any, Any, str]:
    """End a job, wherever it is; what happened. It has ended when this returns, unless ends wait for `run` or its
    executor is silent."""
    machines = machines_of(call)
    job = machines.scheduler.jobs.get(number)  # type: ignore[call-overload]
    if job is None:
        raise Failure(f"job {number} not found: there is none of this number that has not ended")
    reason = f"{call.words[0]} at {call.at}"
    if machines.scheduler.orders.halted:
        unwaited(call, "scheduler", lambda request: OrderJob(request, verb, number, reason))
        return f"job {number} is being removed; its end counts after `run` (the scheduler is halted)"
    answer = yield from call.order("scheduler", lambda request: OrderJob(request, verb, number, reason))
    text = obeyed(answer)
    return text if "does not answer" in text else f"job {number} removed"


def kill(call: Call) -> Waiting:
    """`kill JOB…`: ends jobs, running or waiting; of their exit macros only `killed` is run."""
    for word in call.arguments(1, None, KILL):
        call.say((yield from end_job(call, JobVerb.KILL, job_number(word))))
    return True


def delete(call: Call) -> Waiting:
    """`delete job JOB…` ends jobs without any macro (and forgets an ended one of the command `job`); `delete task
    NAME` takes a task away; jobs that it has run to their end, and no macro follows."""
    words = call.arguments(1, None, DELETE)
    what = "job" if words[0][0].isdigit() else choose(call, words[0], ("job", "task"))
    rest = words if words[0][0].isdigit() else words[1:]
    if not rest:
        raise Failure(f"USAGE: {DELETE}")
    for word in rest:
        if what == "task":
            yield from delete_task(call, word)
        elif direct_jobs(call.language).drop(job_number(word)):
            call.say(f"job {job_number(word)} removed")
        else:
            call.say((yield from end_job(call, JobVerb.DELETE, job_number(word))))
    return True


def delete_task(call: Call, name: str) -> Generator[Any, Any, None]:
    """Take a task away; it makes no job any more, and may be defined anew. A task of the configuration's file comes
    back with it."""
    language = call.language
    machines = machines_of(call)
    if name not in language.tasks and name not in machines.scheduler.spawning.tasks:
        known = [*language.tasks, *machines.scheduler.spawning.tasks]
        raise Failure(f"task {name} not found{nearest(name, known)}")
    task = language.tasks.get(name)
    if task is not None and task.open:
        raise Failure(f"task {name} is being defined: it can be deleted behind its `end`")
    answer = yield from call.order("scheduler", lambda request: OrderTask(request, TaskVerb.DELETE, name))
    language.tasks.delete(name)
    if answer.ok:
        call.say(answer.text)


def task(call: Call) -> Waiting:
    """`task delete NAME`. (`task NAME … end` is a block.)"""
    words = call.arguments(2, None, TASK)
    choose(call, words[0], ("delete",))
    for name in words[1:]:
        yield from delete_task(call, name)
    return True


def flush(call: Call) -> bool:
    """`flush jobs`: ends all jobs without any macro."""
    (what,) = call.arguments(1, 1, FLUSH)
    choose(call, what, ("jobs",))
    reason = f"flush at {call.at}"
    machines = machines_of(call)
    numbers = list(machines.scheduler.jobs)
    for number in numbers:
        unwaited(call, "scheduler", lambda request, job=number: OrderJob(request, JobVerb.DELETE, job, reason))  # type: ignore[misc]
    removed = (
        "removed; their ends count after `run` (the scheduler is halted)"
        if machines.scheduler.orders.halted
        else "removed"
    )
    call.say(f"{len(numbers)} job{'s' if len(numbers) != 1 else ''} {removed}")
    return True


def job_output(call: Call) -> Waiting:
    """`stdout JOB [-var NAME]`, `stderr JOB [-var NAME]` outside a task: what a job of the command `job` wrote, once
    it has ended."""
    stream = call.words[0]
    variable = call.option("-var")
    (word,) = call.arguments(1, 1, f"{stream} JOB [-var NAME]")
    number = job_number(word)
    end = direct_jobs(call.language).end(number)
    if end is None:
        running = number in machines_of(call).scheduler.jobs
        why = "it has not ended" if running else "no job of the command `job` (see `laulima logs` for the others)"
        call.say("STATUS -2")
        raise Failure(f"{stream}: job {number}: {why}")
    asked = FetchOutput(call.run.number, number, end.attempt, end.report.host, end.spec.task)
    fetched = yield asked
    assert isinstance(fetched, OutputFetched)
    if fetched.note:
        call.complain(f"warning: job {number}: {fetched.note}")
    text = fetched.stdout if stream == "stdout" else fetched.stderr
    if variable is not None:
        call.set(variable, Data(text))
        return True
    if text:
        call.say(text.removesuffix("\n"))
    call.say("STATUS 0")
    return True


# leaving


def _status(call: Call, usage: str) -> int:
    words = call.arguments(0, 1, usage)
    if not words:
        return 0
    word = words[0]
    if not (word.isascii() and word.isdigit() and int(word[:9]) <= STATUS_MOST):
        raise Failure(f"{call.words[0]} {word}: an exit status is a number from 0 to {STATUS_MOST}")
    return int(word)


def leave(call: Call) -> bool:
    """`quit [STATUS]`, `exit [STATUS]`: a script or a task's macro ends the program, a prompt ends itself."""
    status = _status(call, f"{call.words[0]} [STATUS]")
    if is_script(call):
        call.language.effects.append(Leave(status))
    raise SessionEnds(status)


def shutdown(call: Call) -> bool:
    """`shutdown [-kill] [STATUS]`: ends the program from anywhere; `-kill` ends running jobs too, else as configured
    (`on_exit`)."""
    end = True if call.flag("-kill") else None
    call.language.effects.append(Leave(_status(call, SHUTDOWN), end))
    if is_script(call):
        raise SessionEnds(0)
    return True


_SERVER_VERBS = ("input", "module", "run", "stop", "halt", "cd", "pwd", "output", "exit", "quit")


def server(call: Call) -> Waiting:
    """`server VERB …`: the same as VERB; `server exit` and `server quit` end the server, wherever they are said."""
    words = call.arguments(1, None, SERVER)
    name = choose(call, words[0], _SERVER_VERBS)
    if name in ("exit", "quit"):
        call.words = [name, *words[1:]]
        return shutdown(call)
    command = call.language.commands.get(name)
    if command is None:
        raise Failure(f"server {name}: there is no command {name} here")
    result = command.run(Call(call.language, call.run, call.at, [name, *words[1:]]))
    return bool((yield from result)) if command.waits else bool(result)


def not_here(call: Call) -> bool:
    """The historical client's own commands."""
    raise Failure(
        f"{call.words[0]}: a prompt finds its server by itself; start one with `laulima shell`, leave it with `quit`"
    )


# the rest


def verbose(call: Call) -> bool:
    """`verbose [on|off|toggle]`; bare it says which."""
    words = call.arguments(0, 1, VERBOSE)
    language = call.language
    if not words or words[0] == "threads":
        call.say(f"verbose mode {'on' if language.verbose else 'off'}")
        return True
    word = words[0].lower()
    if word == "toggle":
        language.verbose = not language.verbose
    elif word in _SWITCH:
        language.verbose = _SWITCH[word]
    else:
        raise Failure(f"USAGE: {VERBOSE}")
    return True


def show_version(call: Call) -> bool:
    """The version of the program."""
    try:
        number = version("laulima")
    except PackageNotFoundError:
        number = "(not installed, version unknown)"
    call.say(f"laulima {number}")
    return True


KILL = "kill JOB…"
DELETE = "delete job JOB… | delete task NAME…"
TASK = "task NAME … end | task delete NAME"
FLUSH = "flush jobs"
SHUTDOWN = "shutdown [-kill] [STATUS]"
SERVER = "server input FILE | module FILE | run | stop | halt | cd DIRECTORY | pwd | output FILE | exit | quit"
VERBOSE = "verbose [on|off|toggle]"
COMMANDS: tuple[Command, ...] = (
    Command("run", run, "run", "tasks make jobs, and ends of jobs are reacted to", waits=True, most=0),
    Command("stop", stop, "stop", "no new jobs; what runs is harvested", waits=True, most=0),
    Command("halt", halt, "halt", "no new jobs; ends of jobs wait for run", waits=True, most=0),
    Command("kill", kill, KILL, "end jobs; of their exit macros only `killed` is run", waits=True, least=1),
    Command("delete", delete, DELETE, "end jobs without a macro, or take tasks away", waits=True, least=1),
    Command("task", task, TASK, "define or change a task; take one away", waits=True, least=1),
    Command("flush", flush, FLUSH, "end all jobs without a macro", least=1, most=1),
    Command("quit", leave, "quit [STATUS]", "end the program; at a prompt: end the prompt", most=1),
    Command("exit", leave, "exit [STATUS]", "the same as quit", most=1),
    Command(
        "shutdown", shutdown, SHUTDOWN, "end the program from anywhere; -kill: running jobs too", most=2, yields=True
    ),
    Command("server", server, SERVER, "the same commands, said to the server", waits=True, least=1, yields=True),
    Command("connect", not_here, "connect", "not needed: a prompt finds its server by itself", yields=True),
    Command("disconnect", not_here, "disconnect", "not needed: leave a prompt with quit", yields=True),
    Command("verbose", verbose, VERBOSE, "say more, or less", most=1),
    Command("version", show_version, "version", "the version of the program"),
)
"""What `table.py` joins to the language's commands."""
