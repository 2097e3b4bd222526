"""A real sshd on loopback, for tests: with keys, configuration and home directory of its own, as this user.

The other machine that it pretends to be: a login shell that prints noise, a home directory in the test's folder, and
a Python without any package. What it starts has the test's mark in its PATH (`tests/live/running_server.py`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from model.configuration import HostDefinition, Link, SshSettings
from tests.cluster.ports import free_ports
from tests.live.running_server import until

SSHD = "/usr/sbin/sshd"
STARTS_MAX = 5
"""Ports that are tried: another program may take one between our look and sshd's."""


class SshSite:
    """One sshd, and what its clients need."""

    def __init__(self, folder: Path, mark: str) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.config = folder / "ssh_config"
        self.log = folder / "sshd.log"
        self.python = folder / "bare" / "bin" / "python"
        self._mark = mark
        self._process: subprocess.Popen[bytes] | None = None
        self.home.mkdir(parents=True)
        (self.home / ".bashrc").write_text(
            "echo 'Welcome to the cluster'\necho 'mind the gap' >&2\nprintf 'no newline'\n"
        )
        (folder / "banner").write_text("Authorised use only.\n")
        for name in ("host_key", "user_key", "other_key"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
        (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "bare")], check=True)
        self.port = 0

    def start(self) -> None:
        """Start sshd, at another port than before, and see it listen."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for _ in range(STARTS_MAX):
            self.port, nobodys = free_ports(2)
            self._write_configurations(nobodys)
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
            until(lambda: self._listens() or self.ended, "sshd listens or ends")
            if not self.ended:
                return
        raise AssertionError(f"sshd does not start: {self.log.read_text()}")

    @property
    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _listens(self) -> bool:
        with socket.socket() as calling:
            return calling.connect_ex(("127.0.0.1", self.port)) == 0

    def _write_configurations(self, nobodys: int) -> None:
        """`nobodys`: a port at which nobody listens."""
        folder = self.folder
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nPidFile none\nBanner {folder}/banner\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"PermitRootLogin prohibit-password\nPrintMotd no\nLogLevel VERBOSE\n"
            f"SetEnv HOME={self.home} PATH=/usr/local/bin:/usr/bin:/bin:{self._mark}\n"
        )
        key = (folder / "host_key.pub").read_text()
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}")
        self.config.write_text(
            f"Host stranger\n  IdentityFile {folder}/other_key\n"
            f"Host nobody\n  Port {nobodys}\n"
            f"Host * !stranger\n  IdentityFile {folder}/user_key\n"
            f"Host *\n  HostName 127.0.0.1\n  Port {self.port}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {folder}/known_hosts\n"
            "  GlobalKnownHostsFile /dev/null\n"
        )

    def hosts(self, names: Sequence[str], slots: int = 2) -> tuple[HostDefinition, ...]:
        """Hosts behind this sshd, with the Python that has no package."""
        ssh = SshSettings(config=str(self.config))
        return tuple(HostDefinition(name, slots, Link.SSH, ssh, python=str(self.python)) for name in names)

    def connections(self) -> list[int]:
        """Process ids of the sshd processes that serve one connection each."""
        assert self._process is not None
        if self.ended:
            return []
        text = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return [int(word) for word in text.split()]

    def cut(self, connections: Sequence[int] | None = None) -> int:
        """Cut connections (all), as a machine on the way does that breaks; how many there were."""
        found = self.connections() if connections is None else connections
        for process in found:
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it ends by itself meanwhile
                for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
                    self._kill_sshd(int(child))
                os.kill(process, signal.SIGKILL)
        return len(found)

    def _kill_sshd(self, process: int) -> None:
        """The unprivileged half of a connection; what it has started is not touched."""
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            if Path(f"/proc/{process}/comm").read_text().startswith("sshd"):
                os.kill(process, signal.SIGKILL)

    def archives(self) -> list[Path]:
        """The folders with code that was sent here."""
        return sorted((self.home / ".cache/laulima/agents").glob("*"))

    def stop(self) -> None:
        """End the listening sshd; connections stay."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def clean(self) -> None:
        self.cut()
        self.stop()
