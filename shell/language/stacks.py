"""The controller's lists in the words of the historical one: stacks of jobs and of hosts, machines, one job's state.

Reads the machines, changes nothing. Whatever does not run says why on its line. A host's number is its place among the
controller's hosts, a host with N slots stands N times in a stack of hosts, as it had N entries. Called by
`commands/controller.py` and `looking.py`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice

from model.controller_job import ControllerJobState
from model.host import Host, HostState
from model.job import LOCAL, SECOND, JobState, Outcome, Report
from model.scheduled_job import ScheduledJob
from model.view_rows import Machines, command_text, job_row
from shell.language.direct_jobs import End
from shell.wording import clean

JOB_STACKS = ("all", "pending", "busy", "resp", "done", "exit", "crash", "kill")
HOST_STACKS = ("all", "idle", "busy", "resp", "done", "down", "off")
"""`resp` and `done` are always empty here: nothing waits between a question and its answer."""

JOBS_MOST = 10_000
"""Jobs that one answer looks at; the scheduler waits meanwhile (some 0.2 s)."""

_JOB_WORDS = {
    JobState.RUNNING: "BUSY",
    JobState.CANCELLING: "KILL",
    JobState.REACTING: "DONE",
}
_ON_HOST = frozenset(
    {ControllerJobState.GIVEN, ControllerJobState.AT_HOST, ControllerJobState.RUNNING, ControllerJobState.CANCELLING}
)


@dataclass(frozen=True, slots=True)
class StackedJob:
    """One job of the controller. `seconds`: waiting time of a waiting job, run time of the others. `host`: where it
    runs or ran, else empty; `wanted`: its wish, empty for any host."""

    number: int
    state: str
    seconds: float
    host: str
    wanted: str
    nice: int
    command: str
    why: str = ""


# jobs


def job_state(job: ScheduledJob) -> str:
    """The stack of a job that is not final."""
    return _JOB_WORDS.get(job.state, "PENDING")


def end_state(report: Report) -> str:
    """The stack of a job that has ended: EXIT or CRASH."""
    return "EXIT" if report.outcome is Outcome.EXITED else "CRASH"


def exit_status(report: Report) -> int:
    """The exit number, or the signal's; 0 where there was neither."""
    return (report.exit_code if report.exit_code is not None else report.signal) or 0


def controller_jobs(machines: Machines, ends: list[End]) -> list[StackedJob]:
    """The jobs that the controller has or is to get, and those of the command `job` that have ended; by number, at most
    `JOBS_MOST` of each."""
    found = [_ended(end) for end in ends[-JOBS_MOST:] if end.spec.host.name != LOCAL]
    living = (job for job in machines.scheduler.jobs.values() if job.common.host.name != LOCAL)
    found += [_living(machines, job) for job in islice(living, JOBS_MOST)]
    return sorted(found, key=lambda job: job.number)


def _living(machines: Machines, job: ScheduledJob) -> StackedJob:
    row = job_row(machines, job)
    since = job.since_ns if job.state is JobState.RUNNING else job.made_ns
    return StackedJob(
        job.id, job_state(job), (machines.now_ns - since) / SECOND, job.host, job.spec.host.name or "",
        job.spec.nice, clean(command_text(job.spec)), clean(row.why),
    )  # fmt: skip


def _ended(end: End) -> StackedJob:
    report, spec = end.report, end.spec
    return StackedJob(
        end.number, end_state(report), report.ran_for_ns / SECOND, report.host, spec.host.name or "",
        spec.nice, clean(command_text(spec)), clean(report.reason),
    )  # fmt: skip


def job_stack(jobs: list[StackedJob], stack: str) -> list[str]:
    """The answer to `jobstack STACK`: `ID argv0 host`, the wanted host in parentheses where it does not run."""
    chosen = [job for job in jobs if stack == "all" or job.state == stack.upper()]
    lines = ["BEGIN BLOCK", f"Njobs: {len(chosen)}"]
    for job in chosen:
        where = job.host or f"({job.wanted or 'anyhost'})"
        name = job.command.split(" ", 1)[0]
        lines.append(f"{job.number} {name:<20} {where}{_because(job.why)}")
    return lines


