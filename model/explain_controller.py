"""Why an attempt or a host is where it is, as the controller sees it. Reads the machine, changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.ahead import Pace
from model.configuration import Order
from model.explain import Explanation, Reason
from model.explain_needs import explain_needs
from model.host import Host, HostState
from model.job_numbers import number_text
from model.resources import amount_text

if TYPE_CHECKING:
    from model.controller import Controller
    from model.controller_job import ControllerJob

_BY_HOST_STATE = {
    HostState.OFF: Reason.HOST_OFF,
    HostState.DOWN: Reason.HOST_DOWN,
    HostState.CONNECTING: Reason.HOST_CONNECTING,
    HostState.SILENT: Reason.HOST_SILENT,
    HostState.DRAINING: Reason.HOST_DRAINING,
    HostState.ASIDE: Reason.HOST_ASIDE,
}
_OPENED_BY_A_PERSON = frozenset({HostState.OFF, HostState.DRAINING, HostState.ASIDE})


def explain_attempt(controller: Controller, job: ControllerJob, now: int) -> Explanation:
    """Why this attempt does not run, or what it does."""
    if not job.queued:
        return _explain_given(job)
    found = _explain_wait(controller, job, now)
    dues = [found.until_ns, controller.placing.pending_ends(job), controller.placing.preference_ends(job.key)]
    known = [due for due in dues if due is not None]
    return Explanation(found.reason, found.text, job.since_ns, min(known) if known else None, found.changes)


def _explain_given(job: ControllerJob) -> Explanation:
    host = job.host.name if job.host is not None else ""
    reason = {
        "given to its host": Reason.NOT_ANSWERED,
        "waits on its host": Reason.NO_SLOT,
        "running": Reason.RUNS,
        "being ended": Reason.STOPPING,
    }.get(job.state.value, Reason.ENDED)
    if reason is Reason.ENDED:
        return Explanation(reason, "its end waits to be recorded by the scheduler", job.since_ns)
    if job.host is not None and job.host.state is not HostState.UP:
        trouble = _BY_HOST_STATE.get(job.host.state, reason)
        until = job.host.link.lost_at if job.host.state in (HostState.DOWN, HostState.SILENT) else None
        text = f"{job.state.value} ({host}), and the host is {job.host.state.value}: {job.host.reason}"
        return Explanation(trouble, text, job.since_ns, until, (f"{host} answers",))
    if job.host is not None and job.pace is Pace.AHEAD:
        text = f"given ahead to {host}: it starts there behind brief jobs, or comes back"
        return Explanation(Reason.NO_SLOT, text, job.since_ns, None, (f"a job on {host} ends",))
    given = None if job.host is None else job.host.link.given.get(job.key)
    where = f"{host}: {given.why}" if given is not None and given.why else host
    return Explanation(reason, f"{job.state.value} ({where})", job.since_ns)


def _explain_wait(controller: Controller, job: ControllerJob, now: int) -> Explanation:
    wish = job.spec.host
    if controller.cluster.order is Order.STRICT:
        first = controller.placing.any_queue.first_of(job.superior)
        if first is not None and first.key < job.key:
            text = f"order: strict, {first.words} came before it"
            return Explanation(Reason.NOT_ITS_TURN, text, job.since_ns, None, (f"{first.words} starts",))
    if job.superior.is_full:
        text = f"{job.superior.in_flight} jobs of its scheduler are at hosts, and no more may be (in_flight_max)"
        return Explanation(Reason.NOT_ITS_TURN, text, job.since_ns, None, ("one of them ends",))
    if wish.name is not None and not job.anywhere:
        return _explain_one_host(controller, job, wish.name, now)
    return _explain_any_host(controller, job, now)


def _explain_one_host(controller: Controller, job: ControllerJob, name: str, now: int) -> Explanation:
    host = controller.hosts.get(name)
    kind = "required" if job.spec.host.required else "preferred"
    if host is None:
        text = f"needs host {name} ({kind}), which is not defined"
        return Explanation(Reason.HOST_UNKNOWN, text, job.since_ns, None, (f"laulima host add {name}",))
    if job.slots > host.slots:
        text = f"needs {job.slots} slots of host {name}, which has {host.slots}"
        return Explanation(Reason.HOST_TOO_SMALL, text, job.since_ns)
    found = explain_needs(controller, job, host, now)
    if found is not None:
        return found
    if not host.takes_work(now):
        return _explain_host_trouble(host, f"needs host {name} ({kind}), which is", job.since_ns)
    kept = controller.placing.reserving.kept.get(name)
    if kept is not None and kept is not job:
        text = f"needs host {name} ({kind}), which is kept for {kept.words}: that was passed too often"
        return Explanation(Reason.NOT_ITS_TURN, text, job.since_ns, None, (f"{kept.words} starts",))
    text = f"needs {job.slots} of {host.slots} slots of host {name} ({kind}), {max(0, host.free)} free"
    return Explanation(Reason.NO_SLOT, text, job.since_ns, None, (f"a job on {name} ends",))


def _explain_host_trouble(host: Host, intro: str, since_ns: int) -> Explanation:
    found = explain_host_state(host)
    return Explanation(found.reason, f"{intro} {found.text}", since_ns, found.until_ns, found.changes)


def _explain_any_host(controller: Controller, job: ControllerJob, now: int) -> Explanation:
    hosts = controller.hosts.values()
    if not controller.hosts:
        return Explanation(Reason.NO_HOST, "no host is defined", job.since_ns, None, ("laulima host add NAME",))
    found = explain_needs(controller, job, None, now)
    if found is not None:
        return found
    able = [host for host in hosts if host.takes_work(now)]
    if not able:
        tries = [host.next_try_ns for host in hosts if host.next_try_ns is not None]
        text = f"none of {len(controller.hosts)} hosts takes work"
        return Explanation(Reason.NO_HOST, text, job.since_ns, min(tries) if tries else None, ("a host comes up",))
    if all(host.slots < job.slots for host in hosts):
        text = f"needs {job.slots} slots on one host, the largest has {max(host.slots for host in hosts)}"
        return Explanation(Reason.HOST_TOO_SMALL, text, job.since_ns)
    slots = sum(host.slots for host in able)
    free = sum(max(0, host.free) for host in able)
    text = f"needs {job.slots} on one host, {free} of {slots} slots of {len(able)} hosts are free"
    kept = controller.placing.reserving.kept
    if kept and not job.kept:
        name, other = next(iter(kept.items()))
        text += f"; {name} is kept for {other.words}, which was passed too often"
    return Explanation(Reason.NO_SLOT, text, job.since_ns, None, ("a running job ends",))


def explain_host_state(host: Host) -> Explanation:
    """What keeps this host from taking work."""
    text = f"{host.state.value}: {host.reason}" if host.reason else host.state.value
    if host.state is HostState.UP:
        if host.dirty:
            return Explanation(Reason.HOST_PRESSURE, f"dirty: {host.dirty}", host.since_ns)
        if host.health.probe is not None:
            text = f"on trial, since {host.health.why}: job {number_text(host.health.probe[0])} shows how it is"
            return Explanation(Reason.HOST_ASIDE, text, host.since_ns, None, (f"laulima host on {host.name}",))
        text = "short of room: a start failed there"
        return Explanation(Reason.HOST_PRESSURE, text, host.since_ns, host.pressure_until_ns)
    changes: tuple[str, ...] = (f"laulima host on {host.name}",) if host.state in _OPENED_BY_A_PERSON else ()
    if host.state is HostState.DOWN:
        text += f" ({host.tries} {'try' if host.tries == 1 else 'tries'} failed)"
        changes = (f"{host.name} answers", f"laulima host retry {host.name}")
    until = host.health.until_ns if host.state is HostState.ASIDE else host.next_try_ns
    return Explanation(_BY_HOST_STATE[host.state], text, host.since_ns, until, changes)


def explain_host(host: Host, now: int) -> Explanation:
    """Why a host is in its state."""
    if host.takes_work(now):
        text = f"up, {host.busy} of {host.slots} slots in use"
        used = [
            f"{amount_text(name, some)} of {amount_text(name, all_)} {name}" for name, some, all_ in host.stock.used()
        ]
        text = ", ".join([text, *used])
        if host.health.why:
            text += f"; gets one job to see how it is, since {host.health.why}"
        return Explanation(Reason.UP, text, host.since_ns)
    return explain_host_state(host)
