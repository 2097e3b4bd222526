"""Hosts that dial in over TLS.

Goal: whoever has a right certificate is a host like any other, through broken connections and restarts of either end,
and may come and go; whoever has not is refused in one line, and no machine hears of it. Method: real `laulima agent`
processes and a real server on loopback, certificates made by `laulima cert` (broken ones by the same authority's own
functions); jobs that wait at a gate.
"""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from live.tls import read_denied
from model.channel import ChannelTimes
from model.configuration import JoinSettings
from model.job import SECOND, HostWish
from model.task import Limits, TaskDefinition
from shell.certificate_authority import Authority
from tests.cluster.tls_site import TlsSite
from tests.live.followed_logs import follow_a_job
from tests.live.running_server import QUICK, Client, RunningServer, until

pytestmark = [pytest.mark.needs("openssl", "openssl")]

PATIENCE = 60.0
AGES_NS = 3600 * SECOND
"""Longer than any test: who is waited for so long is waited for to the end."""


@pytest.fixture
def tls(server: RunningServer) -> Iterator[TlsSite]:
    made = TlsSite(server)
    yield made
    made.clean()


def hosts(client: Client) -> dict[str, Any]:
    return {row["name"]: row for row in client.ask("hosts")}


def is_up(client: Client, *names: str) -> bool:
    rows = hosts(client)
    return all(name in rows and rows[name]["state"] == "up" for name in names)


def gated(server: RunningServer, jobs: int, host: str | None = None) -> TaskDefinition:
    """Jobs that note their start, wait at the gate, and note their end."""
    os.mkfifo(server.folder / "gate")
    book = server.folder / "book"
    command = ("sh", "-c", f'echo "begun $LAULIMA_JOB" >> {book}; read x < gate; echo "done $LAULIMA_JOB" >> {book}')
    wish = HostWish(host, required=host is not None)
    return TaskDefinition("work", command=command, periods=QUICK, limits=Limits(total=jobs), host=wish)


def book(server: RunningServer) -> list[str]:
    path = server.folder / "book"
    return sorted(path.read_text().splitlines()) if path.exists() else []


def open_gate(server: RunningServer) -> None:
    gate = os.open(server.folder / "gate", os.O_RDWR)
    os.write(gate, b"go\n" * 100)


def begun(server: RunningServer, count: int) -> bool:
    return sum(line.startswith("begun") for line in book(server)) == count


def outcomes(server: RunningServer) -> list[str]:
    return sorted(row.outcome for row in server.history())


def ended(agent: subprocess.Popen[bytes]) -> int:
    return agent.wait(PATIENCE)


# work


def test_jobs_run_on_a_host_that_dials_in_and_outlive_connections_servers_and_the_dialling_program(
    tls: TlsSite, server: RunningServer
) -> None:
    tls.run("cert", "host", "n1")
    cluster = tls.cluster("n1", connect_ns=AGES_NS)
    configuration = server.configuration(gated(server, 2), cluster=cluster)
    client = server.start(configuration)
    until(lambda: hosts(client)["n1"]["state"] == "connecting", "it is waited for")
    first = tls.agent("n1")
    until(lambda: begun(server, 2), f"two jobs run there: {tls.log('n1').read_text()} {server.said()}", PATIENCE)
    first.kill()
    first.wait()
    until(lambda: not is_up(client, "n1"), "the server notices")
    server.crash()
    client = server.start(configuration)
    tls.agent("n1")
    until(lambda: is_up(client, "n1"), f"the host is back: {tls.log('n1').read_text()}", PATIENCE)
    open_gate(server)
    until(lambda: len(server.history()) == 2, "both ends are recorded", PATIENCE)
    assert outcomes(server) == ["EXITED", "EXITED"]
    assert [line.split()[0] for line in book(server)] == ["begun", "begun", "done", "done"], "no job ran twice"
    client.ask("shutdown", kill=True)
    assert server.ended(PATIENCE) == 0, server.said()
    assert "may be left" not in server.said()


def test_both_streams_of_a_job_are_followed_while_it_runs(tls: TlsSite, server: RunningServer) -> None:
    tls.run("cert", "host", "n1")
    tls.agent("n1")
    follow_a_job(server, tls.cluster("n1"), here=False)


def test_a_host_that_has_not_dialled_in_is_down_once_and_is_not_dialled(tls: TlsSite, server: RunningServer) -> None:
    tls.run("cert", "host", "n1")
    client = server.start(server.configuration(cluster=tls.cluster("n1", connect_ns=3 * SECOND)))
    until(lambda: hosts(client)["n1"]["state"] == "down", "it is down")
    explained = client.ask("explain", kind="host", name="n1")
    assert "has not dialled in" in str(explained)
    assert explained.get("until_ns") is None, "no next attempt is planned"
    tls.agent("n1")
    until(lambda: is_up(client, "n1"), "it is up as soon as it comes", PATIENCE)
    absent = [line for line in server.said().splitlines() if "host n1: down" in line and "has not dialled in" in line]
    assert len(absent) == 1, server.said()


