"""Commands that set what a task is and what its next job will be: `command`, `options`, `host`, `periods`, `trange` …

They act on the task being defined, else on the task whose exec macro runs; elsewhere they fail, except `periods`
(defaults of tasks defined later) and `host`, `stdout`, `stderr`, which are commands of the controller there. The block
`task … end` is not here (`defining.py`), nor what people ask about tasks (`looking.py`).
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

from model.job import LOCAL, SECOND, Block
from shell.language.calls import Call, Command, Failure
from shell.language.commands.controller import host_order
from shell.language.commands.scheduling import job_output
from shell.language.ranges import parse_range
from shell.language.task_settings import ScriptTask, TaskDefaults

NICE_MOST = 20
"""Historical range: 0 to 20."""
PERIOD_LEAST_NS = 1_000_000
"""1 ms: a task cannot be asked more often."""
PERIOD_MOST_S = 100 * 366 * 86_400.0
"""A hundred years: longer is taken for that."""
COUNT_MOST = 1 << 62
ANY_HOST = ("anyhost", "none")
LOCAL_HOST = (LOCAL, "localhost")
SWITCH = dict.fromkeys(("true", "t", "on", "yes", "1"), True) | dict.fromkeys(("false", "f", "off", "no", "0"), False)


def _task(call: Call) -> ScriptTask:
    task = call.run.task
    if task is None:
        hint = f"{call.words[0]} belongs into task NAME … end, or into its task.exec"
        raise Failure("ERROR: not defining or running a task", hint=hint)
    return task


def _defined_task(call: Call) -> ScriptTask:
    """For settings that an exec macro cannot change: the block `task … end` must be open."""
    task = _task(call)
    if not task.open:
        raise Failure(f"{call.words[0]}: only between task and end, not in a macro of the task")
    return task


# words


def command(call: Call) -> bool:
    """`command [-block FILE]… WORD…`: what the next jobs run; no shell is between. `-block` counts in front only."""
    task = _task(call)
    words = [str(word) for word in call.words[1:]]
    files = []
    while len(words) > 1 and words[0] == "-block":
        files.append(words[1])
        del words[:2]
    if not words:
        raise Failure("USAGE: command [-block FILE]… WORD…")
    if files:
        task.block = Block(tuple(files))
        task.said.add("block")
    task.command = tuple(words)
    task.said.add("command")
    return True


def options(call: Call) -> bool:
    """`options [WORD…]`: private words of the next jobs, `$options:0` … in their exit macros; replaces those before."""
    task = _task(call)
    task.options = tuple([str(word) for word in call.words[1:]])
    task.said.add("options")
    return True


def _stream(call: Call) -> Generator[Any, Any, bool]:
    """`stdout FILE`, `stderr FILE`: what jobs write is added there when they end; NULL: nowhere."""
    if call.run.task is None:
        return (yield from job_output(call))
    task, name = call.run.task, call.words[0]
    (path,) = call.arguments(1, 1, f"{name} FILE|NULL")
    kept = None if path.upper() == "NULL" else path
    if name == "stdout":
        task.stdout = kept
    else:
        task.stderr = kept
    task.said.add(name)
    return True


def host(call: Call) -> Generator[Any, Any, bool]:
    """`host NAME [-required]`: local (here), anyhost or NONE (the controller chooses), or a host of the controller."""
    if call.run.task is None:
        return (yield from host_order(call))
    task = call.run.task
    required = call.flag("-required")
    (name,) = call.arguments(1, 1, "host NAME|local|anyhost [-required]")
    lower = name.lower()
    task.host = LOCAL if lower in LOCAL_HOST else None if lower in ANY_HOST else name
    task.host_required = required and task.host is not None
    task.said.add("host")
    return True


# numbers


def _seconds(call: Call, name: str, least_ns: int) -> int | None:
    """The value of an option in ns, or None when it was not given."""
    word = call.option(name)
    if word is None:
        return None
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not value >= 0 or math.isinf(value):
        raise Failure(f"{call.words[0]} {name} {word}: not a number of seconds")
    return max(least_ns, round(min(value, PERIOD_MOST_S) * SECOND))


def periods(call: Call) -> bool:
    """`periods [-exec S] [-poll S] [-timeout S] [-pending S]`, in seconds; only what is given changes. `-timeout 0`,
    `-pending 0`: no limit. Outside a task: the defaults of tasks defined later."""
    target: ScriptTask | TaskDefaults = call.language.tasks.defaults if call.run.task is None else call.run.task
    exec_ns = _seconds(call, "-exec", PERIOD_LEAST_NS)
    poll_ns = _seconds(call, "-poll", PERIOD_LEAST_NS)
    timeout_ns = _seconds(call, "-timeout", 0)
    pending_ns = _seconds(call, "-pending", 0)
    call.arguments(0, 0, "periods [-exec S] [-poll S] [-timeout S] [-pending S]")
    target.exec_ns = target.exec_ns if exec_ns is None else exec_ns
    target.poll_ns = target.poll_ns if poll_ns is None else poll_ns
    target.timeout_ns = target.timeout_ns if timeout_ns is None else timeout_ns
    target.pending_ns = target.pending_ns if pending_ns is None else pending_ns
    return True


def _count(call: Call, most: int) -> int:
    name = call.words[0]
    (word,) = call.arguments(1, 1, f"{name} NUMBER")
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise Failure(f"{name} {word}: not a number" + (f" from 0 to {most}" if most < COUNT_MOST else ""))
    return int(value)


def nmax(call: Call) -> bool:
    """`nmax N`: at most N jobs in the task's life; 0: no limit."""
    task = _defined_task(call)
    task.nmax = _count(call, COUNT_MOST)
    task.said.add("nmax")
    return True


