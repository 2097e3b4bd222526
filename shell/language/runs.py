"""A run: one execution of statements, with its macro calls, its locals, its count of statements, its first failure.

Made by the script machine (`work.py`), used by the interpreter and by commands. A run belongs to a session (file or
prompt) or to a task; its statements are counted so that the machine can go on with something else, and end a task's run
that has no end of its own. What statements do is in `interpreter.py`.
"""

from __future__ import annotations

from difflib import get_close_matches
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from shell.language.calls import Failure
from shell.language.tree import Position

if TYPE_CHECKING:
    from shell.language.language import Language, Macro
    from shell.language.task_settings import ScriptTask

SLICE_STATEMENTS = 500
"""So many statements lie between two points where the machine may turn to something else."""
TASK_STATEMENTS = 100_000
"""What a task's run may use in all."""
MACROS_DEEP = 100
"""Macros that call one another, and files that load one another."""

NAMES_COMPARED_MOST = 2_000
"""With more variables no near miss is looked for: a loop may fail often."""

Value = str | int
"""What a variable holds: whole numbers that were computed are ints, everything else is text (`Data` included)."""


class RunKind(Enum):
    SESSION = "session"
    """a script file, or lines of a prompt"""
    TASK = "task"
    """a preparation or a reaction"""


class Signal(Enum):
    """How statements ended."""

    OK = "ok"
    FAILED = "failed"
    BROKEN = "broken"
    """`break`: goes up to the end of the macro or file, also where failures do not"""
    LAST = "last"
    """leave the loop, or else the macro"""
    NEXT = "next"
    """go to the next pass, or else leave the macro"""


class _Slice:
    def __repr__(self) -> str:
        return "SLICE"


SLICE: Final = _Slice()
"""Yielded by a run that waits for nothing, when it has used up its slice."""


class BudgetSpent(Exception):  # noqa: N818 - said to the script machine only, which ends the run
    """A task's run has used up its statements."""


class FirstFailure(NamedTuple):
    """`text` is empty for a plain `break`."""

    at: Position
    text: str


class StaticLocals(dict[str, Value]):
    """The locals of a call of a macro with static ones, which are kept with the macro."""

    __slots__ = ("names", "statics")

    def __init__(self, others: dict[str, Value], statics: dict[str, Value]) -> None:
        super().__init__(others)
        self.statics = statics
        self.names: set[str] = set()

    def add(self, name: str) -> None:
        self.names.add(name)
        super().__setitem__(name, self.statics.setdefault(name, "NULL"))

    def __getitem__(self, name: str) -> Value:
        return self.statics[name] if name in self.names else super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name, default) if name not in self.names else self.statics[name]

    def __setitem__(self, name: str, value: Value) -> None:
        if name in self.names:
            self.statics[name] = value
        else:
            super().__setitem__(name, value)


