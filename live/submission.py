"""An ad-hoc job: what `submit` says, made into a specification. Called by `live/requests.py`."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from model.behaviour import DECLARED
from model.bounds import Count
from model.errors import OperatorError
from model.job import LOCAL, HostWish, JobSpec
from model.near_miss import nearest
from model.view_rows import Machines

NO_TASK = "(submit)"
"""Task name of a job that is like no task: no task can be called so, and the job has no handlers."""


class Submission(Struct, frozen=True):
    """`like`: the task whose limits of time, environment, files to wait for and handlers the job gets; what is said
    here goes before it. None: said by nobody."""

    command: tuple[str, ...]
    like: str | None = None
    host: str | None = None
    required: bool = False
    slots: Count | None = None
    timeout_ns: Count | None = None
    pending_ns: Count | None = None
    environment: dict[str, str] = {}
    directory: str | None = None
    wait: bool = False


def specification(given: Submission, machines: Machines) -> JobSpec:
    """Raises OperatorError when it cannot be a job."""
    if not given.command or not given.command[0]:
        raise OperatorError("a job needs a command", "laulima submit -- COMMAND [ARGUMENT...]")
    words = (*given.command, given.directory or "", *given.environment, *given.environment.values())
    if any("\0" in word for word in words):
        raise OperatorError("a command, its directory and its variables cannot hold a NUL byte")
    base = _like(given.like, machines) if given.like is not None else JobSpec(NO_TASK, host=_default_host(machines))
    environment = dict(base.environment) | given.environment
    changes = {
        name: value
        for name in ("slots", "timeout_ns", "pending_ns", "directory")
        if (value := getattr(given, name)) is not None
    }
    if given.host is not None:
        changes["host"] = msgspec.structs.replace(base.host, name=given.host, required=given.required)
    if changes.get("slots", 1) < 1:
        raise OperatorError("a job needs at least one slot")
    return msgspec.structs.replace(
        base, command=given.command, call=None, arguments=(), environment=tuple(environment.items()), **changes
    )


def _like(name: str, machines: Machines) -> JobSpec:
    task = machines.scheduler.spawning.tasks.get(name)
    if task is None:
        meant = nearest(name, machines.scheduler.spawning.tasks)
        raise OperatorError(f"there is no task {name}{meant}", "what there is: laulima tasks")
    spec = DECLARED.prepare(task.definition, 0, None)
    assert isinstance(spec, JobSpec)
    return spec


def _default_host(machines: Machines) -> HostWish:
    """Any host of the controller; the server's own machine when there is none."""
    return HostWish() if machines.elsewhere or machines.controller.hosts else HostWish(LOCAL, required=True)
