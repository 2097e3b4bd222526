"""A server of ours as a child process: in the background (`run --detach`), or under the demo.

The child runs the same command line as a person would. Called by `commands/start.py` and `demo.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from live.complaints import set_aside
from live.scratch_room import FULL_BYTES, free_bytes
from live.state_directory import owner_pid
from model.errors import LaulimaError, NotReachableError, WaitedTooLongError
from model.views import Status
from shell.client import Client
from shell.file_errors import unwritable
from shell.session import Session

ANSWER_S = 30.0
"""How long a new server may take until it answers."""
LOOK_S = 0.05
LOG_LINES = 12
"""Lines of the log that are shown when a server does not start."""

_ROOT = Path(__file__).resolve().parent.parent
# The child must run this very program: -P keeps the current directory, in which a folder `model` may lie, off its path,
# and the root of this program is added behind everything else for a checkout that is not installed.
_BOOT = "import sys; sys.path.append(sys.argv.pop(1)); from shell.main import main; sys.exit(main())"
# prctl(PR_SET_PDEATHSIG, SIGTERM): when its parent dies in any way, even by SIGKILL, the child is told to end.
_BOUND = f"import ctypes; ctypes.CDLL(None).prctl(1, 15); {_BOOT}"


def command_line(words: Sequence[str], *, bound: bool = False) -> list[str]:
    """The argument vector that runs `laulima WORDS` with this Python and this program. `bound`: it ends with the
    process that starts it."""
    return [sys.executable, "-P", "-c", _BOUND if bound else _BOOT, str(_ROOT), *words]


def start_server(
    file: Path, state: Path, words: Sequence[str], output: int | IO[bytes], *, bound: bool = False
) -> subprocess.Popen[bytes]:
    """Start `laulima run` in a session of its own, out of reach of this terminal's keys; stdout and stderr go to
    `output`. `bound`: it ends with this process."""
    return subprocess.Popen(  # noqa: S603 - our own program
        command_line(["run", str(file), "--state", str(state), *words], bound=bound),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait_for_answer(server: subprocess.Popen[bytes], state: Path, limit_s: float = ANSWER_S) -> Status | None:
    """The first answer of the server that was started; None when it ended before it answered.

    Another server's answer does not count: the one that was started will be refused by it, and end.
    """
    deadline = time.monotonic() + limit_s
    while server.poll() is None:
        try:
            with Client(state) as client:
                status = client.ask("status", {}, Status)
            if status.pid in {0, server.pid}:
                return status
        except NotReachableError:
            pass  # not yet
        if time.monotonic() > deadline:
            raise WaitedTooLongError(
                f"the server (pid {server.pid}) did not answer within {limit_s:.0f} s; it still tries",
                f"see {state / 'server.log'}; end it: kill {server.pid}",
            )
        try:
            server.wait(LOOK_S)
        except subprocess.TimeoutExpired:
            continue
    return None


def start_detached(session: Session, file: Path, state: Path, words: Sequence[str]) -> int:
    """Start a server in the background; return once it answers."""
    log = state / "server.log"
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if owner_pid(state) is None:
            set_aside(log)
        start = log.stat().st_size if log.exists() else 0
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise unwritable(log, error) from error
    try:
        server = start_server(file, state, words, descriptor)
    finally:
        os.close(descriptor)
    if wait_for_answer(server, state) is None:
        if server.returncode == 0:
            session.note("the server has done its work and ended: laulima history")
            return 0
        raise LaulimaError(f"the server did not start:\n{_tail(log, start)}", f"all of its output: {log}")
    session.say(f"laulima runs {file}, pid {server.pid}, state in {state}")
    session.note(f"look: laulima status; end it: laulima shutdown; its output: {log}")
    # The child goes on alone; Popen would warn that it was left running.
    server.returncode = 0
    return 0


def _tail(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    full = f"(it could say nothing: the disk of {log.parent} is full)" if free_bytes(log.parent) < FULL_BYTES else ""
    return "\n".join(lines[-LOG_LINES:]) or full or "(it said nothing)"