class Run:
    """One execution. `statements` counts what was run so far; at `pause_at` the next slice begins."""

    __slots__ = (
        "arguments",
        "at",
        "changed",
        "depth",
        "failure",
        "kind",
        "language",
        "loading",
        "locals",
        "macro",
        "number",
        "pause_at",
        "session",
        "statements",
        "task",
        "variables",
    )

    def __init__(self, language: Language, number: int, session: int, kind: RunKind) -> None:
        self.language = language
        self.variables = language.variables
        self.changed: dict[str, Value | None] = {}
        """global variables that it has set (None: taken away), since that was recorded last; see `recording.py`"""
        self.number = number
        self.session = session
        self.kind = kind
        self.task: ScriptTask | None = None
        """the task being defined, or whose exec macro runs"""
        self.locals: dict[str, Value] = {}
        self.arguments: list[str] | None = None
        """of the macro being called, its name first; None outside of macros"""
        self.macro: Macro | None = None
        self.depth = 0
        """macros and files around"""
        self.loading: list[str] = []
        """files being loaded, the innermost last"""
        self.statements = 0
        self.pause_at = SLICE_STATEMENTS
        self.at = Position("", 0, 0)
        """the statement being run; exact for commands, else near"""
        self.failure: FirstFailure | None = None
        """the first one, where failures end the run"""

    @property
    def directory(self) -> str:
        return self.language.directory

    @property
    def argv(self) -> list[str]:
        """The arguments of the macro, its name first; empty outside of macros."""
        return self.arguments or []

    @property
    def auto_break(self) -> bool:
        """Whether a failing statement ends what is around it. In task macros it always does."""
        return self.kind is RunKind.TASK or self.session not in self.language.going_on

    def where(self) -> str:
        """The place of the statement being run, for people."""
        return str(self.at)

    # variables

    def get(self, name: str) -> str | None:
        """A variable as text (what a job wrote stays `Data`); None: there is none. Locals of the macro first."""
        value = self.look_up(name)
        return str(value) if value.__class__ is int else value  # type: ignore[return-value]

    def look_up(self, name: str) -> Value | None:
        """A variable, or with a number as name an argument of the macro, as it is kept; None: there is none."""
        if name.isdecimal():
            return self._argument(int(name))
        if self.locals and name in self.locals:
            return self.locals[name]
        return self.variables.get(name)

    def value(self, name: str, *, glued: bool = False) -> Value:
        """As `look_up`, but raises Failure when there is none. `glued`: a variable's value is the end of the name."""
        value = self.look_up(name)
        if value is None:
            raise self.missing(name, glued=glued)
        return value

    def set(self, name: str, value: Value) -> None:
        """Set the local variable of this name if there is one, else the global one; or an argument of the macro."""
        if self.locals and name in self.locals:
            self.locals[name] = value
        elif name.isdecimal():
            self._set_argument(int(name), value)
        else:
            self.variables[name] = self.changed[name] = value

    def unset(self, name: str) -> Value | None:
        """Take a global variable away; its value, if there was one."""
        self.changed[name] = None
        return self.variables.pop(name, None)

    def make_local(self, name: str) -> None:
        """`local name`. Outside of macros and task macros there is nobody to be local to: a global one."""
        if self.macro is None and self.kind is RunKind.SESSION:
            self.variables[name] = self.changed[name] = "NULL"
        else:
            self.locals[name] = "NULL"

    def make_static(self, name: str) -> None:
        """`local -static name`: keeps its value from call to call. Outside of macros: global, made when missing."""
        if self.macro is None:
            if name not in self.variables:
                self.variables[name] = self.changed[name] = "NULL"
            return
        if not isinstance(self.locals, StaticLocals):
            self.locals = StaticLocals(self.locals, self.macro.statics)
        self.locals.add(name)

    def _argument(self, place: int) -> Value | None:
        if self.arguments is None:
            return None
        if place == 0:
            return len(self.arguments)
        return self.arguments[place] if place < len(self.arguments) else None

    def _set_argument(self, place: int, value: Value) -> None:
        if self.arguments is None:
            raise Failure(f"cannot set ${place}: not in a macro")
        if not 0 < place < len(self.arguments):
            raise self.missing(str(place))
        self.arguments[place] = str(value) if value.__class__ is int else value  # type: ignore[assignment]

    def missing(self, name: str, *, glued: bool = False) -> Failure:
        """The failure for a variable that there is not."""
        if glued and ":" not in name:
            hint = r"of two variables side by side the second ends the name of the first; write $a\$b for both"
            return Failure(f"variable {name} not found", hint=hint)
        if not name.isdecimal():
            return Failure(f"variable {name} not found", hint=self._near(name))
        if self.arguments is None:
            return Failure(f"cannot expand ${name}: not in a macro")
        given = len(self.arguments) - 1
        return Failure(
            f"variable {name} not found: macro {self.arguments[0]} was given {given} argument{'s' * (given != 1)}"
        )

    def _near(self, name: str) -> str:
        """What may have been meant by the name of no variable."""
        base, colon, element = name.partition(":")
        if colon and self.look_up(base) is not None:
            return f"the name goes on over the colon; write ${base}\\: to end it"
        if colon and element.isdecimal() and (count := self.look_up(f"{base}:n")) is not None:
            return f"list {base} has {count} elements, counted from 0"
        if len(self.variables) > NAMES_COMPARED_MOST:
            return ""
        close = get_close_matches(name, [*self.locals, *self.variables], 1, 0.75)
        return f"did you mean ${close[0]}?" if close else ""

    # statements

    def begin_slice(self, at: Position) -> None:
        """The run yields SLICE at a statement. Raises BudgetSpent when it is a task's and has used too many."""
        self.at = at
        self.pause_at = self.statements + SLICE_STATEMENTS
        if self.kind is RunKind.TASK and self.statements > TASK_STATEMENTS:
            raise BudgetSpent(f"used more than {TASK_STATEMENTS} statements")

    def fail(self, at: Position, failure: Failure) -> Signal | None:
        """Tell of a statement that failed; the signal for what is around it, None to go on. A task's macro may fail
        at the same line many times a second: the same sentence is told of once a minute."""
        text = f"{failure} ({failure.hint})" if failure.hint else str(failure)
        if self.kind is RunKind.SESSION or self.language.is_news(at, text):
            self.language.complain(self, f"{at}: {text}")
        return self.note_failure(at, text)

    def note_failure(self, at: Position, text: str = "") -> Signal | None:
        """As `fail`, for one that was told of already, or has nothing to say."""
        self.variables["STATUS"] = 0
        message = self.variables.get("ERRORMSG")
        if message and text:
            self.language.complain(self, str(message))
        if not self.auto_break:
            self.failure = None  # a `break` below ended no more than its macro
            return None
        if self.failure is None:
            self.failure = FirstFailure(at, text)
        return Signal.FAILED


def as_text(value: Value) -> str:
    """A value as it is written; `Data` stays what it is."""
    return str(value) if value.__class__ is int else value  # type: ignore[return-value]
