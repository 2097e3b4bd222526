"""A controller with a process of its own, which several schedulers share: `laulima controller`.

    journal -> recovery -> machine -> loop (turns) -> outward (effects) -> hosts, the schedulers' door, control

The parts are those of a server (`live/server.py`) without a scheduler, tasks or local jobs. `serve_controller` is what
the command calls; `python -m live.controller_program --state DIR` is what a server starts (`controller: spawn`): it
finds its configuration in DIR, and leaves by itself when its server has not come back for the lease and nothing of it
is here.

Leaving. Schedulers are let go first, so nothing new comes. `keep`: what runs gets the parting lease, and is found again
by the next life. `kill`: its hosts end what runs, which is reported as LOST when the next life is asked.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from live.clock import monotonic_ns, wall_ns
from live.compaction import HISTORY_KEPT_NS, Compaction
from live.control import ControlServer
from live.controller_here import ControllerHere
from live.controller_requests import ControllerRequests
from live.disk_room import DiskRoom
from live.errands import Errands
from live.hello import Hello, Side, own_hello
from live.journal import Journal
from live.life import PART_SECONDS, Life, live_on, live_out, tell
from live.loop import Turns
from live.outputs import Outputs
from live.outward import CONTROLLER, Outward
from live.program_link import READY
from live.recovery import recover, uncollected
from live.reloading import Load, Reloading
from live.scheduler_door import SchedulerDoor
from live.state_directory import Service, StateDirectory, listen
from live.systemd import Systemd, hosts_in_short
from model.configuration import Configuration, OnExit, without_tasks
from model.controller_job import ControllerJobState
from model.effects import Disconnect, Notice
from model.errors import LaulimaError
from model.events import Delivered, IntakeVerb, LinkDown, LinkUp, PartFromHosts, SetTerms, WallClock
from model.messages import Batch
from model.records import PersonOrdered
from model.superiors import SUPERIOR, is_superior, peer_of
from model.view_rows import controller_status, superior_rows
from model.views import Status

CONFIGURATION_NAME: Final = "configuration.json"
"""In the state directory of a controller that a server has started: what it was told."""
LEAVE_SECONDS: Final = 60.0
"""How long the ends of all jobs may take before hosts are ended by force."""
SETTLE_SECONDS: Final = 0.5
"""How long last words get on their way."""
ALONE_LOOK_SECONDS: Final = 5.0
NUMBERS: Final = 1 << 20
"""Numbers from which a controller begins to count its schedulers: one that has lost its journal begins elsewhere, so
that what hosts still have of its earlier lives is nobody's."""
NOT_HERE: Final = "a controller has hosts and schedulers; tasks and jobs are asked of the schedulers' own servers"
_OVER: Final = frozenset({ControllerJobState.QUEUED, ControllerJobState.ENDED})


