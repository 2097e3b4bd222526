"""Carries messages to notifiers: a command that gets one JSON object on its standard input, or a webhook that gets it
as the body of a POST.

What is told, to whom and when is decided by the scheduler (`model/alarms.py`), which asks for one delivery at a time of
each notifier (`Notify`) and is answered with what came of it (`Notified`); here nothing is decided, kept or tried
again. Everything runs in errands (threads with deadlines), `AT_ONCE` at a time, so no notifier holds the loop, the jobs
or the exit. A command has its own process group, which is killed at the limit. `laulima notify --test` calls `test`,
through a server (`live/requests.py`) or without one (`shell/commands/notify.py`).

Texts in a message may come from outside (names, items, reasons, output): they are cleaned and cut here. A secret is
read at each delivery, from the environment or a file, and stands in no message, notice or error.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from live.clock import wall_ns
from live.display import clean
from live.errands import Errands
from live.sources import ending_text, run_bounded
from model.alarm_kinds import HEARTBEAT, RECOVERED, TEST, Item, Message
from model.configuration import Notifier, Secret, Webhook
from model.effects import Notify
from model.errors import LaulimaError
from model.events import Notified
from model.job import SECOND
from model.notifying import LIMIT_NS

SCHEMA = 1
"""Version of the JSON object."""
AT_ONCE = 4
"""Deliveries at work at one time; others wait for their turn."""
LATE_SECONDS = 5.0
"""What a delivery may take beyond its limit, until it is given up."""
ITEMS_TOLD = 50
"""Things that one message tells in full; the rest it counts."""
TEXT_MAX = 1000
"""Characters of one text in a message."""
BODY_MAX = 65_536
"""Bytes of a message; items that have no place are counted."""
ANSWER_MAX = 4096
"""Bytes of a webhook's answer that are read."""
SAID_MAX = 300
"""Characters of what a failing notifier said that are shown."""
SECRET_MAX = 16_384
"""Bytes of a file with a secret."""
_QUIET = frozenset({RECOVERED, HEARTBEAT, TEST})


class NotifierError(LaulimaError):
    """A message could not be delivered."""


class Tried(Struct, frozen=True):
    """What came of a test message. `error` empty: it was taken."""

    name: str
    how: str
    took_ns: int
    error: str


def body_of(message: Message, pipeline: str, at: int) -> bytes:
    """The JSON object that a notifier gets: one line of ASCII with its end, at most `BODY_MAX` bytes."""
    first = message.items[0] if len(message.items) == 1 else None
    word: dict[str, Any] = {
        "schema": SCHEMA,
        "event": message.event,
        "level": "info" if message.event in _QUIET else "alarm",
        "about": "" if first is None else _text(first.subject),
        "text": _text(message.text),
        "at": at,
        "pipeline": _text(pipeline),
        "alarms": [_alarm(item) for item in message.items[:ITEMS_TOLD]],
        "left_out": max(0, len(message.items) - ITEMS_TOLD),
        "unsaid": message.unsaid,
    }
    while len(body := f"{json.dumps(word)}\n".encode()) > BODY_MAX:
        word["alarms"].pop()
        word["left_out"] += 1
    return body


def _alarm(item: Item) -> dict[str, Any]:
    return {
        "event": item.event,
        "kind": item.kind,
        "subject": _text(item.subject),
        "text": _text(item.text),
        "since": item.since_at,
    }


def _text(text: str) -> str:
    shown = clean(text)
    return shown if len(shown) <= TEXT_MAX else f"{shown[:TEXT_MAX]}…"


def _said(output: bytes) -> str:
    """What a failing notifier printed last, on one line, for people."""
    text = clean(output.decode(errors="surrogateescape").strip()[-SAID_MAX:])
    return f": {text}" if text else ""


# webhooks


def url_trouble(url: str, *, plain_http: bool) -> str:
    """Why a message may not be sent there; empty: it may. The URL itself is not repeated: it may be a secret."""
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError as error:
        return f"it is no URL: {error}"
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_right:
        return "expects a URL such as https://example.org/hook"
    if not url.isascii() or not url.isprintable() or " " in url:
        return "a URL has no spaces, control characters or letters beyond ASCII"
    if parts.username or parts.password:
        return "a URL with a password: say it in a header from a file or variable"
    if parts.scheme == "http" and not plain_http and not _is_loopback(parts.hostname):
        return "http is for this machine only: https, or plain_http: true if you mean it"
    return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_secret(secret: Secret, directory: Path) -> str:
    """The text, from where it stands. Raises NotifierError."""
    text = secret.text
    if secret.env:
        found = os.environ.get(secret.env)
        if not found:
            raise NotifierError(f"the variable {secret.env} of the server's environment is not set")
        text = found
    elif secret.file:
        path = directory / secret.file
        try:
            with path.open("rb") as file:
                content = file.read(SECRET_MAX + 1)
            text = content.decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise NotifierError(f"{path} cannot be read: {why}") from None
        if len(content) > SECRET_MAX:
            raise NotifierError(f"{path} has more than {SECRET_MAX} bytes: this is no secret")
        if not text:
            raise NotifierError(f"{path} is empty")
    if not text.isprintable():
        raise NotifierError("the text of a header or URL has more than one line, or control characters")
    return secret.prefix + text


