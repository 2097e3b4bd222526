"""The lines of a log file with their numbers, from a gzip file too, and errors that name file and line.

A file is read as a stream, so that its size does not matter. Used by `sim/swf.py` and `sim/fault_traces.py`.
"""

from __future__ import annotations

import gzip
import io
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from model.errors import ConfigurationError

LINE_MAX = 4096
"""Bytes of one line. Real ones have about 100 to 300; what is longer is no log."""


def numbered_lines(path: Path, hint: str) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line), without the byte-order mark that some editors put before the first. Raises
    `ConfigurationError`, with `hint` as the way out of a line that is none."""
    number = 0
    try:
        with _open(path) as file:
            while line := file.readline(LINE_MAX + 1):
                number += 1
                if len(line) > LINE_MAX:
                    raise line_error(path, number, f"it has more than {LINE_MAX} bytes: this is no such log", hint)
                yield number, line if number > 1 else line.removeprefix(BOM_UTF8)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise line_error(path, number + 1, f"the compressed file is damaged: {error}", hint) from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", "give another file") from error


def line_error(path: Path, line: int, why: str, hint: str) -> ConfigurationError:
    """What is wrong with a line (0: with the file)."""
    return ConfigurationError(f"{path}:{line}: {why}" if line else f"{path}: {why}", hint)


def _open(path: Path) -> IO[bytes]:
    if path.suffix != ".gz":
        return path.open("rb")
    return io.BufferedReader(gzip.open(path))  # whose own `readline` is Python
