"""diff, reload and set: another pipeline file for the server that runs, or the same one with another value. What
differs is found by the server; a file is checked here first, so that its mistakes are shown as by `validate`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from model.errors import ConfigurationError
from model.remembered import Setting
from model.views import SCHEMA, Status
from shell.selections import UsageError
from shell.session import Session, now_ns
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
    """`settings`: what is laid over the file; of a reload: what was."""

    changes: tuple[Change, ...]
    applied: bool
    settings: tuple[Setting, ...] = ()


def diff(session: Session, *, file: str | None, json: bool) -> int:
    """Returns 0 when nothing differs, 1 when something does, as diff does."""
    file = file or _file_here(session)
    answer = _ask(session, file, apply=False, limit_ns=None)
    if json:
        session.say_json({"schema": SCHEMA, "changes": answer.changes, "settings": answer.settings})
    else:
        _show(session, answer, "" if answer.settings else "nothing differs")
        _show_settings(session, answer.settings, Path(file))
    return 1 if answer.changes or answer.settings else 0


def reload(session: Session, *, file: str | None, wait_at_most: int | None) -> int:
    file = file or _file_here(session)
    answer = _ask(session, file, apply=True, limit_ns=wait_at_most)
    _show(session, answer, "" if answer.settings else "nothing differs, nothing was changed")
    if answer.settings:
        session.say("what was set does not count any more; the file does:")
        _show_settings(session, answer.settings, Path(file))
    return 0


def set_values(
    session: Session, *, settings: Sequence[str], unset: Sequence[str], reason: str, wait_at_most: int | None
) -> int:
    """Lay values over the file, or take them away; without any: what is laid over it."""
    for text in settings:
        if not re.fullmatch(r"[^=\s]+\s*=\s*\S(.|\n)*", text):
            raise UsageError(f"{text!r} sets nothing", "KEY=VALUE, as in laulima set tasks.warp.limits.in_flight=4")
    said = {"settings": list(settings), "unset": list(unset), "reason": reason}
    answer = session.ask(said, Answer, limit_ns=wait_at_most)
    if settings or unset:
        _show(session, answer, "that is so already")
    elif answer.settings:
        _show_settings(session, answer.settings, Path(_file_here(session)))
    else:
        session.note("nothing is set: all is as the file says")
    return 0


def _file_here(session: Session) -> str:
    """The file of the server that runs."""
    return session.ask({}, Status, verb="status").configuration


def _show_settings(session: Session, settings: Sequence[Setting], file: Path) -> None:
    if settings:
        from shell.commands.check import setting_text  # noqa: PLC0415 - reads the file, which takes long to import
        from shell.config.places import Places  # noqa: PLC0415

        places = Places(file)
        for each in settings:
            session.say(f"= {setting_text(each, places.value(each.key), file.name, now_ns())}")


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
    if not answer.changes and nothing:
        session.say(nothing)


def _shown(setting: str, value: str) -> str:
    if setting.endswith("_ns") and value.isdigit():
        return duration(int(value)) if int(value) else "none"
    return value
