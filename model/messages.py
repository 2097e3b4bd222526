"""The job channel: what a superior and its subordinate say to each other.

    scheduler --> controller --> agent          down: Assign, Cancel, Acknowledge, Inquire, Ping, Parting
    scheduler <-- controller <-- agent          up:   Accepted, Started, Ended, Inventory, Pong

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

from msgspec import Struct

from model.job import JobId, JobSpec, Report

PROTOCOL = 1
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


class Assign(Struct, frozen=True, array_like=True, tag="assign", gc=False):
    """Run this. The subordinate answers Accepted, Started or Ended."""

    job: JobId
    attempt: int
    spec: JobSpec
    waited_ns: int = 0
    """how much of `spec.pending_ns` is used up already"""


class Cancel(Struct, frozen=True, array_like=True, tag="cancel", gc=False):
    """End this attempt, whether it waits or runs. The answer is Ended (also for an unknown attempt)."""

    job: JobId
    attempt: int
    why: CancelReason


class Acknowledge(Struct, frozen=True, array_like=True, tag="acknowledge", gc=False):
    """The scheduler has recorded the end of this attempt: forget it."""

    job: JobId
    attempt: int


class Inquire(Struct, frozen=True, array_like=True, tag="inquire", gc=False):
    """Say everything that you hold. The answer is one Inventory with the same number."""

    number: int
    slots: int = 0
    """how many slots the subordinate has from now on; 0: as it was started"""


class Ping(Struct, frozen=True, array_like=True, tag="ping", gc=False):
    """Are you there? The answer is Pong with the same number.

    Renews the lease: the subordinate may keep attempts alive for `lease_ns`, counted from the moment at which it sent
    the Pong (or Inventory) number `heard`, the last one that the superior heard; so a message that was delayed for
    hours renews nothing.
    """

    number: int
    lease_ns: int
    heard: int


class Parting(Struct, frozen=True, array_like=True, tag="parting", gc=False):
    """The superior's last word before a clean stop: what runs may go on for `lease_ns` from now."""

    lease_ns: int


class Accepted(Struct, frozen=True, array_like=True, tag="accepted", gc=False):
    """I have it; it waits. (A subordinate that starts a job at once says only Started.)"""

    job: JobId
    attempt: int


class Started(Struct, frozen=True, array_like=True, tag="started", gc=False):
    job: JobId
    attempt: int
    host: str
    started_at: int = 0
    """wall time in ns at the host, for display"""


class Ended(Struct, frozen=True, array_like=True, tag="ended", gc=False):
    job: JobId
    attempt: int
    report: Report


class Held(Enum):
    """Where an attempt is at the subordinate that lists it."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """One attempt in an inventory. `report` is set when it is ENDED, `host` when it is RUNNING."""

    job: JobId
    attempt: int
    held: Held
    spec: JobSpec
    host: str = ""
    report: Report | None = None


class Inventory(Struct, frozen=True, array_like=True, tag="inventory", gc=False):
    """Everything that the subordinate holds."""

    entries: tuple[Entry, ...]
    number: int
    remembers: int = 0
    """the earliest life (epoch) of the subordinate whose attempts this list covers: what was given to that life or
    a later one and is absent here was never started; of what was given earlier nothing is known"""
    slots: int = 0
    """how many slots the subordinate has (agents)"""


class Pong(Struct, frozen=True, array_like=True, tag="pong", gc=False):
    number: int
    running: int = 0
    waiting: int = 0
    dirty: str = ""
    """why the subordinate must not get work now (survivors, full disk); empty: it may"""


Down = Assign | Cancel | Acknowledge | Inquire | Ping | Parting
Up = Accepted | Started | Ended | Inventory | Pong
Message = Down | Up


class Batch(Struct, frozen=True, array_like=True, gc=False):
    """What one end says in one go, in order."""

    epoch: int
    """which life of the sender speaks: grows with each restart"""
    sequence: int
    """grows with each batch of this life, across reconnections"""
    receiver_epoch: int
    """the life of the receiver to which this is said; 0: not known (then only Inquire, Ping and their answers)"""
    messages: tuple[Message, ...]
