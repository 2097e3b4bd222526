"""The small parts of an agent: its lives, its looks at files, its log, its turns.

Method: each part alone, with a clock or a file system of the test's own where it has one.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from live import agent_life, agent_program, complaints, looks
from live.agent_host import AgentHost
from live.agent_life import LIFE_NAME, LifeError, begin_life
from live.agent_program import ALONE_SECONDS, AgentProgram, Settings
from live.agent_turns import AgentTurns
from live.clock import wall_ns
from live.complaints import LINES_MAX, LOG_MAX, MINUTE_NS, Complaints, set_aside
from live.looks import THREADS_MAX, Looks, first_missing
from model.agent import Agent, AgentEvent
from model.channel import ChannelTimes, ProtocolError
from model.effects import Commit, Effect, Look, Notice, ToKeeper, Transmit
from model.events import Delivered, FilesSeen, KeeperSaid, KeeperUp
from model.job import SECOND, JobId, JobSpec
from model.keeper import Holding, ListHeld
from model.messages import Assign, Batch, Down, Inquire, Inventory, Parting, Pong
from model.records import IntakeChanged
from tests.live.link_partners import Heard, run

# lives


def test_each_life_is_later_than_the_one_before(tmp_path: Path) -> None:
    first, second = begin_life(tmp_path), begin_life(tmp_path)
    assert second.epoch > first.epoch
    assert second.remembers == first.remembers == first.epoch


def test_a_life_after_the_spool_was_wiped_is_later_and_remembers_nothing_earlier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = begin_life(tmp_path)
    (tmp_path / LIFE_NAME).unlink()
    monkeypatch.setattr(agent_life, "wall_ns", lambda: wall_ns() + 10 * SECOND)
    second = begin_life(tmp_path)
    assert second.epoch > first.epoch
    assert second.remembers == second.epoch


def test_lives_grow_although_the_wall_clock_went_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = begin_life(tmp_path)
    monkeypatch.setattr(agent_life, "wall_ns", lambda: SECOND)
    assert begin_life(tmp_path).epoch == first.epoch + 1


@pytest.mark.parametrize("text", ["", "x", "1", "1 2 3", "-1 2"])
def test_a_life_that_cannot_be_read_is_not_guessed(text: str, tmp_path: Path) -> None:
    (tmp_path / LIFE_NAME).write_text(text)
    with pytest.raises(LifeError) as caught:
        begin_life(tmp_path)
    assert LIFE_NAME in str(caught.value)
    assert caught.value.hint
    assert (tmp_path / LIFE_NAME).read_text() == text


# looks


def test_the_first_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    assert first_missing(("here",), tmp_path) is None
    assert first_missing(("here", "gone", "lost"), tmp_path) == "gone"
    assert first_missing(("no/such/folder",), tmp_path) == "no/such/folder"
    assert first_missing((str(tmp_path / "here"),), Path("/")) is None


class Answers(Heard):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[FilesSeen] = []

    def __call__(self, seen: FilesSeen) -> None:
        self.seen.append(seen)
        self.news()


def test_looks_are_answered_beside_the_loop(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "here").touch()
        answers = Answers()
        looker = Looks(asyncio.get_running_loop(), tmp_path, answers)
        looker.look(Look(1, 1, ("here",), "folder"))
        looker.look(Look(2, 1, ("here",), None))
        assert not answers.seen
        await answers.until(lambda: len(answers.seen) == 2)
        assert set(answers.seen) == {FilesSeen(1, 1, None), FilesSeen(2, 1, "here")}
        looker.close()

    run(scenario())


def test_a_file_system_that_hangs_costs_a_few_threads_and_its_looks_are_answered_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        answer_now = threading.Event()

        def hang(_paths: tuple[str, ...], _directory: Path) -> str | None:
            answer_now.wait(20)
            return None

        monkeypatch.setattr(looks, "LIMIT_SECONDS", 0.05)
        before = threading.active_count()
        answers = Answers()
        looker = Looks(asyncio.get_running_loop(), tmp_path, answers, find=hang)
        for job in range(20):
            looker.look(Look(job, 1, ("file",), None))
        await answers.until(lambda: len(answers.seen) == 20)
        assert threading.active_count() - before <= THREADS_MAX
        assert all(seen.missing is not None and "did not answer" in seen.missing for seen in answers.seen)
        monkeypatch.undo()
        answer_now.set()
        looker.look(Look(99, 1, ("file",), None))
        await answers.until(lambda: len(answers.seen) == 21)
        assert answers.seen[-1] == FilesSeen(99, 1, None), "no look is answered twice, and the threads work again"
        looker.close()

    run(scenario())


# the log


def test_a_flood_of_complaints_is_cut_and_counted() -> None:
    now = [0]
    file = io.StringIO()
    log = Complaints(file, clock=lambda: now[0])
    for number in range(LINES_MAX + 7):
        log.say(f"complaint\n{number}")
    assert file.getvalue().count("\n") == LINES_MAX
    now[0] += MINUTE_NS
    log.say("later")
    lines = file.getvalue().splitlines()
    assert "7 more lines" in lines[-2]
    assert lines[-1].endswith("later")


def test_nothing_in_the_log_moves_a_cursor() -> None:
    file = io.StringIO()
    Complaints(file).say("\x1b[2J a\u202eb \x07\nsecond line")
    assert "\\x1b[2J a\\u202eb \\x07 second line\n" in file.getvalue()


def test_a_long_log_is_set_aside_and_a_short_one_is_not(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    set_aside(log)
    log.write_bytes(b"x" * LOG_MAX)
    set_aside(log)
    assert log.exists()
    log.write_bytes(b"x" * (LOG_MAX + 1))
    set_aside(log)
    assert not log.exists()
    assert (tmp_path / "agent.log.1").stat().st_size == LOG_MAX + 1
    assert complaints.LOG_MAX == LOG_MAX


# the host and its turns


class RecordingKeepers:
    def __init__(self) -> None:
        self.orders: list[tuple[int, object]] = []

    def send(self, number: int, order: object) -> None:
        self.orders.append((number, order))


def lone_host(directory: Path, post: Callable[[AgentEvent], None], notice: Callable[[Notice], None]) -> AgentHost:
    return AgentHost(
        asyncio.get_running_loop(),
        name="node1",
        slots=2,
        spool=directory,
        directory=directory,
        times=ChannelTimes(),
        post=post,
        notice=notice,
    )


class Driven(Heard):
    """An Agent machine in turns, with what it asked for."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        loop = asyncio.get_running_loop()
        self.sent: list[Batch] = []
        self.errors: list[BaseException] = []
        self.turns_taken = 0
        self.keepers = RecordingKeepers()
        self.turns = AgentTurns(
            loop,
            carry_out=self._carry_out,
            protocol_error=self._error,
            after_turn=self._after_turn,
            failed=self._error,
        )
        self.host = lone_host(directory, self.turns.post, lambda _: None)
        self.host._orders = self.keepers

    def begin(self) -> None:
        self.turns.begin(Agent("node1", 5, 0, 2, ChannelTimes(), (0,), 5))

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, Transmit):
            self.sent.append(effect.batch)
        else:
            self.host.carry_out(effect)

    def _error(self, error: BaseException) -> None:
        self.errors.append(error)
        self.news()

    def _after_turn(self) -> None:
        self.turns_taken += 1
        self.news()


