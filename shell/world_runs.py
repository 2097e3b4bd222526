"""What a process does that runs worlds of one scenario: told once what they are, then a seed at a time.

Called by `shell/many_worlds.py`, in this process or in spawned ones. Imports as little as it can: each process pays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from model.configuration import Configuration
from sim.many import Drawn, draw
from sim.scenario import Scenario

if TYPE_CHECKING:
    from shell.prepared import Prepared


class Arm(Struct):
    """One scenario. `prepared`: what makes its feeds, where a job log is replayed."""

    configuration: Configuration
    scenario: Scenario
    scripted: bool = False
    prepared: Prepared | None = None


class Runs:
    """The worlds of this process."""

    arms: Sequence[Arm] = ()
    names: Sequence[str] = ()
    warm_up_ns: int = 0

    @classmethod
    def begin(cls, arms: Sequence[Arm], names: Sequence[str], warm_up_ns: int) -> None:
        """Once, before the first."""
        cls.arms, cls.names, cls.warm_up_ns = arms, names, warm_up_ns

    @classmethod
    def run(cls, arm_and_seed: tuple[int, int]) -> Drawn:
        """The world of this arm and seed."""
        number, seed = arm_and_seed
        arm = cls.arms[number]
        scripting = None
        if arm.scripted:
            from shell.prepared import scripting_of  # noqa: PLC0415 - the language, for scripts only

            scripting = scripting_of(arm.configuration, arm.scenario, quiet=True)
        feed = None if arm.prepared is None else arm.prepared.feed(seed)
        return draw(
            arm.configuration, arm.scenario, seed, cls.names,
            scripting=scripting, feed=feed, warm_up_ns=cls.warm_up_ns,
        )  # fmt: skip
