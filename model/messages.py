"""The job channel: what a superior and its subordinate say to each other.

    scheduler --> controller --> agent          down: Assign, Cancel, Acknowledge, Inquire, Ping, Parting
    scheduler <-- controller <-- agent          up:   Accepted, Started, Ended, Inventory, Pong

(and between a scheduler and a controller in another process: Notices up, Heard down)

Rules (kept by `channel.py`, the same at both hops):
1. Any message may be lost, doubled, delayed or reordered. Handling one twice is harmless. A batch of an earlier life
   (epoch) or with an old sequence number is counted and dropped; what mattered in it is sent again.
2. `Ended` is sent again until it is acknowledged; it is acknowledged only when the scheduler has recorded it.
3. After a (re)connection the superior inquires before it assigns; one inventory says everything.
4. A refusal is an `Ended` whose outcome says why.
5. Messages carry durations (`*_ns`), never deadlines. `*_at` is wall time, for display.

Every field is a plain value; `live` sends batches as msgpack bytes, `sim` passes the same objects.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

from model.bounds import Number
from model.job import JobId, JobSpec, Outcome, Report

PROTOCOL = 2
"""Version of this file. The two ends of a link compare it before anything else is said."""


class CancelReason(Enum):
    """Why a superior ends an attempt."""

    KILLED = "killed"
    DELETED = "deleted"
    HELD = "held"
    TIMED_OUT = "timed out"
    PENDING_TIMEOUT = "pending timeout"
    ORPHAN = "orphan"
    CONTROLLER_SILENT = "controller silent"
    SHUTDOWN = "shutdown"


CANCELLED_AS = {
    CancelReason.TIMED_OUT: Outcome.TIMED_OUT,
    CancelReason.PENDING_TIMEOUT: Outcome.PENDING_TIMEOUT,
    CancelReason.CONTROLLER_SILENT: Outcome.CONTROLLER_SILENT,
    CancelReason.ORPHAN: Outcome.LOST,
}
"""How an attempt ends that is ended for such a reason; for all others KILLED."""
BEGINS_ANEW = frozenset({CancelReason.HELD, CancelReason.ORPHAN, CancelReason.SHUTDOWN})
"""One that is ended for such a reason before it began is followed by another attempt, also when who wanted its end has
crashed since and has forgotten that."""


class Assign(Struct, frozen=True, array_like=True, tag="assign", gc=False):
    """Run this. The subordinate answers Accepted, Started or Ended."""

    job: JobId
    attempt: Number
    spec: JobSpec
    waited_ns: Number = 0
    """how much of `spec.pending_ns` is used up already"""


class Cancel(Struct, frozen=True, array_like=True, tag="cancel", gc=False):
    """End this attempt, whether it waits or runs. The answer is Ended (also for an unknown attempt)."""

    job: JobId
    attempt: Number
    why: CancelReason


class Acknowledge(Struct, frozen=True, array_like=True, tag="acknowledge", gc=False):
    """The scheduler has recorded the end of this attempt: forget it."""

    job: JobId
    attempt: Number


class Inquire(Struct, frozen=True, array_like=True, tag="inquire", gc=False):
    """Say everything that you hold. The answer is one Inventory with the same number."""

    number: Number
    slots: Number = 0
    """how many slots the subordinate has from now on; 0: as it was started"""


class Ping(Struct, frozen=True, array_like=True, tag="ping", gc=False):
    """Are you there? The answer is Pong with the same number.

    Renews the lease: the subordinate may keep attempts alive for `lease_ns`, counted from the moment at which it sent
    the Pong (or Inventory) number `heard`, the last one that the superior heard; so a message that was delayed for
    hours renews nothing.
    """

    number: Number
    lease_ns: Number
    heard: Number


class Parting(Struct, frozen=True, array_like=True, tag="parting", gc=False):
    """The superior's last word before a clean stop: what runs may go on for `lease_ns` from now, or until a later life
    of the superior grants its own lease (`Ping`)."""

    lease_ns: Number


class Accepted(Struct, frozen=True, array_like=True, tag="accepted", gc=False):
    """I have it; it waits. (One that starts a job at once says only Started.) Said again when `why` changes."""

    job: JobId
    attempt: Number
    why: str = ""
    """what it waits for there, for people, where the subordinate knows more than that it has no room"""


class Started(Struct, frozen=True, array_like=True, tag="started", gc=False):
    job: JobId
    attempt: Number
    host: str
    started_at: Number = 0
    """wall time in ns at the host, for display"""
    why: str = ""
    """where it runs, for people, where the host is more than one machine"""


class Ended(Struct, frozen=True, array_like=True, tag="ended", gc=False):
    job: JobId
    attempt: Number
    report: Report


class Held(Enum):
    """Where an attempt is at the subordinate that lists it."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """One attempt in an inventory. `report` is set when it is ENDED, `host` when it is RUNNING."""

    job: JobId
    attempt: Number
    held: Held
    spec: JobSpec
    host: str = ""
    report: Report | None = None
    why: str = ""
    """see `Accepted` and `Started`"""


class Inventory(Struct, frozen=True, array_like=True, tag="inventory", gc=False):
    """Everything that the subordinate holds."""

    entries: tuple[Entry, ...]
    number: Number
    remembers: Number = 0
    """the earliest life (epoch) of the subordinate whose attempts this list covers: what was given to that life or
    a later one and is absent here was never started; of what was given earlier nothing is known"""
    slots: Number = 0
    """how many slots the subordinate has (agents)"""
    gives_back: bool = False
    """it may be given more than it has slots for: what it cannot start soon it gives back (`Report.given_back`)"""


class Pong(Struct, frozen=True, array_like=True, tag="pong", gc=False):
    number: Number
    running: Number = 0
    waiting: Number = 0
    dirty: str = ""
    """why the subordinate must not get work now (survivors, full disk); empty: it may"""


NOTICES_MAX = 100
"""Notices in one message, and such as wait to be heard."""


class Told(Struct, frozen=True, array_like=True, gc=False):
    """One notice; fields as of `effects.Notice`."""

    level: str
    about: str
    text: str


class Notices(Struct, frozen=True, array_like=True, tag="notices", gc=False):
    """What people are told where the subordinate is. The answer is Heard. See `model/notices.py`."""

    number: Number
    """of the last of them; they are numbered one after the other, in each life of the subordinate from 1"""
    told: Annotated[tuple[Told, ...], Meta(max_length=NOTICES_MAX)]
    dropped: Number = 0
    """how many this superior was not told, in this life of the subordinate: too many waited"""


class Heard(Struct, frozen=True, array_like=True, tag="heard", gc=False):
    """The notices up to this number have come."""

    number: Number


Down = Assign | Cancel | Acknowledge | Inquire | Ping | Parting | Heard
Up = Accepted | Started | Ended | Inventory | Pong | Notices
Message = Down | Up


class Batch(Struct, frozen=True, array_like=True, gc=False):
    """What one end says in one go, in order."""

    epoch: Number
    """which life of the sender speaks: grows with each restart"""
    sequence: Number
    """grows with each batch of this life, across reconnections"""
    receiver_epoch: Number
    """the life of the receiver to which this is said; 0: not known (then only Inquire, Ping and their answers)"""
    messages: tuple[Message, ...]
