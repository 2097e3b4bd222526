"""Goal: the event log is the same to the byte on every Python from 3.11 on, whatever its hash seed.

Method: each Python on PATH that has what a simulation imports runs the same worlds in processes of their own, with
several PYTHONHASHSEEDs; the BLAKE2 hashes are compared. Which Pythons there were is told at the end of the test run,
with those that could not be asked and why; often it is one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sim.simulation import simulate
from sim.swarm import swarm

ROOT = Path(__file__).parents[2]
SEEDS = (10, 25)
HASH_SEEDS = ("0", "1", "12345")
NAMES = ("python3", "python", *(f"python3.{minor}" for minor in range(11, 20)))
VERSION = "import sys; print(*sys.version_info[:3], sep='.')"
NEEDED = "import msgspec, simpy"
WORLDS = f"""
from sim.simulation import simulate
from sim.swarm import swarm
print(*[simulate(*swarm(seed)).hash for seed in {SEEDS}])
"""


def said(python: str, program: str, **environment: str) -> str | None:
    """What the program prints; None: it fails."""
    whole = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    answer = subprocess.run(
        [python, "-c", program], env=whole, capture_output=True, text=True, timeout=100, check=False
    )
    return answer.stdout.strip() if answer.returncode == 0 else None


def pythons() -> tuple[dict[str, str], dict[str, str]]:
    """(program by version, why others were left out, by version or program): one of each version from 3.11 on, this one
    included."""
    found: dict[str, str] = {}
    without: dict[str, str] = {}
    for program in (sys.executable, *filter(None, map(shutil.which, NAMES))):
        version = said(program, VERSION)
        if version is None:
            without[Path(program).name] = "does not start"
        elif tuple(map(int, version.split(".")[:2])) < (3, 11) or version in found:
            continue
        elif said(program, NEEDED) is None:
            without[version] = f"{program} has no msgspec or simpy"
        else:
            found[version] = program
    return found, {name: why for name, why in without.items() if name not in found}


def summary(versions: list[str], without: dict[str, str]) -> str:
    """What the person is told who runs the tests."""
    only = "the only Python from 3.11 on that is on PATH and can run it" if len(versions) == 1 else "all the same"
    left = "".join(f"; not {name}: {why}" for name, why in without.items())
    return f"event logs by Python {', '.join(versions)}: {only}{left}"


def test_every_python_on_path_makes_the_same_event_log(record_property: Callable[[str, object], None]) -> None:
    found, without = pythons()
    expected = " ".join(simulate(*swarm(seed)).hash for seed in SEEDS)
    for version, program in found.items():
        for hash_seed in HASH_SEEDS:
            hashes = said(program, WORLDS, PYTHONHASHSEED=hash_seed)
            assert hashes == expected, f"Python {version}, PYTHONHASHSEED={hash_seed}"
    record_property("told", summary(list(found), without))  # `tests/conftest.py` shows it


def test_it_is_said_when_there_is_only_one() -> None:
    assert "3.11.7: the only Python" in summary(["3.11.7"], {})
    assert summary(["3.11.7", "3.12.1"], {"python3.13": "does not start"}) == (
        "event logs by Python 3.11.7, 3.12.1: all the same; not python3.13: does not start"
    )
