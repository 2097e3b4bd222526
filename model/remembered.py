"""What is remembered of a job, a task, a given attempt and the data of scripts: parts of recovery's state, and of the
snapshots of it.

Plain data. `model/restored.py` fills them in from records, `model/snapshot.py` says them as records again. They are
arrays on the disk, so a new field goes last and has a default.
"""

from __future__ import annotations

from msgspec import Struct

from model.job import JobId, JobSpec

Stored = str | int | tuple[tuple[str, bool], ...] | None
"""A value of a variable: a text, a whole number, a text in parts of which some (True) were written by a job; None:
there is no such variable."""


class GivenAttempt(Struct, array_like=True):
    """An attempt that the controller gave to a host."""

    host: str
    host_epoch: int
    spec: JobSpec
    open_above: bool = False
    """its scheduler writes to this journal too, and has recorded no end of it"""
    keep_ns: int = 0
    """the parting lease that its host was granted meanwhile, with a clean stop"""


class RestoredJob(Struct, array_like=True, gc=False):
    """An unfinished job of the scheduler. Texts and numbers only, so the collector need not look at it."""

    spec: JobSpec
    parent: JobId
    plain: bool
    attempt: int = 0
    """the last attempt that was assigned"""
    executor: str = ""
    assigned: bool = False
    """whether that attempt has not ended"""
    running: bool = False
    host: str = ""
    retries: int = 0
    reruns: int = 0
    rooms: int = 0
    wait_ns: int = 0
    held: str = ""
    doomed: str = ""
    """why it is to be ended (`CancelReason`), as a person was told; empty: it is not"""


class RestoredTask(Struct, array_like=True):
    """What is known of a task by name."""

    made: int = 0
    done: int = 0
    failed: int = 0
    last_due_ns: int | None = None
    items: dict[str, bool] = {}
    """every item that is known: True when it was given out"""
    finished: dict[str, None] = {}
    """items whose job is final"""
    openings: dict[str, tuple[int, int]] = {}
    """`windows.Counts`"""
    held: str = ""
    faulted: str = ""
    deleted: bool = False


class Setting(Struct, frozen=True, array_like=True):
    """A value that a person has laid over the configuration's file: `tasks.warp.limits.in_flight`, `4`."""

    key: str
    value: str
    by: str
    at_ns: int
    """wall time"""
    file: str
    """over which it is laid: it means nothing for another one"""


class RestoredAlarm(Struct, array_like=True):
    """An alarm that stands. `at`: since when; `told`: by notifier, when it was told last (wall time, ns)."""

    text: str
    at: int
    told: dict[str, int] = {}


class RestoredVariable(Struct, array_like=True):
    """A variable of the task language that was changed after the script files had been read."""

    value: Stored = None
    """None: it was taken away"""
    initial: Stored = None
    """what the files had made of it; None: nothing"""


class RestoredQueue(Struct, array_like=True):
    """A queue of the task language. An entry is known by its serial, and their order is that of the serials."""

    number: int = 0
    """orders queues by their making"""
    floor: int = 0
    """entries with a smaller serial were thrown away"""
    filled: str = ""
    """the digest of what the script files had filled in; empty: nothing"""
    changed: bool = False
    """it is not just what the files filled in"""
    gone: bool = False
    """it was deleted, though the files fill it in"""
    lines: dict[int, str] = {}


class RestoredPage(Struct, array_like=True):
    """A page of a book. `key` tells it from earlier pages of its name. `order`: its place among the others."""

    key: int
    order: int
    words: dict[str, str] = {}


class RestoredBook(Struct, array_like=True):
    """A book of the task language; fields as of a queue, with keys of pages in the place of serials."""

    number: int = 0
    floor: int = 0
    filled: str = ""
    changed: bool = False
    gone: bool = False
    pages: dict[str, RestoredPage] = {}


class RestoredData(Struct, array_like=True):
    """What the scripts of a server had: their data, not their macros and tasks. `begun`: there was a life in which
    their files were read to the end, or until they said `run`."""

    begun: bool = False
    variables: dict[str, RestoredVariable] = {}
    queues: dict[str, RestoredQueue] = {}
    books: dict[str, RestoredBook] = {}
