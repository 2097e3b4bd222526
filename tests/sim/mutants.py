"""Bugs to plant, each by replacing one method of a machine or of a modelled thing, and what must be seen of it.

Called by `test_mutants.py`, which replays a small world for each, and by `count_seeds.py`, which looks for them anew.
Numbers that are missing need a kernel (a process tree, process ids), which simulation has not: `tests/live/planted.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct, structs

from model import scheduler
from model.agent import FOREVER_NS, Agent
from model.agent import HANDLERS as AGENT_HANDLERS
from model.channel import ChannelTimes, End, LinkState
from model.controller import Controller
from model.controller_job import ControllerJobState
from model.downlink import Downlink
from model.effects import Commit, Effect, ToKeeper
from model.ending import Ending
from model.events import KeeperUp, WallClock
from model.host import Host, HostOrder
from model.job import AttemptKey, JobState, Outcome, Report
from model.keeper import HANDLERS as KEEPER_HANDLERS
from model.keeper import Died, Forget, Keeper, Renew
from model.messages import Ended, Started
from model.placing import Placing
from model.records import AttemptAssigned, AttemptEnded
from model.scheduler import Scheduler
from model.spawning import Spawning
from model.timers import NEVER_NS, Timers
from model.uplink import Uplink
from sim.disk import Disk
from sim.system import System

Patch = pytest.MonkeyPatch


class Mutant(Struct, frozen=True):
    """`number`: its name in docs/reliability.md. `text`: the bug in one clause."""

    number: int
    text: str
    plant: Callable[[Patch], None]

    @property
    def name(self) -> str:
        return self.plant.__name__


def _hold_back(patch: Patch, kind: type) -> None:
    """Records of this kind come one drained list later than what follows from them."""
    drain = Scheduler.drain

    def mutant(self: Scheduler) -> list[Effect]:
        late: list[Effect] = self.__dict__.pop("late_records", [])
        effects = drain(self)
        self.late_records = [one for one in effects if type(one) is Commit and type(one.record) is kind]  # type: ignore[attr-defined]
        return late + [one for one in effects if not (type(one) is Commit and type(one.record) is kind)]

    patch.setattr(Scheduler, "drain", mutant)


def acknowledge_before_commit(patch: Patch) -> None:
    _hold_back(patch, AttemptEnded)


def assign_before_commit(patch: Patch) -> None:
    _hold_back(patch, AttemptAssigned)


def forget_before_acknowledge(patch: Patch) -> None:
    end = Agent.end

    def mutant(self: Agent, attempt: Any, report: Report, now: int) -> None:
        end(self, attempt, report, now)
        self.uplink.results.pop(attempt.key, None)
        self.attempts.pop(attempt.key, None)
        if attempt.keeper >= 0:
            self._effects.append(ToKeeper(attempt.keeper, Forget(*attempt.key)))

    patch.setattr(Agent, "end", mutant)


def ignore_attempt(patch: Patch) -> None:
    take_reports = Scheduler._take_reports

    def mutant(self: Scheduler, executor: Any, reports: list[Any], now: int) -> None:
        blind = [
            Ended(message.job, self.jobs[message.job].attempt, message.report)
            if type(message) is Ended and message.job in self.jobs
            else message
            for message in reports
        ]
        take_reports(self, executor, blind, now)

    patch.setattr(Scheduler, "_take_reports", mutant)


def ignore_epoch(patch: Patch) -> None:
    def fresh(self: End, batch: Any) -> bool:
        if batch.epoch != self.peer_epoch:
            self.peer_epoch, self.heard_sequence = batch.epoch, 0
        if batch.sequence <= self.heard_sequence:
            return False
        self.heard_sequence = batch.sequence
        return True

    up, down = Uplink.receive, Downlink.receive
    patch.setattr(End, "fresh", fresh)
    patch.setattr(
        Uplink, "receive", lambda self, batch, now: up(self, structs.replace(batch, receiver_epoch=self.epoch), now)
    )
    patch.setattr(
        Downlink, "receive", lambda self, batch, now: down(self, structs.replace(batch, receiver_epoch=0), now)
    )


def ignore_sequence(patch: Patch) -> None:
    fresh = End.fresh

    def mutant(self: End, batch: Any) -> bool:
        self.heard_sequence = 0
        return fresh(self, batch)

    patch.setattr(End, "fresh", mutant)


def reuse_a_job_number(patch: Patch) -> None:
    restore = scheduler.take_up

    def mutant(self: Scheduler, restored: Any, now: int) -> Any:
        undefined = restore(self, restored, now)
        self.next_job = max(1, self.next_job - 1)
        return undefined

    patch.setattr(scheduler, "take_up", mutant)


def no_inquiry_after_reconnect(patch: Patch) -> None:
    opened, closed = Downlink.opened, Uplink.closed

    def mutant(self: Downlink, now: int) -> None:
        opened(self, now)
        if self.peer_epoch:
            self.state = LinkState.OPEN
            self.outbox.clear()
            self._inquire_at = self._unanswered_since = None

    def stays_open(self: Uplink) -> None:
        closed(self)
        self.open = True

    patch.setattr(Downlink, "opened", mutant)
    patch.setattr(Uplink, "closed", stays_open)


def inventory_of_one_page(patch: Patch) -> None:
    inventory = Uplink.inventory

    def mutant(self: Uplink, number: int, entries: tuple[Any, ...], *rest: Any) -> None:
        inventory(self, number, entries[:1], *rest)

    patch.setattr(Uplink, "inventory", mutant)


def count_an_end_twice(patch: Patch) -> None:
    stale, take_reports = Scheduler._stale, Scheduler._take_reports

    def mutant(self: Scheduler, executor: Any, key: Any, job: Any, ended: bool, now: int) -> None:
        if ended and key in self.seen_ends:  # type: ignore[attr-defined]
            report = self.seen_ends[key]  # type: ignore[attr-defined]
            self.effects.append(Commit(AttemptEnded(key[0], key[1], report, final=True)))
        stale(self, executor, key, job, ended, now)

    def remember(self: Scheduler, executor: Any, reports: list[Any], now: int) -> None:
        if not hasattr(self, "seen_ends"):
            self.seen_ends = {}  # type: ignore[attr-defined]
        take_reports(self, executor, reports, now)
        for message in reports:
            if type(message) is Ended:
                self.seen_ends[message.job, message.attempt] = message.report  # type: ignore[attr-defined]

    patch.setattr(Scheduler, "_stale", mutant)
    patch.setattr(Scheduler, "_take_reports", remember)


def a_late_start_reopens_a_job(patch: Patch) -> None:
    take_reports = Scheduler._take_reports

    def mutant(self: Scheduler, executor: Any, reports: list[Any], now: int) -> None:
        take_reports(self, executor, reports, now)
        for message in reports:
            job = self.jobs.get(message.job) if type(message) is Started else None
            if job is not None and job.attempt == message.attempt and job.state is JobState.RETRYING:
                job.state = JobState.RUNNING
                self.wakes.cancel(job.id)

    patch.setattr(Scheduler, "_take_reports", mutant)


def a_timeout_beats_an_end(patch: Patch) -> None:
    receive = Keeper.receive

    def mutant(self: Keeper, event: Any, now: int) -> None:
        if type(event) is Died:
            self.advance(now)
        receive(self, event, now)

    patch.setattr(Keeper, "receive", mutant)


def a_pending_timeout_outlives_the_start(patch: Patch) -> None:
    unqueue, next_due, advance = Placing.unqueue, Placing.next_due, Placing.advance

    def outlived(self: Placing) -> Timers[AttemptKey]:
        found: Timers[AttemptKey] = vars(self).setdefault("outlived", Timers())
        return found

    def mutant(self: Placing, job: Any, now: int) -> None:
        ends_ns = self.pending_ends(job)
        unqueue(self, job, now)
        if ends_ns is not None:
            outlived(self).set(job.key, ends_ns)

    def sooner(self: Placing) -> int:
        return min(next_due(self), outlived(self).first)

    def ends(self: Placing, now: int) -> None:
        advance(self, now)
        for key in outlived(self).take(now):
            job = self._owner.jobs.get(key)
            if job is not None and job.state is not ControllerJobState.ENDED:
                self._owner.end(job, Outcome.PENDING_TIMEOUT, "it waited too long", now)

    patch.setattr(Placing, "unqueue", mutant)
    patch.setattr(Placing, "next_due", sooner)
    patch.setattr(Placing, "advance", ends)


def a_preferred_host_is_waited_for_without_end(patch: Patch) -> None:
    advance = Placing.advance

    def mutant(self: Placing, now: int) -> None:
        for _ in self._waits.take(now):
            pass
        advance(self, now)

    patch.setattr(Placing, "advance", mutant)


def a_cancel_forgets_what_was_not_confirmed(patch: Patch) -> None:
    cancel = Downlink.cancel

    def mutant(self: Downlink, key: Any, why: Any, now: int) -> None:
        if self.given[key].held is not None:
            cancel(self, key, why, now)
        elif self.given.pop(key).awaited:
            self._awaited -= 1

    patch.setattr(Downlink, "cancel", mutant)


def ignore_the_lease(patch: Patch) -> None:
    make = Agent.__init__

    def mutant(
        self: Agent, name: str, epoch: int, now: int, slots: int, times: ChannelTimes, *rest: Any, **more: Any
    ) -> None:
        make(self, name, epoch, now, slots, structs.replace(times, lease_ns=FOREVER_NS), *rest, **more)

    patch.setattr(Agent, "__init__", mutant)


def lost_without_the_margin(patch: Patch) -> None:
    def lost_at(self: Downlink) -> int:
        return max(self.last_pong_ns + self.times.lease_ns, self._judge_after)

    patch.setattr(Downlink, "lost_at", property(lost_at))


def all_is_lost_after_own_stall(patch: Patch) -> None:
    def mutant(self: Downlink, now: int) -> list[Any]:
        if self.given and not self.vouched and not self._lost_judged and now >= self.last_pong_ns + self.times.lease_ns:
            self._lost_judged = True
            return [self._lost(key, "not heard") for key in self.given]
        return []

    patch.setattr(Downlink, "_judge_loss", mutant)


def a_lost_attempt_keeps_its_slot(patch: Patch) -> None:
    ended_at = Controller._ended_at

    def mutant(self: Controller, host: Any, job: Any, report: Report, now: int) -> None:
        ended_at(self, host, job, report, now)
        if report.outcome is Outcome.LOST:
            host.free -= job.slots

    patch.setattr(Controller, "_ended_at", mutant)


def free_a_slot_twice(patch: Patch) -> None:
    ended_at = Controller._ended_at

    def mutant(self: Controller, host: Any, job: Any, report: Report, now: int) -> None:
        ended_at(self, host, job, report, now)
        host.free += job.slots

    patch.setattr(Controller, "_ended_at", mutant)


def timeouts_by_the_wall_clock(patch: Patch) -> None:
    receive, advance = Controller.receive, Placing.advance

    def mutant(self: Controller, event: Any, now: int) -> None:
        if type(event) is WallClock:
            first = self.__dict__.setdefault("first_offset_ns", event.offset_ns)
            self.shift_ns = event.offset_ns - first  # type: ignore[attr-defined]
        receive(self, event, now)

    patch.setattr(Controller, "receive", mutant)
    patch.setattr(Placing, "advance", lambda self, now: advance(self, now + getattr(self._owner, "shift_ns", 0)))


def an_earlier_boot_is_not_read(patch: Patch) -> None:
    patch.setattr(System, "left", lambda self: None)


def a_retry_without_a_new_attempt(patch: Patch) -> None:
    try_again = Ending._try_again

    def mutant(self: Ending, job: Any, report: Report, wait_ns: int, now: int) -> None:
        try_again(self, job, report, wait_ns, now)
        job.attempt = max(0, job.attempt - 1)

    patch.setattr(Ending, "_try_again", mutant)


def retries_are_forgotten_by_a_restart(patch: Patch) -> None:
    restore = scheduler.take_up

    def mutant(self: Scheduler, restored: Any, now: int) -> Any:
        for old in restored.jobs.values():
            old.retries = 0
        return restore(self, restored, now)

    patch.setattr(scheduler, "take_up", mutant)


def the_total_is_forgotten_by_a_restart(patch: Patch) -> None:
    restore = scheduler.take_up

    def mutant(self: Scheduler, restored: Any, now: int) -> Any:
        for old in restored.tasks.values():
            old.made = 0
        return restore(self, restored, now)

    patch.setattr(scheduler, "take_up", mutant)


def a_drained_host_gets_work(patch: Patch) -> None:
    state_by_link = Host.state_by_link

    def mutant(self: Host) -> Any:
        order, self.order = self.order, HostOrder.ON
        state = state_by_link(self)
        self.order = order
        return state

    patch.setattr(Host, "state_by_link", mutant)


def a_deleted_task_spawns(patch: Patch) -> None:
    obstacle, rearm = Spawning._obstacle, Spawning._rearm

    def blind(inner: Callable[..., Any]) -> Callable[..., Any]:
        def mutant(self: Spawning, task: Any, *rest: Any) -> Any:
            deleted, task.deleted = task.deleted, False
            answer = inner(self, task, *rest)
            task.deleted = deleted
            return answer

        return mutant

    patch.setattr(Spawning, "_obstacle", blind(obstacle))
    patch.setattr(Spawning, "_rearm", blind(rearm))


def jobs_in_flight_are_forgotten_by_a_restart(patch: Patch) -> None:
    restore = scheduler.take_up

    def mutant(self: Scheduler, restored: Any, now: int) -> Any:
        undefined = restore(self, restored, now)
        for task in self.spawning.tasks.values():
            task.in_flight = 0
        return undefined

    patch.setattr(scheduler, "take_up", mutant)


def nothing_waits_for_the_sync(patch: Patch) -> None:
    take = Disk.take

    def mutant(self: Disk, node: Any, effects: Any) -> None:
        wanted = list(effects)
        take(self, node, iter([one for one in wanted if type(one) is Commit]))
        self._carry_out(node, [one for one in wanted if type(one) is not Commit])

    patch.setattr(Disk, "take", mutant)


def a_full_disk_loses_the_commit(patch: Patch) -> None:
    def mutant(self: Disk) -> bool:
        self._written = []
        return True

    patch.setattr(Disk, "_spend_reserve", mutant)


def the_keeper_ignores_the_lease(patch: Patch) -> None:
    renew = Keeper._renew
    patch.setitem(KEEPER_HANDLERS, Renew, lambda self, order, now: renew(self, Renew(FOREVER_NS), now))


def a_new_agent_adopts_nothing(patch: Patch) -> None:
    def mutant(self: Agent, event: Any, now: int) -> None:
        self._load[event.keeper] = 0
        self._unheard.discard(event.keeper)
        self._answer_inquiry(now)
        self._fill(now)

    patch.setitem(AGENT_HANDLERS, KeeperUp, mutant)


def nobody_ends_an_orphan(patch: Patch) -> None:
    stale = Scheduler._stale

    def mutant(self: Scheduler, executor: Any, key: Any, job: Any, ended: bool, now: int) -> None:
        if ended:
            stale(self, executor, key, job, ended, now)

    patch.setattr(Scheduler, "_stale", mutant)


def an_end_is_said_once(patch: Patch) -> None:
    patch.setattr(Uplink, "advance", lambda self, now: setattr(self, "resend_at", NEVER_NS))


def an_empty_disk_is_taken_for_a_complete_one(patch: Patch) -> None:
    lose = System.lose_spool

    def mutant(self: System) -> None:
        remembers = self.remembers
        lose(self)
        self.remembers = remembers

    patch.setattr(System, "lose_spool", mutant)


def a_doubled_order_starts_twice(patch: Patch) -> None:
    assign = Agent._assign

    def mutant(self: Agent, message: Any, now: int) -> None:
        known = self.attempts.get((message.job, message.attempt))
        if known is not None and known.report is not None:
            del self.attempts[known.key]
            if known.keeper >= 0:
                self._effects.append(ToKeeper(known.keeper, Forget(*known.key)))
        assign(self, message, now)

    patch.setattr(Agent, "_assign", mutant)


def a_parting_lease_is_forgotten(patch: Patch) -> None:
    patch.setattr(Downlink, "parted", lambda self, keep_ns, now: None)


MUTANTS: tuple[Mutant, ...] = (
    Mutant(1, "the end of an attempt is acknowledged, and recorded afterwards", acknowledge_before_commit),
    Mutant(2, "an attempt is handed down, and recorded afterwards", assign_before_commit),
    Mutant(3, "a host forgets an end when it has said it", forget_before_acknowledge),
    Mutant(4, "an end counts for the current attempt, whichever it names", ignore_attempt),
    Mutant(5, "words of an earlier life, and to one, are obeyed", ignore_epoch),
    Mutant(6, "old sequence numbers are obeyed", ignore_sequence),
    Mutant(7, "a job's number is used again after a restart", reuse_a_job_number),
    Mutant(8, "nothing is asked after a reconnection", no_inquiry_after_reconnect),
    Mutant(9, "an inventory is cut after its first entry", inventory_of_one_page),
    Mutant(10, "an end that comes again is recorded again", count_an_end_twice),
    Mutant(11, "a start that comes after the end reopens the job", a_late_start_reopens_a_job),
    Mutant(12, "at one instant a timeout beats an end", a_timeout_beats_an_end),
    Mutant(13, "a pending timeout is not cancelled by the start", a_pending_timeout_outlives_the_start),
    Mutant(14, "a cancel forgets an attempt that was not confirmed", a_cancel_forgets_what_was_not_confirmed),
    Mutant(15, "an agent ignores its lease", ignore_the_lease),
    Mutant(16, "an attempt is called lost without the margin", lost_without_the_margin),
    Mutant(17, "everything is called lost after a stall of one's own", all_is_lost_after_own_stall),
    Mutant(18, "a lost attempt keeps its slot", a_lost_attempt_keeps_its_slot),
    Mutant(19, "an end frees its slot twice", free_a_slot_twice),
    Mutant(20, "waits are measured by the wall clock", timeouts_by_the_wall_clock),
    Mutant(23, "what an earlier boot left is not read", an_earlier_boot_is_not_read),
    Mutant(24, "a retry has no attempt of its own", a_retry_without_a_new_attempt),
    Mutant(25, "used retries are forgotten by a restart", retries_are_forgotten_by_a_restart),
    Mutant(26, "a task's total is forgotten by a restart", the_total_is_forgotten_by_a_restart),
    Mutant(27, "the wait for a preferred host never ends", a_preferred_host_is_waited_for_without_end),
    Mutant(28, "a drained host gets work", a_drained_host_gets_work),
    Mutant(29, "a deleted task spawns", a_deleted_task_spawns),
    Mutant(30, "the limit of jobs in flight is off after a restart", jobs_in_flight_are_forgotten_by_a_restart),
    Mutant(31, "what a machine wants leaves before the sync", nothing_waits_for_the_sync),
    Mutant(32, "a full disk loses the commit", a_full_disk_loses_the_commit),
    Mutant(33, "a keeper ignores the lease", the_keeper_ignores_the_lease),
    Mutant(34, "a new agent does not ask its keepers what they hold", a_new_agent_adopts_nothing),
    Mutant(35, "nobody ends an attempt that is nobody's", nobody_ends_an_orphan),
    Mutant(36, "an end is said once only", an_end_is_said_once),
    Mutant(37, "an empty disk is taken for a complete one", an_empty_disk_is_taken_for_a_complete_one),
    Mutant(38, "an order that comes again starts an ended attempt again", a_doubled_order_starts_twice),
    Mutant(39, "a restart forgets the parting lease that was granted", a_parting_lease_is_forgotten),
)
