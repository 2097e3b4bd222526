"""Failure traces for tests: small ones that are written here, and the archives' where a folder with them is named.

The archives' traces are no part of the project: the environment variable says where they are.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

VARIABLE = "LAULIMA_FAILURE_LOGS"
LANL = "LANL-LA-UR-05-7318-1996-2005.csv.gz"
GRID5000 = "Grid5000-2005-2006-down.csv.gz"

LANL_HEADER = "System,machine type,nodes,nodenum,nodenumz,Prob Started,Prob Fixed,Down Time,Hardware"


def write_lanl(path: Path, *failures: str, size: int = 3) -> Path:
    """A trace with these failures: `system node begin end`, times such as `6/21/2005-10:54`."""
    lines = [LANL_HEADER]
    for failure in failures:
        system, node, begin, end = failure.split()
        lines.append(f"{system},cluster,{size},{node},{node},{begin},{end},0,Disk".replace("-", " "))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_grid(path: Path, *lines: str) -> Path:
    """A trace of Grid'5000's form."""
    path.write_text("\n".join(["# node down times", *lines]) + "\n")
    return path


def archived(name: str) -> Path:
    """A trace of the archives, or the test is skipped."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"{VARIABLE} names no folder with the failure traces of LANL and Grid'5000")
    path = Path(folder) / name
    if not path.exists():
        pytest.skip(f"{VARIABLE}: {path} does not exist")
    return path
