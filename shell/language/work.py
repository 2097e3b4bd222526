"""What a run of the script machine is for: the lines of a session, a task's preparation, its reaction to an end.

Each kind gives the steps that are run (a generator of effects, see `calls.py`) and says what follows when they ended,
or when the machine ended them. Made and driven by `machine.py` only. Not here: the order of runs, and what statements
mean.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from msgspec.structs import replace

from model.behaviour import DECLARED, NO_REACTION, Reaction, Skip
from model.effects import Notice, Prepare, React
from model.events import Prepared, Reacted, ScriptsRan
from model.job import JobSpec
from model.records import ScriptRecord
from model.scripting import (
    MAIN_SESSION,
    FetchOutput,
    FileUsed,
    FileVerb,
    Give,
    OutputFetched,
    RunFile,
    SessionRan,
    SessionText,
    UseFile,
)
from shell.language.behaviours import handler_to_run, prepared_job, static_job
from shell.language.calls import SessionEnds
from shell.language.compiling import compile_body, compile_text
from shell.language.defining import announce
from shell.language.interpreter import run_body
from shell.language.job_variables import JobVariables
from shell.language.language import TELL_AGAIN_NS, Language
from shell.language.parsing import parse
from shell.language.runs import Run, RunKind, Signal
from shell.language.task_settings import ScriptTask

FAILING = (Signal.FAILED, Signal.BROKEN)
"""How statements end that did not succeed."""
Steps = Generator[Any, Any, Any]


class Work:
    """One run. `answer` is given to `steps` when it goes on."""

    undone_when_stopped = True
    """its changes of queues and books are taken back when it does not end by itself"""
    text: SessionText | RunFile | None = None
    """what a session gave"""

    def __init__(self, language: Language, run: Run, steps: Steps) -> None:
        self.language = language
        self.run = run
        self.number = run.number
        self.steps = steps
        self.answer: Any = None
        self.waits_for: type | None = None
        self.request = 0
        """of the order whose answer it waits for"""
        self.turn = 0
        """statements since it was taken up"""
        self.recorded_at = 0
        """the same when it was recorded last"""
        self.has_job_variables = False
        language.recorder.open(run, undone=self.undone_when_stopped)

    def ended(self, value: Any) -> None:
        """The steps are over; `value` is what they returned."""
        raise NotImplementedError

    def stopped(self, reason: str) -> None:
        """The run was ended from outside, and why."""
        raise NotImplementedError

    def overdue(self) -> str:
        """Why a run is ended whose time is over."""
        doing = f" (waited for {_WAITED[self.waits_for.__name__]})" if self.waits_for is not None else ""
        return f"did not end in time{doing}"

    def install(self) -> None:
        """Set the job variables."""

    def put_away(self) -> None:
        """Another reaction goes on while this one waits: keep what is in the queues of its output."""

    def clear(self) -> None:
        """The run is over: its job variables' queues are emptied."""

    def flush(self) -> None:
        """Others may go on now: have recorded what counts already."""

    def forgotten(self) -> None:
        """The run is over, and nobody wants to know of it."""
        raise NotImplementedError

    def _record(self, changes: tuple[ScriptRecord, ...]) -> None:
        if changes:
            self.language.effects.append(Give("scheduler", ScriptsRan(changes)))


_WAITED = {
    "Executed": "a shell line",
    "FileUsed": "a file",
    "OutputFetched": "the output of a job",
    "Answer": "the answer to an order",
    "Pause": "a sleep",
}


