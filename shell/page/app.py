"""The page's web application: which path answers what. Who may ask is decided by `access.py`, before.

    GET  /                    the page itself; /static/… its files: no data, the same for everybody
    GET  /api/access          whether this token may act
    GET  /api/watch           server-sent events: everything, then what is new, at most twice a second
    GET  /api/jobs            ?task= state= host= : unfinished jobs, and those that ended
    GET  /api/explain         ?about= name= : why, and a job's story
    GET  /api/output          ?job= attempt= stream= begin= : what a job wrote
    GET  /metrics             for Prometheus; 0 as `laulima_up` while the server is away
    POST /api/do              {"do", "about", "name", "reason"}: see `ACTIONS`

Made and served by `serving.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from live.history import HistoryQuestion
from model.errors import LaulimaError, NotReachableError, OperatorError
from model.views import HistoryRow, JobRow, Status
from shell import exposition
from shell.page.access import MAY_ACT, METRICS, Guard, Tokens
from shell.page.snapshots import Row
from shell.page.sources import JOBS_MAX, Server
from shell.page.watching import Watching
from shell.wording import clean_lines

STATIC = Path(__file__).parent / "static"
BODY_MAX = 64 * 1024
"""Bytes of one order."""
REASON_MAX = 500
FROM_HERE = "from the page"
"""The reason of an order that gives none."""
LIVE_STATES = ("pending", "running")


class Order(Struct, frozen=True, forbid_unknown_fields=True):
    """`do`: a key of ACTIONS with `about` (job, task, host); `name`: which one."""

    do: str
    about: str
    name: str
    reason: str = ""


def _to_job(verb: str) -> Callable[[Order, str], tuple[str, Row]]:
    return lambda order, reason: (verb, {"selection": {"jobs": [number(order.name)]}, "reason": reason})


def _to_task(verb: str) -> Callable[[Order, str], tuple[str, Row]]:
    return lambda order, reason: (verb, {"task": order.name, "reason": reason})


def _to_host(verb: str) -> Callable[[Order, str], tuple[str, Row]]:
    return lambda order, reason: ("host", {"verb": verb, "name": order.name, "reason": reason})


ACTIONS: dict[tuple[str, str], Callable[[Order, str], tuple[str, Row]]] = {
    ("hold", "task"): _to_task("hold"),
    ("release", "task"): _to_task("release"),
    ("hold", "job"): _to_job("hold"),
    ("release", "job"): _to_job("release"),
    ("kill", "job"): _to_job("kill"),
    ("retry", "job"): _to_job("retry"),
    ("drain", "host"): _to_host("drain"),
    ("on", "host"): _to_host("on"),
    ("off", "host"): _to_host("off"),
    ("retry", "host"): _to_host("retry"),
}
"""(what to do, to what): the verb of the control socket and its arguments. Nothing else can be ordered here."""


def number(name: str) -> int:
    if not (name.isascii() and name.isdigit() and len(name) <= 18):
        raise OperatorError(f"{name!r} is no job's number")
    return int(name)


class Answers(Protocol):
    """What a page shows: a server, or a simulated run."""

    def routes(self) -> list[Route | Mount]: ...
    def life(self, app: Starlette) -> AbstractAsyncContextManager[None]: ...
    def close(self) -> None:
        """End answers that never end by themselves."""


class Page:
    """The answers of one server's page."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.watching = Watching(server)

    def routes(self) -> list[Route | Mount]:
        answers = {
            "access": self.access, "watch": self.watch, "jobs": self.jobs, "explain": self.explain,
            "output": self.output,
        }  # fmt: skip
        return [
            *(Route(f"/api/{name}", told(answer)) for name, answer in answers.items()),
            Route(METRICS, told(self.metrics)),
            Route("/api/do", told(self.act), methods=["POST"]),
            *files(),
        ]

    @contextlib.asynccontextmanager
    async def life(self, app: Starlette) -> AsyncIterator[None]:
        looking = asyncio.create_task(self.watching.run())
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    def close(self) -> None:
        self.watching.close()

    async def access(self, request: Request) -> Response:
        return JSONResponse({"control": request.scope[MAY_ACT], "simulated": False})

    async def watch(self, request: Request) -> Response:
        if self.watching.full:
            return JSONResponse({"error": "too many pages are open"}, HTTPStatus.SERVICE_UNAVAILABLE)
        return StreamingResponse(self.watching.stream(), media_type="text/event-stream")

    async def jobs(self, request: Request) -> Response:
        asked = {name: request.query_params.get(name) for name in ("task", "state", "host")}
        narrowed = {name: value for name, value in asked.items() if value}
        live: list[JobRow] = []
        ended: list[HistoryRow] = []
        troubles: list[str] = []  # one half may be known while the other is not
        try:
            if asked["state"] in (None, "", *LIVE_STATES):
                live = await self.server.jobs(narrowed or {"all": True})
        except NotReachableError as error:
            troubles.append(clean_lines(str(error)))
        try:
            if asked["state"] not in LIVE_STATES:
                outcome = asked["state"] or None
                question = HistoryQuestion(narrowed.get("task"), None, outcome, narrowed.get("host"), JOBS_MAX)
                ended = await self.server.ended(question)
        except NotReachableError as error:
            troubles.append(clean_lines(str(error)))
        return JSONResponse(
            {
                "live": [_live_row(msgspec.to_builtins(row)) for row in live],
                "ended": [_ended_row(row) for row in ended],
                "trouble": "; ".join(troubles),
            }
        )

    async def explain(self, request: Request) -> Response:
        about, name = request.query_params.get("about", ""), request.query_params.get("name", "")
        found = await self.server.explain(about, name, time.time_ns())
        return JSONResponse(msgspec.to_builtins(found))

    async def output(self, request: Request) -> Response:
        given = request.query_params
        attempt, begin = given.get("attempt"), given.get("begin")
        found = await self.server.output(
            number(given.get("job", "")),
            None if attempt is None else number(attempt),
            given.get("stream", "stdout"),
            None if begin is None else number(begin),
        )
        return JSONResponse(msgspec.structs.asdict(found))

    async def metrics(self, _: Request) -> Response:
        shown: Status | None = None
        with contextlib.suppress(NotReachableError):  # which the answer tells
            shown = await self.server.status()
        return Response(exposition.text(exposition.families(shown)), media_type=exposition.CONTENT_TYPE)

    async def act(self, request: Request) -> Response:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > BODY_MAX:
                raise OperatorError(f"an order may have {BODY_MAX} bytes")
        try:
            order = msgspec.json.decode(bytes(body), type=Order)
        except msgspec.MsgspecError as error:
            raise OperatorError(f"this is no order: {error}") from None
        action = ACTIONS.get((order.do, order.about))
        if action is None:
            raise OperatorError(f"{order.do!r} cannot be done to a {order.about!r} from the page")
        verb, arguments = action(order, order.reason.strip()[:REASON_MAX] or FROM_HERE)
        return JSONResponse({"text": await self.server.act(verb, arguments)})


