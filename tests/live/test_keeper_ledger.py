"""Goal: an end is in the log before it is told; ends travel in company; the disk is asked for those that nobody above
has recorded in time, and for no others; a disk that is full or fails loses none.
Method: a real log, and a disk whose syncs end when the test says so."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from live import keeper_ledger
from live.keeper_ledger import AHEAD_NS, GROUP_MAX, GROUP_NS, RETRY_NS, RIDE_NS, SYNC_NS, Ledger
from live.keeper_link import Readiness
from live.spool import StatusLog, read_log
from model.job import JobId, JobSpec, Outcome, Report
from model.keeper import Exited, Forget, Keeper, KeeperMessage, Log, Running, Start

REPORT = Report(Outcome.EXITED, 0, started=True)
SPEC = JobSpec("test", command=("x",))


class FullLog(StatusLog):
    """A log on a disk that may be full."""

    is_full = False

    def write(self) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write()


class Scene:
    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1
        self.said: list[KeeperMessage] = []
        self.syncs = 0
        self.works = True
        monkeypatch.setattr(keeper_ledger, "boottime_ns", lambda: self.now)
        self.path = path / "log"
        self.log = FullLog(self.path, [])
        self.machine = Keeper(0)
        self.ledger = Ledger(self.log, self.machine, Readiness(), self._say)
        self.ledger._syncer = self  # type: ignore[assignment]

    def _say(self, messages: Sequence[KeeperMessage]) -> None:
        for message in messages:
            if isinstance(message, Exited):
                assert (message.job, message.attempt) in read_log(self.path).ended, "told, and not in the log"
        self.said += messages

    def begin(self, file: int) -> None:
        self.syncs += 1

    def end(self) -> bool:
        return self.works

    def end_of(self, job: int) -> Exited:
        message = Exited(JobId(job), 1, REPORT)
        self.ledger.end(Log(JobId(job), 1, REPORT, SPEC))
        self.ledger.tell(message)
        return message

    def after(self, duration_ns: int) -> None:
        self.now += duration_ns
        self.ledger.advance(is_idle=True)

    def sync_is_over(self) -> None:
        self.ledger._synced(1)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


def test_an_end_is_told_when_it_is_in_the_log(scene: Scene) -> None:
    message = scene.end_of(1)
    assert scene.said == []
    scene.ledger.advance(is_idle=True)
    assert scene.said == [message]


def test_an_end_that_is_recorded_above_in_time_asks_nothing_of_the_disk(scene: Scene) -> None:
    scene.end_of(1)
    scene.after(SYNC_NS - 1)
    scene.ledger.forget(Forget(JobId(1), 1))
    assert scene.ledger.next_due() is None
    scene.after(10 * SYNC_NS)
    assert scene.syncs == 0


def test_an_end_that_nobody_has_recorded_in_time_is_brought_to_the_disk_with_those_after_it(scene: Scene) -> None:
    scene.end_of(1)
    scene.end_of(2)
    scene.ledger.advance(is_idle=True)
    assert scene.ledger.next_due() == scene.now + SYNC_NS
    scene.after(SYNC_NS - 1)
    scene.end_of(3)
    assert scene.syncs == 0
    scene.after(1)
    assert scene.syncs == 1
    scene.sync_is_over()
    scene.after(10 * SYNC_NS)
    assert scene.syncs == 1


def test_an_end_that_comes_during_a_sync_is_of_the_next_one(scene: Scene) -> None:
    scene.end_of(1)
    scene.after(SYNC_NS)
    second = scene.end_of(2)
    scene.after(SYNC_NS)
    assert scene.syncs == 1
    assert scene.said[-1] == second, "a disk that takes its time keeps nothing from being told"
    scene.sync_is_over()
    scene.after(0)
    assert scene.syncs == 2


def test_a_sync_that_failed_is_tried_again_for_what_was_not_forgotten_meanwhile(scene: Scene) -> None:
    scene.end_of(1)
    scene.end_of(2)
    scene.works = False
    scene.after(SYNC_NS)
    scene.ledger.forget(Forget(JobId(1), 1))
    scene.sync_is_over()
    assert scene.ledger.next_due() == scene.now + RETRY_NS
    scene.after(RETRY_NS - 1)
    assert scene.syncs == 1
    scene.after(1)
    assert scene.syncs == 2
    scene.ledger.forget(Forget(JobId(2), 1))
    scene.sync_is_over()
    assert scene.ledger.next_due() is None


def test_what_needs_no_log_is_told_at_once_but_never_before_an_earlier_end(scene: Scene) -> None:
    first, second = Running(JobId(1), 1, 5), Running(JobId(2), 1, 5)
    scene.ledger.tell(first)
    scene.ledger.advance(is_idle=False)
    assert scene.said == [first]
    end = scene.end_of(1)
    scene.ledger.tell(second)
    scene.ledger.advance(is_idle=False)
    assert scene.said == [first]
    scene.ledger.advance(is_idle=True)
    assert scene.said == [first, end, second]


def test_ends_travel_in_company_while_there_is_other_work(scene: Scene) -> None:
    for job in range(1, GROUP_MAX):
        scene.end_of(job)
        scene.ledger.advance(is_idle=False)
    assert scene.said == []
    scene.end_of(GROUP_MAX)
    scene.ledger.advance(is_idle=False)
    assert len(scene.said) == GROUP_MAX
    late = scene.end_of(GROUP_MAX + 1)
    scene.now += GROUP_NS
    scene.ledger.advance(is_idle=False)
    assert scene.said[-1] == late


def test_ends_wait_for_company_while_other_jobs_wait_behind_them(scene: Scene) -> None:
    """No slot idles meanwhile. They leave when half of those have begun, or with whatever wakes the keeper, or late."""
    for job in range(100, 104):
        after = None if job == 100 else (JobId(job - 1), 1)
        scene.machine.receive(Start(JobId(job), 1, SPEC, after), 0)
    assert scene.machine.waiting == 3
    first = scene.end_of(1)
    scene.ledger.advance(is_idle=True)
    assert scene.said == []
    assert scene.ledger.next_due() == scene.now + AHEAD_NS
    scene.now += RIDE_NS - 1
    scene.ledger.advance(is_idle=True)
    assert scene.said == []
    scene.now += 1
    scene.ledger.advance(is_idle=True)
    assert scene.said == [first]
    for job in range(2, 5):
        assert len(scene.said) == 1
        scene.end_of(job)
        scene.ledger.advance(is_idle=True)
    assert len(scene.said) == 4


def test_what_a_full_disk_did_not_take_is_tried_again_and_told_then(scene: Scene) -> None:
    message = scene.end_of(1)
    scene.log.is_full = True
    scene.ledger.advance(is_idle=True)
    scene.ledger.advance(is_idle=True)
    assert scene.said == []
    scene.log.is_full = False
    scene.ledger.advance(is_idle=True)
    assert scene.said == [], "a full disk is left alone for a moment"
    scene.after(RETRY_NS)
    assert scene.said == [message]
