"""diff and reload: another pipeline file for the server that runs. What differs is found by the server; the file is
checked here first, so that its mistakes are shown as by `validate`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct

from model.errors import ConfigurationError
from shell.session import Session
from shell.wording import duration

LATER = "counts from the next start on"


class Change(Struct, frozen=True):
    """As `model.reloading.Changed`."""

    about: str
    setting: str
    before: str
    after: str
    at_once: bool = True


class Answer(Struct, frozen=True):
    changes: tuple[Change, ...]
    applied: bool


def diff(session: Session, *, file: str, json: bool) -> int:
    """Returns 0 when nothing differs, 1 when something does, as diff does."""
    answer = _ask(session, file, apply=False, limit_ns=None)
    if json:
        session.say_json(answer.changes, "changes")
    else:
        _show(session, answer, "nothing differs")
    return 1 if answer.changes else 0


def reload(session: Session, *, file: str, wait_at_most: int | None) -> int:
    answer = _ask(session, file, apply=True, limit_ns=wait_at_most)
    _show(session, answer, "nothing differs, nothing was changed")
    return 0


def _ask(session: Session, file: str, *, apply: bool, limit_ns: int | None) -> Answer:
    from shell.config import load  # noqa: PLC0415 - slow to import, and only needed here

    path = Path(file)
    if not path.exists():
        raise ConfigurationError(f"there is no file {file}", "laulima diff FILE")
    for warning in load(path).warnings:
        session.note(warning)
    arguments: dict[str, Any] = {"file": str(path.absolute()), "apply": apply}
    return session.ask(arguments, Answer, verb="reload", limit_ns=limit_ns)


def _show(session: Session, answer: Answer, nothing: str) -> None:
    for change in answer.changes:
        if not change.setting:
            session.say(f"{'-' if change.before else '+'} {change.about}")
            continue
        before, after = _shown(change.setting, change.before), _shown(change.setting, change.after)
        later = "" if change.at_once else f"   ({LATER})"
        session.say(f"~ {change.about}: {change.setting.removesuffix('_ns')} {before} -> {after}{later}")
    if not answer.changes:
        session.say(nothing)


def _shown(setting: str, value: str) -> str:
    if setting.endswith("_ns") and value.isdigit():
        return duration(int(value)) if int(value) else "none"
    return value
