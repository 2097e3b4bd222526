"""An attempt as the controller holds it, from its arrival to the acknowledgement of its end."""

from __future__ import annotations

from model.host import Host
from model.job import AttemptKey, JobSpec, Report
from model.states import State, check_move


class ControllerJobState(State):
    """Where an attempt is, as the controller knows it."""

    QUEUED = "queued"
    GIVEN = "given to its host"
    AT_HOST = "waits on its host"
    RUNNING = "running"
    CANCELLING = "being ended"
    ENDED = "ended"


_S = ControllerJobState
CONTROLLER_MOVES: dict[ControllerJobState, frozenset[ControllerJobState]] = {
    _S.QUEUED: frozenset({_S.GIVEN, _S.ENDED}),
    _S.GIVEN: frozenset({_S.AT_HOST, _S.RUNNING, _S.CANCELLING, _S.ENDED}),
    _S.AT_HOST: frozenset({_S.RUNNING, _S.CANCELLING, _S.ENDED}),
    _S.RUNNING: frozenset({_S.CANCELLING, _S.ENDED}),
    _S.CANCELLING: frozenset({_S.ENDED}),
    _S.ENDED: frozenset(),
}
"""An attempt is forgotten from ENDED, by the scheduler's acknowledgement."""


class ControllerJob:
    """One attempt. `queued`, `slots` and `key` are what `matching.py` reads."""

    __slots__ = (
        "accepted",
        "anywhere",
        "arrived_ns",
        "host",
        "key",
        "queued",
        "report",
        "since_ns",
        "slots",
        "spec",
        "state",
        "waited_ns",
    )

    def __init__(self, key: AttemptKey, spec: JobSpec, waited_ns: int, now: int) -> None:
        self.key = key
        self.spec = spec
        self.slots = spec.slots
        self.waited_ns = waited_ns
        self.arrived_ns = now
        self.since_ns = now
        self.state = ControllerJobState.QUEUED
        self.queued = True
        self.anywhere = False
        """whether any host will do"""
        self.accepted = False
        """whether the scheduler was told that it is here"""
        self.host: Host | None = None
        self.report: Report | None = None

    def move(self, state: ControllerJobState, now: int) -> None:
        """Change the state, by the table."""
        if state not in CONTROLLER_MOVES[self.state]:
            check_move(CONTROLLER_MOVES, self.state, state, f"attempt {self.key} at the controller")
        self.state = state
        self.since_ns = now
