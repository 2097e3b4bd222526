"""The tasks that scripts define, by name, and what the scheduler is told of them.

From a task's settings come a `JobSpec` for each job, and the `TaskDefinition` that the scheduler polls by; a new one
is given only when something changed that the scheduler acts on. One object for each script machine (`Language.tasks`).
Not here: the settings (`task_settings.py`), the block `task … end` (`defining.py`), running macros (`machine.py`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from model.behaviour import Behaviour
from model.job import SECOND, HostWish, JobSpec
from model.task import Limits, Missed, Periods, TaskDefinition
from shell.language.behaviours import PreparedBehaviour, ScriptedBehaviour
from shell.language.calls import Call, Failure
from shell.language.defining import define
from shell.language.task_settings import ScriptTask, TaskDefaults
from shell.language.tree import TaskBlock

if TYPE_CHECKING:
    from shell.language.language import Language

WANTED_WAIT_NS = 10 * SECOND
"""How long a job waits for the host that it would like, before any host will do (historical)."""
LOCAL_TIMEOUT_NS = SECOND
"""The run time of a local job whose task says nothing about it (historical)."""


class ScriptTasks:
    """The tasks by name, in the order in which they were defined or opened last."""

    def __init__(
        self,
        language: Language,
        behaviours: dict[str, Behaviour],
        *,
        controller_timeout_ignored: bool = False,
        jitter: float = 0.0,
    ) -> None:
        """`behaviours` is the very dictionary that the scheduler looks into when a task is defined."""
        self._behaviours = behaviours
        self._scripted = ScriptedBehaviour(self, always_later=jitter > 0)
        self._tasks: dict[str, ScriptTask] = {}
        self._deleted: dict[str, ScriptTask] = {}
        """kept for the ends of the jobs that they still have"""
        self.defaults = TaskDefaults()
        self.wanted_wait_ns = WANTED_WAIT_NS
        """`controller parameters wanthost_wait` changes it"""
        self.controller_timeout_ignored = controller_timeout_ignored
        self._language = language
        self._directory = language.directory

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def values(self) -> Iterator[ScriptTask]:
        return iter(self._tasks.values())

    def get(self, name: str) -> ScriptTask | None:
        return self._tasks.get(name)

    def add(self, task: ScriptTask) -> None:
        """Add a task, or move it to the end of the list."""
        self._tasks.pop(task.name, None)
        self._deleted.pop(task.name, None)
        self._tasks[task.name] = task

    def delete(self, name: str) -> bool:
        """Take a task off the list (the scheduler is told by an order); whether there was one. Jobs of it that run
        still find its exit macros."""
        task = self._tasks.pop(name, None)
        if task is not None:
            self._deleted[name] = task
        return task is not None

    def of_job(self, name: str) -> ScriptTask | None:
        """The task of a job that has ended, deleted or not."""
        return self._tasks.get(name) or self._deleted.get(name)

    def put_behaviour(self, name: str, behaviour: Behaviour) -> None:
        """Let the scheduler find this behaviour when a task of that name is defined."""
        self._behaviours[name] = behaviour

    def new(self, name: str) -> ScriptTask:
        """A task with the defaults of now; not in the list yet."""
        start = self.defaults
        return ScriptTask(name, start.exec_ns, start.poll_ns, start.timeout_ns, start.pending_ns)

    def declare(self, definition: TaskDefinition) -> ScriptTask:
        """A task of the configuration, whose statements run here."""
        periods = definition.periods
        task = ScriptTask(
            definition.name,
            periods.exec_ns,
            periods.poll_ns,
            periods.timeout_ns,
            periods.pending_ns,
            windows=definition.windows,
            declared=definition,
            given=definition,
        )
        self.put_behaviour(definition.name, PreparedBehaviour())
        self.add(task)
        return task

    def undeclare(self, name: str) -> None:
        """The configuration's task of this name has no statements (any more)."""
        task = self._tasks.get(name)
        if task is not None and task.declared is not None:
            del self._tasks[name]
            del self._behaviours[name]

    def define(self, call: Call, block: TaskBlock) -> Generator[Any, Any, bool]:
        """Carry out a block `task NAME … end`; a command that waits (see `calls.py`), for the interpreter."""
        return define(self, call, block)

    # what leaves

    @property
    def directory(self) -> str | None:
        """Where jobs run: where `cd` went; None: the directory of the configuration."""
        return None if self._language.directory == self._directory else self._language.directory

    def timeout_ns(self, task: ScriptTask) -> int:
        """The longest run of a job that is made now; 0: no limit."""
        if task.is_local:
            return LOCAL_TIMEOUT_NS if task.timeout_ns is None else task.timeout_ns
        return 0 if task.timeout_ns is None or self.controller_timeout_ignored else task.timeout_ns

    def specification(self, task: ScriptTask, item: str | None = None) -> JobSpec:
        """A job as the settings are now. Raises `Failure` when no command was said."""
        if not task.command:
            raise Failure(f"task {task.name}: no command was given", "say `command …` in the task or in its task.exec")
        return JobSpec(
            task=task.name,
            command=task.command,
            directory=self.directory,
            item=item,
            nice=task.nice,
            host=self._wish(task),
            timeout_ns=self.timeout_ns(task),
            pending_ns=task.pending_ns,
            block=task.block,
            stdout=task.stdout,
            stderr=task.stderr,
            poll_ns=task.poll_ns,
            options=task.options,
        )

    def _wish(self, task: ScriptTask) -> HostWish:
        """Where a job that is made now wants to run; the controller's spelling of the host counts."""
        wish = task.wish(self.wanted_wait_ns)
        known = None if wish.name is None or task.is_local else self._language.known_host(wish.name)
        return wish if known is None or known == wish.name else replace(wish, name=known)

    def definition(self, task: ScriptTask) -> TaskDefinition:
        """What the scheduler needs to know. What an exec macro may say anew for each job is left out, so that it is
        told only of changes that it acts on."""
        dynamic = task.exec_macro is not None
        return TaskDefinition(
            name=task.name,
            command=() if dynamic else task.command or (),
            nice=task.nice,
            host=HostWish() if dynamic else task.wish(self.wanted_wait_ns),
            periods=Periods(task.exec_ns, task.poll_ns, 0 if dynamic else self.timeout_ns(task), task.pending_ns),
            limits=Limits(task.npending, task.nmax and task.nmax + task.statistics.jobs_before),
            windows=task.windows,
            missed=Missed.ELASTIC,
            stdout=None if dynamic else task.stdout,
            stderr=None if dynamic else task.stderr,
            active=task.active,
        )

    def changed_definition(self, task: ScriptTask) -> TaskDefinition | None:
        """The definition, if it is not what the scheduler was told last; it counts as told then."""
        definition = self.definition(task) if task.declared is None else _redeclared(task, task.declared)
        if definition == task.given:
            return None
        task.given = definition
        if task.declared is None:
            self.put_behaviour(task.name, self._scripted)
        return definition


def _redeclared(task: ScriptTask, declared: TaskDefinition) -> TaskDefinition:
    """A task of the configuration with what statements said otherwise."""
    limits = declared.limits
    said = {
        "active": task.active,
        "windows": task.windows,
        "limits": Limits(
            task.npending if "npending" in task.said else limits.in_flight,
            task.nmax if "nmax" in task.said else limits.total,
        ),
    }
    changes = {name: said[name] for name in said if name in task.said or name == "limits"}
    periods = Periods(task.exec_ns, task.poll_ns, task.timeout_ns or 0, task.pending_ns)
    return replace(declared, periods=periods, **changes)
