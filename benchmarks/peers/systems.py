"""The peers that start `/bin/true` so many times, as one table: how each is got, what it keeps of a job, and how long
it takes for so many, from the first order to the known end of the last.

Each has two places for jobs at the same time; its workers are warm, and neither its start nor its stop is in the time.
Called by `test_peers.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from benchmarks.peers.installing import NotThereError, debian_program, python_with
from benchmarks.test_slurm import plain_array
from tests.cluster.slurm_cluster import SlurmCluster

LIMIT_SECONDS = 300.0
"""The longest that one run of a peer may take."""
MANY, SOME, FEW = 2_000, 500, 150
"""Jobs, so that a run takes a few seconds: of those that do 500 a second and more, 200, and 20."""
PROGRAMS = Path(__file__).with_name("programs")


class Run(Struct, frozen=True):
    """One run of a peer."""

    seconds: float
    version: str


Go = Callable[[Path, int], Run]
"""(an empty folder, jobs). Raises NotThereError."""


class Peer(Struct, frozen=True):
    """`keeps`: what is left of a job when it is over. `records`: whether that outlives the peer's own process."""

    name: str
    jobs: int
    keeps: str
    go: Go
    records: bool = False


def _checked(words: list[str], folder: Path, **environment: str) -> str:
    """The output of a command that must end well."""
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=LIMIT_SECONDS, cwd=folder, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _version(words: list[str]) -> str:
    found = re.search(r"\d[\d.]*\d", subprocess.run(words, capture_output=True, text=True, check=False).stdout)
    return found.group() if found else ""


def _program(name: str, package: str = "") -> Go:
    """A program of `programs/`, run by the Python that has the package (none: by ours)."""

    def go(folder: Path, jobs: int) -> Run:
        python = python_with(package) if package else Path(sys.executable)
        # a short path: sockets are made below it
        said = _checked([str(python), str(PROGRAMS / name), str(jobs), str(folder)], folder, HOME=str(folder))
        words = next(line for line in said.splitlines() if line.startswith("seconds")).split()
        return Run(float(words[1]), words[2])

    return go


def _xargs(folder: Path, jobs: int) -> Run:
    numbers = "\n".join(map(str, range(jobs)))
    begin = time.monotonic()
    subprocess.run(["xargs", "-P2", "-n1", "/bin/true"], input=numbers, text=True, check=True, timeout=LIMIT_SECONDS)
    return Run(time.monotonic() - begin, _version(["xargs", "--version"]))


def _parallel(*options: str) -> Go:
    def go(folder: Path, jobs: int) -> Run:
        program = str(debian_program("parallel", "parallel"))
        numbers = "\n".join(map(str, range(jobs)))
        words = [program, "--will-cite", "-j2", *options, "/bin/true"]
        begin = time.monotonic()
        subprocess.run(
            words, input=numbers, text=True, check=True, timeout=LIMIT_SECONDS, cwd=folder,
            env={**os.environ, "HOME": str(folder)},
        )  # fmt: skip
        seconds = time.monotonic() - begin
        if "--joblog" in options:
            assert len((folder / "joblog").read_text().splitlines()) == jobs + 1
        return Run(seconds, _version([program, "--version"]))

    return go


def _task_spooler(folder: Path, jobs: int) -> Run:
    program = str(debian_program("task-spooler", "tsp"))
    environment = {
        "TS_SOCKET": str(folder / "socket"), "TMPDIR": str(folder), "TS_MAXFINISHED": str(2 * jobs),
    }  # fmt: skip
    script = f"i=0; while [ $i -lt {jobs} ]; do {program} /bin/true >/dev/null; i=$((i+1)); done; {program} -w"
    _checked([program, "-S", "2"], folder, **environment)
    try:
        begin = time.monotonic()
        _checked(["sh", "-c", script], folder, **environment)
        seconds = time.monotonic() - begin
        finished = _checked([program], folder, **environment).count("finished")
        assert finished >= jobs - 1  # the last one is waited for; the one before it may end after it
    finally:
        _checked([program, "-K"], folder, **environment)
    return Run(seconds, _version([program, "-V"]))


def _nq(folder: Path, jobs: int) -> Run:
    """A queue of nq does one job at a time, so there are two of them."""
    program = str(debian_program("nq", "nq"))
    queues = [folder / "left", folder / "right"]
    each = jobs // len(queues)
    script = f"i=0; while [ $i -lt {each} ]; do {program} -q /bin/true; i=$((i+1)); done; {program} -w"
    for queue in queues:
        queue.mkdir()
    begin = time.monotonic()
    feeders = [subprocess.Popen(["sh", "-c", script], cwd=queue) for queue in queues]
    assert [feeder.wait(LIMIT_SECONDS) for feeder in feeders] == [0, 0]
    seconds = time.monotonic() - begin
    assert [len(list(queue.iterdir())) for queue in queues] == [each, each]
    return Run(seconds * jobs / (each * len(queues)), _debian_version("nq"))


def _debian_version(package: str) -> str:
    archives = sorted((debian_program(package, package).parent.parent.parent).glob("*.deb"))
    return archives[-1].name.split("_")[1] if archives else ""


def _slurm(folder: Path, jobs: int) -> Run:
    for program, package in (("slurmctld", "slurm-wlm"), ("munged", "munge")):
        if shutil.which(program) is None:
            raise NotThereError(f"there is no {program} here (Debian package {package})")
    with SlurmCluster() as cluster:
        before, os.environ["SLURM_CONF"] = os.environ.get("SLURM_CONF"), str(cluster.configuration)
        try:
            plain_array(cluster, folder, ("true", "", ""), 2)  # the first submission of a new Slurm waits for its nodes
            seconds = plain_array(cluster, folder, ("true", "", ""), jobs)
            return Run(seconds, _version(["sbatch", "--version"]))
        finally:
            if before is None:
                del os.environ["SLURM_CONF"]
            else:
                os.environ["SLURM_CONF"] = before


PEERS = (
    Peer("xargs -P2", MANY, "nothing", _xargs),
    Peer("ProcessPoolExecutor(2) + subprocess.run", MANY, "nothing", _program("pool.py")),
    Peer("Ray, 2 processors", MANY, "results in memory", _program("ray_core.py", "ray")),
    Peer("dask.distributed, 2 workers", MANY, "results in memory", _program("dask_distributed.py", "distributed")),
    Peer("GNU parallel -j2", MANY, "nothing", _parallel()),
    Peer("GNU parallel -j2 --joblog --results", SOME, "a line and files for each job",
         _parallel("--joblog", "joblog", "--results", "results"), records=True),
    Peer("HyperQueue, 1 worker of 2 cores", MANY, "files for each job", _program("hyperqueue.py", "hyperqueue"),
         records=True),
    Peer("task-spooler, 2 slots", SOME, "a file for each job", _task_spooler, records=True),
    Peer("nq, 2 queues", SOME, "a file for each job", _nq, records=True),
    Peer("Parsl HTEX, 2 workers", SOME, "a line for each job", _program("parsl_htex.py", "parsl"), records=True),
    Peer("Slurm, sbatch array, 12 slots", FEW, "records of Slurm", _slurm, records=True),
)  # fmt: skip
