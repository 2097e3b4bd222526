"""The metrics of a run, by the field's standard definitions, as plain data. Made by `sim/measuring.py`.

Times of a job: submit s (its record is durable), first start b and end e of its process on a host, handled h (its end
is recorded). Its run is that of its last attempt, r. p: its slots. A job counts where it ended within the window, which
begins at the first submit, or after the warm-up, and ends with the simulation. What happens is counted within it, too;
of the whole run are the makespan and `duplicates`, which no run should have. Times are ns; None: undefined, because
no job tells it. Shares are 0..1 and may be above where attempts overlapped on a host.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from model.job import SECOND

TAU_NS = 10 * SECOND
"""Bounded slowdown counts a shorter run as so long (Feitelson and others)."""


class Spread(Struct, frozen=True):
    """How some values are spread: percentiles are values of the sample (nearest rank)."""

    count: int = 0
    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None

    @classmethod
    def of(cls, values: Sequence[Sequence[int]] | Sequence[Sequence[float]]) -> Spread:
        """The spread of all values of these together."""
        ordered: list[float] = sorted([value for part in values for value in part])
        if not ordered:
            return cls()
        mean = sum(ordered) / len(ordered)
        return cls(
            len(ordered), mean, _rank(ordered, 50), _rank(ordered, 95), _rank(ordered, 99), ordered[-1]
        )  # fmt: skip


def _rank(ordered: list[float], per_cent: int) -> float:
    """The smallest value that at least `per_cent` of all do not exceed."""
    return ordered[-(-len(ordered) * per_cent // 100) - 1]


class SlotTime(Struct, frozen=True):
    """Slot-time on the controller's hosts, slots x ns. `busy` is the sum of the five that follow it."""

    busy: int = 0
    good: int = 0
    """of runs with whose end their task was content: goodput"""
    rejected: int = 0
    """of runs that ended by themselves, badly"""
    lost: int = 0
    """of runs ended by the loss of their host, a kill or a timeout, or of which nobody wanted to know the end"""
    running: int = 0
    """of processes that run at the end of the window"""
    undecided: int = 0
    """of runs whose end had not come to the scheduler"""


class TaskMetrics(Struct, frozen=True):
    """One task, or all together (`*`)."""

    task: str
    submitted: int
    ended: int
    """N: final within the window"""
    open: int
    """not final at its end"""
    outcomes: dict[str, int]
    """how the N ended, the most frequent first"""
    wait: Spread
    """b - s"""
    giving: Spread
    """a part of the wait: until the scheduler gives the job to an executor"""
    queueing: Spread
    """a part of the wait: from there until the controller gives it to a host"""
    dispatch: Spread
    """a part of the wait: from there until its process starts"""
    run: Spread
    response: Spread
    """e - s, turnaround"""
    due_to_handled: Spread
    """h - d, where d is the due time of the poll that made the job; a job of an item is due when it is made"""
    lateness: Spread
    """s - d, of jobs of polls"""
    slowdown: Spread
    """(e - s) / r, of runs longer than 0"""
    bounded_slowdown: Spread
    """max(1, (e - s) / max(r, tau))"""
    slot_time: SlotTime
    asked: int | None
    """slots x ns that the submitted jobs ask the controller's hosts for: their runs, and where one has not ended by
    itself the mean run of its task"""
    missed: dict[str, int] = {}
    """due times of the whole run at which it was not asked for a job, by reason (`sim/missed_polls.py`)"""

    @property
    def served(self) -> float | None:
        """How much of what it asked for it got, good slot-time / asked: 0 where nothing of it ran, however much that
        was. None: it asked for nothing, or something ran, but nothing ended by itself to tell how long that takes."""
        if self.asked is None:
            return None if self.slot_time.busy else 0.0
        return self.slot_time.good / self.asked if self.asked else None

    @classmethod
    def nothing(cls, task: str) -> TaskMetrics:
        """Of a task that made no job."""
        none = Spread()
        return cls(task, 0, 0, 0, {}, none, none, none, none, none, none, none, none, none, none, SlotTime(), 0)


class HostMetrics(Struct, frozen=True):
    """Power of one host within the window. A failure is counted where it begins, a repair where it ends."""

    host: str
    availability: float | None
    failures: int
    mtbf: float | None
    """time with power / failures"""
    mttr: float | None
    """time without / repairs"""


