"""The spool: everything that a host must remember about its processes, in one directory with one owner.

    SPOOL/                     0700
      lock                     flock of the owner (the agent), and its pid for people
      identity                 marks the processes of this spool in their environment
      boot                     which boot of the machine the status logs belong to
      keeper-K.lock            flock of the living keeper K, and its pid
      keeper-K.sock            its socket, 0600
      keeper-K.log             its status log: what was begun, what is over, what was forgotten
      keeper-K.err             what the keeper itself complains about
      pool/K-N                 output files of jobs that have not got a name of their own
      output/000123/123456.1.stdout    output of job 123456, attempt 1 (only when it wrote something)

Creating files is the dearest part of a short job, so a keeper lends open files from a pool and gives one a name only
when its job wrote to it (against the bare spawn rate: a folder and two files for each job 72-78 %, reused files and one
log 94-101 %). Called by the agent (owner) and by keepers (logs, pool); whoever shows output uses `output_path`. No
process is started or looked for here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import resource
import secrets
import stat
import threading
import zlib
from collections.abc import Iterable
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

import msgspec
from msgspec import Struct

from live.clock import boot_id
from model.errors import LaulimaError
from model.job import AttemptKey, JobId, JobSpec, Report
from model.messages import Entry, Held

Stream = Literal["stdout", "stderr"]

SHARD = 1000
"""Jobs whose outputs share one directory."""
AGENT_SPOOL = "agent"
"""The kind of a spool whose host starts its jobs itself."""
POOL_FREE_MAX = 128
"""Open output files that a keeper keeps in reserve; more are closed and deleted."""
DESCRIPTORS_LEFT = 96
"""Descriptors of a keeper that are not lent to outputs: one for each job on a file of the pool that is used again, and
some to look at processes with."""
RECORD_MAX = 16 << 20
"""Bytes of one record of a status log."""
LOG_MAX = 1 << 30
"""Bytes of a status log that is read; a longer one is no log of ours (it is rewritten long before)."""
PID_WIDTH = 10
"""Characters of a process id in a lock file, filled up with blanks."""
COMPACT_AFTER = 1 << 20
"""A log is rewritten when it has grown by so many bytes and by four times what it holds."""


SMALL_MAX = 4096
"""Letters of a small file that are looked at."""
_IDENTITY = re.compile("[0-9a-f]{16}")
_KEEPER = re.compile("[0-9]{1,4}")


class SpoolError(LaulimaError):
    """The spool cannot be used."""


class SpoolBusyError(SpoolError):
    """Another process owns the spool, or the keeper. `pid` is None when it did not leave its number."""

    def __init__(self, path: Path, pid: int | None) -> None:
        who = f"process {pid}" if pid else "a process that left no pid"
        super().__init__(f"{path} is in use by {who}", "end it first, or use another state directory")
        self.pid = pid


def output_path(spool: Path, job: int, attempt: int, stream: Stream) -> Path:
    """Where the output of an attempt is once it has a name: soon after the start of a long job, at the end of a short
    one, never if it wrote nothing."""
    return spool / output_name(job, attempt, stream)


def output_name(job: int, attempt: int, stream: Stream) -> str:
    """The same from the spool's folder. (For whoever asks about each job: the parts of a `Path` are interned, and a
    million different ones stay in memory.)"""
    return f"output/{job // SHARD:06d}/{job}.{attempt}.{stream}"


def lock_file(path: Path) -> int:
    """Own `path` (made if absent) for as long as the returned descriptor, or a child's copy of it, is open. Raises
    SpoolBusyError with the pid of the owner."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(lock, 32, 0).strip()
        os.close(lock)
        raise SpoolBusyError(path, int(text) if text.isdigit() else None) from None
    return lock


def write_owner(lock: int, pid: int) -> None:
    """Leave the pid of the owner in the lock file, for people. One write that covers what was there: nobody reads half
    of it."""
    os.pwrite(lock, f"{pid:<{PID_WIDTH}}\n".encode(), 0)


