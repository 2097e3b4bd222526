"""The server: one process that runs the scheduler, the local agent and, unless it is elsewhere, the controller.

`serve` is what `laulima run` calls; `end_leftovers` is `laulima shutdown --kill` where no server runs. Here the parts
are made and joined, started and ended, in order; what each does is in its own file:

    journal -> recovery -> machines -> loop (turns) -> outward (effects) -> controller, local keepers, sources, control

The controller is in this process with its hosts (`live/controller_here.py`) or in another one
(`live/controller_away.py`). With scripts there is one machine more, driven by `live/scripts.py`; how their files are
begun with is in `live/beginning.py`.

Leaving. Intake stops first, then the scheduler says that it has said everything. `kill`: all jobs are ended, agents
and keepers leave, nothing of ours stays. `keep`: running jobs get the parting lease and stay with their keepers and
agents; what stays is named on stderr with the command that ends it. A shared controller goes on in either case.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from live.agent_host import AgentHost
from live.beginning import WAITING_TO_RUN, Scripting, ScriptSide, text_of
from live.clock import boottime_ns, monotonic_ns, wall_ns
from live.compaction import HISTORY_KEPT_NS, Compaction
from live.control import ControlServer
from live.controller_choice import choose_controller, place_for_leftovers
from live.controller_side import ControllerSide
from live.decisions import Recorder
from live.disk_room import DiskRoom
from live.errands import Errands
from live.hosts import leftover_hosts
from live.idle import endless, is_idle
from live.journal import Journal
from live.life import PART_SECONDS, Life, live_on, live_out, tell
from live.loop import Turns
from live.notifying import Notifying
from live.outputs import Outputs
from live.outward import CONTROLLER, LOCAL, SCHEDULER, Outward
from live.recovery import recover, uncollected
from live.reloading import Load, Reloading, laid_over
from live.requests import Requests
from live.scheduler_effects import SchedulerEffects
from live.scripts import SCRIPTS, ScriptDriver, inward
from live.sources import Sources
from live.state_directory import Service, StateDirectory, listen
from live.systemd import Systemd, hosts_in_short
from model.behaviour import Behaviour
from model.configuration import ClusterDefinition, Configuration, ControllerKind, OnExit
from model.decisions import AgentMade, SchedulerMade
from model.effects import Notice
from model.events import IntakeVerb, LinkUp, OrderIntake, Vouched, WallClock
from model.job import SECOND, JobState
from model.restored import Fold
from model.scripting import ScriptFactory, ScriptMachine
from model.view_rows import Machines, status
from model.views import Status

HISTORY_PRUNED_MAX = 100_000
"""Most rows of the history that one start forgets (`compaction.HISTORY_KEPT_NS`)."""
WALL_LOOK_SECONDS = 5.0
"""How often the wall clock is compared, so that a step of it reaches the task windows."""
WALL_STEP_NS = SECOND // 10
IDLE_LOOK_SECONDS = 0.1
"""How soon after a turn `until_idle` is judged: many turns make one look."""
LEAVE_SECONDS = 60.0
"""How long the ends of all jobs may take, beyond their grace, before a server that ends with `kill` uses force."""
SETTLE_SECONDS = 2.0
"""How long keepers with nothing to do get to leave, when others stay; and the last words their way on a disk that is
known to stand still."""
TURN_TOLD_SECONDS = 0.5
LEAVING = "the server ends"


class How(Struct, frozen=True):
    """What one life of a server is for; see `serve` and `end_leftovers`. `mask`: the user's umask, for the files of
    scripts. `decisions`: where what the machines decide is recorded."""

    until_idle: bool = False
    for_ns: int | None = None
    on_turn: Callable[[Status], None] | None = None
    scripting: Scripting | None = None
    load: Load | None = None
    kill_now: bool = False
    mask: int = 0o077
    decisions: Path | None = None


class Server:
    """One life of a server. Made and used inside its event loop."""

    def __init__(
        self,
        configuration: Configuration,
        state: StateDirectory,
        journal: Journal,
        loop: asyncio.AbstractEventLoop,
        tell: Callable[[str], None],
        how: How,
        systemd: Systemd,
    ) -> None:
        """`tell` shows a line to people."""
        self._configuration = configuration
        self._how = how
        self._state = state
        self._journal = journal
        self._loop = loop
        self._tell = tell
        self._started_ns = monotonic_ns()
        self._offset_ns = 0
        self._idle_look: asyncio.TimerHandle | None = None
        self._telling: asyncio.Task[None] | None = None
        directory = Path(configuration.directory)
        self._outward = outward = Outward(loop, tell)
        self._turns = turns = Turns(loop, journal, outward.carry_out)
        outward.join(turns)
        self.life = Life(loop, turns, tell, state.path, self._kills, systemd)
        self._room = DiskRoom(loop, journal, turns, outward.say, stop=self._stop_for_disk, resume=self._resume_for_disk)
        turns.on_protocol_error, turns.on_disk = outward.protocol_error, self._room.stands_still
        with uncollected():
            restored = recover(journal)
            configuration, self._laid_over = laid_over(
                configuration,
                () if how.kill_now else restored.scheduler.settings,
                how.load,
                lambda text: outward.say(Notice("info", "", text)),
            )
            self._configuration = configuration
            if how.decisions is not None:
                turns.recorder = Recorder(how.decisions, loop, outward.say, configuration, restored)
            self._side: ControllerSide = choose_controller(
                loop, configuration, state, journal, restored, outward, turns, as_it_was=how.kill_now
            )
            self.controller = self._side.machine
            self._make_machines(restored, self._side.epoch)
        self._errands = Errands(loop)
        cluster = configuration.cluster
        self._local = AgentHost(
            self._loop,
            name=LOCAL,
            slots=cluster.local_slots,
            spool=state.local_spool,
            directory=directory,
            times=cluster.local_times,
            post=lambda event: turns.post(LOCAL, event),
            notice=outward.say,
            queue_max=cluster.pending_local_max,
        )
        self._outputs = Outputs(state.local_spool, self._side, self._errands)
        sources = Sources(directory, self._errands)
        self._notifying = Notifying(
            configuration.notifiers,
            directory,
            configuration.path,
            self._errands,
            answer=lambda event: turns.post(SCHEDULER, event),
        )
        parts = (sources, self._notifying, self._side, self._room)
        self._effects = SchedulerEffects(outward, turns, self._local, *parts)
        self._control: ControlServer | None = None
        self._scripts = ScriptSide(loop, self, configuration, how.scripting)
        if self.script_machine is not None:
            self._join_scripts(self.script_machine)

    def _join_scripts(self, machine: ScriptMachine) -> None:
        driver = ScriptDriver(
            self._loop,
            self._errands,
            self._outputs,
            self._how.mask,
            self._configuration.directory,
            post=self._turns.post,
            say=self._outward.say,
            failed=self.fail,
            leave=self.want_leave,
            order_host=self._side.script_orders,
        )
        self._scripts.join(machine, driver, self._turns.post)
        self._outward.add(driver.handlers())
        self._turns.inward |= inward()

    def _make_machines(self, restored: Fold, epoch: int) -> None:
        scripting = self._how.scripting
        now = monotonic_ns()
        tasks = self._configuration.tasks
        behaviours: dict[str, Behaviour] = {}  # scripts put those of their tasks here
        self.script_machine: ScriptMachine | None = None
        if scripting is not None:
            self.script_machine = scripting.factory(
                now,
                directory=self._configuration.directory,
                seed=Random().getrandbits(32),  # noqa: S311 - a script's `rnd`, no secret
                machines=self.machines,
                behaviours=behaviours,
                settings=self._configuration.language,
                tasks=tasks,
                environment={name: text_of(word) for name, word in os.environ.items()} | {"PID": str(os.getpid())},
                configuration=self._configuration.path,
                restored=scripting.data_of(restored.scheduler.scripts),
            )
        cluster = self._configuration.cluster
        if self._configuration.controller.kind is ControllerKind.SOCKET:
            cluster = replace(cluster, directory=self._configuration.directory)
        made = SchedulerMade(epoch, now, cluster, tasks, self._configuration.alarms)
        recorder = self._turns.recorder
        if recorder is not None:
            recorder.made(SCHEDULER, made)
        self.scheduler = made.make(restored, behaviours if recorder is None else recorder.behaviours(behaviours))
        self._journal.compaction = Compaction(self._journal, restored)

    # life

    async def start(self) -> None:
        """Begin: local keepers, machines, control socket. Raises LaulimaError."""
        turns = self._turns
        self._journal.keep_reserve()
        self._journal.prune_history(wall_ns() - HISTORY_KEPT_NS, HISTORY_PRUNED_MAX)
        agent = await self._local.start()
        if turns.recorder is not None and self._local.made is not None:
            turns.recorder.made(LOCAL, AgentMade(*self._local.made))
        turns.add(SCHEDULER, self.scheduler)
        self._side.begin()
        turns.add(LOCAL, agent, boottime_ns)
        if self.script_machine is not None:
            turns.add(SCRIPTS, self.script_machine)
        if self._how.kill_now:  # before any link is up: a job that waits is not given to anybody
            self._order_intake(IntakeVerb.SHUTDOWN_KILL, LEAVING)
            self.want_leave(True)
        if self._scripts.files:
            self._order_intake(IntakeVerb.HALT, WAITING_TO_RUN, lasting=False)
        self._look_at_wall_clock()
        self._join_machines()
        turns.begin()
        self._side.open_doors()
        requests = Requests(
            self._outward,
            self.machines,
            self._state,
            self._errands,
            turns,
            self._outputs,
            self._side,
            status=self.full_status,
            test_notifiers=self._notifying.test,
            leave=self.life.leave_by_request,
            reloading=Reloading(
                self._errands,
                turns,
                self._how.load,
                settings=self._laid_over,
                running=lambda: self._configuration,
                take=self._take_configuration,
                controller=lambda: self.controller,
                define_host=self._side.define_host,
                has_scripts=self.script_machine is not None,
                during=self.life.systemd.reloading,
            ),
        )
        self._control = ControlServer(requests.verbs(), self._tell, self._scripts.converse)
        await self._control.start(listen(self._state.control))
        self._scripts.begin()
        if self._how.on_turn is not None:
            self._telling = self._loop.create_task(self._tell_turns(self._how.on_turn))

    def _join_machines(self) -> None:
        """Those of this process speak to each other directly."""
        turns = self._turns
        turns.join(SCHEDULER, LOCAL)
        if not self._side.elsewhere:
            turns.join(SCHEDULER, CONTROLLER)
            turns.post(SCHEDULER, LinkUp(CONTROLLER))
            turns.post(CONTROLLER, LinkUp("superior"))
        turns.post(SCHEDULER, LinkUp(LOCAL))
        turns.post(LOCAL, LinkUp("superior"))
        # Scheduler and controller share this process: their link cannot fail by itself. The link to the local agent is
        # not vouched for: its keepers must notice by their leases when this process is gone.
        if not self._side.elsewhere:
            turns.post(SCHEDULER, Vouched(CONTROLLER, True))
            turns.post(CONTROLLER, Vouched("superior", True))

    def _take_configuration(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._notifying.take(configuration.notifiers)
        self.say(Notice("info", "", f"{configuration.path} was loaded again"))

    def _kills(self) -> bool:
        return self._configuration.on_exit is OnExit.KILL

    def fail(self, error: BaseException) -> None:
        """A bug of ours beside the turns: the server leaves with it."""
        if not self._turns.failed.done():
            self._turns.failed.set_exception(error)

    def say(self, notice: Notice) -> None:
        """Show a notice to people."""
        self._outward.say(notice)

    def is_halted(self) -> bool:
        """Nothing is started, and nothing that ends is reacted to."""
        return self.scheduler.orders.halted

    async def run(self) -> None:
        """Work until somebody or something says that it is enough."""
        if self._how.until_idle:
            self._begin_until_idle()
        if self._how.for_ns is not None:
            self._loop.call_later(self._how.for_ns / SECOND, self.want_leave, None)
        await self.life.wanted

    def want_leave(self, kill: bool | None, status: int = 0) -> None:
        """Leave soon; see `Life.want_leave`."""
        self.life.want_leave(kill, status)

    async def leave(self) -> None:
        """Stop intake, let the machines say their last words, end or keep what runs, and close everything."""
        kill = bool(self.life.leaving)
        verb = IntakeVerb.SHUTDOWN_KILL if kill else IntakeVerb.SHUTDOWN
        keep_ns = 0 if kill else self._configuration.keep_for_ns
        self._order_intake(verb, LEAVING, keep_ns, by=self.life.by)
        words = SETTLE_SECONDS if self._room.text else PART_SECONDS
        try:
            async with asyncio.timeout(LEAVE_SECONDS if kill else words):
                await self._effects.idle.wait()
        except TimeoutError:
            why = self._room.text or f"the disk has not taken its record within {words:g} s"
            self._tell("some jobs have not confirmed their end" if kill else f"no parting lease was given: {why}")
        self._turns.closed = True
        limit = LEAVE_SECONDS if kill else SETTLE_SECONDS
        if not kill and self._local.is_busy:
            limit = 0.0  # its keepers stay anyway
        troubles, _ = await asyncio.gather(self._side.leave(kill), self._local.dismiss_keepers(kill, limit))
        for trouble in troubles:
            self._tell(trouble)
        text = "\n".join(troubles) or "everything has ended" if kill else self._name_what_stays()
        self.life.left.set_result(text)

    def _order_intake(
        self, verb: IntakeVerb, reason: str, keep_ns: int = 0, *, lasting: bool = True, by: str = ""
    ) -> None:
        order = self._outward.order(SCHEDULER, lambda request: OrderIntake(request, verb, reason, keep_ns, lasting, by))
        order.add_done_callback(lambda answered: answered.cancelled() or answered.exception())

    def _name_what_stays(self) -> str:
        """Tell what goes on without a server, and how to end it."""
        running = [job for job in self.scheduler.jobs.values() if job.state is JobState.RUNNING]
        agents = self._side.left_behind()
        keepers = self._local.processes
        if not running and not agents and not keepers:
            return "nothing is left running"
        lines = [f"left running {self._how_long()}, for the next server on {self._state.path}:"]
        lines += [f"  job {job.id} ({job.spec.task}) on {job.host}" for job in running]
        lines += [f"  {agent}" for agent in agents]
        if keepers:
            lines.append(f"  local keepers: pid {' '.join(map(str, keepers))}")
        lines.append(f"to end them: laulima shutdown --kill --state {self._state.path}")
        text = "\n".join(lines)
        self._tell(text)
        return text

    def _how_long(self) -> str:
        if self._effects.idle.is_set():
            return f"for at most {self._configuration.keep_for_ns / SECOND / 3600:g} h (shutdown.keep_for)"
        times = (self._configuration.cluster.times, self._configuration.cluster.local_times)
        minutes = min(each.lease_ns for each in times) / SECOND / 60
        return f"without a parting lease, which the disk did not take: some of it for {minutes:.3g} min only"

    async def close(self) -> None:
        """Let go of everything, in any state of this server."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        if self._control is not None:
            await self._control.close(0.0 if self.life.at_once.done() else 1.0)
            self._state.control.unlink(missing_ok=True)
        if self._idle_look is not None:
            self._idle_look.cancel()
        await self._scripts.close()
        await self._outward.close()
        self._turns.close()
        if self._turns.recorder is not None:
            self._turns.recorder.close()
        await self._side.close()
        await self._local.close()
        self._errands.close()
        self.life.close()

    # what others ask

    def machines(self) -> Machines:
        """The machines, with the time of now."""
        elsewhere = self._side.elsewhere
        return Machines(self.scheduler, self.controller, self._local.agent, monotonic_ns(), boottime_ns(), elsewhere)

    def status(self, told: Status | None = None) -> Status:
        """One screen. `told`: what a controller elsewhere says."""
        alarms = [self._room.text, *(told.alarms if told is not None else ()), *self._side.last_alarms()]
        age = monotonic_ns() - self._started_ns
        said = [text for text in alarms if text]
        return status(self.machines(), self._configuration.path, "live", age, said, os.getpid(), told)

    def in_short(self) -> str:
        """What it does, on one line, for a service manager."""
        jobs = self.scheduler.jobs.values()
        running = sum(job.state is JobState.RUNNING for job in jobs)
        stopped = self.scheduler.orders.stopped
        parts = [f"{running} jobs run, {len(jobs) - running} wait"]
        parts += [] if self._side.elsewhere else [hosts_in_short(self.controller)]
        parts += [f"intake: {stopped}"] if stopped else []
        return "; ".join([*parts, *([self._room.text] if self._room.text else [])])

    async def full_status(self) -> Status:
        """The same, with what there is to ask elsewhere."""
        return self.status(await self._side.told())

    async def _tell_turns(self, on_turn: Callable[[Status], None]) -> None:
        while True:
            await asyncio.sleep(TURN_TOLD_SECONDS)
            on_turn(self.status())

    # clocks, idleness, disk

    def _look_at_wall_clock(self) -> None:
        offset = wall_ns() - monotonic_ns()
        if abs(offset - self._offset_ns) > WALL_STEP_NS:
            self._offset_ns = offset
            self._turns.post(SCHEDULER, WallClock(offset))
            if not self._side.elsewhere:
                self._turns.post(CONTROLLER, WallClock(offset))
            if self.script_machine is not None:
                self._turns.post(SCRIPTS, WallClock(offset))
            self._turns.post(LOCAL, WallClock(wall_ns() - boottime_ns()))
        self._loop.call_later(WALL_LOOK_SECONDS, self._look_at_wall_clock)

    def _begin_until_idle(self) -> None:
        never = endless(self._configuration.tasks)
        if never:
            text = f"has no source and no limits.total: --until-idle waits for ever ({', '.join(never)})"
            self._outward.say(Notice("warning", f"task {never[0]}", text))
        self._turns.after_turn = self._look_soon
        self._look_soon()

    def _look_soon(self) -> None:
        if self._idle_look is None:
            self._idle_look = self._loop.call_later(IDLE_LOOK_SECONDS, self._look_whether_idle)

    def _look_whether_idle(self) -> None:
        self._idle_look = None
        if self.life.leaving is not None or self._scripts.are_beginning:
            return
        if is_idle(self.scheduler, Path(self._configuration.directory)):
            self.want_leave(None)

    def _stop_for_disk(self, why: str) -> None:
        """What runs ends on the reserve."""
        self._order_intake(IntakeVerb.PAUSE, why)

    def _resume_for_disk(self) -> None:
        self._order_intake(IntakeVerb.CONTINUE, "")


