"""A program that stands for ssh in tests: it runs what it is told on this machine, in another home directory.

Put first into PATH by `FakeSsh`. Each run leaves a line in a file, so a test can count them, and can be told to behave
badly: to fail as ssh does, to say nothing, to send garbage.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from live.link_ssh import SshHost
from model.channel import ChannelTimes
from model.configuration import HostDefinition, Link

PROGRAM = """#!/bin/sh
echo "$*" | head -c 400 | tr '\\n' ' ' >> {folder}/calls; echo >> {folder}/calls
while [ "$1" != -- ]; do shift; done
host=$2; shift 2
echo "Authorised use only" >&2
. {folder}/behaviour
echo "Welcome to $host"
export HOME={folder}/home PATH=/usr/bin:/bin
exec sh -c "$*"
"""


class FakeSsh:
    """The program, its home directory, and the hosts behind it."""

    def __init__(self, folder: Path, monkeypatch: object) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.calls = folder / "calls"
        (folder / "bin").mkdir()
        program = folder / "bin" / "ssh"
        program.write_text(PROGRAM.format(folder=folder))
        program.chmod(0o755)
        self.behave("")
        monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")  # type: ignore[attr-defined]

    def behave(self, shell: str) -> None:
        """What the program does before anything else, as lines of sh."""
        (self.folder / "behaviour").write_text(shell + "\n")

    def runs(self) -> int:
        """How often it was started."""
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0

    def definition(self, name: str = "node1", **more: object) -> HostDefinition:
        more.setdefault("python", sys.executable)
        return HostDefinition(name, 2, Link.SSH, **more)  # type: ignore[arg-type]

    def host(self, name: str = "node1", **more: object) -> SshHost:
        return SshHost(
            asyncio.get_running_loop(),
            self.definition(name, **more),
            server="server1",
            directory=str(self.folder),
            times=ChannelTimes(),
            connect_seconds=20,
        )

    def spool(self, name: str = "node1") -> Path:
        return self.home / ".local/state/laulima/server1" / name

    def archives(self) -> list[Path]:
        return sorted((self.home / ".cache/laulima/agents").glob("*"))
