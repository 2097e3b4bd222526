"""When the journal is compacted: the state of recovery is kept beside it, and said again as a snapshot now and then.

A fold of what was committed grows with the journal, so a snapshot reads nothing; its price is memory for what is
unfinished once more (the specifications are shared with the machines). When records enough have come, the fold stands
still, its parts are written one in each step, and the records that come meanwhile wait in a list; then it takes those.
After that older records are forgotten, and history that is too old, also in steps.

A crash between any two steps loses work only: what counts is the last complete snapshot and what came after its begin.
A full disk does the same: the work is begun again later.

Everything here belongs to the journal's thread (`live/journal_writer.py`), which does steps when it has nothing else to
do. Made by `live/server.py` when recovery is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import structs

from live.clock import monotonic_ns, wall_ns
from live.journal import Journal, JournalFullError
from model import snapshot
from model.job import SECOND
from model.records import Record, SnapshotEnded
from model.restored import Fold

SNAPSHOT_EVERY = 50_000
"""Records from one snapshot to the next at least; a start reads about as many."""
ENTRIES_EACH = 2
"""Entries of a snapshot for each record since the last one at most: where much is unfinished, snapshots are rarer, so
that what is written stays in proportion. An entry is read some ten times faster than a record."""
STORIES_KEPT = 100_000
"""Records before the last snapshot that stay, for the stories of the last jobs (some 20,000)."""
HISTORY_KEPT_NS = 90 * 24 * 3600 * SECOND
"""Rows of the history are kept for so long."""
HISTORY_STEP = 50
"""Rows of the history that one step forgets."""
ROOM_WAIT_NS = 60 * SECOND
"""How long nothing is tried after the disk was full."""


class Compaction:
    """Compacts one journal. `folded` is what recovery read from it; it is not changed by the machines. What scripts had
    is read by their machine before anything of it can change here, and copied."""

    def __init__(self, journal: Journal, folded: Fold) -> None:
        self._journal = journal
        self._fold = folded
        tasks = folded.scheduler.tasks
        for name, task in tasks.items():  # the scheduler keeps those of tasks that it does not know yet
            copied = structs.replace(task, items=dict(task.items), finished=dict(task.finished))
            tasks[name] = structs.replace(copied, openings=dict(task.openings))
        self._held: list[Record] | None = None
        """what came since the begin of the snapshot that is being written"""
        self._work: Iterator[None] | None = self._forget() if journal.snapshot() else None
        self._not_before_ns = 0
        self.snapshots = 0
        """complete ones of this life"""

    def committed(self, records: Iterable[tuple[str, Record]]) -> None:
        """These are on the disk."""
        if self._held is not None:
            self._held.extend(record for _, record in records)
            return
        add = self._fold.add
        for _, record in records:
            add(record)

    @property
    def is_due(self) -> bool:
        """Whether there is something to do."""
        return self._work is not None or self._snapshot_is_due()

    def step(self) -> None:
        """Do the next small piece. Raises JournalBrokenError."""
        if self._work is None:
            self._work = self._compact()
        try:
            next(self._work)
        except StopIteration:
            self._work = None
        except JournalFullError:
            self._work = None
            self._not_before_ns = monotonic_ns() + ROOM_WAIT_NS
            self._release()

    def _snapshot_is_due(self) -> bool:
        since = self._fold.since
        if since < SNAPSHOT_EVERY or monotonic_ns() < self._not_before_ns:
            return False
        return since * ENTRIES_EACH >= snapshot.entries(self._fold.scheduler, self._fold.controller)

    def _compact(self) -> Iterator[None]:
        yield from self._snapshot()
        yield from self._forget()

    def _snapshot(self) -> Iterator[None]:
        self._held = []
        records = snapshot.say(self._fold.scheduler, self._fold.controller)
        begun = self._journal.write_part(next(records))
        for record in records:
            yield
            if isinstance(record, SnapshotEnded):
                self._journal.end_snapshot(record, begun)
            else:
                self._journal.write_part(record)
        self._fold.since = 0
        self._release()
        self.snapshots += 1
        yield

    def _release(self) -> None:
        """The fold goes on, with what has come meanwhile."""
        held, self._held = self._held, None
        for record in held or ():
            self._fold.add(record)

    def _forget(self) -> Iterator[None]:
        while self._journal.forget_records(self._fold.scheduler.jobs, STORIES_KEPT):
            yield
            if self._snapshot_is_due():
                return  # the next snapshot comes first: a start must not have to read ever more
        while self._journal.prune_history(wall_ns() - HISTORY_KEPT_NS, HISTORY_STEP):
            yield
