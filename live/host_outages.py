"""When hosts were away, as a history tells it: from notices about them, and from what was heard of them.

A notice says when a host went (`down`, `silent`), also when a try failed, and when it was tried again (`connecting`),
not that it is back: that is seen from the first start or end of an attempt that was heard of it, and then the last try
was the one that did not fail. Called by `live/past.py`; `shell/past_jobs.py` makes faults of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

from msgspec import Struct

from live.outward import ABOUT_HOST
from model.job import LOCAL, SECOND
from model.records import NoticeHeard

TRY_NS: Final = 60 * SECOND
"""A host that goes again within so long after it was tried was never back."""
LOSS_NS: Final = 120 * SECOND
"""The loss of what ran there is known so long after the host is back at the latest: a lease later."""


class Outage(Struct, frozen=True):
    """A host is away. Wall times, ns. `end_at` None: it still is. `lost`: it lost what ran there."""

    host: str
    begin_at: int
    end_at: int | None
    silent: bool = False
    """it did not answer: it went earlier than this was noticed"""
    lost: bool = False
    noticed: bool = True
    """False: only the loss of what ran there says it, which is known a lease later"""


class HeardOf(Struct, frozen=True):
    """An attempt that was heard of: its host, and when (wall times, ns). `ended_at` None: it runs. `lost`: its end was
    not heard, but found out."""

    host: str
    started_at: int
    ended_at: int | None = None
    lost: bool = False


class _Sign(Enum):
    """What is heard of a host. Their order counts for signs of one instant."""

    GONE = 0
    SILENT = 1
    FOUND_OUT = 2
    """what ran there is lost"""
    TRIED = 3
    HEARD = 4


_Event = tuple[int, int]
"""(wall time, the value of a sign)"""


def outages(notices: Iterable[tuple[int, NoticeHeard]], attempts: Iterable[HeardOf]) -> list[Outage]:
    """All of them, by their beginning. Where nobody noticed that a host went, the loss of an attempt says it."""
    heard: dict[str, list[_Event]] = {}
    for at, notice in notices:
        sign = _sign(notice)
        if sign is not None:
            heard.setdefault(notice.about.removeprefix(ABOUT_HOST), []).append((at, sign.value))
    noticed = bool(heard)
    losses: dict[str, list[tuple[int, int]]] = {}
    for one in attempts:
        if one.host in ("", LOCAL):
            continue
        events = heard.setdefault(one.host, [])
        events.append((one.started_at, _Sign.HEARD.value))
        if one.ended_at is None:
            continue
        if not one.lost:
            events.append((one.ended_at, _Sign.HEARD.value))
            continue
        losses.setdefault(one.host, []).append((one.started_at, one.ended_at))
        if not noticed:
            events.append((one.ended_at, _Sign.FOUND_OUT.value))
    found = [
        outage for host, events in heard.items() for outage in _of_host(host, sorted(events), losses.get(host, []))
    ]
    return sorted(found, key=lambda outage: (outage.begin_at, outage.host))


def _sign(notice: NoticeHeard) -> _Sign | None:
    if not notice.about.startswith(ABOUT_HOST):
        return None
    state = notice.text.partition(":")[0]
    return {"down": _Sign.GONE, "silent": _Sign.SILENT, "connecting": _Sign.TRIED}.get(state)


def _of_host(host: str, events: list[_Event], losses: list[tuple[int, int]]) -> list[Outage]:
    found: list[Outage] = []
    since_at = tried_at = 0
    away = silent = False
    noticed = True

    def close(end_at: int | None) -> None:
        latest = end_at if end_at is None else end_at + LOSS_NS
        lost = any(start <= since_at <= end and (latest is None or end <= latest) for start, end in losses)
        found.append(Outage(host, since_at, end_at, silent, lost, noticed))

    for at, value in events:
        sign = _Sign(value)
        if sign is _Sign.TRIED:
            tried_at = at
        elif sign is _Sign.HEARD:
            if away:
                close(tried_at or at)
            away = False
        else:
            if away and tried_at and at - tried_at > TRY_NS:
                close(tried_at)
                away = False
            if not away:
                away, since_at = True, at
                silent, noticed = sign is _Sign.SILENT, sign is not _Sign.FOUND_OUT
            tried_at = 0
    if away:
        close(tried_at or None)
    return found
