"""Chance by key: every draw depends on the seed and on the name of the thing it is for, never on the order of draws.

So one more host, or a changed policy, does not change the weather of the others. Used by the weather, the network and
the faults; nothing else of the simulator is allowed to be random.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct

_FOUR = Struct("<4Q")
_TO_UNIT = 2.0**-53

Chances = tuple[float, float, float, float]
"""Independent, each in [0, 1)."""


class Draws:
    """Uniform numbers in [0, 1) for one purpose. One digest (about 1 µs) gives four; a `random.Random` costs 10 µs."""

    __slots__ = ("_base", "_prefix")

    def __init__(self, seed: int, purpose: str) -> None:
        self.__setstate__((f"{seed}/{purpose}/",))

    def __getstate__(self) -> tuple[str]:
        return (self._prefix,)

    def __setstate__(self, state: tuple[str]) -> None:
        (self._prefix,) = state
        self._base = blake2b(self._prefix.encode(), digest_size=32)

    def four(self, key: str) -> Chances:
        """Four independent numbers that belong to `key`, the same whenever they are asked for."""
        digest = self._base.copy()
        digest.update(key.encode())
        first, second, third, fourth = _FOUR.unpack(digest.digest())
        return (
            (first >> 11) * _TO_UNIT,
            (second >> 11) * _TO_UNIT,
            (third >> 11) * _TO_UNIT,
            (fourth >> 11) * _TO_UNIT,
        )

    def one(self, key: str) -> float:
        """One number that belongs to `key`."""
        return self.four(key)[0]
