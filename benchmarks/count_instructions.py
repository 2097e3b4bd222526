"""Goal: a saving of a per cent is seen, whatever else the machine does. Method: the processor's instructions of whole
simulations are counted (`valgrind --tool=cachegrind`), of few jobs and of many; the difference, divided by the jobs
between, is what one job takes. Two counts of the same differ by less than 0.1 %.

    python -m benchmarks.count_instructions                 # some minutes
    python -m benchmarks.count_instructions NASA.swf.gz     # the first jobs of this log instead of one written here

Nothing of it goes to RESULTS.md; the figures are in docs/performance.md. `tests/sim/test_cost_of_a_job.py` counts calls
of functions, which needs no valgrind.
"""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path

from benchmarks.test_simulation import cpu_seconds
from benchmarks.test_swf import JOBS, replayed, write
from model.configuration import Order

COMPANY, ALONE = "company", "alone"
LENGTHS = {COMPANY: (4_000, 12_000), ALONE: (300, 1_800)}
"""Jobs of the two runs; in company several for each of the 400 slots."""
HOSTS = 100


def shortened(log: Path, jobs: int, folder: Path) -> Path:
    """The head and the first `jobs` jobs of a log (.swf or .swf.gz), as a file in `folder`."""
    text = gzip.decompress(log.read_bytes()) if log.suffix == ".gz" else log.read_bytes()
    lines = text.decode().splitlines(keepends=True)
    head = [line for line in lines if line.startswith(";")]
    given = islice((line for line in lines if line.strip() and not line.startswith(";")), jobs)
    path = folder / f"{jobs}.swf"
    path.write_text("".join((*head, *given)))
    return path


def run(kind: str, jobs: int, log: Path, folder: Path) -> None:
    """What is counted."""
    if kind == COMPANY:
        cpu_seconds(HOSTS, jobs)
    else:
        replayed(shortened(log, jobs, folder), Order.STRICT, folder / "jobs.csv")


def counted(kind: str, jobs: int, log: Path, folder: Path) -> int:
    """Instructions of such a run, in a process of its own. It keeps no bytecode: else the first one would compile for
    those that come after it."""
    words = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    own = [sys.executable, "-m", "benchmarks.count_instructions", kind, str(jobs), str(log), str(folder)]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(words + own, capture_output=True, text=True, check=False, env=environment)
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if done.returncode or found is None:
        sys.exit(done.stderr)
    return int(found[1].replace(",", ""))


def main(words: list[str]) -> None:
    """`words`: nothing or a log; or what `counted` asks of the process that it starts."""
    if len(words) == 4:
        run(words[0], int(words[1]), Path(words[2]), Path(words[3]))
        return
    with tempfile.TemporaryDirectory(prefix="instructions-") as name:
        folder = Path(name)
        log = Path(words[0]) if words else write(folder / "log.swf", JOBS)
        for kind, (few, many) in LENGTHS.items():
            each = (counted(kind, many, log, folder) - counted(kind, few, log, folder)) / (many - few)
            where = f"{HOSTS} hosts" if kind == COMPANY else log.name
            print(f"a job, {kind} ({where}): {each:,.0f} instructions", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
