"""The agent's code as one archive, for hosts that have a Python and nothing of ours.

Made from this installation, once for each server: `model/`, `live/`, and the two packages that an agent imports.
`live/link_ssh.py` sends it where `live/first_stage.py` says that it is not there yet. Hosts keep it in a folder named
by its digest, so the same code is sent to a host once, whoever sends it.
"""

from __future__ import annotations

import base64
import io
import sys
import sysconfig
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from live import first_stage
from live.hello import laulima_version
from model.errors import LaulimaError

PACKAGES: Final = ("model", "live", "rpyc", "msgspec")
SUFFIXES: Final = (".py", ".so")
ARCHIVE_MAX: Final = first_stage.ARCHIVE_MAX
"""Bytes of the archive: ours has half a megabyte."""
CACHE: Final = "~/.cache/laulima/agents"
"""Where hosts keep the code."""
_TIME: Final = (1980, 1, 1, 0, 0, 0)


class ShippingError(LaulimaError):
    """No archive can be made of this installation."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip file, and the digest of what is in it (as `first_stage.digest_of` finds it on the disk)."""

    data: bytes
    digest: str


@cache
def agent_archive() -> Archive:
    """The archive of this installation. Raises ShippingError."""
    files: dict[str, bytes] = {}
    for package in PACKAGES:
        files.update(_files_of(package))
    version = laulima_version()
    metadata = f"Metadata-Version: 2.1\nName: laulima\nVersion: {version}\n"
    files[f"laulima-{version}.dist-info/METADATA"] = metadata.encode()  # so that the code there knows its version
    return pack(files)


def pack(files: dict[str, bytes]) -> Archive:
    """Files by their relative paths as an archive; the same files make the same bytes."""
    packed = io.BytesIO()
    found = sha256()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _TIME), files[name], zipfile.ZIP_DEFLATED)
            found.update(f"{name} {len(files[name])}\n".encode())
            found.update(files[name])
    data = packed.getvalue()
    if len(data) > ARCHIVE_MAX:
        raise ShippingError(f"the agent's code has {len(data)} bytes, at most {ARCHIVE_MAX} are sent")
    return Archive(data, found.hexdigest()[:32])


def _files_of(package: str) -> dict[str, bytes]:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ShippingError(
            f"the package {package} is not in folders of this installation, so it cannot be sent to hosts",
            "install laulima on the hosts, and say `ship: false` with `python:` of that installation",
        )
    folder = Path(spec.submodule_search_locations[0])
    paths = (path for path in folder.rglob("*") if path.suffix in SUFFIXES and "__pycache__" not in path.parts)
    return {f"{package}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in paths}


def first_words(python: str, digest: str) -> str:
    """The command for the shell there, whichever it is: between the quotes is nothing that one of them would change.
    `python`: quoted already."""
    text = base64.b64encode(zlib.compress(Path(first_stage.__file__).read_bytes(), 9)).decode()
    program = f'import base64,zlib;exec(zlib.decompress(base64.b64decode("{text}")))'
    return f"exec {python} -c '{program}' {digest} '{CACHE}'"


def own_python() -> tuple[str, str]:
    """(version, ABI) of the Python that runs here: compiled code of ours runs in such a one only."""
    return ".".join(map(str, sys.version_info[:3])), sysconfig.get_config_var("SOABI") or ""
