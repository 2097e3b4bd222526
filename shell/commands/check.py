"""`laulima check`: all about one job, task or host: its state and why, what is so, what its file says and on which
line, what is set over that, its last events. The server knows most of it; the file is read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from model.remembered import Setting
from model.views import CheckView
from shell.commands.reads import about_each, explanation_lines
from shell.config.places import Place, Places
from shell.session import Session, now_ns
from shell.wording import clean, clock, cut

VALUE_MAX, WIDE = 40, 10_000
"""Columns of one value of the file, and of one with --wide."""


def check(session: Session, *, words: Sequence[str], wide: bool, json: bool) -> int:
    found = about_each(session, words, CheckView)
    if json:
        return session.say_json(found[0]) if len(found) == 1 else session.say_json(found, "check")
    file, most = Places(Path(found[0].file)), WIDE if wide else VALUE_MAX
    session.say("\n\n".join("\n".join(check_lines(shown, file, now_ns(), most)) for shown in found))
    return 0


def check_lines(shown: CheckView, file: Places, now: int, most: int) -> list[str]:
    """What people are shown; `file` is the configuration's; `most`: columns of one of its values."""
    places = file.host(shown.name) if shown.about == "host" else file.task(shown.task or shown.name)
    lines = explanation_lines(shown.explanation, story=False)
    width = max(map(len, shown.facts), default=0)
    lines += ["what is so:", *(f"  {name:{width}}  {clean(text)}" for name, text in shown.facts.items())]
    name = Path(shown.file).name
    if places:
        what = f"task {shown.task}" if shown.about == "job" else f"{shown.about} {shown.name}"
        lines.append(f"what {name}:{places[0].line} says of {clean(what)}:")
        lines += _file_lines(places[1:], name, most)
    lines += [f"  set: {setting_text(each, file.value(each.key), name, now)}" for each in shown.settings]
    if shown.events:
        lines += ["last events:", *(f"  {clock(event.at, now)}  {clean(event.text)}" for event in shown.events)]
    return lines


def _file_lines(places: Sequence[Place], name: str, most: int) -> list[str]:
    values = [cut(clean(place.value), most) for place in places]
    keys, texts = max((len(place.key) for place in places), default=0), max(map(len, values), default=0)
    return [
        f"  {place.key:{keys}}  {value:{texts}}  {name}:{place.line}"
        for place, value in zip(places, values, strict=True)
    ]


def setting_text(setting: Setting, place: Place | None, name: str, now: int) -> str:
    """A value that a person has laid over the file, who and when, and what the file says."""
    says = f"{name}:{place.line} says {clean(place.value)}" if place is not None else f"{name} says nothing of it"
    who = f"set by {clean(setting.by)} at {clock(setting.at_ns, now)}"
    return f"{clean(setting.key)}={clean(setting.value)}   {who}; {says}"
