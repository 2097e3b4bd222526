"""Goal: a task whose jobs are alike makes the same jobs as one whose behaviour is asked for each.

Method: what `TaskState.prepare` gives is compared with what the behaviour says, for definitions with and without
something to replace in each of their words; a definition that changes; and numbers that are beyond all bounds.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from model.behaviour import DECLARED, DeclaredBehaviour
from model.bounds import NUMBER_MAX
from model.job import Block, JobSpec
from model.task import Periods, TaskDefinition
from model.task_state import TaskState

PLAIN = TaskDefinition("t", command=("run", "it"), slots=2, environment=(("HOME", "/tmp"),), stdout="out.txt")
WORDS: list[TaskDefinition] = [
    replace(PLAIN, command=("run", "$job")),
    replace(PLAIN, arguments=("${item}",)),
    replace(PLAIN, environment=(("NUMBER", "$job"),)),
    replace(PLAIN, stdout="$job.txt"),
    replace(PLAIN, stderr="$item.err"),
    replace(PLAIN, block=Block(before=("in/$item",))),
    replace(PLAIN, block=Block(after=("out/$job",))),
]


def jobs_of(task: TaskState) -> list[object]:
    return [task.prepare(7, None), task.prepare(8, "a"), task.prepare(9, "b")]


def asked_for_each(definition: TaskDefinition) -> list[object]:
    behaviour = DeclaredBehaviour()
    return [behaviour.prepare(definition, number, item) for number, item in ((7, None), (8, "a"), (9, "b"))]


@pytest.mark.parametrize("definition", [PLAIN, *WORDS])
def test_the_jobs_are_those_that_the_behaviour_makes(definition: TaskDefinition) -> None:
    task = TaskState(definition, DECLARED, 0)
    assert jobs_of(task) == asked_for_each(definition)
    assert (task.alike is None) is (definition is not PLAIN)


def test_jobs_without_an_item_share_one_specification() -> None:
    task = TaskState(PLAIN, DECLARED, 0)
    assert task.prepare(1, None) is task.prepare(2, None)


def test_a_new_definition_makes_other_jobs() -> None:
    task = TaskState(PLAIN, DECLARED, 0)
    for definition in (replace(PLAIN, command=("other",)), WORDS[0], PLAIN):
        task.define(definition, DECLARED)
        assert jobs_of(task) == asked_for_each(definition)


def test_another_behaviour_is_asked_for_each() -> None:
    class Numbered(DeclaredBehaviour):
        def prepare(self, task: TaskDefinition, job: int, item: str | None) -> JobSpec:
            return JobSpec(task.name, command=(str(job),))

    task = TaskState(PLAIN, Numbered(), 0)
    assert task.prepare(3, None) == JobSpec("t", command=("3",))
    task.define(PLAIN, DECLARED)
    task.define(PLAIN, task.behaviour)
    assert task.alike is not None


def test_numbers_beyond_all_bounds_are_bounded() -> None:
    periods = Periods(timeout_ns=NUMBER_MAX + 5, pending_ns=NUMBER_MAX + 5)
    task = TaskState(replace(PLAIN, periods=periods), DECLARED, 0)
    spec = task.prepare(1, "a")
    assert isinstance(spec, JobSpec)
    assert (spec.timeout_ns, spec.pending_ns, spec.item) == (NUMBER_MAX, NUMBER_MAX, "a")
