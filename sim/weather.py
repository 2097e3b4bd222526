"""The weather: what each job will do, drawn by (seed, task, which of the task's jobs, attempt).

A job is named by its item, or by its number among the jobs of its task, never by its id: so a change to one task does
not change what the jobs of another one do. Run time and output belong to the job, its end to the attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from model.job import JobId
from model.records import AttemptEnded, JobAccepted
from sim.distributions import Constant
from sim.keyed import Chances, Draws
from sim.log import Committed
from sim.scenario import Arrivals, Items, TaskWeather, node_of

SCHEDULER = "scheduler"
FOREVER = 1 << 62
"""ns: later than any end of a simulation"""


class Fate(Struct, gc=False):
    """What one attempt's process will do, if it is let. `run_ns` None: it never ends by itself."""

    run_ns: int | None
    exit_code: int | None
    signal: int | None
    core: bool
    oom: bool
    ignores_term: bool
    stdout_bytes: int
    stderr_bytes: int


class _Known(Struct, gc=False):
    """What is known of one job until it is final."""

    name: str = ""
    """for all its draws; empty: its number"""
    made_ns: int = 0
    task: str = ""
    """of one with a name"""
    number: int = 1
    """which of its task's jobs this is; known where the task's texts ask for it"""
    fate: Fate | None = None
    """what a workload says of it"""
    told: tuple[Fate, ...] = ()
    """what each of its attempts does, from the first one on; later ones do what the last one did"""


