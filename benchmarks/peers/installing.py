"""Peers are installed when they are measured, each into a folder of its own under `build/peers`, and stay there until
`make clean`: nothing of them is a dependency of ours, or of this machine.

Called by the benchmarks of peers. Python packages get a virtual environment, Debian packages are unpacked without being
installed. One that is there already is taken as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(__file__).resolve().parent.parent.parent / "build" / "peers"
LIMIT_SECONDS: Final = 600.0
"""The longest that one installation may take."""
ENABLED: Final = bool(os.environ.get("LAULIMA_BENCH_PEERS"))
only_peers = pytest.mark.skipif(not ENABLED, reason="installs other systems; by `make bench-peers`")


class NotThereError(Exception):
    """The peer can't be installed here; the text says why."""


def python_with(package: str) -> Path:
    """A Python that has this package of PyPI. Raises NotThereError."""
    folder = FOLDER / package
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _carry_out([sys.executable, "-m", "venv", "--clear", str(folder)], package)
        _carry_out([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package], package)
        done.touch()
    return python


def debian_program(package: str, program: str) -> Path:
    """The program of a Debian package: this machine's own, or one of the unpacked package. Raises NotThereError."""
    found = shutil.which(program)
    if found is not None:
        return Path(found)
    folder = FOLDER / package
    path = folder / "usr" / "bin" / program
    if not path.exists():
        if shutil.which("apt-get") is None:
            raise NotThereError(f"{package} is a Debian package, and there is no apt-get here")
        folder.mkdir(parents=True, exist_ok=True)
        _carry_out(["apt-get", "download", "--quiet=2", package], package, folder)
        archives = sorted(str(archive) for archive in folder.glob("*.deb"))
        _carry_out(["dpkg-deb", "--extract", archives[-1], str(folder)], package)
    return path


def _carry_out(command: list[str], package: str, directory: Path | None = None) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT_SECONDS, cwd=directory)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NotThereError(f"{package} can't be installed: {last}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotThereError(f"{package} can't be installed: {error}") from error
