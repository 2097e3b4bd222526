"""Goal: on an idle server a job starts at once, its end is known at once, and what is to follow from it follows.

What is measured is when programs begin (their `exec` has succeeded) and when processes are over, as the kernel says it
(`process_events.py`). Where nobody may hear that, a program begins with its first word, and a process is over when this
one sees it; the figures say which.

Method: one job after another is submitted over the control socket with `wait`. The way there is from the sending of the
order to the start of its program (two commits and a spawn are in it), the way back from it to the answer (the run, the
keeper's log and the journal on the disk are in it). The baseline is the same program, started and waited for by this
process, in turns with them; latencies are given in times of that, too.

Nothing is told before it is on the disk, so what a single write waits for there, in turns with the rest, stands beside
each latency: a slow moment of the disk is one of ours.

Reaction: a task's job waits until this process lets it end, and its handler for exit 0 is the lightest that can tell
its process id. From the end of the job's process to the start of the handler's program: the way up, a commit with both
records, the way down and a spawn are in it. The baseline is this process, which waits for such a job and starts such a
handler, in turns with them.
"""

from __future__ import annotations

import os
import select
import shlex
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from benchmarks.observed import let_work
from benchmarks.process_events import ProcessEvents, process_events
from benchmarks.scripted_server import once
from model.job import SECOND
from model.task import Handler, Limits, Periods, TaskDefinition
from tests.live.running_server import LOCALLY, Client, RunningServer, until

JOBS = 200
ASKED = "p50 under 3 ms, p99 under 10 ms"
"""Shown, not judged: a busy machine has others' time slices in it."""
MOST = 100
"""Times the baseline at most: beyond it something polls that should be told."""
PID, TIME = ("sh", "-c", "echo $$"), ("date", "+%s%N")
"""What is submitted where the kernel tells of processes, and elsewhere."""
EVERY_NS = SECOND // 50
"""Between jobs whose ends have handlers, if the one before is over."""
SETTLED_SECONDS = 0.03
"""A job runs so long before it may end: that it runs has been told by then, and nobody has anything left to do."""
PAGE = 4096
"""Bytes of one write to the disk alone."""
WARM_UP = 5
"""Rounds that are not counted."""
LIMIT = 60.0
MILLISECOND = 1_000_000

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def events() -> Iterator[ProcessEvents | None]:
    with process_events() as heard:
        yield heard


def by(events: ProcessEvents | None) -> str:
    """How it was measured, for people."""
    return "told by the kernel" if events is not None else "by the first words of programs"


class Submitted:
    """Programs that are started one after another, and when each began."""

    def __init__(self, events: ProcessEvents | None) -> None:
        self._events = events
        self.command = TIME if events is None else PID
        self.now = time.time_ns if events is None else time.monotonic_ns

    def began(self, said: str) -> int:
        """When the program began that has said this."""
        return int(said) if self._events is None else self._events.began(int(said))

    def bare(self) -> int:
        """ns from the order to the known end of the program without us."""
        begin = self.now()
        said = subprocess.run(self.command, check=True, capture_output=True, text=True).stdout
        end = self.now()
        assert begin <= self.began(said) <= end
        return end - begin

    def there_and_back(self, client: Client) -> tuple[int, int]:
        """ns to the start of a job's program, and from there to the answer."""
        begin = self.now()
        answer = client.ask("submit", command=self.command, wait=True)
        end = self.now()
        assert answer["report"]["exit_code"] == 0
        began = self.began(Path(answer["stdout"]).read_text())
        assert begin <= began <= end
        return began - begin, end - began


