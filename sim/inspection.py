"""The last look at a world whose run is over: what its machines hold, against each other and against the journal.

The oracle reads the log and asks no machine; this looks into them, for what leaves no trace in a log: a slot that is
never free again, a list that only grows, a memory that a restart would not bring back. For worlds in which everything
was healed and became final (the swarm's); asked by `sim/torture.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from model.agent import Agent
from model.controller import Controller
from model.host import HostOrder, HostState
from model.job import LOCAL
from model.records import Record
from model.restored import fold
from model.scheduler import Scheduler
from sim.world import World


def inspect(world: World) -> list[str]:
    """What is not as it must be when nothing is left to do, in sentences."""
    return [*_scheduler(world), *_controller(world), *_hosts(world)]


def _scheduler(world: World) -> Iterator[str]:
    node = world.nodes["scheduler"]
    machine = node.machine
    if not isinstance(machine, Scheduler):
        yield "the scheduler does not run"
        return
    for name, executor in machine.executors.items():
        if executor.link.given:
            yield f"the scheduler believes that {name} holds {sorted(executor.link.given)}"
        if executor.barred or executor.overdue:
            yield f"jobs {sorted([*executor.barred, *executor.overdue])} wait for {name}"
        if executor.standing or executor.waiting:
            yield f"{executor.standing} jobs stand before {name}, and it has {executor.waiting} that wait"
    for name, task in machine.spawning.tasks.items():
        if task.in_flight or task.running:
            yield f"task {name} counts {task.in_flight} jobs in flight, {task.running} running"
    if node.journal is not None:
        yield from _memory(machine, node.journal)


def _memory(machine: Scheduler, journal: list[Record]) -> Iterator[str]:
    """What a restart would bring back is what is known."""
    restored = fold(journal).scheduler
    if restored.next_job != machine.next_job:
        yield f"the next job is {machine.next_job}, after a restart it would be {restored.next_job}"
    for name, task in machine.spawning.tasks.items():
        old = restored.tasks.get(name)
        told = (0, 0, 0) if old is None else (old.made, old.done, old.failed)
        known = (task.made, task.done, task.failed)
        if told != known:
            yield f"task {name} counts {known} made, done, failed; after a restart it would be {told}"


def _controller(world: World) -> Iterator[str]:
    machine = world.nodes["controller"].machine
    if not isinstance(machine, Controller):
        yield "the controller does not run"
        return
    if machine.jobs:
        yield f"the controller holds attempts {sorted(machine.jobs)}"
    for resource, used, total in machine.placing.shared.used():
        if used:
            yield f"{used} of {total} {resource} of the cluster are given out, and nothing runs"
    for name, host in machine.hosts.items():
        rests = (HostState.OFF,) if host.order is HostOrder.OFF else (HostState.UP, HostState.DRAINING, HostState.ASIDE)
        if host.state not in rests:
            yield f"host {name} is {host.state.value}: {host.reason}"
        for resource, used, total in host.stock.used():
            if used:
                yield f"host {name} has given out {used} of {total} {resource}, and nothing runs"
        if host.gpus_used:
            yield f"host {name} has given out GPUs {sorted(host.gpus_used)}, and nothing runs"
        if host.free != host.slots or host.holding or host.link.given:
            yield f"host {name} has {host.free} of {host.slots} slots free, {host.holding} attempts, and nothing runs"


def _hosts(world: World) -> Iterator[str]:
    controller = world.nodes["controller"].machine
    table = controller.hosts if isinstance(controller, Controller) else {}
    for name, system in world.systems.items():
        machine = world.nodes[name].machine
        if not isinstance(machine, Agent):
            yield f"the agent of {name} does not run"
            continue
        unused = name != LOCAL and (name not in table or table[name].order is HostOrder.OFF)
        if unused and not machine.busy:
            continue  # nobody speaks to it any more: what ended there is kept until somebody does
        if machine.attempts or machine.busy:
            yield f"the agent of {name} holds attempts {sorted(machine.attempts)} and {machine.busy} slots"
        if system.spool:
            yield f"the spool of {name} keeps attempts {sorted(system.spool)}"
