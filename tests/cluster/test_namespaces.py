"""Hosts with network addresses of their own, cut off and joined again.

Goal: a host that is cut off for less than the lease loses nothing; one that is cut off for longer has ended its jobs
before they are called lost, whichever direction was cut, and the policy for lost jobs holds. Method: each host in a
network namespace with one virtual cable to the server's, dialling in over TLS; a short lease; the cable is pulled, or
one direction goes into a black hole. A job notes its process id, so that it can be seen to be gone.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from model.channel import ChannelTimes
from model.job import SECOND
from model.task import Limits, TaskDefinition
from tests.cluster.tls_site import TlsSite
from tests.live.running_server import QUICK, Client, RunningServer, until

pytestmark = [
    pytest.mark.needs("ip", "iproute2"),
    pytest.mark.needs("openssl", "openssl"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make network namespaces"),
]

PATIENCE = 90.0
TIMES = ChannelTimes(
    ping_ns=SECOND // 2, silent_ns=2 * SECOND, lease_ns=8 * SECOND, margin_ns=6 * SECOND, resend_ns=SECOND
)
"""The margin is what a loaded machine may need to end a job whose lease is over."""
LONG = msgspec.structs.replace(TIMES, lease_ns=3600 * SECOND)
"""Silence is found as soon; no lease ends."""
NAMES = ("n1", "n2")


def ip(*words: str, check: bool = True) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0 or not check, (words, done.stderr)


class Cable:
    """One namespace, and the virtual cable to it. Addresses are of 198.18.0.0/15, which no real network has."""

    def __init__(self, number: int) -> None:
        mark = f"{os.getpid() % 100_000}n{number}"
        self.namespace, self.here, there = f"lau{mark}", f"la{mark}", f"lb{mark}"
        net = f"198.18.{os.getpid() % 250}"
        self.server, self.host = f"{net}.{4 * number + 1}", f"{net}.{4 * number + 2}"
        ip("netns", "add", self.namespace)
        ip("link", "add", self.here, "type", "veth", "peer", "name", there)
        ip("link", "set", there, "netns", self.namespace)
        ip("address", "add", f"{self.server}/30", "dev", self.here)
        ip("link", "set", self.here, "up")
        self._there("address", "add", f"{self.host}/30", "dev", there)
        self._there("link", "set", "lo", "up")
        self._there("link", "set", there, "up")

    def _there(self, *words: str, check: bool = True) -> None:
        ip("-n", self.namespace, *words, check=check)

    @property
    def prefix(self) -> tuple[str, ...]:
        """What runs a command there."""
        return ("ip", "netns", "exec", self.namespace)

    def pull(self) -> None:
        ip("link", "set", self.here, "down")

    def plug(self) -> None:
        ip("link", "set", self.here, "up")

    def mute(self) -> None:
        """Nothing that the host says arrives."""
        self._there("route", "add", "blackhole", f"{self.server}/32")

    def deafen(self) -> None:
        """Nothing that is said to the host arrives."""
        ip("route", "add", "blackhole", f"{self.host}/32")

    def mend(self) -> None:
        self._there("route", "del", "blackhole", f"{self.server}/32", check=False)
        ip("route", "del", "blackhole", f"{self.host}/32", check=False)

    def remove(self) -> None:
        self.mend()
        ip("link", "del", self.here, check=False)
        ip("netns", "del", self.namespace, check=False)


@pytest.fixture
def cables(server: RunningServer) -> Iterator[dict[str, Cable]]:
    """One for each host; nothing is left of them."""
    made: dict[str, Cable] = {}
    try:
        for number, name in enumerate(NAMES):
            made[name] = Cable(number)
        yield made
    finally:
        server.clean()
        for cable in made.values():
            cable.remove()


@pytest.fixture
def tls(server: RunningServer) -> Iterator[TlsSite]:
    made = TlsSite(server, listen="0.0.0.0")
    made.run("cert", "host", *NAMES)
    yield made
    made.clean()


def start(
    tls: TlsSite, cables: dict[str, Cable], names: tuple[str, ...], reruns: int = 0, times: ChannelTimes = TIMES
) -> Client:
    """A server whose one job begins on n1, the only host that is there by then."""
    server = tls.server
    os.mkfifo(server.folder / "gate")
    book = server.folder / "book"
    # `$$$$` is what a task says for the shell's `$$`
    command = ("sh", "-c", f'echo "begun $$$$" >> {book}; read x < gate; echo "done $$$$" >> {book}')
    task = TaskDefinition(
        "work", command=command, periods=QUICK, limits=Limits(total=1), lost_reruns=reruns, grace_ns=SECOND
    )
    client = server.start(server.configuration(task, cluster=tls.cluster(*names, times=times)))
    client.ask("status")  # a client that never asks anything is closed after some seconds
    dial(tls, cables, "n1")
    until(lambda: begun(server), f"the job runs: {tls.log('n1').read_text()} {server.said()}", PATIENCE)
    return client


def dial(tls: TlsSite, cables: dict[str, Cable], name: str) -> None:
    tls.agent(name, prefix=cables[name].prefix, at=f"{cables[name].server}:{tls.port}")


def book(server: RunningServer, word: str) -> list[int]:
    path = server.folder / "book"
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [int(pid) for said, pid in lines if said == word]


def begun(server: RunningServer) -> list[int]:
    return book(server, "begun")


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def state(client: Client, name: str) -> Any:
    return next(row["state"] for row in client.ask("hosts") if row["name"] == name)


def open_gate(server: RunningServer) -> None:
    gate = os.open(server.folder / "gate", os.O_RDWR)
    os.write(gate, b"go\n" * 10)


def outcomes(server: RunningServer) -> list[str]:
    return [row.outcome for row in server.history()]


def test_a_host_that_is_cut_off_for_less_than_the_lease_loses_nothing(
    tls: TlsSite, server: RunningServer, cables: dict[str, Cable]
) -> None:
    client = start(tls, cables, ("n1",), reruns=1, times=LONG)
    cables["n1"].pull()
    until(lambda: state(client, "n1") in ("silent", "down"), "the cut is noticed", PATIENCE)
    cables["n1"].plug()
    until(lambda: state(client, "n1") == "up", f"it is back: {tls.log('n1').read_text()}", PATIENCE)
    open_gate(server)
    until(lambda: outcomes(server), "the end is recorded", PATIENCE)
    assert outcomes(server) == ["EXITED"]
    assert len(begun(server)) == len(book(server, "done")) == 1


CUTS = {"both directions": Cable.pull, "what the host says": Cable.mute, "what is said to the host": Cable.deafen}


@pytest.mark.parametrize("cut", list(CUTS))
def test_a_job_is_gone_before_it_is_called_lost_and_is_reported_once(
    cut: str, tls: TlsSite, server: RunningServer, cables: dict[str, Cable]
) -> None:
    client = start(tls, cables, ("n1",))
    CUTS[cut](cables["n1"])
    until(lambda: outcomes(server), f"the job is lost: {server.said()}", PATIENCE)
    assert not is_alive(begun(server)[0]), "it was called lost while it ran"
    assert outcomes(server) == ["LOST"]
    assert not book(server, "done")
    cables["n1"].plug()
    cables["n1"].mend()
    until(lambda: state(client, "n1") == "up", f"it is back: {tls.log('n1').read_text()} {server.said()}", PATIENCE)
    assert outcomes(server) == ["LOST"], "its late word changes nothing"
    assert len(begun(server)) == 1, "the policy is to report, so it is not run again"


def test_with_the_other_policy_a_lost_job_runs_again_elsewhere_and_never_beside_itself(
    tls: TlsSite, server: RunningServer, cables: dict[str, Cable]
) -> None:
    client = start(tls, cables, NAMES, reruns=1)
    dial(tls, cables, "n2")
    until(lambda: state(client, "n2") == "up", f"the other is up: {tls.log('n2').read_text()}", PATIENCE)
    cables["n1"].pull()
    until(lambda: len(begun(server)) == 2, f"it runs again: {server.said()}", PATIENCE)
    assert not is_alive(begun(server)[0]), "it runs beside itself"
    cables["n1"].plug()
    until(lambda: state(client, "n1") == "up", "the first host is back", PATIENCE)
    open_gate(server)
    until(lambda: len(outcomes(server)) == 2, "the end is recorded", PATIENCE)
    assert sorted(outcomes(server)) == ["EXITED", "LOST"]
    assert book(server, "done") == begun(server)[1:]
