"""`laulima controller`: a controller with a process of its own, which several schedulers share; `laulima forget`."""

from __future__ import annotations

from pathlib import Path

from model.configuration import Configuration
from shell.commands.start import configuration_in, load_existing
from shell.session import Session
from shell.wording import count


def controller(session: Session, *, file: str | None) -> int:
    """Serve in this process until it is ended. Of the file only the cluster is used, and `shutdown`."""
    from live.controller_program import serve_controller  # noqa: PLC0415 - the machinery is for servers only
    from live.state_directory import CONTROLLER_NAME  # noqa: PLC0415

    state = session.state_given() or Path.cwd() / CONTROLLER_NAME
    configuration = Configuration("", str(Path.cwd()))
    if file is not None:
        configuration = load_existing(session, file).configuration
    hosts = count(len(configuration.cluster.hosts), "host")
    session.note(f"laulima controller: {hosts}, state in {state}; Ctrl-C ends it, and jobs go on")
    session.note(f"a scheduler uses it by `controller: {{socket: {state}}}` in its pipeline file")
    return serve_controller(configuration, state, load=configuration_in)


def forget(session: Session, *, name: str, wait_at_most: int | None) -> int:
    """A scheduler does not come back."""
    return session.change({"name": name}, wait_at_most)
