"""A scheduler whose tasks look at sources that never have anything new: for what a look costs, in calls and in time.

Called by `test_cost_of_decisions.py` and by the benchmark of growth.
"""

from __future__ import annotations

from model.configuration import ClusterDefinition
from model.effects import AskSource
from model.events import SourceAnswered
from model.scheduler import Scheduler
from model.task import FilesSource, Periods, TaskDefinition


class LookingTasks:
    """So many tasks, each of which looks once in `period_ns`."""

    def __init__(self, tasks: int, period_ns: int) -> None:
        definitions = tuple(
            TaskDefinition(f"task{number}", source=FilesSource(f"in{number}/*"), periods=Periods(exec_ns=period_ns))
            for number in range(tasks)
        )
        self._scheduler = Scheduler(1, 0, ClusterDefinition(), definitions)

    def look(self, times: int) -> None:
        """At least so many looks, one after the other."""
        looks = 0
        while looks < times:
            now = self._scheduler.next_due()
            assert now is not None
            self._scheduler.advance(now)
            for effect in self._scheduler.drain():
                if type(effect) is AskSource:
                    looks += 1
                    self._scheduler.receive(SourceAnswered(effect.task, effect.number, ()), now)
