"""How a server with script files begins: halted, its files run in order, and what becomes of one that fails.

Until a script says `run`, nothing is started, so a half-loaded pipeline never works. A file that fails before that ends
the server with status 1: nothing was begun, and somebody who looks in the morning finds a reason instead of a server
that does nothing. A file that fails later is an alarm, and what was begun goes on.

Called by `live/server.py`, within its loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from live.control import Conversation
from live.prompts import Prompts
from live.scripts import SCRIPTS, ScriptDriver
from model.configuration import Configuration
from model.effects import Notice
from model.remembered import RestoredData
from model.scripting import ScriptFactory, ScriptMachine

WAITING_TO_RUN = "no script has said `run` yet"
"""Why nothing is started at first; shown wherever somebody asks."""


class Scripting(Struct, frozen=True):
    """How a server runs scripts. `arguments`: `argv` of its script files. `leave_after`: end when they have ended.
    `new_data`: begin their data afresh."""

    factory: ScriptFactory
    arguments: tuple[str, ...] = ()
    leave_after: bool = False
    new_data: bool = False

    def data_of(self, kept: RestoredData) -> RestoredData | None:
        """What counts of the data of earlier lives."""
        return kept if kept.begun and not self.new_data else None


def text_of(word: str) -> str:
    """A word of the world (an argument, a variable) as text that can be written down: bytes that are no UTF-8, which
    Python keeps as lone surrogates, are replaced."""
    return os.fsencode(word).decode(errors="replace")


class Beginning(Protocol):
    """The server, as its script files see it."""

    def is_halted(self) -> bool: ...
    def want_leave(self, kill: bool | None, status: int = 0) -> None: ...
    def fail(self, error: BaseException) -> None: ...
    def say(self, notice: Notice) -> None: ...


class ScriptSide:
    """The scripts of one server: their driver, its prompts, the files that it begins with. Without a machine it does
    nothing."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        server: Beginning,
        configuration: Configuration,
        scripting: Scripting | None,
    ) -> None:
        self._loop = loop
        self._server = server
        self._configuration = configuration
        self._scripting = scripting
        self._driver: ScriptDriver | None = None
        self._files: asyncio.Task[None] | None = None
        self.converse: Callable[[], Conversation] | None = None
        """gives each control connection its prompt; None: there are none here"""

    @property
    def files(self) -> tuple[str, ...]:
        """The script files to begin with."""
        return self._configuration.language.scripts if self._scripting is not None else ()

    @property
    def are_beginning(self) -> bool:
        """A file of them has not ended yet."""
        return self._files is not None

    def join(self, machine: ScriptMachine, driver: ScriptDriver, post: Callable[[str, object], None]) -> None:
        """There is a machine."""
        self._driver = driver
        prompts = Prompts(lambda event: post(SCRIPTS, event), machine.names, self._configuration.directory)
        driver.join(prompts)
        self.converse = prompts.converse

    def begin(self) -> None:
        """Run the files, beside the loop's other work."""
        if self._driver is None or not self.files:
            return
        self._driver.open_main(self.files[0], self._configuration.directory)
        self._files = self._loop.create_task(self._run(self._driver))
        self._files.add_done_callback(self._ended)

    async def close(self) -> None:
        """End what the scripts have at work."""
        if self._files is not None:
            self._files.cancel()
        if self._driver is not None:
            await self._driver.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._files = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._server.fail(error)

    async def _run(self, driver: ScriptDriver) -> None:
        assert self._scripting is not None
        server, leave_after = self._server, self._scripting.leave_after
        for name in self.files:
            ran = await driver.run_file(_shown(name, Path(self._configuration.directory)), self._scripting.arguments)
            await driver.shown()
            if ran.status is not None:  # `quit`: the whole server leaves, with the status that it gave
                return
            if not ran.ok:
                self._tell_failure(name)
                if server.is_halted() or leave_after:
                    server.want_leave(None, 1)
                return
        if leave_after:
            server.want_leave(None)
        elif server.is_halted():
            text = f"intake halted: {WAITING_TO_RUN}; to go on: laulima resume, or `run` at a prompt (laulima shell)"
            server.say(Notice("info", "", text))

    def _tell_failure(self, name: str) -> None:
        if self._server.is_halted():
            text = f"the script {name} failed (see above) before it said `run`: nothing was started, the server ends"
        else:
            text = f"the script {name} failed (see above) after it had said `run`: the rest of it was not run"
        self._server.say(Notice("alarm", "", text))


def _shown(name: str, directory: Path) -> str:
    """The file as people call it: relative paths start in `directory`."""
    path = directory / name
    return str(path.relative_to(directory) if path.is_relative_to(directory) else path)