class Spool:
    """A spool that this process owns until `close`. Raises SpoolBusyError, SpoolError."""

    def __init__(self, path: Path, kind: str = AGENT_SPOOL) -> None:
        """`kind`: what sort of host it belongs to; one of another sort would take what runs there for lost."""
        self.path = path.absolute()
        try:
            for directory in (self.path, self.path / "pool", self.path / "output"):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._refuse_others()
            self._lock = lock_file(self.path / "lock")
            write_owner(self._lock, os.getpid())
            self._refuse_another(self._read_or_make("kind", kind), kind)
            self.identity = self._read_or_make("identity", secrets.token_hex(8))
            if not _IDENTITY.fullmatch(self.identity):
                os.close(self._lock)
                raise SpoolError(
                    f"{self.path}/identity does not say which spool this is",
                    "if nothing of this host runs any more, remove its whole folder: what it held is then lost",
                )
            self.same_boot = self._read_or_make("boot", boot_id()) == boot_id()
            """the logs cover everything since the last owner: the machine was not rebooted in between"""
            if not self.same_boot:
                _replace(self.path / "boot", boot_id().encode())
        except OSError as error:
            raise SpoolError(f"the spool {self.path} cannot be used: {error.strerror}") from error

    def _refuse_others(self) -> None:
        found = self.path.stat()
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SpoolError(
                f"the spool {self.path} belongs to user {found.st_uid} with mode {stat.S_IMODE(found.st_mode):04o}",
                "it must belong to the user who runs this, and nobody else may write to it",
            )

    def _refuse_another(self, found: str, kind: str) -> None:
        if found != kind:
            os.close(self._lock)
            raise SpoolError(
                f"the spool {self.path} belongs to a host of another kind ({found}, not {kind})",
                "what it holds may still run there: give the host back its link, or another name",
            )

    def _read_or_make(self, name: str, value: str) -> str:
        path = self.path / name
        if not os.path.lexists(path):
            _replace(path, value.encode())
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with open(file, encoding="ascii", errors="replace") as opened:
            return opened.read(SMALL_MAX).strip()

    def keepers(self) -> list[int]:
        """The numbers of the keepers that left a log here, in order."""
        names = [path.name[len("keeper-") : -len(".log")] for path in self.path.glob("keeper-*.log")]
        return sorted(int(name) for name in names if _KEEPER.fullmatch(name))

    def close(self) -> None:
        """Let another agent have it."""
        os.close(self._lock)


def _replace(path: Path, content: bytes) -> None:
    """Write a small file so that it is there wholly or not at all, after a power loss too."""
    fresh = path.with_name(path.name + ".new")
    with open(fresh, "wb", opener=_private) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    _sync_directory(path.parent)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


# the status log


class Header(Struct, frozen=True, array_like=True, tag="header"):
    """First record: what the process ids and the pool files of the log belong to."""

    version: int
    boot: str


class Begun(Struct, frozen=True, array_like=True, tag="begun", gc=False):
    """An attempt is about to be started; its output goes to these files of the pool."""

    job: JobId
    attempt: int
    spec: JobSpec
    stdout: str
    stderr: str


class Over(Struct, frozen=True, array_like=True, tag="over", gc=False):
    """The end of an attempt. `spec` is given when no `Begun` precedes."""

    job: JobId
    attempt: int
    report: Report
    spec: JobSpec | None = None


class Forgotten(Struct, frozen=True, array_like=True, tag="forgotten", gc=False):
    job: JobId
    attempt: int


StatusRecord = Header | Begun | Over | Forgotten

