"""Goal: the event log is the same to the byte on every Python from 3.11 on, whatever its hash seed.

Method: each Python on PATH that has what a simulation imports runs the same worlds in processes of their own, with
several PYTHONHASHSEEDs; the BLAKE2 hashes are compared. Which Pythons there were is printed; often it is one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


def pythons() -> tuple[dict[str, str], list[str]]:
    """(program by version, why others were left out): one of each version from 3.11 on, this one included."""
    found: dict[str, str] = {}
    without: list[str] = []
    for program in (sys.executable, *filter(None, map(shutil.which, NAMES))):
        version = said(program, VERSION)
        if version is None or tuple(map(int, version.split(".")[:2])) < (3, 11) or version in found:
            continue
        if said(program, NEEDED) is None:
            without.append(f"{program} ({version}) has no msgspec or simpy")
        else:
            found[version] = program
    return found, without


def test_every_python_on_path_makes_the_same_event_log(capsys: pytest.CaptureFixture[str]) -> None:
    found, without = pythons()
    expected = " ".join(simulate(*swarm(seed)).hash for seed in SEEDS)
    for version, program in found.items():
        for hash_seed in HASH_SEEDS:
            hashes = said(program, WORLDS, PYTHONHASHSEED=hash_seed)
            assert hashes == expected, f"Python {version}, PYTHONHASHSEED={hash_seed}"
    only = "the only Python from 3.11 on that is on PATH and can run it" if len(found) == 1 else "all the same"
    with capsys.disabled():
        print(f"\nevent logs by Python {', '.join(found)}: {only}", *without, sep="; ")
