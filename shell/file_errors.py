"""What is said about a file that cannot be read or written, or has too much: which one, why, and what to type about it.

Called by the commands that read or write files which a person has named. A file of the server's own is not such a one.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, NoReturn

from model.errors import ConfigurationError, LaulimaError


def unwritable(path: Path | str, error: OSError) -> LaulimaError:
    """That `path` (or what `error` names) cannot be written, with a way out by the kind of error."""
    file = Path(error.filename or path)
    folder = file.parent
    hint = {
        errno.ENOENT: f"make its folder first: mkdir -p {folder}",
        errno.ENOTDIR: f"{folder} is no folder; give another name",
        errno.EEXIST: f"{file} is no folder; give another name",
        errno.EISDIR: "it is a folder; give the name of a file in it",
        errno.ENOSPC: f"what is free there: df -h {folder}; or give another name",
        errno.EDQUOT: f"your quota there is used up: quota, du -sh {folder}; or give another name",
    }.get(error.errno or 0, f"who may write there: ls -ld {folder}; or give another name")
    return LaulimaError(f"{file} cannot be written: {error.strerror or error}", hint)


def refuse_unwritable(*files: Path | str | None, folder: Path | None = None) -> None:
    """Raises what writing these, or files into `folder`, would raise at the end of a long run."""
    for path in (Path(file) for file in files if file is not None):
        if not path.parent.is_dir():
            _refuse(path, errno.ENOENT)
        if path.is_dir():
            _refuse(path, errno.EISDIR)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            _refuse(path, errno.EACCES)
    if folder is not None and folder.exists() and not folder.is_dir():
        _refuse(folder, errno.EEXIST)


def _refuse(path: Path, number: int) -> NoReturn:
    raise unwritable(path, OSError(number, os.strerror(number), str(path)))


def unreadable(path: Path | str, error: OSError | ValueError, hint: str) -> ConfigurationError:
    """That `path` cannot be read; `hint` is the way out when it is not there at all, or is something else."""
    file = Path(path)
    if isinstance(error, FileNotFoundError):
        return ConfigurationError(f"there is no file {file}", hint)
    if isinstance(error, IsADirectoryError):
        return ConfigurationError(f"{file} is a folder", f"give the name of a file in it: ls {file}")
    if isinstance(error, PermissionError):
        return ConfigurationError(f"{file} cannot be read: {error.strerror}", f"who may read it: ls -l {file}")
    return ConfigurationError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}", hint)


def read_bounded(path: Path, bytes_max: int, hint: str) -> bytes:
    """All of the file, which may be a pipe. Raises `ConfigurationError`, also when it has more than `bytes_max`."""
    try:
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
            if len(content) > bytes_max:
                raise ConfigurationError(f"{path} {too_large(file, bytes_max)}", hint)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte inside the path
        raise unreadable(path, error, hint) from error
    return content


def too_large(file: BinaryIO, bytes_max: int) -> str:
    """What is wrong with a file that has more than `bytes_max` (whole MiB). A device may have no end at all."""
    mode = os.fstat(file.fileno()).st_mode
    what = (
        "is a device and no file: it gives more than" if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) else "is larger than"
    )
    return f"{what} {bytes_max >> 20} MiB"
