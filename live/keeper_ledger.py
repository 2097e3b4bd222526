"""A keeper's status log, and what may be said only when it is in the log.

The log is handed to the kernel at once, before anything is said of it, so it survives the keeper. It is brought to the
disk only for ends that nobody above has recorded soon: an end is in the scheduler's journal, on a disk, before it is
forgotten here, and that takes a few milliseconds when all is well. So a sync for each end would make it durable twice;
what is at stake meanwhile is that an end of the last `SYNC_NS` before a power loss, of which nobody had heard, is told
as LOST. A thread of its own syncs, so a slow disk delays no start.

Called by `keeper_process.py`; the log's format is `spool.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from live.clock import boottime_ns
from live.keeper_link import Readiness
from live.spool import Begun, Forgotten, Over, StatusLog, StatusRecord, Syncer
from model.job import SECOND, AttemptKey, JobId
from model.keeper import Forget, Keeper, KeeperMessage, Log

GROUP_MAX = 64
GROUP_NS = 2_000_000
"""Ends that wait for company: at most so many, at most so long, and never while nothing else is ready."""
AHEAD_NS = 40_000_000
"""The same while jobs wait here for the end of others: more ends come in a moment, and no slot idles meanwhile. But
they are said before half of what waited here has begun, so that the next ones come in time."""
RIDE_NS = AHEAD_NS // 2
"""After so long they are said by whoever is awake anyway: to wake up costs more than to say it."""
SYNC_NS = SECOND // 10
"""An end that was not forgotten within so long is brought to the disk here."""
RETRY_NS = SECOND
"""A disk that is full or fails is tried again after so long."""


def held_records(machine: Keeper, begun: dict[AttemptKey, Begun]) -> Iterator[StatusRecord]:
    """What the log must say, and no more."""
    for key, attempt in machine.attempts.items():
        if attempt.report is not None:
            yield Over(JobId(key[0]), key[1], attempt.report, attempt.spec)
        elif key in begun:
            yield begun[key]


class Ledger:
    """See the head of this file."""

    def __init__(
        self, log: StatusLog, machine: Keeper, readiness: Readiness, say: Callable[[Sequence[KeeperMessage]], None]
    ) -> None:
        self._log = log
        self._machine = machine
        self._say = say
        self._begun: dict[AttemptKey, Begun] = {}
        self._tells: list[KeeperMessage] = []
        self._ends = 0
        """of the tells, those that are ends"""
        self._since_ns = 0
        """when the first of them came, or when to try again"""
        self._unsynced: dict[AttemptKey, int] = {}
        """ends that are neither on the disk nor forgotten, and when each is to be on the disk; the oldest first"""
        self._syncing: dict[AttemptKey, int] | None = None
        """those that the sync under way brings there"""
        self._syncer = Syncer()
        readiness.watch(self._syncer.descriptor, self._synced)

    @property
    def has_unsaid(self) -> bool:
        return bool(self._tells)

    def next_due(self) -> int | None:
        """When `advance` wants to be called, if nothing happens before (ns)."""
        due = None
        if self._ends:
            due = self._since_ns + (AHEAD_NS if self._machine.waiting else 0)
        if self._unsynced and self._syncing is None:
            sync_ns = next(iter(self._unsynced.values()))
            due = sync_ns if due is None or sync_ns < due else due
        return due

    def begin(self, begun: Begun) -> None:
        self._begun[begun.job, begun.attempt] = begun
        self._log.append(begun)

    def end(self, log: Log) -> None:
        assert log.report is not None
        key = (log.job, log.attempt)
        self._begun.pop(key, None)
        self._log.append(Over(log.job, log.attempt, log.report, log.spec))
        now = boottime_ns()
        if not self._ends:
            self._since_ns = now
        self._ends += 1
        self._unsynced[key] = now + SYNC_NS

    def forget(self, order: Forget) -> None:
        """The end is in the journal of whoever forgets it."""
        self._unsynced.pop((order.job, order.attempt), None)
        if self._syncing is not None:
            self._syncing.pop((order.job, order.attempt), None)
        self._log.append(Forgotten(order.job, order.attempt))

    def tell(self, message: KeeperMessage) -> None:
        self._tells.append(message)

    def write(self) -> None:
        """Raises OSError; nothing is lost then."""
        self._log.write()

    def advance(self, is_idle: bool) -> None:
        """Say what is to be said: ends when nothing else is to be done or enough wait, the rest at once; bring to the
        disk what is due."""
        if self._tells and (not self._ends or self._is_time(is_idle)):
            self._tell_all()
        if self._unsynced and self._syncing is None:
            self._sync_what_is_due()

    def _is_time(self, is_idle: bool) -> bool:
        waited_ns, waiting = boottime_ns() - self._since_ns, self._machine.waiting
        is_late = waited_ns >= (RIDE_NS if waiting else GROUP_NS)
        is_enough = self._ends >= (min(waiting, GROUP_MAX) if waiting else GROUP_MAX)
        return waited_ns >= 0 and (is_late or is_enough or (is_idle and not waiting))

    def _tell_all(self) -> None:
        try:
            self._log.write()
        except OSError:
            self._since_ns = boottime_ns() + RETRY_NS  # a full disk; people hear of it by the starts that fail
            return
        tells, self._tells = self._tells, []
        self._ends = 0
        self._say(tells)

    def _sync_what_is_due(self) -> None:
        now = boottime_ns()
        if now < next(iter(self._unsynced.values())):
            return
        try:
            self._log.write()
        except OSError:
            self._put_off(self._unsynced)
            return
        self._syncing, self._unsynced = self._unsynced, {}
        self._syncer.begin(self._log.descriptor)

    def _put_off(self, ends: dict[AttemptKey, int]) -> None:
        self._unsynced = dict.fromkeys((*ends, *self._unsynced), boottime_ns() + RETRY_NS)

    def _synced(self, _mask: int) -> None:
        assert self._syncing is not None
        ends, self._syncing = self._syncing, None
        if not self._syncer.end():
            self._put_off(ends)

    def tidy(self) -> None:
        """Rewrite a log that has grown long."""
        if self._log.wants_compacting and self._syncing is None:
            try:
                self._log.compact(held_records(self._machine, self._begun))
            except OSError:
                return  # a full disk: the long log goes on
            self._unsynced.clear()

    def close(self) -> None:
        """Everything on the disk; raises OSError."""
        if self._syncing is not None:
            self._syncer.end()
        self._log.sync()
