"""Goal: a batch system's jobs run once at most, end in one way, and are never judged without its word.

Method: the machine between a real superior and a modelled batch system (`batch_world.py`). First sentences about single
events; then Hypothesis does anything in any order, and in the end a healthy batch system must bring everything to an
end.
"""

from __future__ import annotations

import pytest

from model.batch_words import REST, BatchStatus, Refusal, Stopped
from model.channel import ChannelTimes
from model.job import SECOND, Block, JobId, JobSpec, Outcome
from tests.model.batch_world import LONG_NS, SETTINGS, Element, World


def submitted(world: World, *numbers: int, **wishes: object) -> list[Element]:
    """These jobs are given, and the batch system has taken them."""
    for number in numbers or (1,):
        world.assign(number, **wishes)
    world.pass_time(SETTINGS.window_ns)
    while world.to_submit:
        world.answer_submit(None)
    return world.elements


def polled(world: World, **how: bool) -> None:
    """The next poll comes and is answered, and so is what it leads to."""
    while not world.polls:
        world.pass_time(SECOND)
    world.answer_poll(**how)
    world.answer_claims()


def only_end(world: World) -> tuple[Outcome, int | None, str, bool]:
    """The one end that was reported."""
    [report] = world.ends.values()
    return report.outcome, report.exit_code, report.reason, report.started


# submitting


def test_jobs_that_come_within_the_window_and_wish_the_same_are_one_submission() -> None:
    world = World()
    world.assign(1)
    world.assign(2, slots=2)
    world.assign(3)
    assert not world.to_submit
    world.pass_time(SETTINGS.window_ns)
    assert [key[0] for key in world.to_submit[0].submission.attempts] == [1, 3]
    world.answer_submit(None)
    world.pass_time(1)
    assert [key[0] for key in world.to_submit[0].submission.attempts] == [2]


def test_a_submission_is_not_longer_than_the_batch_system_takes() -> None:
    world = World()
    for number in range(1, 6):
        world.assign(number)
    world.pass_time(SETTINGS.window_ns)
    assert len(world.to_submit[0].submission.attempts) == SETTINGS.array_max


def test_a_submission_is_written_down_before_it_is_made() -> None:
    world = World()
    world.assign(1)
    world.pass_time(SETTINGS.window_ns)
    assert list(world.kept.attempts) == [(1, 1)]


def test_runners_have_a_lease_before_anything_is_submitted() -> None:
    world = World()
    world.assign(1)
    assert world.leases, "before the window is over"


def test_what_the_batch_system_refuses_ends_with_its_sentence() -> None:
    world = World()
    world.assign(1)
    world.pass_time(SETTINGS.window_ns)
    world.answer_submit(Refusal.REFUSED)
    world.answer_claims()
    assert only_end(world) == (Outcome.OVERLOADED, None, "it said no", False)


def test_what_it_does_not_take_now_is_submitted_again_and_no_more_is_wanted_meanwhile() -> None:
    world = World()
    world.assign(1)
    world.pass_time(SETTINGS.window_ns)
    world.answer_submit(Refusal.LATER)
    world.answer_claims()
    assert world.agent.dirty == "it said no"
    world.pass_time(3 * SECOND)
    world.answer_submit(None)
    assert not world.agent.dirty
    world.work(lambda: bool(world.ends))
    assert world.ran == {(1, 1): 1}


def test_a_submission_of_which_nothing_is_known_is_asked_for_before_it_is_made_again() -> None:
    world = World()
    world.assign(1)
    world.pass_time(SETTINGS.window_ns)
    world.answer_submit(Refusal.UNCLEAR, taken=True)
    world.pass_time(30 * SECOND)
    assert not world.to_submit, "nobody has been asked yet"
    polled(world)
    world.pass_time(30 * SECOND)
    assert not world.to_submit, "it was taken"


def test_a_submission_that_was_lost_is_made_again_and_cannot_start_when_it_turns_up() -> None:
    world = World()
    world.assign(1)
    world.pass_time(SETTINGS.window_ns)
    lost = world.answer_submit(Refusal.UNCLEAR)
    polled(world)
    world.pass_time(3 * SECOND)
    world.take(lost)
    assert not world.start(world.elements[0])
    world.work(lambda: bool(world.ends))
    assert world.ran == {(1, 1): 1}


