"""`laulima sim --workload FILE`: a job log and its options become a pipeline-less cluster, a world and a feed of jobs.

Called by `shell.simulate`. What a job of a log is here is said in `sim/job_log.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace as replace_fields

from model.configuration import Configuration, HostDefinition, Order
from model.errors import ConfigurationError
from model.job import SECOND
from shell.config.scenario import LoadedScenario
from shell.hostset import expand
from shell.shipped_files import shipped
from shell.wording import count, duration, nearest, thousands
from sim.job_log import AS_IT_IS, HORIZON_MAX_NS, By, Survey, cluster_of, submissions, survey
from sim.reshaping import Resample, Reshape
from sim.scenario import Scenario
from sim.workload import Feed

CHUNK = 1 << 20
SHIPPED = {"lublin": "lublin-1000.swf"}
"""Job logs that are a part of laulima, by the names that people may give instead of a file."""
HOSTS_HINT = "for example --hosts 'node[01-16]:8': 16 hosts of 8 slots"


_HOW = {Order.STRICT: "first come, first served", Order.FILL: "the first that fits"}


class Replay(Struct, frozen=True):
    """What a person asks for. `hosts` empty: those of the log, or of the pipeline."""

    workload: Path
    first: int = 0
    hosts: tuple[str, ...] = ()
    order: Order = Order.STRICT
    by: By = By.LOG
    reshape: Reshape = AS_IT_IS
    scheduler: str = ""
    """which of several gets the jobs"""

    @property
    def name(self) -> str:
        """What a person calls the log."""
        known = (name for name, file in SHIPPED.items() if shipped(file) == self.workload)
        return next(known, str(self.workload))

    def words(self) -> list[str]:
        """The options that say the same."""
        words = ["--workload", self.name]
        if self.first:
            words += ["--first", str(self.first)]
        for hosts in self.hosts:
            words += ["--hosts", hosts]
        if self.order is not Order.STRICT:
            words += ["--order", self.order.value]
        if self.by is not By.LOG:
            words += ["--by", self.by.value]
        if self.scheduler:
            words += ["--scheduler", self.scheduler]
        if self.reshape.shake:
            words += ["--shake", f"{100 * self.reshape.shake:g}%"]
        if self.reshape.resample is not None:
            words += ["--resample", self.reshape.resample.value]
        return words


class WorkloadLine(Struct, frozen=True):
    """What is said about the workload. Times in ns; `log_wait_ns`: the mean wait that the log itself tells."""

    file: str
    jobs: int
    left_out: dict[str, int]
    log_wait_ns: float | None
    given: int
    unheard: int
    """submitted while no scheduler was there to hear it"""
    hosts_sized_by_use: bool
    """each host has the most processors that were used there at one time in the log, which does not tell its size"""
    open_loop: bool = True
    reshaped: str = ""
    """how the log was shaken and drawn again"""
    scheduler: str = ""
    """which of several got the jobs"""


def job_log(text: str) -> Path:
    """What a person names: a file, or one of `SHIPPED`. Raises `ConfigurationError`."""
    path = Path(text)
    if path.exists():
        return path
    if text in SHIPPED:
        return shipped(SHIPPED[text])
    guess = nearest(text, list(SHIPPED))
    hint = f"a job log in the Standard Workload Format, or one that comes with laulima: {', '.join(SHIPPED)}"
    raise ConfigurationError(f"there is no file {text}{guess}", hint)


def load(replay: Replay) -> tuple[LoadedScenario, Survey]:
    """The log's own cluster (or `--hosts`) with nothing else to do. Raises `ConfigurationError`."""
    hosts = _hosts(replay.hosts)
    found = survey(replay.workload, first=replay.first, slots_max=max((host.slots for host in hosts), default=0))
    cluster = cluster_of(found, replay.order, hosts)
    configuration = Configuration(replay.name, ".", cluster=cluster, digest=_digest(replay))
    longer = 2 if replay.reshape else 1
    for_ns = min(HORIZON_MAX_NS, longer * found.horizon_ns)
    world = Scenario(start_wall_ns=found.start_wall_ns, for_ns=for_ns, digest="default")
    start = datetime.fromtimestamp(found.start_wall_ns // SECOND, UTC)
    return LoadedScenario(configuration, world, start, tuple(left_out(found))), found


def beside(replay: Replay, loaded: LoadedScenario) -> Survey:
    """The log's jobs are to run on the hosts of a pipeline, beside its own. Raises `ConfigurationError`."""
    hosts = loaded.configuration.cluster.hosts
    if not hosts:
        raise ConfigurationError(f"{loaded.configuration.path} has no hosts that could run the workload", HOSTS_HINT)
    return survey(replay.workload, first=replay.first, slots_max=max(host.slots for host in hosts))


def left_out(found: Survey) -> list[str]:
    """Warnings: which jobs are not replayed, and why."""
    lines = list(found.lines_left_out)
    lines += [f"{found.path}: {count(number, 'job')} left out: {why}" for why, number in found.left_out.items()]
    return lines


def with_warnings(loaded: LoadedScenario, more: list[str]) -> LoadedScenario:
    """The same with more warnings."""
    return replace(loaded, warnings=(*loaded.warnings, *more))


def feed(found: Survey, replay: Replay, seed: int, *, alone: bool, pace: float = 1.0) -> Feed:
    """The log's jobs at their times; `alone`: the simulation ends with the last of them. `seed`: for what is drawn;
    `pace`: they come so many times as fast."""
    return Feed(submissions(found, replay.by, replay.reshape, seed, pace), ends=alone, scheduler=replay.scheduler)


def parse_reshape(shake: str | None, resample: str | None) -> Reshape:
    """What `--shake` and `--resample` say. Raises `ConfigurationError`."""
    how = None if resample is None else Resample(resample)
    return Reshape(0.0 if shake is None else _share(shake), how)


def _share(text: str) -> float:
    """`10%` is 0.1. Raises `ConfigurationError`."""
    number = text.strip().removesuffix("%")
    try:
        share = float(number) / 100 if text.strip().endswith("%") else -1.0
    except ValueError:
        share = -1.0
    if not 0.0 < share < 1.0:
        raise ConfigurationError(f"--shake {text}: expects per cent, above 0 and below 100", "as in --shake 10%")
    return share


def submitted_to(replay: Replay, schedulers: Sequence[str]) -> Replay:
    """The same with the scheduler that gets the jobs: it is named, or there is one only (`schedulers` are those that
    have names). Raises `ConfigurationError`."""
    name = replay.scheduler
    if name and not schedulers:
        raise ConfigurationError(f"--scheduler {name}: there is one scheduler only", "leave it out")
    if name and name not in schedulers:
        guess = nearest(name, list(schedulers))
        raise ConfigurationError(
            f"--scheduler {name}: there is none of this name{guess}", f"known: {', '.join(schedulers)}"
        )
    if not name and len(schedulers) > 1:
        raise ConfigurationError(
            f"a job log is submitted to one of the schedulers: {', '.join(schedulers)}",
            f"as in --scheduler {schedulers[0]}; the others do what their pipelines say",
        )
    return replace_fields(replay, scheduler=name or next(iter(schedulers), ""))


def workload_line(found: Survey, given: Feed, replay: Replay) -> WorkloadLine:
    """See `WorkloadLine`."""
    mean = found.wait_ns / found.waits if found.waits else None
    return WorkloadLine(
        replay.name, found.jobs, dict(found.left_out), mean, given.given, given.unheard, found.sized_by_use,
        reshaped=" and ".join(_reshape_words(replay.reshape)), scheduler=replay.scheduler,
    )  # fmt: skip


def _reshape_words(reshape: Reshape) -> list[str]:
    words = [] if reshape.resample is None else [f"its {reshape.resample.value} drawn again"]
    return [*words, f"shaken by {100 * reshape.shake:g} %"] if reshape.shake else words


def workload_text(line: WorkloadLine, order: Order | None) -> list[str]:
    """The same for a person. `order` None: as the pipeline says."""
    how = _HOW[order] if order is not None else "in the pipeline's order"
    by = f", submitted by {line.scheduler}" if line.scheduler else ""
    lines = [
        f"workload   {count(line.given, 'job')} of {line.file}{by}, {how}",
        "           open loop: submitted at the log's times, whatever became of earlier ones; nobody waits for a",
        "           result, so the queue of a cluster that is too slow grows without bound",
    ]
    if line.hosts_sized_by_use:
        lines += [
            "           the log does not say how large its partitions are: each has the most processors that its jobs",
            "           used at one time",
        ]
    if line.left_out:
        lines.append(f"           {count(sum(line.left_out.values()), 'job')} of the log left out: see the warnings")
    if line.reshaped:
        lines.append(f"           {line.reshaped}: other jobs, or at other times, than in the log")
    elif line.given < line.jobs:
        lines.append(f"           {count(line.jobs - line.given, 'job')} not submitted before the end")
    if line.unheard:
        lines.append(f"           {thousands(line.unheard)} submitted while no scheduler was there: lost")
    if line.log_wait_ns is not None:
        lines.append(f"           mean wait in the log itself: {duration(round(line.log_wait_ns))}")
    return lines


def _hosts(texts: tuple[str, ...]) -> tuple[HostDefinition, ...]:
    """`node[01-16]:8` -> 16 hosts of 8 slots."""
    hosts: list[HostDefinition] = []
    for text in texts:
        names, colon, slots = text.rpartition(":")
        if not colon or not slots.isdecimal() or not 0 < int(slots) <= 1_000_000:
            raise ConfigurationError(f"--hosts {text!r}: hosts and their slots are expected", HOSTS_HINT)
        hosts += [HostDefinition(name, int(slots)) for name in expand(names)]
    names_all = [host.name for host in hosts]
    twice = next((name for name in names_all if names_all.count(name) > 1), None)
    if twice is not None:
        raise ConfigurationError(f"--hosts: {twice} is there twice", HOSTS_HINT)
    return tuple(hosts)


def _digest(replay: Replay) -> str:
    """BLAKE2 of the log's bytes and of the options: what decides the run, as a pipeline's text does."""
    digest = blake2b(" ".join(replay.words()[2:]).encode(), digest_size=16)
    with replay.workload.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
