"""A pretend Slurm: `sbatch`, `squeue` and `scancel` as one program, whose state is a folder. For `test_batch.py`.

    folder/bin/{sbatch,squeue,scancel}   links to a script that calls `main`; bin is first in PATH
    folder/elements/ID_INDEX             one element: `mark state pid`
    folder/orders                        what goes wrong next: a line `PROGRAM WORD`; each is obeyed once

Words: `fail TEXT` (exit 1 with that complaint), `garbage` (exit 0, nonsense), `hang` (no answer), `lose` (sbatch takes
the job and fails with a time-out), `same` (sbatch gives the last id again), `hold` (sbatch takes it, nothing starts).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

TIMED_OUT = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"


def install(folder: Path) -> Path:
    """Make the programs; the folder to put first in PATH."""
    bin_folder = folder / "bin"
    bin_folder.mkdir(parents=True)
    (folder / "elements").mkdir()
    script = folder / "program"
    root = Path(__file__).resolve().parents[2]
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(root)!r})\n"
        f"from tests.live.fake_slurm import main\nsys.exit(main({str(folder)!r}, sys.argv))\n"
    )
    script.chmod(0o755)
    for name in ("sbatch", "squeue", "scancel"):
        (bin_folder / name).symlink_to(script)
    return bin_folder


def order(folder: Path, *lines: str) -> None:
    """What goes wrong next, each once."""
    with _orders(folder) as left:
        left.extend(lines)


def obey_no_more(folder: Path) -> None:
    """Nothing goes wrong from now on, also what a program was ended too early for to see."""
    with _orders(folder) as left:
        left.clear()


@contextlib.contextmanager
def _orders(folder: Path) -> Iterator[list[str]]:
    """The orders that are left, to be changed; programs and the test do so one after the other."""
    with (folder / "orders").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        lines = file.read().splitlines()
        before = list(lines)
        yield lines
        if lines != before:
            file.truncate(0)
            file.writelines(line + "\n" for line in lines)
            file.flush()  # before another one gets the lock


def calls(folder: Path) -> list[str]:
    """Every call so far: program and arguments."""
    path = folder / "calls"
    return path.read_text().splitlines() if path.exists() else []


def set_state(folder: Path, identity: str, state: str) -> None:
    """What the list says of an element from now on."""
    path = folder / "elements" / identity
    mark, _, pid = path.read_text().split()
    path.write_text(f"{mark} {state} {pid}")


def _next_order(folder: Path, program: str) -> str:
    with _orders(folder) as left:
        for line in left:
            if line.split()[0] == program:
                left.remove(line)
                return line.partition(" ")[2]
    return ""


def main(folder_name: str, arguments: list[str]) -> int:
    """One call of one of the programs."""
    folder = Path(folder_name)
    program = Path(arguments[0]).name
    with (folder / "calls").open("a") as file:
        file.write(" ".join([program, *arguments[1:]]) + "\n")
    wrong = _next_order(folder, program)
    if wrong == "hang":
        threading.Event().wait()
    if wrong == "garbage":
        sys.stdout.write("slurm: the weather is fine | today\n")
        return 0
    if wrong.startswith("fail"):
        sys.stderr.write(wrong.partition(" ")[2] + "\n")
        return 1
    words = {"sbatch": _submit, "squeue": _list, "scancel": _cancel}
    return words[program](folder, arguments[1:], wrong)


def _submit(folder: Path, words: list[str], wrong: str) -> int:
    options = dict(word.partition("=")[::2] for word in words if word.startswith("--"))
    counter = folder / "last"
    last = int(counter.read_text()) if counter.exists() else 0
    number = last if wrong == "same" else last + 1
    counter.write_text(str(number))
    for index in range(int(options["--array"].rpartition("-")[2]) + 1):
        path = folder / "elements" / f"{number}_{index}"
        path.write_text(f"{options['--comment']} PENDING 0")
        if wrong != "hold":
            _begin(path, words[-1], index)
    if wrong == "lose":
        sys.stderr.write(TIMED_OUT + "\n")
        return 1
    sys.stdout.write(f"{number}\n")
    return 0


def _begin(path: Path, script: str, index: int) -> None:
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(index), "SLURMD_NODENAME": "fake1"}
    nowhere = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(["/bin/sh", script], env=environment, start_new_session=True, **nowhere)  # type: ignore[call-overload]
    process.returncode = 0  # nobody waits for it: it is init's once this program has ended
    path.write_text(f"{path.read_text().split()[0]} RUNNING {process.pid}")


def begin_again(folder: Path, identity: str, script: Path) -> None:
    """The batch system starts an element once more, whatever it was told."""
    _begin(folder / "elements" / identity, str(script), int(identity.partition("_")[2]))


def _list(folder: Path, words: list[str], wrong: str) -> int:
    for path in sorted((folder / "elements").iterdir()):
        array, _, index = path.name.partition("_")
        mark, state, pid = path.read_text().split()
        if state == "RUNNING" and not Path(f"/proc/{pid}").exists():
            state = "COMPLETED"
        sys.stdout.write(f"{array}|{index}|{state}|Priority|0|fake1|{mark}|\n")
    return 0


def _cancel(folder: Path, words: list[str], wrong: str) -> int:
    for identity in words:
        path = folder / "elements" / identity
        if path.exists():
            mark, state, pid = path.read_text().split()
            if state == "RUNNING":
                os.killpg(int(pid), signal.SIGTERM)
            path.write_text(f"{mark} CANCELLED {pid}")
    return 0
