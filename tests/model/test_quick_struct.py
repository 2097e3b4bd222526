"""Goal: the structures that change with every job are set quickly, and are structures all the same.

Method: what the interpreter has made of an assignment after some hundred of them is read with `dis`.
"""

from __future__ import annotations

import dis

import pytest
from msgspec import Struct, json
from msgspec.structs import replace

from model.controller_job import ControllerJob
from model.downlink import Given
from model.hosted_attempt import HostedAttempt
from model.quick_struct import quick_to_set
from model.scheduled_job import ScheduledJob


@quick_to_set
class Count(Struct, eq=False, gc=False):
    value: int = 0


class Plain(Struct, eq=False, gc=False):
    value: int = 0


class Watched(Struct):
    value: int = 0


class Frozen(Struct, frozen=True, gc=False):
    value: int = 0


def instructions_to_set(count: Count | Plain) -> list[str]:
    """As the interpreter has them after a thousand assignments."""

    def count_up(count: Count | Plain) -> None:
        for number in range(1000):
            count.value = number

    for _ in range(3):
        count_up(count)
    return [each.opname for each in dis.get_instructions(count_up, adaptive=True) if "STORE_ATTR" in each.opname]


def test_the_place_of_a_field_is_remembered_by_the_interpreter() -> None:
    assert instructions_to_set(Count()) == ["STORE_ATTR_SLOT"]
    assert instructions_to_set(Plain()) != ["STORE_ATTR_SLOT"]  # else all this is not needed any more


def test_it_is_a_structure_all_the_same() -> None:
    count = Count(3)
    count.value += 1
    assert json.encode(count) == b'{"value":4}'
    assert replace(count, value=5).value == 5
    with pytest.raises(AttributeError):
        count.number = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("structure", [Watched, Frozen])
def test_one_that_msgspec_has_to_watch_is_refused(structure: type[Struct]) -> None:
    with pytest.raises(TypeError, match=structure.__name__):
        quick_to_set(structure)


@pytest.mark.parametrize("structure", [ScheduledJob, ControllerJob, Given, HostedAttempt])
def test_what_changes_with_every_job_is_set_quickly(structure: type[Struct]) -> None:
    assert structure.__setattr__ is object.__setattr__
