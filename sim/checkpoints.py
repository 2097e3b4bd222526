"""Checkpoints: a long simulation in a file, from which the same command goes on after whatever ended it.

What is kept is the whole world in the middle of its run, with all that reads its log (`sim/object_graphs.py`), at an
instant between two events; so the rest is what it would have been, and the event log is equal to the byte. The log
itself stays in its own file: to go on, its first part is read once for the hash, and what came after it is cut off.

Where scripts are run, none of them is in the middle of its lines then: no run of one can be written, as a generator
cannot, and what all runs have made is. A checkpoint that is due is put off until they rest.

A checkpoint is good for the very code, Python and inputs that wrote it, which it names, and is refused by all others.
Made by `shell/simulate.py`; `sim/simulation.py` restores and saves. No clock is here: `due` says when it is time.
"""

from __future__ import annotations

import os
import pickle
import stat
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import IO, Protocol

import msgspec
from msgspec import Struct

import model
import sim
from model.configuration import Configuration
from model.errors import ConfigurationError
from sim.calendar import Calendar
from sim.log import EventLog
from sim.object_graphs import read_graph, write_graph
from sim.plain import plain
from sim.scenario import Scenario

PIECES = 2_000
"""The simulated time is gone through in so many pieces: between two of them a checkpoint may be written."""
RESTLESS_MAX = 100
"""After so many pieces in which scripts never rested, a twentieth of the simulation, somebody is told."""


class Head(Struct, frozen=True):
    """The first line of the file. `inputs`, `code`: digests; `t`: simulated ns; `log_bytes`: of the event log."""

    inputs: str
    code: str
    t: int
    for_ns: int
    log_bytes: int
    laulima_checkpoint: int = 1


class Place(Protocol):
    """What is needed of the world."""

    calendar: Calendar

    @property
    def at_rest(self) -> bool: ...


def _tell_nobody() -> None:
    """Of what is put off."""


class Checkpoints:
    """The checkpoint of one simulation at `path`."""

    def __init__(
        self,
        path: Path,
        inputs: str,
        due: Callable[[], bool],
        *,
        code: str = "",
        put_off: Callable[[], None] = _tell_nobody,
    ) -> None:
        """`inputs`: `inputs_digest` of what is simulated and read; `due`: whether to write one now; `code`: digest of
        what else its objects are made of; `put_off`: called once, when the world has not been at rest for
        `RESTLESS_MAX` pieces."""
        self.path = path
        self.head: Head | None = None
        """of the one that was found"""
        self.written = 0
        self._inputs = inputs
        self._due = due
        self._put_off = put_off
        self._restless = 0
        """pieces in a row after which a script was in the middle of its lines"""
        self._code = code_digest() + code
        self._graph = b""

    def find(self) -> bool:
        """Whether there is one to go on from. Raises `ConfigurationError` when it is none of this simulation."""
        if self.head is not None:
            return True
        try:
            with self.path.open("rb") as file:
                self._refuse_foreign(os.fstat(file.fileno()))
                line, self._graph = file.readline(), file.read()
        except FileNotFoundError:
            return False
        hint = f"to begin anew: rm {self.path}; or name another file"
        try:
            head = msgspec.json.decode(line, type=Head)
        except msgspec.MsgspecError as error:
            raise ConfigurationError(f"{self.path} is no checkpoint of a rehearsal", "name another file") from error
        if head.inputs != self._inputs:
            raise ConfigurationError(
                f"{self.path} is the checkpoint of another rehearsal: of other files, or with other options", hint
            )
        if head.code != self._code:
            raise ConfigurationError(f"{self.path} was written by another version of laulima or Python", hint)
        self.head = head
        return True

    def _refuse_foreign(self, found: os.stat_result) -> None:
        """What is in it is done: so it must be one's own, and nobody else can have written it."""
        if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigurationError(
                f"{self.path} can be written by others: a checkpoint is a program's memory, and is trusted",
                f"if it is yours: chmod 600 {self.path}; else begin anew with another file",
            )

    def restore(self, roots: Sequence[object], log: EventLog, file: IO[bytes] | None) -> None:
        """Fill what was saved, and let the log go on in its file. Raises `ConfigurationError`."""
        assert self.head is not None, "found first"
        try:
            read_graph(self._graph, roots)
        except (pickle.UnpicklingError, EOFError, ValueError, AttributeError, ImportError, IndexError) as error:
            raise ConfigurationError(f"{self.path} is damaged: {error}", f"to begin anew: rm {self.path}") from error
        self._graph = b""
        if file is None:
            raise ConfigurationError("to go on from a checkpoint the event log is needed", "as before: --log FILE")
        log.go_on(file, self.head.log_bytes)

    def save_if_due(self, roots: Sequence[object], log: EventLog, world: Place) -> None:
        """Write it when it is time, and the world is at rest: whole, or not at all."""
        if not world.at_rest:
            self._restless += 1
            if self._restless == RESTLESS_MAX:
                self._put_off()
                self._put_off = _tell_nobody
            return
        self._restless = 0
        if not self._due():
            return
        calendar = world.calendar
        log.sync()
        fresh = self.path.with_name(self.path.name + ".new")
        head = Head(self._inputs, self._code, calendar.now, calendar.until_ns, log.bytes)
        with fresh.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(msgspec.json.encode(head) + b"\n")
            write_graph(file, roots)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        self.written += 1

    def remove(self) -> None:
        """The simulation has come to its end."""
        self.path.unlink(missing_ok=True)


def inputs_digest(configuration: Configuration, scenario: Scenario, more: Sequence[str]) -> str:
    """Of all that decides a simulation, and of what reads it (`more`)."""
    told = [plain(configuration), plain(scenario), list(more)]
    return blake2b(msgspec.json.encode(told, order="sorted"), digest_size=16).hexdigest()


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Of the code that objects of a checkpoint are made of, as it was when first asked for: what runs stays so."""
    digest = blake2b(repr((sys.version_info, version("msgspec"), version("simpy"))).encode(), digest_size=16)
    for package in (model, sim):
        for file in sorted(Path(str(package.__file__)).parent.glob("*.py")):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