class Weather:
    """The weather of all tasks of one scheduler under one seed. `scheduler`: its name, where there are several: each
    has a weather of its own."""

    def __init__(self, seed: int, tasks: dict[str, TaskWeather], scheduler: str = "") -> None:
        self._node = node_of(SCHEDULER, scheduler)
        self._tasks = tasks
        self._default = TaskWeather()
        self._certain = frozenset(name for name, weather in tasks.items() if _is_certain(weather))
        self._numbered = frozenset(name for name, weather in tasks.items() if weather.is_numbered)
        self._fixed = {name: _fate(weather, 1) for name, weather in tasks.items() if _is_fixed(weather)}
        """where all attempts of a task do the same, what that is"""
        self._runs = Draws(seed, node_of("run", scheduler))
        self._ends = Draws(seed, node_of("end", scheduler))
        self._files = Draws(seed, node_of("files", scheduler))
        self._jobs: dict[JobId, _Known] = {}
        """those of which there is something to know"""
        self._printed: dict[str, int] = {}
        self._made: dict[str, int] = {}
        self._foretold: dict[str, Fate] = {}
        """what a workload says of jobs that are about to be accepted, by their names"""
        self._told: dict[str, tuple[Fate, ...]] = {}
        """the same for each attempt of such a job"""

    def of(self, task: str) -> TaskWeather:
        """The weather of a task (of the default one, when the scenario says nothing about it)."""
        return self._tasks.get(task, self._default)

    @property
    def table(self) -> dict[type, Callable[[Any], None]]:
        """For `EventLog`: what it wants to read."""
        return {JobAccepted: self._read_accepted, AttemptEnded: self._read_ended}

    def _read_accepted(self, line: Committed) -> None:
        if line.node == self._node:
            self.accepted(line.record, line.t)  # type: ignore[arg-type]

    def _read_ended(self, line: Committed) -> None:
        record: AttemptEnded = line.record  # type: ignore[assignment]
        if self._jobs and record.final and line.node == self._node:  # then nothing more is drawn for the job
            self._jobs.pop(record.job, None)

    def accepted(self, record: JobAccepted, true_ns: int) -> None:
        """A job was made: give it its name for all draws."""
        spec = record.spec
        task, item = spec.task, spec.item
        is_named = task not in self._fixed or spec.block is not None
        if item is None:
            number = self._made[task] = self._made.get(task, 0) + 1
            name = f"{task}/{number}"
        elif is_named or self._foretold or self._told:
            name = f"{task}/{item}"
        else:
            return  # it does what all jobs of its task do
        known = _Known(fate=None if item is None else self._foretold.pop(name, None), told=self._told.get(name, ()))
        if task in self._numbered and not record.plain:
            known.number = self._printed[task] = self._printed.get(task, 0) + 1
        if is_named and known.fate is None:
            known.name, known.made_ns, known.task = name, true_ns, task
        if known != _NOTHING:
            self._jobs[record.job] = known

    def foretell(self, name: str, run_ns: int, exit_code: int) -> None:
        """Nothing is drawn for the job that will have this name (`task/item`): this is what it does."""
        self._foretold[name] = Fate(run_ns, exit_code, None, False, False, False, 0, 0)

    def tell_attempts(self, name: str, fates: tuple[Fate, ...]) -> None:
        """The same for each of its attempts; `name`: also `task/N`, for the N-th job of a task without items."""
        self._told[name] = fates

    def foretold(self) -> tuple[Fate, ...]:
        """What a workload said of jobs that are not final."""
        return (*self._foretold.values(), *[known.fate for known in self._jobs.values() if known.fate is not None])

    def texts(self, task: str, job: JobId) -> tuple[str, str]:
        """What a job's process writes to its output and its errors."""
        weather = self.of(task)
        place = self._jobs.get(job, _NOTHING).number - 1
        return _text_at(weather.stdout_texts, place), _text_at(weather.stderr_texts, place)

    def name_of(self, job: JobId) -> str:
        """The name under which draws are made for a job."""
        return self._jobs.get(job, _NOTHING).name or str(job)

    def fate(self, task: str, job: JobId, attempt: int) -> Fate | None:
        """What this attempt's process does; None: there is no such command."""
        weather = self._tasks.get(task, self._default)
        if weather.not_found:
            return None
        known = self._jobs.get(job, _NOTHING)
        if known.told:
            return known.told[min(max(attempt, 1), len(known.told)) - 1]
        foretold = known.fate or self._fixed.get(task)
        if foretold is not None:
            return foretold
        name = known.name or str(job)
        ends = _CERTAIN if task in self._certain else self._ends.four(f"{name}/{attempt}")
        return _fate(weather, known.number, self._runs.four(name), ends)

    def visible_at(self, job: JobId, path: str, ended_ns: int | None) -> int:
        """From when (true ns) a file is visible: one that the job waits for (`ended_ns` None), or one that it made."""
        known = self._jobs.get(job, _NOTHING)
        name, made_ns = known.name or str(job), known.made_ns
        weather = self.of(known.task)
        lag, never, _, _ = self._files.four(f"{name}/{path}")
        if never < weather.never_visible:
            return FOREVER
        if ended_ns is None:
            return made_ns + weather.before.sample(lag)
        return ended_ns + weather.after.sample(lag)


_NOTHING = _Known()
_CERTAIN = (0.5, 0.5, 0.5, 0.5)
"""In the place of draws that decide nothing."""


def _fate(weather: TaskWeather, number: int, runs: Chances = _CERTAIN, ends: Chances = _CERTAIN) -> Fate:
    """What an attempt of the task's `number`-th job does, by two draws."""
    run, hang, stdout, stderr = runs
    end, crash, _, deaf = ends
    exit_code, signal, oom = _end_of(weather, end, crash)
    if weather.exits_in_order and exit_code is not None:
        exit_code = weather.exits_in_order[min(number, len(weather.exits_in_order)) - 1]
    printed = len(_text_at(weather.stdout_texts, number - 1).encode())
    complained = len(_text_at(weather.stderr_texts, number - 1).encode())
    return Fate(
        run_ns=None if hang < weather.never_ends else weather.run.sample(run),
        exit_code=exit_code,
        signal=signal,
        core=signal is not None and not oom,
        oom=oom,
        ignores_term=deaf < weather.ignores_term,
        stdout_bytes=printed or weather.stdout_bytes.sample(stdout),
        stderr_bytes=complained or weather.stderr_bytes.sample(stderr),
    )


