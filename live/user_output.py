"""Appends what an attempt printed to the file that its user named, after its end, a piece at a time.

The keeper must not stand still for 10 GB, so it takes one step each turn. Appending files take neither `sendfile` nor
`copy_file_range` (Linux refuses both on O_APPEND), so a piece passes through one small buffer; a lock on the file keeps
the outputs of two attempts apart.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

PIECE = 1 << 20
"""Bytes that one step copies."""


class Appending:
    """One output that is being appended to its file."""

    __slots__ = ("_own", "_path", "_position", "_target", "note", "waits")

    def __init__(self, own: int, path: str) -> None:
        """`own`: descriptor of the captured output; `path`: absolute."""
        self._own = own
        self._path = path
        self._position = 0
        self._target = -1
        self.note = ""
        """what went wrong, for people"""
        self.waits = False
        """another attempt is writing to the file"""

    def step(self) -> bool:
        """Copy a piece; True when all is done or nothing more can be (`note` says why). False also when another attempt
        is writing to the file: try again a little later."""
        self.waits = False
        try:
            if self._target < 0:
                self._target = _open(self._path)
            if self._position == 0:
                fcntl.flock(self._target, fcntl.LOCK_EX | fcntl.LOCK_NB)
            piece = os.pread(self._own, PIECE, self._position)
            if piece:
                self._position += os.write(self._target, piece)
                return False
        except BlockingIOError:
            self.waits = True
            return False
        except (OSError, ValueError) as error:  # a ValueError: a NUL byte inside of the name
            why = error.strerror if isinstance(error, OSError) else error
            self.note = f"its output was not appended to {self._path!r} from byte {self._position} on: {why}"
        self.close()
        return True

    def close(self) -> None:
        if self._target >= 0:
            os.close(self._target)
            self._target = -1


def _open(path: str) -> int:
    """Never follows a link at the end of the path, never waits for the reader of a pipe, writes to plain files only."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    target = os.open(path, flags, 0o666)
    if not stat.S_ISREG(os.fstat(target).st_mode):
        os.close(target)
        raise OSError(errno.EINVAL, "it is no plain file", path)
    return target
