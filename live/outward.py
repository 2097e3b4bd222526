"""What leaves the machines of one process: each effect carried out, each answer brought back as an event.

One object for each server or controller program. Here is what every one of them has: people's orders and their answers,
notices, and the table of who carries out the rest (`add`). The order of effects is kept; what takes time runs beside
the loop and answers later. Called by `live/loop.py` after the commit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from live.clock import wall_ns
from live.loop import Turns
from model.channel import ProtocolError
from model.effects import Answer, Effect, Notice, Transmit
from model.errors import LaulimaError
from model.messages import Batch
from model.records import NoticeHeard

SCHEDULER, CONTROLLER, LOCAL = "scheduler", "controller", "local"
"""The machines of a process, by the names under which their loop and their journal know them."""
NOTICES_KEPT = 200
"""The last notices, for whoever asks."""
ABOUT_HOST = "host "
"""Notices about hosts begin so. What becomes of hosts is in the journal, for the history of them."""

Handler = Callable[[str, Any], None]
"""Carries out one kind of effect of the named machine."""


class Outward:
    """Carries out effects. Everything is called in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Callable[[str], None]) -> None:
        """`tell` shows one line to people (stderr)."""
        self._loop = loop
        self._tell = tell
        self._errands: set[asyncio.Task[None]] = set()
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._request = 0
        self.notices: deque[tuple[int, Notice]] = deque(maxlen=NOTICES_KEPT)
        """(wall time, notice), the newest last"""
        self._handlers: dict[type, Handler] = {Transmit: self._transmit, Answer: self._answer, Notice: self._notice}
        self.speak: dict[str, Callable[[str, Batch], None]] = {}
        """by machine: sends what it says to a peer outside of this process"""
        self.blame: dict[str, Callable[[str, str], None]] = {}
        """by machine: ends the link to a peer, for a reason"""

    def join(self, turns: Turns) -> None:
        """Where answers go."""
        self._turns = turns

    def add(self, handlers: Mapping[type, Handler]) -> None:
        """Who carries out these kinds of effects from now on."""
        self._handlers |= handlers

    def carry_out(self, machine: str, effect: Effect) -> None:
        """Do what the machine asked for."""
        self._handlers[type(effect)](machine, effect)

    async def close(self) -> None:
        """Whoever waits for an answer is told that none will come; errands are given up."""
        for future in self._answers.values():
            future.cancel()
        errands = list(self._errands)
        for errand in errands:
            errand.cancel()
        await asyncio.gather(*errands, return_exceptions=True)

    # orders of people and their answers

    def order(self, machine: str, make: Callable[[int], object]) -> asyncio.Future[Answer]:
        """Give an order (`make(request)` is its event); the future gets the machine's answer."""
        self._request += 1
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._answers[self._request] = future
        self._turns.post(machine, make(self._request))
        return future

    def _answer(self, _: str, effect: Answer) -> None:
        future = self._answers.pop(effect.request, None)
        if future is not None and not future.done():
            future.set_result(effect)

    # notices

    def _notice(self, machine: str, effect: Notice) -> None:
        self.say(effect)
        if machine == CONTROLLER and effect.about.startswith(ABOUT_HOST):
            self._turns.note(machine, NoticeHeard(effect.level, effect.about, effect.text))

    def say(self, notice: Notice) -> None:
        """Show a notice, and keep it for whoever asks."""
        self.notices.append((wall_ns(), notice))
        about = f"{notice.about}: " if notice.about else ""
        self._tell(f"{notice.level}: {about}{notice.text}")

    def say_link_closed(self, about: str, reason: str) -> None:
        """A peer said what no correct one says."""
        self.say(Notice("warning", about, f"its link was closed: {reason}"))

    # work beside the loop

    def start(self, work: Any) -> None:
        """Do this beside the loop; a failure of it is a bug of ours, with which the process leaves."""
        task = self._loop.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errand_done)

    def when_done(self, work: asyncio.Future[Any], then: Callable[[asyncio.Future[Any]], None]) -> None:
        """Call `then(work)` when this is done; a failure of that is a bug of ours, too. (For what is done by the
        hundred: it costs a third of a task.)"""

        def done(_: object) -> None:
            try:
                then(work)
            except Exception as error:  # noqa: BLE001 - a bug of ours: handed to the server, which leaves
                if not self._turns.failed.done():
                    self._turns.failed.set_exception(error)

        work.add_done_callback(done)

    def _errand_done(self, task: asyncio.Task[None]) -> None:
        self._errands.discard(task)
        if not task.cancelled() and task.exception() is not None and not self._turns.failed.done():
            self._turns.failed.set_exception(task.exception() or RuntimeError())

    # other processes

    def _transmit(self, machine: str, effect: Transmit) -> None:
        self.speak[machine](effect.peer, effect.batch)

    def protocol_error(self, machine: str, peer: str, error: ProtocolError) -> None:
        """A peer said what no correct peer says: its link ends, nothing else."""
        blame = self.blame.get(machine)
        if blame is None:
            raise LaulimaError(f"{peer} broke the protocol inside this process: {error}") from error
        blame(peer, str(error))
