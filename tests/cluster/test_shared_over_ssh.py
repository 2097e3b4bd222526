"""Goal: a shared controller is used from another machine through the site's own ssh, as docs/guide.md says: both of its
sockets are forwarded, no port is opened, and a connection that breaks loses nothing and runs nothing twice.

Method: a real sshd on loopback, `ssh -L` with sockets, real processes on both ends.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from live.state_directory import SCHEDULERS_NAME
from model.configuration import ControllerKind, ControllerPlace
from model.job import SECOND
from model.task import LinesSource, Periods, TaskDefinition
from tests.cluster.shared_site import TIMES, Site, connected
from tests.cluster.ssh_site import SshSite
from tests.live.running_server import cluster, until

pytestmark = [pytest.mark.needs("/usr/sbin/sshd", "openssh-server")]
SOCKETS = (SCHEDULERS_NAME, "control.sock")
PATIENCE = 60.0
"""Seconds that anything may take here beside other tests."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One with a short name: ssh takes no socket whose path is longer than 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="ll-") as name:
        yield Path(name)


@pytest.fixture
def site(folder: Path) -> Iterator[Site]:
    made = Site(folder)
    yield made
    made.clean()


@pytest.fixture
def ssh(tmp_path: Path, site: Site) -> Iterator[SshSite]:
    made = SshSite(tmp_path / "ssh", site.controller.mark)
    made.start()
    yield made
    made.clean()


class Tunnel:
    """`ssh -N` that forwards the sockets of the controller into a folder."""

    def __init__(self, ssh: SshSite, there: Path, here: Path) -> None:
        here.mkdir(mode=0o700, exist_ok=True)
        self._errors = here.parent / "tunnel.err"
        words = [
            "ssh",
            "-N",
            "-F",
            str(ssh.config),
            "-o",
            "ExitOnForwardFailure=yes",
            "-o",
            "StreamLocalBindUnlink=yes",
        ]
        for name in SOCKETS:
            words += ["-L", f"{here / name}:{there / name}"]
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen([*words, "head"], stdin=subprocess.DEVNULL, stderr=errors)
        until(
            lambda: self._process.poll() is not None or all((here / name).exists() for name in SOCKETS),
            "the tunnel is there",
            PATIENCE,
        )
        assert self._process.poll() is None, self._errors.read_text()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def test_a_scheduler_on_another_machine_uses_it_through_ssh(site: Site, ssh: SshSite, folder: Path) -> None:
    site.controller.start_with(cluster("n1", times=TIMES))
    here = folder / "head"
    tunnel = Tunnel(ssh, site.controller.state, here)
    try:
        task = TaskDefinition(
            "far",
            command=("sh", "-c", "echo $LAULIMA_JOB; echo $LAULIMA_JOB >> ran; until [ -e gate ]; do sleep 0.05; done"),
            source=LinesSource(("seq", "1")),
            periods=Periods(exec_ns=SECOND // 20, timeout_ns=600 * SECOND, pending_ns=600 * SECOND),
        )
        place = ControllerPlace(ControllerKind.SOCKET, str(here / SCHEDULERS_NAME), "night")
        client = site.start_server("night", task, controller=place)
        night = site.server("night")
        until((night.folder / "ran").exists, "it runs", PATIENCE)
        until(lambda: [row["state"] for row in client.ask("jobs")] == ["running"], "the server knows", PATIENCE)
        assert [row["name"] for row in client.ask("status")["hosts"] if row["state"] == "up"] == ["local", "n1"]
        tunnel.close()
        until(lambda: not connected(client), "the server knows that the connection is gone", PATIENCE)
        (night.folder / "gate").touch()
        tunnel = Tunnel(ssh, site.controller.state, here)
        until(lambda: [row.outcome for row in night.history()] == ["EXITED"], "its end has come", PATIENCE)
        assert (night.folder / "ran").read_text() == "1\n"
        output = client.ask("output", job=1, attempt=1, host="n1")
        assert msgspec.convert(output["data"], bytes, strict=False) == b"1\n"
        assert night.shut_down(PATIENCE, kill=True) == 0, night.said()
    finally:
        tunnel.close()
