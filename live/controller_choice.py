"""Which controller a server uses: the one that its configuration says, unless the former one still has jobs of it.

A server notes in `controller.json` of its state directory which one it uses. Called by `live/server.py`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from live.controller_away import ControllerAway, ExistingController
from live.controller_here import ControllerHere
from live.controller_side import ControllerSide
from live.controller_spawned import SpawnedController
from live.journal import Journal
from live.loop import Turns
from live.outward import CONTROLLER, Outward
from live.state_directory import StateDirectory
from model.configuration import Configuration, ControllerKind, ControllerPlace
from model.errors import OperatorError
from model.restored import Fold

NOTE_NAME = "controller.json"
OWN_NAME = "server"
"""What a server is called at a controller that it has started itself."""


def choose_controller(
    loop: asyncio.AbstractEventLoop,
    configuration: Configuration,
    state: StateDirectory,
    journal: Journal,
    restored: Fold,
    outward: Outward,
    turns: Turns,
    *,
    as_it_was: bool,
) -> ControllerSide:
    """The controller, and the epoch of this life with it: raised when the whole journal could be read and nothing
    speaks against the start. `as_it_was`: one that was started by an earlier server is told nothing new. Raises
    OperatorError."""
    place = configuration.controller
    refuse_change(state, place, restored)
    epoch = journal.epoch()
    _note(state, place)
    if place.kind is ControllerKind.EMBEDDED:
        directory = Path(configuration.directory)
        return ControllerHere(loop, configuration.cluster, state, directory, epoch, restored.controller, outward, turns)
    dialer: ExistingController | SpawnedController
    if place.kind is ControllerKind.SPAWN:
        folder, name = state.controller, OWN_NAME
        dialer = SpawnedController(loop, folder, None if as_it_was else configuration)
    else:
        folder, name = Path(place.socket).parent, place.name
        dialer = ExistingController(Path(place.socket))
    identity = journal.identity()
    return ControllerAway(loop, configuration, name, epoch, identity, outward, turns, dialer, folder)


def place_for_leftovers(state: Path) -> ControllerPlace:
    """Where the controller is that the last server of `state` used."""
    try:
        return msgspec.json.decode((state / NOTE_NAME).read_bytes(), type=ControllerPlace)
    except FileNotFoundError:
        return ControllerPlace()


def _note(state: StateDirectory, place: ControllerPlace) -> None:
    file = state.path / NOTE_NAME
    if place.kind is ControllerKind.EMBEDDED:
        file.unlink(missing_ok=True)
    else:
        file.write_bytes(msgspec.json.encode(place))


def refuse_change(state: StateDirectory, place: ControllerPlace, restored: Fold) -> None:
    former = place_for_leftovers(state.path)
    if former == place:
        return
    given = len(restored.controller.given)
    if former.kind is not ControllerKind.EMBEDDED:
        jobs = restored.scheduler.jobs.values()
        given = sum(1 for job in jobs if job.assigned and job.executor == CONTROLLER)
    if given:
        raise OperatorError(
            f"{given} jobs are at the controller that this server used before ({place_text(former)}), and the "
            f"configuration says {place_text(place)} now",
            f"run it with {place_text(former)} until they have ended (laulima stop, laulima jobs), or end them: "
            f"laulima shutdown --kill --state {state.path}",
        )


def place_text(place: ControllerPlace) -> str:
    """The place as a configuration says it."""
    if place.kind is not ControllerKind.SOCKET:
        return f"controller: {place.kind.value}"
    return f"controller: {{socket: {place.socket}, name: {place.name}}}"