def test_a_silent_batch_system_does_not_lose_an_unclear_submission() -> None:
    world = World()
    world.assign(1)
    world.pass_time(SETTINGS.window_ns)
    world.answer_submit(Refusal.UNCLEAR, taken=True)
    for _ in range(5):
        polled(world, silent=True)
    assert not world.to_submit
    assert not world.ends


def test_trouble_is_forgotten_when_nobody_is_left_who_would_find_out() -> None:
    world = World()
    key = world.assign(1)
    world.pass_time(SETTINGS.window_ns)
    world.answer_submit(Refusal.LATER)
    world.answer_claims()
    world.cancel(key)
    assert not world.agent.dirty


# what it says


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (BatchStatus.TIMED_OUT, Outcome.TIMED_OUT),
        (BatchStatus.OUT_OF_MEMORY, Outcome.CRASHED),
        (BatchStatus.NODE_FAILED, Outcome.LOST),
        (BatchStatus.CANCELLED, Outcome.KILLED),
        (BatchStatus.PREEMPTED, Outcome.LOST),
        (BatchStatus.DEADLINE, Outcome.TIMED_OUT),
        (BatchStatus.NOT_STARTED, Outcome.LOST),
    ],
)
def test_each_end_of_the_batch_system_is_one_of_ours(status: BatchStatus, outcome: Outcome) -> None:
    world = World()
    [element] = submitted(world)
    world.start(element)
    polled(world)
    world.fail(element, status)
    polled(world)
    found, _, reason, started = only_end(world)
    assert (found, started) == (outcome, True)
    assert "101_0" in reason
    assert world.ends[JobId(1), 1].oom == (status is BatchStatus.OUT_OF_MEMORY)


def test_a_job_that_was_cancelled_there_before_its_start_did_certainly_not_run() -> None:
    world = World()
    [element] = submitted(world)
    world.fail(element, BatchStatus.CANCELLED)
    polled(world)
    assert only_end(world)[0] is Outcome.KILLED
    assert not only_end(world)[3]


def test_elements_that_were_cancelled_together_may_be_one_line_of_the_list() -> None:
    world = World()
    first, second, third = submitted(world, 1, 2, 3)
    world.start(first)
    world.fail(second, BatchStatus.CANCELLED)
    second.index = REST
    world.elements.remove(third)
    polled(world)
    assert {key[0]: report.outcome for key, report in world.ends.items()} == {2: Outcome.KILLED, 3: Outcome.KILLED}


def test_the_exit_code_is_the_runners_word_and_needs_no_list() -> None:
    world = World()
    [element] = submitted(world)
    world.start(element)
    world.end(element, 7)
    world.elements.clear()
    polled(world)
    assert only_end(world) == (Outcome.EXITED, 7, "", True)


def test_without_a_mark_the_batch_systems_exit_code_counts_after_a_while() -> None:
    world = World()
    [element] = submitted(world)
    world.start(element)
    polled(world)
    world.end(element, 7)
    world.finished.clear()
    polled(world)
    assert not world.ends, "the mark may only be invisible yet"
    world.pass_time(LONG_NS)
    polled(world)
    assert only_end(world)[:2] == (Outcome.EXITED, 7)


def test_only_the_batch_system_knows_why_a_job_was_killed() -> None:
    world = World()
    [element] = submitted(world)
    world.start(element)
    world.end(element, stopped=Stopped.TOLD, number=15)
    element.status = BatchStatus.ENDING
    polled(world)
    assert not world.ends
    element.status = BatchStatus.TIMED_OUT
    polled(world)
    assert only_end(world)[0] is Outcome.TIMED_OUT
    assert world.ends[JobId(1), 1].ran_for_ns == SECOND


@pytest.mark.parametrize(("exit_code", "number"), [(0, 15), (143, 0)])
def test_a_signal_that_reached_the_job_before_its_runner_is_the_batch_systems_as_well(
    exit_code: int, number: int
) -> None:
    """Also when it reached the command that the job's shell runs before the shell: that exits with 128 + 15 then."""
    world = World()
    [element] = submitted(world)
    world.start(element)
    world.end(element, exit_code, number=number)
    element.status = BatchStatus.ENDING
    polled(world)
    assert not world.ends
    element.status = BatchStatus.CANCELLED
    polled(world)
    assert only_end(world)[0] is Outcome.KILLED


def test_a_job_that_exits_with_143_by_itself_has_done_just_that() -> None:
    world = World()
    [element] = submitted(world)
    world.start(element)
    world.end(element, 143)
    polled(world)
    assert only_end(world)[:2] == (Outcome.EXITED, 143)