class SessionRun(Work):
    """A file or some lines of a session."""

    undone_when_stopped = False

    def flush(self) -> None:
        self._record(self.language.recorder.flush(self.run))

    def forgotten(self) -> None:
        self._record(self.language.recorder.close(self.run))

    def __init__(self, language: Language, number: int, name: str, text: SessionText | RunFile, line: int) -> None:
        """`line`: which line of the session the text begins with."""
        self._line = line
        run = Run(language, number, text.session, RunKind.SESSION)
        self.text: SessionText | RunFile = text
        self._name = name
        self._more = False
        super().__init__(language, run, self._steps())

    def _steps(self) -> Generator[Any, Any, bool]:
        text = self.text
        if text.arguments or isinstance(text, RunFile):
            self._set_arguments()
        if isinstance(text, RunFile):
            answer = yield UseFile(self.number, FileVerb.READ, text.path)
            assert isinstance(answer, FileUsed)
            if not answer.ok:
                self.language.complain(self.run, f"cannot read {text.path}: {answer.error}")
                return False
            body = compile_text(answer.text, self.language.shown_path(text.path))
        else:
            script = parse(text.text, self._name, first_line=self._line, prompt=text.session != MAIN_SESSION)
            if any(problem.unfinished for problem in script.problems):
                self._more = True
                return False
            body = compile_body(script.body)
        signal = yield from run_body(self.language, self.run, body)
        if signal in FAILING and isinstance(text, RunFile):
            self._tell_break()
        return signal not in FAILING

    def _tell_break(self) -> None:
        """A `break` says nothing; where it ends a file, somebody looks for the place."""
        failure = self.run.failure
        if failure is not None and not failure.text:
            self.language.complain(self.run, f"{failure.at}: `break` ended the script")

    def _set_arguments(self) -> None:
        variables = self.language.variables
        for place, word in enumerate(self.text.arguments):
            variables[f"argv:{place}"] = word
        variables["argv:n"] = len(self.text.arguments)
        if isinstance(self.text, RunFile):
            variables["SCRIPT_NAME"] = self.text.path

    def ended(self, value: Any) -> None:
        self.forgotten()
        status = value.status if isinstance(value, SessionEnds) else None
        ok = status is not None or bool(value)
        text = self.text
        self.language.effects.append(SessionRan(text.session, text.number, ok, self._more, status))

    def stopped(self, reason: str) -> None:
        self.forgotten()
        text = self.text
        self.language.complain(self.run, f"{self.run.where()}: {reason}")
        self.language.effects.append(SessionRan(text.session, text.number, ok=False))


class TaskRun(Work):
    """What preparations and reactions have in common. `task` is None when no script defines it any more."""

    def __init__(self, language: Language, number: int, name: str, steps: Steps, *, may_set: bool) -> None:
        """`may_set`: whether `command`, `options`, … act on the task."""
        self.task = language.tasks.get(name) if may_set else language.tasks.of_job(name)
        self.name = name
        run = Run(language, number, MAIN_SESSION, RunKind.TASK)
        if may_set:
            run.task = self.task
        super().__init__(language, run, steps)
        self._changes: tuple[ScriptRecord, ...] = ()
        """what it changed, to be recorded with its answer"""

    def _count_failure(self, what: str) -> str:
        """Note the failed line; its place, for people."""
        failure = self.run.failure
        if failure is None:
            return ""
        place = f"{failure.at.file}:{failure.at.line}"
        if self.task is not None and failure.text:
            line = self.task.count_failure(place, failure.text)
            now = self.language.now_ns
            if line.told_ns is None or now - line.told_ns >= TELL_AGAIN_NS:
                line.told_ns = now
                times = f" ({line.count} times so far)" if line.count > 1 else ""
                self._notice("warning", f"{what} failed at {failure.at}: {failure.text}{times}")
        return place

    def _notice(self, level: str, text: str) -> None:
        self.language.effects.append(Notice(level, f"task {self.name}", text))

    def _fault(self, reason: str) -> str:
        """The run did not end by itself: take back what it did to queues and books."""
        self._changes = self.language.recorder.undo(self.run)
        text = f"{reason}, at {self.run.where()}"
        self.language.complain(self.run, f"task {self.name}: {text}")
        return text

    def _declared_variables(self, item: str | None, job: int) -> None:
        self.language.variables |= {"item": item or "", "job": job, "task": self.name}


