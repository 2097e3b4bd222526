"""Goal: the keeper ends what must end, when it must, and says what each end means. Method: events in, the drained list
out, on a clock of the test; Hypothesis drives it against a small operating system and checks what must always hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from model.job import SECOND, JobId, JobSpec, Outcome, Report
from model.keeper import (
    KEEPER_MOVES,
    KILL,
    TERM,
    Died,
    Exited,
    Forget,
    Holding,
    Keeper,
    KeeperEffect,
    KeeperEvent,
    KeeperMessage,
    Leave,
    ListHeld,
    Log,
    ProcessState,
    Recall,
    Recalled,
    Renew,
    Running,
    SignalTree,
    Spawn,
    Spawned,
    SpawnFailed,
    Start,
    Stop,
)
from model.messages import Entry, Held

JOB = JobId(1)
SPEC = JobSpec("test", command=("x",), timeout_ns=10 * SECOND, grace_ns=2 * SECOND)


class Scene:
    """A keeper and what it asked for last."""

    def __init__(self, lease_ns: int | None = None) -> None:
        self.keeper = Keeper(0, lease_ns)

    def at(self, now: int, *events: KeeperEvent) -> list[KeeperEffect]:
        for event in events:
            self.keeper.receive(event, now)
        self.keeper.advance(now)
        return self.keeper.drain()

    def run_from(self, now: int, spec: JobSpec = SPEC, job: int = 1) -> None:
        self.at(now, Start(JobId(job), 1, spec), Spawned(JobId(job), 1, 99, 5))


def died(code: int | None = 0, number: int | None = None, **more: object) -> Died:
    return Died(JOB, 1, code, number, **more)  # type: ignore[arg-type]


def told(effects: list[KeeperEffect]) -> list[KeeperMessage]:
    return [effect for effect in effects if isinstance(effect, KeeperMessage)]


def report_of(effects: list[KeeperEffect]) -> Report:
    (message,) = told(effects)
    assert isinstance(message, Exited)
    return message.report


def may_leave(scene: Scene) -> bool:
    return scene.keeper.may_leave


def test_a_start_is_logged_before_it_happens() -> None:
    assert Scene().at(0, Start(JOB, 1, SPEC)) == [Log(JOB, 1, None, SPEC), Spawn(JOB, 1, SPEC)]


def test_an_end_is_logged_before_it_is_told() -> None:
    scene = Scene()
    scene.run_from(0)
    effects = scene.at(3 * SECOND, died(4, stdout_bytes=10, stderr_bytes=20))
    report = Report(Outcome.EXITED, 4, ran_for_ns=3 * SECOND, started=True, stdout_bytes=10, stderr_bytes=20)
    assert effects == [Log(JOB, 1, report), Exited(JOB, 1, report)]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (died(0), Report(Outcome.EXITED, 0, started=True)),
        (died(255), Report(Outcome.EXITED, 255, started=True)),
        (died(None, 11, core=True), Report(Outcome.CRASHED, signal=11, core=True, started=True)),
        (died(None, 9, oom=True), Report(Outcome.CRASHED, signal=9, oom=True, reason="out of memory", started=True)),
        (died(0, survivors=(7,)), Report(Outcome.EXITED, 0, started=True, survivors=(7,))),
        (died(0, note="no room"), Report(Outcome.EXITED, 0, reason="no room", started=True)),
        (died(None), Report(Outcome.LOST, reason="its end could not be read", started=True)),
    ],
)
def test_an_end_that_nobody_asked_for(event: Died, expected: Report) -> None:
    scene = Scene()
    scene.run_from(0)
    assert report_of(scene.at(0, event)) == expected


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        (True, Report(Outcome.OVERLOADED, reason="why", again=True)),
        (False, Report(Outcome.COMMAND_NOT_FOUND, reason="why")),
    ],
)
def test_a_start_that_failed_ran_nothing(again: bool, expected: Report) -> None:
    scene = Scene()
    scene.at(0, Start(JOB, 1, SPEC))
    assert report_of(scene.at(0, SpawnFailed(JOB, 1, again, "why"))) == expected


def test_the_deadline_counts_from_the_start_and_kill_comes_after_the_grace() -> None:
    scene = Scene()
    scene.at(0, Start(JOB, 1, SPEC))
    scene.at(5 * SECOND, Spawned(JOB, 1, 99, 5))
    assert scene.keeper.next_due() == 15 * SECOND
    assert scene.at(15 * SECOND - 1) == []
    assert scene.at(15 * SECOND) == [SignalTree(JOB, 1, TERM)]
    assert scene.at(17 * SECOND - 1) == []
    assert scene.at(17 * SECOND) == [SignalTree(JOB, 1, KILL)]
    assert scene.keeper.next_due() is None
    report = report_of(scene.at(18 * SECOND, died(None, 9)))
    assert (report.outcome, report.signal, report.ran_for_ns) == (Outcome.TIMED_OUT, None, 13 * SECOND)
    assert "TERM" in report.reason


def test_exit_0_after_term_is_timed_out() -> None:
    scene = Scene()
    scene.run_from(0)
    scene.at(10 * SECOND)
    assert report_of(scene.at(11 * SECOND, died(0))) == Report(Outcome.TIMED_OUT, ran_for_ns=11 * SECOND, started=True)


def test_an_end_beats_a_timeout_at_the_same_instant() -> None:
    scene = Scene()
    scene.run_from(0)
    assert report_of(scene.at(10 * SECOND, died(0))).outcome is Outcome.EXITED


def test_many_deadlines_are_kept_in_their_order_whoever_ended_before() -> None:
    scene = Scene()
    for job, timeout in ((1, 40), (2, 30), (3, 10), (4, 30), (5, 0)):
        scene.run_from(0, structs.replace(SPEC, timeout_ns=timeout * SECOND), job)
    assert scene.keeper.next_due() == 10 * SECOND
    scene.at(5 * SECOND, Died(JobId(3), 1, 0, None))
    assert scene.at(10 * SECOND) == []
    assert scene.keeper.next_due() == 30 * SECOND, "the next one of those that live"
    assert scene.at(45 * SECOND) == [SignalTree(JobId(job), 1, TERM) for job in (2, 4, 1)]
    assert scene.keeper.next_due() == 47 * SECOND
    scene.at(46 * SECOND, Died(JobId(4), 1, None, 15))
    assert scene.at(47 * SECOND) == [SignalTree(JobId(job), 1, KILL) for job in (1, 2)]
    assert scene.keeper.next_due() is None
    for job in (1, 2, 5):
        scene.at(48 * SECOND, Died(JobId(job), 1, None, 9))
    scene.run_from(50 * SECOND, job=6)
    assert scene.keeper.next_due() == 60 * SECOND
    scene.at(51 * SECOND, Died(JobId(6), 1, 0, None))
    assert scene.keeper.next_due() is None, "nothing lives"


def test_what_was_asked_for_after_the_end_did_not_cause_it() -> None:
    scene = Scene()
    scene.run_from(0)
    scene.at(10 * SECOND)
    report = report_of(scene.at(12 * SECOND, died(0, ended_ns=10 * SECOND - 1)))
    assert (report.outcome, report.exit_code, report.ran_for_ns) == (Outcome.EXITED, 0, 10 * SECOND - 1)


def test_stop_ends_like_the_deadline_and_the_first_reason_stays() -> None:
    scene = Scene()
    scene.run_from(0)
    assert scene.at(SECOND, Stop(JOB, 1)) == [SignalTree(JOB, 1, TERM)]
    assert scene.at(2 * SECOND, Stop(JOB, 1)) == []
    assert scene.at(3 * SECOND) == [SignalTree(JOB, 1, KILL)]
    assert report_of(scene.at(20 * SECOND, died(None, 9))).outcome is Outcome.KILLED


def test_a_stop_before_the_process_runs_ends_it_as_soon_as_it_does() -> None:
    scene = Scene()
    assert scene.at(0, Start(JOB, 1, SPEC), Stop(JOB, 1))[2:] == []
    effects = scene.at(1, Spawned(JOB, 1, 99, 5))
    assert effects == [Running(JOB, 1, 5), SignalTree(JOB, 1, TERM)]


def test_a_stop_before_a_start_that_fails_is_a_kill_of_what_never_ran() -> None:
    scene = Scene()
    scene.at(0, Start(JOB, 1, SPEC), Stop(JOB, 1))
    assert report_of(scene.at(1, SpawnFailed(JOB, 1, True, "why"))) == Report(Outcome.KILLED)


def test_the_end_of_the_lease_ends_everything_and_refuses_starts_until_it_is_renewed() -> None:
    scene = Scene()
    scene.at(0, Renew(5 * SECOND))
    scene.run_from(0)
    scene.run_from(0, job=2)
    assert scene.keeper.next_due() == 5 * SECOND
    assert scene.at(5 * SECOND) == [SignalTree(JOB, 1, TERM), SignalTree(JobId(2), 1, TERM)]
    report = report_of(scene.at(6 * SECOND, died(0)))
    assert (report.outcome, report.reason) == (Outcome.LOST, "lease ended")
    refused = report_of(scene.at(7 * SECOND, Start(JobId(3), 1, SPEC)))
    assert (refused.outcome, refused.again, refused.started) == (Outcome.OVERLOADED, True, False)
    effects = scene.at(8 * SECOND, Renew(SECOND), Start(JobId(4), 1, SPEC))
    assert Spawn(JobId(4), 1, SPEC) in effects


def test_a_renewal_extends_the_lease_from_its_receipt() -> None:
    scene = Scene(5 * SECOND)
    scene.run_from(0, JobSpec("test", command=("x",)))
    scene.at(4 * SECOND, Renew(5 * SECOND))
    assert scene.at(9 * SECOND - 1) == []
    assert scene.at(9 * SECOND) == [SignalTree(JOB, 1, TERM)]


def test_a_word_that_comes_after_the_end_of_the_lease_revives_nothing() -> None:
    scene = Scene(5 * SECOND)
    scene.run_from(0)
    assert scene.at(5 * SECOND, Renew(100 * SECOND)) == [SignalTree(JOB, 1, TERM)]


def test_an_idle_lease_wakes_nobody() -> None:
    assert Scene(5 * SECOND).keeper.next_due() is None


def test_a_doubled_start_is_answered_with_what_is_known() -> None:
    scene = Scene()
    scene.at(0, Start(JOB, 1, SPEC))
    assert scene.at(1, Start(JOB, 1, SPEC)) == []
    scene.at(2, Spawned(JOB, 1, 99, 5))
    assert scene.at(3, Start(JOB, 1, SPEC)) == [Running(JOB, 1, 5)]
    report = report_of(scene.at(4, died(0)))
    assert scene.at(5, Start(JOB, 1, SPEC)) == [Exited(JOB, 1, report)]
    assert scene.at(5, Stop(JOB, 1)) == [Exited(JOB, 1, report)]


def test_an_end_is_held_until_it_is_forgotten() -> None:
    scene = Scene()
    scene.run_from(0)
    scene.at(1, Forget(JOB, 1))
    assert told(scene.at(1, ListHeld())) == [Holding((Entry(JOB, 1, Held.RUNNING, SPEC),))]
    report = report_of(scene.at(2, died(0)))
    assert told(scene.at(3, ListHeld())) == [Holding((Entry(JOB, 1, Held.ENDED, SPEC, "", report),))]
    assert told(scene.at(4, Forget(JOB, 1), Forget(JOB, 1), ListHeld())) == [Holding(())]


def test_what_an_earlier_life_left_is_held() -> None:
    scene = Scene()
    entry = Entry(JOB, 1, Held.ENDED, SPEC, "", Report(Outcome.LOST, reason="its keeper died", started=True))
    scene.keeper.restore([entry])
    assert told(scene.at(0, ListHeld())) == [Holding((entry,))]
    assert scene.keeper.next_due() is None


def test_it_may_leave_when_nothing_is_held_and_a_start_takes_that_back() -> None:
    scene = Scene()
    scene.run_from(0)
    assert scene.at(0, Leave(kill=False)) == []
    assert may_leave(scene) is False
    scene.at(1, died(0))
    assert may_leave(scene) is False
    scene.at(2, Forget(JOB, 1))
    assert may_leave(scene) is True
    scene.at(3, Start(JobId(2), 1, SPEC), SpawnFailed(JobId(2), 1, False, ""), Forget(JobId(2), 1))
    assert may_leave(scene) is False


def test_the_next_agent_keeps_a_keeper_that_an_earlier_one_had_told_to_leave() -> None:
    scene = Scene()
    scene.run_from(0)
    scene.at(1, Leave(kill=False))
    scene.at(2, ListHeld())
    scene.at(3, died(0), Forget(JOB, 1))
    assert may_leave(scene) is False


def test_leave_and_kill_ends_what_runs() -> None:
    scene = Scene()
    scene.run_from(0)
    assert scene.at(0, Leave(kill=True)) == [SignalTree(JOB, 1, TERM)]
    assert report_of(scene.at(1, died(None, 15))).outcome is Outcome.KILLED


def test_the_next_one_starts_in_the_turn_in_which_the_one_before_it_is_gone() -> None:
    scene = Scene()
    scene.run_from(0)
    assert scene.at(1, Start(JobId(2), 1, SPEC, (JOB, 1)), Start(JobId(3), 1, SPEC, (JobId(2), 1))) == []
    begun = [effect.job for effect in scene.at(2, died(0)) if isinstance(effect, Spawn)]
    assert begun == [2]


def test_one_that_waits_is_given_back_and_who_stood_behind_it_moves_up() -> None:
    scene = Scene()
    scene.run_from(0)
    scene.at(1, Start(JobId(2), 1, SPEC, (JOB, 1)), Start(JobId(3), 1, SPEC, (JobId(2), 1)))
    assert told(scene.at(2, Recall(JobId(2), 1))) == [Recalled(JobId(2), 1)]
    assert told(scene.at(2, Recall(JOB, 1))) == [], "it runs"
    begun = [effect.job for effect in scene.at(3, died(0)) if isinstance(effect, Spawn)]
    assert begun == [3]


def test_one_that_waits_ends_unstarted_when_it_is_stopped_or_the_lease_is_over() -> None:
    for event, outcome in ((Stop(JobId(2), 1), Outcome.KILLED), (Renew(0), Outcome.LOST)):
        scene = Scene()
        scene.run_from(0)
        scene.at(1, Start(JobId(2), 1, SPEC, (JOB, 1)))
        report = report_of(scene.at(2, event))
        assert (report.outcome, report.started) == (outcome, False)
        assert not [effect for effect in scene.at(3, died(0)) if isinstance(effect, Spawn)]


def test_an_agent_that_asks_what_is_held_counts_on_nobody_who_waits() -> None:
    scene = Scene()
    scene.run_from(0)
    scene.at(1, Start(JobId(2), 1, SPEC, (JOB, 1)))
    (holding,) = told(scene.at(2, ListHeld()))
    assert isinstance(holding, Holding)
    assert [entry.job for entry in holding.entries] == [JOB]


def test_every_state_is_in_the_table_and_can_be_reached() -> None:
    assert set(KEEPER_MOVES) == set(ProcessState)
    assert frozenset().union(*KEEPER_MOVES.values()) == set(ProcessState) - {ProcessState.WAITING}


ORDERS = st.one_of(
    st.builds(
        Start,
        st.integers(1, 4).map(JobId),
        st.just(1),
        st.sampled_from([SPEC, JobSpec("test", command=("x",))]),
        st.sampled_from([None, (JobId(1), 1), (JobId(2), 1), (JobId(3), 1)]),
    ),
    st.builds(Recall, st.integers(1, 4).map(JobId), st.just(1)),
    st.builds(Stop, st.integers(1, 4).map(JobId), st.just(1)),
    st.builds(Forget, st.integers(1, 4).map(JobId), st.just(1)),
    st.builds(Renew, st.integers(0, 20 * SECOND)),
    st.just(ListHeld()),
    st.builds(Leave, st.booleans()),
    st.sampled_from(["spawned", "failed", "died"]),
)


@given(st.lists(st.tuples(st.integers(0, 6 * SECOND), ORDERS, st.integers(1, 4)), max_size=60))
def test_whatever_comes_each_attempt_starts_once_ends_once_and_is_ended_in_time(
    steps: list[tuple[int, KeeperEvent | str, int]],
) -> None:
    scene, now = Scene(), 0
    spawning: set[int] = set()
    living: dict[int, list[int]] = {}
    """job -> signals that it was sent"""
    ended: dict[int, Report] = {}
    for pause, drawn, chosen in steps:
        event = drawn
        now += pause
        if isinstance(event, str):
            job = JobId(chosen)
            if event == "died" and chosen in living:
                del living[chosen]
                event = Died(job, 1, 0, None)
            elif event != "died" and chosen in spawning:
                spawning.discard(chosen)
                event = Spawned(job, 1, 9, now) if event == "spawned" else SpawnFailed(job, 1, True, "")
                if isinstance(event, Spawned):
                    living[chosen] = []
            else:
                continue
        if isinstance(event, Forget) and event.job in ended:
            del ended[event.job]
        for effect in scene.at(now, event):
            if isinstance(effect, Spawn):
                assert effect.job not in spawning | living.keys() | ended.keys()
                spawning.add(effect.job)
            elif isinstance(effect, SignalTree):
                assert effect.number == (KILL if living[effect.job] else TERM), "TERM once, then KILL once"
                living[effect.job].append(effect.number)
            elif isinstance(effect, Log) and effect.report is not None:
                assert effect.job not in ended
                ended[effect.job] = effect.report
                if isinstance(event, Forget) and event.job == effect.job:  # its time was over just before the word came
                    del ended[effect.job]
        waiting = {each.key[0]: each.after for each in scene.keeper.attempts.values() if each.after is not None}
        assert scene.keeper.alive == len(spawning) + len(living) + len(waiting)
        there = spawning | living.keys() | ended.keys() | waiting.keys()
        assert set(scene.keeper.attempts) == {(job, 1) for job in there}
        assert len(set(waiting.values())) == len(waiting), "one stands behind another one, not two"
        assert all(before[0] in spawning | living.keys() | waiting.keys() for before in waiting.values())
        due = scene.keeper.next_due()
        assert due is None or due > now, "advance has done all that was due"
    now += 100 * SECOND
    for effect in scene.at(now, Renew(0)):
        if isinstance(effect, SignalTree):
            living[effect.job].append(effect.number)
    for effect in scene.at(now + 10 * SECOND):
        assert isinstance(effect, SignalTree)
        living[effect.job].append(effect.number)
    assert all(signals == [TERM, KILL] for signals in living.values())
