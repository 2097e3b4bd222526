"""Goal: a behaviour that takes its time, or fails, holds up and stops its own task only. Method: the small world; a
behaviour that always says LATER, and a test that answers for it, or does not.
"""

from __future__ import annotations

from msgspec.structs import replace

from model.behaviour import Behaviour, Later, Reaction, Skip
from model.bounds import NUMBER_MAX
from model.effects import Prepare, React
from model.events import DefineTask, OrderTask, Prepared, Reacted, TaskVerb
from model.explain import Reason
from model.job import JobSpec, Report
from model.spawning import ASK_LIMIT_NS
from model.task import FilesSource, Retry, TaskDefinition
from tests.model.small_world import SECOND, SmallWorld, task


class Slow:
    """Answers nothing at once."""

    def prepare(self, task: TaskDefinition, job: int, item: str | None) -> JobSpec | Skip | Later:
        return Later.LATER

    def react(self, task: TaskDefinition, spec: JobSpec, report: Report, retries: int) -> Reaction | Later:
        return Later.LATER


SPEC = JobSpec("slow", ("run", "1", "3"))


def world_of(*more: TaskDefinition, **fields: object) -> SmallWorld:
    return SmallWorld((task("slow", every=10, **fields), *more), behaviours={"slow": Slow()})


def asked(world: SmallWorld, kind: type) -> list[Prepare | React]:
    return [question for question in world.asked if type(question) is kind]


def answer(world: SmallWorld, given: JobSpec | Skip = SPEC, error: str = "") -> None:
    question = asked(world, Prepare)[-1]
    assert isinstance(question, Prepare)
    world.give(Prepared("slow", question.number, given, error))


def test_a_prepared_job_runs_and_its_end_waits_for_the_reaction() -> None:
    world = world_of()
    world.run(1)
    answer(world)
    world.run(2)
    assert world.ends == [], "no end is recorded before what follows from it"
    (question,) = asked(world, React)
    assert isinstance(question, React)
    assert question.report.exit_code == 3
    world.give(Reacted(1, 1, Reaction(good=True)))
    assert [(end.final, end.good) for end in world.ends] == [(True, True)]
    assert world.controller.jobs == {}


def test_what_is_prepared_for_an_earlier_definition_is_looked_at_although_the_jobs_of_the_new_one_are_alike() -> None:
    behaviours: dict[str, Behaviour] = {"slow": Slow()}
    world = SmallWorld((task("slow", every=10),), behaviours=behaviours)
    world.run(1)
    behaviours.clear()
    world.give(DefineTask(1, task("slow", "run", "1", "0", every=10)))
    answer(world, replace(SPEC, timeout_ns=NUMBER_MAX + 1))
    (made,) = world.made
    assert made.spec == replace(SPEC, timeout_ns=NUMBER_MAX)


def test_a_reaction_may_ask_for_a_retry() -> None:
    world = world_of()
    world.run(1)
    answer(world)
    world.run(2)
    world.give(Reacted(1, 1, Reaction(retry=Retry(times=1, backoff_ns=SECOND))))
    world.run(2)
    assert [(end.attempt, end.final) for end in world.ends] == [(1, False)]
    assert world.scheduler.jobs[1].attempt == 2  # type: ignore[index]


def test_a_skip_is_counted_with_its_reason_and_makes_no_job() -> None:
    world = world_of()
    world.run(1)
    answer(world, Skip("nothing to reduce"))
    assert world.made == []
    assert world.scheduler.spawning.tasks["slow"].skipped["nothing to reduce"] == 1
    world.run(10)
    assert len(asked(world, Prepare)) == 2


def test_a_preparation_that_fails_stops_its_own_task_only_and_keeps_its_item() -> None:
    world = world_of(task("other", every=10), source=FilesSource("*"))
    world.items["slow"] = ("a",)
    world.run(1)
    answer(world, error="no such variable: x")
    world.run(30)
    found = world.scheduler.explain_task("slow", world.now)
    assert found is not None
    assert found.reason is Reason.FAULTED
    assert "no such variable: x" in found.text
    assert {record.spec.task for record in world.made} == {"other"}
    world.give(OrderTask(1, TaskVerb.RELEASE, "slow"))
    answer(world)
    world.run(3)
    assert [record.spec.task for record in world.made].count("slow") == 1


def test_one_that_never_answers_is_given_up_and_nobody_else_waits() -> None:
    world = world_of(task("other", every=10))
    world.run(ASK_LIMIT_NS / SECOND + 1)
    found = world.scheduler.explain_task("slow", world.now)
    assert found is not None
    assert found.reason is Reason.FAULTED
    assert len([record for record in world.made if record.spec.task == "other"]) == 7
    answer(world)
    assert not [record for record in world.made if record.spec.task == "slow"], "an answer that comes late is no answer"


def test_a_reaction_that_never_comes_leaves_the_end_as_it_is() -> None:
    world = world_of()
    world.run(1)
    answer(world)
    world.run(ASK_LIMIT_NS / SECOND + 3)
    assert world.ends[0].final
    assert not world.ends[0].good


def test_an_end_that_was_being_reacted_to_is_reacted_to_again_after_a_restart() -> None:
    world = world_of()
    world.run(1)
    answer(world)
    world.run(2)
    world.restart_server()
    world.run(2)
    assert [end.report.exit_code for end in world.ends] == [3]
    assert sum(sum(host.ran.values()) for host in world.hosts.values()) == 1
