"""Who may see the page and who may act through it: asked for each request, before anything else looks at it.

Rule: nothing is served by where a request comes from. The files of the page are the same for everybody and hold no
data; whatever tells or does something needs a token, in the `Authorization` header. It is no cookie: a browser
sends the cookies of a host to all ports of that host, so to any program of any user of this machine, and sends them by
itself, so a foreign page could act with them.

Wrapped around the application by `app.py`.
"""

from __future__ import annotations

import hmac
import secrets
from http import HTTPStatus
from urllib.parse import urlsplit

from msgspec import Struct
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

DATA = "/api/"
"""Everything below it needs a token."""
METRICS = "/metrics"
"""Needs a token as well. Where Prometheus looks by itself, so it is not below `DATA`."""
ACTS = "/api/do"
"""Needs the token for control, and an origin."""
MAY_ACT = "laulima.may_act"
"""In the scope of a request: whether it has the token for control."""
TOKEN_BYTES = 24
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Names under which a browser on this machine (or at the near end of a tunnel) may call us. Any other name is that of
somebody who had it resolved to this address (DNS rebinding)."""
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Tokens(Struct, frozen=True):
    """What a request must bring. `control` empty: nobody can act."""

    look: str
    control: str = ""


def new_tokens(*, control: bool) -> Tokens:
    return Tokens(secrets.token_urlsafe(TOKEN_BYTES), secrets.token_urlsafe(TOKEN_BYTES) if control else "")


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a web socket: nothing of that kind is spoken here
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    given[name] = value
            await send(message)

        scope[MAY_ACT] = _same(_token(headers), self._tokens.control)
        refused = self._refusal(scope, headers)
        if refused is None:
            await self._app(scope, receive, send_guarded)
            return
        status, error = refused
        await JSONResponse({"error": error}, status)(scope, receive, send_guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[HTTPStatus, str] | None:
        """Status and reason; None: it may pass."""
        host, path, acts = headers.get("host", ""), scope["path"], scope[MAY_ACT]
        if _host_name(f"//{host}") not in LOOPBACK:
            return HTTPStatus.MISDIRECTED_REQUEST, "this page is called by 127.0.0.1 or localhost only"
        if not path.startswith(DATA) and path != METRICS:
            return None
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return HTTPStatus.FORBIDDEN, "another page asked for this"
        if not acts and not _same(_token(headers), self._tokens.look):
            return HTTPStatus.UNAUTHORIZED, "the token is missing or of an earlier start"
        if path != ACTS:
            return None
        if not acts:
            return HTTPStatus.FORBIDDEN, "this page is for looking only: laulima serve --control"
        if scope["method"] != "POST" or headers.get("content-type") != "application/json":
            return HTTPStatus.BAD_REQUEST, "a POST of JSON is what acts"
        if headers.get("origin") not in (f"http://{host}", f"https://{host}"):
            return HTTPStatus.FORBIDDEN, "another page asked for this"
        return None


def _token(headers: Headers) -> str:
    return headers.get("authorization", "").removeprefix("Bearer ")


def _same(given: str, token: str) -> bool:
    """In a time that tells nothing about the token; an empty token is nobody's."""
    return bool(token) and hmac.compare_digest(given.encode(), token.encode())


def _host_name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
