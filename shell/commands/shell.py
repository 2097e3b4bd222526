"""The verb `shell`: a prompt of the running server, or of a server of its own that ends with the prompt."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from model.errors import LaulimaError, NotReachableError, OperatorError
from shell.client import Client
from shell.commands.start import script_words
from shell.detaching import start_server, wait_for_answer
from shell.prompt import Talk, editing_prompt, is_for_editing, plain_prompt
from shell.selections import UsageError
from shell.session import Session

NO_SCRIPT = os.devnull
"""A script without a line: the server of `--new` begins with it, halted, as with any script."""
LEAVE_S = 90.0
"""How long the prompt's own server may take to leave."""


def shell(
    session: Session, *, file: str | None, arguments: Sequence[str], new: bool, controller_timeout: str | None
) -> int:
    """Give lines to a server. From a pipe: exit code 1 when a line failed; `quit N` gives N."""
    if file is not None and new:
        raise UsageError("a pipeline or --new, not both")
    if file is None and not new:
        with _client(session) as client:
            return _prompt(session, client)
    words = script_words(arguments, controller_timeout)
    with _own_server(session, Path(file or NO_SCRIPT), words) as (state, server):
        with Client(state) as client:
            code = _prompt(session, client)
        if server.poll() is not None and server.returncode:
            return server.returncode
    return code


def _client(session: Session) -> Client:
    try:
        return session.client()
    except NotReachableError as error:
        hint = "start one: laulima run FILE --detach; or a prompt with its own: laulima shell FILE, laulima shell --new"
        raise NotReachableError(str(error), hint) from None


def _prompt(session: Session, client: Client) -> int:
    talk = Talk(client)
    return editing_prompt(talk, session.note) if is_for_editing() else plain_prompt(talk, session.note)


@contextlib.contextmanager
def _own_server(session: Session, file: Path, words: Sequence[str]) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A server in the background that shows what it says here, and ends with this prompt."""
    from live.state_directory import owner_pid  # noqa: PLC0415 - only commands that need a server pay for it

    if not file.exists():
        raise OperatorError(f"there is no file {file}", "a server without a pipeline: laulima shell --new")
    state = session.state_to_make()
    if (pid := owner_pid(state)) is not None:
        raise OperatorError(
            f"a server with pid {pid} runs on {state} already",
            f"a prompt there: laulima shell, and then: input {file}; or another place: --state DIR",
        )
    if is_for_editing():
        server = start_server(file, state, words, subprocess.PIPE, bound=True)
        assert server.stdout is not None
        threading.Thread(target=_copy, args=(server.stdout,), daemon=True).start()
    else:
        server = start_server(file, state, words, 2, bound=True)
    try:
        if wait_for_answer(server, state) is None:
            raise LaulimaError(f"the server for {file} ended with status {server.returncode}", "what it said is above")
        yield state, server
    finally:
        if server.poll() is None:
            server.terminate()
            try:
                server.wait(LEAVE_S)
            except subprocess.TimeoutExpired:
                session.note(f"the server (pid {server.pid}) takes long to end; by force: kill {server.pid}")


def _copy(pipe: IO[bytes]) -> None:
    """What the server says, above the line that is being edited (sys.stdout knows of it)."""
    for line in pipe:
        sys.stdout.write(line.decode(errors="replace"))
        sys.stdout.flush()