def check_job(machines: Machines, job: ScheduledJob | None, end: End | None) -> dict[str, str]:
    """The answer to `check job`, word by word: STATUS, EXITST, STDOUT, STDERR (bytes), DTIME (s), HOSTNAME."""
    if job is not None:
        ran = (machines.now_ns - job.since_ns) / SECOND if job.state is JobState.RUNNING else 0.0
        words = (job_state(job), "0", "0", "0", f"{ran:.3f}", job.host or "NONE")
    else:
        assert end is not None
        report = end.report
        size = (str(report.stdout_bytes), str(report.stderr_bytes))
        words = (
            end_state(report),
            str(exit_status(report)),
            *size,
            f"{report.ran_for_ns / SECOND:.3f}",
            report.host or "NONE",
        )
    return dict(zip(("STATUS", "EXITST", "STDOUT", "STDERR", "DTIME", "HOSTNAME"), words, strict=True))


# hosts


def host_state(host: Host, busy: bool) -> str:
    """The stack of one slot of a host."""
    if host.state is HostState.OFF:
        return "OFF"
    if host.state not in (HostState.UP, HostState.DRAINING):
        return "DOWN"
    return "BUSY" if busy else "IDLE"


def host_word(machines: Machines, name: str) -> str:
    """`DOWN: refused (3 tries failed)`: the host's state, and why it takes no work."""
    host = machines.controller.hosts[name]
    word = host_state(host, _busy(host) > 0)
    return word + _why(machines, host)


def _why(machines: Machines, host: Host) -> str:
    if host.takes_work(machines.now_ns):
        return ""
    found = machines.controller.explain_host(host.name, machines.now_ns)
    assert found is not None
    state = host.state.value
    if host_state(host, busy=False) != state.upper():
        return f": {clean(found.text)}"
    reason = found.text.removeprefix(state).lstrip(": ")  # the word in front of it says the state
    return f": {clean(reason)}" if reason else ""


def _busy(host: Host) -> int:
    return min(host.slots, host.busy)


def host_entries(machines: Machines) -> list[tuple[int, Host, str]]:
    """(number, host, state) for each slot."""
    found: list[tuple[int, Host, str]] = []
    for number, host in enumerate(machines.controller.hosts.values(), 1):
        busy = _busy(host)
        found.extend((number, host, host_state(host, slot < busy)) for slot in range(host.slots))
    return found


def host_number(machines: Machines, name: str) -> int:
    """The number of a host that is there."""
    return list(machines.controller.hosts).index(name) + 1


def host_stack(machines: Machines, stack: str) -> list[str]:
    """The answer to `hoststack STACK`: `ID name` for each slot."""
    chosen = [entry for entry in host_entries(machines) if stack == "all" or entry[2] == stack.upper()]
    lines = [f"Nhosts: {len(chosen)}"]
    lines += [f"{number} {host.name}{_because(_why(machines, host)[2:])}" for number, host, _ in chosen]
    return lines


def machine_lines(machines: Machines) -> list[str]:
    """The answer to `machines`: for each host `name : slots : jobs there : jobs elsewhere that want it`."""
    here: Counter[str] = Counter()
    elsewhere: Counter[str] = Counter()
    for job in machines.controller.jobs.values():
        if job.host is None or job.state not in _ON_HOST:
            continue
        here[job.host.name] += 1
        wanted = job.spec.host.name
        if wanted is not None and wanted != job.host.name:
            elsewhere[wanted] += 1
    hosts = machines.controller.hosts
    lines = [f"Nmachines: {len(hosts)}"]
    lines += [
        f"{name} : {host.slots} : {here[name]} : {elsewhere[name]}{_because(_why(machines, host)[2:])}"
        for name, host in hosts.items()
    ]
    return lines


# both


def left_out(machines: Machines) -> list[str]:
    """A line that says so, where jobs may not have been looked at."""
    count = len(machines.scheduler.jobs)
    return [f"… only the first {JOBS_MOST} of {count} jobs are looked at"] if count > JOBS_MOST else []


def status_lines(
    machines: Machines, jobs: list[StackedJob] | None, hosts: list[tuple[int, Host, str]] | None
) -> list[str]:
    """The answer to `controller status`; None leaves a part out."""
    lines = []
    if jobs is not None:
        lines.append(f"job stack ALLJOBS:  {len(jobs)} objects")
        for index, job in enumerate(jobs):
            where = job.host or job.wanted or "anyhost"
            text = f"{index:>4} {where:<20} {job.state:<8} {job.seconds:10.2f} {job.number} {job.nice} {job.command}"
            lines.append(text + _because(job.why))
    if hosts is not None:
        lines.append(f"host stack ALLHOSTS:  {len(hosts)} objects")
        for index, (number, host, state) in enumerate(hosts):
            lines.append(f"{index:>4} {host.name:<20} {state:<8} {number}{_because(_why(machines, host)[2:])}")
    return lines


def _because(why: str) -> str:
    return f"   ({why})" if why else ""
