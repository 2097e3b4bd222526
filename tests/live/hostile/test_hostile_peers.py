"""Goal: whatever a stranger does at whatever link, it costs its own connection and nothing else.

Method: every hostile peer (`peers.py`, and the rubbish of `dialects.py`) against every link (`links.py`) of one laulima
that works all the time (`site.py`). While the attack is at its worst real jobs run to their end on every other host;
after it the link serves honest peers, no machine has heard of the stranger, descriptors, threads and memory of all
processes are back, and people were shown a few lines at most.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from tests.live.hostile.links import LINKS, Attacked
from tests.live.hostile.peers import PEERS, Attack
from tests.live.hostile.site import Site
from tests.live.hostile.ssh_link import ON_SSH
from tests.live.hostile.tls_link import AgentsThatDialIn, KnownAndStrange

ALL: tuple[type[Attacked], ...] = (*LINKS, AgentsThatDialIn, KnownAndStrange, *ON_SSH)
LINES_MAX = 5
"""What one attack may write: that the link ended, at each of its ends, and that a host is down and tried again."""


async def withstand(link: Attacked, attack: Coroutine[Any, Any, None], is_believed: bool) -> None:
    """Let the attack happen, and see that nobody else noticed."""
    here = link.site
    base, lines, known = here.measure(), here.lines(), len(here.events)
    try:
        await attack
        if not is_believed:
            strange = link.events_of_strangers(here.events[known:])
            assert not strange, f"a machine heard of a stranger: {strange}"
    finally:
        await link.tidy()
        await here.bring_back("n1")  # so that a failure here causes none in the next test
    await link.alive()
    assert here.lines() - lines <= LINES_MAX, (here.said, here.logs["n1"].getvalue())
    await here.until(lambda: here.measure().is_back_at(base), f"back at {base}, not at {here.measure()}")
    assert not here.unheard, here.unheard


def cases() -> Iterator[Any]:
    for link in ALL:
        for name, peer in PEERS.items():
            if peer.suits(link):
                yield pytest.param(link, name, id=f"{link.name}-{name}", marks=link.marks)


@pytest.mark.parametrize(("kind", "name"), list(cases()))
def test_a_hostile_peer_costs_its_own_connection_only(
    kind: type[Attacked], name: str, working: Site, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = PEERS[name]

    async def scenario() -> None:
        link = kind(working)
        worked: list[bool] = []

        async def meanwhile() -> None:
            await working.work(*(link.spared if peer.is_believed else link.meanwhile))
            worked.append(True)

        async def attack() -> None:
            try:
                await peer.run(Attack(link, monkeypatch, meanwhile))
            finally:
                monkeypatch.undo()  # the honest ones who come back have all the time that they need

        await withstand(link, attack(), peer.is_believed)

        assert worked, "the peer did not say when it is at its worst"

    runner.run(scenario())


@pytest.mark.parametrize("link", ON_SSH)
def test_what_is_left_out_on_ssh_is_said(link: type[Attacked]) -> None:
    assert link.senseless.keys() == {name for name, peer in PEERS.items() if not peer.suits(link)}


def rubbish() -> Iterator[Any]:
    for link in ALL:
        for stage, things in (("first", link.dialect.first), ("later", link.dialect.later)):
            for name in things:
                yield pytest.param(link, stage, name, id=f"{link.name}-{stage}-{name}", marks=link.marks)


@pytest.mark.parametrize(("kind", "stage", "name"), list(rubbish()))
def test_what_no_correct_peer_says_costs_its_own_connection_only(
    kind: type[Attacked], stage: str, name: str, working: Site, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = kind(working)
    dialect = link.dialect
    is_first = stage == "first"

    async def attack() -> None:
        line = await link.connect()
        if not is_first:
            await link.greet(line)
        await line.send((dialect.first if is_first else dialect.later)[name])
        meanwhile = asyncio.ensure_future(working.work(*(link.meanwhile if is_first else link.spared)))
        if dialect.forgives and name not in dialect.fatal:
            assert b'"ok":false' in await line.hear(lambda told: told.endswith(b"\n"))
            await line.send(dialect.harmless)
            assert b'"ok":true' in await line.hear(lambda told: told.endswith(b"\n")), "the connection goes on"
            line.close()
        else:
            told = await line.ended()
            assert link.tells_paths or not re.search(rb"(/\w+){2}", told), f"a path leaks: {told!r}"
        await meanwhile

    runner.run(withstand(link, attack(), is_believed=not is_first))