def test_a_job_that_was_ended_from_here_and_whose_shell_exits_with_143_was_killed() -> None:
    """The signal reached the command before the shell and its runner, and the batch system lists an exit."""
    world = World()
    [element] = submitted(world)
    world.start(element)
    polled(world)
    world.end(element, 143)
    world.cancel(world.key_of(element))
    polled(world)
    assert only_end(world)[0] is Outcome.KILLED


def test_a_kill_by_the_kernel_is_out_of_memory_when_the_batch_system_says_so() -> None:
    world = World()
    [element] = submitted(world)
    world.start(element)
    world.end(element, number=9)
    element.status = BatchStatus.OUT_OF_MEMORY
    polled(world)
    assert world.ends[JobId(1), 1].oom


def test_what_is_neither_listed_nor_marked_is_lost_after_a_while_and_not_before() -> None:
    world = World()
    [element] = submitted(world)
    world.start(element)
    polled(world)
    world.elements.clear()
    polled(world)
    polled(world)
    assert not world.ends
    world.pass_time(LONG_NS)
    polled(world)
    assert only_end(world)[0] is Outcome.LOST


def test_a_list_that_was_short_once_loses_nothing() -> None:
    world = World()
    submitted(world)
    elements, world.elements = world.elements, []
    polled(world)
    world.elements = elements
    polled(world)
    world.pass_time(LONG_NS)
    polled(world)
    assert not world.ends


def test_what_the_batch_system_starts_again_is_lost_and_not_run_twice() -> None:
    world = World()
    [element] = submitted(world)
    world.start(element)
    polled(world)
    world.fail(element, BatchStatus.WAITING)
    polled(world)
    assert only_end(world)[0] is Outcome.LOST
    assert world.cancelled == ["101_0"]
    assert not world.start(element)


def test_a_runner_that_did_not_start_is_said_to_be_not_found() -> None:
    world = World()
    [element] = submitted(world)
    element.status, element.exit_code = BatchStatus.EXITED, 127
    polled(world)
    world.pass_time(LONG_NS)
    polled(world)
    outcome, _, reason, started = only_end(world)
    assert (outcome, started) == (Outcome.COMMAND_NOT_FOUND, False)
    assert "exit 127" in reason


def test_a_start_whose_mark_comes_late_is_not_taken_for_none() -> None:
    world = World()
    [element] = submitted(world)
    world.start(element)
    world.end(element, number=11)
    polled(world, late_marks=True)
    polled(world)
    assert world.ends[JobId(1), 1].signal == 11


def test_why_a_job_waits_and_where_it_runs_is_told() -> None:
    world = World()
    [element] = submitted(world)
    polled(world)
    assert world.why((JobId(1), 1)) == "101_0: Resources"
    element.reason = "Priority"
    polled(world)
    assert world.why((JobId(1), 1)) == "101_0: Priority"
    world.start(element)
    polled(world)
    assert world.why((JobId(1), 1)) == "101_0 on n1"
    said = len(world.words)
    polled(world)
    assert len(world.words) == said, "it is said when it changes"


# silence


def test_nothing_is_judged_while_the_batch_system_is_silent() -> None:
    world = World()
    [element] = submitted(world)
    world.start(element)
    polled(world)
    world.elements.clear()
    for _ in range(10):
        polled(world, silent=True)
    assert not world.ends
    assert world.agent.dirty == "slurm does not answer"


def test_a_silent_batch_system_is_asked_less_and_less_often() -> None:
    world = World()
    submitted(world)
    pauses = []
    for _ in range(8):
        before = world.now
        polled(world, silent=True)
        pauses.append(world.now - before)
    assert pauses[1:] == sorted(pauses[1:])
    assert pauses[-1] <= 60 * SECOND


# ending


def test_a_waiting_job_that_is_killed_cannot_start_any_more() -> None:
    world = World()
    [element] = submitted(world)
    world.cancel((JobId(1), 1))
    world.answer_claims()
    assert only_end(world) == (Outcome.KILLED, None, "killed", False)
    assert not world.start(element)


def test_what_nobody_wants_any_more_is_cancelled_there() -> None:
    world = World()
    submitted(world)
    world.cancel((JobId(1), 1))
    world.answer_claims()
    world.acknowledge((JobId(1), 1))
    polled(world)
    assert world.cancelled == ["101_0"]
    assert world.agent.is_busy, "until the batch system has obeyed"
    polled(world)
    assert not world.agent.is_busy


