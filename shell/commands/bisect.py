"""`laulima bisect A.jsonl B.jsonl`: the first event in which two runs differ, with what led to it.

The logs are those of `laulima sim --log`; finding is `sim/comparing.py`, here is what a person reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from shell.file_errors import unreadable
from shell.session import Session
from shell.wording import clean, count, cut
from sim.comparing import Event, Parting, part
from sim.log import Line

TEXT_MAX = 160
"""Columns of one value."""


def bisect(session: Session, *, first: str, second: str, json: bool) -> int:
    """Exit code 0: the same run; 1: they differ."""
    try:
        found = part(Path(first), Path(second))
    except OSError as error:
        hint = "an event log is made by: laulima sim FILE --log a.jsonl"
        raise unreadable(error.filename or first, error, hint) from error
    if json:
        session.say_json({"schema": 1, "differ": found.differ, "parting": msgspec.to_builtins(found)})
    else:
        for line in lines_of(found, first, second):
            session.say(line)
    return 1 if found.differ or found.headers else 0


def lines_of(found: Parting, first: str, second: str) -> list[str]:
    """The answer for a person."""
    lines = [f"their headers differ: {'; '.join(clean(text) for text in found.headers)}"] if found.headers else []
    if not found.differ:
        return [*lines, f"the same: {count(found.equal, 'event')} after the header"]
    lines.append(f"the same for {count(found.equal, 'event')}, then they part")
    if found.before:
        lines += ["", "before that, in both:"]
        lines += [f"  {event_text(event)}" for event in found.before]
    lines += ["", f"{clean(first)}:", f"  {_or_end(found.first)}", f"{clean(second)}:", f"  {_or_end(found.second)}"]
    lines += _fields(found)
    if found.story:
        lines += ["", "the job's last events, in both:"]
        lines += [f"  {event_text(event)}" for event in found.story]
    return lines


def _or_end(event: Event | None) -> str:
    return "has ended" if event is None else event_text(event)


def event_text(event: Event) -> str:
    """`line 1203  00:12:03.2004  scheduler  commit  record=[...]`."""
    told = msgspec.to_builtins(event.line)
    kind, moment, node = told.pop("event"), told.pop("t", 0), told.pop("node", "")
    rest = "  ".join(f"{name}={_value(value)}" for name, value in told.items())
    return clean("  ".join(part for part in (f"line {event.number}", clock_text(moment), node, kind, rest) if part))


def clock_text(t_ns: int) -> str:
    """Time since the start, exact: `1d 02:03:04.000250`."""
    seconds, rest = divmod(t_ns, 10**9)
    days, seconds = divmod(seconds, 86400)
    text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return (f"{days}d " if days else "") + text + fraction


def _value(value: object) -> str:
    return cut(value if isinstance(value, str) else msgspec.json.encode(value).decode(), TEXT_MAX)


def _fields(found: Parting) -> list[str]:
    """In which fields two events of one kind differ."""
    if found.first is None or found.second is None or type(found.first.line) is not type(found.second.line):
        return []
    one, other = _flat(found.first.line), _flat(found.second.line)
    names = [name for name in dict.fromkeys([*one, *other]) if one.get(name) != other.get(name)]
    pairs = [f"{clean(name)}: {_value(one.get(name))} and {_value(other.get(name))}" for name in names]
    return [f"they differ in {', '.join(pairs)}"]


def _flat(line: Line) -> dict[str, object]:
    """The fields of a line; of a record its own; those of what a field holds by its name and theirs (`spec.slots`), for
    a whole specification is longer than anybody is shown."""
    told = {"t": clock_text(getattr(line, "t", 0))}
    record = getattr(line, "record", None)
    if record is not None:
        told["record"] = type(record).__name__
    return told | {name: value for name, value in _leaves(line, "") if name not in told}


def _leaves(held: Struct, prefix: str) -> Iterator[tuple[str, object]]:
    for name in held.__struct_fields__:
        value = getattr(held, name)
        if isinstance(value, Struct):
            yield from _leaves(value, "" if not prefix and name == "record" else f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", msgspec.to_builtins(value)
