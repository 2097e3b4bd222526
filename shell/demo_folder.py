"""The demo's folder, and the files that arrive in it.

Called by `demo.py`. The files are copies of the Python standard library's own sources: any machine has them. Each is
written under a hidden name and then renamed, so it arrives whole; while more will come, `incoming/.feeding` says so.
"""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from model.errors import OperatorError
from shell.shipped_files import shipped

MARKER = ".laulima-demo"
MARKER_TEXT = "This folder belongs to `laulima demo`, which empties it when it runs again.\n"
FOLDERS = ("incoming", "checked", "packed", "catalogue")
OURS = (*FOLDERS, "arrived.txt", "catalogue.txt", "count.txt", "demo.yaml", ".laulima")
"""All that a demo leaves behind; nothing else in the folder is ever removed."""
FEEDING = ".feeding"
SIZE_MAX = 200_000
"""Bytes of the largest source file that is taken."""
NOT_SOURCES = frozenset({"site-packages", "dist-packages", "test", "tests", "__pycache__", "idlelib", "lib2to3"})
ODD_NAME = "a name with spaces, a $dollar & 'quotes'.py"
"""One file arrives under this name: an item is one argument, whatever it holds."""


class Folder:
    """Where everything lies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.incoming = path / "incoming"
        self.packed = path / "packed"
        self.lines = path / "catalogue"
        self.catalogue = path / "catalogue.txt"
        self.arrived = path / "arrived.txt"
        self.pipeline = path / "demo.yaml"
        self.state = path / ".laulima"
        self.log = self.state / "server.log"

    def prepare(self) -> None:
        """Make the folder, or empty one that an earlier demo made. Raises `OperatorError` for any other."""
        marker = self.path / MARKER
        if self.path.exists() and not marker.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise OperatorError(
                f"{self.path} is there already and is no folder of the demo; nothing was touched",
                "another folder: laulima demo --directory NAME",
            )
        self._refuse_running()
        self.path.mkdir(parents=True, exist_ok=True)
        marker.write_text(MARKER_TEXT, encoding="utf-8")
        for name in OURS:
            old = self.path / name
            if old.is_dir() and not old.is_symlink():
                shutil.rmtree(old)
            else:
                old.unlink(missing_ok=True)
        for name in FOLDERS:
            (self.path / name).mkdir()
        self.state.mkdir(mode=0o700)
        (self.incoming / FEEDING).touch()
        shutil.copyfile(pipeline_source(), self.pipeline)

    def _refuse_running(self) -> None:
        from live.state_directory import owner_pid  # noqa: PLC0415

        pid = owner_pid(self.state) if self.state.is_dir() else None
        if pid is not None:
            raise OperatorError(
                f"a demo runs in {self.path} (pid {pid})", f"end it: laulima shutdown --kill --state {self.state}"
            )


def pipeline_source() -> Path:
    """`demo.yaml` as it is shipped."""
    return shipped("demo.yaml")


class Arrivals:
    """The files that will arrive, in bursts. `names` are those of all of them, in order."""

    def __init__(self, folder: Folder, files: int, bursts: int) -> None:
        self._folder = folder
        self._inputs = choose_inputs(standard_sources(), files)
        self.bursts = min(bursts, files)
        self.total = files
        self.arrived = 0
        self._burst = 0
        self.names = [name for name, _ in self._inputs]
        self.bytes_total = sum(source.stat().st_size for _, source in self._inputs)

    @property
    def complete(self) -> bool:
        return self.arrived == self.total

    def next_burst(self) -> None:
        """Let the next burst arrive; with the last one, `arrived.txt` tells the pipeline that it is complete."""
        self._burst += 1
        until = self.total * self._burst // self.bursts
        for name, source in self._inputs[self.arrived : until]:
            hidden = self._folder.incoming / f".{name}.part"
            shutil.copyfile(source, hidden)
            hidden.rename(self._folder.incoming / name)
        self.arrived = until
        if self.complete:
            hidden = self._folder.path / ".arrived.txt.part"
            hidden.write_text("".join(f"{name}\n" for name in self.names), encoding="utf-8")
            hidden.rename(self._folder.arrived)
            (self._folder.incoming / FEEDING).unlink()


def standard_sources() -> list[tuple[str, Path]]:
    """The standard library's source files as (name without folders, path), in order of their names."""
    root = Path(sysconfig.get_path("stdlib"))
    found: list[tuple[str, Path]] = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in NOT_SOURCES]
        paths = [Path(folder, name) for name in files if name.endswith(".py")]
        found += [("-".join(path.relative_to(root).parts), path) for path in paths if _is_input(path)]
    if not found:
        raise OperatorError(
            f"no Python sources in {root}, of which the demo would make its files",
            "install laulima anew: pip install --force-reinstall laulima",
        )
    return sorted(found)


def _is_input(path: Path) -> bool:
    return 0 < path.stat().st_size <= SIZE_MAX


def choose_inputs(sources: Sequence[tuple[str, Path]], files: int) -> list[tuple[str, Path]]:
    """So many inputs, spread evenly over the sources; each is taken again under a new name when they are too few."""
    chosen = []
    for number in range(files):
        lap, at = divmod(number, len(sources)) if files > len(sources) else (0, number * len(sources) // files)
        name, path = sources[at]
        chosen.append((f"{lap + 1}-{name}" if lap else name, path))
    chosen[files // 2] = (ODD_NAME, chosen[files // 2][1])
    return chosen
