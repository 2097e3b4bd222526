"""What all runs of one server share: variables, macros, queues, books, tasks, settings. One object for each script
machine.

The interpreter and the commands read and change it; nothing here runs anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from random import Random
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from model.job import SECOND
from model.scripting import AppendText, Show, Stream
from model.view_rows import Machines
from shell.language.books import Books
from shell.language.buffers import Buffer
from shell.language.calls import Command
from shell.language.changes import Changes
from shell.language.queues import Queues
from shell.language.recording import Recorder
from shell.language.tree import MacroBlock, Position

if TYPE_CHECKING:
    from shell.language.runs import Run
    from shell.language.script_tasks import ScriptTasks


TELL_AGAIN_NS = 60 * SECOND
"""The same failure of a line of a task's macro is told of at most once in so long; it is counted each time."""
CONSTANTS = {"M_PI": math.pi, "M_E": math.e, "M_c": 2.99792458e8, "M_h": 6.62607015e-34, "M_kB": 1.380649e-23}
"""Variables from the start; SI units, values of 2019."""


class Macro:
    """A macro of the user. `body` is what the interpreter made of it."""

    __slots__ = ("block", "body", "help", "name", "statics")

    def __init__(self, name: str, block: MacroBlock, body: Any, help_text: str = "") -> None:
        self.name = name
        self.block = block
        self.body = body
        self.help = help_text
        self.statics: dict[str, str | int] = {}


class Language:
    """Shared state. `effects` is what the machine drains; `wall_ns()` is the wall time of now."""

    def __init__(
        self, commands: dict[str, Command], directory: str, seed: int, machines: Callable[[], Machines | None]
    ) -> None:
        self.commands = commands
        self.directory = directory
        self._start_directory = directory
        self.machines = machines
        """the machines to look at (never to change); None: there are none (yet)"""
        self.random = Random(seed)  # noqa: S311 - a script's `rnd`, no secret
        self.variables: dict[str, str | int] = {}
        self.macros: dict[str, Macro] = {}
        self.changes = Changes()
        self.queues = Queues(self.changes)
        self.books = Books(self.changes)
        self.recorder = Recorder(self)
        self.begin_data: Callable[[], None] = lambda: None
        """called before tasks are let go; set by the machine"""
        self.tasks: ScriptTasks
        """set by the machine"""
        self.people: dict[int, str] = {}
        """by session: who gives its lines at a prompt"""
        self.going_on: set[int] = set()
        """sessions that said `break -auto off`: their failing statements end nothing"""
        self.vocabulary = object()
        """another one whenever macros come or go: what was looked up before may be something else now"""
        self.jitter_random = Random(seed + 1)  # noqa: S311 - when tasks start; apart from `random`, so that it changes no `rnd`
        self.verbose = False
        self.show_failing = False
        """whether the text of a failing line is shown with the error (`opihi verbose on`)"""
        self.outputs: dict[int, dict[Stream, str | Buffer]] = {}
        """by session: where its answers (and errors) go instead, a file or a buffer, by `output`"""
        self.effects: list[Any] = []
        self.kept: dict[str, Any] = {}
        """what commands remember from one call to the next, each under a name of its own"""
        self._told: dict[Position, tuple[str, int]] = {}
        """what was said last of each line of a task's macro that failed, and when; bounded by the lines of scripts"""
        self.wall_offset_ns = 0
        self.now_ns = 0
        self._request = 0
        self.requests: dict[int, int] = {}
        """request number -> run that waits for its answer"""

    def wall_ns(self) -> int:
        return self.now_ns + self.wall_offset_ns

    def next_request(self, run: Run) -> int:
        """A number for an order; negative, so that it is nobody else's."""
        self._request -= 1
        self.requests[self._request] = run.number
        return self._request

    def ordered(self, run: Run, make: Callable[[int], Any]) -> Any:
        """The order that `make(request)` is, with the person whose prompt gives it."""
        event, by = make(self.next_request(run)), self.people.get(run.session)
        return replace(event, by=by) if by and "by" in event.__struct_fields__ else event

    def next_number(self) -> int:
        """A number for an order whose answer nobody waits for."""
        self._request -= 1
        return self._request

    def shown_path(self, path: str) -> str:
        """A file's name for people: what lies below the directory of the start is named from there."""
        return path.removeprefix(self._start_directory.rstrip("/") + "/")

    def beside(self, shown: str, name: str) -> str:
        """The path of the file `name` in the folder of the file that is shown as `shown`."""
        return str(PurePosixPath(self._start_directory) / PurePosixPath(shown).parent / name)

    def known_host(self, name: str) -> str | None:
        """The controller's host of this name, as it is spelt there (case does not matter); None: there is none."""
        machines = self.machines()
        hosts = {} if machines is None else machines.controller.hosts
        if name in hosts:
            return name
        lower = name.lower()
        return next((host for host in hosts if host.lower() == lower), None)

    # macros

    def define(self, macro: Macro) -> None:
        """Add or replace a macro."""
        self.macros[macro.name] = macro
        self.vocabulary = object()

    def undefine(self, name: str) -> None:
        """Take a macro away (KeyError when there is none)."""
        del self.macros[name]
        self.vocabulary = object()

    # variables

    def set_start_variables(self, environment: Mapping[str, str]) -> None:
        """What is set before any line runs. `environment` comes from the driver: `HOME`, `PID`, and any other of the
        names below; `MODULES` may hold several directories, joined with `:`."""
        modules = [word for word in environment.get("MODULES", "").split(":") if word]
        self.variables |= dict.fromkeys(("KAPA", "SCRIPT", "SCRIPT_NAME", "HELPDIR"), "")
        self.variables |= {"HOME": self.directory, "PID": 0, "UNSIGN": 0, "STATUS": 1, "argv:n": 0}
        self.variables |= {"PROMPT": "laulima: ", "HISTORY": ".laulima", "RCFILE": ".laulimarc"}
        self.variables |= {name: f"{value:.12g}" for name, value in CONSTANTS.items()}
        self.variables |= {name: text for name, text in environment.items() if name in self.variables}
        self.variables |= {f"MODULES:{place}": path for place, path in enumerate(modules or [self.directory])}
        self.variables["MODULES:n"] = max(1, len(modules))

    # what people see

    def say(self, run: Run, text: str) -> None:
        """Answers of a run, to where they go now."""
        self._show(run.session, Stream.OUT, text)

    def complain(self, run: Run, text: str) -> None:
        """An error line of a run (without newline)."""
        self._show(run.session, Stream.ERROR, text + "\n")

    def is_news(self, at: Position, text: str) -> bool:
        """Whether this was not said of this line in the last minute; it counts as said. Always, when verbose."""
        said, when_ns = self._told.get(at, ("", 0))
        if said == text and self.now_ns - when_ns < TELL_AGAIN_NS and not self.verbose:
            return False
        self._told[at] = (text, self.now_ns)
        return True

    def output_of(self, session: int) -> dict[Stream, str | Buffer]:
        """The files to which a session's answers and errors go; those of task macros go where the main session's do."""
        return self.outputs.setdefault(session, {})

    def _show(self, session: int, stream: Stream, text: str) -> None:
        place = self.outputs[session].get(stream) if session in self.outputs else None
        if isinstance(place, Buffer):
            place.add(text)
        else:
            self.effects.append(Show(session, stream, text) if place is None else AppendText(place, text))
