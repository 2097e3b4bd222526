"""The event log: what happened in the simulated world, one line for each thing, in order.

The same configuration, scenario and seed give the same log to the byte, whatever the hash seed; its BLAKE2 hash proves
it. The oracle and the tally read these lines and nothing else, either while they are made or later from a file.
Lines are JSON objects whose key `event` names the kind; times `t` are ns of true time since the start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, Protocol, get_args

import msgspec
from msgspec import Struct

from model.effects import Commit
from model.errors import ConfigurationError
from model.job import JobId
from model.messages import Batch
from model.records import Record
from model.resources import Amounts

CHUNK = 256
"""Lines that are encoded, hashed and written in one go."""
LINE_MAX = 16 << 20
"""Bytes of one line: a longer one is no event log."""
READ_AT_ONCE = 1 << 20
"""Bytes."""


class Header(Struct, frozen=True, tag_field="event", tag="header", gc=False):
    """The first line: what makes the log again."""

    seed: int
    configuration: str
    scenario: str
    """digests of the two texts"""
    slots: dict[str, int]
    """slots of each host, `local` included"""
    schema: int = 1
    limits: dict[str, tuple[int, int]] = {}
    """of each task whose definition stays: jobs in flight, jobs in all (0: no limit)"""
    inside: tuple[tuple[str, str], ...] = ()
    """(sender, receiver) in one process: their words may pass before the commit, nothing else does"""
    strict: bool = False
    """one job that waits keeps back all behind it"""
    backoff_ns: int = 0
    """the controller's longest back-off: a host that had no room gets nothing for so long; 0: hosts are
    kept free for jobs that wait long, and the log does not tell which"""


class Life(Struct, frozen=True, tag_field="event", tag="life", gc=False):
    """A machine starts: the `epoch`-th life of its node."""

    t: int
    node: str
    epoch: int


class Committed(Struct, frozen=True, tag_field="event", tag="commit", gc=False):
    """A record is durable at `node`."""

    t: int
    node: str
    record: Record


class Sent(Struct, frozen=True, tag_field="event", tag="send", gc=False):
    """`node` says a batch to `to`; `arrives`: when (empty: it is lost, two: it comes twice)."""

    t: int
    node: str
    to: str
    arrives: tuple[int, ...]
    batch: Batch


class Dropped(Struct, frozen=True, tag_field="event", tag="drop", gc=False):
    """A batch that was under way did not get to its receiver, because its connection or the receiver was gone."""

    t: int
    node: str
    to: str
    sequence: int


class ProcessStarted(Struct, frozen=True, tag_field="event", tag="process start", gc=False):
    """True life of a job's process begins on a host."""

    t: int
    node: str
    job: JobId
    attempt: int
    pid: int
    slots: int


class ProcessEnded(Struct, frozen=True, tag_field="event", tag="process end", gc=False):
    """True life of a job's process ends. `suspended_ns`: how long its whole machine stood still meanwhile."""

    t: int
    node: str
    job: JobId
    attempt: int
    slots: int
    exit_code: int | None
    signal: int | None
    suspended_ns: int = 0


class FaultChanged(Struct, frozen=True, tag_field="event", tag="fault", gc=False):
    """A fault begins (`on`) or ends."""

    t: int
    kind: str
    nodes: tuple[str, ...]
    on: bool


class LinkChanged(Struct, frozen=True, tag_field="event", tag="link", gc=False):
    """The transport between superior `node` and subordinate `peer`: up, down, refused, vouched, not vouched."""

    t: int
    node: str
    peer: str
    state: str
    reason: str = ""


class Noticed(Struct, frozen=True, tag_field="event", tag="notice", gc=False):
    t: int
    node: str
    level: str
    about: str
    text: str


class Sized(Struct, frozen=True, tag_field="event", tag="size", gc=False):
    """A script has given a host so many slots."""

    t: int
    node: str
    slots: int


class Declared(Struct, frozen=True, tag_field="event", tag="declare", gc=False):
    """A host has these resources and labels; without a name: what all hosts share."""

    t: int
    node: str
    resources: Amounts
    labels: tuple[str, ...] = ()


class Shared(Struct, frozen=True, tag_field="event", tag="scheduler", gc=False):
    """A scheduler uses the controller together with others; where there is one only there is no such line."""

    t: int
    node: str
    configuration: str
    """digest of its text"""
    share: int


class Shown(Struct, frozen=True, tag_field="event", tag="show", gc=False):
    """A script has printed something."""

    t: int
    stream: str
    text: str


class Healed(Struct, frozen=True, tag_field="event", tag="healed", gc=False):
    """From now on nothing goes wrong; what was accepted is final within `bound_ns`."""

    t: int
    bound_ns: int


class Finished(Struct, frozen=True, tag_field="event", tag="end", gc=False):
    """The last line."""

    t: int


LINES = (
    Header,
    Life,
    Committed,
    Sent,
    Dropped,
    ProcessStarted,
    ProcessEnded,
    FaultChanged,
    LinkChanged,
    Noticed,
    Sized,
    Declared,
    Shared,
    Shown,
    Healed,
    Finished,
)
Line = (
    Header
    | Life
    | Committed
    | Sent
    | Dropped
    | ProcessStarted
    | ProcessEnded
    | FaultChanged
    | LinkChanged
    | Noticed
    | Sized
    | Declared
    | Shared
    | Shown
    | Healed
    | Finished
)
LineReader = Callable[[Any], None]


