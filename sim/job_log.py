"""A job log as a workload: which of its jobs can be replayed, on which hosts, and what they are here.

A partition of the log becomes one host with its processors as slots, and its jobs run there and nowhere else; a job on
p processors takes p slots of one host. A log's header tells the processors of the whole machine only: with several
partitions each gets as many as its jobs used at one time in the log. Whoever brings hosts of their own gets every job
on any host. Submit times and run times are the log's; jobs of status 0 (failed) and 5 (cancelled) exit 1, all others 0.

`survey` finds every error in the log before anything is simulated. It keeps the jobs of a log that is not long; a long
one is read twice.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator
from enum import Enum
from itertools import islice
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from model.configuration import ClusterDefinition, HostDefinition, Order
from model.errors import ConfigurationError
from model.health import HealthPolicy
from model.job import SECOND, HostWish, JobSpec
from sim.reshaping import Factors, Reshape, again, copy_name, shaken
from sim.swf import SwfHeader, SwfJob, read_header, read_jobs
from sim.workload import Submission

LEAD_NS = 60 * SECOND
"""The first job is submitted so long after the start of the simulation: the hosts are connected by then."""
HORIZON_MAX_NS = 1 << 62
"""Where a simulation without an end of its own is cut: 146 years."""
TAIL_NS = 24 * 3600 * SECOND
KEPT_MAX = 30_000
"""Jobs of a log that are kept (300 bytes each) so that it is read once: 4 % of its simulation."""
NAMED_MAX = 3
"""So many lines of jobs that are left out for one reason are named, the rest is counted."""
SLOTS_MAX = 1 << 23
CANCELLED = 5
PARTIAL = frozenset({2, 3, 4})
"""Stretches of jobs that were stopped and went on: such a job has a line for all of it, too (the format says so)."""
UNSUCCESSFUL = frozenset({0, CANCELLED})
ONE_HOST = "machine"
AS_IT_IS = Reshape()
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


class By(Enum):
    """What the tasks of a replay are: one for the whole log, or one for each of these."""

    LOG = "log"
    USER = "user"
    GROUP = "group"
    QUEUE = "queue"
    PARTITION = "partition"


class Partition(Struct):
    """One partition of a log. `slots`: the most processors that its jobs used at one time."""

    host: str
    jobs: int = 0
    slots: int = 0


class Survey(Struct):
    """What a log holds. Times are ns since the log's beginning."""

    path: Path
    header: SwfHeader
    first: int
    """only so many jobs of the log; 0: all"""
    slots_max: int
    """of the largest host; 0: nobody knows, every job fits its partition"""
    jobs: int = 0
    """that are replayed"""
    left_out: Counter[str] = field(default_factory=Counter)
    """reasons"""
    lines_left_out: list[str] = field(default_factory=list)
    """the first lines of each reason, with it"""
    partitions: dict[int, Partition] = field(default_factory=dict)
    """empty: the hosts are not the log's"""
    sized_by_use: bool = False
    """the log does not say how large its partitions are"""
    in_order: bool = True
    first_submit_ns: int = 0
    last_submit_ns: int = 0
    run_ns: int = 0
    """all run times together"""
    slot_ns: int = 0
    """the same, each times its processors"""
    waits: int = 0
    """jobs of which the log knows the wait"""
    wait_ns: int = 0
    """their waits together"""
    kept: list[SwfJob] = field(default_factory=list)
    """its jobs, left out or not; empty: there are too many"""

    @property
    def horizon_ns(self) -> int:
        """When all is over at the latest, as long as nothing fails: true ns since the simulation's start."""
        end_ns = LEAD_NS + self.last_submit_ns - self.first_submit_ns + self.run_ns + TAIL_NS
        return min(end_ns, HORIZON_MAX_NS)

    @property
    def start_wall_ns(self) -> int:
        """Wall time of the simulation's start, ns since 1970."""
        return max(0, self.header.start_wall_s * SECOND + self.first_submit_ns - LEAD_NS)


