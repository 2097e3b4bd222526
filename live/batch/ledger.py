"""The records of a batch host: one JSON object a line, in its folder, on the disk before anything follows from them.

Made by `host.py`, used by `driver.py`. What the records mean is `model/batch_words.py`; a line that was cut short by a
crash is the last one and is left out, for nothing followed from it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from live.clock import wall_ns
from model.batch_words import BatchRecord, HeldBatch, Over, Submission, Taken, fold
from model.errors import LaulimaError
from model.job import SECOND

LEDGER_NAME: Final = "batch.log"
COMPACT_AFTER: Final = 4 << 20
"""Bytes by which the file has grown before it may be written anew."""


class LedgerError(LaulimaError):
    """The records cannot be read: guessing what was submitted could run it twice."""


class Head(msgspec.Struct, frozen=True, tag="head"):
    """First line. `last_number`: no submission gets this number or a lower one."""

    version: int
    last_number: int


VERSION: Final = 1
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Head | BatchRecord).decode


def read_ledger(path: Path) -> HeldBatch:
    """What the records say; nothing, when there are none. Raises LedgerError, OSError."""
    held = HeldBatch()
    if not path.exists():
        return held
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):  # after the last line feed: cut short
        try:
            record = _decode(line)
        except msgspec.MsgspecError as error:
            raise LedgerError(
                f"{path}:{number} is no record of this version: {error}",
                "if nothing of this host is in the batch system any more, remove its folder",
            ) from error
        if isinstance(record, Head):
            held.last_number = record.last_number
        else:
            fold(held, record)
    return held


def leaves_jobs(spool: Path) -> bool:
    """Whether the records speak of attempts that may still be in the batch system. Raises LedgerError, OSError."""
    return any(one.report is None for one in read_ledger(spool / LEDGER_NAME).attempts.values())


class Ledger:
    """The open file, and the fold of what is in it. Raises LedgerError, OSError."""

    def __init__(self, spool: Path) -> None:
        self._path = spool / LEDGER_NAME
        self.held = read_ledger(self._path)
        if not self._path.exists():  # an earlier one may be lost, and what it submitted may still be there
            self.held.last_number = wall_ns() // SECOND
        self._pending: list[bytes] = []
        self._file = -1
        self._kept = self._size = 0
        self._compact()

    def append(self, record: BatchRecord) -> None:
        """To be written by the next `sync`."""
        fold(self.held, record)
        self._pending.append(_encode(record) + b"\n")

    def sync(self) -> None:
        """Everything that was appended is on the disk. Raises OSError; then this process must begin anew."""
        if not self._pending:
            return
        data = b"".join(self._pending)
        self._pending.clear()
        while data:
            written = os.write(self._file, data)
            self._size += written
            data = data[written:]
        os.fdatasync(self._file)
        if self._size - self._kept > COMPACT_AFTER and self._size > 4 * self._kept:
            self._compact()

    def _compact(self) -> None:
        """Write the file anew with what is held, so that it is there wholly or as it was."""
        wanted = frozenset(self.numbers)
        self.held.taken = {number: name for number, name in self.held.taken.items() if number in wanted}
        records = [Head(VERSION, self.held.last_number), *self._records()]
        fresh = self._path.with_suffix(".new")
        with open(fresh, "wb") as file:
            file.writelines(_encode(record) + b"\n" for record in records)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        if self._file >= 0:
            os.close(self._file)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._kept = self._size = os.fstat(self._file).st_size

    def _records(self) -> list[BatchRecord]:
        """What is held as records. An element keeps its index: the places of forgotten ones are left empty."""
        records: list[BatchRecord] = []
        for number in self.numbers:
            held = self.held.attempts.items()
            members = [(one.element[1], key, one) for key, one in held if one.element[0] == number]
            members.sort(key=lambda member: member[0])
            indices = tuple(index for index, _, _ in members)
            keys = tuple(key for _, key, _ in members)
            specs = tuple(one.spec for _, _, one in members)
            waited = tuple(one.waited_ns for _, _, one in members)
            records.append(Submission(number, keys, specs, waited, indices))
            if number in self.held.taken:
                records.append(Taken(number, self.held.taken[number]))
            records += [Over(*key, one.report) for _, key, one in members if one.report is not None]
        return records

    @property
    def numbers(self) -> list[int]:
        """Submissions of which an attempt is held."""
        return sorted({one.element[0] for one in self.held.attempts.values()})

    def close(self) -> None:
        os.close(self._file)