def serve(
    configuration: Configuration,
    state: Path,
    *,
    until_idle: bool = False,
    for_ns: int | None = None,
    on_turn: Callable[[Status], None] | None = None,
    scripts: ScriptFactory | None = None,
    arguments: tuple[str, ...] = (),
    leave_after_scripts: bool = False,
    new_data: bool = False,
    load: Load | None = None,
    decisions: Path | None = None,
) -> int:
    """Run a pipeline in this process until a signal, `shutdown`, `for_ns` ns, or (with `until_idle`) until nothing is
    left to do. Returns the exit status. `on_turn` is told the status twice a second.

    `scripts` makes the machine that runs task scripts; without it the server runs none, and has no prompts. With it,
    `arguments` are the script files' `argv`, and with `leave_after_scripts` the server ends with the last of them.
    `new_data`: the data that scripts had in earlier lives does not count any more.
    `load` reads a configuration, for `laulima reload`. `decisions`: a file for what the machines decide.

    Raises AlreadyRunningError when another server has the state directory, other LaulimaErrors when it cannot start.
    """
    words = tuple(map(text_of, arguments))
    scripting = None if scripts is None else Scripting(scripts, words, leave_after_scripts, new_data)
    how = How(
        until_idle=until_idle, for_ns=for_ns, on_turn=on_turn, scripting=scripting, load=load, decisions=decisions
    )
    return _run(configuration, state, how, Service.SERVER)


def end_leftovers(state: Path) -> int:
    """End everything that an earlier server of `state` left running, with its records. Returns the exit status. Raises
    AlreadyRunningError when a server runs there (then ask that one)."""
    cluster = ClusterDefinition(hosts=leftover_hosts(state))
    configuration = Configuration(
        str(state),
        str(state.absolute().parent),
        cluster=cluster,
        on_exit=OnExit.KILL,
        controller=place_for_leftovers(state),
    )
    return _run(configuration, state, How(kill_now=True), None)


def _run(configuration: Configuration, state: Path, how: How, service: Service | None) -> int:
    async def begin(owned: StateDirectory, journal: Journal, systemd: Systemd, mask: int) -> int:
        loop = asyncio.get_running_loop()
        return await live_out(Server(configuration, owned, journal, loop, tell, replace(how, mask=mask), systemd))

    return live_on(state, service, begin)
