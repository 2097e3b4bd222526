"""Makes `configs/lublin-1000.swf`, the job log that is a part of laulima: `python -m benchmarks.lublin_log FILE`.

The workload model of Lublin and Feitelson (The workload on parallel supercomputers: modeling the characteristics of
rigid jobs, JPDC 63, 2003), fitted by them to logs of real machines, with their parameters for all jobs together and a
machine of 128 processors: how many processors a job takes, how long it runs (longer where it takes more), and when jobs
come (a daily cycle of 48 half hours). Only the numbers drawn are ours. A test makes the file again, to the byte.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

JOBS = 1000
SEED = 1
PROCESSORS = 128
SERIAL, POWER_OF_TWO = 0.244, 0.576
"""Shares of jobs on one processor, and on a power of two of them."""
LOW, MIDDLE, HIGH, LOWER = 0.8, 4.5, 7.0, 0.86
"""Of all others the logarithm (base 2) is uniform from low to middle, in this share, or from middle to high."""
BRIEF, LONG, RUN_LOG_MAX = (4.2, 0.94), (312.0, 0.03), 12.0
"""The logarithm (base e) of a run time in seconds: two gamma distributions (shape, scale), and its largest value."""
BRIEF_SHARE, BRIEF_BY_PROCESSOR = 0.78, -0.0054
"""Which of the two: the share of the first for no processor, and by how much each one changes it."""
GAP, GAP_LOG_MAX, RUSH = (10.2303, 0.4871), 13.0, 1.0225
"""The same of the time between two jobs in the rush hours; by so much its shape is larger over the whole day."""
CYCLE, DAY_BEGINS, SLOTS, SLOT_S = (8.1737, 3.9631), 11, 48, 1800
"""When jobs come, as a gamma distribution over the half hours of a day that begins with the eleventh of them (5:30)."""


def gamma_share(shape: float, x: float) -> float:
    """How much of a gamma distribution of scale 1 lies below x: the series of the incomplete gamma function."""
    term = total = 1.0 / shape
    above = shape
    while term > total * 1e-12:
        above += 1.0
        term *= x / above
        total += term
    return total * math.exp(shape * math.log(x) - x - math.lgamma(shape))


def cycle() -> list[float]:
    """How many jobs come in each half hour of the day from midnight on; the mean is 1."""
    shape, scale = CYCLE
    weights = [0.0] * SLOTS
    for at in range(DAY_BEGINS, DAY_BEGINS + SLOTS):
        share = gamma_share(shape, (at + 0.5) / scale) - gamma_share(shape, (at - 0.5) / scale)
        weights[(at - 1) % SLOTS] = share
    mean = sum(weights) / SLOTS
    return [weight / mean for weight in weights]


def below(chance: Random, law: tuple[float, float], most: float) -> float:
    """A draw from a gamma distribution; one above `most` is drawn again."""
    while (value := chance.gammavariate(*law)) > most:
        pass
    return value


def submit_times(chance: Random) -> Iterator[float]:
    """Seconds from midnight on. Each gap is drawn as work, of which a busy half hour does more than a quiet one."""
    weights = cycle()
    shape, scale = GAP
    slot, done, work = 0, 0.0, 0.0
    while True:
        work += math.exp(below(chance, (shape * RUSH, scale), GAP_LOG_MAX)) / SLOT_S
        while work > weights[slot % SLOTS]:
            work -= weights[slot % SLOTS]
            slot += 1
        done = work / weights[slot % SLOTS]
        yield (slot + done) * SLOT_S


def processors(chance: Random) -> int:
    """Of one job."""
    kind = chance.random()
    if kind <= SERIAL:
        return 1
    low, high = (LOW, MIDDLE) if chance.random() <= LOWER else (MIDDLE, HIGH)
    logarithm = chance.uniform(low, high)
    if kind <= SERIAL + POWER_OF_TWO:
        logarithm = math.floor(logarithm + 0.5)
    return min(PROCESSORS, math.floor(2**logarithm + 0.5))


def run_time(chance: Random, width: int) -> int:
    """Seconds, of a job on so many processors."""
    share = min(1.0, max(0.0, BRIEF_SHARE + BRIEF_BY_PROCESSOR * width))
    law = BRIEF if chance.random() <= share else LONG
    return math.floor(math.exp(below(chance, law, RUN_LOG_MAX)))


def log_text(seed: int = SEED, jobs: int = JOBS) -> str:
    """The whole log."""
    chance = Random(seed)
    lines = [
        "; Version: 2.2",
        "; Computer: none: a workload model, for trying things out",
        "; Information: Lublin and Feitelson, The workload on parallel supercomputers, JPDC 63 (2003),",
        ";   the parameters for all jobs; drawn by benchmarks/lublin_log.py of laulima",
        f"; Note: seed {seed}",
        f"; MaxJobs: {jobs}",
        f"; MaxRecords: {jobs}",
        "; UnixStartTime: 0",
        f"; MaxProcs: {PROCESSORS}",
    ]
    for number, submit in zip(range(1, jobs + 1), submit_times(chance), strict=False):
        width = processors(chance)
        run = run_time(chance, width)
        lines.append(f"{number} {submit:.0f} -1 {run} {width} -1 -1 {width} -1 -1 1 -1 -1 -1 -1 -1 -1 -1")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(log_text(), encoding="utf-8")