def survey(path: Path, *, first: int = 0, slots_max: int = 0) -> Survey:
    """Read a log once. `slots_max`: the slots of the largest host, if the hosts are not the log's.

    Raises `ConfigurationError` for a file that is no job log, or holds no job that can be replayed.
    """
    if path.is_fifo():
        raise ConfigurationError(f"{path} is a pipe, and a job log is read twice", "write it into a file first")
    header = read_header(path)
    found = Survey(path, header, first, slots_max or header.processors)
    one_size = slots_max or (header.processors if len(header.partitions) <= 1 else 0)
    usage: dict[int, array[int]] = {}
    kept: list[SwfJob] | None = []
    for place, job in enumerate(read_jobs(path), 1):
        if kept is not None:
            kept.append(job)
            if place > KEPT_MAX:
                kept = None
        within = not first or place <= first
        if not within and one_size:
            break
        why = _why_not(job, found.slots_max)
        if not why and not one_size:
            _note_usage(usage.setdefault(job.partition, array("q")), job)
        if within:
            _count(found, job, why)
    found.kept = kept or []
    if not found.jobs:
        raise ConfigurationError(f"{path}: no job in it can be replayed ({_reasons(found) or 'there is none'})")
    if one_size:
        found.partitions = {} if slots_max else {0: Partition(ONE_HOST, found.jobs, one_size)}
    else:
        found.sized_by_use = _size(found, usage)
    return found


def _why_not(job: SwfJob, slots_max: int) -> str:
    """Why the job cannot be replayed; empty: it can."""
    if job.status in PARTIAL:
        return "a part of a job that was stopped and went on, which has a line of its own"
    if job.status == CANCELLED and not job.run_ns:
        return "cancelled before it started"
    if job.run_ns is None:
        return "its run time is unknown"
    if job.processors is None:
        return "its number of processors is unknown"
    if job.processors > (slots_max or SLOTS_MAX):
        return f"wider than the largest host, which has {slots_max or SLOTS_MAX} slots"
    return ""


def _count(found: Survey, job: SwfJob, why: str) -> None:
    if why:
        found.left_out[why] += 1
        if found.left_out[why] <= NAMED_MAX:
            wants = f" ({job.processors} processors)" if why.startswith("wider") else ""
            found.lines_left_out.append(f"{found.path}:{job.line}: job {job.number}{wants} is left out: {why}")
        return
    submit, run = job.submit_ns, job.run_ns or 0
    if not found.jobs:
        found.first_submit_ns = found.last_submit_ns = submit
    elif submit >= found.last_submit_ns:
        found.last_submit_ns = submit
    else:
        found.in_order = False
        found.first_submit_ns = min(found.first_submit_ns, submit)
    found.jobs += 1
    found.run_ns += run
    found.slot_ns += run * (job.processors or 1)
    if job.wait_ns is not None:
        found.waits += 1
        found.wait_ns += job.wait_ns


def _reasons(found: Survey) -> str:
    return ", ".join(f"{number} x {why}" for why, number in found.left_out.items())


