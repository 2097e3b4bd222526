"""The superiors of one controller: the schedulers that use it, each with its own end of the job channel.

A superior has a number, which is recorded and never used again, and its jobs have numbers of their own; what they are
below is told in `job_numbers.py`. The two numbers are made one in this file alone (`key_of`), and
parted again in what a superior is told (`Uplink`). The scheduler in the controller's own process is superior 0.

A superior's lease, silence, cancels and inventories concern its own jobs; the hosts' leases are the controller's.
It is known from its first `LinkUp` until a person says that it does not come back. Owned by the controller.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from model.channel import ChannelTimes, ProtocolError
from model.effects import Answer, Commit, Disconnect, Effect, Notice
from model.events import ForgetSuperior, LinkUp, SetTerms
from model.job import AttemptKey
from model.job_numbers import EMBEDDED, JOBS_BITS, JOBS_MAX, superior_of
from model.messages import Inquire, Ping
from model.notices import Telling
from model.records import PersonOrdered, SuperiorForgotten, SuperiorKnown
from model.sharing import Terms
from model.timers import NEVER_NS
from model.uplink import Uplink

if TYPE_CHECKING:
    from model.controller_job import ControllerJob

SUPERIOR = "superior"
"""The peer that is superior 0; `peer_of` says what the others are called."""
SUPERIORS_MAX = 64
"""Known at a time. Each turn of the controller looks at all of them."""


def peer_of(name: str) -> str:
    """How events and effects of the controller call the superior of this name. No host has a slash in its name."""
    return f"{SUPERIOR}/{name}" if name else SUPERIOR


def is_superior(peer: str) -> bool:
    """Whether a peer of the controller is a superior, known or not."""
    return peer == SUPERIOR or peer.startswith(f"{SUPERIOR}/")


class Superior:
    """One of them."""

    __slots__ = ("_base", "behind", "held", "identity", "in_flight", "is_full", "name", "number", "peer", "queued",
                 "service", "telling", "terms", "uplink")  # fmt: skip

    def __init__(self, number: int, name: str, terms: Terms, epoch: int, times: ChannelTimes) -> None:
        self.number = number
        self.name = name
        self.peer = peer_of(name)
        self.identity = ""
        """which journal it writes; empty: not known"""
        self.terms = terms
        self._base = number << JOBS_BITS
        self.uplink = Uplink(epoch, times, self._base)
        self.held = 0
        """its attempts here"""
        self.queued = 0
        """those that wait"""
        self.in_flight = 0
        """those that take slots of a host"""
        self.is_full = False
        """whether it has as many at hosts as it may"""
        self.service = 0
        """see `sharing.py`"""
        self.behind: dict[str, None] = {}
        """hosts of whose own queues it got nothing because it was full"""
        self.telling = Telling()

    @property
    def rank(self) -> tuple[int, int]:
        """Who goes first: the smaller one."""
        return self.service, self.number

    def see_if_full(self) -> None:
        """To be called when `in_flight` has changed, if its terms have a limit to it."""
        most = self.terms.in_flight_max
        self.is_full = most > 0 and self.in_flight >= most

    def agree(self, terms: Terms) -> None:
        """From now on it is here on these terms."""
        self.terms = terms
        self.see_if_full()

    # the two numbers of a job

    def key_of(self, job: int, attempt: int) -> AttemptKey:
        """What an attempt of which it speaks is called below."""
        if not 0 <= job < JOBS_MAX:
            raise ProtocolError(f"{self.peer} speaks of job {job}: numbers of jobs go from 0 to {JOBS_MAX - 1}")
        number = self._base | job if self._base else job  # else it would be a new object, for each job that waits
        return number, attempt  # type: ignore[return-value]  # as below

    def outside(self, key: AttemptKey) -> AttemptKey:
        """What it calls an attempt of its own."""
        return self.uplink.outside(key)

    def take_back(self, key: AttemptKey) -> None:
        """What was said of its end does not count."""
        self.uplink.results.pop(self.outside(key), None)

    # what is said to it

    def pong(self, ping: Ping, now: int) -> None:
        """Answer, with what is here of its own."""
        self.uplink.pong(ping.number, self.held - self.queued, self.queued, "", now)

    def inventory(self, inquire: Inquire, jobs: Iterable[ControllerJob], now: int) -> None:
        """Say everything that is here of its own. `jobs`: of all superiors."""
        entries = tuple(job.entry(self.outside(job.key)) for job in jobs if job.superior is self)
        self.uplink.inventory(inquire.number, entries, 0, 0, now)

    def closed(self) -> None:
        """The connection is gone; its lease goes on."""
        self.uplink.closed()
        self.telling.closed()

    def say_notices(self, now: int) -> None:
        """Tell it what it has not heard, as soon as it listens."""
        if self.uplink.open:
            window = self.telling.take(now, self.uplink.times.resend_ns)
            if window is not None:
                self.uplink.outbox.append(window)


class Superiors:
    """All of them, by number and by peer."""

    def __init__(self, epoch: int, times: ChannelTimes, pending_max: int, effects: list[Effect]) -> None:
        self.embedded = Superior(EMBEDDED, "", Terms(pending_max=pending_max), epoch, times)
        self.all: dict[int, Superior] = {EMBEDDED: self.embedded}
        self.by_peer: dict[str, Superior] = {SUPERIOR: self.embedded}
        self._next = EMBEDDED + 1
        self._epoch = epoch
        self._times = times
        self._effects = effects

    def of(self, job: int) -> Superior | None:
        """Whose job this is, by its number below; None: nobody's."""
        return self.all.get(superior_of(job))

    def tell(self, effects: Iterable[Effect], now: int) -> None:
        """What people here are told goes to every superior that is elsewhere: 0 is in the driver's own process."""
        notices = [effect for effect in effects if type(effect) is Notice]
        for superior in self.all.values():
            if superior.number != EMBEDDED:
                for notice in notices:
                    superior.telling.add(notice)
                superior.say_notices(now)

    def next_due(self) -> int:
        """When the first of them wants something (ns); `NEVER_NS`: nobody does."""
        earliest = NEVER_NS
        for superior in self.all.values():
            uplink, say_at = superior.uplink, superior.telling.say_at
            if uplink.resend_at < earliest:
                earliest = uplink.resend_at
            if say_at < earliest:
                earliest = say_at
            if not uplink.vouched and superior.held:
                end_ns = uplink.lease_end_ns
                if end_ns is not None and end_ns < earliest:
                    earliest = end_ns
        return earliest

    # coming and going

    def refusal(self, name: str, identity: str) -> str:
        """Why a superior of this name that writes this journal may not connect; empty: it may."""
        known = self.by_peer.get(peer_of(name))
        if known is None:
            full = f"{SUPERIORS_MAX} schedulers are known here already, forget one that does not come back"
            return full if len(self.all) > SUPERIORS_MAX else ""
        if known.identity and identity and known.identity != identity:
            return (
                f"another scheduler is called {name} here, or this one has lost its journal: its jobs would be taken "
                f"for those of the other; give it another name, or forget the other one at the controller: "
                f"laulima forget {name} --state DIR"
            )
        return ""

    def link_up(self, event: LinkUp) -> Superior | None:
        """A superior is connected: one that is known, perhaps on other terms, or a new one. None: it is refused."""
        superior = self.by_peer.get(event.peer)
        if superior is self.embedded:
            # No driver does anything for this. Written worlds (tests/regress) end processes at the so many-th effect.
            self._effects.append(Disconnect(event.peer))
            return superior
        name = event.peer.removeprefix(f"{SUPERIOR}/")
        refusal = self.refusal(name, event.identity)
        if refusal:
            self._effects += (Notice("warning", f"scheduler {name}", f"refused: {refusal}"), Disconnect(event.peer))
            return None
        if superior is None:
            superior = self._add(self._next, name, event.terms or Terms())
            self._next += 1
        elif event.terms in (None, superior.terms) and event.identity in ("", superior.identity):
            return superior
        superior.agree(event.terms or superior.terms)
        superior.identity = event.identity or superior.identity
        self._record(superior)
        return superior

    def set_terms(self, event: SetTerms) -> Superior | None:
        """Other terms for one that is known, connected or not. None: nothing has changed."""
        superior = self.by_peer.get(peer_of(event.name)) if event.name else None
        if superior is None or superior.terms == event.terms:
            return None
        superior.agree(event.terms)
        self._record(superior)
        return superior

    def _record(self, superior: Superior) -> None:
        one = SuperiorKnown(superior.number, superior.name, superior.terms, superior.identity)
        self._effects.append(Commit(one))

    def _add(self, number: int, name: str, terms: Terms) -> Superior:
        superior = Superior(number, name, terms, self._epoch, self._times)
        self.all[number] = self.by_peer[superior.peer] = superior
        return superior

    def forget(self, order: ForgetSuperior) -> None:
        """A person says that it does not come back."""
        superior = self.by_peer.get(peer_of(order.name)) if order.name else None
        if superior is None:
            problem = f"there is no scheduler {order.name}"
        elif superior.uplink.open:
            problem = f"scheduler {order.name} is connected"
        elif superior.held:
            problem = f"{superior.held} jobs of scheduler {order.name} have not ended; they end with its lease"
        else:
            del self.all[superior.number], self.by_peer[superior.peer]
            answer = Answer(order.request, True, f"scheduler {order.name}: forgotten")
            self._effects += (Commit(SuperiorForgotten(superior.number)), Disconnect(superior.peer), answer)
            if order.by:
                self._effects.append(Commit(PersonOrdered(order.by, "forget", "scheduler", order.name)))
            return
        self._effects.append(Answer(order.request, False, problem))

    def restore(self, known: Iterable[SuperiorKnown], following: int, now: int) -> None:
        """Take up the superiors of an earlier life. One that is not heard for a lease from now on is away."""
        for one in known:
            superior = self._add(one.number, one.name, one.terms)
            superior.identity = one.identity
            superior.uplink.lease_end_ns = now + self._times.lease_ns
        self._next = max(self._next, following)
