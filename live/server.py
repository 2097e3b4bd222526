"""The server: one process that runs the scheduler, the controller and the local agent, and reaches the process hosts.

`serve` is what `laulima run` calls; `end_leftovers` is `laulima shutdown --kill` where no server runs. Here the parts
are made and joined, started and ended, in order; what each does is in its own file:

    journal -> recovery -> machines -> loop (turns) -> outward (effects) -> hosts, local keepers, sources, control

With scripts there is one machine more, driven by `live/scripts.py`; how their files are begun with is in
`live/beginning.py`.

Leaving. Intake stops first, then the scheduler says that it has said everything. `kill`: all jobs are ended, agents
and keepers leave, nothing of ours stays. `keep`: running jobs get the parting lease and stay with their keepers and
agents; what stays is named on stderr with the command that ends it. A second signal leaves at once: the journal is
right at every instant, so that is a crash like any other.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

from msgspec import Struct

from live.agent_host import AgentHost
from live.beginning import WAITING_TO_RUN, Scripting, ScriptSide, text_of
from live.clock import boottime_ns, monotonic_ns, wall_ns
from live.compaction import HISTORY_KEPT_NS, Compaction
from live.control import ControlServer
from live.display import clean_lines
from live.errands import Errands
from live.hosts import Hosts, leftover_hosts
from live.idle import endless, is_idle
from live.journal import Journal, JournalFullError
from live.loop import Turns
from live.outputs import Outputs
from live.outward import CONTROLLER, LOCAL, SCHEDULER, Outward
from live.recovery import recover, uncollected
from live.reloading import Load, Reloading
from live.requests import Requests
from live.scripts import SCRIPTS, ScriptDriver
from live.sources import Notifiers, Sources
from live.state_directory import StateDirectory, listen
from model.behaviour import Behaviour
from model.configuration import ClusterDefinition, Configuration, OnExit
from model.controller import Controller
from model.effects import Notice
from model.events import HostVerb, IntakeVerb, LinkUp, OrderIntake, Vouched, WallClock
from model.job import SECOND, JobState
from model.scheduler import Scheduler
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
ROOM_LOOK_SECONDS = 5.0
"""How often a full disk is tried."""
LEAVE_SECONDS = 60.0
"""How long the ends of all jobs may take, beyond their grace, before a server that ends with `kill` uses force."""
SETTLE_SECONDS = 2.0
"""How long keepers with nothing to do get to leave, when others stay; and the last words their way."""
TURN_TOLD_SECONDS = 0.5
LEAVING = "the server ends"
DISK = "disk full"


class Server:
    """One life of a server. Made and used inside its event loop."""

    def __init__(
        self,
        configuration: Configuration,
        state: StateDirectory,
        journal: Journal,
        loop: asyncio.AbstractEventLoop,
        tell: Callable[[str], None],
        scripting: Scripting | None = None,
        mask: int = 0o077,
        load: Load | None = None,
    ) -> None:
        """`tell` shows a line to people. `mask`: the user's umask, for the files of scripts. `load` reads another
        configuration."""
        self._configuration = configuration
        self._load = load
        self._state = state
        self._journal = journal
        self._loop = loop
        self._tell = tell
        self._started_ns = monotonic_ns()
        self._offset_ns = 0
        self._disk = ""
        self._idle_look: asyncio.TimerHandle | None = None
        self._leaving: bool | None = None
        """whether with `kill`, once it is decided to leave"""
        self._wanted: asyncio.Future[None] = loop.create_future()
        """it was decided to leave"""
        self._left: asyncio.Future[str] = loop.create_future()
        self.at_once: asyncio.Future[int] = loop.create_future()
        """the exit status of a second signal"""
        self.exit_status = 0
        """of a server that leaves in order"""
        directory = Path(configuration.directory)
        self._outward = outward = Outward(loop, tell)
        self._turns = turns = Turns(loop, journal, outward.carry_out)
        turns.on_protocol_error, turns.on_disk = outward.protocol_error, self._on_disk
        with uncollected():
            epoch = self._make_machines(scripting)
        self._errands = Errands(loop)
        cluster = configuration.cluster
        self._hosts = Hosts(
            loop,
            epoch,
            cluster,
            state,
            directory,
            up=outward.link_up,
            down=outward.link_down,
            batch=outward.link_batch,
        )
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
        self._outputs = Outputs(state, self._hosts, self._errands)
        sources = Sources(directory, self._errands)
        notifiers = Notifiers(configuration.notifiers, directory, self._errands)
        outward.join(turns, self._hosts, self._local, sources, notifiers)
        self._control: ControlServer | None = None
        self._scripts = ScriptSide(loop, self, configuration, scripting)
        if self.script_machine is not None:
            self._join_scripts(self.script_machine, mask)

    def _join_scripts(self, machine: ScriptMachine, mask: int) -> None:
        driver = ScriptDriver(
            self._loop,
            self._errands,
            self._outputs,
            mask,
            self._configuration.directory,
            post=self._turns.post,
            say=self._outward.say,
            failed=self.fail,
            leave=self.want_leave,
            host_is_known=self._host_is_known,
            define_host=self._hosts.add,
        )
        self._scripts.join(machine, driver, self._turns.post)
        self._outward.join_scripts(driver)

    def _make_machines(self, scripting: Scripting | None) -> int:
        """The epoch of this life, raised when the whole journal could be read: a damaged one is left as it is."""
        cluster = self._configuration.cluster
        restored = recover(self._journal)
        epoch = self._journal.epoch()
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
        self.scheduler = Scheduler(epoch, now, cluster, tasks, restored.scheduler, behaviours)
        self.controller = Controller(epoch, now, cluster, restored.controller)
        added = (change for change in restored.controller.hosts if change.verb == HostVerb.ADD.value)
        self._added_hosts = [(change.host, change.slots) for change in added]
        self._journal.compaction = Compaction(self._journal, restored)
        return epoch

    def _host_is_known(self, name: str) -> bool:
        host = self.controller.hosts.get(name)
        return host is not None and not host.provisional

    # life

    async def start(self, kill_now: bool) -> None:
        """Begin: local keepers, machines, control socket. `kill_now`: end what an earlier server left, and begin
        nothing. Raises LaulimaError."""
        turns = self._turns
        for host, slots in self._added_hosts:
            self._hosts.restore(host, slots)
        self._journal.keep_reserve()
        self._journal.prune_history(wall_ns() - HISTORY_KEPT_NS, HISTORY_PRUNED_MAX)
        agent = await self._local.start()
        turns.add(SCHEDULER, self.scheduler)
        turns.add(CONTROLLER, self.controller)
        turns.add(LOCAL, agent, boottime_ns)
        if self.script_machine is not None:
            turns.add(SCRIPTS, self.script_machine)
        turns.join(SCHEDULER, CONTROLLER)
        turns.join(SCHEDULER, LOCAL)
        if kill_now:  # before any link is up: a job that waits is not given to anybody
            self._order_intake(IntakeVerb.SHUTDOWN_KILL, LEAVING)
            self.want_leave(True)
        if self._scripts.files:
            self._order_intake(IntakeVerb.HALT, WAITING_TO_RUN, lasting=False)
        self._look_at_wall_clock()
        for machine, peer in (
            (SCHEDULER, CONTROLLER),
            (CONTROLLER, "superior"),
            (SCHEDULER, LOCAL),
            (LOCAL, "superior"),
        ):
            turns.post(machine, LinkUp(peer))
        # Scheduler and controller share this process: their link cannot fail by itself. The link to the local agent is
        # not vouched for: its keepers must notice by their leases when this process is gone.
        turns.post(SCHEDULER, Vouched(CONTROLLER, True))
        turns.post(CONTROLLER, Vouched("superior", True))
        turns.begin()
        outward = self._outward
        self._hosts.listen(lambda make: outward.order(CONTROLLER, make), lambda: self.controller.hosts, outward.say)
        requests = Requests(
            self._outward,
            self.machines,
            self._state,
            self._errands,
            turns,
            self._outputs,
            status=self.status,
            define_host=self._hosts.add,
            leave=self._leave_by_request,
            reload=Reloading(
                self._errands,
                turns,
                self._load,
                running=lambda: self._configuration,
                take=self._take_configuration,
                controller=lambda: self.controller,
                define_host=self._hosts.define,
                has_scripts=self.script_machine is not None,
            ).do,
        )
        self._control = ControlServer(requests.verbs(), self._tell, self._scripts.converse)
        await self._control.start(listen(self._state.control))
        self._scripts.begin()

    def _take_configuration(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self.say(Notice("info", "", f"{configuration.path} was loaded again"))

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

    async def run(self, until_idle: bool, for_ns: int | None) -> None:
        """Work until somebody or something says that it is enough."""
        if until_idle:
            self._begin_until_idle()
        if for_ns is not None:
            self._loop.call_later(for_ns / SECOND, self.want_leave, None)
        await self._wanted

    async def unless_at_once(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work; a second signal cuts it short, and so does a failure of a machine or the journal, which is
        raised."""
        task = self._loop.create_task(work)
        if not self.at_once.done():
            ends: tuple[asyncio.Future[Any], ...] = (task, self._turns.failed, self.at_once)
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        else:
            task.result()
        if self._turns.failed.done():
            self._turns.failed.result()

    def want_leave(self, kill: bool | None, status: int = 0) -> None:
        """Leave soon. `kill` None: as the configuration says. The first decision stands, unless it was to keep; so does
        the first exit status that is not 0."""
        self.exit_status = self.exit_status or status
        if kill is None:
            kill = self._configuration.on_exit is OnExit.KILL
        self._leaving = bool(self._leaving) or kill
        if not self._wanted.done():
            self._wanted.set_result(None)

    def on_signal(self, number: signal.Signals) -> None:
        """SIGINT, SIGTERM, SIGHUP: the first ends in order, the second at once."""
        if self._leaving is None:
            self._tell(f"{number.name}: ending; once more ends at once")
            self.want_leave(None)
        elif not self.at_once.done():
            self._tell(f"{number.name}: ending at once; what runs is adopted by the next server on {self._state.path}")
            self.at_once.set_result(128 + number)

    async def leave(self) -> None:
        """Stop intake, let the machines say their last words, end or keep what runs, and close everything."""
        kill = bool(self._leaving)
        verb = IntakeVerb.SHUTDOWN_KILL if kill else IntakeVerb.SHUTDOWN
        keep_ns = 0 if kill else self._configuration.keep_for_ns
        self._order_intake(verb, LEAVING, keep_ns)
        try:
            async with asyncio.timeout(LEAVE_SECONDS if kill else SETTLE_SECONDS):
                await self._outward.idle.wait()
        except TimeoutError:
            self._tell(
                "some jobs have not confirmed their end" if kill else "the disk is full: no parting lease was given"
            )
        self._turns.closed = True
        limit = LEAVE_SECONDS if kill else SETTLE_SECONDS
        busy = {job.host.name for job in self.controller.jobs.values() if job.host is not None}
        if not kill and self._local.is_busy:
            limit = 0.0  # its keepers stay anyway
        troubles, _ = await asyncio.gather(self._hosts.leave(kill, busy), self._local.dismiss_keepers(kill, limit))
        for trouble in troubles:
            self._tell(trouble)
        text = "\n".join(troubles) or "everything has ended" if kill else self._name_what_stays()
        self._left.set_result(text)

    def _order_intake(self, verb: IntakeVerb, reason: str, keep_ns: int = 0, *, lasting: bool = True) -> None:
        order = self._outward.order(SCHEDULER, lambda request: OrderIntake(request, verb, reason, keep_ns, lasting))
        order.add_done_callback(lambda answered: answered.cancelled() or answered.exception())

    def _name_what_stays(self) -> str:
        """Tell what goes on without a server, and how to end it."""
        running = [job for job in self.scheduler.jobs.values() if job.state is JobState.RUNNING]
        agents = self._hosts.agents
        keepers = self._local.processes
        if not running and not agents and not keepers:
            return "nothing is left running"
        hours = self._configuration.keep_for_ns / SECOND / 3600
        lines = [
            f"left running for at most {hours:g} h (shutdown.keep_for), for the next server on {self._state.path}:"
        ]
        lines += [f"  job {job.id} ({job.spec.task}) on {job.host}" for job in running]
        lines += [f"  agent of {name}: {agent}" for name, agent in agents.items()]
        if keepers:
            lines.append(f"  local keepers: pid {' '.join(map(str, keepers))}")
        lines.append(f"to end them: laulima shutdown --kill --state {self._state.path}")
        text = "\n".join(lines)
        self._tell(text)
        return text

    async def close(self) -> None:
        """Let go of everything, in any state of this server."""
        if self._control is not None:
            await self._control.close(0.0 if self.at_once.done() else 1.0)
            self._state.control.unlink(missing_ok=True)
        if self._idle_look is not None:
            self._idle_look.cancel()
        await self._scripts.close()
        await self._outward.close()
        self._turns.close()
        await self._hosts.stop_listening()
        await self._hosts.links.close(goodbye=False)
        self._hosts.close()
        await self._local.close()
        self._errands.close()
        for future in (self._left, self.at_once, self._wanted):
            future.cancel()

    async def _leave_by_request(self, kill: bool) -> str:
        self.want_leave(kill or None)
        return await asyncio.shield(self._left)

    # what others ask

    def machines(self) -> Machines:
        """The machines, with the time of now."""
        return Machines(self.scheduler, self.controller, self._local.agent, monotonic_ns(), boottime_ns())

    def status(self) -> Status:
        """One screen."""
        expiry = self._hosts.joining.warning() if self._hosts.joining is not None else ""
        alarms = tuple(text for text in (self._disk, expiry) if text)
        age = monotonic_ns() - self._started_ns
        return status(self.machines(), self._configuration.path, "live", age, alarms, os.getpid())

    # clocks, idleness, disk

    def _look_at_wall_clock(self) -> None:
        offset = wall_ns() - monotonic_ns()
        if abs(offset - self._offset_ns) > WALL_STEP_NS:
            self._offset_ns = offset
            self._turns.post(SCHEDULER, WallClock(offset))
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
        if self._leaving is not None or self._scripts.are_beginning:
            return
        if is_idle(self.scheduler, Path(self._configuration.directory)):
            self.want_leave(None)

    def _on_disk(self, error: JournalFullError) -> None:
        """The disk is full: intake stops; what runs ends on the reserve."""
        if self._disk:
            return
        self._disk = f"intake stopped (disk): {error}"
        self._outward.say(Notice("alarm", "", f"{self._disk}; {error.hint}"))
        self._order_intake(IntakeVerb.STOP, DISK, lasting=False)
        self._loop.call_later(ROOM_LOOK_SECONDS, self._look_for_room)

    def _look_for_room(self) -> None:
        if self._turns.closed:
            return
        if self._turns.stuck or not self._journal.keep_reserve():
            self._loop.call_later(ROOM_LOOK_SECONDS, self._look_for_room)
            return
        self._disk = ""
        self._outward.say(Notice("info", "", "there is room on the disk again: intake resumes"))
        if self.scheduler.orders.reason == DISK:
            self._order_intake(IntakeVerb.RESUME, DISK)


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
) -> int:
    """Run a pipeline in this process until a signal, `shutdown`, `for_ns` ns, or (with `until_idle`) until nothing is
    left to do. Returns the exit status. `on_turn` is told the status twice a second.

    `scripts` makes the machine that runs task scripts; without it the server runs none, and has no prompts. With it,
    `arguments` are the script files' `argv`, and with `leave_after_scripts` the server ends with the last of them.
    `new_data`: the data that scripts had in earlier lives does not count any more.
    `load` reads a configuration, for `laulima reload`.

    Raises AlreadyRunningError when another server has the state directory, other LaulimaErrors when it cannot start.
    """
    words = tuple(map(text_of, arguments))
    scripting = None if scripts is None else Scripting(scripts, words, leave_after_scripts, new_data)
    how = _How(until_idle=until_idle, for_ns=for_ns, on_turn=on_turn, scripting=scripting, load=load)
    return _run(configuration, state, how)