def post(webhook: Webhook, directory: Path, body: bytes, limit_seconds: float) -> None:
    """Send one message. Blocks. Raises NotifierError: no name, no connection, no certificate, no answer, or an answer
    that is not 2xx. A redirection is not followed: it could lead anywhere."""
    from http.client import HTTPException  # noqa: PLC0415 - only where there is a webhook
    from urllib.error import HTTPError, URLError  # noqa: PLC0415
    from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener  # noqa: PLC0415

    class NoRedirect(HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    url = read_secret(webhook.url, directory)
    trouble = url_trouble(url, plain_http=webhook.plain_http)
    if trouble:
        raise NotifierError(trouble)
    parts = urlsplit(url)
    headers = {"Content-Type": "application/json", "User-Agent": "laulima"}
    headers |= {name: read_secret(secret, directory) for name, secret in webhook.headers}
    handlers: list[Any] = [NoRedirect()]
    if _is_loopback(parts.hostname or ""):
        handlers.append(ProxyHandler({}))
    request = Request(url, data=body, headers=headers, method="POST")  # noqa: S310 - http(s) only, see above
    try:
        with build_opener(*handlers).open(request, timeout=limit_seconds) as answer:
            answer.read(ANSWER_MAX)
    except HTTPError as error:
        with error:
            said = _said(error.read(ANSWER_MAX))
        raise NotifierError(f"{_where(parts)} answered {error.code} {clean(str(error.reason))}{said}") from None
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", "") or error
        raise NotifierError(f"{_where(parts)}: {clean(str(reason)) or type(error).__name__}") from None


def _where(parts: SplitResult) -> str:
    """Whom it concerns, without what may be a secret."""
    return f"{parts.scheme}://{parts.hostname}"


# deliveries


def deliver(notifier: Notifier, directory: Path, body: bytes, limit_seconds: float) -> None:
    """Give the message to the notifier, once. Blocks. Raises LaulimaError."""
    if notifier.webhook is not None:
        post(notifier.webhook, directory, body, limit_seconds)
        return
    code, output = run_bounded(notifier.command, directory, body, limit_seconds, errors=True)
    if code != 0:
        raise NotifierError(f"`{notifier.command[0]}` ended with {ending_text(code)}{_said(output)}")


def how_text(notifier: Notifier) -> str:
    """How it is reached, for people."""
    if notifier.webhook is None:
        return clean(notifier.command[0])
    url = notifier.webhook.url
    return f"webhook of {url.env or url.file}" if url.env or url.file else f"webhook {_where(urlsplit(url.text))}"


class Notifying:
    """The notifiers of one server. Everything is called in the loop."""

    def __init__(
        self,
        notifiers: Iterable[Notifier],
        directory: Path,
        pipeline: str,
        errands: Errands,
        answer: Callable[[Notified], None],
    ) -> None:
        """`directory`: where commands start, and relative paths. `answer`: tells the scheduler what came of it."""
        self._directory = directory
        self._pipeline = pipeline
        self._errands = errands
        self._answer = answer
        self._turn = asyncio.Semaphore(AT_ONCE)
        self.take(notifiers)

    def take(self, notifiers: Iterable[Notifier]) -> None:
        """From now on there are these."""
        self._notifiers = {notifier.name: notifier for notifier in notifiers}

    async def notify(self, effect: Notify) -> None:
        """Deliver, and answer."""
        notifier = self._notifiers.get(effect.notifier)
        if notifier is None:
            error = "it is not in the configuration any more"
        else:
            error = await self._delivered(notifier, effect.message, effect.limit_ns / SECOND)
        self._answer(Notified(effect.notifier, effect.number, error))

    async def _delivered(self, notifier: Notifier, message: Message, limit: float) -> str:
        """Empty, or why not."""
        body = body_of(message, self._pipeline, wall_ns())
        async with self._turn:
            try:
                await self._errands.run(lambda: deliver(notifier, self._directory, body, limit), limit + LATE_SECONDS)
            except LaulimaError as error:
                return str(error)
        return ""

    async def test(self, name: str | None) -> list[Tried]:
        """Send a test message to the notifier of this name, or to all, and tell what came of it."""
        chosen = [each for each in self._notifiers.values() if name in (None, each.name)]
        return list(await asyncio.gather(*[self._tried(each) for each in chosen]))

    async def _tried(self, notifier: Notifier) -> Tried:
        began = wall_ns()
        error = await self._delivered(notifier, trial_message(notifier.name), LIMIT_NS / SECOND)
        return Tried(notifier.name, how_text(notifier), wall_ns() - began, error)


def trial_message(name: str) -> Message:
    """What `laulima notify --test` sends."""
    return Message(TEST, f"this is a test of the notifier {name}: nothing is wrong")


def try_here(notifiers: Iterable[Notifier], directory: Path, pipeline: str) -> list[Tried]:
    """The same without a server, one after the other. Blocks."""
    found = []
    for notifier in notifiers:
        began, error = wall_ns(), ""
        try:
            deliver(notifier, directory, body_of(trial_message(notifier.name), pipeline, began), LIMIT_NS / SECOND)
        except LaulimaError as failure:
            error = str(failure)
        found.append(Tried(notifier.name, how_text(notifier), wall_ns() - began, error))
    return found