def _end_of(weather: TaskWeather, end: float, crash: float) -> tuple[int | None, int | None, bool]:
    if crash < weather.out_of_memory:
        return None, 9, True
    crash -= weather.out_of_memory
    for signal, probability in weather.crashes:
        if crash < probability:
            return None, signal, False
        crash -= probability
    exits = weather.exits
    if len(exits) == 1:
        return exits[0][0], None, False
    rest = end * sum(weight for _, weight in exits)
    for code, weight in exits:
        rest -= weight
        if rest < 0.0:
            return code, None, False
    return exits[-1][0], None, False


def _is_fixed(weather: TaskWeather) -> bool:
    """Whether all attempts of all of the task's jobs do the same: then nothing is drawn, and no name kept."""
    sizes = (weather.run, weather.stdout_bytes, weather.stderr_bytes)
    return (
        _is_certain(weather)
        and not weather.is_numbered
        and not 0.0 < weather.never_ends < 1.0
        and all(isinstance(size, Constant) for size in sizes)
    )


def _is_certain(weather: TaskWeather) -> bool:
    """Whether every attempt ends in the same way, so that nothing needs to be drawn for its end."""
    chances = (weather.out_of_memory, weather.ignores_term, *(chance for _, chance in weather.crashes))
    return len(weather.exits) == 1 and not any(0.0 < chance < 1.0 for chance in chances) and not weather.crashes


class ItemStream:
    """The items of one source: how many have arrived by now, what they are called, and when the next one comes."""

    def __init__(self, items: Items) -> None:
        self._items = items
        self._names: list[str] = []
        self._shown: tuple[str, ...] = ()

    def arrived(self, true_ns: int) -> tuple[str, ...]:
        """The names of all items that have arrived."""
        count = self._count(true_ns)
        if count != len(self._shown):
            for number in range(len(self._names) + 1, count + 1):
                self._names.append(self._name(number))
            self._shown = tuple(self._names[:count])
        return self._shown

    def _name(self, number: int) -> str:
        names = self._items.names
        if names:
            return names[number - 1]
        pattern = self._items.pattern
        return pattern % number if "%" in pattern else f"{pattern}{number}"

    @property
    def _total(self) -> int:
        """0: no end."""
        return len(self._items.names) or self._items.count

    def _count(self, true_ns: int) -> int:
        items = self._items
        if true_ns < items.first_ns:
            return 0
        if items.every_ns == 0:
            return self._total or items.burst
        bursts = (true_ns - items.first_ns) // items.every_ns + 1
        count = bursts * items.burst
        return min(count, self._total) if self._total else count

    def quiet_ns(self, true_ns: int) -> int:
        """For how long after `true_ns` nothing new comes (ns, at least 1)."""
        items = self._items
        if true_ns < items.first_ns:
            return items.first_ns - true_ns
        if items.every_ns == 0 or (self._total and self._count(true_ns) >= self._total):
            return FOREVER
        bursts = (true_ns - items.first_ns) // items.every_ns + 1
        return items.first_ns + bursts * items.every_ns - true_ns


class ArrivalStream:
    """The items of a source of which each has its own time."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._items = arrivals.items
        self._shown_ns = arrivals.shown_ns
        self._first = self._next = 0
        """where those begin that are shown, and those that have not arrived"""

    def arrived(self, true_ns: int) -> tuple[str, ...]:
        """The names of all items that are there."""
        items = self._items
        while self._next < len(items) and items[self._next][0] <= true_ns:
            self._next += 1
        while self._first < self._next and items[self._first][0] < true_ns - self._shown_ns:
            self._first += 1
        return tuple([name for _, name in items[self._first : self._next]])

    def quiet_ns(self, true_ns: int) -> int:
        """For how long after `true_ns` nothing new comes (ns, at least 1)."""
        if self._next >= len(self._items):
            return FOREVER
        return max(1, self._items[self._next][0] - true_ns)


def stream_of(weather: TaskWeather) -> ItemStream | ArrivalStream:
    """What a task's source shows; one of which no scenario says anything has an item a minute."""
    return ItemStream(weather.items or Items()) if weather.arrivals is None else ArrivalStream(weather.arrivals)


def _text_at(texts: tuple[str, ...], place: int) -> str:
    return texts[min(place, len(texts) - 1)] if texts else ""
