"""What a machine asks its driver to do: the items of a drained list.

The order is a promise. All `Commit`s of a drained list come first; the driver makes them durable before it carries
out anything that follows. A driver may commit the records of many lists at once. Nothing else has an effect.
"""

from __future__ import annotations

from msgspec import Struct

from model.alarm_kinds import Message
from model.job import JobSpec, Report
from model.keeper import Order
from model.messages import Batch
from model.records import Record
from model.task import Source


class Commit(Struct, frozen=True, gc=False):
    record: Record


class Transmit(Struct, frozen=True, gc=False):
    """Send a batch to `peer`. If there is no connection it is dropped: the channel says again what matters."""

    peer: str
    batch: Batch


class Notice(Struct, frozen=True):
    """A sentence for people. `level`: info, warning, alarm. `about`: `task NAME`, `job N`, `host NAME` or empty."""

    level: str
    about: str
    text: str


class Answer(Struct, frozen=True):
    """The answer to an operator's order. `job`: the number of a job that the order made."""

    request: int
    ok: bool
    text: str
    job: int = 0


# of the scheduler


class AskSource(Struct, frozen=True):
    """Look what a source has; answer with `SourceAnswered`, within `limit_ns`."""

    task: str
    number: int
    source: Source
    limit_ns: int


class Prepare(Struct, frozen=True):
    """Run a slow behaviour's preparation outside the loop; answer with `Prepared` within `limit_ns`."""

    task: str
    number: int
    job: int
    item: str | None
    limit_ns: int


class React(Struct, frozen=True):
    """Run a slow behaviour's reaction outside the loop; answer with `Reacted` within `limit_ns`."""

    task: str
    job: int
    attempt: int
    spec: JobSpec
    report: Report
    retries: int
    limit_ns: int


class LookAround(Struct, frozen=True):
    """See what is wrong with hosts and disks; answer with `LookedAround`."""

    number: int


class Notify(Struct, frozen=True):
    """Give the message to the notifier of this name, once; answer with `Notified` within `limit_ns`."""

    notifier: str
    number: int
    message: Message
    limit_ns: int


class Idle(Struct, frozen=True):
    """After SHUTDOWN or SHUTDOWN_KILL: everything that was to be said is said, the driver may leave."""


# of the controller


class Connect(Struct, frozen=True):
    """Make a transport to the host; answer with `LinkUp` or `LinkDown`."""

    host: str


class Disconnect(Struct, frozen=True):
    """Close the transport to the host; no answer is awaited."""

    host: str


# of the agent


class ToKeeper(Struct, frozen=True, gc=False):
    keeper: int
    order: Order


class Look(Struct, frozen=True):
    """See whether these files are visible on this host (listing their directories first, against stale caches);
    answer with `FilesSeen`."""

    job: int
    attempt: int
    paths: tuple[str, ...]
    directory: str | None


Effect = (
    Commit
    | Transmit
    | Notice
    | Answer
    | AskSource
    | Prepare
    | React
    | LookAround
    | Notify
    | Idle
    | Connect
    | Disconnect
    | ToKeeper
    | Look
)


def records_first(effects: list[Effect]) -> list[Effect]:
    """The same effects in their order, but all records before everything else."""
    if [*map(type, effects)].count(Commit) == len(effects):  # of many jobs most turns have nothing else
        return effects
    records = [effect for effect in effects if type(effect) is Commit]
    return [*records, *[effect for effect in effects if type(effect) is not Commit]]
