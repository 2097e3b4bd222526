"""The recording of decisions: everything that the machines of this process are told and what they ask for, in a file.

`laulima run FILE --decisions RECORDING` has the server write it, `laulima replay RECORDING` goes through it with fresh
machines (`model/replaying.py`). The file holds the lives of a server one after another:

    once, at the beginning: "laulima decisions" and a line feed
    4 bytes of length, then an entry of `model/decisions.py` as msgpack; and so on
    length 0: a seal; 16 bytes follow: BLAKE2 of all bytes of this life up to there

Entries gather in memory while a turn of the loop goes on, and are written and sealed right after it, so that a file
tells everything but the last turn of a server that was killed. What a disk that is full or broken does to it
ends the recording and nothing else: people are told. Nothing here is durable before the journal is; it need not be.

Made by `live/server.py`; without `--decisions` none of this is there.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from live.clock import wall_ns
from model.behaviour import Behaviour
from model.configuration import Configuration
from model.decisions import (
    Decoding,
    Entry,
    LifeBegun,
    LifeEnded,
    Machine,
    MachineMade,
    MadeOf,
    Watched,
    WatchedBehaviours,
    encode_entry,
    life_begun,
)
from model.effects import Notice
from model.errors import ConfigurationError, LaulimaError
from model.restored import Fold

BUFFER_BYTES: Final = 1 << 20
"""What is in memory at most before it is written, also within a turn."""
FILE_BYTES_MAX: Final = 8 << 30
"""A recording ends at this size: some 5 million jobs."""
LENGTH_BYTES: Final = 4
ENTRY_BYTES_MAX: Final = 1 << 30
SEAL_BYTES: Final = 16
DECODING: Final = Decoding(ZoneInfo)
MAGIC: Final = b"laulima decisions\n"
"""Every file begins so: nothing else is ever gone on with, or cut."""


class Recorder:
    """Writes one life. Everything is called in the loop."""

    def __init__(
        self,
        path: Path,
        loop: asyncio.AbstractEventLoop,
        say: Callable[[Notice], None],
        configuration: Configuration,
        restored: Fold,
    ) -> None:
        """Goes on behind what is there already. Raises LaulimaError when the file cannot be written, or is none."""
        self._path = path
        self._loop = loop
        self._say = say
        self._buffer = bytearray()
        self._digest = blake2b(digest_size=SEAL_BYTES)
        self._file: int | None
        """None: the recording has ended"""
        self._file, self._size = _open(path)
        self._scheduled = False
        self._made: set[str] = set()
        self.write(life_begun(configuration.path, configuration.digest, wall_ns(), restored))
        self.flush()

    def made(self, name: str, of: MadeOf) -> None:
        """The machine of this name is about to be made so. Only such machines are watched."""
        self._made.add(name)
        self.write(MachineMade(name, of))

    def watch(self, name: str, machine: Machine) -> Machine:
        """The same machine, with everything that it is told and asks for written."""
        return Watched(name, machine, self.write) if name in self._made else machine

    def behaviours(self, found: Mapping[str, Behaviour]) -> Mapping[str, Behaviour]:
        """The same behaviours, with what they answer written."""
        return WatchedBehaviours(found, self.write)

    def write(self, entry: Entry) -> None:
        """One more entry."""
        if self._file is None:
            return
        encoded = encode_entry(entry)
        self._buffer += len(encoded).to_bytes(LENGTH_BYTES, "big")
        self._buffer += encoded
        if len(self._buffer) >= BUFFER_BYTES:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._after_turn)

    def _after_turn(self) -> None:
        self._scheduled = False
        self.flush()

    def flush(self) -> None:
        """Write and seal what has gathered."""
        if self._file is None or not self._buffer:
            return
        buffer, self._buffer = self._buffer, bytearray()
        self._digest.update(buffer)
        buffer += bytes(LENGTH_BYTES) + self._digest.digest()
        try:
            if self._size + len(buffer) > FILE_BYTES_MAX:
                raise OSError(0, f"it has reached {FILE_BYTES_MAX >> 30} GiB")
            view = memoryview(buffer)
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            os.close(self._file)
            self._file = None
            self._say(Notice("warning", "", f"the recording of decisions in {self._path} has ended: {error.strerror}"))
        else:
            self._size += len(buffer)

    def close(self) -> None:
        """The process ends in order."""
        self.write(LifeEnded())
        self.flush()
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _open(path: Path) -> tuple[int, int]:
    """The file, ready to be gone on with, and its size; what a crash left half written is cut off."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = _whole_bytes(path)
            os.ftruncate(file, size)
            if not size:
                size = os.write(file, MAGIC)
        except BaseException:
            os.close(file)
            raise
    except OSError as error:
        raise LaulimaError(
            f"the recording of decisions {path} cannot be written: {error.strerror}", "another file: --decisions FILE"
        ) from error
    if size > FILE_BYTES_MAX:
        os.close(file)
        raise LaulimaError(f"{path} has reached {FILE_BYTES_MAX >> 30} GiB", "another file: --decisions FILE")
    return file, size


def _whole_bytes(path: Path) -> int:
    """Up to where the file is whole."""
    if not path.stat().st_size:
        return 0
    reading = Recording(path)
    for _ in reading.pieces():
        pass
    return reading.whole


class Recording:
    """A file of recorded decisions, to be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.whole = 0
        """bytes up to the last seal that was read"""
        self.cut = 0
        """bytes behind it that a killed server did not seal; they are left out"""

    def entries(self) -> Iterator[Entry]:
        """All that is sealed, in order. Raises ConfigurationError for a file that is damaged or is none, OSError."""
        for piece in self.pieces():
            try:
                yield DECODING.entry(piece)
            except msgspec.MsgspecError as error:
                raise _no_recording(self.path, f"an entry before byte {self.whole} cannot be read: {error}") from error

    def pieces(self) -> Iterator[bytes]:
        """The same, encoded. Whether they are what was written is seen at their seals."""
        waiting: list[bytes] = []
        digest = blake2b(digest_size=SEAL_BYTES)
        position = self.whole = len(MAGIC)
        with self.path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise _no_recording(self.path, "it is no recording of decisions")
            while len(head := file.read(LENGTH_BYTES)) == LENGTH_BYTES:
                size = int.from_bytes(head, "big")
                if size > ENTRY_BYTES_MAX:
                    raise _no_recording(self.path, f"byte {position} is no beginning of an entry")
                body = file.read(size or SEAL_BYTES)
                if len(body) < (size or SEAL_BYTES):
                    break
                position += LENGTH_BYTES + len(body)
                if size:
                    if _is_life(body):
                        digest = blake2b(digest_size=SEAL_BYTES)
                        waiting.clear()  # not sealed: the life before it was killed while it wrote
                    digest.update(head)
                    digest.update(body)
                    waiting.append(body)
                    continue
                if body != digest.digest():
                    raise _no_recording(self.path, f"it is damaged before byte {position}")
                self.whole = position
                yield from waiting
                waiting.clear()
            self.cut = self.path.stat().st_size - self.whole


_LIFE = msgspec.msgpack.encode(LifeBegun.__struct_config__.tag)


def _is_life(entry: bytes) -> bool:
    """Whether it begins a life: an array whose first element is the tag of `LifeBegun`."""
    return entry[1 : 1 + len(_LIFE)] == _LIFE


def _no_recording(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(f"{path}: {why}", "recordings are made by: laulima run FILE --decisions RECORDING")
