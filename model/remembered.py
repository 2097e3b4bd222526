"""What is remembered of a job, a task and a given attempt: parts of recovery's state, and of the snapshots of it.

Plain data. `model/restored.py` fills them in from records, `model/snapshot.py` says them as records again. They are
arrays on the disk, so a new field goes last and has a default.
"""

from __future__ import annotations

from msgspec import Struct

from model.job import JobId, JobSpec


class GivenAttempt(Struct, array_like=True):
    """An attempt that the controller gave to a host."""

    host: str
    host_epoch: int
    spec: JobSpec


class RestoredJob(Struct, array_like=True):
    """An unfinished job of the scheduler."""

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