class ControllerProgram:
    """One life of it. Made and used inside its event loop."""

    def __init__(
        self,
        configuration: Configuration,
        state: StateDirectory,
        journal: Journal,
        loop: asyncio.AbstractEventLoop,
        *,
        systemd: Systemd,
        load: Load | None = None,
        ready_fd: int | None = None,
    ) -> None:
        """`ready_fd`: it was started by a server, which is told there that it listens."""
        self._configuration = without_tasks(configuration)
        self._load = load
        self._state = state
        self._journal = journal
        self._loop = loop
        self._ready_fd = ready_fd
        self._alone_since_ns = self._started_ns = monotonic_ns()
        self._outward = outward = Outward(loop, tell)
        self._turns = turns = Turns(loop, journal, outward.carry_out)
        outward.join(turns)
        self._room = DiskRoom(loop, journal, turns, outward.say)
        turns.on_protocol_error, turns.on_disk = outward.protocol_error, self._room.stands_still
        self.life = Life(loop, turns, tell, state.path, self._kills, systemd)
        with uncollected():
            restored = recover(journal)
            self._identity = journal.identity()
            if restored.controller.following == 1:
                restored.controller.following = 1 + int(self._identity, 16) % NUMBERS
            self._epoch = journal.epoch()
            journal.compaction = Compaction(journal, restored)
            self._here = ControllerHere(
                loop,
                configuration.cluster,
                state,
                Path(configuration.directory),
                self._epoch,
                restored.controller,
                outward,
                turns,
            )
        self._errands = Errands(loop)
        self._door: SchedulerDoor | None = None
        self._control: ControlServer | None = None
        hosts_send = outward.speak[CONTROLLER]
        outward.speak[CONTROLLER] = lambda peer, batch: (
            self._say_to_scheduler(peer, batch) if is_superior(peer) else hosts_send(peer, batch)
        )
        outward.blame[CONTROLLER] = self._end_link
        outward.add({Disconnect: self._disconnect})

    # life

    async def start(self) -> None:
        """Begin: the machine, the door of schedulers, the control socket. Raises LaulimaError."""
        self._journal.keep_reserve()
        self._journal.prune_history(wall_ns() - HISTORY_KEPT_NS)
        self._here.begin()
        self._turns.post(CONTROLLER, WallClock(wall_ns() - monotonic_ns()))  # its first turn: hosts are dialled
        self._turns.begin()
        self._here.open_doors()
        own = own_hello(Side.CONTROLLER, "", self._epoch, self._identity)
        complain: Callable[[str], None] = lambda text: self._outward.say(Notice("warning", "", text))  # noqa: E731
        self._door = SchedulerDoor(self._loop, listen(self._state.schedulers), own, self, complain)
        requests = ControllerRequests(
            self._outward,
            self._here,
            Outputs(self._state.local_spool, self._here, self._errands),
            status=self._status,
            leave=self.life.leave_by_request,
            reload=Reloading(
                self._errands,
                self._turns,
                None if self._load is None else self._load_without_tasks,
                running=lambda: self._configuration,
                take=self._take_configuration,
                controller=lambda: self._here.machine,
                has_scheduler=False,
                define_host=self._here.hosts.define,
                has_scripts=False,
                during=self.life.systemd.reloading,
            ).do,
        )
        self._control = ControlServer(requests.verbs(), tell, missing=NOT_HERE)
        await self._control.start(listen(self._state.control))
        if self._ready_fd is not None:
            self._tell_ready(self._ready_fd)
            self._loop.call_later(ALONE_LOOK_SECONDS, self._look_whether_alone)

    def _tell_ready(self, ready_fd: int) -> None:
        try:
            os.write(ready_fd, READY)
        except BrokenPipeError:
            tell("the server that has started this has given up; it is waited for")
        finally:
            os.close(ready_fd)

    def _load_without_tasks(self, path: Path, changes: Sequence[str] = ()) -> Configuration:
        assert self._load is not None
        return without_tasks(self._load(path, changes))

    def _take_configuration(self, configuration: Configuration) -> None:
        self._configuration = configuration
        for name in [superior.name for superior in self._here.machine.superiors.all.values()]:
            self._turns.post(CONTROLLER, SetTerms(name, configuration.cluster.terms_of(name)))
        self._outward.say(Notice("info", "", f"{configuration.path} was loaded again"))

    async def run(self) -> None:
        """Work until somebody says that it is enough."""
        await self.life.wanted

    def _kills(self) -> bool:
        return self._configuration.on_exit is OnExit.KILL

    def in_short(self) -> str:
        """What it does, on one line, for a service manager."""
        machine = self._here.machine
        schedulers = sum(row.listens for row in superior_rows(machine))
        parts = [f"{len(machine.jobs)} jobs of {schedulers} schedulers", hosts_in_short(machine)]
        return "; ".join([*parts, *([self._room.text] if self._room.text else [])])

    def _look_whether_alone(self) -> None:
        """A controller that a server has started does not outlive it for ever."""
        now = monotonic_ns()
        if self._turns.closed:
            return
        if self._door is None or self._door.connected or self._here.machine.jobs:
            self._alone_since_ns = now
        elif now - self._alone_since_ns > self._configuration.cluster.times.lease_ns:
            tell("its server has not come back, and nothing of it is here: the controller ends")
            self.life.want_leave(None)
        self._loop.call_later(ALONE_LOOK_SECONDS, self._look_whether_alone)

    async def leave(self) -> None:
        """Let the schedulers go, say the last word to the hosts, end or keep what runs."""
        kill = bool(self.life.leaving)
        keep_ns = 0 if kill else self._configuration.keep_for_ns
        if self._door is not None:
            self._door.close()
        if self.life.by:
            verb = IntakeVerb.SHUTDOWN_KILL if kill else IntakeVerb.SHUTDOWN
            self._turns.note(CONTROLLER, PersonOrdered(self.life.by, verb.value, "controller"))
        self._turns.post(CONTROLLER, PartFromHosts(keep_ns))
        await asyncio.sleep(0)  # the turn that says it is the next thing that the loop does
        words = SETTLE_SECONDS if self._room.text else PART_SECONDS
        try:
            async with asyncio.timeout(LEAVE_SECONDS if kill else words):
                await self._turns.when_durable()
                if kill:
                    await self._jobs_over()
        except TimeoutError:
            why = self._room.text or f"the disk has not taken its record within {words:g} s"
            tell("some jobs have not confirmed their end" if kill else f"no parting lease was given: {why}")
        self._turns.closed = True
        troubles = await self._here.leave(kill)
        stays = [] if kill else self._here.left_behind()
        lines = [*troubles, *(f"left running: {line}" for line in stays)]
        for line in lines:
            tell(line)
        self.life.left.set_result("\n".join(lines) or "the controller has ended, and nothing of its is left running")

    async def _jobs_over(self) -> None:
        """Wait until hosts have ended everything."""
        turned = asyncio.Event()
        self._turns.after_turn = turned.set
        while not all(job.state in _OVER for job in self._here.machine.jobs.values()):
            turned.clear()
            await turned.wait()

    async def close(self) -> None:
        """Let go of everything, in any state."""
        if self._control is not None:
            await self._control.close(0.0 if self.life.at_once.done() else 1.0)
            self._state.control.unlink(missing_ok=True)
        if self._door is not None:
            self._door.close()
            self._state.schedulers.unlink(missing_ok=True)
        await self._outward.close()
        self._turns.close()
        await self._here.close()
        self._errands.close()
        self.life.close()

    def _status(self) -> Status:
        now = monotonic_ns()
        path = self._configuration.path or str(self._state.path)
        alarms, age = self._here.last_alarms(), now - self._started_ns
        return controller_status(self._here.machine, now, path, age, alarms, os.getpid(), self._room.text)

    # the schedulers (`Doorkeeper`)

    def scheduler_may_come(self, name: str, peer: Hello) -> str:
        superiors = self._here.machine.superiors
        refusal = superiors.refusal(name, peer.identity)
        if refusal:
            return f"{refusal} (at the controller: laulima forget {name} --state {self._state.path})"
        known = superiors.by_peer.get(peer_of(name))
        if known is not None and peer.epoch < known.uplink.peer_epoch:
            return f"life {known.uplink.peer_epoch} of scheduler {name} was here, and life {peer.epoch} calls: end it"
        return ""

    def scheduler_up(self, name: str, peer: Hello) -> None:
        terms = self._configuration.cluster.terms_of(name)
        self._turns.post(CONTROLLER, LinkUp(peer_of(name), terms, peer.identity))

    def scheduler_said(self, name: str, batch: Batch) -> None:
        self._turns.post(CONTROLLER, Delivered(peer_of(name), batch))

    def scheduler_down(self, name: str, reason: str) -> None:
        if not self._turns.closed:
            tell(f"info: scheduler {name}: {reason}")
        self._turns.post(CONTROLLER, LinkDown(peer_of(name), reason))

    def _say_to_scheduler(self, peer: str, batch: Batch) -> None:
        if self._door is not None:
            self._door.send(_name_of(peer), batch)

    def _disconnect(self, machine: str, effect: Disconnect) -> None:
        if not is_superior(effect.host):
            self._here.hosts.links.disconnect(effect.host)
        elif self._door is not None:
            self._door.end_link(_name_of(effect.host), "the controller does not want it")

    def _end_link(self, peer: str, reason: str) -> None:
        if not is_superior(peer):
            self._here.end_link(peer, reason)
        elif self._door is not None:
            self._outward.say_link_closed(f"scheduler {_name_of(peer)}", reason)
            self._door.end_link(_name_of(peer), reason)


