"""`laulima diff` and `laulima reload`: another configuration for the server that runs.

The file is read and checked whole before anything is done: one that is wrong changes nothing. All orders reach the
machines in one turn, so they are in one transaction, and no job is made under half of a change. A reload never makes up
for starts. Called by `live/requests.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from live.errands import Errands
from live.loop import Turns
from live.outward import CONTROLLER, SCHEDULER
from live.scripts import SCRIPTS
from model.configuration import Configuration, ControllerKind, HostDefinition, LanguageSettings
from model.controller import Controller
from model.errors import OperatorError
from model.reloading import Difference, difference, host_orders, task_orders
from model.scripting import DeclareTasks

LOAD_SECONDS = 60.0
"""How long reading the file may take."""

Load = Callable[[Path], Configuration]
"""Reads and checks a configuration; raises ConfigurationError with all that is wrong."""


class ByFile(Struct, frozen=True):
    """`file`: absolute. `apply` False: only say what would change."""

    file: str
    apply: bool = False


def without_tasks(configuration: Configuration) -> Configuration:
    """What a controller of its own process takes of it."""
    return replace(configuration, tasks=(), notifiers=(), language=LanguageSettings())


def taken(old: Configuration, new: Configuration) -> Configuration:
    """What runs after a reload: the new configuration, but for what counts from the next start on."""
    cluster = replace(old.cluster, hosts=new.cluster.hosts)
    return replace(new, cluster=cluster, notifiers=old.notifiers, language=old.language, controller=old.controller)


class Reloading:
    """Everything is called in the loop."""

    def __init__(
        self,
        errands: Errands,
        turns: Turns,
        load: Load | None,
        *,
        running: Callable[[], Configuration],
        take: Callable[[Configuration], None],
        controller: Callable[[], Controller],
        define_host: Callable[[HostDefinition], None],
        has_scripts: bool,
        during: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """`running()` is the configuration of now, `take` makes another one that. `define_host`: see
        `Hosts.define`. What `during()` gives is entered while a change is made."""
        self._errands = errands
        self._turns = turns
        self._load = load
        self._running = running
        self._take = take
        self._controller = controller
        self._define_host = define_host
        self._has_scripts = has_scripts
        self._during = during

    async def do(self, given: ByFile) -> dict[str, Any]:
        """Say what differs, and with `apply` make it so; it is durable when this returns."""
        load = self._load
        if load is None:
            raise OperatorError("this server cannot read another configuration", "end it and run the other one")
        new = await self._errands.run(lambda: load(Path(given.file)), LOAD_SECONDS)
        old = self._running()
        found = difference(old, new)
        if given.apply and (found.hosts or found.hosts_gone) and old.controller.kind is not ControllerKind.EMBEDDED:
            raise OperatorError(
                "the hosts belong to a controller with a process of its own, which takes no other file while it runs",
                "change them with `laulima host add`, `slots`, `drain`; or end this server and start it anew",
            )
        if given.apply and found.changes:
            with self._during():
                await self._apply(old, new, found)
        return {"changes": found.changes, "applied": given.apply}

    async def _apply(self, old: Configuration, new: Configuration, found: Difference) -> None:
        known = frozenset(self._controller().hosts)
        for host in found.hosts:
            self._define_host(host)
        if self._has_scripts:
            self._turns.post(SCRIPTS, DeclareTasks(found.defined, found.gone))
        for order in task_orders(found):
            self._turns.post(SCHEDULER, order)
        for host_order in host_orders(old, found, known):
            self._turns.post(CONTROLLER, host_order)
        self._take(taken(old, new))
        await asyncio.sleep(0)  # the turn that takes all of it is the next thing that the loop does
        await self._turns.when_durable()