class SchedulerMetrics(Struct, frozen=True):
    """One of several schedulers that use one controller. Shares of slots are of those that were given to hosts while
    jobs of several schedulers waited (`sim/shares.py`); None: that never was."""

    scheduler: str
    weight: int
    """its share, as its terms say"""
    share_due: float | None
    """the part that it had to get: its weight by those of all that asked"""
    share_got: float | None
    """the part that it got"""
    share_ratio: float | None
    """got / due; 1: what was promised"""
    throughput: float | None
    offered_load: float | None
    """what it asked for / all slots, whoever has them"""
    goodput: float | None
    queue_mean: float | None
    queue_max: int
    oldest: int | None
    controller_availability: float | None
    """share of its time in which its questions were answered in time"""
    total: TaskMetrics
    """its tasks together"""


class OpenJob(Struct, frozen=True):
    """A job that is not final when the simulation ends."""

    job: int
    task: str
    item: str | None
    state: str
    """`pending`, `running` or `ended` (its end is not recorded)"""
    age: int


class Metrics(Struct, frozen=True):
    """All of one run."""

    begin: int
    end: int
    """the window, true ns since the start"""
    warm_up: int
    tau: int
    makespan: int | None
    """max e - min s, of all jobs"""
    last_submit: int | None
    """true ns; what is averaged over the window counts the time after it too, in which nobody asked for anything"""
    throughput: float | None
    """N per second"""
    offered_load: float | None
    """asked / nominal slot-time, of a job log alone until its last submit; above 1 the queue must grow"""
    utilization_nominal: float | None
    """busy / nominal slot-time"""
    utilization_available: float | None
    """busy / slot-time of hosts with power"""
    goodput: float | None
    """good / nominal slot-time"""
    lost_work: float | None
    """lost / nominal slot-time"""
    queue_mean: float | None
    """jobs that wait for a start, over time"""
    queue_max: int
    oldest: int | None
    """the longest that a job has waited for a start, jobs that still wait included"""
    timeouts: dict[str, int]
    """attempts by the timeout, refusal or loss that ended them"""
    attempts: int
    """attempts that ended, in any way"""
    orphans: int
    """processes that ended when their attempt had ended already for the scheduler"""
    duplicates: int
    """processes that began while another one of their job lived, or whose attempt had one before: 0, unless a host
    stood still for longer than its lease"""
    system_availability: float | None
    """share of slots with power, over time"""
    all_up: float | None
    """share of time in which every host had power"""
    hosts_up: dict[int, float]
    """how many hosts had power: the share of time with exactly so many, the most first"""
    controller_availability: float | None
    """share of time in which a question of a scheduler was answered in time (`sim/answers.py`), the mean over
    schedulers; None: nobody looked"""
    controller_running: float | None
    """share of time in which the controller's process ran"""
    hosts: tuple[HostMetrics, ...]
    detection: Spread
    """from a fault that takes a host away to the controller's knowing it"""
    undetected: int
    """such faults that were over before it was known"""
    recovery: Spread
    """from the end of a fault until no more jobs wait than 110 % of those before it"""
    unrecovered: int
    fairness: float | None
    """Jain's index of what tasks were `served`; 1: equal"""
    total: TaskMetrics
    tasks: tuple[TaskMetrics, ...]
    open_jobs: tuple[OpenJob, ...]
    """the oldest of them; `total.open` counts all"""
    alarms: int = 0
    """alarms that have begun (`model/alarms.py`): where the configuration has `notify` with `of`, or deadlines"""
    deadlines_missed: int = 0
    """those of them that are missed deadlines"""
    notifications: int = 0
    """messages that notifiers would have been given"""
    schedulers: tuple[SchedulerMetrics, ...] = ()
    """where several use one controller"""
    share_fairness: float | None = None
    """Jain's index of `share_ratio` over schedulers; 1: all got what their shares promise"""


def jain(shares: Sequence[float]) -> float | None:
    """Jain's fairness index; None for no share, or if all are 0."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else None


def ratio(part: float, whole: float) -> float | None:
    """None: of nothing."""
    return part / whole if whole else None