def test_what_was_posted_before_the_machine_was_there_is_delivered_and_many_events_are_one_turn(tmp_path: Path) -> None:
    async def scenario() -> None:
        driven = Driven(tmp_path)
        driven.turns.post(KeeperUp(0))
        driven.turns.post(Delivered("superior", Batch(1, 1, 0, (Inquire(1),))))
        driven.turns.post(KeeperSaid(0, Holding(())))
        driven.begin()
        await driven.until(lambda: bool(driven.sent))
        assert driven.turns_taken == 1
        assert (0, ListHeld()) in driven.keepers.orders
        assert driven.sent == [Batch(5, 1, 1, (Inventory((), 1, 5, 2),))]
        driven.turns.close()
        await driven.host.close()

    run(scenario())


def test_a_superior_that_breaks_the_protocol_is_told_of_and_a_bug_ends_the_turns(tmp_path: Path) -> None:
    async def scenario() -> None:
        driven = Driven(tmp_path)
        driven.begin()
        driven.turns.post(Delivered("superior", Batch(1, 1, 0, (Pong(1),))))
        await driven.until(lambda: bool(driven.errors))
        assert isinstance(driven.errors[0], ProtocolError)
        driven.turns.post(KeeperSaid(0, "nonsense"))  # type: ignore[arg-type]
        driven.turns.post(KeeperUp(0))
        await driven.until(lambda: len(driven.errors) == 2)
        assert not driven.keepers.orders, "nothing is done after a bug"
        await driven.host.close()

    run(scenario())


