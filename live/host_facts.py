"""What a machine is like for an agent: `laulima host check` asks it, step by step, on the machine itself.

Run by the bridge (`live/agent_stdio.py`) on a host behind ssh, and by `shell/commands/host_check.py` for hosts on this
machine. Only looks, but for one file that is written into the spool and removed, as are folders that were made for it.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from msgspec import Struct

from live.agent_life import LIFE_NAME
from live.file_system import network_file_system
from live.first_stage import is_ours
from model.errors import LaulimaError

_PR_GET_CHILD_SUBREAPER = 37
_CGROUPS = Path("/sys/fs/cgroup")
_PROBE = "check.probe"


class Fact(Struct, frozen=True):
    """One step: what was found, or what is wrong and the way out."""

    step: str
    ok: bool
    text: str
    hint: str = ""


def host_facts(spool: Path, directory: Path) -> list[Fact]:
    """What can only be found out there."""
    return [_spool(spool), _directory(directory), _processes()]


def _spool(spool: Path) -> Fact:
    hint = "name a folder on a local disk that this user may write: spool: /var/tmp/..."
    missing = [folder for folder in (spool, *spool.parents) if not folder.exists()]
    try:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_ours(str(spool)):
            return Fact("spool", False, f"{spool} belongs to another user, or others may write to it", hint)
        probe = spool / _PROBE
        with probe.open("wb") as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
        probe.unlink()
        behind = network_file_system(spool)
        used = "in use by this host's agent" if (spool / LIFE_NAME).exists() else "new"
        for folder in missing:
            folder.rmdir()
    except OSError as error:
        return Fact("spool", False, f"{spool} cannot be written: {error.strerror}", hint)
    except LaulimaError as error:
        return Fact("spool", False, str(error), error.hint or hint)
    if behind:
        return Fact("spool", False, f"{spool} lies on {behind}, not on a disk of its own", hint)
    return Fact("spool", True, f"{spool} can be written ({used})")


def _directory(directory: Path) -> Fact:
    if directory.is_dir() and os.access(directory, os.X_OK):
        return Fact("directory", True, f"{directory} is there")
    return Fact(
        "directory",
        False,
        f"{directory}, where relative paths of jobs start, is not there",
        "mount it, or say where jobs start on this host: directory: /path",
    )


def _processes() -> Fact:
    """How a job's processes are found when it is ended."""
    found = ctypes.c_int()
    asked = ctypes.CDLL(None, use_errno=True).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(found), 0, 0, 0)
    if asked != 0 or not Path("/proc/self/stat").exists():
        return Fact("processes", False, "this kernel does not tell whose a process is", "Linux with /proc is needed")
    cgroup = "delegated" if _is_delegated() else "not delegated"
    return Fact("processes", True, f"found by parent, session and marks (cgroup: {cgroup}, none is needed)")


def _is_delegated() -> bool:
    """Whether this user may make cgroups (version 2) below its own."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    own = next((line[3:].lstrip("/") for line in lines if line.startswith("0::")), None)
    return own is not None and os.access(_CGROUPS / own, os.W_OK) and (_CGROUPS / own / "cgroup.kill").exists()
