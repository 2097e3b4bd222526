"""Runs a command of a batch system, with a deadline and a cap on what it may say. Blocks; called in a thread.

A command that is late is killed with its whole session. Used by `driver.py` only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from typing import Final, NamedTuple

OUTPUT_MAX: Final = 64 << 20
"""Bytes of an answer that are read: some 400,000 lines of a list."""
COMPLAINT_MAX: Final = 400
"""Characters of a complaint that are shown."""


class Said(NamedTuple):
    """What a command said. `status` None: it was killed at its deadline, or could not be started (`complaint`)."""

    status: int | None
    output: str
    complaint: str
    started: bool = True


def run(command: list[str], environment: Mapping[str, str], seconds: float) -> Said:
    """Run to its end or the deadline."""
    try:
        process = subprocess.Popen(  # noqa: S603 - words of our own and of the configuration, and no shell
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return Said(None, "", f"{command[0]} could not be started: {error.strerror}", started=False)
    try:
        output, complaint = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return Said(None, "", f"{command[0]} gave no answer within {seconds:g} s")
    if len(output) > OUTPUT_MAX:
        return Said(None, "", f"{command[0]} wrote more than {OUTPUT_MAX >> 20} MiB")
    return Said(process.returncode, output.decode(errors="replace"), _clause(complaint))


def _clause(complaint: bytes) -> str:
    """What it complained of, on one line."""
    lines = [line.strip() for line in complaint.decode(errors="replace").splitlines()]
    return " / ".join(line for line in lines if line)[:COMPLAINT_MAX]