# who is refused


UNHURRIED_DOOR = """
from live import complaints, tls_door
complaints.INTERVAL_NS = 3600 * 10**9
tls_door.HANDSHAKE_SECONDS = tls_door.REQUEST_SECONDS = 3600.0
"""
"""However long the strangers take, all of them come within one interval, and none is refused for being slow."""


def test_who_has_no_right_certificate_is_refused_in_one_line_and_no_machine_hears_of_it(
    tls: TlsSite, server: RunningServer
) -> None:
    other = Authority(server.folder / "other")
    other.begin()
    other.issue("n1")
    tls.run("cert", "host", "n1", "n2", "gone")
    Authority(tls.folder).issue("past", days=-1)
    tls.run("cert", "revoke", "gone")
    assert len(read_denied(tls.folder / "denied")) == 1
    configuration = server.configuration(cluster=tls.cluster("n1", "n2", "gone", "past", connect_ns=AGES_NS))
    client = server.start(configuration, before=UNHURRIED_DOOR)
    until(lambda: waiting_for(client) == ["gone", "n1", "n2", "past"], "they are waited for")
    refused = {
        "no certificate": tls.call(),
        "another authority": tls.call("n1", folder=other.folder),
        "expired": tls.call("past", name="past"),
        "the server's own": tls.call("server"),
        "another host's": tls.call("n2", name="n1"),
        "revoked": tls.call("gone", name="gone"),
        "TLS 1.2": tls.call("n1", version=ssl.TLSVersion.TLSv1_2),
    }
    assert all(b'"link"' not in told for told in refused.values()), refused
    assert b"is for n2" in refused["another host's"]
    assert b"revoked" in refused["revoked"]
    until(lambda: "cluster.listen" in server.said(), "somebody was refused")
    assert server.said().count("cluster.listen") == 1, server.said()
    assert waiting_for(client) == ["gone", "n1", "n2", "past"], "nothing has come of it"
    tls.agent("n1")
    until(lambda: is_up(client, "n1"), "the right one is let in all the same", PATIENCE)


def waiting_for(client: Client) -> list[str]:
    """Hosts that the controller connects to, and has never met."""
    return sorted(name for name, row in hosts(client).items() if row["state"] == "connecting" and not row.get("reason"))


def test_a_key_that_others_can_read_is_refused_at_the_start(tls: TlsSite, server: RunningServer) -> None:
    (tls.folder / "server.key").chmod(0o640)
    server.begin(server.configuration(cluster=tls.cluster("n1")))
    assert server.ended() != 0
    assert "chmod 600" in server.said()


# certificates that change


def test_a_certificate_is_renewed_and_revoked_while_everything_runs(tls: TlsSite, server: RunningServer) -> None:
    tls.run("cert", "host", "n1", "--days", "3")
    before = "from live import joining; joining.CARE_SECONDS = 0.2\n"
    client = server.start(server.configuration(cluster=tls.cluster("n1")), before=before)
    agent = tls.agent("n1")
    until(lambda: is_up(client, "n1"), "it is up", PATIENCE)
    assert "expires in 2 days" in tls.log("n1").read_text()
    tls.run("cert", "revoke", "n1")
    until(lambda: not is_up(client, "n1"), "the link of a revoked certificate ends")
    until(lambda: "is revoked" in tls.log("n1").read_text(), "the agent is told why")
    tls.run("cert", "renew", "n1")
    tls.run("cert", "renew", "server", "--days", "5")
    agent.send_signal(signal.SIGHUP)
    until(lambda: is_up(client, "n1"), f"it is back with the new one: {tls.log('n1').read_text()}", PATIENCE)
    until(lambda: "laulima cert renew server" in str(client.ask("status")), "the server's own expiry is told")


# hosts that come and go


JOIN = JoinSettings(("g1", "g2", "g3"), 2, 5)


def test_a_host_joins_works_drains_leaves_and_comes_back(tls: TlsSite, server: RunningServer) -> None:
    tls.run("cert", "host", "g1")
    client = server.start(server.configuration(gated(server, 2), cluster=tls.cluster(join=JOIN)))
    agent = tls.agent("g1", "--slots", "2")
    until(lambda: begun(server, 2), f"it works: {tls.log('g1').read_text()} {server.said()}", PATIENCE)
    agent.send_signal(signal.SIGTERM)
    until(lambda: hosts(client)["g1"]["state"] == "draining", "it drains")
    open_gate(server)
    assert ended(agent) == 0
    assert outcomes(server) == ["EXITED", "EXITED"]
    assert "g1" not in hosts(client), "it is forgotten"
    assert not (server.state / "hosts" / "g1" / "definition.json").exists()
    until(lambda: not any("--name=g1 " in words for words in server.processes().values()), "its agent has left too")
    tls.agent("g1", "--slots", "3")
    until(lambda: is_up(client, "g1"), "it is back", PATIENCE)
    assert hosts(client)["g1"]["slots"] == 3