class Preparation(TaskRun):
    """A task's exec macro, and the job that follows from it."""

    def __init__(self, language: Language, number: int, event: Prepare, configuration: str) -> None:
        self._event = event
        self._configuration = configuration
        super().__init__(language, number, event.task, self._steps(), may_set=True)

    def late_ns(self, share: float) -> int:
        """How late it starts: by `share` of the period, at most by half of the time that it has."""
        if self.task is None or self.task.declared is not None:
            return 0
        return min(int(self.task.exec_ns * share), self._event.limit_ns // 2)

    def _steps(self) -> Generator[Any, Any, Any]:
        task = self.task
        if task is None:
            return Signal.OK
        if task.declared is not None:
            self._declared_variables(self._event.item, self._event.job)
            body = compile_text(task.declared.prepare, self._configuration, task.declared.prepare_line)
        elif task.exec_macro is not None:
            body = task.exec_macro.body
        else:
            return Signal.OK
        return (yield from run_body(self.language, self.run, body))

    def ended(self, value: Any) -> None:
        self._changes = self.language.recorder.close(self.run)
        task = self.task
        if task is None or task.name not in self.language.tasks:
            answer: JobSpec | Skip = Skip("no script defines the task any more")
        else:
            announce(self.language, task)
            answer = self._answer(task, value)
        self._give(answer)

    def _answer(self, task: ScriptTask, value: Any) -> JobSpec | Skip:
        if isinstance(value, SessionEnds):
            return Skip("its script ended the program")
        if value in FAILING:
            place = self._count_failure("its task.exec")
            failure = self.run.failure
            if failure is not None and failure.text:
                return Skip(f"failed at {place}", failure.text)
            return Skip(f"declined (break at {place})")
        if task.declared is None:
            return static_job(self.language.tasks, task, self._event.item)
        spec = prepared_job(task.declared, self._event.job, self._event.item, self.language.variables)
        return replace(spec, **task.overrides(self.language.tasks.wanted_wait_ns))

    def stopped(self, reason: str) -> None:
        self._give(Skip(reason), self._fault(reason))

    def _give(self, answer: JobSpec | Skip, error: str = "") -> None:
        event = self._event
        self.language.effects.append(
            Give("scheduler", Prepared(event.task, event.number, answer, error, self._changes))
        )


class ReactionRun(TaskRun):
    """The macro for the way in which a job ended, with its output and its variables."""

    def __init__(
        self, language: Language, number: int, event: React, configuration: str, install: Callable[[Work], None]
    ) -> None:
        self._event = event
        self._configuration = configuration
        self._install = install
        self._job = JobVariables(event)
        self._reaction = NO_REACTION
        super().__init__(language, number, event.task, self._steps(), may_set=False)

    def _steps(self) -> Generator[Any, Any, Any]:
        body = self._body()
        if body is None:
            return Signal.OK
        event = self._event
        if event.report.stdout_bytes or event.report.stderr_bytes:
            asked = FetchOutput(self.number, event.job, event.attempt, event.report.host, event.task)
            fetched = yield asked
            assert isinstance(fetched, OutputFetched)
            self._job.take_output(fetched)
            if fetched.note:
                self._notice("warning", f"job {event.job}: {fetched.note}")
        self.has_job_variables = True
        self._install(self)
        return (yield from run_body(self.language, self.run, body))

    def _body(self) -> Any:
        task, event = self.task, self._event
        if task is None:
            return None
        if task.declared is None:
            name = task.exit_for(event.report)
            self._reaction = Reaction(matched=name or "")
            return None if name is None else task.exit_macros[name].body
        reaction = DECLARED.react(task.declared, event.spec, event.report, event.retries)
        assert isinstance(reaction, Reaction)
        self._reaction = reaction
        handler = handler_to_run(task.declared, event.report, reaction)
        if handler is None:
            return None
        self._declared_variables(event.spec.item, event.job)
        return compile_text(handler.script, self._configuration, handler.script_line)

    def install(self) -> None:
        self._job.install(self.language)

    def put_away(self) -> None:
        self._job.put_away(self.language)

    def clear(self) -> None:
        self._job.empty_queues(self.language)

    def ended(self, value: Any) -> None:
        self._changes = self.language.recorder.close(self.run)
        if value in FAILING:
            self._count_failure(f"its exit macro {self._reaction.matched}")
        self._give(self._reaction)

    def stopped(self, reason: str) -> None:
        self._give(self._reaction, self._fault(reason))

    def _give(self, reaction: Reaction, error: str = "") -> None:
        event = self._event
        if self.task is not None and reaction.retry is None:
            self.task.statistics.record(event.report)
        self.language.effects.append(
            Give("scheduler", Reacted(event.job, event.attempt, reaction, error, self._changes))
        )
