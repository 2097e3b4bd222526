"""Goal: a pipeline as an operator of a survey has it (a library, five stages from the module path, load and run tasks,
a table of hosts, on and off macros) does all its work once, also when its server dies in the middle.

Method: the files of `survey/` (the five stages are one template), with a query tool and a work program of a few lines,
run by `laulima run` with real processes; what worked on what is in a file that the work program writes.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest

SURVEY = Path(__file__).parent / "survey"
ROOT = Path(__file__).parents[2]
STAGES = ("raw", "chip", "warp", "stack", "diff")
ENTRIES = 2 * 12
"""Two stages that are on, 12 entries each."""
LIMIT_SECONDS = 60


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Path]:
    """A folder with the survey's files; afterwards nothing of it runs any more."""
    folder = tmp_path / "n"
    modules = folder / "modules"
    modules.mkdir(parents=True)
    shutil.copy(SURVEY / "library.pro", modules)
    template = (SURVEY / "stage.pro").read_text(encoding="utf-8")
    for stage in STAGES:
        text = template.replace("@STAGE@", stage)
        text = text.replace("\n", "\r\n") if stage == "warp" else text.rstrip("\n")
        (modules / f"{stage}.pro").write_bytes(text.encode() + b"\n# M\xfcller" * (stage == "chip"))
    (modules / "hosts.mdc").write_text("hosts METADATA\n camera STR cam1\n ccd STR ccd0\n host STR node00\nEND\n")
    entries = [f"controller host add node{entry % 3:02d} -threads {2 + entry % 3}\n" for entry in range(30)]
    (folder / "site.pro").write_text("".join(entries), encoding="utf-8")
    for name in ("main.pro", "query.py", "work.py"):
        shutil.copy(SURVEY / name, folder)
    yield folder
    words = [sys.executable, "-m", "shell.main", "shutdown", "--kill", "--state", str(folder / "s")]
    subprocess.run(words, cwd=ROOT, capture_output=True, timeout=LIMIT_SECONDS, check=True)


@contextmanager
def server(night: Path, wanted: int) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MODULES": str(night / "modules")}
    words = [sys.executable, "-m", "shell.main", "run", "main.pro", str(wanted), "--state", str(night / "s")]
    with (night / "errors").open("a", encoding="utf-8") as errors:
        process = subprocess.Popen(words, cwd=night, env=environment, stdout=subprocess.PIPE, stderr=errors, bufsize=0)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """What it prints, until it ends. Fails when it says nothing for too long."""
    assert process.stdout is not None
    begun = monotonic()
    left = b""
    while True:
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, LIMIT_SECONDS + begun - monotonic()))
        assert ready, "the server does not get on"
        got = process.stdout.read(65536)
        if not got:
            return
        *whole, left = (left + got).split(b"\n")
        yield from (line.decode() for line in whole)


def works(night: Path) -> Counter[tuple[str, ...]]:
    """How often each entry was worked on."""
    text = (night / "runs.log").read_text(encoding="utf-8")
    return Counter(tuple(line.split()[:2]) for line in text.splitlines())


def ended(night: Path) -> set[tuple[str, ...]]:
    """The entries whose exit macro has run."""
    text = (night / "ends.log").read_text(encoding="utf-8")
    return {(stage, page.split(":")[0]) for stage, page in (line.split() for line in text.splitlines())}


def test_a_night_of_two_stages_does_everything_once(night: Path) -> None:
    with server(night, ENTRIES) as process:
        said = list(lines(process))
        status = process.wait(LIMIT_SECONDS)
    errors = (night / "errors").read_text(encoding="utf-8")
    assert status == 0, errors
    results = dict(line.split()[1:] for line in said if line.startswith("RESULT"))
    assert results == {"DONE": "18", "DATA_ERR": "2", "SYS_ERR": "2", "CRASH": "2", "TIMEOUT": "0", "UNKNOWN": "0"}
    assert works(night) == {(stage, str(number)): 1 for stage in ("chip", "warp") for number in range(12)}
    ran = (night / "runs.log").read_text(encoding="utf-8").splitlines()
    assert all("@" not in line and "--root path://ccd" in line for line in ran)
    table = {line.split()[1]: line for line in said if line.startswith((" ++", " -+"))}
    assert sorted(table) == sorted(f"{stage}.{kind}" for stage in STAGES for kind in ("load", "run", "revert"))
    assert [name for name in table if table[name].startswith(" ++")] == ["chip.revert"]
    assert not re.search(r"\.pro:\d", errors), errors


def test_a_server_that_is_killed_in_the_middle_loses_no_job_and_runs_none_twice(night: Path) -> None:
    with server(night, ENTRIES) as process:
        for line in lines(process):
            if line.startswith("ended ") and len(works(night)) > len(ended(night)) > 4:
                break
    running = set(works(night)) - ended(night)
    with server(night, 10 * ENTRIES) as process:
        for line in lines(process):
            if line.startswith("ended ") and ended(night) == set(works(night)):
                break
    assert running
    assert set(works(night).values()) == {1}
