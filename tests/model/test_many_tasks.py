"""Goal: ten thousand tasks whose sources are looked at cost what their looks cost, and hold no turn up. Method: the
Scheduler machine alone, asked whenever something is due; who is asked at which moment is counted. Costs are counted in
calls of functions, which do not depend on the machine."""

from __future__ import annotations

import cProfile
import pstats

from model.configuration import ClusterDefinition
from model.effects import AskSource
from model.events import IntakeVerb, OrderIntake, SourceAnswered
from model.job import SECOND
from model.scheduler import Scheduler
from model.spawning import GIVEN_MAX, SPREAD_STEP_NS, TOGETHER_MAX
from model.task import FilesSource, Periods, TaskDefinition

PERIOD_NS = 10 * SECOND
FEW, MANY = 500, 5_000
EVEN = 1.5
"""At most so many times the mean at one moment."""


def tasks(count: int, period_ns: int = PERIOD_NS) -> tuple[TaskDefinition, ...]:
    return tuple(
        TaskDefinition(f"task{number}", source=FilesSource(f"in{number}/*"), periods=Periods(exec_ns=period_ns))
        for number in range(count)
    )


def looks(count: int, until_ns: int, period_ns: int = PERIOD_NS) -> dict[int, list[str]]:
    """Which tasks' sources are looked at, by moment. None ever has an item."""
    scheduler = Scheduler(1, 0, ClusterDefinition(), tasks(count, period_ns))
    found: dict[int, list[str]] = {}
    while (now := scheduler.next_due()) is not None and now < until_ns:
        scheduler.advance(now)
        asked = [effect for effect in scheduler.drain() if isinstance(effect, AskSource)]
        found[now] = [question.task for question in asked]
        for question in asked:
            scheduler.receive(SourceAnswered(question.task, question.number, ()), now)
    return found


def test_all_are_looked_at_at_once_and_then_once_a_period_and_never_many_together() -> None:
    found = looks(MANY, 3 * PERIOD_NS)
    first = found.pop(0)
    assert len(first) == MANY
    later = {moment: names for moment, names in found.items() if moment >= PERIOD_NS}
    for begin in (PERIOD_NS, 2 * PERIOD_NS):
        names = [name for moment in later for name in later[moment] if begin <= moment < begin + PERIOD_NS]
        assert len(names) == len(set(names)) == MANY
    at_once = MANY * SPREAD_STEP_NS / PERIOD_NS
    # those that are few enough stay together, beside those that are spread
    assert max(map(len, found.values())) <= TOGETHER_MAX + EVEN * at_once


def test_those_of_a_small_pipeline_stay_together() -> None:
    assert {moment: len(names) for moment, names in looks(TOGETHER_MAX, 2 * SECOND, SECOND).items()} == {
        0: TOGETHER_MAX,
        SECOND: TOGETHER_MAX,
    }


def test_periods_shorter_than_a_step_are_held() -> None:
    period = SPREAD_STEP_NS // 2
    found = looks(2 * TOGETHER_MAX, 10 * period, period)
    assert {len(names) for names in found.values()} == {2 * TOGETHER_MAX}
    assert len(found) == 10


def test_whatever_else_happens_in_a_turn_it_gives_out_so_many_items_and_no_more() -> None:
    """Each end of a job, each order asks the task whether it may go on."""
    scheduler = Scheduler(1, 0, ClusterDefinition(), tasks(1))
    scheduler.advance(0)
    [question] = [effect for effect in scheduler.drain() if isinstance(effect, AskSource)]
    items = tuple(f"in0/{number}" for number in range(3 * GIVEN_MAX))
    scheduler.receive(SourceAnswered(question.task, question.number, items), 0)
    for turn in (1, 2, 3):
        now = scheduler.next_due() if turn > 1 else 0
        assert now is not None
        for request in range(5):
            scheduler.receive(OrderIntake(request, IntakeVerb.RESUME), now)
            scheduler.advance(now)
        assert len(scheduler.jobs) == turn * GIVEN_MAX


def test_a_question_may_take_as_long_when_the_period_is_long() -> None:
    """The first grid of a spread task begins before its period is over; its question is as patient as any."""
    scheduler = Scheduler(1, 0, ClusterDefinition(), tasks(2 * TOGETHER_MAX, 3600 * SECOND))
    scheduler.advance(0)
    scheduler.drain()
    due = scheduler.next_due()
    assert due is not None
    assert due >= SECOND


def calls_to_define(count: int) -> int:
    profile = cProfile.Profile()
    definitions = tasks(count)
    profile.runcall(Scheduler, 1, 0, ClusterDefinition(), definitions)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def test_a_start_with_many_tasks_costs_as_many_times_more() -> None:
    few, many = calls_to_define(FEW), calls_to_define(2 * FEW)
    assert many <= 2.1 * few
