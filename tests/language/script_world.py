"""A whole installation that runs a script on a virtual clock: the machines of `tests/model/small_world.py`, and the
script machine wired to them as its drivers do. The base of tests about tasks and of tests with whole scripts.

`ScriptWorld(text, hosts=…, job=…)` runs the text as a script file; then `run(seconds)`. `job(spec)` says what a job's
process does: a number of seconds, or `(seconds, exit code, stdout, stderr)` (shorter is fine; a negative code is a
signal), or None: no such command. Shell lines are answered by `shell(line)`: a text (status 0 at once), or `(status,
text, seconds)`. Files are those of the dictionary `files`; a statement costs 2 us.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from heapq import heappop, heappush
from typing import Any

from model.behaviour import DECLARED, Behaviour
from model.configuration import LanguageSettings
from model.effects import Answer, Effect, Notice, Prepare, React
from model.events import HostVerb, IntakeVerb, OrderHost, OrderIntake, WallClock
from model.job import SECOND, JobSpec, JobState
from model.keeper import Spawn, Spawned, SpawnFailed
from model.scripting import (
    MAIN_SESSION,
    Abandon,
    AppendText,
    Execute,
    Executed,
    FetchOutput,
    FileUsed,
    FileVerb,
    Give,
    Leave,
    OpenSession,
    OutputFetched,
    RunFile,
    SessionRan,
    SessionText,
    Show,
    Stream,
    UseFile,
)
from model.task import TaskDefinition
from model.view_rows import Machines
from shell.language.machine import Scripts
from shell.language.runs import SLICE_STATEMENTS
from tests.model.small_world import SmallHost, SmallWorld, cluster

WALL_NS = 1_772_452_800 * SECOND
"""Wall time at the start: Monday 2026-03-02 12:00:00 UTC."""
STATEMENT_NS = 2_000
SCRIPT = "/home/user/pipeline.pro"
SHOWN = "pipeline.pro"
"""The same in positions."""

Job = Callable[[JobSpec], Any]
Shell = Callable[[str], Any]


class ScriptWorld(SmallWorld):
    """`out`, `errors`: what the script printed; `specs`: the jobs that were started; `ran`: what sessions were told."""

    def __init__(
        self,
        text: str = "",
        *,
        hosts: Mapping[str, int] | None = None,
        job: Job = lambda _: 0.1,
        shell: Shell = lambda _: "",
        files: Mapping[str, str] | None = None,
        tasks: Sequence[TaskDefinition] = (),
        settings: LanguageSettings | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.scripts: Scripts | None = None
        self.files = {"/home/user/" + name if name[0] != "/" else name: text for name, text in (files or {}).items()}
        self.shown: dict[tuple[int, Stream], str] = {}
        self.ran: list[SessionRan] = []
        self.left: list[Leave] = []
        self.executed: list[Execute] = []
        self.abandoned: list[int] = []
        self.specs: list[JobSpec] = []
        self.starts: list[tuple[float, str]] = []
        """when each job was started (s since the beginning), and its task"""
        self.behaviours: dict[str, Behaviour] = {"": DECLARED}
        self._job = job
        self._shell = shell
        self._outputs: dict[tuple[int, int], tuple[str, str]] = {}
        self._later: list[tuple[int, int, Any]] = []
        self._serial = 0
        self._free_ns = 0
        super().__init__((), cluster(*(hosts or {}).items(), local_slots=1000), self.behaviours)
        self.began_ns = self.now
        self.scripts = Scripts(
            self.now,
            directory="/home/user",
            seed=1,
            machines=self.machines,
            behaviours=self.behaviours,
            settings=settings or LanguageSettings(),
            tasks=tasks,
            environment={"HOME": "/home/user"},
        )
        clock = WallClock(WALL_NS - self.now)
        self.scheduler.receive(clock, self.now)
        self.scripts.receive(clock, self.now)
        for definition in tasks:
            self.scheduler.define(definition, self.now)
        if text:
            self.scheduler.receive(OrderIntake(0, IntakeVerb.HALT, "the script has not said run"), self.now)
            self.files[SCRIPT] = text
            self.give_scripts(RunFile(MAIN_SESSION, 1, SCRIPT, tuple(arguments)))
            self.run(0)
        self.settle()

    # what a test looks at

    @property
    def language(self) -> Any:
        assert self.scripts is not None
        return self.scripts.language

    @property
    def out(self) -> str:
        return self.shown.get((MAIN_SESSION, Stream.OUT), "")

    @property
    def errors(self) -> str:
        return self.shown.get((MAIN_SESSION, Stream.ERROR), "")

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def seconds(self) -> float:
        return (self.now - self.began_ns) / SECOND

    def task(self, name: str) -> Any:
        """The scheduler's state of a task."""
        return self.scheduler.spawning.tasks[name]

    def running(self, task: str) -> int:
        jobs = self.scheduler.jobs.values()
        return sum(job.spec.task == task and job.state is JobState.RUNNING for job in jobs)

    def machines(self) -> Machines:
        return Machines(self.scheduler, self.controller, self.hosts["local"].agent, self.now, self.now)

    # what a test does

    def give_scripts(self, event: Any) -> None:
        assert self.scripts is not None
        self.scripts.receive(event, self.now)

    def open(self, session: int) -> None:
        self.give_scripts(OpenSession(session, f"prompt {session}", "/home/user"))

    def say(self, text: str, *, session: int = MAIN_SESSION, number: int = 1) -> None:
        """Give lines to a session, and let what they need no time for happen."""
        self.give_scripts(SessionText(session, number, text))
        self.run(0)

    # time

    def _next(self) -> int | None:
        dues = [due for due in (super()._next(), self._scripts_due()) if due is not None]
        if self._later:
            dues.append(self._later[0][0])
        return min(dues) if dues else None

    def _scripts_due(self) -> int | None:
        due = None if self.scripts is None else self.scripts.next_due()
        return None if due is None else max(due, self._free_ns)

    def _advance(self) -> None:
        while self._later and self._later[0][0] <= self.now:
            self.give_scripts(heappop(self._later)[2])
        super()._advance()
        due = self._scripts_due()
        if self.scripts is not None and due is not None and due <= self.now:
            self.scripts.advance(self.now)
            left = self.scripts.next_due()
            if left is not None and left <= self.now:
                self._free_ns = self.now + SLICE_STATEMENTS * STATEMENT_NS

    def run(self, seconds: float) -> None:
        """As in the small world; at the end whatever needs no time is done."""
        end = self.now + int(seconds * SECOND)
        super().run(seconds)
        while (due := self._scripts_due()) is not None and due <= end and self.scripts is not None:
            self._advance()
            self.settle()

    def answer_later(self, seconds: float, event: Any) -> None:
        self._serial += 1
        heappush(self._later, (self.now + int(seconds * SECOND), self._serial, event))

    # effects

    def _settle_once(self) -> bool:
        busy = super()._settle_once()
        if self.scripts is not None:
            for effect in self.scripts.drain():
                busy = True
                self._script_effect(effect)
        return busy

    def _note(self, effect: Effect) -> None:
        if isinstance(effect, Prepare | React) or (isinstance(effect, Answer) and effect.request < 0):
            self.give_scripts(effect)
        else:
            super()._note(effect)

    def _script_effect(self, effect: Any) -> None:
        if isinstance(effect, Show):
            self._show(effect.session, effect.stream, effect.text)
        elif isinstance(effect, AppendText):
            self.files[effect.path] = self.files.get(effect.path, "") + effect.text
        elif isinstance(effect, Give):
            self._given(effect)
        elif isinstance(effect, Execute):
            self._execute(effect)
        elif isinstance(effect, UseFile):
            self.give_scripts(self._use_file(effect))
        elif isinstance(effect, FetchOutput):
            texts = self._outputs.get((effect.job, effect.attempt), ("", ""))
            self.give_scripts(OutputFetched(effect.run, *texts))
        elif isinstance(effect, Abandon):
            self.abandoned.append(effect.run)
        elif isinstance(effect, SessionRan):
            self.ran.append(effect)
        elif isinstance(effect, Leave):
            self.left.append(effect)
        else:
            assert isinstance(effect, Notice), effect
            self.notices.append(effect)

    def _show(self, session: int, stream: Stream, text: str) -> None:
        if text:
            self.shown[session, stream] = self.shown.get((session, stream), "") + text

    def _given(self, effect: Give) -> None:
        event = effect.event
        if effect.to == "controller":
            if isinstance(event, OrderHost) and event.verb is HostVerb.ADD:
                self._size_host(event)
            self.controller.receive(event, self.now)
        else:
            self.scheduler.receive(event, self.now)

    def _size_host(self, event: OrderHost) -> None:
        host = self.hosts.get(event.host)
        if host is None:
            self.hosts[event.host] = SmallHost(event.host, event.slots, self.cluster, self.now)
        elif event.more:
            host.slots += event.slots
            host.agent.slots = host.slots

    def _execute(self, effect: Execute) -> None:
        self.executed.append(effect)
        answer = self._shell(effect.command)
        status, text, seconds = (0, answer, 0.0) if isinstance(answer, str) else answer
        if effect.timeout_ns and seconds * SECOND > effect.timeout_ns:
            self.answer_later(effect.timeout_ns / SECOND, Executed(effect.run, -15, "", "timeout", timed_out=True))
        elif effect.capture:
            self.answer_later(seconds, Executed(effect.run, status, text))
        else:
            self._show(effect.session, Stream.OUT, text)
            self.answer_later(seconds, Executed(effect.run, status))

    def _use_file(self, effect: UseFile) -> FileUsed:
        run, path, verb = effect.run, effect.path, effect.verb
        if verb is FileVerb.APPEND:
            self.files[path] = self.files.get(path, "") + effect.text
            return FileUsed(run, ok=True)
        if verb is FileVerb.WRITE:
            self.files[path] = effect.text
            return FileUsed(run, ok=True)
        if verb is FileVerb.MAKE_DIRECTORY:
            return FileUsed(run, ok=True)
        if verb is FileVerb.GLOB:
            return FileUsed(run, ok=True, paths=tuple(sorted(name for name in self.files if fnmatchcase(name, path))))
        if path not in self.files:
            return FileUsed(run, ok=False, error=f"{path}: No such file or directory")
        text = self.files[path]
        return FileUsed(run, ok=True, text=text, facts=(("size", str(len(text))), ("kind", "file")))

    # processes

    def _spawn(self, host: SmallHost, effect: Spawn) -> None:
        key = (effect.job, effect.attempt)
        does = self._job(effect.spec)
        if does is None:
            host.keeper.receive(SpawnFailed(*key, False, f"{effect.spec.command[0]}: no such command"), self.now)
            return
        given = does if isinstance(does, tuple) else (does,)
        seconds, code, stdout, stderr = (*given, *(0.1, 0, "", "")[len(given) :])
        self.specs.append(effect.spec)
        self.starts.append((self.seconds, effect.spec.task))
        self._outputs[key] = (stdout, stderr)
        self.printed[key] = (len(stdout.encode()), len(stderr.encode()))
        host.ran[key] += 1
        end = self.now + int(seconds * SECOND)
        host.processes[key] = (end, None, -code) if code < 0 else (end, code, None)
        self._deaf: set[tuple[int, int]] = getattr(self, "_deaf", set())
        host.keeper.receive(Spawned(*key, 4711, 0), self.now)
