"""The hostile peers. Each is told which link to attack, and knows nothing else about it.

A peer calls `meanwhile()` at the worst moment of its attack: then real jobs must run on all other hosts. Used by
`test_hostile_peers.py`. Another peer is one more function here with an entry in PEERS; what can be said wrongly in a
single thing is `dialects.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

from model.messages import PROTOCOL
from tests.live.hostile.links import Attacked, Line
from tests.live.link_partners import PATIENCE_SECONDS

CONNECTIONS = 1_000
PACE = 10
"""Connections that are opened before the first of them is closed."""


@dataclass
class Attack:
    """What a peer is given."""

    link: Attacked
    patch: pytest.MonkeyPatch
    meanwhile: Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Peer:
    """`suits`: whether the attack means anything on that kind of link. `is_believed`: it greets correctly, so the other
    end rightly takes it for a partner, and for no more than that."""

    run: Callable[[Attack], Coroutine[Any, Any, None]]
    suits: Callable[[type[Attacked]], bool] = lambda _: True
    is_believed: bool = False


def _called(link: type[Attacked]) -> bool:
    return link.is_called


def _counts_lives(link: type[Attacked]) -> bool:
    return link.counts_lives


async def silent(attack: Attack) -> None:
    """Connects, and says nothing."""
    attack.link.hurry(attack.patch)
    line = await attack.link.connect()
    await attack.meanwhile()
    if attack.link.can_hurry:
        await line.ended()


async def silent_in_a_crowd(attack: Attack) -> None:
    """The same by the dozen: more than some doors have places for."""
    attack.link.hurry(attack.patch)
    lines = [await attack.link.connect() for _ in range(12)]
    await attack.meanwhile()
    await lines[0].ended()


async def silent_after_the_greeting(attack: Attack) -> None:
    line = await attack.link.connect()
    await attack.link.greet(line)
    await attack.meanwhile()
    line.close()


async def a_byte_now_and_then(attack: Attack) -> None:
    """Never breaks off, and never comes to an end."""
    attack.link.hurry(attack.patch)
    line = await attack.link.connect()
    await line.send(attack.link.dialect.begun)
    await attack.meanwhile()
    await _drip(attack, line)


async def a_byte_now_and_then_after_the_greeting(attack: Attack) -> None:
    attack.link.hurry(attack.patch)
    line = await attack.link.connect()
    await attack.link.greet(line)
    await line.send(attack.link.dialect.begun)
    await attack.meanwhile()
    await _drip(attack, line)


async def _drip(attack: Attack, line: Line) -> None:
    if not attack.link.can_hurry:
        return
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE_SECONDS):
        closed = False
        while not closed:
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                async with asyncio.timeout(0.01):
                    closed = await loop.sock_recv(line.socket, 1 << 16) == b""
            if not closed:
                closed = not await line.send(b"x")
    line.close()


async def half_closed(attack: Attack) -> None:
    """Says that it will say nothing more, and stays."""
    line = await attack.link.connect()
    line.socket.shutdown(socket.SHUT_WR)
    await attack.meanwhile()
    await line.ended()


async def greets_and_never_reads(attack: Attack) -> None:
    """Asks and asks, and takes no answer."""
    attack.link.squeeze(attack.patch)
    line = await attack.link.connect()
    await attack.link.greet(line)
    question = attack.link.dialect.harmless * 1000
    sending = asyncio.ensure_future(_ask_on_and_on(line, question))
    await attack.meanwhile()
    await sending
    line.close()


async def _ask_on_and_on(line: Line, question: bytes) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        taken = True
        while taken:
            taken = await line.send(question)
            await asyncio.sleep(0)


async def another_version(attack: Attack) -> None:
    """Is told, or tells itself, which two versions there are."""
    line = await attack.link.connect()
    told = await attack.link.greet(line, protocol=77, laulima="77.7")
    await attack.meanwhile()
    told += await line.ended()
    for version in (77, PROTOCOL):
        await _shown(attack, told, f"protocol {version}")


async def another_hosts_name(attack: Attack) -> None:
    line = await attack.link.connect()
    told = await attack.link.greet(line, name="n2")
    await attack.meanwhile()
    told += await line.ended()
    await _shown(attack, told, "was expected")


async def _shown(attack: Attack, told: bytes, words: str) -> None:
    """The stranger was told these words, or they are the reason why its host is down."""
    hosts = attack.link.site.server.controller.hosts

    def is_shown() -> bool:
        reasons = [host.reason for name, host in hosts.items() if name.startswith("evil")]
        return words in told.decode(errors="replace") + str(reasons)

    await attack.link.site.until(is_shown, f"{words} in {told!r}")


async def an_earlier_life(attack: Attack) -> None:
    """Was right once, and comes back."""
    line = await attack.link.connect()
    told = await attack.link.greet(line, epoch=attack.link.site.epoch - 1)
    await attack.meanwhile()
    told += await line.ended()
    assert b"life" in told


async def a_doubled_session(attack: Attack) -> None:
    """Greets as somebody who is there already, twice; the newest counts, and the honest one comes back."""
    lines = []
    for _ in range(2):
        lines.append(await attack.link.connect())
        await attack.link.greet(lines[-1])
    await attack.meanwhile()
    await lines[0].ended()
    lines[1].close()


async def comes_and_goes(attack: Attack) -> None:
    """1,000 connections, each closed at once."""
    work = asyncio.ensure_future(attack.meanwhile())
    for _ in range(CONNECTIONS // PACE):
        lines = [await attack.link.connect() for _ in range(PACE)]
        for line in lines:
            line.close()
        await asyncio.sleep(0)
    await work


async def comes_in_a_crowd(attack: Attack) -> None:
    """200 at one time; none of them goes by itself."""
    for _ in range(200):
        await attack.link.connect()
    await attack.meanwhile()


async def takes_every_descriptor(attack: Attack) -> None:
    """Calls when the process that listens has no descriptor left. It is served once there is one."""
    line = await attack.link.connect()
    with attack.link.starved() as has_met_it:
        await attack.link.site.until(has_met_it, "the accepting fails")
    await attack.link.greet(line)
    line.close()
    await attack.meanwhile()


async def another_user(attack: Attack) -> None:
    """A process of another user (as far as the other end can see)."""
    attack.link.refuse_me(attack.patch)
    line = await attack.link.connect()
    told = await attack.link.greet(line)  # in vain
    await attack.meanwhile()
    told += await line.ended()
    assert b'"ok":true' not in told
    assert b"hello" not in told
    attack.patch.undo()


def _can_look_like_another_user(link: type[Attacked]) -> bool:
    return link.refuse_me is not Attacked.refuse_me


def _can_be_squeezed(link: type[Attacked]) -> bool:
    return link.squeeze is not Attacked.squeeze


PEERS: dict[str, Peer] = {
    "silent": Peer(silent),
    "silent in a crowd": Peer(silent_in_a_crowd, _called),
    "silent after the greeting": Peer(silent_after_the_greeting, is_believed=True),
    "a byte now and then": Peer(a_byte_now_and_then),
    "a byte now and then after the greeting": Peer(a_byte_now_and_then_after_the_greeting, is_believed=True),
    "half-closed": Peer(half_closed),
    "never reads": Peer(greets_and_never_reads, _can_be_squeezed, is_believed=True),
    "another version": Peer(another_version, _counts_lives),
    "another host's name": Peer(another_hosts_name, _counts_lives),
    "an earlier life": Peer(an_earlier_life, lambda link: link.counts_lives and link.is_called),
    "a doubled session": Peer(a_doubled_session, lambda link: link.counts_lives and link.is_called, is_believed=True),
    "comes and goes": Peer(comes_and_goes, _called),
    "comes in a crowd": Peer(comes_in_a_crowd, _called),
    "takes every descriptor": Peer(takes_every_descriptor, _called, is_believed=True),
    "another user": Peer(another_user, _can_look_like_another_user),
}
