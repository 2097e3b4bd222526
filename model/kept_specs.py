"""Specifications of jobs that wait, kept small: what those of one task have in common is there once.

A million jobs of a task differ in their item and in the words of their commands that hold it; a `JobSpec` of its own
for each would be three quarters of what each takes. Used by the scheduler for jobs that stand in its lines
(`lines.py`), and by recovery's state for jobs that were never given out (`restored_jobs.py`). Values only: what comes
out is equal to what went in.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any, Final

from msgspec import Struct, structs

from model.job import JobSpec

OWN: Final = frozenset(
    {"item", "command", "arguments", "environment", "directory", "block", "stdout", "stderr", "options"}
)
"""Fields in which jobs of one task may differ: those whose words may hold their item."""
TASKS_MAX: Final = 10_000
"""Tasks of which the last specification is remembered; with one more all are forgotten."""
_FIELDS: Final = JobSpec.__struct_fields__


class Shared:
    """What some specifications have in common: all that is in `spec`, but for the fields `own`."""

    __slots__ = ("_rest", "own", "spec")

    def __init__(self, spec: JobSpec, own: tuple[str, ...]) -> None:
        self.spec = spec
        self.own = own
        self._rest = _reads(own)[1](spec)

    def holds(self, spec: JobSpec) -> bool:
        """Whether it is the same but for the fields `own`."""
        return bool(_reads(self.own)[1](spec) == self._rest)

    def own_of(self, spec: JobSpec) -> Any:
        """The value of the one own field, or a tuple of those of several. There is one at least."""
        return _reads(self.own)[0](spec)


_Read = Callable[[JobSpec], Any]


@cache
def _reads(own: tuple[str, ...]) -> tuple[_Read, _Read]:
    """What reads these fields of a specification, and what reads all others."""
    return attrgetter(*own or _FIELDS), attrgetter(*[name for name in _FIELDS if name not in own])


class KeptSpec(Struct, frozen=True, gc=False):
    """One specification: what it shares, and its values of the fields `shared.own`."""

    shared: Shared
    own: Any

    def spec(self) -> JobSpec:
        """As it was."""
        names = self.shared.own
        values = (self.own,) if len(names) == 1 else self.own
        return structs.replace(self.shared.spec, **dict(zip(names, values, strict=True)))


Kept = JobSpec | KeptSpec
"""A specification that is like no other is kept as it is, and so is one that many are equal to."""


def spec_of(kept: Kept) -> JobSpec:
    """The specification."""
    return kept if type(kept) is JobSpec else kept.spec()  # type: ignore[union-attr]  # mypy knows no `type(…) is`


def common_of(kept: Kept) -> JobSpec:
    """The specification, or one that differs from it in the fields `OWN` only: without making it anew."""
    return kept if type(kept) is JobSpec else kept.shared.spec  # type: ignore[union-attr]  # as above


class SpecKeeper:
    """Makes them small, by the last one of the same task."""

    def __init__(self) -> None:
        self._last: dict[str, Shared] = {}

    def keep(self, spec: JobSpec) -> Kept:
        """The same, small if it is like the one before it."""
        shared = self._last.get(spec.task)
        if shared is None:
            if len(self._last) >= TASKS_MAX:
                self._last.clear()
            self._last[spec.task] = Shared(spec, ())
            return spec
        if not shared.holds(spec):
            own = tuple([name for name in _FIELDS if name in shared.own or not _same(spec, shared.spec, name)])
            if not OWN.issuperset(own):
                self._last[spec.task] = Shared(spec, ())
                return spec
            shared = self._last[spec.task] = Shared(spec, own)
        return KeptSpec(shared, shared.own_of(spec)) if shared.own else shared.spec


def _same(one: JobSpec, other: JobSpec, name: str) -> bool:
    return bool(getattr(one, name) == getattr(other, name))
