"""Which kind of file system a path lies on: SQLite's WAL mode needs shared memory and locks that network ones lack.

Called by `live/journal.py`. The numbers are the f_type magics of statfs(2).
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from model.errors import LaulimaError

NETWORK_FILE_SYSTEMS = {
    0x6969: "nfs",
    0x517B: "smb",
    0xFE534D42: "smb2",
    0xFF534D42: "cifs",
    0x5346414F: "afs",
    0x6B414653: "kafs",
    0x01021997: "9p",
    0x00C36400: "ceph",
    0x0BD00BD0: "lustre",
    0x47504653: "gpfs",
    0x19830326: "beegfs",
    0x73757245: "coda",
    0x7461636F: "ocfs2",
    0x01161970: "gfs2",
}
_STATFS_BYTES = 512
"""More than any architecture's struct statfs; its first word is f_type."""


def network_file_system(path: Path) -> str | None:
    """The name of the network file system on which `path` lies; None: it is a local one (or one of FUSE, which does
    not say what is behind it)."""
    library = ctypes.CDLL(None, use_errno=True)
    answer = ctypes.create_string_buffer(_STATFS_BYTES)
    if library.statfs(os.fsencode(path), answer) != 0:
        number = ctypes.get_errno()
        raise LaulimaError(f"{path}: {os.strerror(number)}", "choose a directory that can be read")
    kind = ctypes.c_long.from_buffer(answer).value & 0xFFFFFFFF
    return NETWORK_FILE_SYSTEMS.get(kind)
