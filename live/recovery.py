"""From the journal to what the machines must know: each record read with the clock of this boot, then the model's fold.

Called by `live/server.py` at its start. What a record means is `model/restored.py`'s; here only times are translated.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from live.clock import boot_id, monotonic_ns, wall_ns
from live.journal import Header, Journal
from model.records import JobAccepted, Record
from model.restored import Fold, fold


def recover(journal: Journal) -> Fold:
    """What was unfinished and what counts, of both nodes. Raises JournalBrokenError."""
    return fold(_in_this_boot(journal))


def _in_this_boot(journal: Journal) -> Iterator[Record]:
    boot, offset_now = boot_id(), monotonic_ns() - wall_ns()
    for header, record in journal.replay():
        if header.boot != boot and type(record) is JobAccepted and record.due_ns:
            yield msgspec.structs.replace(record, due_ns=record.due_ns + _shift_ns(header, offset_now))
        else:
            yield record


def _shift_ns(header: Header, offset_now: int) -> int:
    """What to add to a clock reading of another boot: time away is counted by the wall clock, and is never negative."""
    shift = offset_now - (header.clock_ns - header.wall_ns)
    latest = monotonic_ns() - header.clock_ns
    return min(shift, latest)
