"""One thread that commits: a disk that takes its time to sync holds up nothing but what must wait for it.

Used by `live/loop.py`: one transaction is under way at a time, and the next one takes all that has come meanwhile
(group commit). The journal's connection belongs to this thread from the first `commit` until `close`. Between commits
it compacts the journal in small steps (`live/compaction.py`): in the time in which no batch waits, and so much that it
keeps up with what batches bring, so that a journal that is never idle is compacted, too. What a large batch has brought
is made up for over the next ones: a million jobs that are accepted at once must not hold back the first start.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from live.journal import STEP_ROWS, Journal
from model.records import Record

Batch = Sequence[tuple[str, Record]]

ROWS_OWED = 4
"""Rows to be compacted for each record of a batch before the next one: entries of snapshots
(`compaction.ENTRIES_EACH`), one record to forget, and one more, so that no debt grows."""
GAP_ROWS = 2_500
"""Rows of debt that are worked off while a batch waits: some 20 ms."""
GAP_SHARE = 8
"""Or an eighth of the debt, if that is more: it stays bounded, whatever comes."""


class JournalWriter:
    """Commits batches of records in the order in which they are given. `done(error)` is called in the loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, journal: Journal, done: Callable[[Exception | None], None]
    ) -> None:
        self._loop = loop
        self._journal = journal
        self._done = done
        self._batches: SimpleQueue[Batch | None] = SimpleQueue()
        self._owed = 0
        """rows that are to be compacted although batches wait"""
        self._thread = threading.Thread(target=self._work, name="laulima-journal", daemon=True)
        self._thread.start()

    def commit(self, records: Batch) -> None:
        """Begin; `done` follows."""
        self._batches.put(records)

    def close(self) -> None:
        """End the thread, after the transaction that is under way. `done` is not called any more once this returned and
        the loop is closed."""
        self._batches.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (records := self._batches.get()) is not None:
            error: Exception | None = None
            try:
                self._journal.append(records)
            except Exception as failure:  # noqa: BLE001 - brought to the loop, which knows what to do
                error = failure
            self._loop.call_soon_threadsafe(self._done, error)
            if error is None:
                self._compact(records)

    def _compact(self, records: Batch) -> None:
        compaction = self._journal.compaction
        if compaction is None:
            return
        owed = self._owed + ROWS_OWED * len(records)
        left = owed - min(owed, max(GAP_ROWS, owed // GAP_SHARE))
        try:
            compaction.committed(records)
            while compaction.is_due and (owed > left or self._batches.empty()):
                compaction.step()
                owed -= STEP_ROWS
            self._owed = max(owed, 0) if compaction.is_due else 0
        except Exception as failure:  # noqa: BLE001 - a broken disk or a bug of ours: the loop leaves with it
            self._journal.compaction = None
            self._loop.call_soon_threadsafe(self._done, failure)
