"""The script machine: runs of statements, one at a time, for sessions, preparations and reactions.

The rule: a run goes on until it ends, waits for an answer, or has used up its statements; only then may another one go
on. So macros that share variables meet no surprise between two statements, and a macro without an end costs its own
task only: a task's run ends `faulted` after `runs.TASK_STATEMENTS` statements or when its time is over, its changes of
queues and books undone; a session's run lets others go on after as many. `advance` runs one slice and returns, so that
what the driver does besides goes on between slices.

Data of an earlier life is laid over what the script files make when one of them first says `run`, or all have ended
(`laying_over.py`); until then tasks' runs are held. What runs change from then on is recorded (`recording.py`).

Called by drivers (`live`, `sim`), as any machine (docs/architecture.md). What a run is for is in `work.py`; what
statements mean is the interpreter's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from traceback import extract_tb
from typing import Any

from model.behaviour import Behaviour
from model.configuration import LanguageSettings
from model.effects import Answer, Prepare, React
from model.events import ScriptsRan, WallClock
from model.remembered import RestoredData
from model.scripting import (
    MAIN_SESSION,
    Abandon,
    CloseSession,
    DeclareTasks,
    Execute,
    Executed,
    FetchOutput,
    FileUsed,
    Give,
    Interrupt,
    OpenSession,
    OutputFetched,
    RunFile,
    SessionRan,
    SessionText,
    UseFile,
)
from model.task import TaskDefinition
from model.timers import Timers
from model.view_rows import Machines
from shell.language.calls import Pause, SessionEnds
from shell.language.commands.table import COMMANDS
from shell.language.language import Language
from shell.language.laying_over import lay_over
from shell.language.runs import SLICE, SLICE_STATEMENTS, BudgetSpent
from shell.language.script_tasks import ScriptTasks
from shell.language.work import Preparation, ReactionRun, SessionRun, Work

TURN_STATEMENTS = 100_000
"""What a session's run may use without waiting before others go on."""


class Session:
    """Somebody who gives lines. `texts` wait for their turn; `work` runs."""

    __slots__ = ("line", "name", "number", "texts", "work")

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.line = 1
        """the number of the next line, for positions"""
        self.texts: deque[SessionText | RunFile] = deque()
        self.work: Work | None = None