def _note_usage(usage: array[int], job: SwfJob) -> None:
    """When the job took its processors in the log, and gave them back: (s, end before start, processors) in one int."""
    begin = (job.submit_ns + (job.wait_ns or 0)) // SECOND
    end = begin + -(-(job.run_ns or 0) // SECOND)
    width = job.processors or 1
    usage.append(((begin << 1 | 1) << 24) | width)
    usage.append((end << 1) << 24 | width)


def _size(found: Survey, usage: dict[int, array[int]]) -> bool:
    """Each partition has as many slots as were used in the log at one time; one that has all jobs has the whole
    machine. Whether use was the measure."""
    names: set[str] = {"local"}
    for number in sorted(usage):
        used = most = 0
        for event in sorted(usage[number]):
            width = event & 0xFFFFFF
            if event >> 24 & 1:
                used += width
                most = max(most, used, width)
            else:
                used = max(0, used - width)  # a run of 0 s ends before it starts
        name = found.header.partitions.get(number, "")
        if not _NAME.fullmatch(name) or ".." in name or name in names:
            name = f"partition{number}" if number >= 0 else "partition-unknown"
        names.add(name)
        found.partitions[number] = Partition(name, len(usage[number]) // 2, most)
    if len(found.partitions) == 1:
        only = next(iter(found.partitions.values()))
        only.slots = max(only.slots, found.header.processors)
        return only.slots > found.header.processors
    return True


def cluster_of(found: Survey, order: Order, hosts: tuple[HostDefinition, ...] = ()) -> ClusterDefinition:
    """A cluster for the log: its own partitions, or other hosts. `FILL` is first fit: no host is ever kept free."""
    own = tuple(HostDefinition(partition.host, partition.slots) for partition in found.partitions.values())
    return ClusterDefinition(
        hosts=hosts or own,
        local_slots=1,
        order=order,
        pending_max=found.jobs + 1,
        passed_max=0,
        health=HealthPolicy(failures=0),
    )


def submissions(
    found: Survey, by: By = By.LOG, reshape: Reshape = AS_IT_IS, seed: int = 1, pace: float = 1.0
) -> Iterator[Submission]:
    """The log's jobs in the order of their submit times, which follow each other `pace` times as fast; streamed, unless
    the log is not in that order, or is drawn again (`reshape`, by `seed`)."""
    jobs = _named(iter(found.kept) if found.kept else read_jobs(found.path))
    if found.first:
        jobs = islice(jobs, found.first)
    if reshape:
        jobs = _reshaped(jobs, found, reshape, seed)
    elif not found.in_order:
        jobs = iter(sorted(jobs, key=lambda named: named[1].submit_ns))
    wishes = {number: HostWish(partition.host, required=True) for number, partition in found.partitions.items()}
    if len(wishes) <= 1:
        wishes = {}
    anywhere = HostWish()
    command = ("job",)
    one_task = by is By.LOG
    for item, job in jobs:
        if _why_not(job, found.slots_max):
            continue
        wish = wishes.get(job.partition, anywhere)
        spec = JobSpec("log" if one_task else _task(job, by), command, item=item, slots=job.processors or 1, host=wish)
        at_ns = job.submit_ns - found.first_submit_ns
        if pace != 1.0:
            at_ns = round(at_ns / pace)
        at_ns += LEAD_NS
        yield Submission(at_ns, spec, job.run_ns or 0, 1 if job.status in UNSUCCESSFUL else 0, job.requested_ns)


def _reshaped(
    jobs: Iterator[tuple[str, SwfJob]], found: Survey, reshape: Reshape, seed: int
) -> Iterator[tuple[str, SwfJob]]:
    """The jobs that can be replayed, drawn again and shaken."""
    every = [pair for pair in jobs if not _why_not(pair[1], found.slots_max)]
    times = [job.submit_ns for _, job in every]
    midnight_ns = found.header.midnight_s * SECOND
    drawn = again(times, [str(job.user) for _, job in every], reshape.resample, midnight_ns, seed)
    names = [copy_name(every[one.index][0], one.copy) for one in drawn]
    factors = Factors(reshape.shake, seed)
    moved = shaken([one.at_ns for one in drawn], names, factors)
    later_ns = max(0, found.first_submit_ns - min(moved, default=0))
    for one, name, at_ns in zip(drawn, names, moved, strict=True):
        job = every[one.index][1]
        run_ns = round((job.run_ns or 0) * factors.of(name)[1])
        yield name, replace(job, submit_ns=at_ns + later_ns, run_ns=run_ns)


def _named(jobs: Iterator[SwfJob]) -> Iterator[tuple[str, SwfJob]]:
    """(item, job): the job's number, with its line where the number may have been there already."""
    highest = -1
    for job in jobs:
        if job.number > highest:
            highest = job.number
            yield str(highest), job
        else:
            yield f"{job.number}-line{job.line}", job


def _task(job: SwfJob, by: By) -> str:
    """The job's task, where the log has more than one."""
    number = {By.USER: job.user, By.GROUP: job.group, By.QUEUE: job.queue, By.PARTITION: job.partition}[by]
    return f"{by.value}{number}" if number >= 0 else f"{by.value}-unknown"
