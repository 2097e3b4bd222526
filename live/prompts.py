"""Prompts: sessions of the script machine in which people give lines, over the control socket.

    shell_open {}            -> {session, name}
    shell_text {text}        -> {number}        the lines are run; how it went comes by shell_read
    shell_read {after}       -> {items, closed} what was shown or ran since item `after`; waits READ_SECONDS
    shell_interrupt {}       -> null            end what runs
    shell_names {}           -> {kind: names}   for completion
    shell_close {}           -> null

A session belongs to its connection and ends with it, so a terminal that is closed leaves no loop behind. Items are
numbered and kept until a later read says that they came, so a read may be given up.

Made by `live/server.py`; one `Conversation` for each connection of `live/control.py`; `live/scripts.py` brings what is
shown. Nothing of the language is known here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from live.control import Verb, asked_by, typed
from model.errors import OperatorError
from model.scripting import CloseSession, Interrupt, OpenSession, SessionRan, SessionText, Stream

READ_SECONDS = 20.0
"""How long a read waits; shorter than a client's patience with a read (30 s)."""
KEPT_MAX = 8 << 20
"""Characters of shown text that wait for a read; more is left out, and that is said."""
TEXTS_MAX = 64
"""Texts whose end was not read yet; a client that waits for each end, as ours does, has one."""
PROMPTS_MAX = 64
"""Prompts at one time."""


class NoArguments(Struct, frozen=True, forbid_unknown_fields=True):
    """No arguments."""


class ByText(Struct, frozen=True):
    text: str


class ByPlace(Struct, frozen=True):
    after: int = 0


class Item(Struct, frozen=True):
    """Something shown (`text`, on `stream`), or the end of the text `ran`."""

    place: int
    stream: str = ""
    text: str = ""
    ran: int = 0
    ok: bool = True
    more: bool = False
    status: int | None = None


class Prompt:
    """One session: what waits to be read."""

    def __init__(self, session: int) -> None:
        self.session = session
        self.name = f"prompt {session}"
        self.texts = 0
        self.unread = 0
        """texts whose end was not read"""
        self.closed = False
        self.changed = asyncio.Event()
        self.items: deque[Item] = deque()
        self._place = 0
        self._kept = 0
        self._left_out = 0

    def show(self, stream: Stream, text: str) -> None:
        if self._kept + len(text) > KEPT_MAX:
            self._left_out += len(text)
            return
        self._tell_left_out()
        self._add(stream.value, text)

    def ran(self, event: SessionRan) -> None:
        """The text is over: never left out."""
        self._tell_left_out()
        self._place += 1
        self.items.append(
            Item(self._place, ran=event.number, ok=event.ok, more=event.more, status=event.status),
        )
        self.changed.set()

    def forget(self, place: int) -> None:
        """What came before is with its reader."""
        while self.items and self.items[0].place <= place:
            item = self.items.popleft()
            self._kept -= len(item.text)
            self.unread -= item.ran > 0

    def close(self) -> None:
        self.closed = True
        self.changed.set()

    def _add(self, stream: str, text: str) -> None:
        self._kept += len(text)
        last = self.items[-1] if self.items else None
        self._place += 1
        if last is not None and last.stream == stream and len(last.text) < 4096:  # few items for many short lines
            self.items[-1] = Item(self._place, stream, last.text + text)
        else:
            self.items.append(Item(self._place, stream, text))
        self.changed.set()

    def _tell_left_out(self) -> None:
        if self._left_out:
            self._add(Stream.ERROR.value, f"({self._left_out} letters were left out: nobody read them in time)\n")
            self._left_out = 0


class Prompts:
    """All prompts of a server."""

    def __init__(
        self, post: Callable[[object], None], names: Callable[[], dict[str, list[str]]], directory: str
    ) -> None:
        """`post` brings an event to the script machine."""
        self._post = post
        self._names = names
        self._directory = directory
        self._last = 0
        self._prompts: dict[int, Prompt] = {}

    def converse(self) -> Conversation:
        """A connection begins."""
        return Conversation(self)

    def open(self) -> Prompt:
        """A session of its own. Raises OperatorError when there are too many."""
        if len(self._prompts) >= PROMPTS_MAX:
            raise OperatorError(f"{PROMPTS_MAX} prompts are open already", "leave one that is not needed")
        self._last += 1
        prompt = self._prompts[self._last] = Prompt(self._last)
        self._post(OpenSession(prompt.session, prompt.name, self._directory, asked_by()))
        return prompt

    def close(self, prompt: Prompt) -> None:
        if self._prompts.pop(prompt.session, None) is not None:
            prompt.close()
            self._post(CloseSession(prompt.session))

    def show(self, session: int, stream: Stream, text: str) -> None:
        """Show text to the prompt, unless it is closed."""
        prompt = self._prompts.get(session)
        if prompt is not None:
            prompt.show(stream, text)

    def ran(self, event: SessionRan) -> None:
        prompt = self._prompts.get(event.session)
        if prompt is not None:
            prompt.ran(event)

    def give(self, event: object) -> None:
        self._post(event)

    def names(self) -> dict[str, list[str]]:
        return self._names()


class Conversation:
    """The prompt of one connection, if it opens one."""

    def __init__(self, prompts: Prompts) -> None:
        self._prompts = prompts
        self._prompt: Prompt | None = None

    def verbs(self) -> Mapping[str, Verb]:
        """See the head of this file."""
        return {
            "shell_open": typed(NoArguments, self._open),
            "shell_text": typed(ByText, self._text),
            "shell_read": typed(ByPlace, self._read),
            "shell_interrupt": typed(NoArguments, self._interrupt),
            "shell_names": typed(NoArguments, self._list_names),
            "shell_close": typed(NoArguments, self._close),
        }

    def end(self) -> None:
        """The connection is gone."""
        if self._prompt is not None:
            self._prompts.close(self._prompt)
            self._prompt = None

    async def _open(self, given: NoArguments) -> dict[str, Any]:
        if self._prompt is not None:
            raise OperatorError("this connection has a prompt already", "open another connection")
        self._prompt = prompt = self._prompts.open()
        return {"session": prompt.session, "name": prompt.name}

    async def _text(self, given: ByText) -> dict[str, Any]:
        prompt = self._own()
        if prompt.unread >= TEXTS_MAX:
            raise OperatorError(f"the ends of {TEXTS_MAX} texts were not read yet", "read first: shell_read")
        prompt.texts += 1
        prompt.unread += 1
        self._prompts.give(SessionText(prompt.session, prompt.texts, given.text))
        return {"number": prompt.texts}

    async def _read(self, given: ByPlace) -> dict[str, Any]:
        prompt = self._own()
        prompt.forget(given.after)
        prompt.changed.clear()
        if not prompt.items and not prompt.closed:
            await _within(prompt.changed, READ_SECONDS)
        return {"items": list(prompt.items), "closed": prompt.closed}

    async def _interrupt(self, given: NoArguments) -> None:
        self._prompts.give(Interrupt(self._own().session))

    async def _list_names(self, given: NoArguments) -> dict[str, list[str]]:
        return self._prompts.names()

    async def _close(self, given: NoArguments) -> None:
        self.end()

    def _own(self) -> Prompt:
        if self._prompt is None:
            raise OperatorError("this connection has no prompt", "open one first: shell_open")
        return self._prompt


async def _within(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, for so long at most; which of the two it was does not matter."""
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait([waiting], timeout=seconds)
    waiting.cancel()