class Reader(Protocol):
    """What reads lines while they are made; `table` says which kinds it wants. The type of a record stands for those
    `Committed` that hold one."""

    @property
    def table(self) -> Mapping[type, LineReader]: ...


class EventLog:
    """Takes lines, hands them to its readers at once, and encodes, hashes and perhaps writes them by chunks."""

    def __init__(self, file: IO[bytes] | None = None, readers: tuple[Reader, ...] = ()) -> None:
        self._file = file
        self._readers: dict[type, tuple[LineReader, ...]] = {
            kind: tuple(reader.table[kind] for reader in readers if kind in reader.table) for kind in LINES
        }
        self._of_records = {kind: _readers_of(kind, readers) for kind in get_args(Record)}
        self._readers[Committed] = (self._read_record,)
        self._lines: list[Line] = []
        self._written = 0
        self.bytes = 0
        """of the lines that are encoded"""
        self._digest = blake2b(digest_size=16)
        self._encoder = msgspec.json.Encoder()

    def tell(self, reader: Reader) -> None:
        """One more reader of records, after the others."""
        for kind, read in reader.table.items():
            self._of_records[kind] += (read,)

    @property
    def count(self) -> int:
        """How many lines there are."""
        return self._written + len(self._lines)

    def add(self, line: Line) -> None:
        """One more line."""
        lines = self._lines
        lines.append(line)
        readers = self._readers[type(line)]
        if readers:
            for read in readers:
                read(line)
        if len(lines) >= CHUNK:
            self._flush()

    def commit(self, line: Committed) -> None:
        """The same for a record: most lines are such."""
        lines = self._lines
        lines.append(line)
        readers = self._of_records[type(line.record)]
        if readers:
            for read in readers:
                read(line)
        if len(lines) >= CHUNK:
            self._flush()

    def commit_all(self, t: int, node: str, effects: Sequence[object]) -> int:
        """The same for all records with which a drained list begins; returns how many there are. (Where much happens at
        once nearly all lines are made here, so a call for each counts.)"""
        if len(effects) > CHUNK:
            return self._commit_chunks(t, node, effects)
        lines, of_records = self._lines, self._of_records
        before = len(lines)
        for effect in effects:
            if type(effect) is not Commit:
                break
            record = effect.record
            line = Committed(t, node, record)
            lines.append(line)
            for read in of_records[type(record)]:
                read(line)
        count = len(lines) - before
        if before + count >= CHUNK:
            self._flush()
        return count

    def _commit_chunks(self, t: int, node: str, effects: Sequence[object]) -> int:
        """Line by line they are encoded soon after they were made, while a cache still has them."""
        count = 0
        for begin in range(0, len(effects), CHUNK):
            count += self.commit_all(t, node, effects[begin : begin + CHUNK])
            if count < begin + CHUNK:
                break
        return count

    def _read_record(self, line: Committed) -> None:
        for read in self._of_records[type(line.record)]:
            read(line)

    def _flush(self) -> None:
        text = self._encoder.encode_lines(self._lines)
        self._digest.update(text)
        if self._file is not None:
            self._file.write(text)
        self.bytes += len(text)
        self._written += len(self._lines)
        self._lines.clear()

    # checkpoints

    def sync(self) -> None:
        """All lines until now are in the file."""
        if self._lines:
            self._flush()
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def __getstate__(self) -> tuple[Any, ...]:
        assert not self._lines, "synced"
        return self._readers, self._of_records, self._written

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._readers, self._of_records, self._written = state

    def go_on(self, file: IO[bytes], size: int) -> None:
        """Its first `size` bytes are in this file already: they are hashed, and what follows is cut off.

        Raises `ConfigurationError` when the file is too short."""
        file.seek(0)
        while self.bytes < size:
            text = file.read(min(READ_AT_ONCE, size - self.bytes))
            if not text:
                name = getattr(file, "name", "the event log")
                raise ConfigurationError(
                    f"{name} has only {self.bytes} bytes of the {size} that the checkpoint goes on from",
                    "take the event log that was written with it, or remove the checkpoint to begin anew",
                )
            self._digest.update(text)
            self.bytes += len(text)
        file.truncate()
        self._file = file

    def close(self) -> str:
        """Encode what is left; returns the hash of all lines (32 hexadecimal digits)."""
        if self._lines:
            self._flush()
        return self._digest.hexdigest()


def _readers_of(record: type, readers: tuple[Reader, ...]) -> tuple[LineReader, ...]:
    found = []
    for reader in readers:
        table = reader.table
        found += [table[kind] for kind in (Committed, record) if kind in table]
    return tuple(found)


def read_log(path: Path) -> Iterator[Line]:
    """The lines of a log file, in order. Raises `msgspec.ValidationError` on a line that is not one of ours."""
    decoder = msgspec.json.Decoder(Line)
    with path.open("rb") as file:
        while text := file.readline(LINE_MAX):
            yield decoder.decode(text)
