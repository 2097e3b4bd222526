"""Which paths match a pattern of a source: what `glob.glob` gives, but a folder that cannot be read is an error.

To `glob` such a folder is an empty one. A source of which nothing is there any more forgets what it has seen, so after
a moment without descriptors, or of a file server that did not answer, every file would be a new one. A folder that is
gone is empty here, too; so is one that a wildcard has found and that is not ours to read, as it will be tomorrow.

Called by `live/sources.py`, in its threads.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
from collections.abc import Iterator
from pathlib import Path

_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""There is no such folder (any more)."""
_EVERYTHING = "**"


def matching(pattern: str, root: Path) -> list[str]:
    """The paths that match, in no order; `**` stands for any folders. Raises OSError when a folder cannot be read."""
    base = pattern[: len(pattern) - len(pattern.lstrip("/"))]
    return [path for path in _below(str(root), base, pattern[len(base) :].split("/"), found=False) if path]


def _below(root: str, base: str, parts: list[str], *, found: bool) -> Iterator[str]:
    """The paths below `base` that match `parts`. `found`: a wildcard has found it."""
    part, rest = parts[0], parts[1:]
    for path in _next(root, base, part, last=not rest, found=found):
        if rest:
            yield from _below(root, path, rest, found=found or glob.has_magic(part))
        else:
            yield path


def _next(root: str, base: str, part: str, *, last: bool, found: bool) -> Iterator[str]:
    """What one part of a pattern matches; folders only, unless it is the last one."""
    if part == _EVERYTHING:
        yield from _tree(root, base, dirs=not last, found=found)
    elif glob.has_magic(part):
        names = _names(root, base, dirs=not last, found=found)
        if not part.startswith("."):
            names = [name for name in names if not name.startswith(".")]
        for name in fnmatch.filter(names, part):
            yield os.path.join(base, name)
    else:
        path = os.path.join(base, part)
        if not (found or last) or _is_there(os.path.join(root, path), folder=not part):
            yield path


def _tree(root: str, base: str, *, dirs: bool, found: bool) -> Iterator[str]:
    """`base` and all that is in it at any depth, but for what is hidden."""
    yield os.path.join(base, "") if base and not dirs else base
    for name in _names(root, base, dirs=dirs, found=found):
        if not name.startswith("."):
            path = os.path.join(base, name)
            inner = _tree(root, path, dirs=dirs, found=True)
            next(inner)
            yield path
            yield from inner


def _names(root: str, base: str, *, dirs: bool, found: bool) -> list[str]:
    """What is in a folder; with `dirs` only the folders."""
    try:
        with os.scandir(os.path.join(root, base)) as entries:
            return [entry.name for entry in entries if not dirs or entry.is_dir()]
    except OSError as error:
        if error.errno in _GONE or (found and error.errno == errno.EACCES):
            return []
        raise


def _is_there(path: str, *, folder: bool) -> bool:
    try:
        if folder:
            return os.path.isdir(path)
        os.lstat(path)
    except OSError as error:
        if error.errno in (*_GONE, errno.EACCES):
            return False
        raise
    return True
