"""The page of a simulated run: the same page, asked for moments of a recording instead of a server. For looking only.

    GET  /api/run             from when to when, and what it is
    GET  /api/frame           ?at= : everything at that moment (ms since the start)
    GET  /api/explain         ?about= name= at= : how it was then; of a job, its story until then
    GET  /api/jobs            ?task= : the jobs that were not final then

Made by `shell/commands/page.py`, served by `serving.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from model.errors import OperatorError
from model.views import ExplanationView
from shell.page.app import files, number, told
from shell.page.recording import Recording, moment_text
from shell.page.snapshots import Row
from shell.page.sources import JOBS_MAX


class Playback:
    """The answers of one recording's page."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._one = asyncio.Lock()
        """A frame takes a processor; two at one time take no less."""

    def routes(self) -> list[Route | Mount]:
        answers = {
            "access": self.access, "run": self.run, "frame": self.frame, "explain": self.explain, "jobs": self.jobs,
        }  # fmt: skip
        return [*(Route(f"/api/{name}", told(answer)) for name, answer in answers.items()), *files()]

    @contextlib.asynccontextmanager
    async def life(self, app: Starlette) -> AsyncIterator[None]:
        yield

    def close(self) -> None:
        """Nothing here lasts."""

    async def access(self, request: Request) -> Response:
        return JSONResponse({"control": False, "simulated": True})

    async def run(self, request: Request) -> Response:
        return JSONResponse({"begin": 0, "end": self._recording.end_ms, "log": str(self._recording.path)})

    async def frame(self, request: Request) -> Response:
        at_ms = number(request.query_params.get("at", ""))
        async with self._one:
            frame = await asyncio.to_thread(self._recording.frame, at_ms)
        return Response(msgspec.json.encode(frame), media_type="application/json")

    async def explain(self, request: Request) -> Response:
        about, name = request.query_params.get("about", ""), request.query_params.get("name", "")
        at_ms = number(request.query_params.get("at", ""))
        async with self._one:
            found = await asyncio.to_thread(self._explained, about, name, at_ms)
        return JSONResponse(msgspec.to_builtins(found))

    def _explained(self, about: str, name: str, at_ms: int) -> ExplanationView:
        moment = self._recording.moment(at_ms)
        title = f"{about} {name} on {moment_text(at_ms)}"
        if about == "host" and (host := moment.hosts.get(name)) is not None:
            why = host.why or f"{host.busy} of {host.slots} slots in use"
            since_ns = (at_ms - host.since_ms) * 1_000_000
            return ExplanationView(title, host.state, (why,), since_ns, None, ())
        if about == "task" and (task := moment.tasks.get(name)) is not None:
            why = f"{task.pending} pending, {task.running} running, {task.done} ended well, {task.failed} did not"
            return ExplanationView(title, "on", (why,), 0, None, ())
        story = self._recording.story(number(name), at_ms) if about == "job" else []
        if not story:
            raise OperatorError(f"there is no {about} {name} at this moment of the run")
        _, running = moment.jobs.get(int(name), ("", None))
        state = "final" if running is None else "running" if running else "pending"
        return ExplanationView(title, state, (story[-1].partition("  ")[2],), 0, None, (), tuple(story))

    async def jobs(self, request: Request) -> Response:
        at_ms = number(request.query_params.get("at", ""))
        task = request.query_params.get("task")
        async with self._one:
            moment = await asyncio.to_thread(self._recording.moment, at_ms)
        found = [
            _job_row(job, name, running=running) for job, (name, running) in moment.jobs.items() if task == name
        ]  # fmt: skip
        return JSONResponse({"live": found[:JOBS_MAX], "ended": [], "trouble": ""})


def _job_row(job: int, task: str, *, running: bool) -> Row:
    return {
        "job": job, "attempt": 0, "task": task, "item": None, "state": "running" if running else "pending", "host": "",
        "command": "", "why": "", "for": None,
    }  # fmt: skip