VERSION = 1
"""Of what keepers write and say: logs, and the frames of `keeper_frames.py`. It changes when one side could not read
the other any more; a field at the end that has a default needs no new one."""
_HEAD = 8
"""Bytes before each record: length and CRC-32, little-endian."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(StatusRecord).decode
_decode_header = msgspec.msgpack.Decoder(Header).decode


def _framed(record: StatusRecord) -> bytes:
    body = _encode(record)
    return len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body


class LogContents(Struct):
    """What a status log says."""

    boot: str = ""
    begun: dict[AttemptKey, Begun] = msgspec.field(default_factory=dict)
    """started, and not over"""
    ended: dict[AttemptKey, Entry] = msgspec.field(default_factory=dict)
    """over, and not forgotten"""
    torn: int = 0
    """bytes at the end that are no whole record (a write was cut short)"""


def log_version(path: Path) -> int:
    """The `VERSION` of the keeper that began this log; ours when there is none. Raises OSError."""
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(_HEAD)[:4], "little")
            header = _decode_header(file.read(min(length, RECORD_MAX)))
    except (FileNotFoundError, msgspec.DecodeError):
        return VERSION  # nothing is said there, or something that `read_log` complains about
    return header.version


def read_log(path: Path) -> LogContents:
    """Fold a status log. A missing file holds nothing; a torn tail is counted and left out. Raises SpoolError when the
    file is no status log, OSError when it cannot be read."""
    held = LogContents()
    if not path.exists():
        return held
    if path.stat().st_size > LOG_MAX:
        raise SpoolError(f"{path} is too long for a status log")
    data = memoryview(path.read_bytes())
    position = 0
    while position < len(data):
        start = position + _HEAD
        length = int.from_bytes(data[position : position + 4], "little")
        body = data[start : start + length]
        checksum = int.from_bytes(data[position + 4 : start], "little")
        if length > RECORD_MAX or length == 0 or len(body) < length or zlib.crc32(body) != checksum:
            break
        try:
            _fold(held, _decode(body))
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise SpoolError(f"{path} holds a record that this version cannot read: {error}") from error
        position = start + length
    held.torn = len(data) - position
    return held


def _fold(held: LogContents, record: StatusRecord) -> None:
    kind = type(record)
    if kind is Header:
        held.boot = record.boot  # type: ignore[union-attr]
        return
    key = (record.job, record.attempt)  # type: ignore[union-attr]
    if isinstance(record, Begun):
        held.begun[key] = record
    elif isinstance(record, Over):
        begun = held.begun.pop(key, None)
        spec = record.spec or (None if begun is None else begun.spec)
        if spec is not None:
            held.ended[key] = Entry(*key, Held.ENDED, spec, "", record.report)
    else:
        held.ended.pop(key, None)


class StatusLog:
    """The status log of one keeper, open for appending. `append` collects, `write` hands it to the kernel (so it
    survives the death of the keeper), `sync` to the disk (so it survives a power loss)."""

    def __init__(self, path: Path, records: Iterable[StatusRecord]) -> None:
        """Begin the log anew with what is held."""
        self._path = path
        self._pending: list[bytes] = []
        self.unsynced = False
        self._file = -1
        self._kept = self._size = 0
        self.compact(records)

    def append(self, record: StatusRecord) -> None:
        self._pending.append(_framed(record))

    def write(self) -> None:
        """Raises OSError (a full disk); what was not written is kept for the next try, a partial record is cut off."""
        if not self._pending:
            return
        data = b"".join(self._pending)
        try:
            written = os.write(self._file, data)
            if written < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._pending.clear()
        self._size += len(data)
        self.unsynced = True

    def sync(self) -> None:
        self.write()
        if self.unsynced:
            os.fdatasync(self._file)
            self.unsynced = False

    @property
    def descriptor(self) -> int:
        return self._file

    @property
    def wants_compacting(self) -> bool:
        grown = self._size - self._kept
        return grown > COMPACT_AFTER and grown > 4 * self._kept

    def compact(self, records: Iterable[StatusRecord]) -> None:
        """Replace the log, and what was collected for it, by these records, durably. Raises OSError, and then nothing
        has changed."""
        _replace(self._path, b"".join(map(_framed, (Header(VERSION, boot_id()), *records))))
        self._pending.clear()
        if self._file >= 0:
            os.close(self._file)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._kept = self._size = os.fstat(self._file).st_size
        self.unsynced = False

    def close(self) -> None:
        os.close(self._file)


class Syncer:
    """A thread that brings one file at a time to the disk while its owner goes on. `descriptor` becomes readable when
    that is over."""

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC)
        self._files: SimpleQueue[int] = SimpleQueue()
        self._worked = True
        threading.Thread(target=self._run, name="sync", daemon=True).start()

    def begin(self, file: int) -> None:
        """Not again before `end`; the file stays open until then."""
        self._files.put(file)

    def end(self) -> bool:
        """Whether it worked. Waits for it."""
        os.eventfd_read(self.descriptor)
        return self._worked

    def _run(self) -> None:
        while True:
            file = self._files.get()
            try:
                os.fdatasync(file)
                self._worked = True
            except OSError:  # told to the owner, who keeps what it was about to say
                self._worked = False
            os.eventfd_write(self.descriptor, 1)


# output files


class OutputFile:
    """An open file that a job writes to: in the pool, or under its own name."""

    __slots__ = ("fd", "name", "named")

    def __init__(self, fd: int, name: str) -> None:
        self.fd = fd
        self.name = name
        self.named = False


class OutputPool:
    """Open output files of one keeper, lent to jobs and taken back when nothing was written to them."""

    def __init__(self, spool: Path, keeper: int) -> None:
        self._spool = spool
        self._directory = f"{spool}/pool/"
        self._prefix = f"{keeper}-"
        self._next = 0
        self._free: list[OutputFile] = []
        self._shards: set[Path] = set()

    def clear(self) -> None:
        """Delete what an earlier life of this keeper left; nobody may hold these files any more."""
        for path in Path(self._directory).glob(self._prefix + "*"):
            path.unlink()

    def lend(self) -> OutputFile:
        """An empty file, open for appending. Raises OSError (EMFILE, ENOSPC). The last descriptors are not lent: with
        them what runs is watched and ended."""
        if self._free:
            return self._free.pop()
        self._next += 1
        name = f"{self._prefix}{self._next}"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(self._directory + name, flags, 0o600)
        if 0 <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] - DESCRIPTORS_LEFT <= file:
            os.close(file)
            os.unlink(self._directory + name)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), name)
        return OutputFile(file, name)

    def give_name(self, file: OutputFile, job: int, attempt: int, stream: Stream) -> None:
        """Let the file be found at `output_path`. Raises OSError."""
        if not file.named:
            self.rename(file.name, job, attempt, stream)
            file.named = True

    def rename(self, name: str, job: int, attempt: int, stream: Stream) -> None:
        """Give a file of the pool its own name. Raises OSError."""
        path = output_path(self._spool, job, attempt, stream)
        if path.parent not in self._shards:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            self._shards.add(path.parent)
        os.rename(self._directory + name, path)

    def is_unnamed(self, name: str) -> bool:
        """A file of this name is in the pool."""
        return os.path.exists(self._directory + name)

    def size(self, name: str, job: int, attempt: int, stream: Stream) -> int:
        """Bytes of an attempt's output, whether its file has its own name yet or still `name`; 0 without any."""
        for path in (Path(self._directory + name), output_path(self._spool, job, attempt, stream)):
            if path.exists():
                return path.stat().st_size
        return 0

    def take_back(self, file: OutputFile, job: int, attempt: int, stream: Stream, reusable: bool) -> int:
        """The job is over: name the file if there is something in it, else lend it again if nobody can write to it any
        more (`reusable`) and the job left it as it was. Returns its size in bytes. Raises OSError, the file is closed
        then."""
        found = os.fstat(file.fd)
        if found.st_size:
            try:
                self.give_name(file, job, attempt, stream)
            finally:
                os.close(file.fd)
            return found.st_size
        if file.named:
            output_path(self._spool, job, attempt, stream).unlink(missing_ok=True)
        elif reusable and len(self._free) < POOL_FREE_MAX and _untouched(file.fd, found):
            self._free.append(file)
            return 0
        else:
            os.unlink(self._directory + file.name)
        os.close(file.fd)
        return 0


def _untouched(fd: int, found: os.stat_result) -> bool:
    """The job has changed neither the flags nor the mode of the file, has made no other name for it, and has left the
    position at its start; so the next job finds what it would find in a new file."""
    return (
        found.st_mode == stat.S_IFREG | 0o600
        and found.st_nlink == 1
        and fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_APPEND | os.O_NONBLOCK) == os.O_APPEND
        and os.lseek(fd, 0, os.SEEK_CUR) == 0
    )
