"""A host with `link: tls`: its agent dials in, and the server waits for it.

A `HostLink` of `live/hosts.py`. Who may come, and under which name, was judged before (`live/tls_door.py`,
`live/joining.py`); what is said until the frames begin is `live/joining_words.py`. What runs at the other end is
`live/agent_joining.py`.

Rule for who comes twice: the newest connection of a name counts. It takes the place of one that waits, and ends a link;
what an earlier life of an agent says on it is left out by the channel, as on every link.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from live.joining_words import END, LINK, JoinAnswer, JoinReady, line, read_word
from live.link_process import times_text
from live.tls import read_line, reason_of, send_all
from live.tls_door import Caller
from model.channel import ChannelTimes
from model.configuration import HostDefinition
from model.errors import NotReachableError

ABSENT: Final = "its agent has not dialled in"
REPLACED: Final = "a newer connection of its agent takes its place"
WAITS_MAX: Final = 1_000_000
"""Hosts that are waited for at one time: all of them, since waiting costs nothing."""
END_SECONDS: Final = 10.0
"""How long ending what is left there may take."""


class TlsHost:
    """Waits for, and links, the agent of one host."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        definition: HostDefinition,
        *,
        directory: str,
        times: ChannelTimes,
        perhaps: bool = False,
    ) -> None:
        """`directory`: where the jobs' relative paths start if the definition says nothing. `perhaps`: an agent of an
        earlier life of this server may be there."""
        self._loop = loop
        self._definition = definition
        self._directory = directory
        self._times = times
        self._waiting: Caller | None = None
        self._came = asyncio.Event()
        self._gone = asyncio.Event()
        self._is_absent = False
        self.fingerprint = ""
        """of the certificate that was shown for the link of now, or for the last one"""
        self.agent = "one that has not dialled in since" if perhaps else ""
        """see `HostLink`"""
        if not perhaps:
            self._gone.set()

    def called(self, caller: Caller) -> None:
        """Its agent has dialled in."""
        if self._waiting is not None:
            self._waiting.refuse(REPLACED)
        self._waiting = caller
        self._note(caller.request.agent, caller.address)
        self._came.set()

    def _note(self, agent: int, address: str) -> None:
        self.agent = f"pid {agent} at {address}" if agent else ""
        if agent:
            self._gone.clear()
        else:
            self._gone.set()

    # for the server (`HostLink` of `live/hosts.py`)

    async def dial(self) -> socket.socket:
        """Wait until its agent has dialled in. Raises NotReachableError when that breaks off."""
        caller = await self._next()
        directory = self._definition.directory or self._directory
        answer = JoinAnswer(LINK, slots=self._definition.slots, times=times_text(self._times), directory=directory)
        try:
            ready = await self._ask(caller, answer)
        except BaseException:
            caller.connected.close()
            raise
        self._note(ready.agent, caller.address)
        self.fingerprint = caller.fingerprint
        return caller.connected

    async def _next(self) -> Caller:
        self._is_absent = True
        while self._waiting is None:
            self._came.clear()
            await self._came.wait()
        caller, self._waiting = self._waiting, None
        self._is_absent = False
        return caller

    async def _ask(self, caller: Caller, answer: JoinAnswer) -> JoinReady:
        try:
            await send_all(caller.connected, line(answer))
            ready = read_word(await read_line(caller.connected), JoinReady)
        except (OSError, EOFError, ValueError) as error:
            raise NotReachableError(f"the connection that its agent made broke: {reason_of(error)}") from error
        if ready.reason:
            raise NotReachableError(f"the agent there did not start: {ready.reason[:500]}")
        return ready

    def ended(self) -> str:
        """A link, or the wait for one, is over."""
        return ABSENT if self._is_absent else ""

    async def wait_gone(self, limit_seconds: float) -> bool:
        """Wait until somebody dials in from there and says that no agent lives."""
        try:
            async with asyncio.timeout(limit_seconds):
                await self._gone.wait()
        except TimeoutError:
            return False
        return True

    async def end_by_force(self) -> None:
        """Let what dials in from there kill agent and keepers. Raises NotReachableError."""
        try:
            async with asyncio.timeout(END_SECONDS):
                caller = await self._next()
                try:
                    await self._ask(caller, JoinAnswer(END))
                finally:
                    caller.connected.close()
        except TimeoutError:
            raise NotReachableError(f"{ABSENT}; its jobs end with their lease") from None
        self._note(0, "")

    def close(self) -> None:
        """Let go of who waits."""
        if self._waiting is not None:
            self._waiting.connected.close()
            self._waiting = None