def _live_row(row: Row) -> Row:
    return {**{name: row[name] for name in ("job", "attempt", "task", "item", "state", "host", "command", "why")},
            "for": row["since_ns"] // 1_000_000}  # fmt: skip


def _ended_row(row: HistoryRow) -> Row:
    names = ("job", "attempt", "task", "item", "host", "outcome", "exit_code", "signal", "command", "reason", "final")
    return {
        **{name: getattr(row, name) for name in names},
        "ended": row.over_at // 1_000_000,
        "ran": row.ran_for_ns // 1_000_000,
        "waited": row.waited_ns // 1_000_000,
    }


def files() -> list[Route | Mount]:
    """The page and its parts, the same whatever it shows."""

    async def index(_: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    return [Route("/", index), Mount("/static", StaticFiles(directory=STATIC))]


def told(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The answer, or the error as data: what went wrong and the way out."""

    async def call(request: Request) -> Response:
        try:
            return await answer(request)
        except LaulimaError as error:
            away = isinstance(error, NotReachableError)
            status = HTTPStatus.SERVICE_UNAVAILABLE if away else HTTPStatus.CONFLICT
            return JSONResponse({"error": clean_lines(str(error)), "hint": clean_lines(error.hint)}, status)

    return call


def application(page: Answers, tokens: Tokens) -> ASGIApp:
    """The whole application, guarded."""
    return Guard(Starlette(routes=page.routes(), lifespan=page.life), tokens)