class Disk:
    """The disk alone: a page is written and waited for, as a commit is."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / "page", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        self.waits: list[int] = []
        """ns"""

    def write(self) -> None:
        """Once more."""
        os.write(self._descriptor, b"x" * PAGE)
        begin = time.monotonic_ns()
        os.fdatasync(self._descriptor)
        self.waits.append(time.monotonic_ns() - begin)

    def close(self) -> str:
        """What it took, for people."""
        os.close(self._descriptor)
        return f"the disk alone {percentiles(self.waits)}"


def percentiles(values: list[int]) -> str:
    """p50 and p99 in ms."""
    ordered = sorted(values)
    worst = ordered[len(ordered) * 99 // 100]
    return f"p50 {statistics.median(ordered) / MILLISECOND:.1f} ms, p99 {worst / MILLISECOND:.1f} ms"


@pytest.mark.benchmark(group="latency")
def test_latency_of_an_idle_server(
    benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path, events: ProcessEvents | None
) -> None:
    server = RunningServer(tmp_path)
    try:
        client = server.start(server.configuration())
        there: list[int] = []
        back: list[int] = []
        baseline: list[int] = []

        programs, disk = Submitted(events), Disk(tmp_path)

        def one_round() -> None:
            baseline.append(programs.bare())
            disk.write()
            way, home = programs.there_and_back(client)
            there.append(way)
            back.append(home)
            if events is not None:
                events.forget()

        benchmark.pedantic(one_round, rounds=JOBS, warmup_rounds=3)  # type: ignore[no-untyped-call]
        client.ask("shutdown", kill=True)
        assert server.ended() == 0
    finally:
        server.clean()
    times = statistics.median(map(sum, zip(there, back, strict=True))) / statistics.median(baseline)
    benchmark.extra_info.update(there=percentiles(there), back=percentiles(back), times_bare=round(times, 1))
    figure("latency, submit to start", f"{percentiles(there)} ({by(events)}; {disk.close()})", ASKED)
    figure("latency, start to known", percentiles(back), "")
    figure("latency, submit to known", f"{times:.1f} times a bare start and wait ({percentiles(baseline)})", "")
    assert times < MOST


class Pair:
    """A program that ends when it is told to, and one that follows it; both say by which process id they are known."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        paths = [folder / name for name in ("said", "release", "began")]
        for path in paths:
            os.mkfifo(path)
        self._said, self._release, self._began = (os.open(path, os.O_RDWR | os.O_CLOEXEC) for path in paths)
        said, release, began = (shlex.quote(str(path)) for path in paths)
        self.first = ("sh", "-c", f"echo $$ > {said}; read line < {release}")
        self.second = ("sh", "-c", f"echo $$ > {began}")

    def close(self) -> None:
        for descriptor in (self._said, self._release, self._began):
            os.close(descriptor)

    def waiting(self) -> int:
        """The process that waits until it may end, once it does."""
        return self._read(self._said)

    def reaction(self, first: int, events: ProcessEvents | None, react: Callable[[], None]) -> int:
        """Let this process end. ns from its end to the begin of the second one, which `react` starts if nobody else
        does."""
        pidfd = os.pidfd_open(first)
        try:
            os.write(self._release, b"\n")
            if events is None:
                _readable(pidfd)
            ended = time.monotonic_ns()
            react()
            second = self._read(self._began)
            began = time.monotonic_ns()
        finally:
            os.close(pidfd)
        return began - ended if events is None else events.began(second) - events.ended(first)

    @staticmethod
    def _read(descriptor: int) -> int:
        _readable(descriptor)
        return int(os.read(descriptor, 100))


def _readable(descriptor: int) -> None:
    ready, _, _ = select.select([descriptor], [], [], LIMIT)
    assert ready, f"not within {LIMIT:g} s"


class Bare:
    """The same reaction by this process."""

    def __init__(self, folder: Path) -> None:
        self._pair = Pair(folder)
        self._pid = 0

    def close(self) -> None:
        self._pair.close()

    def reaction(self, server: RunningServer, events: ProcessEvents | None) -> int:
        """ns from the end of one process to the begin of the next one. The server is idle meanwhile."""
        self._start(self._pair.first)
        first = self._pair.waiting()
        let_work(server, SETTLED_SECONDS)
        late = self._pair.reaction(first, events, self._react)
        self._wait()
        return late

    def _react(self) -> None:
        self._wait()
        self._start(self._pair.second)

    def _start(self, command: tuple[str, ...]) -> None:
        self._pid = os.posix_spawn("/bin/sh", command, {"PATH": os.environ["PATH"]})

    def _wait(self) -> None:
        result = os.waitid(os.P_PID, self._pid, os.WEXITED)
        assert result is not None
        assert result.si_status == 0


@pytest.mark.benchmark(group="latency")
def test_a_handler_follows_an_end(
    benchmark: BenchmarkFixture, figure: Figure, tmp_path: Path, events: ProcessEvents | None
) -> None:
    server, bare, pair = RunningServer(tmp_path), Bare(tmp_path / "bare"), Pair(tmp_path / "pair")
    task = TaskDefinition(
        "brief",
        command=tuple(word.replace("$", "$$") for word in pair.first),  # `$$` is how a task's command says a dollar
        host=LOCALLY,
        handlers=(Handler("0", run=pair.second),),
        limits=Limits(in_flight=1, total=WARM_UP + JOBS),
        periods=Periods(exec_ns=EVERY_NS, timeout_ns=60 * SECOND, pending_ns=60 * SECOND),
    )
    late: list[int] = []
    baseline: list[int] = []
    disk = Disk(tmp_path)

    def measure() -> None:
        server.begin(server.configuration(task))
        for _ in range(WARM_UP + JOBS):
            job = pair.waiting()
            baseline.append(bare.reaction(server, events))
            disk.write()
            late.append(pair.reaction(job, events, react=lambda: None))
            if events is not None:
                events.forget()
        until(lambda: len(server.history()) == 2 * (WARM_UP + JOBS), "all jobs and their handlers have ended", LIMIT)

    try:
        once(benchmark, measure)
        assert server.shut_down(kill=True) == 0
    finally:
        server.clean()
        bare.close()
        pair.close()
    del late[:WARM_UP], baseline[:WARM_UP]
    assert len(late) == JOBS
    assert min(late) > 0
    times = statistics.median(late) / statistics.median(baseline)
    benchmark.extra_info.update(reaction=percentiles(late), times_bare=round(times, 1))
    figure(
        "latency, end of a process to the start of its handler",
        f"{percentiles(late)} ({by(events)}; {disk.close()})",
        ASKED,
    )
    figure("latency, end to handler, against a bare end and start", f"{times:.1f} times ({percentiles(baseline)})", "")
    assert times < MOST
