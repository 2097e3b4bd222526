"""Worlds that are finished, kept in a file while many are simulated: the same command again runs only the others.

A line of JSON a world, behind a line that says of what. Called by `shell/many_worlds.py`; a single long simulation is
kept by `sim/checkpoints.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from model.errors import ConfigurationError
from shell.file_errors import unreadable, unwritable
from sim.many import Drawn

LINE_MAX = 16 << 20
"""Bytes of one line: figures of a world are some kB."""


class _Head(Struct, frozen=True):
    """The first line: `inputs` is a digest of all that decides the worlds."""

    inputs: str
    laulima_finished_worlds: int = 1


class _Kept(Struct, frozen=True):
    """A world that is finished."""

    arm: int
    world: Drawn


class FinishedWorlds:
    """Those in the file at `path`, and those that are added to it. Without a path nothing is kept."""

    def __init__(self, path: Path | None, inputs: str) -> None:
        """Raises `ConfigurationError` when the file is of other worlds, `LaulimaError` when it cannot be written."""
        self.worlds: dict[tuple[int, int], Drawn] = {}
        """by arm and seed"""
        self.path = path
        self._file: IO[bytes] | None = None
        if path is None:
            return
        try:
            whole = self._read(path, inputs) if path.exists() else 0
        except OSError as error:
            raise unreadable(path, error, "name another file") from error
        try:
            self._file = path.open("r+b" if whole else "wb", buffering=0)
            self._file.seek(whole)
            self._file.truncate()  # a last line that was not written to its end
            if not whole:
                self._write(_Head(inputs))
        except OSError as error:
            raise unwritable(path, error) from error

    def _read(self, path: Path, inputs: str) -> int:
        """Gives the length of the lines that are whole."""
        with path.open("rb") as file:
            return self._take(path, file, inputs)

    def _take(self, path: Path, file: IO[bytes], inputs: str) -> int:
        line = file.readline(LINE_MAX)
        hint = f"to begin anew: rm {path}; or name another file"
        try:
            head = msgspec.json.decode(line, type=_Head)
        except msgspec.MsgspecError as error:
            raise ConfigurationError(f"{path} holds no finished worlds", "name another file") from error
        if head.inputs != inputs:
            raise ConfigurationError(f"{path} holds worlds of other files, options or versions", hint)
        whole = len(line)
        while line := file.readline(LINE_MAX):
            try:
                kept = msgspec.json.decode(line, type=_Kept)
            except msgspec.MsgspecError:
                break
            self.worlds[kept.arm, kept.world.seed] = kept.world
            whole += len(line)
        return whole

    def without(self, runs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those (arm, seed) that are still to be run."""
        return [run for run in runs if run not in self.worlds]

    def add(self, arm: int, world: Drawn) -> None:
        """One more is finished. Raises `LaulimaError` when the file cannot be written."""
        if self._file is not None:
            self._write(_Kept(arm, world))
        self.worlds[arm, world.seed] = world

    def _write(self, line: Struct) -> None:
        assert self._file is not None
        assert self.path is not None
        left = msgspec.json.encode(line) + b"\n"
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise unwritable(self.path, error) from error

    def close(self, *, done: bool) -> None:
        """`done`: all are finished, and the file is needed no more."""
        if self._file is not None:
            self._file.close()
        if done and self.path is not None:
            self.path.unlink(missing_ok=True)
