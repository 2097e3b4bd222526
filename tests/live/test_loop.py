"""Goal: the loop's promises to the machines and to the world hold (docs/architecture.md, part 3), whatever the disk
does.

Method: stub machines that record what they get and say what the test tells them to; a real journal whose `append` the
test can delay or let fail; the order of everything is written to one list and compared.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from live import loop as loop_module
from live.journal import Journal, JournalBrokenError, JournalFullError, JournalWaitsError
from live.loop import Turns
from model.channel import ProtocolError
from model.effects import Commit, Effect, Notice, ToKeeper, Transmit
from model.events import Delivered, LinkUp
from model.job import JobId, JobSpec, Outcome, Report
from model.keeper import Start
from model.messages import Acknowledge, Batch, Message, Ping
from model.records import AttemptAssigned, AttemptEnded, JobAccepted, Record

LIMIT = 20.0
SPEC = JobSpec("t", ("true",))


class Log(list[str]):
    """Lines in order; `said` is set with each, from any thread."""

    def __init__(self) -> None:
        super().__init__()
        self.said = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def append(self, line: str) -> None:
        super().append(line)
        self._loop.call_soon_threadsafe(self.said.set)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; it is looked at after each line."""
        while not condition():
            self.said.clear()
            await self.said.wait()


class Stub:
    """A machine: notes events, answers each with the effects that `answers` holds for it."""

    def __init__(self, log: Log, name: str) -> None:
        self.log, self.name = log, name
        self.answers: dict[str, list[Effect]] = {}
        self.error: Exception | None = None
        self.due: int | None = None
        self._effects: list[Effect] = []
        self.times: list[int] = []

    def receive(self, event: Any, now: int) -> None:
        if self.error is not None:
            raise self.error
        self.times.append(now)
        word = f"from {event.peer}" if isinstance(event, Delivered | LinkUp) else str(event)
        self.log.append(f"{self.name} gets {word}")
        self._effects.extend(self.answers.pop(word, []))

    def advance(self, now: int) -> None:
        self.log.append(f"{self.name} advances")
        if self.due is not None and now >= self.due:
            self.due = None

    def next_due(self) -> int | None:
        return self.due

    def drain(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects


class GatedJournal(Journal):
    """A journal whose commits wait while `gate` is closed and fail with what is in `errors`."""

    def __init__(self, path: Path, log: Log) -> None:
        super().__init__(path)
        self.log = log
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.errors: list[Exception] = []

    def append(self, records: Iterable[tuple[str, Record]]) -> None:
        kept = list(records)
        self.entered.set()
        assert self.gate.wait(LIMIT)
        if self.errors:
            raise self.errors.pop(0)
        super().append(kept)
        self.log.append(f"durable {len(kept)}")


class World:
    """Two joined stubs, `upper` and `lower`, in a loop with a gated journal."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o700)
        self.log = Log()
        self.journal = GatedJournal(folder / "journal.sqlite", self.log)
        self.turns = Turns(asyncio.get_running_loop(), self.journal, self.carry_out)
        self.upper, self.lower = Stub(self.log, "upper"), Stub(self.log, "lower")
        self.turns.add("upper", self.upper)
        self.turns.add("lower", self.lower)
        self.turns.join("upper", "lower")

    def carry_out(self, machine: str, effect: Effect) -> None:
        word = effect.text if isinstance(effect, Notice) else type(effect).__name__
        self.log.append(f"{machine} does {word}")

    async def until(self, line: str) -> None:
        """Wait until the log holds the line."""
        await self.log.until(lambda: line in self.log)


def run(folder: Path, body: Callable[[World], Awaitable[None]]) -> None:
    async def whole() -> None:
        world = World(folder)
        try:
            async with asyncio.timeout(LIMIT):
                await body(world)
        finally:
            world.journal.gate.set()
            world.turns.close()
            world.journal.close()

    asyncio.run(whole())


def accepted(job: int) -> Commit:
    return Commit(JobAccepted(JobId(job), SPEC))


def say(text: str) -> Notice:
    return Notice("info", "", text)


def test_nothing_leaves_before_its_record_is_durable(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        world.upper.answers["from x"] = [accepted(1), say("go")]
        world.turns.begin()
        world.turns.post("upper", LinkUp("x"))
        await world.until("upper does go")
        assert world.log == ["upper gets from x", "upper advances", "durable 1", "upper does go"]

    run(tmp_path, body)


def test_machines_of_one_process_settle_in_one_turn_and_one_commit(tmp_path: Path) -> None:
    batch = Batch(1, 1, 1, ())

    async def body(world: World) -> None:
        world.upper.answers["from x"] = [accepted(1), Transmit("lower", batch)]
        world.lower.answers["from superior"] = [accepted(2), Transmit("superior", batch), say("started")]
        world.upper.answers["from lower"] = [accepted(3), say("known")]
        world.turns.begin()
        world.turns.post("upper", LinkUp("x"))
        await world.until("upper does known")
        moves = [line for line in world.log if "advances" not in line]
        assert moves == [
            "upper gets from x",
            "lower gets from superior",
            "upper gets from lower",
            "durable 3",
            "lower does started",
            "upper does known",
        ]
        assert world.turns.commits == 1

    run(tmp_path, body)


def test_while_one_commit_is_under_way_the_loop_goes_on_and_the_next_one_takes_all_that_came(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        for job in range(4):
            world.upper.answers[f"from {job}"] = [accepted(job + 1), say(f"go {job}")]
        world.lower.answers["from free"] = [say("no record")]
        world.turns.begin()
        world.journal.gate.clear()
        world.turns.post("upper", LinkUp("0"))
        await asyncio.to_thread(world.journal.entered.wait, LIMIT)
        for job in (1, 2, 3):
            world.turns.post("upper", LinkUp(str(job)))
        world.turns.post("lower", LinkUp("free"))
        await world.until("lower gets from free")
        assert not [line for line in world.log if "does" in line]
        world.journal.gate.set()
        await world.until("lower does no record")
        told = [line for line in world.log if "does" in line or "durable" in line]
        assert told == [
            "durable 1", "upper does go 0", "durable 3",
            "upper does go 1", "upper does go 2", "upper does go 3", "lower does no record",
        ]  # fmt: skip

    run(tmp_path, body)


def test_when_much_has_gathered_the_next_turn_waits_for_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "GATHERED_MAX", 3)

    async def body(world: World) -> None:
        for job in range(5):
            world.upper.answers[f"from {job}"] = [accepted(job + 1)]
        world.turns.begin()
        world.journal.gate.clear()
        world.turns.post("upper", LinkUp("0"))
        await asyncio.to_thread(world.journal.entered.wait, LIMIT)
        for job in (1, 2, 3):
            world.turns.post("upper", LinkUp(str(job)))
        await world.until("upper gets from 3")
        world.turns.post("upper", LinkUp("4"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert "upper gets from 4" not in world.log
        world.journal.gate.set()
        await world.until("durable 3")
        await world.until("upper gets from 4")
        assert world.log.index("durable 1") < world.log.index("upper gets from 4")

    run(tmp_path, body)


def test_only_the_start_of_an_attempt_whose_assignment_is_durable_leaves_early(tmp_path: Path) -> None:
    def start(job: int) -> ToKeeper:
        return ToKeeper(0, Start(JobId(job), 1, SPEC))

    async def body(world: World) -> None:
        world.upper.answers["from old"] = [Commit(AttemptAssigned(JobId(1), 1, "lower"))]
        world.upper.answers["from new"] = [Commit(AttemptAssigned(JobId(2), 1, "lower"))]
        world.lower.answers["from both"] = [start(1), start(2), say("after")]
        world.turns.begin()
        world.turns.post("upper", LinkUp("old"))
        await world.until("upper advances")
        await world.turns.when_durable()
        world.journal.gate.clear()
        world.turns.post("upper", LinkUp("new"))
        world.turns.post("lower", LinkUp("both"))
        await world.until("lower does ToKeeper")
        assert world.log.count("lower does ToKeeper") == 1
        assert "lower does after" not in world.log
        world.journal.gate.set()
        await world.until("lower does after")
        assert world.log.count("lower does ToKeeper") == 2
        assert world.log.index("durable 1") < len(world.log) - 3

    run(tmp_path, body)


def test_commits_without_a_pause_keep_nobody_waiting_who_asks_for_what_was_decided(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        loop, append = asyncio.get_running_loop(), world.journal.append

        def again(records: Iterable[tuple[str, Record]]) -> None:
            loop.call_soon_threadsafe(world.turns.note, "upper", accepted(1).record)
            append(records)

        world.journal.append = again  # type: ignore[method-assign]
        world.turns.begin()
        world.turns.note("upper", accepted(2).record)
        await world.until("durable 1")
        commits = world.turns.commits
        await world.turns.when_durable()
        assert world.turns.commits <= commits + 3

    run(tmp_path, body)


def test_a_start_that_follows_another_does_not_overtake_it(tmp_path: Path) -> None:
    def start(job: int, after: int) -> ToKeeper:
        return ToKeeper(0, Start(JobId(job), 1, SPEC, (JobId(after), 1) if after else None))

    async def body(world: World) -> None:
        world.upper.answers["from new"] = [Commit(AttemptAssigned(JobId(3), 1, "lower"))]
        world.lower.answers["from all"] = [start(3, 0), start(2, 3), start(1, 2), start(4, 0), say("last")]
        world.turns.begin()
        world.journal.gate.clear()
        world.turns.post("upper", LinkUp("new"))
        world.turns.post("lower", LinkUp("all"))
        await world.until("lower does ToKeeper")
        assert world.log.count("lower does ToKeeper") == 1, "the one that follows nobody"
        world.journal.gate.set()
        await world.until("lower does last")
        assert world.log.count("lower does ToKeeper") == 4

    run(tmp_path, body)


def test_many_events_make_one_turn(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        world.turns.begin()
        for number in range(100):
            world.turns.post("upper", LinkUp(str(number)))
        world.upper.answers["from 99"] = [say("last")]
        await world.until("upper does last")
        assert world.turns.turns == 1
        assert len(set(world.upper.times)) == 1

    run(tmp_path, body)


def test_what_has_arrived_comes_before_what_is_due_at_the_same_instant(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        world.upper.due = 0
        world.upper.answers["from x"] = [say("done")]
        world.turns.begin()
        world.turns.post("upper", LinkUp("x"))
        await world.until("upper does done")
        assert world.log[:2] == ["upper gets from x", "upper advances"]

    run(tmp_path, body)


def test_a_machine_that_is_due_is_advanced_without_any_event(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        world.turns.begin()
        world.lower.due = loop_module.monotonic_ns() + 20_000_000
        world.turns.post("upper", LinkUp("x"))
        await world.until("lower advances")
        assert world.lower.due is None

    run(tmp_path, body)


def test_on_a_full_disk_everything_waits_and_goes_on_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "RETRY_SECONDS", 0.01)

    async def body(world: World) -> None:
        told: list[str] = []
        world.turns.on_disk = lambda error: told.append(str(error))
        world.journal.errors = [JournalFullError("full"), JournalFullError("full")]
        world.upper.answers["from x"] = [accepted(1), say("go")]
        world.turns.begin()
        world.turns.post("upper", LinkUp("x"))
        await world.until("upper does go")
        assert told == ["full", "full"]
        assert world.log.index("durable 1") < world.log.index("upper does go")
        assert not world.turns.stuck

    run(tmp_path, body)


def heartbeat(*more: Message) -> Transmit:
    return Transmit("host", Batch(1, 2, 1, (Ping(2, 3, 1), *more)))


def test_while_the_disk_is_full_heartbeats_leave_and_other_words_are_lost(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        left: list[Effect] = []
        world.turns._carry_out = lambda _, effect: (left.append(effect), world.log.append("left"))  # type: ignore[func-returns-value]
        full = asyncio.Event()
        world.turns.on_disk = lambda _: full.set()
        world.journal.errors = [JournalFullError("full")]
        world.upper.answers["from x"] = [accepted(1), say("first")]
        world.upper.answers["from y"] = [accepted(2), heartbeat(Acknowledge(JobId(9), 1)), say("second")]
        world.turns.begin()
        world.turns.post("upper", LinkUp("x"))
        await full.wait()
        assert world.turns.stuck
        world.turns.post("upper", LinkUp("y"))
        await world.until("left")
        assert left == [heartbeat()]
        await world.log.until(lambda: len(left) == 3)  # when it was tried again
        assert left[1:] == [say("first"), say("second")]
        assert not world.turns.stuck

    run(tmp_path, body)


def test_a_sync_that_does_not_end_holds_no_heartbeat_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        told: list[JournalWaitsError] = []
        world.turns.on_disk = told.append
        world.journal.gate.clear()
        world.upper.answers["from x"] = [accepted(1), say("go")]
        world.upper.answers["from y"] = [accepted(2), heartbeat()]
        world.turns.begin()
        world.turns.post("upper", LinkUp("x"))
        await asyncio.to_thread(world.journal.entered.wait, LIMIT)
        monkeypatch.setattr(loop_module, "STANDSTILL_SECONDS", 0.0)
        world.turns.post("upper", LinkUp("y"))
        await world.until("upper does Transmit")
        assert "durable 1" not in world.log
        assert world.turns.stuck
        assert [error.state for error in told] == ["the disk does not answer"]
        world.journal.gate.set()
        await world.until("upper does go")
        assert world.log.count("upper does Transmit") == 1
        assert not world.turns.stuck

    run(tmp_path, body)


def test_turns_that_wait_for_a_sync_go_on_when_it_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        monkeypatch.setattr(loop_module, "GATHERED_MAX", 1)
        monkeypatch.setattr(loop_module, "STANDSTILL_SECONDS", 0.2)
        world.journal.gate.clear()
        world.upper.answers |= {"from x": [accepted(1)], "from y": [accepted(2)], "from z": [heartbeat()]}
        world.turns.begin()
        world.turns.post("upper", LinkUp("x"))
        await asyncio.to_thread(world.journal.entered.wait, LIMIT)
        world.turns.post("upper", LinkUp("y"))
        await world.until("upper gets from y")
        world.turns.post("upper", LinkUp("z"))
        await world.until("upper does Transmit")
        assert "durable 1" not in world.log

    run(tmp_path, body)


def test_the_reserve_lets_the_first_commit_on_a_full_disk_through(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        assert world.journal.keep_reserve()
        world.journal.errors = [JournalFullError("full")]
        world.upper.answers["from x"] = [accepted(1), say("go")]
        world.turns.begin()
        world.turns.post("upper", LinkUp("x"))
        await world.until("upper does go")
        assert not world.journal.spend_reserve()

    run(tmp_path, body)


@pytest.mark.parametrize("where", ["machine", "journal"])
def test_a_failure_is_handed_on_and_nothing_is_done_after_it(tmp_path: Path, where: str) -> None:
    async def body(world: World) -> None:
        if where == "machine":
            world.lower.error = KeyError("bug")
        else:
            world.journal.errors = [JournalBrokenError("disk")]
        world.upper.answers["from x"] = [accepted(1), say("go")]
        world.turns.begin()
        world.turns.post("upper", LinkUp("x"))
        world.turns.post("lower", LinkUp("x"))
        with pytest.raises((KeyError, JournalBrokenError)):
            await world.turns.failed
        world.turns.post("upper", LinkUp("y"))
        await asyncio.sleep(0)
        assert "upper does go" not in world.log
        assert "upper gets from y" not in world.log

    run(tmp_path, body)


def test_a_peer_that_breaks_the_protocol_is_named_and_the_machine_goes_on(tmp_path: Path) -> None:
    async def body(world: World) -> None:
        named: list[tuple[str, str]] = []
        world.turns.on_protocol_error = lambda machine, peer, _: named.append((machine, peer))
        world.lower.error = ProtocolError("what?")
        world.upper.answers["from x"] = [say("go")]
        world.turns.begin()
        world.turns.deliver("lower", "node1", Batch(1, 1, 1, ()))
        world.turns.post("upper", LinkUp("x"))
        await world.until("upper does go")
        assert named == [("lower", "node1")]
        assert not world.turns.failed.done()

    run(tmp_path, body)


def test_who_waits_for_a_final_end_gets_it_once_it_is_durable(tmp_path: Path) -> None:
    report = Report(Outcome.EXITED, exit_code=0)

    async def body(world: World) -> None:
        world.upper.answers["from x"] = [
            Commit(AttemptEnded(JobId(1), 1, report, final=False)),
            Commit(AttemptEnded(JobId(1), 2, report, final=True)),
        ]
        final = world.turns.when_final(1)
        world.turns.begin()
        world.journal.gate.clear()
        world.turns.post("upper", LinkUp("x"))
        await asyncio.to_thread(world.journal.entered.wait, LIMIT)
        assert not final.done()
        world.journal.gate.set()
        assert await final == ((1, 2), report)

    run(tmp_path, body)
