"""`laulima diff`, `reload` and `set`: another configuration for the server that runs.

The file is read and checked whole before anything is done: one that is wrong changes nothing. All orders reach the
machines in one turn, so they are in one transaction, and no job is made under half of a change. A reload never makes up
for starts.

A value that a person sets is laid over the file: the file's data with another value, read and checked as if somebody
had written it so. It is in the journal, so the next life begins with it (`laid_over`), until it is unset or a file is
loaded again. Called by `live/requests.py` and, at the start, by `live/server.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from live.clock import wall_ns
from live.control import asked_by
from live.errands import Errands
from live.loop import Turns
from live.outward import CONTROLLER, SCHEDULER
from live.scripts import SCRIPTS
from model.configuration import Configuration, ControllerKind, HostDefinition
from model.controller import Controller
from model.errors import ConfigurationError, OperatorError
from model.events import TakeSettings
from model.records import PersonOrdered
from model.reloading import Difference, difference, host_orders, task_orders
from model.remembered import Setting
from model.scripting import DeclareTasks

LOAD_SECONDS = 60.0
"""How long reading the file may take."""

SETTINGS_MAX = 100
"""Values that may be laid over a file; more of them belong into the file."""


class Load(Protocol):
    """Reads and checks a configuration, with these values (`tasks.warp.limits.in_flight=4`) laid over the file's.
    Raises ConfigurationError with all that is wrong."""

    def __call__(self, path: Path, changes: Sequence[str] = ()) -> Configuration: ...


class ByFile(Struct, frozen=True):
    """`file`: absolute. `apply` False: only say what would change."""

    file: str
    apply: bool = False


class BySettings(Struct, frozen=True):
    """`settings`: KEY=VALUE, to lay over the file. `unset`: keys of which the file's value is to count again. Both
    empty: only say what is laid over it."""

    settings: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    reason: str = ""


def words(settings: Sequence[Setting]) -> tuple[str, ...]:
    """As `Load` takes them."""
    return tuple(f"{each.key}={each.value}" for each in settings)


def laid_over(
    configuration: Configuration, settings: Sequence[Setting], load: Load | None, say: Callable[[str], None]
) -> tuple[Configuration, tuple[Setting, ...]]:
    """The configuration of a start with what earlier lives had laid over its file, and which of that counts. What does
    not fit the file any more does not; `say` tells people so."""
    kept: list[Setting] = []
    for each in settings:
        trouble = "it was set for another file" if each.file != configuration.path else ""
        if not trouble and load is not None:
            try:
                configuration = load(Path(configuration.path), words([*kept, each]))
                kept.append(each)
            except ConfigurationError as error:
                trouble = str(error)
        if trouble:
            say(f"{each.key}={each.value}, set by {each.by}, does not count any more: {trouble}")
    if kept:
        say(f"set, not as the file says: {', '.join(words(kept))}; more: laulima diff")
    return configuration, tuple(kept)


def taken(old: Configuration, new: Configuration) -> Configuration:
    """What runs after a reload: the new configuration, but for what counts from the next start on."""
    cluster = replace(old.cluster, hosts=new.cluster.hosts, schedulers=new.cluster.schedulers)
    return replace(new, cluster=cluster, language=old.language, controller=old.controller)


class Reloading:
    """Everything is called in the loop."""

    def __init__(
        self,
        errands: Errands,
        turns: Turns,
        load: Load | None,
        *,
        settings: tuple[Setting, ...] = (),
        running: Callable[[], Configuration],
        take: Callable[[Configuration], None],
        controller: Callable[[], Controller],
        define_host: Callable[[HostDefinition], None],
        has_scripts: bool,
        has_scheduler: bool = True,
        during: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """`settings`: what is laid over the file. `has_scheduler`: whether one in this process records who changes
        what. `running()` is the configuration of now, `take` makes another one that. `define_host`: see
        `Hosts.define`. What `during()` gives is entered while a change is made."""
        self._errands = errands
        self._turns = turns
        self._load = load
        self._running = running
        self._take = take
        self._controller = controller
        self._define_host = define_host
        self._has_scripts = has_scripts
        self._has_scheduler = has_scheduler
        self._settings = settings
        self._during = during
        self._changing = False

    @property
    def settings(self) -> tuple[Setting, ...]:
        """What is laid over the file."""
        return self._settings

    @property
    def file(self) -> str:
        """That of the configuration that runs."""
        return self._running().path

    async def do(self, given: ByFile) -> dict[str, Any]:
        """Say what differs, and with `apply` make it so; it is durable when this returns."""
        new = await self._read(given.file)
        old, settings = self._running(), self._settings
        found = difference(old, new)
        if given.apply and (found.changes or settings):
            await self._change(old, new, found, TakeSettings(0, f"reload {given.file}", (), asked_by()))
        return {"changes": found.changes, "applied": given.apply, "settings": settings}

    async def set(self, given: BySettings) -> dict[str, Any]:
        """Lay values over the file, or take them away again; they count, and are durable, when this returns."""
        old, before = self._running(), self._settings
        if not given.settings and not given.unset:
            return {"changes": (), "applied": True, "settings": before}
        after = self._laid(given, old.path)
        as_it_was = await self._read(old.path, words(before))
        if as_it_was.digest != old.digest:
            raise OperatorError(
                f"{old.path} has changed since it was loaded, so what it says with another value is more than that",
                f"laulima diff {old.path}, laulima reload {old.path}; then set it",
            )
        new = await self._read(old.path, words(after))
        later = [change.setting for change in difference(as_it_was, new).changes if not change.at_once]
        if later:
            raise OperatorError(f"{', '.join(later)}: counts from the next start on", "write it into the file")
        asked = [f"set {text}" for text in given.settings] + [f"unset {key}" for key in given.unset]
        found = difference(old, new)
        await self._change(old, new, found, TakeSettings(0, ", ".join(asked), after, asked_by(), given.reason))
        return {"changes": found.changes, "applied": True, "settings": after}

    def _laid(self, given: BySettings, file: str) -> tuple[Setting, ...]:
        """What is laid over the file afterwards."""
        laid = {each.key: each for each in self._settings}
        for key in given.unset:
            if laid.pop(key, None) is None:
                raise OperatorError(f"{key} is as the file says", "what is set: laulima set")
        for text in given.settings:
            key, equals, value = (part.strip() for part in text.partition("="))
            if not (key and equals and value):
                raise OperatorError(f"{text!r} sets nothing", "laulima set tasks.warp.limits.in_flight=4")
            laid.pop(key, None)  # the last one said goes last
            laid[key] = Setting(key, value, asked_by(), wall_ns(), file)
        if len(laid) > SETTINGS_MAX:
            raise OperatorError(f"{SETTINGS_MAX} values are set already", "write them into the file, and reload it")
        return tuple(laid.values())

    async def _read(self, file: str, changes: Sequence[str] = ()) -> Configuration:
        load = self._load
        if load is None:
            raise OperatorError("this server cannot read another configuration", "end it and run the other one")
        found: Configuration = await self._errands.run(lambda: load(Path(file), changes), LOAD_SECONDS)
        return found

    async def _change(self, old: Configuration, new: Configuration, found: Difference, record: TakeSettings) -> None:
        if (found.hosts or found.hosts_gone) and old.controller.kind is not ControllerKind.EMBEDDED:
            raise OperatorError(
                "the hosts belong to a controller with a process of its own, which takes no other file while it runs",
                "change them with `laulima host add`, `slots`, `drain`; or end this server and start it anew",
            )
        if self._running() is not old or self._changing:
            raise OperatorError("the configuration was changed by somebody else meanwhile", "laulima diff; once more")
        self._changing = True
        try:
            with self._during():
                await self._apply(old, new, found, record)
        finally:
            self._changing = False

    async def _apply(self, old: Configuration, new: Configuration, found: Difference, record: TakeSettings) -> None:
        known = frozenset(self._controller().hosts)
        for host in found.hosts:
            self._define_host(host)
        if self._has_scripts:
            self._turns.post(SCRIPTS, DeclareTasks(found.defined, found.gone))
        for order in task_orders(found):
            self._turns.post(SCHEDULER, order)
        for host_order in host_orders(old, found, known):
            self._turns.post(CONTROLLER, host_order)
        if self._has_scheduler:
            self._turns.post(SCHEDULER, record)
        else:
            self._turns.note(CONTROLLER, PersonOrdered(record.by, "reload", "configuration", new.path, record.reason))
        self._settings = record.settings
        self._take(taken(old, new))
        await asyncio.sleep(0)  # the turn that takes all of it is the next thing that the loop does
        await self._turns.when_durable()
