"""What the tasks would start when, from the state as it is now. Called by `live/requests.py` for `plan`.

There is no second set of rules: the tasks' own machine (`spawning.py`) is copied and runs ahead, from one due time to
the next. What nobody can know is left out: jobs end at once, sources show nothing new, and what scripts would answer
is taken as yes.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from model.behaviour import DECLARED
from model.effects import AskSource, Effect
from model.events import SourceAnswered
from model.explain import Reason
from model.job import SECOND, JobSpec
from model.spawning import Spawning
from model.task import DoneSource
from model.task_state import TaskState
from model.views import PlanRow

AHEAD_MAX_NS = 366 * 24 * 3600 * SECOND
"""How far ahead is looked at most."""
STARTS_MAX = 20_000
"""Starts that are looked for at most, all tasks together: some 0.2 s."""
STARTS_OF_TASK_MIN = 10
"""So many of each task, however many tasks there are."""
TIMES_SHOWN = 10
"""Starts of a task whose times are told, the first ones."""
_OWN = frozenset({Reason.PERIOD, Reason.SKIPPED, Reason.NO_ITEM, Reason.BEHAVIOUR})
"""Reasons that say nothing but that it is between two due times."""


class _Starts(Struct):
    count: int = 0
    last_at: int = 0
    times: list[int] = field(default_factory=list)


class Plan:
    """One look ahead. It is made in a moment from the living machine, and shares nothing with it: `run` may be called
    elsewhere."""

    def __init__(self, spawning: Spawning, now: int) -> None:
        """`now`: on the clock of `spawning`."""
        self._now = now
        self._why = {name: _why(spawning, task, now) for name, task in spawning.tasks.items()}
        self._items = {name: len(task.items) for name, task in spawning.tasks.items()}
        self._starts = {name: _Starts() for name in spawning.tasks}
        self._effects: list[Effect] = []
        self._ahead = spawning.foreseen(self._note, self._effects, now)
        self._most = max(STARTS_OF_TASK_MIN, STARTS_MAX // max(1, len(self._starts)))

    def _note(self, task: TaskState, _: JobSpec, __: int, now: int) -> None:
        task.made += 1
        starts, at = self._starts[task.definition.name], now + self._ahead.wall_offset_ns
        starts.count += 1
        starts.last_at = at
        if len(starts.times) < TIMES_SHOWN:
            starts.times.append(at)

    def run(self, for_ns: int) -> list[PlanRow]:
        """What would start until `for_ns` from now, in the order of the first starts; tasks that start nothing come
        last."""
        until, ahead = self._now + min(for_ns, AHEAD_MAX_NS), self._ahead
        full: dict[str, None] = {}
        while (due := ahead.next_due()) <= until:
            now = max(due, self._now)
            ahead.advance(now)
            for effect in self._effects:
                if isinstance(effect, AskSource):
                    quiet = SourceAnswered(effect.task, effect.number, quiet_ns=until - now + 1)
                    ahead.answered(quiet, now)
            self._effects.clear()
            for name in [name for name in ahead.tasks if self._starts[name].count >= self._most]:
                ahead.forget(name)
                full[name] = None
        rows = [self._row(name, full) for name in self._starts]
        return sorted(rows, key=lambda row: (row.first_at is None, row.first_at))

    def _row(self, name: str, full: Mapping[str, None]) -> PlanRow:
        starts = self._starts[name]
        return PlanRow(
            name,
            starts.count,
            name in full,
            starts.times[0] if starts.times else None,
            starts.last_at if starts.times else None,
            tuple(starts.times),
            self._items[name],
            self._why[name],
        )


def _why(spawning: Spawning, task: TaskState, now: int) -> str:
    """What keeps the task from starting now, and what else its starts depend on."""
    found = spawning.explain(task, now)
    said = [] if found.reason in _OWN else [found.text]
    source = task.definition.source
    if isinstance(source, DoneSource):
        said.append(f"a job for each item that {source.task} finishes")
    elif source is not None:
        said.append("a job for each item that its source shows")
    elif task.behaviour is not DECLARED:
        said.append("if its script says so each time")
    return "; ".join(said)