def npending(call: Call) -> bool:
    """`npending N`: at most N jobs that have not ended; 0: no limit."""
    task = _defined_task(call)
    task.npending = _count(call, COUNT_MOST)
    task.said.add("npending")
    return True


def nice(call: Call) -> bool:
    """`nice N`: 0 to 20."""
    task = _defined_task(call)
    task.nice = _count(call, NICE_MOST)
    task.said.add("nice")
    return True


def active(call: Call) -> bool:
    """`active true|false`."""
    task = _defined_task(call)
    (word,) = call.arguments(1, 1, "active true|false")
    if word.lower() not in SWITCH:
        raise Failure(f"active {word}: true or false")
    task.active = SWITCH[word.lower()]
    task.said.add("active")
    return True


def trange(call: Call) -> bool:
    """`trange START STOP [-nmax N] [-exclude]` adds a time range (UTC); `trange -reset` takes all away."""
    task = _defined_task(call)
    task.said.add("windows")
    if call.flag("-reset"):
        task.windows = ()
        if not call.words[1:]:
            return True
    try:
        window = parse_range(call.words[1:], call.language.wall_ns())
    except ValueError as error:
        raise Failure(f"trange: {error}") from error
    task.windows += (window,)
    return True


def block(call: Call) -> bool:
    """`block FILE… [-after FILE] [-limit S]`: files that must be visible on the job's host before it starts, and after
    it ended; `-limit` bounds each of the two waits (120 s). `block NONE`: none."""
    task = _task(call)
    limit_ns = _seconds(call, "-limit", PERIOD_LEAST_NS)
    after = tuple([path for (path,) in call.options("-after", 1)])
    before = tuple([str(path) for path in call.words[1:]])
    if not before and not after:
        raise Failure("USAGE: block FILE… [-after FILE] [-limit S] | block NONE")
    if len(before) == 1 and before[0].upper() in ("NONE", "NULL") and not after:
        task.block = None
    else:
        task.block = Block(before, after) if limit_ns is None else Block(before, after, limit_ns)
    task.said.add("block")
    return True


_PERIODS = "periods [-exec S] [-poll S] [-timeout S] [-pending S]"
_BLOCK = "block FILE… [-after FILE] [-limit S]"
_RANGE = "trange START STOP [-nmax N] [-exclude] | -reset"
COMMANDS: tuple[Command, ...] = (
    Command("command", command, "command [-block FILE]… WORD…", "what the task's jobs run", least=1, where="task"),
    Command("options", options, "options [WORD…]", "private words of the job, seen again in exit macros", where="task"),
    Command("option", options, "option [WORD…]", "the same as options", where="task"),
    Command("host", host, "host NAME|local|anyhost [-required]", "where the task's jobs run", waits=True, least=1),
    Command("stdout", _stream, "stdout FILE|NULL", "file for what the task's jobs write", waits=True, least=1),
    Command("stderr", _stream, "stderr FILE|NULL", "file for the errors of the task's jobs", waits=True, least=1),
    Command("periods", periods, _PERIODS, "how often, how long; in seconds", most=8),
    Command("nmax", nmax, "nmax N", "most jobs of the task in its life, 0 no limit", least=1, most=1, where="task"),
    Command("npending", npending, "npending N", "most jobs at a time, 0 no limit", least=1, most=1, where="task"),
    Command("nice", nice, "nice N", "0 to 20", least=1, most=1, where="task"),
    Command("active", active, "active true|false", "whether the task makes jobs", least=1, most=1, where="task"),
    Command("trange", trange, _RANGE, "when the task may make jobs", least=1, most=5, where="task"),
    Command("block", block, _BLOCK, "files that a job waits for", least=1, where="task", yields=True),
)
"""What `table.py` joins to the language's commands."""
