"""Job logs for tests: small ones that are written here, and the archive's where a folder with them is named.

The archive's logs are no part of the project: the environment variable says where they are.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

VARIABLE = "LAULIMA_JOB_LOGS"
HPC2N = "HPC2N-2002-first57d.swf.gz"
NASA = "NASA-iPSC-1993-3.1-cln.swf.gz"
LCG = "LCG-2005-1.swf.gz"


def line(
    number: int,
    submit: float,
    run: float,
    processors: int = 1,
    *,
    wait: float = -1,
    asked: int = -1,
    time: int = -1,
    status: int = 1,
    user: int = 1,
    partition: int = -1,
) -> str:
    """One job of a log."""
    known = [number, submit, wait, run, processors, -1, -1, asked, time, -1, status, user, 1, -1, -1, partition]
    return " ".join(str(field) for field in [*known, -1, -1])


def write_log(path: Path, *lines: str, processors: int = 4) -> Path:
    """A log of one machine."""
    path.write_text("\n".join(["; Version: 2.2", f"; MaxProcs: {processors}", *lines]) + "\n")
    return path


def archived(name: str) -> Path:
    """A log of the archive, or the test is skipped."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"{VARIABLE} names no folder with logs of the Parallel Workloads Archive")
    path = Path(folder) / name
    if not path.exists():
        pytest.skip(f"{VARIABLE}: {path} does not exist")
    return path