def _name_of(peer: str) -> str:
    return peer.removeprefix(f"{SUPERIOR}/")


def serve_controller(
    configuration: Configuration, state: Path, *, load: Load | None = None, ready_fd: int | None = None
) -> int:
    """Run a controller for the cluster of this configuration until a signal or `shutdown`; the exit status. `load`
    reads a configuration, for `laulima reload`.

    Raises AlreadyRunningError when another one has the state directory, other LaulimaErrors when it cannot start."""

    async def begin(owned: StateDirectory, journal: Journal, systemd: Systemd, _: int) -> int:
        loop = asyncio.get_running_loop()
        return await live_out(
            ControllerProgram(configuration, owned, journal, loop, systemd=systemd, load=load, ready_fd=ready_fd)
        )

    return live_on(state, Service.CONTROLLER, begin)


def main(arguments: list[str] | None = None) -> int:
    """What a server starts; its exit status."""
    parser = argparse.ArgumentParser(prog="laulima controller", allow_abbrev=False)
    parser.add_argument("--state", required=True, type=Path)
    parser.add_argument("--ready-fd", required=True, type=int)
    found = parser.parse_args(arguments)
    os.set_inheritable(found.ready_fd, False)
    try:
        told = (found.state / CONFIGURATION_NAME).read_bytes()
        configuration = msgspec.json.decode(told, type=Configuration)
        return serve_controller(configuration, found.state, ready_fd=found.ready_fd)
    except LaulimaError as error:
        tell(f"{error}{'; ' + error.hint if error.hint else ''}")
    except (OSError, msgspec.MsgspecError) as error:
        tell(f"the controller could not start: {error}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
