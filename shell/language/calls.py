"""What a command of the language is, and what it gets when it runs.

A command is a function of one `Call`. It returns whether it succeeded, or raises `Failure` with a sentence. One that
may wait is a generator function: it yields effects of `model/scripting.py` (through the methods of `Call`) and gets
their answers. Commands are registered in tables (`shell/language/commands/`), which the interpreter, completion and
`validate` all read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from shlex import quote
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct

from model.effects import Answer
from model.errors import LaulimaError
from model.scripting import Execute, Executed, FileUsed, FileVerb, Give, UseFile
from shell.language.tree import Position
from shell.wording import nearest

_OPTION = re.compile(r"-[A-Za-z][\w-]*")

if TYPE_CHECKING:
    from shell.language.language import Language
    from shell.language.runs import Run

Waiting = Generator[Any, Any, bool]
"""What a command that waits returns: yields effects, is sent their answers, returns whether it succeeded."""


class Failure(LaulimaError):  # noqa: N818 - the language's own word for it
    """A statement fails with a sentence for people; the interpreter adds file:line:column."""


class SessionEnds(Exception):  # noqa: N818 - nothing went wrong
    """The session wants to leave with `status` (`quit`): goes through everything that runs, up to the script
    machine.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Data(str):
    """Text that a job wrote (`$stdout`, `$stderr`): one word wherever it is put, never parsed, and quoted where a shell
    line is made.
    """

    __slots__ = ()


class Mixed(Data):
    """A text of which some parts are `Data`: `parts` in order. Only they are opaque where it is put into a line;
    whoever does not look at `parts` takes all of it for what a job wrote, which is safe.
    """

    __slots__ = ("parts",)

    parts: tuple[str, ...]

    def __new__(cls, parts: Iterable[str]) -> Self:
        given = tuple(parts)
        mixed = super().__new__(cls, "".join(given))
        mixed.parts = given
        return mixed


def misused(usage: str, given: Sequence[str], most: int | None = None) -> Failure:
    """The failure of a command with too few or (above `most`) too many arguments: its usage, and what is wrong as far
    as it can be seen."""
    if most is None or len(given) <= most:
        return Failure(f"USAGE: {usage}", hint="a word is missing; a variable that is empty leaves none behind")
    known = _OPTION.findall(usage)
    for word in given:
        if _OPTION.fullmatch(word) and word not in known:
            return Failure(f"USAGE: {usage}", hint=f"there is no option {word}{nearest(word, known)}")
    return Failure(f"USAGE: {usage}", hint="there are too many words; put quotes round a text with blanks")


def shell_text(word: str) -> str:
    """A word as it stands in a shell line: what a job wrote is quoted, everything else is the author's."""
    if isinstance(word, Mixed):
        return "".join([shell_text(part) for part in word.parts])
    return quote(word) if isinstance(word, Data) else word


class Pause(Struct, frozen=True):
    """Wait for `duration_ns`; nothing is answered (None)."""

    duration_ns: int


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `run(call)` gets it done. `waits`: `run` is a generator function.

    `least` and `most` (None: any) count the arguments behind the name, options included, for `validate`. `where`:
    "task" for commands that act on the task being defined or run. `yields`: a macro may have its name, since the
    historical scheduler had no such command and its scripts may have used the word.
    """

    name: str
    run: Callable[[Call], Any]
    usage: str
    summary: str
    waits: bool = False
    least: int = 0
    most: int | None = None
    where: str = ""
    yields: bool = False


class Call:
    """One command being run. `words`: its full name, then its arguments, quotes removed (empty ones dropped)."""

    __slots__ = ("at", "language", "run", "words")

    def __init__(self, language: Language, run: Run, at: Position, words: list[str]) -> None:
        self.language = language
        self.run = run
        self.at = at
        self.words = words

    # what people see

    def say(self, text: str) -> None:
        """A line of the answer, where answers go now (`output`); a newline is added."""
        self.language.say(self.run, text + "\n")

    def complain(self, text: str) -> None:
        """A line on the error stream, with the position."""
        self.language.complain(self.run, f"{self.at}: {text}")

    # variables (locals of the macro first)

    def get(self, name: str) -> str | None:
        """The value of a variable as text; None: there is none."""
        return self.run.get(name)

    def set(self, name: str, value: str | int) -> None:
        """Set a variable: the macro's local one if it has one of this name, else the global."""
        self.run.set(name, value)

    # options

    def flag(self, *names: str) -> bool:
        """Remove a word such as `-uniq` from the arguments; whether it was there."""
        found = False
        for name in names:
            while name in self.words[1:]:
                del self.words[self.words.index(name, 1)]
                found = True
        return found

    def option(self, *names: str) -> str | None:
        """Remove `-key VALUE` from the arguments; the last value, or None. Raises Failure when the value is missing."""
        value = None
        for name in names:
            while name in self.words[1:]:
                place = self.words.index(name, 1)
                if place + 1 >= len(self.words):
                    raise Failure(f"{self.words[0]}: {name} needs a value")
                value = self.words[place + 1]
                del self.words[place : place + 2]
        return value

    def options(self, name: str, count: int) -> list[list[str]]:
        """Remove every `name` with the `count` words behind it; those words, in order."""
        found = []
        while name in self.words[1:]:
            place = self.words.index(name, 1)
            values = self.words[place + 1 : place + 1 + count]
            if len(values) < count:
                raise Failure(f"{self.words[0]}: {name} needs {count} values")
            found.append(values)
            del self.words[place : place + 1 + count]
        return found

    def arguments(self, least: int, most: int | None, usage: str) -> list[str]:
        """What is left behind the name; Failure with the usage when it is too few or too many."""
        given = self.words[1:]
        if len(given) < least or (most is not None and len(given) > most):
            raise misused(usage, given, most)
        return given

    # what takes time (use with `yield from`)

    def path(self, name: str) -> str:
        """`name` as an absolute path, `~` and the session's directory applied."""
        if name.startswith("~"):
            name = (self.get("HOME") or "~") + name[1:]
        return str(PurePosixPath(self.language.directory) / name)

    def execute(self, command: str, timeout_ns: int = 0, *, capture: bool) -> Generator[Any, Any, Executed]:
        """Run a line by the shell."""
        directory = self.language.directory
        answer = yield Execute(self.run.number, self.run.session, command, directory, timeout_ns, capture)
        assert isinstance(answer, Executed)
        return answer

    def use_file(self, verb: FileVerb, path: str, text: str = "") -> Generator[Any, Any, FileUsed]:
        """Work on a file."""
        answer = yield UseFile(self.run.number, verb, self.path(path), text)
        assert isinstance(answer, FileUsed)
        return answer

    def order(self, machine: str, make: Callable[[int], Any]) -> Generator[Any, Any, Answer]:
        """Give an order to "scheduler" or "controller": `make(request)` is its event; the machine's answer."""
        answer = yield Give(machine, self.language.ordered(self.run, make))
        assert isinstance(answer, Answer)
        return answer

    @staticmethod
    def pause(duration_ns: int) -> Generator[Any, Any, None]:
        yield Pause(duration_ns)
