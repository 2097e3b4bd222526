"""Fair share between the superiors of one controller: whose job goes next. Pure arithmetic; owned by `placing.py`.

Start-time fair queueing (Goyal, Vin, Cheng 1997) over dispatched slots: a gift costs its superior `slots / share`, and
of the superiors whose jobs can go now the one with the least service goes first; among equals the one with the smaller
number. Slots are counted, not the time for which they are held (nobody knows that time beforehand): a superior whose
jobs are long is held by its `in_flight_max`. Who had nothing to ask for gets nothing for it later; who could not use a
turn catches up, by `CATCH_UP_SLOTS` at most. With one superior nothing of this makes a difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from model.errors import LaulimaError

if TYPE_CHECKING:
    from model.superiors import Superior

SHARE_MAX = 1000
"""The largest weight of a superior, against 1."""
UNIT = 1 << 20
"""What a slot costs at share 1: service is in whole numbers, and what rounding loses is less than 0.1 %."""
CATCH_UP_SLOTS = 100
"""A superior whose jobs fitted nowhere while others got slots has so many of these (for each 1 of its share) to its
credit at most: so nobody stands still for long when it can go on."""


class TermsError(LaulimaError):
    """A superior asks for something that no controller gives."""


class Terms(Struct, frozen=True, array_like=True):
    """On what terms a superior uses the controller. Raises `TermsError` when they make no sense."""

    share: int = 1
    """its weight: one with 2 gets twice as many slots as one with 1, while both ask for them"""
    pending_max: int = 100_000
    """its jobs that wait here; one more is refused: OVERLOADED"""
    in_flight_max: int = 0
    """its jobs that are at hosts; others wait; 0: any number"""

    def __post_init__(self) -> None:
        if not 1 <= self.share <= SHARE_MAX:
            raise TermsError(f"share is {self.share}", f"a whole number from 1 to {SHARE_MAX}")
        for name, value in (("pending_max", self.pending_max), ("in_flight_max", self.in_flight_max)):
            if value < 0:
                raise TermsError(f"{name} is {value}", "a whole number, 0 or more")


class Sharing:
    """The service of all superiors, on one scale."""

    __slots__ = ("_reached",)

    def __init__(self) -> None:
        self._reached = 0
        """the service at which the last gift began, or the largest of them: who comes now begins there"""

    def awaken(self, superior: Superior) -> None:
        """It has jobs that wait, and had none."""
        if superior.service < self._reached:
            superior.service = self._reached

    def charge(self, superior: Superior, slots: int) -> None:
        """A job of it was given to a host."""
        share, begun = superior.terms.share, superior.service
        if begun > self._reached:
            self._reached = begun
        else:
            begun = max(begun, self._reached - CATCH_UP_SLOTS * UNIT)
        superior.service = begun + (slots or 1) * UNIT // share
