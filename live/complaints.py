"""Complaints for people to read: an agent's log, and how often what strangers do is told at all.

`Complaints` is written to the standard error of `live/agent_program.py`, which its server has turned into `agent.log`.
Its last lines are shown when the agent does not start, so each is a sentence. `Seldom` stands between a door
(`live/listener.py`, `live/control.py`) and whoever shows its complaints, so that nobody outside fills a log.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

from live.clock import boottime_ns, wall_ns
from live.display import clean
from model.job import SECOND

LOG_MAX: Final = 1 << 20
"""Bytes of the log at which the next start sets it aside as `agent.log.1`."""
LINES_MAX: Final = 20
"""Lines in MINUTE_NS; further ones are counted only."""
MINUTE_NS: Final = 60 * SECOND
INTERVAL_NS: Final = 10 * SECOND
"""At one door strangers cause one line in so long a time; what came in between is counted in the next one."""


class Complaints:
    """Writes sentences to a file, with the wall time."""

    def __init__(self, file: TextIO, clock: Callable[[], int] = boottime_ns) -> None:
        self._file = file
        self._clock = clock
        self._minute_ns = clock()
        self._lines = 0
        self._untold = 0

    def say(self, sentence: str) -> None:
        """Write it, or count it when there were too many in this minute."""
        now = self._clock()
        if now - self._minute_ns >= MINUTE_NS:
            if self._untold:
                self._write(f"{self._untold} more lines in the minute before are left out")
            self._minute_ns = now
            self._lines = self._untold = 0
        self._lines += 1
        if self._lines > LINES_MAX:
            self._untold += 1
        else:
            self._write(sentence)

    def _write(self, sentence: str) -> None:
        at = datetime.fromtimestamp(wall_ns() / SECOND, UTC).isoformat(timespec="milliseconds")
        put(self._file, f"{at} {_on_one_line(sentence)}\n")


class Seldom:
    """Passes one sentence of each INTERVAL_NS on to `complain`, with the number of those that were left out before."""

    def __init__(self, complain: Callable[[str], None], clock: Callable[[], int] = boottime_ns) -> None:
        self._complain = complain
        self._clock = clock
        self._quiet_until_ns = 0
        self._untold = 0

    def say(self, sentence: str) -> None:
        now = self._clock()
        if now < self._quiet_until_ns:
            self._untold += 1
            return
        more = f" (after {self._untold} more like it)" if self._untold else ""
        self._quiet_until_ns = now + INTERVAL_NS
        self._untold = 0
        self._complain(sentence + more)


def put(file: TextIO, text: str) -> None:
    """Write this to a log, or as much of it as goes there. Where that is full, the rest is lost: nobody is left to be
    told of it, and what a log says is never worth the life of who writes it.

    Past the buffer of `file`, which keeps what it could not write, and raises again for it when the process ends."""
    try:
        descriptor = file.fileno()
    except (OSError, ValueError):  # none of the system's
        file.write(text)
        return
    data = memoryview(text.encode(file.encoding or "utf-8", "backslashreplace"))
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(descriptor, data) :]


def _on_one_line(sentence: str) -> str:
    """What a peer said may be in it: nothing in the log moves a cursor or hides text."""
    return clean(" ".join(sentence.split()))


def set_aside(log: Path) -> None:
    """Keep a log from growing for ever: called by its one writer's starter, before it is opened."""
    try:
        if log.stat().st_size > LOG_MAX:
            os.replace(log, log.with_name(log.name + ".1"))
    except FileNotFoundError:
        return
