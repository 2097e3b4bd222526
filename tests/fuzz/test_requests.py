"""Goal: whatever a client asks, a server answers it, in data or in a named refusal; it never meets a bug, and goes on.

Method: a whole laulima in one loop, asked with right verbs and any arguments, damaged arguments and mutated lines. What
would really do harm (submitting a program, ending the server, adding a host) is asked in forms that cannot.
"""

from __future__ import annotations

import asyncio
import functools
import json
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.anything import INTEGERS, PLAIN, TEXTS, mutated
from tests.fuzz.budget import fuzz
from tests.live.hostile.site import Site, site

SELECTIONS = st.fixed_dictionaries(
    {},
    optional={
        "jobs": st.lists(INTEGERS, max_size=3) | PLAIN,
        "last": st.booleans(),
        "task": TEXTS,
        "state": TEXTS | st.sampled_from(["final", "exit 3", "exit ²", "failed", "running", "exit " + "9" * 5000]),
        "host": TEXTS,
        "all": st.booleans() | PLAIN,
    },
)
WORDS: dict[str, st.SearchStrategy[Any]] = {
    "selection": SELECTIONS | PLAIN,
    "reason": TEXTS | PLAIN,
    "task": TEXTS | PLAIN,
    "job": INTEGERS | PLAIN,
    "attempt": INTEGERS | st.none(),
    "stream": st.sampled_from(["stdout", "stderr", "../x"]) | PLAIN,
    "name": TEXTS | st.sampled_from(["1", "last", "²", "9" * 5000, "n1"]) | PLAIN,
    "about": st.sampled_from(["job", "task", "host", "x"]) | st.none(),
    "for_ns": INTEGERS | st.none(),
    "limit": INTEGERS | PLAIN,
    "outcome": TEXTS | st.sampled_from(["exit 0", "exit ²", "failed", "exit " + "9" * 5000]),
    "since_ns": INTEGERS,
    "after": INTEGERS,
    "offset": INTEGERS,
    "size": INTEGERS,
}
READS = ("status", "tasks", "hosts", "jobs", "count_jobs", "explain", "history", "plan", "logs")
CHANGES = ("kill", "delete", "retry", "hold", "release", "flush", "delete_task", "stop", "resume")
PROMPT = ("shell_names", "shell_interrupt", "shell_close", "shell_read", "no_such_verb", "__class__", "")
ARGUMENTS = st.fixed_dictionaries({}, optional=WORDS) | st.dictionaries(TEXTS, PLAIN, max_size=3)


@functools.cache
def runner() -> asyncio.Runner:
    return asyncio.Runner()


class Asked:
    """One connection of the site; made anew when the server has closed it."""

    def __init__(self, here: Site) -> None:
        self.here = here
        self.reader: asyncio.StreamReader | None = None

    async def ask(self, line: bytes) -> dict[str, Any]:
        if self.reader is None or self.reader.at_eof():
            self.reader, self.writer = await asyncio.open_unix_connection(self.here.state.control, limit=1 << 26)
        self.writer.write(line)
        async with asyncio.timeout(30):
            answer: dict[str, Any] = json.loads(await self.reader.readline())
        return answer

    def close(self) -> None:
        if self.reader is not None:
            self.writer.close()


HERE: list[Asked] = []


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    with asyncio.Runner() as running, tempfile.TemporaryDirectory() as folder, _working(running, Path(folder)) as asked:
        HERE.append(asked)
        RUNNERS.append(running)
        yield
        HERE.clear()
        RUNNERS.clear()


RUNNERS: list[asyncio.Runner] = []


@contextmanager
def _working(running: asyncio.Runner, folder: Path) -> Iterator[Asked]:
    stack = AsyncExitStack()
    here = running.run(stack.enter_async_context(site(folder)))
    asked = Asked(here)
    keepers = here.keepers()
    try:
        yield asked
        running.run(here.client.ask("resume"))
        running.run(here.work("local", "n1", "n2"))
        assert here.keepers() == keepers, "no keeper died of what it was told"
        assert not here.unheard, here.unheard
    finally:
        asked.close()
        running.run(stack.aclose())


def ask(line: bytes) -> dict[str, Any]:
    asked = HERE[0]
    answer = RUNNERS[0].run(asked.ask(line))
    assert isinstance(answer["ok"], bool)
    if not answer["ok"]:
        assert not answer["error"].startswith("a bug"), answer
    assert not asked.here.server._turns.failed.done()
    assert not any("failed:" in line for line in asked.here.said), asked.here.said[-3:]
    return answer


def say(verb: str, arguments: Any) -> dict[str, Any]:
    try:
        line = json.dumps({"id": 1, "verb": verb, "arguments": arguments}).encode() + b"\n"
    except (TypeError, ValueError):
        return {}
    return ask(line)


@fuzz(300)
@given(st.sampled_from(READS + CHANGES + PROMPT), ARGUMENTS)
def test_any_arguments(verb: str, arguments: Any) -> None:
    if "after" in arguments and verb == "shell_read":
        return
    say(verb, arguments)


BEYOND = [2**62 + 1, 2**63, 2**64 - 1, -1, -(2**63)]


@pytest.mark.parametrize("number", BEYOND)
def test_a_number_that_no_host_can_be_told_is_refused(number: int) -> None:
    """Or one job would keep a host from hearing of any other. (Real jobs run when all tests of this file are over.)"""
    for word in ("timeout_ns", "pending_ns", "slots"):
        assert not say("submit", {"command": ["true"], "host": "n1", "required": True, word: number})["ok"]
    assert not say("host", {"verb": "slots", "name": "n1", "slots": number})["ok"]
    assert not say("hold", {"task": "t", "for_ns": number})["ok"]


HARMLESS = st.sampled_from([["true"], ["true", "\0"], [""], [], ["/nowhere/x"], ["true", "x" * 300_000], "true"])


@fuzz(150)
@given(
    st.fixed_dictionaries(
        {"command": HARMLESS},
        optional={
            "like": TEXTS,
            "host": st.sampled_from(["local", "n1", "nobody", "../x"]) | PLAIN,
            "required": st.booleans(),
            "slots": INTEGERS,
            "timeout_ns": INTEGERS,
            "pending_ns": INTEGERS,
            "environment": st.dictionaries(TEXTS | st.sampled_from(["A", "A=B", "LD_PRELOAD"]), TEXTS, max_size=3)
            | PLAIN,
            "directory": TEXTS | st.sampled_from(["/", "/proc/self", "a\0b"]),
        },
    )
)
def test_any_submission(arguments: dict[str, Any]) -> None:
    say("submit", arguments)


@fuzz(100)
@given(
    st.fixed_dictionaries(
        {
            "verb": st.sampled_from(["on", "off", "drain", "slots", "retry", "delete", "x"]),
            "name": TEXTS | st.just("n9"),
        },
        optional={"slots": INTEGERS, "reason": TEXTS, "x": PLAIN},
    )
)
def test_any_order_to_a_host(arguments: dict[str, Any]) -> None:
    say("host", arguments)


LINE = b'{"id": 1, "verb": "jobs", "arguments": {"selection": {"jobs": [1, 2], "state": "final"}}}'


@fuzz(200)
@given(mutated(LINE) | st.binary(max_size=60))
def test_a_changed_line(line: bytes) -> None:
    ask(line.replace(b"\n", b" ") + b"\n")
