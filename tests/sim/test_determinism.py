"""Goal: one seed decides everything: the same inputs give the same event log to the byte.

Method: the log's BLAKE2 hash, with and without a file and an oracle; and that another seed does give another log. Other
hash seeds, and other Pythons, are the matter of `test_pythons.py`.
"""

from __future__ import annotations

import io
from hashlib import blake2b
from pathlib import Path

from sim.log import read_log
from sim.oracle import Oracle
from sim.simulation import simulate
from sim.swarm import swarm


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
