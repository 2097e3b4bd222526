"""The agent of one host: `python -m live.agent_program --name NAME --slots N --spool DIR ...`.

Owns the spool, the keepers, the Agent machine and the door for the superior, in one asyncio loop. Started by
`live/link_process.py`; outlives its server. What is decided about jobs is in `model/agent.py`.

When it leaves by itself, which it does only without a superior and while no process runs and no job waits:
- its superior said goodbye, or whoever started it has given up, and it holds nothing: at once;
- its connection broke, or nobody came, and it holds nothing: after ALONE_SECONDS;
- it holds only ends that nobody acknowledged: the same, but not before its lease is over. They are in the keepers'
  logs, where the next agent finds them.
TERM: it leaves at once; keepers and jobs go on, and the next agent adopts them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from live.agent_host import AgentHost
from live.agent_turns import AgentTurns, HostMachine
from live.clock import boottime_ns
from live.complaints import Complaints
from live.errands import ErrandError, Errands
from live.hello import Hello, Side, own_hello
from live.link_process import times_from_text
from live.listener import SOCKET_NAME, Listener, listen
from live.output_pieces import FETCHES_MAX, Fetch, Piece, read_piece
from live.program_link import READY
from model.channel import ChannelTimes, ProtocolError
from model.effects import Notice, Transmit
from model.errors import LaulimaError
from model.events import Delivered, LinkDown, LinkUp
from model.job import SECOND
from model.messages import Batch

ALONE_SECONDS: Final = 60.0
"""How long an agent that holds nothing waits for a superior that did not say goodbye."""
SPOOL_SECONDS: Final = 2.0
"""How long a new agent waits for one that is just leaving."""
KEEPERS_SECONDS: Final = 1.0
"""How long an agent that leaves waits for its keepers; one that is later leaves once the agent is gone."""
READ_SECONDS: Final = 20.0
"""How long reading what a job wrote may take."""
EXIT_FAILED: Final = 1
SUPERIOR: Final = "superior"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says."""

    name: str
    slots: int
    spool: Path
    directory: Path
    times: ChannelTimes
    ready_fd: int | None


class Household(Protocol):
    """The world around the machine of a host: `live.agent_host.AgentHost`, `live.batch.host.BatchHost`."""

    @property
    def agent(self) -> HostMachine | None:
        """The machine, once it is made."""

    async def start(self, wait_seconds: float, /) -> HostMachine: ...

    def carry_out(self, effect: Any, /) -> None: ...

    @property
    def is_busy(self) -> bool: ...

    @property
    def holds_nothing(self) -> bool: ...

    async def dismiss_keepers(self, kill: bool, limit_seconds: float, /) -> bool: ...

    async def close(self) -> None: ...


MakeHousehold = Callable[
    [
        asyncio.AbstractEventLoop,
        Settings,
        Callable[[Any], None],
        Callable[[Notice], None],
        Callable[[BaseException], None],
    ],
    Household,
]
"""(loop, settings, post, notice, failed): `post` brings an event to the machine, `failed` ends the program."""


def agent_household(
    loop: asyncio.AbstractEventLoop,
    settings: Settings,
    post: Callable[[Any], None],
    notice: Callable[[Notice], None],
    _failed: Callable[[BaseException], None],
) -> Household:
    """Of a host that starts its jobs itself."""
    return AgentHost(
        loop,
        name=settings.name,
        slots=settings.slots,
        spool=settings.spool,
        directory=settings.directory,
        times=settings.times,
        post=post,
        notice=notice,
        gives_back=True,
    )


