"""Why something is where it is, as data: the answer of `explain`, computed from the state, never from a log."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Reason(Enum):
    """Why a job, task or host is not doing more (closed list; `text` of the explanation says the particulars)."""

    NOTHING = "nothing to wait for"
    # jobs
    HELD = "held"
    BACK_OFF = "back-off"
    INTAKE_STOPPED = "intake stopped"
    EXECUTOR_SILENT = "controller silent"
    NOT_ANSWERED = "not yet answered"
    HOST_DOWN = "host down"
    HOST_SILENT = "host silent"
    HOST_UNKNOWN = "host unknown"
    HOST_OFF = "host off"
    HOST_DRAINING = "host draining"
    HOST_CONNECTING = "host connecting"
    HOST_PRESSURE = "host has no room"
    HOST_TOO_SMALL = "host too small"
    HOST_ASIDE = "host set aside"
    NEVER_FITS = "no host fits"
    NO_RESOURCE = "resource short"
    NO_HOST = "no host"
    NO_SLOT = "no free slot"
    NOT_ITS_TURN = "not its turn"
    FILES = "waits for files"
    RUNS = "running"
    STOPPING = "being ended"
    ENDED = "ended"
    UNKNOWN = "unknown"
    # tasks
    PERIOD = "not due yet"
    WINDOW = "window closed"
    LIMIT_IN_FLIGHT = "limits.in_flight"
    LIMIT_TOTAL = "limits.total"
    NO_ITEM = "no item"
    SKIPPED = "behaviour said no"
    BEHAVIOUR = "behaviour not answered yet"
    INACTIVE = "not active"
    FAULTED = "faulted"
    DELETED = "deleted"
    # hosts
    UP = "up"


class Explanation(Struct, frozen=True):
    """`until_ns`: the earliest moment at which state or reason can change with no other input; None: only by input.

    Times are those of the node that answers. `changes` lists, for people, what would change it.
    """

    reason: Reason
    text: str
    since_ns: int
    until_ns: int | None = None
    changes: tuple[str, ...] = ()


def attributed(reason: str, by: str) -> str:
    """The reason with the person who gives it, as it is shown from now on: `by ann@head: new disk`."""
    if not by:
        return reason
    return f"by {by}: {reason}" if reason else f"by {by}"


def held_text(reason: str) -> str:
    """Of a hold, with its reason: `held by ann@head: mail loop`."""
    return f"held {reason}" if reason.startswith("by ") else f"held: {reason}"
