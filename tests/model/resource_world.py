"""Builders for tests of resources: hosts that are declared, jobs that need something, and where they run. Used by
`test_resources.py` and `test_matching.py`.
"""

from __future__ import annotations

from model.configuration import ClusterDefinition, HostDefinition
from model.events import JobVerb, OrderJob, Submit
from model.explain import Reason
from model.job import JobId, JobSpec
from model.resources import Needs, Place
from tests.model.small_world import SmallWorld


def host(name: str, slots: int = 8, *labels: str, **resources: int) -> HostDefinition:
    return HostDefinition(name, slots, resources=tuple(sorted(resources.items())), labels=labels)


def world_of(*hosts: HostDefinition, **fields: object) -> SmallWorld:
    return SmallWorld((), ClusterDefinition(hosts=hosts, **fields))  # type: ignore[arg-type]


def needs(*labels: str, avoid: tuple[str, ...] = (), place: Place | None = None, **resources: int) -> Needs:
    return Needs(tuple(sorted(resources.items())), labels, avoid, place)


def submit(world: SmallWorld, wanted: Needs | None = None, seconds: float = 1000, **fields: object) -> int:
    """A job; its number."""
    command = ("run", str(seconds), "0")
    world.give(Submit(1, JobSpec("adhoc", command, needs=wanted, **fields)))  # type: ignore[arg-type]
    return world.answers[-1].job


def hosts_of(world: SmallWorld) -> dict[int, str]:
    """Running jobs and their hosts."""
    return {job: name for name, one in world.hosts.items() for job, _ in one.processes}


def why(world: SmallWorld, job: int) -> tuple[Reason, str]:
    found = world.controller.explain_attempt((JobId(job), 1), world.now)
    assert found is not None
    return found.reason, found.text


def kill(world: SmallWorld, job: int) -> None:
    world.give(OrderJob(1, JobVerb.KILL, job))
