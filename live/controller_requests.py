"""What each verb of a controller's control socket does. Its clients are the command line, and the servers that share it
(`live/controller_away.py`), which ask for what their own people want to know.

Made by `live/controller_program.py`, called by `live/control.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from msgspec import Meta, Struct

from live.clock import monotonic_ns
from live.control import Verb, asked_by, typed
from live.controller_here import ControllerHere
from live.controller_side import ByHost
from live.output_pieces import PIECE_MAX
from live.outputs import Outputs
from live.outward import CONTROLLER, Outward
from live.reloading import ByFile
from live.selection import Selection, at_controller
from live.spool import Stream
from model import view_rows
from model.bounds import Count
from model.errors import OperatorError
from model.events import ForgetSuperior
from model.superiors import peer_of
from model.views import ExplanationView, JobRow, Status

JOBS_MAX = 1000
"""Jobs of one answer at most."""


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No arguments."""


class BySelection(Struct, frozen=True):
    """Jobs of any scheduler; at most `limit`."""

    selection: Selection = Selection()
    limit: Count | None = None


class ByScheduler(Struct, frozen=True):
    name: str


class ByEnd(Struct, frozen=True):
    kill: bool = False


class ByName(Struct, frozen=True):
    name: str
    about: str | None = None


class ByAttempt(Struct, frozen=True):
    """`job`: the scheduler's own number."""

    scheduler: str
    job: int
    attempt: int


class ByPiece(Struct, frozen=True):
    """Bytes of what one attempt wrote. `job`: the scheduler's own number."""

    scheduler: str
    host: str
    job: int
    attempt: int
    stream: Stream
    offset: Annotated[int, Meta(ge=0)] = 0
    size: Annotated[int, Meta(ge=0, le=PIECE_MAX)] = PIECE_MAX


class ControllerRequests:
    """Everything is called in the loop."""

    def __init__(
        self,
        outward: Outward,
        here: ControllerHere,
        outputs: Outputs,
        *,
        status: Callable[[], Status],
        leave: Callable[[bool], Awaitable[str]],
        reload: Callable[[ByFile], Awaitable[dict[str, Any]]],
    ) -> None:
        """`leave(kill)` ends the controller, and returns what was left."""
        self._outward = outward
        self._here = here
        self._outputs = outputs
        self._status = status
        self._leave = leave
        self._reload = reload

    def verbs(self) -> dict[str, Verb]:
        """Every verb by its name."""
        return {
            "status": typed(Nothing, self._do_status),
            "hosts": typed(Nothing, self._do_hosts),
            "jobs": typed(BySelection, self._do_jobs),
            "host": typed(ByHost, self._do_host),
            "explain": typed(ByName, self._do_explain),
            "explain_attempt": typed(ByAttempt, self._do_explain_attempt),
            "output": typed(ByPiece, self._do_output),
            "forget": typed(ByScheduler, self._do_forget),
            "shutdown": typed(ByEnd, self._do_shutdown),
            "reload": typed(ByFile, self._reload),
        }

    async def _do_status(self, given: Nothing) -> Status:
        return self._status()

    async def _do_hosts(self, given: Nothing) -> Any:
        return view_rows.controller_host_rows(self._here.machine, monotonic_ns())

    async def _do_jobs(self, given: BySelection) -> list[JobRow]:
        most = JOBS_MAX if given.limit is None else min(given.limit, JOBS_MAX)
        return view_rows.controller_job_rows(
            self._here.machine, at_controller(self._here.machine, given.selection, most), monotonic_ns()
        )

    async def _do_host(self, given: ByHost) -> dict[str, Any]:
        return {"text": await self._here.order_host(given)}

    async def _do_explain(self, given: ByName) -> ExplanationView:
        found = await self._here.explain_host(given.name)
        if found is None:
            raise OperatorError(
                f"the controller has no host {given.name}", "jobs and tasks are explained by their scheduler's server"
            )
        return found

    async def _do_explain_attempt(self, given: ByAttempt) -> ExplanationView:
        found = view_rows.explain_controller_job(
            self._here.machine, given.scheduler, given.job, given.attempt, monotonic_ns()
        )
        if found is None:
            raise OperatorError(f"attempt {given.attempt} of job {given.job} of {given.scheduler} is not here")
        return found

    async def _do_output(self, given: ByPiece) -> dict[str, Any]:
        superior = self._here.machine.superiors.by_peer.get(peer_of(given.scheduler))
        if superior is None or given.host not in self._here.machine.hosts:
            raise OperatorError(f"the controller knows no scheduler {given.scheduler} or no host {given.host}")
        job, attempt = superior.key_of(given.job, given.attempt)
        piece = await self._outputs.piece(given.host, job, attempt, given.stream, given.offset, given.size)
        return {"data": piece.data, "total": piece.total}

    async def _do_forget(self, given: ByScheduler) -> dict[str, Any]:
        by = asked_by()
        answer = await self._outward.order(CONTROLLER, lambda request: ForgetSuperior(request, given.name, by))
        if not answer.ok:
            raise OperatorError(answer.text)
        return {"text": answer.text}

    async def _do_shutdown(self, given: ByEnd) -> dict[str, Any]:
        return {"text": await self._leave(given.kill)}
