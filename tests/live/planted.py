"""Planted bugs that only a kernel shows (process trees, process ids): each replaces what decides in `live/`.

Like `tests/sim/mutants.py`, whose numbers they share; `tests/live/test_planted.py` has real processes find them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import pytest
from msgspec import Struct

from live import processes
from live.trees import RunningJob, Trees

Patch = pytest.MonkeyPatch


class LiveMutant(Struct, frozen=True):
    """`number`: its name in docs/reliability.md. `text`: the bug in one clause. `promise`: what is seen broken."""

    number: int
    text: str
    promise: str
    plant: Callable[[Patch], None]


def kill_only_the_pid(patch: Patch) -> None:
    def members(_: Trees, job: RunningJob, rows: dict[int, processes.Row]) -> list[int]:
        return [job.pid] if job.pid in rows else []

    def settle(_: Trees, ended: Sequence[RunningJob], now: int) -> list[RunningJob]:
        return list(ended)

    patch.setattr(Trees, "_members", members)
    patch.setattr(Trees, "settle", settle)


def know_a_process_by_its_pid_alone(patch: Patch) -> None:
    def send(pid: int, started: int, number: int) -> bool:
        os.kill(pid, number)
        return True

    patch.setattr(processes, "send", send)


LIVE_MUTANTS: tuple[LiveMutant, ...] = (
    LiveMutant(21, "only the main process of a job is killed", "P6", kill_only_the_pid),
    LiveMutant(
        22, "a process is known by its number alone, not by its start as well", "P6", know_a_process_by_its_pid_alone
    ),
)
