"""What the machine that runs task scripts is told, and what it asks of its driver.

The machine itself (`shell/language/machine.py`) knows neither clock nor file nor process: like the other machines it
takes events and gives effects, so one interpreter runs live and on the virtual clock. `Prepare` and `React` of the
scheduler (`model/effects.py`) are delivered to it as they are; what it answers leaves as `Give`. Durations are ns.

Runs. Everything that is executed is a numbered *run*: the lines of a session (a script file, a prompt), a task's
preparation, its reaction to a report. One run goes on at a time; another one may go on only where this one waits for
an answer from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

from msgspec import Struct

from model.behaviour import Behaviour
from model.configuration import LanguageSettings
from model.remembered import RestoredData
from model.task import TaskDefinition
from model.view_rows import Machines

MAIN_SESSION = 0
"""The session of the script files that a server or a simulation was started with; output of task macros goes there."""


class Stream(Enum):
    """Where a line of text is shown."""

    OUT = "out"
    """answers: echo, status"""
    ERROR = "error"
    """errors and notices"""


class FileVerb(Enum):
    READ = "read"
    """the text of a file; `FileUsed.text`"""
    APPEND = "append"
    """add `text` to the end of a file (made when missing); with empty text: see that it can be written"""
    WRITE = "write"
    """replace the content of a file by `text`"""
    STAT = "stat"
    """`FileUsed.facts`: size, mtime, atime, ctime, mode, uid, gid, kind, can-read, can-write; ok False when missing"""
    MAKE_DIRECTORY = "make directory"
    GLOB = "glob"
    """`FileUsed.paths`: what matches, sorted"""


FILE_MAX = 64 << 20
"""Bytes of a file that a script may read, or that is one: it is in memory as a whole."""


def text_of_bytes(content: bytes) -> str:
    """A file as scripts read it: UTF-8, or else Latin-1, in which the scripts of 2005 and their tables were written."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")


# what the driver tells


class OpenSession(Struct, frozen=True):
    """Somebody begins to give lines. `name` is for people and positions: a file's name, `prompt 3`."""

    session: int
    name: str
    directory: str
    by: str = ""
    """who that is, for what is recorded of orders: `ann@head`; empty: a file"""


class SessionText(Struct, frozen=True):
    """Whole lines to run in a session; answered by `SessionRan` with the same `number`.

    `arguments`: for script files, `argv` (the first is `argv:0`).
    """

    session: int
    number: int
    text: str
    arguments: tuple[str, ...] = ()


class RunFile(Struct, frozen=True):
    """Run a script file in a session; answered by `SessionRan`."""

    session: int
    number: int
    path: str
    arguments: tuple[str, ...] = ()


class CloseSession(Struct, frozen=True):
    """Nobody listens any more; what runs in the session ends where it waits next."""

    session: int


class Interrupt(Struct, frozen=True):
    """End what runs in the session (Ctrl-C at a prompt)."""

    session: int


class DeclareTasks(Struct, frozen=True):
    """The configuration has changed: these of its tasks are new or different, those are gone."""

    defined: tuple[TaskDefinition, ...]
    gone: tuple[str, ...] = ()


class Executed(Struct, frozen=True):
    """A shell line has ended. `status`: exit code, negative: the signal; `error`: it could not be run, or was not ended
    within its limit (`timed_out`)."""

    run: int
    status: int
    output: str = ""
    error: str = ""
    timed_out: bool = False


class FileUsed(Struct, frozen=True):
    run: int
    ok: bool
    text: str = ""
    paths: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    error: str = ""


class OutputFetched(Struct, frozen=True):
    """What an attempt wrote. `note`: what is missing, and why (one clause)."""

    run: int
    stdout: str
    stderr: str
    note: str = ""


# what the machine asks for


class Execute(Struct, frozen=True):
    """Run `command` by the shell in `directory`; answer with `Executed`. `timeout_ns` 0: no limit. `capture`: the
    output is wanted (as `output`), else it is shown where `session` shows its answers."""

    run: int
    session: int
    command: str
    directory: str
    timeout_ns: int
    capture: bool


class UseFile(Struct, frozen=True):
    """Work on a file; answer with `FileUsed`. `path` is absolute."""

    run: int
    verb: FileVerb
    path: str
    text: str = ""


class FetchOutput(Struct, frozen=True):
    """Read what an attempt wrote (at most 16 MiB of each stream); answer with `OutputFetched`."""

    run: int
    job: int
    attempt: int
    host: str
    task: str


class Abandon(Struct, frozen=True):
    """The run does not wait any more: a process that runs for it is ended, no answer is wanted."""

    run: int


class Show(Struct, frozen=True):
    """Show text (newlines included) to whoever gives the session's lines."""

    session: int
    stream: Stream
    text: str


class AppendText(Struct, frozen=True):
    """Add text to a file, in the order of effects, before any later `Execute` or `UseFile` begins. No answer; a failure
    is a notice."""

    path: str
    text: str


class SessionRan(Struct, frozen=True):
    """The text or file is done. `ok`: nothing failed. `more`: a block is not closed, the text was not run. `status`:
    the session wants to leave (`quit N`), else None."""

    session: int
    number: int
    ok: bool
    more: bool = False
    status: int | None = None


class Give(Struct, frozen=True):
    """Hand an event to the machine `to` ("scheduler", "controller"), in the order of effects. Orders have negative
    request numbers; their `Answer` effects are delivered back to this machine as events. What scripts changed in their
    data goes to the scheduler this way, which records it: with the end or the job that the same event brings."""

    to: str
    event: Any


class Leave(Struct, frozen=True):
    """The whole program is to end. `kill`: end what runs, too; None: as configured."""

    status: int = 0
    kill: bool | None = None


class ScriptMachine(Protocol):
    """A machine as any other, and what people's prompts complete."""

    def receive(self, event: Any, now: int) -> None: ...
    def advance(self, now: int) -> None: ...
    def next_due(self) -> int | None: ...
    def drain(self) -> Sequence[Any]: ...
    @property
    def at_rest(self) -> bool:
        """Whether no run is under way: nothing stands in the middle of its lines."""

    def names(self) -> dict[str, list[str]]:
        """`commands`, `macros`, `tasks`, `hosts`, `variables`, `queues`, `books`: what exists now, sorted."""


class ScriptFactory(Protocol):
    """Makes the script machine of one life. `behaviours` is the dictionary that the scheduler was given; `machines`
    gives them to look at; `environment`: what the start variables of the language are made from;
    `configuration`: the name of the file in which the tasks stand, for positions; `restored`: the data of the life
    before, None: there is none, or it does not count. `settings.scripts` are the files that the driver will run."""

    def __call__(
        self,
        now: int,
        *,
        directory: str,
        seed: int,
        machines: Callable[[], Machines | None],
        behaviours: dict[str, Behaviour],
        settings: LanguageSettings,
        tasks: Sequence[TaskDefinition],
        environment: Mapping[str, str],
        configuration: str,
        restored: RestoredData | None,
    ) -> ScriptMachine: ...
