"""Goal: an end is on the disk before it is told, ends share a sync, and a full disk loses neither.
Method: a real log, and a disk whose syncs end when the test says so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from live import keeper_ledger
from live.keeper_ledger import GROUP_MAX, RETRY_NS, Ledger
from live.keeper_link import Readiness
from live.spool import StatusLog, read_log
from model.job import JobId, JobSpec, Outcome, Report
from model.keeper import Exited, Keeper, KeeperMessage, Log, Running

REPORT = Report(Outcome.EXITED, 0, started=True)
SPEC = JobSpec("test", command=("x",))


class Scene:
    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1
        self.said: list[KeeperMessage] = []
        self.syncs = 0
        self.works = True
        monkeypatch.setattr(keeper_ledger, "boottime_ns", lambda: self.now)
        self.path = path / "log"
        self.ledger = Ledger(StatusLog(self.path, []), Keeper(0), Readiness(), self._say)
        self.ledger._syncer = self  # type: ignore[assignment]

    def _say(self, messages: Sequence[KeeperMessage]) -> None:
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

    def sync_is_over(self) -> None:
        self.ledger._synced(1)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


def test_an_end_is_told_when_it_is_on_the_disk(scene: Scene) -> None:
    message = scene.end_of(1)
    scene.ledger.advance(is_idle=True)
    assert (scene.syncs, scene.said) == (1, [])
    assert list(read_log(scene.path).ended) == [(1, 1)]
    scene.ledger.advance(is_idle=True)
    scene.sync_is_over()
    assert (scene.syncs, scene.said) == (1, [message])


def test_what_needs_no_disk_is_told_at_once_but_never_before_an_earlier_end(scene: Scene) -> None:
    first, second = Running(JobId(1), 1, 5), Running(JobId(2), 1, 5)
    scene.ledger.tell(first)
    scene.ledger.advance(is_idle=False)
    assert scene.said == [first]
    end = scene.end_of(1)
    scene.ledger.tell(second)
    scene.ledger.advance(is_idle=True)
    assert scene.said == [first]
    scene.sync_is_over()
    assert scene.said == [first, end, second]


def test_ends_share_a_sync_while_there_is_other_work(scene: Scene) -> None:
    for job in range(1, GROUP_MAX):
        scene.end_of(job)
        scene.ledger.advance(is_idle=False)
    assert scene.syncs == 0
    scene.end_of(GROUP_MAX)
    scene.ledger.advance(is_idle=False)
    assert scene.syncs == 1
    scene.sync_is_over()
    assert len(scene.said) == GROUP_MAX


def test_an_end_that_comes_during_a_sync_waits_for_the_next(scene: Scene) -> None:
    first = scene.end_of(1)
    scene.ledger.advance(is_idle=True)
    second = scene.end_of(2)
    scene.ledger.advance(is_idle=True)
    scene.sync_is_over()
    assert scene.said == [first]
    scene.ledger.advance(is_idle=True)
    scene.sync_is_over()
    assert scene.said == [first, second]


def test_what_a_full_disk_did_not_take_is_tried_again_and_told_then(scene: Scene) -> None:
    message = scene.end_of(1)
    scene.works = False
    scene.ledger.advance(is_idle=True)
    scene.sync_is_over()
    scene.ledger.advance(is_idle=True)
    assert (scene.syncs, scene.said) == (1, [])
    assert scene.ledger.retry_ns == scene.now + RETRY_NS
    scene.now += RETRY_NS
    scene.works = True
    scene.ledger.advance(is_idle=True)
    scene.sync_is_over()
    assert scene.said == [message]