class Scripts:
    """Implements `model.scripting.ScriptMachine`."""

    def __init__(
        self,
        now: int,
        *,
        directory: str,
        seed: int,
        machines: Callable[[], Machines | None],
        behaviours: dict[str, Behaviour],
        settings: LanguageSettings,
        tasks: Sequence[TaskDefinition],
        environment: Mapping[str, str],
        configuration: str = "configuration",
        restored: RestoredData | None = None,
    ) -> None:
        """See `model.scripting.ScriptFactory`. `configuration`: the name of its file, for positions in it."""
        self.language = Language({command.name: command for command in COMMANDS}, directory, seed, machines)
        self.language.now_ns = now
        self.language.tasks = ScriptTasks(
            self.language,
            behaviours,
            controller_timeout_ignored=settings.controller_timeout_ignored,
            jitter=settings.jitter,
        )
        self.language.set_start_variables(environment)
        self._configuration = self.language.shown_path(configuration)
        self._jitter = settings.jitter
        self._declare(DeclareTasks(tuple(tasks)))
        self._sessions: dict[int, Session] = {MAIN_SESSION: Session(MAIN_SESSION, "script")}
        self._runs = 0
        self._ready: deque[Work] = deque()
        self._current: Work | None = None
        self._waiting: dict[int, Work] = {}
        """by run: those that wait for an answer or a time"""
        self._pauses: Timers[int] = Timers()
        self._deadlines: Timers[int] = Timers()
        self._works: dict[int, Work] = {}
        self._installed: Work | None = None
        """whose job variables are set now"""
        self._restored = restored
        self._files_left = len(settings.scripts)
        """script files of the beginning that have not ended"""
        self._held: list[Prepare | React] = []
        """what came before the data of the life before was there"""
        self.language.begin_data = self._begin_data
        self._events: dict[type, Callable[[Any], None]] = {
            OpenSession: self._open,
            SessionText: self._text,
            RunFile: self._text,
            CloseSession: self._close,
            Interrupt: self._interrupt,
            Prepare: self._prepare,
            React: self._react,
            Executed: self._answered,
            FileUsed: self._answered,
            OutputFetched: self._answered,
            Answer: self._order_answered,
            WallClock: self._wall_clock,
            DeclareTasks: self._declare,
        }
        if not self._files_left:
            self._begin_data()

    # the machine

    def receive(self, event: Any, now: int) -> None:
        """Take one event; what it starts goes on in `advance`."""
        self.language.now_ns = now
        self._events[type(event)](event)

    def advance(self, now: int) -> None:
        """End runs whose time is over, wake those that paused, and run one slice."""
        self.language.now_ns = now
        for number in self._deadlines.take(now):
            self._stop(self._works[number], self._works[number].overdue())
        for number in self._pauses.take(now):
            self._wake(self._waiting[number], None)
        left = SLICE_STATEMENTS
        while left > 0:
            if self._current is None:
                if not self._ready:
                    return
                self._take_up(self._ready.popleft())
            left -= self._go_on()

    def next_due(self) -> int | None:
        """Now, while anything can go on."""
        if self._current is not None or self._ready:
            return self.language.now_ns
        dues = [due for due in (self._pauses.next_due(), self._deadlines.next_due()) if due is not None]
        return min(dues) if dues else None

    @property
    def at_rest(self) -> bool:
        """No run has begun that has not ended."""
        return not self._works

    def drain(self) -> Sequence[Any]:
        """What to do, in order."""
        effects, self.language.effects = self.language.effects, []
        return effects

    def names(self) -> dict[str, list[str]]:
        """What a prompt can complete."""
        language = self.language
        machines = language.machines()
        hosts = [] if machines is None else list(machines.controller.hosts)
        tasks = set(language.tasks)
        if machines is not None:
            tasks |= set(machines.scheduler.spawning.tasks)
        return {
            "commands": sorted(language.commands),
            "macros": sorted(language.macros),
            "tasks": sorted(tasks),
            "hosts": sorted([*hosts, "local", "anyhost"]),
            "variables": sorted(language.variables),
            "queues": sorted(language.queues.names()),
            "books": sorted(language.books.names()),
        }

    # data

    def _begin_data(self) -> None:
        """The files have made what they make: lay over it what is known of earlier lives, and let tasks go on."""
        if self.language.recorder.begun:
            return
        changes = lay_over(self.language, self._restored)
        self.language.effects.append(Give("scheduler", ScriptsRan(changes)))
        self._restored = None
        held, self._held = self._held, []
        for event in held:
            self._events[type(event)](event)

    def _holds(self, event: Prepare | React) -> bool:
        """Whether a task's run must wait, because the data of the life before is not there yet."""
        if self._restored is None:
            return False
        if not self._files_left:  # one of them has failed: nothing more is to be awaited
            self._begin_data()
            return False
        self._held.append(event)
        return True

    def _file_ended(self, text: SessionText | RunFile | None, *, ok: bool) -> None:
        """Where a script file of the beginning fails, the server mostly ends, and what it made means nothing."""
        if not self._files_left or not isinstance(text, RunFile) or text.session != MAIN_SESSION:
            return
        self._files_left = self._files_left - 1 if ok else 0
        if not self._files_left and (ok or self._held):
            self._begin_data()

    # events

    def _declare(self, event: DeclareTasks) -> None:
        tasks = self.language.tasks
        for definition in event.defined:
            if definition.prepare or any(handler.script for handler in definition.handlers):
                tasks.declare(definition)
            else:
                tasks.undeclare(definition.name)
        for name in event.gone:
            tasks.delete(name)

    def _open(self, event: OpenSession) -> None:
        self._sessions[event.session] = Session(event.session, event.name)
        if event.by:
            self.language.people[event.session] = event.by

    def _text(self, event: SessionText | RunFile) -> None:
        session = self._sessions.get(event.session)
        if session is None:
            self._refuse([event])
            return
        session.texts.append(event)
        self._next_text(session)

    def _next_text(self, session: Session) -> None:
        if session.work is None and session.texts:
            text = session.texts.popleft()
            session.work = SessionRun(self.language, self._number(), session.name, text, session.line)
            session.line += text.text.rstrip("\n").count("\n") + 1 if isinstance(text, SessionText) else 0
            self._begin(session.work)

    def _interrupt(self, event: Interrupt) -> None:
        session = self._sessions.get(event.session)
        if session is None:
            return
        dropped = list(session.texts)
        session.texts.clear()
        if session.work is not None:
            self._stop(session.work, "interrupted")
        self._refuse(dropped)

    def _close(self, event: CloseSession) -> None:
        session = self._sessions.pop(event.session, None)
        self.language.going_on.discard(event.session)
        self.language.people.pop(event.session, None)
        self.language.outputs.pop(event.session, None)
        if session is not None and session.work is not None:
            self._forget(session.work)
            session.work.forgotten()

    def _prepare(self, event: Prepare) -> None:
        if self._holds(event):
            return
        work = Preparation(self.language, self._number(), event, self._configuration)
        self._limit(work, event.limit_ns)
        late_ns = work.late_ns(self.language.jitter_random.random() * self._jitter) if self._jitter else 0
        if late_ns:
            self._works[work.number] = self._waiting[work.number] = work
            self._pauses.set(work.number, self.language.now_ns + late_ns)
        else:
            self._begin(work)

    def _react(self, event: React) -> None:
        if self._holds(event):
            return
        work = ReactionRun(self.language, self._number(), event, self._configuration, self._install)
        self._limit(work, event.limit_ns)
        self._begin(work)

    def _limit(self, work: Work, limit_ns: int) -> None:
        """A little before the scheduler gives up by itself, so that the reason can be told."""
        self._deadlines.set(work.number, self.language.now_ns + limit_ns - limit_ns // 60)

    def _wall_clock(self, event: WallClock) -> None:
        self.language.wall_offset_ns = event.offset_ns

    # answers

    def _answered(self, event: Executed | FileUsed | OutputFetched) -> None:
        work = self._waiting.get(event.run)
        if work is not None and work.waits_for is type(event):
            self._wake(work, event)

    def _order_answered(self, event: Answer) -> None:
        number = self.language.requests.pop(event.request, None)
        work = None if number is None else self._waiting.get(number)
        if work is not None and work.waits_for is Answer and work.request == event.request:
            self._wake(work, event)

    def _wake(self, work: Work, answer: Any) -> None:
        del self._waiting[work.number]
        work.answer = answer
        self._ready.append(work)

    # runs

    def _number(self) -> int:
        self._runs += 1
        return self._runs

    def _begin(self, work: Work) -> None:
        self._works[work.number] = work
        self._ready.append(work)

    def _take_up(self, work: Work) -> None:
        """Make a run the current one; the job variables of a reaction are its own wherever it goes on."""
        self._current = work
        work.turn = work.recorded_at = 0
        self.language.changes.current = work.number
        if work.has_job_variables:
            self._install(work)

    def _go_on(self) -> int:
        """Run the current one until it yields; how many statements that took (at least 1)."""
        work = self._current
        assert work is not None
        before = work.run.statements
        try:
            asked = work.steps.send(work.answer)
        except StopIteration as end:
            self._ended(work, end.value)
        except SessionEnds as leaving:
            dropped = self._take_texts(work)
            self._ended(work, leaving)
            self._refuse(dropped)
        except BudgetSpent as spent:
            self._stop(work, str(spent))
        except Exception as error:  # noqa: BLE001 - a bug of a command must end its own run, and nobody else's
            self._stop(work, _bug(error))
        else:
            work.answer = None
            if asked is not SLICE:
                self._wait(work, asked)
        used = work.run.statements - before
        work.turn += used
        if self._current is work and work.turn >= TURN_STATEMENTS:
            self._turn_is_over(work)
        return max(1, used)

    def _turn_is_over(self, work: Work) -> None:
        """Others may go on, if there are any; what counts already is recorded as often as that."""
        if self._ready or work.turn - work.recorded_at >= TURN_STATEMENTS:
            work.flush()
            work.recorded_at = work.turn
        if self._ready:
            self._current = None
            self._ready.append(work)

    def _wait(self, work: Work, asked: Any) -> None:
        work.flush()
        self._current = None
        self._waiting[work.number] = work
        self.language.changes.current = 0
        if isinstance(asked, Pause):
            work.waits_for = Pause
            self._pauses.set(work.number, self.language.now_ns + asked.duration_ns)
            return
        work.waits_for = _ANSWERS[type(asked)]
        if isinstance(asked, Give):
            work.request = asked.event.request
        self.language.effects.append(asked)

    def _ended(self, work: Work, value: Any) -> None:
        self._forget(work)
        work.ended(value)
        self._file_ended(work.text, ok=value is True)
        self._after(work)

    def _stop(self, work: Work, reason: str) -> None:
        """End a run that did not end by itself; its task is faulted, its session is told."""
        self._forget(work)
        work.stopped(reason)
        self._file_ended(work.text, ok=False)
        self._after(work)

    def _forget(self, work: Work) -> None:
        """Take the run out of everything; nothing is said about it."""
        number = work.number
        del self._works[number]
        if self._waiting.pop(number, None) is not None and work.waits_for not in (None, Pause):
            self.language.effects.append(Abandon(number))
        if work is self._current:
            self._current = None
            self.language.changes.current = 0
        elif work in self._ready:
            self._ready.remove(work)
        self._pauses.cancel(number)
        self._deadlines.cancel(number)
        work.steps.close()
        if self._installed is work:
            work.clear()
            self._installed = None

    def _refuse(self, texts: Sequence[SessionText | RunFile]) -> None:
        """These texts are not run."""
        self.language.effects.extend([SessionRan(text.session, text.number, ok=False) for text in texts])

    def _take_texts(self, work: Work) -> list[SessionText | RunFile]:
        """What a session that leaves will not run any more."""
        session = self._sessions.get(work.run.session)
        if session is None or session.work is not work:
            return []
        texts = list(session.texts)
        session.texts.clear()
        return texts

    def _after(self, work: Work) -> None:
        """The session of a run that is over goes on with its next text."""
        session = self._sessions.get(work.run.session)
        if session is not None and session.work is work:
            session.work = None
            self._next_text(session)

    def _install(self, work: Work) -> None:
        """Set the job variables of a reaction, and put those of another one that is still under way aside."""
        if self._installed is work:
            return
        if self._installed is not None:
            self._installed.put_away()
        work.install()
        self._installed = work


def _bug(error: Exception) -> str:
    """What people are told of an error that is ours: also where it was raised, since the run is ended quietly."""
    frame = extract_tb(error.__traceback__)[-1]
    place = f"{PurePath(frame.filename).name}:{frame.lineno}"
    return f"internal error, please report it: {type(error).__name__}: {error} ({place})"


_ANSWERS: dict[type, type] = {Execute: Executed, UseFile: FileUsed, FetchOutput: OutputFetched, Give: Answer}
