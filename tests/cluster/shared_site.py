"""A controller with a process of its own, and the servers that share it, as real processes of one test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from live.state_directory import SCHEDULERS_NAME
from model.channel import ChannelTimes
from model.configuration import ClusterDefinition, Configuration, ControllerKind, ControllerPlace, OnExit
from model.job import SECOND
from tests.live.running_server import Client, RunningServer

_PROGRAM = """
import sys
from pathlib import Path
import msgspec
from live.controller_program import serve_controller
from model.configuration import Configuration
from model.errors import LaulimaError
try:
    configuration = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Configuration)
    sys.exit(serve_controller(configuration, Path(sys.argv[2])))
except LaulimaError as error:
    sys.exit(f"{error}\\n{error.hint}")
"""

TIMES = ChannelTimes(
    ping_ns=SECOND // 2, silent_ns=2 * SECOND, lease_ns=60 * SECOND, margin_ns=5 * SECOND, resend_ns=2 * SECOND
)
"""Silence is found soon; nothing is lost by a slow machine."""


class RunningController(RunningServer):
    """One state directory of a controller, and the controllers that run on it one after another."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        super().__init__(folder)

    @property
    def socket(self) -> str:
        """Where it listens for schedulers."""
        return str(self.state / SCHEDULERS_NAME)

    def _run(self, words: list[str], before: str = "") -> subprocess.Popen[bytes]:
        environment = dict(os.environ, PATH=f"{os.environ['PATH']}:{self.mark}")
        with self.errors.open("ab") as errors:
            return subprocess.Popen(
                [sys.executable, "-c", before + _PROGRAM, *words[:2]],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )

    def start_with(self, cluster: ClusterDefinition, **more: Any) -> Client:
        """Start a controller and wait until it answers."""
        more.setdefault("on_exit", OnExit.KEEP)
        return self.start(Configuration(str(self.folder / "shared.yaml"), str(self.folder), cluster=cluster, **more))


class Site:
    """One controller and some servers, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.controller = RunningController(folder / "controller")
        self.servers: dict[str, RunningServer] = {}

    def server(self, name: str) -> RunningServer:
        """The folder of a server, made when it is first asked for."""
        if name not in self.servers:
            (self.folder / name).mkdir()
            self.servers[name] = RunningServer(self.folder / name)
        return self.servers[name]

    def place(self, name: str) -> ControllerPlace:
        """What a server's configuration says of the shared controller."""
        return ControllerPlace(ControllerKind.SOCKET, self.controller.socket, name)

    def start_server(self, name: str, *tasks: Any, **more: Any) -> Client:
        """Start a server of the shared controller and wait until it answers."""
        server = self.server(name)
        more.setdefault("cluster", ClusterDefinition(times=TIMES))
        more.setdefault("controller", self.place(name))
        more.setdefault("on_exit", OnExit.KEEP)
        return server.start(server.configuration(*tasks, **more))

    def clean(self) -> None:
        """End everything by force."""
        for each in (*self.servers.values(), self.controller):
            if each.process is not None:
                each.process.send_signal(signal.SIGCONT)
            each.clean()


def connected(client: Client, state: str = "up") -> bool:
    """Whether the server sees its controller so."""
    rows = {row["name"]: row["state"] for row in client.ask("status")["executors"]}
    return rows["controller"] == state


def scheduler_rows(client: Client) -> dict[str, Any]:
    """The schedulers as a controller sees them, by name."""
    return {row["name"]: row for row in client.ask("status")["schedulers"]}