def test_a_host_with_nothing_to_end_leaves_although_nobody_hears_it(tls: TlsSite, server: RunningServer) -> None:
    tls.run("cert", "host", "g1")
    agent = tls.agent("g1")
    until(lambda: "Connection refused" in _text(tls.log("g1")), "it calls")
    agent.send_signal(signal.SIGTERM)
    assert ended(agent) == 0
    assert "did not hear" in _text(tls.log("g1"))


def test_a_joined_host_is_there_after_a_restart(tls: TlsSite, server: RunningServer) -> None:
    tls.run("cert", "host", "g1")
    configuration = server.configuration(gated(server, 1), cluster=tls.cluster(join=JOIN))
    server.start(configuration)
    agent = tls.agent("g1")
    until(lambda: begun(server, 1), "it works", PATIENCE)
    server.crash()
    client = server.start(configuration)
    assert "g1" in hosts(client)
    until(lambda: is_up(client, "g1"), f"it is back: {tls.log('g1').read_text()}", PATIENCE)
    assert agent.poll() is None, "by the same program"
    open_gate(server)
    until(lambda: len(server.history()) == 1, "the end is recorded", PATIENCE)
    assert outcomes(server) == ["EXITED"]


def test_a_host_joins_with_resources_and_labels_within_the_limits(tls: TlsSite, server: RunningServer) -> None:
    tls.run("cert", "host", "g1", "g2")
    join = msgspec.structs.replace(JOIN, resources=(("gpus", 2),), labels=("ssd",))
    configuration = server.configuration(cluster=tls.cluster(join=join))
    client = server.start(configuration)
    offer = ("--resource", "gpus=2", "--label", "ssd")
    tls.agent("g1", "--slots", "2", *offer)
    until(lambda: is_up(client, "g1"), "the first is up", PATIENCE)
    tls.agent("g2", *offer)
    until(lambda: "cluster.join.resources" in _text(tls.log("g2")), "no more gpus may come", PATIENCE)
    server.crash()
    client = server.start(configuration)
    assert has(client, "g1") == ({"gpus": 2}, ["ssd"]), "it is known before it is back"
    tls.run("host", "add", "by-hand", "--resource", "cpus=1.5", "--label", "fast")
    refused = client.answer("host", verb="add", name="bad", resources=[["../x", 1]])
    assert "cannot be a resource" in refused["error"]
    server.crash()
    client = server.start(configuration)
    assert has(client, "by-hand") == ({"cpus": 1500}, ["fast"])


def has(client: Client, name: str) -> tuple[dict[str, int], list[str]]:
    """Resources and labels of a host, as people are shown them."""
    row = hosts(client)[name]
    return {resource["name"]: resource["total"] for resource in row["resources"]}, row["labels"]


def test_hosts_beyond_the_limits_are_refused_with_a_sentence(tls: TlsSite, server: RunningServer) -> None:
    tls.run("cert", "host", "g[1-3]", "x")
    client = server.start(server.configuration(cluster=tls.cluster(join=JOIN)))
    tls.agent("g1", "--slots", "2")
    until(lambda: is_up(client, "g1"), "the first is up", PATIENCE)
    for name, slots, words in (("g2", "4", "cluster.join.slots_max"), ("x", "1", "not among the names")):
        tls.agent(name, "--slots", slots)
        until(lambda name=name, words=words: words in _text(tls.log(name)), f"{name} is told {words}", PATIENCE)
    tls.agent("g3", "--slots", "1")
    until(lambda: is_up(client, "g3"), "the second is up", PATIENCE)
    until(lambda: "hosts_max" in _text(tls.log("g2")), "now there are too many", PATIENCE)
    assert sorted(name for name in hosts(client) if name != "local") == ["g1", "g3"]


def test_the_same_name_twice_the_newest_counts(tls: TlsSite, server: RunningServer) -> None:
    tls.run("cert", "host", "n1")
    client = server.start(server.configuration(cluster=tls.cluster("n1", times=ChannelTimes())))
    first = tls.agent("n1")
    until(lambda: is_up(client, "n1"), "it is up", PATIENCE)
    first.send_signal(signal.SIGSTOP)
    tls.agent("n1")
    until(lambda: "a newer connection" in server.said(), "the newer one takes its place", PATIENCE)
    until(lambda: is_up(client, "n1"), f"it is up again: {server.said()}", PATIENCE)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
