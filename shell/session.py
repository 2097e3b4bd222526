"""What a command is given: where the server is, how wide and colourful the answer may be, where it goes.

Made by `main.py` for each command line; the prompt makes one for each line. Answers go to `say` (stdout), everything
else to `note` (stderr).
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from model.errors import NotReachableError
from model.views import SCHEMA
from shell.client import READ_S, Client, RefusedError
from shell.tables import Style

T = TypeVar("T")

_OF_TASKS = "what there is, and in which state: laulima tasks"
_OF_JOBS = "in which state it is, and why: laulima jobs, laulima explain JOB"
WAYS_OUT = {
    "host": "what there is, and in which state: laulima hosts",
    "hold": "what there is, and in which state: laulima tasks, laulima jobs",
    "release": "what there is, and in which state: laulima tasks, laulima jobs",
    "flush": _OF_TASKS,
    "delete_task": _OF_TASKS,
    "kill": _OF_JOBS,
    "delete": _OF_JOBS,
    "retry": _OF_JOBS,
}
"""Verb -> where to look after a refusal of a machine, which knows no commands."""

PIPED_COLUMNS = 80
"""Width when stdout is no terminal and COLUMNS says nothing."""
COLUMNS_MIN = 40
"""A narrower terminal is treated as this wide: below it, no table can be read."""


class Session:
    """One command line's surroundings. `verb` is the name under which it was called."""

    def __init__(self, verb: str, state: str | None = None) -> None:
        self.verb = verb
        self._state = state

    def state(self) -> Path:
        """The state directory meant. Raises `NotReachableError` when there is none."""
        from live.state_directory import find_state  # noqa: PLC0415 - only commands that need a server pay for it

        found = find_state(self._state)
        if found is None:
            raise NotReachableError(
                "no server is running here: there is no .laulima in this directory or above it",
                "start one: laulima run pipeline.yaml --detach; or name its state directory: --state DIR",
            )
        return found

    def state_given(self) -> Path | None:
        """The state directory that was said with --state."""
        return Path(self._state).absolute() if self._state else None

    def state_to_make(self) -> Path:
        """The state directory of a server that is to be started."""
        from live.state_directory import state_to_make  # noqa: PLC0415

        return state_to_make(self._state)

    def client(self) -> Client:
        return Client(self.state())

    def ask(self, arguments: dict[str, Any], answer: type[T], *, verb: str = "", limit_ns: int | None = None) -> T:
        """One question on a connection of its own. `limit_ns`: the longest wait; None: a read's limit."""
        with self.client() as client:
            limit_s = READ_S if limit_ns is None else limit_ns / 1e9
            return client.ask(verb or self.verb, arguments, answer, limit_s)

    def change(self, arguments: dict[str, Any], wait_at_most: int | None, *, verb: str = "") -> int:
        """Ask for a change and print what the server says that it did."""
        try:
            done = self.ask(arguments, dict[str, Any], verb=verb, limit_ns=wait_at_most)
        except RefusedError as error:
            error.hint = error.hint or WAYS_OUT.get(verb or self.verb, "")
            raise
        self.say(str(done.get("text") or "done"))
        return 0

    def say(self, text: str) -> None:
        """A part of the answer."""
        sys.stdout.write(text + "\n")

    def note(self, text: str) -> None:
        """Something that is not the answer."""
        sys.stdout.flush()
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def say_json(self, answer: object, name: str = "") -> int:
        """The answer as JSON on one line; lists stand under `name`, beside the schema's version."""
        whole = {"schema": SCHEMA, name: answer} if name else answer
        sys.stdout.flush()
        self.say(msgspec.json.encode(whole).decode())
        return 0

    def style(self, *, wide: bool = False) -> Style:
        return Style(0 if wide else columns(), colour=is_colourful(), ellipsis="…" if _is_unicode() else "...")


def now_ns() -> int:
    """Wall time, to word the server's wall times as `12 s ago`; display only."""
    return time.time_ns()


def is_terminal() -> bool:
    return sys.stdout.isatty()


def columns() -> int:
    if not is_terminal() and "COLUMNS" not in os.environ:
        return PIPED_COLUMNS
    return max(COLUMNS_MIN, shutil.get_terminal_size((PIPED_COLUMNS, 24)).columns)


def is_colourful() -> bool:
    """https://no-color.org: any value of NO_COLOR says no; and so does a terminal that cannot."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def _is_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
