"""`laulima serve`, and the page of `laulima run --page`. What the page needs beyond laulima is looked for here, so that
whoever has no page needs none of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from model.errors import LaulimaError
from shell.selections import UsageError
from shell.session import Session

EXTRA = ("starlette", "uvicorn")
LINKS_S = 15.0
"""How long the page of a detached server may take until it can be opened."""
LOOK_S = 0.05
LEAVE_S = 5.0
"""How long the page of `run --page` may take to end."""


def refuse_without_extra() -> None:
    """Raise LaulimaError when the packages of the page are not installed."""
    missing = [name for name in EXTRA if find_spec(name) is None]
    if missing:
        raise LaulimaError(f"the page needs {' and '.join(missing)}", "pip install 'laulima[web]'")


def serve(session: Session, *, listen: str | None, control: bool, log: str | None) -> int:
    """The page of the server here, until Ctrl-C, whether or not that server runs; or of a simulated run."""
    refuse_without_extra()
    from shell.page import access, app, serving, sources  # noqa: PLC0415 - an extra, and slow to import

    answers: app.Answers
    state: Path | None = None
    if log is not None:
        if control:
            raise UsageError("a simulated run can only be looked at: leave out --control or --log")
        from shell.page import playback, recording  # noqa: PLC0415 - simulations only

        answers = playback.Playback(recording.Recording(Path(log)))
    else:
        serving.refuse_elsewhere(listen or serving.LISTEN)
        state = session.state()
        answers = app.Page(sources.Server(state))
    tokens = access.new_tokens(control=control)
    with serving.bound(listen or serving.LISTEN) as listener:
        found = serving.links(listener, tokens)
        with serving.written(found, state):
            session.say(f"page (looking)  {found.look}")
            if found.control:
                session.say(f"page (acting)   {found.control}")
            sys.stdout.flush()  # who started this waits for the links
            serving.serve(app.application(answers, tokens), listener, answers.close)
    return 0


def say_links(session: Session, state: Path) -> None:
    """Wait for the page of a server that was started in the background, and say where it is."""
    from shell.page.serving import LINKS_NAME, read_links  # noqa: PLC0415 - an extra

    deadline = time.monotonic() + LINKS_S
    while (found := read_links(state)) is None or not Path(f"/proc/{found.pid}").exists():
        if time.monotonic() > deadline:
            session.note(f"its page is not there yet; its link will be in {state / LINKS_NAME}")
            return
        time.sleep(LOOK_S)
    session.say(f"page (looking)  {found.look}")
    if found.control:
        session.say(f"page (acting)   {found.control}")


def until_interrupted() -> None:
    """Wait for Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            signal.pause()


@contextlib.contextmanager
def beside(state: Path, *, control: bool = False, quiet: bool = False) -> Iterator[None]:
    """A page beside the server that this process is, for as long as this lasts; it ends with this process, however that
    ends. `quiet`: its links are said by somebody else (`say_links`)."""
    refuse_without_extra()
    from live.systemd import VARIABLES  # noqa: PLC0415 - like the server's other machinery
    from shell.detaching import command_line  # noqa: PLC0415

    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    page = subprocess.Popen(  # noqa: S603 - our own program
        command_line(["serve", "--state", str(state), *(["--control"] if control else [])], bound=True),
        env={name: value for name, value in os.environ.items() if name not in VARIABLES},  # the page is no service
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if quiet else None,
        start_new_session=True,  # Ctrl-C is for the server, which says how it ends while the page still shows it
    )
    try:
        yield
    finally:
        page.terminate()
        try:
            page.wait(LEAVE_S)
        except subprocess.TimeoutExpired:
            page.kill()
            page.wait()