class AgentProgram:
    """One agent, from its start to its leaving. Is the `Doorkeeper` of its listener."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: Settings,
        complaints: Complaints,
        make_household: MakeHousehold = agent_household,
    ) -> None:
        self._loop = loop
        self._settings = settings
        self._complaints = complaints
        self._turns = AgentTurns(
            loop,
            carry_out=self._carry_out,
            protocol_error=self._protocol_error,
            after_turn=self._after_turn,
            failed=self._failed,
        )
        self._host = make_household(loop, settings, self._turns.post, self._notice, self._failed)
        self._errands = Errands(loop, threads_max=2)
        self._reading: set[asyncio.Task[None]] = set()
        self._listener: Listener | None = None
        self._goodbye = False
        """the last superior left on purpose, or nobody waits for this agent"""
        self._alone_since_ns = boottime_ns()
        self.over: asyncio.Future[int] = loop.create_future()
        """the exit status, once it is time to leave"""

    async def run(self) -> int:
        """Work until it is time to leave; the exit status. Raises LaulimaError when it cannot start."""
        try:
            agent = await self._host.start(SPOOL_SECONDS)
            self._open_door(agent)
            self._goodbye = not _tell_ready(self._settings.ready_fd)
            status = await self.over
            await self._leave()
        finally:
            self._errands.close()
            for task in list(self._reading):
                task.cancel()
            await self._host.close()
        return status

    def _open_door(self, agent: HostMachine) -> None:
        settings = self._settings
        own = own_hello(Side.AGENT, settings.name, agent.uplink.epoch)
        listening = listen(settings.spool)
        self._listener = Listener(self._loop, listening, own, self, complain=self._complaints.say)
        self._turns.begin(agent)

    async def _leave(self) -> None:
        """Close the door first, so that nobody comes who is not served any more. Keepers go too unless something runs:
        ends that nobody acknowledged are in their logs."""
        assert self._listener is not None
        self._turns.close()
        (self._settings.spool / SOCKET_NAME).unlink(missing_ok=True)
        self._listener.close()
        if not self._host.is_busy:
            await self._host.dismiss_keepers(False, KEEPERS_SECONDS if self._host.holds_nothing else 0.0)

    def stop(self) -> None:
        """Leave now; keepers and jobs go on."""
        if not self.over.done():
            self.over.set_result(0)

    # what the superior's link says (`Doorkeeper`)

    def superior_up(self, _peer: Hello) -> None:
        self._goodbye = False
        self._turns.post(LinkUp(SUPERIOR))

    def superior_said(self, batch: Batch) -> None:
        self._turns.post(Delivered(SUPERIOR, batch))

    def superior_asks(self, wish: Fetch) -> None:
        """Read what it wants to see beside the loop: a disk that hangs holds nothing else."""
        if len(self._reading) >= FETCHES_MAX:
            self._answer(Piece(wish.number, error=f"{FETCHES_MAX} others are read for it already"))
            return
        task = self._loop.create_task(self._read(wish))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read(self, wish: Fetch) -> None:
        spool = self._settings.spool
        try:
            piece: Piece = await self._errands.run(lambda: read_piece(spool, wish), READ_SECONDS)
        except ErrandError as error:
            piece = Piece(wish.number, error=str(error))
        self._answer(piece)

    def _answer(self, piece: Piece) -> None:
        if self._listener is not None:
            self._listener.answer(piece)

    def superior_down(self, reason: str, left: bool) -> None:
        self._goodbye = left
        self._alone_since_ns = boottime_ns()
        self._complaints.say(f"the link to the server ended: {reason}")
        self._turns.post(LinkDown(SUPERIOR, reason))

    # what the turns ask for

    def _carry_out(self, effect: Any) -> None:
        if type(effect) is Transmit:
            if self._listener is not None:
                self._listener.send(effect.batch)
        else:
            self._host.carry_out(effect)

    def _notice(self, notice: Notice) -> None:
        self._complaints.say(f"{notice.level}: {notice.about}: {notice.text}")

    def _protocol_error(self, error: ProtocolError) -> None:
        if self._listener is not None:
            self._listener.end_superior(str(error))

    def _failed(self, error: BaseException) -> None:
        """A bug of ours: leave, so that the next agent begins from what the keepers hold."""
        self._complaints.say("".join(traceback.format_exception(error)))
        if not self.over.done():
            self.over.set_result(EXIT_FAILED)

    def _after_turn(self) -> None:
        if self._may_leave() and not self.over.done():
            self.over.set_result(0)

    def _may_leave(self) -> bool:
        agent, listener = self._host.agent, self._listener
        if agent is None or listener is None or listener.connected:
            return False
        if self._host.is_busy:
            return False
        now = boottime_ns()
        if not self._goodbye and now - self._alone_since_ns < ALONE_SECONDS * SECOND:
            return False  # whoever started it, or lost the link to it, is given the time to come
        lease_end = None if self._host.holds_nothing else agent.uplink.lease_end_ns
        return lease_end is None or now >= lease_end


def _tell_ready(ready_fd: int | None) -> bool:
    """Say that the door is open; False: whoever started this agent has given up meanwhile."""
    if ready_fd is None:
        return True
    try:
        os.write(ready_fd, READY)
    except BrokenPipeError:
        return False
    finally:
        os.close(ready_fd)
    return True


def read_arguments(arguments: list[str]) -> Settings:
    """Raises SystemExit with a sentence on stderr for wrong arguments."""
    parser = argparse.ArgumentParser(prog="laulima agent", description="The agent of one host.", allow_abbrev=False)
    parser.add_argument("--name", required=True)
    parser.add_argument("--slots", required=True, type=int)
    parser.add_argument("--spool", required=True, type=Path)
    parser.add_argument("--directory", required=True, type=Path)
    parser.add_argument("--times", type=times_from_text, default=ChannelTimes())
    parser.add_argument("--ready-fd", type=int)
    found = parser.parse_args(arguments)
    if found.slots < 1:
        parser.error(f"--slots: at least 1 is wanted, not {found.slots}")
    return Settings(
        found.name, found.slots, found.spool.absolute(), found.directory.absolute(), found.times, found.ready_fd
    )


async def _serve(settings: Settings, complaints: Complaints, make_household: MakeHousehold) -> int:
    loop = asyncio.get_running_loop()
    program = AgentProgram(loop, settings, complaints, make_household)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, program.stop)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    gc.freeze()  # what was imported is never garbage; a job leaves no cycles behind
    gc.set_threshold(50_000)
    return await program.run()


def main(arguments: list[str] | None = None) -> int:
    """The program; its exit status: 0 left as it should, 1 could not start or failed."""
    return run_program(read_arguments(sys.argv[1:] if arguments is None else arguments), agent_household)


def run_program(settings: Settings, make_household: MakeHousehold) -> int:
    """The same for the machine of any kind of host (`live/batch_program.py`)."""
    os.umask(0o077)
    complaints = Complaints(sys.stderr)
    if settings.ready_fd is not None:
        os.set_inheritable(settings.ready_fd, False)
    try:
        return asyncio.run(_serve(settings, complaints, make_household))
    except LaulimaError as error:
        complaints.say(f"{error}{'; ' + error.hint if error.hint else ''}")
        return EXIT_FAILED
    except OSError as error:
        complaints.say(f"the agent could not start: {error}")
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
