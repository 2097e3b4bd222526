"""The command date: what time it is, as text or as seconds. Reads only the time that the machine was told."""

from __future__ import annotations

import time
from decimal import Decimal, InvalidOperation

from model.job import SECOND
from shell.language.calls import Call, Command, Failure
from shell.language.commands.text import answer

_LATEST_SECONDS = 10**12
"""Reference times farther from 1970 than this (31,000 years) are mistakes."""

_DATE = "date [-var NAME] [-seconds] [-reftime T]"


def _date(call: Call) -> bool:
    variable = call.option("-var")
    reference = call.option("-reftime")
    seconds = call.flag("-seconds")
    call.arguments(0, 0, _DATE)
    now = call.language.wall_ns()
    if not seconds and reference is None:
        # asctime is C's fixed English form, whatever the locale: `Thu Nov  5 02:14:05 2026`
        return answer(call, variable, time.asctime(time.localtime(now // SECOND)))
    since = now - (0 if reference is None else _nanoseconds(reference))
    sign = "-" if since < 0 else ""
    # in whole numbers: a double has no room for microseconds beside nanoseconds since 1970
    microseconds = (abs(since) + 500) // 1000
    return answer(call, variable, f"{sign}{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}")


def _nanoseconds(word: str) -> int:
    try:
        value = Decimal(word)
    except InvalidOperation:
        raise Failure(
            f"date: -reftime wants seconds since 1970, not {word}", hint="take it from: date -var T -seconds"
        ) from None
    # `abs` of a huge number would overflow
    if not value.is_finite() or not -_LATEST_SECONDS <= value <= _LATEST_SECONDS:
        raise Failure(f"date: -reftime {word} is no time")
    return int(value * SECOND)


COMMANDS = (
    Command(
        "date",
        _date,
        _DATE,
        "the local time as text; -seconds: since 1970, with microseconds; -reftime T: since T, in seconds",
        least=0,
        most=5,
    ),
)