def test_a_running_job_ends_when_its_runner_says_so() -> None:
    world = World()
    [element] = submitted(world)
    world.start(element)
    polled(world)
    world.cancel((JobId(1), 1))
    assert not world.ends
    polled(world)
    polled(world)
    assert only_end(world) == (Outcome.KILLED, None, "killed", True)


def test_a_job_that_started_in_the_last_moment_is_not_timed_out() -> None:
    world = World()
    [element] = submitted(world, pending_ns=30 * SECOND)
    polled(world)
    world.pass_time(29 * SECOND)
    world.start(element)
    while not world.to_claim:
        world.pass_time(SECOND)
    world.answer_claims()
    world.work(lambda: bool(world.ends))
    assert only_end(world)[:2] == (Outcome.EXITED, 0)


def test_a_job_that_waits_too_long_says_what_for() -> None:
    world = World()
    submitted(world, pending_ns=30 * SECOND)
    polled(world)
    world.work(lambda: bool(world.ends), start=False)
    assert only_end(world) == (Outcome.PENDING_TIMEOUT, None, "101_0: Resources", False)


def test_when_the_lease_ends_everything_ends() -> None:
    world = World(times=ChannelTimes(lease_ns=60 * SECOND))
    first, _ = submitted(world, 1, 2)
    world.start(first)
    polled(world)
    world.cut()
    world.pass_time(61 * SECOND)
    while world.polls or world.to_claim:
        world.answer_claims()
        if world.polls:
            world.answer_poll()
    world.pass_time(2 * SECOND)
    if world.polls:
        world.answer_poll()
    assert {attempt.report.outcome for attempt in world.agent.attempts.values() if attempt.report} == {Outcome.LOST}
    assert "101_0" in world.cancelled


def test_a_callable_and_a_job_that_is_too_large_are_refused() -> None:
    world = World()
    world.assign(1, slots=101)
    key = (JobId(2), 1)
    world.superior.assign(key, JobSpec("task", call="a:b"), 0, world.now)
    world.settle()
    assert [report.outcome for report in world.ends.values()] == [Outcome.OVERLOADED, Outcome.COMMAND_NOT_FOUND]


def test_files_are_waited_for_before_the_start_and_after_the_end() -> None:
    world = World()
    world.assign(1, block=Block(("a",), ("b",), 60 * SECOND))
    world.pass_time(SECOND)
    assert not world.to_submit
    world.answer_looks("a")
    world.pass_time(2 * SECOND)
    world.answer_looks()
    world.pass_time(SECOND)
    world.answer_submit(None)
    world.start(world.elements[0])
    world.end(world.elements[0])
    polled(world)
    assert [look.paths for look in world.looks] == [("b",)]
    assert not world.ends
    world.answer_looks()
    assert only_end(world)[:2] == (Outcome.EXITED, 0)


# the agent is killed


def test_after_a_crash_what_was_submitted_goes_on_and_is_not_submitted_again() -> None:
    world = World()
    first, _second = submitted(world, 1, 2)
    world.start(first)
    world.crash()
    polled(world)
    assert not world.to_submit
    world.work(lambda: len(world.ends) == 2)
    assert world.ran == {(1, 1): 1, (2, 1): 1}


def test_what_was_taken_and_is_forgotten_there_is_not_submitted_again_by_the_next_life() -> None:
    world = World()
    submitted(world)
    world.crash()
    world.elements.clear()
    polled(world)
    world.pass_time(LONG_NS)
    polled(world)
    assert only_end(world)[0] is Outcome.LOST, "somebody may have cancelled it"
    assert not only_end(world)[3]
    assert len(world.specs) == 1


@pytest.mark.parametrize("taken", [True, False])
def test_a_crash_while_it_submits_is_decided_by_asking(taken: bool) -> None:
    world = World()
    world.assign(1)
    world.pass_time(SETTINGS.window_ns)
    number = world.to_submit[0].submission.number
    if taken:
        world.take(number)
    world.crash()
    assert not world.to_submit
    world.work(lambda: bool(world.ends))
    assert world.ran == {(1, 1): 1}
    assert (world.specs.keys() == {number}) == taken


def test_an_end_that_was_said_is_said_again_by_the_next_life() -> None:
    world = World()
    [element] = submitted(world)
    world.start(element)
    world.end(element, 3)
    polled(world)
    world.crash()
    assert only_end(world)[:2] == (Outcome.EXITED, 3)
    world.acknowledge((JobId(1), 1))
    assert not world.agent.attempts
    assert not world.kept.attempts