def end_leftovers(state: Path) -> int:
    """End everything that an earlier server of `state` left running, with its records. Returns the exit status. Raises
    AlreadyRunningError when a server runs there (then ask that one)."""
    cluster = ClusterDefinition(hosts=leftover_hosts(state))
    configuration = Configuration(str(state), str(state.absolute().parent), cluster=cluster, on_exit=OnExit.KILL)
    return _run(configuration, state, _How(kill_now=True))


class _How(Struct, frozen=True):
    """What one life of a server is for; see `serve` and `end_leftovers`."""

    until_idle: bool = False
    for_ns: int | None = None
    on_turn: Callable[[Status], None] | None = None
    scripting: Scripting | None = None
    load: Load | None = None
    kill_now: bool = False


def _run(configuration: Configuration, state: Path, how: _How) -> int:
    before = os.umask(0o077)
    owned = StateDirectory(state)
    try:
        journal = Journal(owned.journal)
        try:
            return asyncio.run(_life(configuration, owned, journal, how, before))
        finally:
            journal.close()
    finally:
        owned.close()
        os.umask(before)


async def _life(configuration: Configuration, state: StateDirectory, journal: Journal, how: _How, mask: int) -> int:
    loop = asyncio.get_running_loop()
    server = Server(configuration, state, journal, loop, _tell, how.scripting, mask, how.load)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, server.on_signal, number)
    telling = loop.create_task(_tell_turns(server, how.on_turn)) if how.on_turn is not None else None
    try:
        await server.unless_at_once(server.start(how.kill_now))
        await server.unless_at_once(server.run(how.until_idle, how.for_ns))
        await server.unless_at_once(server.leave())
        return server.at_once.result() if server.at_once.done() else server.exit_status
    finally:
        if telling is not None:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        await server.close()
        for number in numbers:
            loop.remove_signal_handler(number)


async def _tell_turns(server: Server, on_turn: Callable[[Status], None]) -> None:
    while True:
        await asyncio.sleep(TURN_TOLD_SECONDS)
        on_turn(server.status())


def _tell(text: str) -> None:
    print(clean_lines(text), file=sys.stderr, flush=True)