def test_what_an_agent_never_asks_for_is_an_error(tmp_path: Path) -> None:
    async def scenario() -> None:
        shown: list[Notice] = []
        host = lone_host(tmp_path, lambda _: None, shown.append)
        host._orders = RecordingKeepers()
        with pytest.raises(TypeError, match="Commit"):
            host.carry_out(Commit(IntakeChanged("x")))
        host.carry_out(Notice("info", "", "text"))
        host.carry_out(ToKeeper(0, ListHeld()))
        assert shown == [Notice("info", "", "text")]
        await host.close()

    run(scenario())


# when the program leaves by itself


class Alone:
    """An agent's program whose superior is gone, and whose time is a variable."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000 * SECOND
        monkeypatch.setattr(agent_program, "boottime_ns", lambda: self.now)
        settings = Settings("node1", 2, directory, directory, ChannelTimes(), None)
        self.program = AgentProgram(asyncio.get_running_loop(), settings, Complaints(io.StringIO()))
        self.agent = self.program._host.agent = Agent("node1", 5, self.now, 2, ChannelTimes(), (), 5)
        self.listener = SimpleNamespace(connected=False)
        self.program._listener = self.listener  # type: ignore[assignment]
        self.sequence = 0

    def say(self, *messages: Down) -> None:
        self.sequence += 1
        self.agent.receive(Delivered("superior", Batch(1, self.sequence, 5, messages)), self.now)

    def may_leave(self) -> bool:
        return self.program._may_leave()

    def close(self) -> None:
        self.program._turns.close()


def test_an_agent_that_holds_nothing_leaves_after_a_while_or_at_a_goodbye(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        alone = Alone(tmp_path, monkeypatch)
        assert not alone.may_leave()
        alone.now += int(ALONE_SECONDS * SECOND)
        assert alone.may_leave()
        alone.listener.connected = True
        assert not alone.may_leave()
        alone.listener.connected = False
        alone.program.superior_down("it broke", left=False)
        assert not alone.may_leave()
        alone.program.superior_down("it left", left=True)
        assert alone.may_leave()
        alone.close()

    run(scenario())


def test_an_agent_whose_job_waits_or_runs_stays_whatever_its_superior_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        alone = Alone(tmp_path, monkeypatch)
        alone.say(Inquire(1), Assign(JobId(1), 1, JobSpec("t", ("true",))))
        alone.program.superior_down("it left", left=True)
        alone.now += 3600 * SECOND
        assert not alone.may_leave()
        alone.close()

    run(scenario())


def test_a_new_agent_that_found_only_ends_waits_for_whoever_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        alone = Alone(tmp_path, monkeypatch)
        alone.say(Inquire(1), Assign(JobId(1), 1, JobSpec("t", ("true",), slots=99)))
        assert alone.program._host.agent is not None
        alone.program._host.agent.uplink.lease_end_ns = None  # as in a life that has not heard anybody yet
        alone.program.superior_down("it broke", left=False)
        alone.now += 59 * SECOND
        assert not alone.may_leave()
        alone.now += SECOND
        assert alone.may_leave()
        alone.close()

    run(scenario())


def test_an_agent_with_nothing_but_unacknowledged_ends_stays_until_its_lease_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        alone = Alone(tmp_path, monkeypatch)
        alone.say(Inquire(1), Assign(JobId(1), 1, JobSpec("t", ("true",), slots=99)))  # refused: it has no such room
        alone.say(Parting(100 * SECOND))
        alone.program.superior_down("it left", left=True)
        alone.now += 99 * SECOND
        assert not alone.may_leave()
        alone.now += SECOND
        assert alone.may_leave()
        alone.close()

    run(scenario())
