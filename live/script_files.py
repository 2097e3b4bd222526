"""What scripts do with files: read, append, replace, look at, make a folder, list what matches.

Plain calls that block as the disk does; `live/scripts.py` runs them as errands. Files are made with the user's mask.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable

from live.texts import append, open_for_writing
from model.scripting import FILE_MAX, FileUsed, FileVerb, UseFile, text_of_bytes

PATHS_MAX = 1_000_000
"""Paths that a pattern may match."""
_PIECE = 1 << 20
FOLDER = 0o777
"""Mode of a folder that is made, before the user's mask."""

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def use_file(effect: UseFile, mask: int) -> FileUsed:
    """Do what the effect asks for. `mask`: the user's umask. Never raises for what is wrong with a file."""
    try:
        return _VERBS[effect.verb](effect, mask)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte inside the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return FileUsed(effect.run, ok=False, error=f"{effect.path}: {reason}")


def _read(effect: UseFile, _: int) -> FileUsed:
    parts: list[bytes] = []
    size = 0
    descriptor = os.open(effect.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        while part := os.read(descriptor, _PIECE):
            size += len(part)
            if size > FILE_MAX:
                return FileUsed(effect.run, ok=False, error=f"{effect.path}: it has more than {FILE_MAX >> 20} MiB")
            parts.append(part)
    finally:
        os.close(descriptor)
    return FileUsed(effect.run, ok=True, text=text_of_bytes(b"".join(parts)))


def _append(effect: UseFile, mask: int) -> FileUsed:
    append(effect.path, effect.text.encode(errors="replace"), mask)
    return FileUsed(effect.run, ok=True)


def _write(effect: UseFile, mask: int) -> FileUsed:
    with open(open_for_writing(effect.path, os.O_TRUNC, mask), "wb") as file:
        file.write(effect.text.encode(errors="replace"))
    return FileUsed(effect.run, ok=True)


def _stat(effect: UseFile, _: int) -> FileUsed:
    try:
        found = os.stat(effect.path)
    except (FileNotFoundError, NotADirectoryError):
        return FileUsed(effect.run, ok=False)
    facts = (
        ("size", str(found.st_size)),
        ("mtime", str(int(found.st_mtime))),
        ("atime", str(int(found.st_atime))),
        ("ctime", str(int(found.st_ctime))),
        ("mode", f"{stat.S_IMODE(found.st_mode):o}"),
        ("uid", str(found.st_uid)),
        ("gid", str(found.st_gid)),
        ("kind", _KINDS.get(stat.S_IFMT(found.st_mode), "other")),
        ("can-read", str(int(os.access(effect.path, os.R_OK)))),
        ("can-write", str(int(os.access(effect.path, os.W_OK)))),
    )
    return FileUsed(effect.run, ok=True, facts=facts)


def _make_directory(effect: UseFile, mask: int) -> FileUsed:
    os.mkdir(effect.path, FOLDER)
    os.chmod(effect.path, FOLDER & ~mask)
    return FileUsed(effect.run, ok=True)


def _glob(effect: UseFile, _: int) -> FileUsed:
    paths = glob.glob(effect.path)
    if len(paths) > PATHS_MAX:
        return FileUsed(effect.run, ok=False, error=f"{effect.path}: more than {PATHS_MAX} files match")
    return FileUsed(
        effect.run, ok=True, paths=tuple(sorted(os.fsencode(path).decode(errors="replace") for path in paths))
    )


_VERBS: dict[FileVerb, Callable[[UseFile, int], FileUsed]] = {
    FileVerb.READ: _read,
    FileVerb.APPEND: _append,
    FileVerb.WRITE: _write,
    FileVerb.STAT: _stat,
    FileVerb.MAKE_DIRECTORY: _make_directory,
    FileVerb.GLOB: _glob,
}
