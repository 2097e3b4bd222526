"""What people expect of a rehearsal, as lines: `p95_pending < 10min`, `lost == 0`, `tasks.warp.p95_wait < 5min`.

`parse_expectation` reads one line of a scenario's `expect:` list (`shell/config/scenario.py`); `expectation_lines`
shows what held and what not. The names of figures are those of `sim/figures.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from shell.durations import parse_duration
from shell.tables import Column, Style, table
from shell.wording import clean, count, cut, measured, nearest, number_text, share_text, thousands
from sim.expectations import Judged
from sim.figures import HOSTS, SCHEDULERS, TASKS, Unit, UnknownFigureError, find, split
from sim.scenario import Comparison, Wanted

_LINE = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*(==|>=|<=|>|<)\s*(\S.*?)\s*")
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")
_RATE = re.compile(r"(\S+?)\s*/\s*(s|min|h|d)")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_MINUTES = re.compile(r"(?<=[0-9])\s*min\b")
SHARE_MOST = {"offered_load": 10.0}
"""A limit of a share above 1 was meant in per cent, but of these: `lost_work < 5` would hold whatever is lost."""
UNDEFINED = "undefined"
"""A figure of which no job of the run tells."""
EXAMPLE = "as in p95_wait < 10m, lost == 0 or tasks.warp.p95_wait < 5m"


class ExpectedLine(Struct, frozen=True):
    """One row of the table, as `--json` gives it."""

    expected: str
    found: str
    holds: bool


def parse_expectation(
    text: str, tasks: Sequence[str] | None, hosts: Sequence[str] | None, schedulers: Sequence[str] = ()
) -> Wanted:
    """One line. `tasks`, `hosts`: those that there are; None: nobody can know. `schedulers`: those that use one
    controller together. Raises `ValueError` with a sentence."""
    match = _LINE.fullmatch(text)
    if match is None:
        raise ValueError(f'expects a figure, a comparison and a limit, {EXAMPLE}, not "{cut(clean(text), 60)}"')
    name, comparison, limit = match.groups()
    try:
        figure = find(name)
    except UnknownFigureError as error:
        guess = nearest(error.name, list(error.near))
        known = "" if guess else f"; for example {', '.join(list(error.near)[:6])} (all: laulima docs expect)"
        raise ValueError(f"{error}{guess or known}") from None
    group, owner, _ = split(name)
    for word, what, there in ((TASKS, "task", tasks), (HOSTS, "host", hosts), (SCHEDULERS, "scheduler", schedulers)):
        if group == word and there is not None and owner not in there:
            raise ValueError(f"{name}: there is no {what} {owner}{nearest(owner, list(there))}")
    try:
        value = parse_limit(limit, figure.unit)
        if (
            figure.unit is Unit.SHARE
            and not limit.endswith("%")
            and value > SHARE_MOST.get(name.rpartition(".")[2], 1.0)
        ):
            raise ValueError(f"{limit} of all is {figure_text(value, Unit.SHARE)}; for per cent write {limit} %")
        return Wanted(name, Comparison(comparison), value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def parse_limit(text: str, unit: Unit) -> float:
    """`10min` for a time, `5 %` or `0.05` for a share, `60/h` for a rate (without a unit: a second), else a number.

    Raises `ValueError`."""
    if unit is Unit.TIME:
        return parse_duration(_MINUTES.sub("m", text))
    per_cent = unit is Unit.SHARE and text.endswith("%")
    number = text.removesuffix("%").strip() if per_cent else text
    seconds = 1
    if unit is Unit.RATE and (rate := _RATE.fullmatch(text)) is not None:
        number, seconds = rate[1], _SECONDS[rate[2]]
    if not _NUMBER.fullmatch(number):
        what = {Unit.SHARE: "a share such as 5 % or 0.05", Unit.RATE: "a rate such as 60/h"}.get(unit, "a number")
        raise ValueError(f'expects {what}, not "{cut(clean(text), 40)}"')
    if unit is Unit.COUNT and "." in number:
        raise ValueError(f"expects a whole number, not {number}")
    return float(number) / 100 if per_cent else float(number) / seconds


def figure_text(value: float | None, unit: Unit, undefined: str = "-") -> str:
    """A figure for a person."""
    if value is None:
        return undefined
    match unit:
        case Unit.TIME:
            return measured(value)
        case Unit.SHARE:
            return share_text(value, ".4g")
        case Unit.COUNT:
            return thousands(int(value)) if value == int(value) else number_text(value)
        case Unit.RATE:
            return f"{number_text(value * 3600)}/h"
        case Unit.NUMBER:
            return number_text(value)


def expected_line(judged: Judged) -> ExpectedLine:
    """In words."""
    unit = Unit(judged.unit)
    limit = figure_text(judged.limit, unit)
    return ExpectedLine(f"{judged.expected} {limit}", figure_text(judged.found, unit, UNDEFINED), judged.held)


def expectation_lines(rows: Sequence[ExpectedLine], style: Style) -> list[str]:
    """The table, with a line that sums it up; nothing expected: no lines."""
    if not rows:
        return []
    unmet = sum(not row.holds for row in rows)
    verdict = f"{count(unmet, 'expectation')} of {len(rows)} not met" if unmet else "every expectation was met"
    return [f"expected   {verdict}", *table(_COLUMNS, rows, 0, style)]


_COLUMNS: tuple[Column[ExpectedLine], ...] = (
    Column("EXPECTED", lambda row, _: row.expected, most=60),
    Column("FOUND", lambda row, _: row.found, right=True),
    Column("HOLDS", lambda row, _: "yes" if row.holds else "NO"),
)
