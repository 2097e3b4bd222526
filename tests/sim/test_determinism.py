"""Goal: one seed decides everything: the same inputs give the same event log to the byte.

Method: the log's BLAKE2 hash, from separate processes with different PYTHONHASHSEEDs, with and without a file and an
oracle; and that another seed does give another log.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path

from sim.log import read_log
from sim.oracle import Oracle
from sim.simulation import simulate
from sim.swarm import swarm

SEEDS = (10, 25)
PROGRAM = f"""
from sim.simulation import simulate
from sim.swarm import swarm
print(*[simulate(*swarm(seed)).hash for seed in {SEEDS}])
"""


def hashes_of_a_process(hash_seed: str) -> str:
    """What a process of its own says."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[2])}
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True, timeout=100
    )
    return answer.stdout.strip()


def test_the_log_does_not_depend_on_the_hash_seed() -> None:
    first, second, third = (hashes_of_a_process(hash_seed) for hash_seed in ("0", "1", "2"))
    assert first == second == third
    assert first.split() == [simulate(*swarm(seed)).hash for seed in SEEDS]


def test_the_log_does_not_depend_on_who_reads_it() -> None:
    configuration, scenario = swarm(3)
    assert simulate(configuration, scenario).hash == simulate(configuration, scenario, check=False).hash


def test_the_hash_is_that_of_the_file() -> None:
    file = io.BytesIO()
    result = simulate(*swarm(4), file=file)
    assert result.hash == blake2b(file.getvalue(), digest_size=16).hexdigest()
    assert file.getvalue().count(b"\n") == result.lines


def test_another_seed_gives_another_log() -> None:
    configuration, scenario = swarm(5)
    other = type(scenario)(**{**{n: getattr(scenario, n) for n in scenario.__struct_fields__}, "seed": 77})
    assert simulate(configuration, scenario).hash != simulate(configuration, other).hash


def test_the_oracle_says_the_same_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with path.open("wb") as file:
        result = simulate(*swarm(6), file=file)
    oracle = Oracle()
    assert oracle.read(read_log(path)) == result.lines
    assert oracle.count == result.violation_count
    assert oracle.finished == result.jobs
