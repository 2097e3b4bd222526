"""Why a job that needs more than slots waits: which resource is short, on how many hosts. Called by
`explain_controller.py`; reads the machine, changes nothing. One look at all hosts: never on the way of a job.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from model.explain import Explanation, Reason
from model.host import Host
from model.resources import Amounts, amount_text, lacking, needed_text, shortfall
from model.shapes import SHAPES_MAX, UNSHAPED, Shape

if TYPE_CHECKING:
    from model.controller import Controller
    from model.controller_job import ControllerJob

HOSTS_NAMED = 3
"""Hosts that a sentence names."""


def explain_needs(controller: Controller, job: ControllerJob, only: Host | None, now: int) -> Explanation | None:
    """Why it waits; None: not for any of its needs. `only`: it waits for just this host."""
    needs, shape = job.spec.needs, job.shape
    if needs is None or not (needs.resources or needs.labels or needs.avoid):
        return None
    if shape is UNSHAPED:
        text = f"jobs of {SHAPES_MAX} other kinds of needs wait already"
        return Explanation(Reason.NOT_ITS_TURN, text, job.since_ns, None, ("all jobs of one of these kinds start",))
    shared = controller.placing.shared
    for name, amount in shape.shared:
        if shared.total[name] < amount:
            text = (
                f"needs {needed_text(name, amount)} of the cluster, which has {amount_text(name, shared.total[name])}"
            )
            return Explanation(Reason.NEVER_FITS, text, job.since_ns, None, (f"cluster.resources.{name} is raised",))
    hosts = list(controller.hosts.values()) if only is None else [only]
    could = [host for host in hosts if shape.could(host)]
    if not could:
        return Explanation(
            Reason.NEVER_FITS, _never(shape, hosts, only), job.since_ns, None, ("laulima host add NAME",)
        )
    able = [host for host in could if host.takes_work(now)]
    if not able:
        return _nobody_works(could, job) if only is None else None
    kept = controller.placing.reserving.host_of(job)
    if kept is not None:
        text = f"host {kept} is kept for it, since later jobs passed it too often; {_short_text(shape, able)}"
        return Explanation(Reason.NO_RESOURCE, text, job.since_ns, None, (f"jobs on {kept} end",))
    for name, amount in shape.shared:
        free = shared.free[name]
        if free < amount:
            total = amount_text(name, shared.total[name])
            text = (
                f"needs {needed_text(name, amount)} of the cluster, {amount_text(name, max(0, free))} of {total} free"
            )
            return Explanation(Reason.NO_RESOURCE, text, job.since_ns, None, (f"a job that has {name} ends",))
    return _short(controller, job, able)


def _nobody_works(could: list[Host], job: ControllerJob) -> Explanation:
    dues = [host.next_try_ns for host in could if host.next_try_ns is not None]
    dues += [host.health.until_ns for host in could if host.health.aside]
    count = "the one host that has" if len(could) == 1 else f"none of the {len(could)} hosts that have"
    text = f"{count} what it needs {'takes no' if len(could) == 1 else 'takes'} work"
    names = ", ".join(host.name for host in could[:HOSTS_NAMED])
    return Explanation(Reason.NO_HOST, text, job.since_ns, min(dues) if dues else None, (f"{names} comes up",))


def _short(controller: Controller, job: ControllerJob, able: list[Host]) -> Explanation:
    kept = [host for host in able if host.name in controller.placing.reserving.kept]
    text = _short_text(job.shape, able)
    if kept and len(kept) == len(able):
        other = controller.placing.reserving.kept[kept[0].name].words
        text = f"host {kept[0].name} is kept for {other}, which was passed too often"
    names = [host.name for host in able]
    more = "" if len(names) <= HOSTS_NAMED else f" or {len(names) - HOSTS_NAMED} more"
    return Explanation(
        Reason.NO_RESOURCE, text, job.since_ns, None, (f"a job on {', '.join(names[:HOSTS_NAMED])}{more} ends",)
    )


def _short_text(shape: Shape, able: list[Host]) -> str:
    """`needs 1 slot, 2 gpus on one host; of 4 hosts that have them 4 are short of gpus, 1 of slots`."""
    wanted = [("slots", shape.slots), *shape.own]
    short = [(sum(1 for host in able if _free(host, name) < amount), name) for name, amount in wanted]
    short = sorted([each for each in short if each[0]], key=lambda each: -each[0])
    found = ", ".join(
        f"{count} {'is' if count == 1 else 'are'} short of {name}" if at == 0 else f"{count} of {name}"
        for at, (count, name) in enumerate(short)
    )
    those = "of 1 host that has them" if len(able) == 1 else f"of {len(able)} hosts that have them"
    return f"needs {needs_text(shape)} on one host; {those} {found or 'none is short of anything'}"


def _free(host: Host, name: str) -> int:
    return host.free if name == "slots" else host.stock.free.get(name, 0)


def needs_text(shape: Shape) -> str:
    """`1 slot, 2 cpus, 4GiB memory, label fast`."""
    slots = "1 slot" if shape.slots == 1 else f"{shape.slots} slots"
    return ", ".join([slots, *_resources(shape.own), *(f"label {label}" for label in shape.labels)])


def _resources(amounts: Amounts) -> Iterator[str]:
    return (needed_text(name, amount) for name, amount in amounts)


def _never(shape: Shape, hosts: list[Host], only: Host | None) -> str:
    """No host will ever do: what the one lacks that comes nearest."""
    if not hosts:
        return f"needs {needs_text(shape)}, and no host is defined"
    lacks = {host.name: _lacking(shape, host) for host in hosts}
    nearest = min(hosts, key=lambda host: (len(lacks[host.name]), shortfall(shape.own, host.stock)))
    wants = f"needs {needs_text(shape)}"
    if only is not None:
        return f"{wants} of host {only.name}, which {', '.join(lacks[only.name])}"
    return f"{wants} on one host, and none has that; the nearest, {nearest.name}, {', '.join(lacks[nearest.name])}"


def _lacking(shape: Shape, host: Host) -> list[str]:
    slots = [f"has {host.slots} slots"] if host.slots < shape.slots else []
    return slots + lacking(shape.own, shape.labels, shape.avoid, host.name, host.stock, host.labels)
