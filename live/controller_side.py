"""The controller as a server uses it, wherever it is: `live/controller_here.py` or `live/controller_away.py`."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from live.outputs import OutputSource
from model.configuration import HostDefinition
from model.controller import Controller
from model.events import HostVerb, OrderHost
from model.resources import Amounts
from model.views import ExplanationView, Status


class ByHost(Struct, frozen=True):
    """A person's order about one host."""

    verb: HostVerb
    name: str
    slots: int = 1
    reason: str = ""
    resources: Amounts | None = None
    """ADD only: what it has beside slots"""
    labels: tuple[str, ...] | None = None
    by: str = ""
    """who orders it, when a server passes it on to its controller; else whoever asks"""


class ControllerSide(OutputSource, Protocol):
    """Everything is called in the loop."""

    machine: Controller
    """one without hosts and jobs, which nobody drives, if the controller is elsewhere"""
    elsewhere: bool
    epoch: int
    """which life of this process speaks to it"""

    def begin(self) -> None:
        """Drive the machine here, or connect to where it is."""

    def open_doors(self) -> None:
        """The machines run: hosts that dial in may. Raises LaulimaError."""

    def define_host(self, definition: HostDefinition) -> None:
        """How a host is reached from now on, if the controller is here."""

    async def told(self) -> Status | None:
        """The status of a controller that is elsewhere; None: it is here."""

    async def order_host(self, given: ByHost) -> str:
        """Give a person's order; what the controller answers. Raises OperatorError when it says no."""

    def script_orders(self, order: OrderHost) -> None:
        """Give a script's order, which the machine answers. Raises OperatorError when it cannot be given."""

    async def explain_host(self, name: str) -> ExplanationView | None:
        """Why a host is in its state; None: there is none of this name."""

    async def explain_attempt(self, job: int, attempt: int) -> ExplanationView | None:
        """What the controller says about an attempt that it has; None: the machines here say all that is known."""

    def last_alarms(self) -> list[str]:
        """What people must be told at each look."""

    def left_behind(self) -> list[str]:
        """What goes on when this process ends, for people."""

    async def leave(self, kill: bool) -> list[str]:
        """The scheduler has said its last words: end, or keep, what is below. Sentences about what could not be
        ended."""

    async def close(self) -> None:
        """Let go of everything."""
