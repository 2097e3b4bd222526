"""A keeper's status log and what may be said only when the log is on the disk.

The log is handed to the kernel at once (so it survives the keeper), and brought to the disk for many ends together, by
a thread that does nothing else: a slow disk delays no start. What the machine tells its agent waits for the ends before
it.

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
"""Ends that wait for the disk: at most so many, at most so long, and never while nothing else is ready."""
AHEAD_NS = 5_000_000
"""The same while jobs wait here for the end of others: more ends come in a moment, and no slot idles meanwhile."""
RETRY_NS = SECOND
"""A full disk is tried again after so long."""


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
        """ends that are not on the disk and that no sync under way will bring there"""
        self._since_ns = 0
        """when the first of them came, or when to try again"""
        self._syncing: list[KeeperMessage] | None = None
        """what may be said when the sync that is under way has worked"""
        self._syncer = Syncer()
        readiness.watch(self._syncer.descriptor, self._synced)

    @property
    def has_unsaid(self) -> bool:
        return bool(self._tells or self._syncing)

    @property
    def retry_ns(self) -> int | None:
        """When to look again at ends that wait for others, or that a full disk did not take."""
        if not self._ends or self._syncing is not None:
            return None
        return self._since_ns + (AHEAD_NS if self._machine.any_waiting else 0)

    def begin(self, begun: Begun) -> None:
        self._begun[begun.job, begun.attempt] = begun
        self._log.append(begun)

    def end(self, log: Log) -> None:
        assert log.report is not None
        self._begun.pop((log.job, log.attempt), None)
        self._log.append(Over(log.job, log.attempt, log.report, log.spec))
        if not self._ends:
            self._since_ns = boottime_ns()
        self._ends += 1

    def forget(self, order: Forget) -> None:
        self._log.append(Forgotten(order.job, order.attempt))

    def tell(self, message: KeeperMessage) -> None:
        self._tells.append(message)

    def write(self) -> None:
        """Raises OSError; nothing is lost then."""
        self._log.write()

    def advance(self, is_idle: bool) -> None:
        """Bring ends to the disk when nothing else is to be done or enough wait; say what need not wait."""
        if self._syncing is not None:
            return
        if not self._ends:
            if self._tells:
                tells, self._tells = self._tells, []
                self._say(tells)
            return
        waited_ns = boottime_ns() - self._since_ns
        ahead = self._machine.any_waiting
        is_time = waited_ns >= (AHEAD_NS if ahead else GROUP_NS) or (is_idle and not ahead)
        if waited_ns >= 0 and (is_time or self._ends >= GROUP_MAX):
            self._sync()

    def _sync(self) -> None:
        try:
            self._log.write()
        except OSError:
            self._since_ns = boottime_ns() + RETRY_NS  # a full disk; people hear of it by the starts that fail
            return
        self._syncing, self._tells = self._tells, []
        self._ends = 0
        self._syncer.begin(self._log.descriptor)

    def _synced(self, _mask: int) -> None:
        assert self._syncing is not None
        said, self._syncing = self._syncing, None
        if self._syncer.end():
            self._say(said)
            return
        self._tells[:0] = said
        self._ends += 1
        self._since_ns = boottime_ns() + RETRY_NS

    def tidy(self) -> None:
        """Rewrite a log that has grown long."""
        if self._log.wants_compacting and self._syncing is None:
            try:
                self._log.compact(held_records(self._machine, self._begun))
            except OSError:
                return  # a full disk: the long log goes on

    def close(self) -> None:
        """Everything on the disk; raises OSError."""
        if self._syncing is not None:
            self._syncer.end()
        self._log.sync()
