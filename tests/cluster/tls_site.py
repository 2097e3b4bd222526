"""Certificates and dialling agents for tests: an authority made by `laulima cert`, broken certificates beside it, and
`laulima agent` processes that bear the server's mark (`tests/live/running_server.py`).
"""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from socket import create_connection
from typing import Any

from live.certificates import SERVER_NAME
from live.joining_words import JOIN, JoinRequest, line
from live.transport import READ_BYTES
from model.configuration import ClusterDefinition, HostDefinition, JoinSettings, Link, ListenSettings
from model.job import SECOND
from model.messages import PROTOCOL
from tests.cluster.ports import free_port
from tests.live.running_server import DEADLINE, RunningServer

ROOT = Path(__file__).resolve().parents[2]


class TlsSite:
    """One authority, one port, and who dials in there."""

    def __init__(self, server: RunningServer, listen: str = "127.0.0.1", folder: Path | None = None) -> None:
        """`folder`: of an authority that is there already."""
        self.server = server
        self.folder = folder or server.folder / "tls"
        self.port = free_port()
        self._listen = listen
        self.agents: list[subprocess.Popen[bytes]] = []
        if folder is None:
            self.run("cert", "init")

    def run(self, *words: str) -> str:
        """A command of laulima in the server's folder; what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "shell.main", *words],
            cwd=self.server.folder, env=self._environment(), capture_output=True, text=True,
            timeout=DEADLINE * 3, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{os.environ['PATH']}:{self.server.mark}", "PYTHONPATH": str(ROOT)}

    def cluster(self, *names: str, join: JoinSettings | None = None, **more: Any) -> ClusterDefinition:
        """Hosts that dial in, and where."""
        return self.cluster_of(tuple(HostDefinition(name, 2, Link.TLS) for name in names), join=join, **more)

    def cluster_of(
        self, hosts: tuple[HostDefinition, ...], *, join: JoinSettings | None = None, **more: Any
    ) -> ClusterDefinition:
        """The same, of hosts that are defined otherwise."""
        return ClusterDefinition(
            hosts=hosts,
            listen=ListenSettings(self._listen, self.port, str(self.folder)),
            join=join,
            backoff_ns=SECOND // 5,
            backoff_cap_ns=SECOND,
            **more,
        )

    def agent(self, name: str, *words: str, prefix: tuple[str, ...] = (), at: str = "") -> subprocess.Popen[bytes]:
        """A machine that dials in. `prefix`: what runs the command (`ip netns exec x`)."""
        folder = self.folder
        command = [
            *prefix, sys.executable, "-m", "shell.main", "agent", "--join", at or f"127.0.0.1:{self.port}",
            "--name", name, "--cert", str(folder / f"{name}.pem"), "--key", str(folder / f"{name}.key"),
            "--ca", str(folder / "ca.pem"), "--spool", str(self.server.folder / "there" / name),
            "--retry-max", "1s", *words,
        ]  # fmt: skip
        with self.log(name).open("ab") as log:
            started = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment(),
                start_new_session=True,
            )  # fmt: skip
        self.agents.append(started)
        return started

    def log(self, name: str) -> Path:
        return self.server.folder / f"agent-{name}.log"

    def call(
        self,
        certificate: str = "",
        *,
        folder: Path | None = None,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        name: str = "n1",
    ) -> bytes:
        """What the server says to somebody with this certificate who wants to be `name`, until it closes."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.folder / "ca.pem")
        context.minimum_version = context.maximum_version = version
        if certificate:
            files = folder or self.folder
            context.load_cert_chain(files / f"{certificate}.pem", files / f"{certificate}.key")
        told = b""
        with create_connection(("127.0.0.1", self.port), DEADLINE) as connected:
            try:
                with context.wrap_socket(connected, server_hostname=SERVER_NAME) as secure:
                    secure.sendall(line(JoinRequest(PROTOCOL, JOIN, name)))
                    while piece := secure.recv(READ_BYTES):
                        told += piece
            except (ssl.SSLError, ConnectionError):
                pass  # refused before it could say anything
        return told

    def clean(self) -> None:
        for agent in self.agents:
            if agent.poll() is None:
                agent.send_signal(signal.SIGKILL)
            agent.wait()
