"""The first words on a host that is reached over ssh: says which Python runs there, takes the agent's code if it is not
there yet, and becomes the bridge (`live/agent_stdio.py`).

Its text is what `live/link_ssh.py` gives to `python3 -c`; so it imports nothing of ours and keeps to what Python 3.6
reads, for a Python that is too old must still say so. Standard output is for marked lines (MARK, then JSON) and later
for the frames; whatever login scripts print there comes before the first mark.

Code lies in a folder named by the digest of what is in it, of our own user and with mode 0700. It is checked at each
start: what a power loss or somebody else left there is thrown away.
"""

import base64
import hashlib
import io
import json
import os
import platform
import shutil
import stat
import sys
import sysconfig
import zipfile

MARK = b"\x1elaulima-agent "
ARCHIVE_MAX = 64 << 20
REQUEST_MAX = 1 << 20


def digest_of(folder: str) -> str:
    """What the files of a folder are, by names and contents; compiled files that Python itself left there aside."""
    found = hashlib.sha256()
    names = []
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        names += [os.path.relpath(os.path.join(here, name), folder) for name in files]
    for name in sorted(names):
        with open(os.path.join(folder, name), "rb") as file:
            content = file.read()
        found.update(("%s %d\n" % (name, len(content))).encode())  # noqa: UP031 - one format for all versions
        found.update(content)
    return found.hexdigest()[:32]


def is_ours(folder: str) -> bool:
    """Whether the folder is there, belongs to us, and nobody else may write to it."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    mine = found.st_uid == os.geteuid()
    return stat.S_ISDIR(found.st_mode) and mine and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def is_good(folder: str) -> bool:
    """Whether the folder is ours, and holds what its name says."""
    return is_ours(folder) and digest_of(folder) == os.path.basename(folder)


def unpack(archive: bytes, folder: str) -> str:
    """Put the code into its folder, whole or not at all. Returns what is wrong; nothing: it is there. Several may do so
    at one time, where hosts share a home directory: what one of them has put there is never taken away."""
    fresh = "%s.%d" % (folder, os.getpid())  # noqa: UP031
    try:
        os.makedirs(os.path.dirname(folder), mode=0o700, exist_ok=True)
        os.mkdir(fresh, 0o700)
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            files.extractall(fresh)
        if digest_of(fresh) != os.path.basename(folder):
            return "what arrived of the agent's code is not what was sent"
        try:
            os.rename(fresh, folder)
        except OSError:
            if not is_good(folder):
                os.rename(folder, fresh + ".bad")
                os.rename(fresh, folder)
    except (OSError, zipfile.BadZipFile) as error:
        return "the agent's code could not be put into %s: %s" % (folder, error)  # noqa: UP031
    finally:
        for left in (fresh, fresh + ".bad"):
            shutil.rmtree(left, ignore_errors=True)
    return ""


def say(output: int, facts: dict) -> None:  # type: ignore[type-arg]  # a Python that cannot say it must read this
    """One marked line."""
    os.write(output, MARK + json.dumps(facts).encode() + b"\n")


def facts_of_python() -> dict:  # type: ignore[type-arg]
    """What decides whether code of ours can run here."""
    return {
        "python": platform.python_version(),
        "abi": sysconfig.get_config_var("SOABI") or "",
        "executable": sys.executable,
        "machine": "%s %s" % (platform.system(), platform.machine()),  # noqa: UP031
    }


def main(digest: str, cache: str) -> None:
    """`digest`: of the code that is wanted. `cache`: the folder of such folders, perhaps with `~/`."""
    output = os.dup(1)
    os.dup2(2, 1)  # whatever prints from here on does not stand among the frames
    folder = os.path.join(os.path.expanduser(cache), digest)
    held = is_good(folder)
    say(output, dict(facts_of_python(), stage="python", held=held))
    line = sys.stdin.buffer.readline(REQUEST_MAX)
    if not line.endswith(b"\n"):
        return  # whoever called has gone, or does not want this Python
    size = json.loads(line.decode()).get("archive_bytes", 0)
    if size:
        archive = sys.stdin.buffer.read(min(size, ARCHIVE_MAX))
        fault = "its code did not arrive whole" if len(archive) != size else unpack(archive, folder)
        if fault:
            say(output, {"stage": "failed", "reason": fault})
            return
    os.environ["PYTHONPATH"] = folder
    os.dup2(output, 1)
    request = base64.b64encode(line).decode()
    os.execv(sys.executable, [sys.executable, "-P", "-s", "-m", "live.agent_stdio", request])  # noqa: S606


if __name__ == "__main__" and len(sys.argv) == 3:
    main(sys.argv[1], sys.argv[2])
