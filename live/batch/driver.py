"""Carries out what the machine of a batch system asks for: commands, marks, records. Answers come back as events.

Two threads at most do the work, so that neither a slow command nor a dead file system holds the loop: one for commands,
one for the shared file system, in the order of the effects. Records are written in the loop: nothing may leave before.

Made by `live/batch_program.py`. What is specific to one batch system is in one file (`slurm.py`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

from live.batch.commands import Said, run
from live.batch.ledger import Ledger
from live.batch.marks import Elements
from live.batch.slurm import Slurm
from live.batch.system import BatchSystem, Order
from live.errands import ErrandError, Errands
from live.looks import Looks
from live.processes import DEFAULT_PATH, base_environment
from model.batch_attempt import wishes_of
from model.batch_words import (
    BatchEffect,
    BatchWord,
    CancelElements,
    Claim,
    Claimed,
    Discard,
    GrantLease,
    Keep,
    NotSubmitted,
    Poll,
    Refusal,
    Seen,
    Settle,
    Submit,
    Submitted,
    Unseen,
)
from model.configuration import HostDefinition, Link
from model.effects import Effect, Look, Notice
from model.events import FilesSeen

SYSTEMS: Final[dict[Link, BatchSystem]] = {Link.SLURM: Slurm()}
"""The batch systems that can be used."""

SUBMIT_SECONDS: Final = 60.0
POLL_SECONDS: Final = 30.0
CANCEL_SECONDS: Final = 60.0
"""How long each command may take; then it is killed. (Slurm's own patience with its controller is 10 s a try.)"""
FILES_SECONDS: Final = 60.0
"""How long the shared file system may take for one thing."""
PAUSE_SECONDS: Final = 1.0
"""Pause before the file system is tried again for what must be done."""
CANCEL_MAX: Final = 500
"""Elements in one command line."""


class BatchDriver:
    """See the head of this file. Use from the loop's thread only."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: HostDefinition,
        shared: Path,
        ledger: Ledger,
        identity: str,
        directory: Path,
        *,
        post: Callable[[BatchWord | FilesSeen], None],
        notice: Callable[[Notice], None],
        failed: Callable[[BaseException], None],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`shared`: the folder that the nodes share. `identity`: of the spool, part of the mark of every submission.
        `directory`: where relative paths start.
        `post` brings an answer to the machine, `failed` hears of a bug of ours. `environment`: from which that of
        commands and jobs is taken (default: ours)."""
        own = os.environ if environment is None else environment
        self._loop = loop
        self._host = host
        self._system = system = SYSTEMS[host.link]
        self._name = f"laulima-{host.name}-{identity[:8]}"
        self._mark = f"laulima/{identity}/"
        self._post = post
        self._notice = notice
        self._environment = {**base_environment(own), **{name: own[name] for name in system.variables if name in own}}
        self._environment.setdefault("PATH", DEFAULT_PATH)
        self._elements = Elements(shared, host.name, identity, directory, base_environment(own))
        self._ledger = ledger
        self._commands = Errands(loop, threads_max=1)
        self._files = Errands(loop, threads_max=1)
        self._looks = Looks(loop, directory, post)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed = failed
        self._handlers: dict[type, Callable[[Any], None]] = {
            Keep: lambda effect: self._ledger.append(effect.record),
            Settle: lambda _effect: self._ledger.sync(),
            Submit: lambda effect: self._start(self._submit(effect)),
            Poll: lambda _effect: self._start(self._poll()),
            Claim: lambda effect: self._start(self._claim(effect)),
            CancelElements: lambda effect: self._start(self._cancel(effect)),
            Discard: lambda effect: self._start(self._until_done(lambda: self._elements.discard(effect.number))),
            GrantLease: lambda effect: self._start(self._until_done(lambda: self._elements.grant(effect.lease_ns))),
            Look: self._looks.look,
            Notice: notice,
        }

    async def begin(self) -> None:
        """Make the spool ready. Raises ErrandError, OSError."""
        wanted = self._ledger.numbers
        await self._files.run(lambda: self._elements.prepare(wanted), FILES_SECONDS)

    def carry_out(self, effect: Effect | BatchEffect) -> None:
        """Do what was asked for. Raises OSError when a record cannot be written (then begin anew), KeyError for what
        this machine never asks for."""
        self._handlers[type(effect)](effect)

    def close(self) -> None:
        """Let go of everything; what is in the batch system stays."""
        for task in list(self._tasks):
            task.cancel()
        self._looks.close()
        self._commands.close()
        self._files.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    # the batch system

    async def _run(self, command: list[str], seconds: float) -> Said:
        try:
            # the command has its own deadline; this one counts from when the thread is free
            said: Said = await self._commands.run(lambda: run(command, self._environment, seconds), 4 * seconds)
        except ErrandError as error:
            return Said(None, "", f"{command[0]}: {error}")
        return said

    async def _submit(self, effect: Submit) -> None:
        submission = effect.submission
        number = submission.number
        system = self._system
        try:
            script: Path = await self._files.run(
                lambda: self._elements.write(submission, self._host.python, system.index_variable, system.passed_on),
                FILES_SECONDS,
            )
        except (OSError, ErrandError) as error:
            self._post(NotSubmitted(number, Refusal.LATER, f"the spool cannot be written: {error}"))
            return
        order = Order(
            self._name,
            f"{self._mark}{number}",
            len(submission.attempts),
            wishes_of(submission.specs[0]),
            self._host.batch.options,
            script,
            self._elements.log,
        )
        said = await self._run(system.submit_command(order), SUBMIT_SECONDS)
        self._post(self._submit_answer(number, said))

    def _submit_answer(self, number: int, said: Said) -> Submitted | NotSubmitted:
        title = self._system.title
        if said.status is None:
            refusal = Refusal.UNCLEAR if said.started else Refusal.LATER
            return NotSubmitted(number, refusal, f"{title}: {said.complaint}")
        if said.status < 0:
            return NotSubmitted(number, Refusal.UNCLEAR, f"{title}: ended by signal {-said.status}")
        if said.status > 0:
            reason = said.complaint or f"exit {said.status}"
            return NotSubmitted(number, self._system.judge(said.complaint), f"{title}: {reason}")
        try:
            return Submitted(number, self._system.read_submitted(said.output))
        except ValueError as error:
            return NotSubmitted(number, Refusal.UNCLEAR, str(error))

    async def _poll(self) -> None:
        self._post(await self._look_at_all())

    async def _look_at_all(self) -> Seen | Unseen:
        """Starts are read before the batch system is asked, ends after it: so its list is never older than a start that
        is told with it, nor newer than an end that is not."""
        title = self._system.title
        try:
            begun = await self._files.run(lambda: self._elements.look("begun"), FILES_SECONDS)
            said = await self._run(self._system.poll_command(self._name), POLL_SECONDS)
            if said.status != 0:
                return Unseen(f"{title} does not answer: {said.complaint or f'exit {said.status}'}")
            rows = self._system.read_poll(said.output, self._mark)
            ended = await self._files.run(lambda: self._elements.look("finished"), FILES_SECONDS)
        except (OSError, ErrandError) as error:
            return Unseen(f"the spool cannot be read: {error}")
        except ValueError as error:
            return Unseen(f"{title}: {error}")
        marks = (*begun, *ended)
        self._elements.note_told(marks)
        return Seen(tuple(rows), marks)

    async def _cancel(self, effect: CancelElements) -> None:
        for start in range(0, len(effect.identities), CANCEL_MAX):
            command = self._system.cancel_command(effect.identities[start : start + CANCEL_MAX])
            said = await self._run(command, CANCEL_SECONDS)
            if said.status != 0:
                text = f"{command[0]}: {said.complaint or f'exit {said.status}'}; it is tried again"
                self._notice(Notice("warning", f"host {self._host.name}", text))

    # the shared file system

    async def _claim(self, effect: Claim) -> None:
        ours = await self._until_done(lambda: self._elements.claim(effect.number, effect.index))
        self._post(Claimed(effect.number, effect.index, ours))

    async def _until_done(self, call: Callable[[], Any]) -> Any:
        """Do it now or later: the file system must answer in the end."""
        told = False
        while True:
            try:
                return await self._files.run(call, FILES_SECONDS)
            except (OSError, ErrandError) as error:
                if not told:
                    text = f"the spool does not answer, it is tried again: {error}"
                    self._notice(Notice("warning", f"host {self._host.name}", text))
                told = True
            await asyncio.sleep(PAUSE_SECONDS)
