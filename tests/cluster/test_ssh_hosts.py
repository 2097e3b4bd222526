"""Hosts behind a real sshd on loopback.

Goal: a pipeline runs over ssh hosts as over others; broken connections and dead servers lose nothing and run nothing
twice; code is sent to a host once; what fails says why. Method: `ssh_site.py` for the other machine; jobs that write
into one book how often they began and ended, and wait at a gate (a named pipe) until the test lets them go.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from model.channel import ChannelTimes
from model.configuration import ClusterDefinition, HostDefinition, OnExit, SshSettings
from model.job import SECOND, HostWish, Outcome
from model.task import Limits, TaskDefinition
from shell import demo_check
from shell.demo_check import check_result
from shell.demo_folder import Arrivals, Folder
from tests.cluster.ssh_site import SshSite
from tests.live.followed_logs import follow_a_job
from tests.live.running_server import QUICK, Client, RunningServer, until

pytestmark = [pytest.mark.needs("/usr/sbin/sshd", "openssh-server")]

FILES = 24
NAMES = ("node1", "node2", "node3", "node4")
PATIENCE = 60.0
LEASE_S = 8
"""Of a job that outlives it: more than a loaded machine takes from one ping to the next."""
TICK_S = 0.2
"""A job that ticks does so at most as often."""


def cluster(site: SshSite, *names: str, **more: Any) -> ClusterDefinition:
    return ClusterDefinition(hosts=site.hosts(names), backoff_ns=SECOND // 5, backoff_cap_ns=SECOND, **more)


def gated(server: RunningServer, jobs: int) -> TaskDefinition:
    """Jobs that note their start, wait at the gate, and note their end."""
    os.mkfifo(server.folder / "gate")
    book = server.folder / "book"
    command = ("sh", "-c", f'echo "begun $LAULIMA_JOB" >> {book}; read x < gate; echo "done $LAULIMA_JOB" >> {book}')
    return TaskDefinition("work", command=command, periods=QUICK, limits=Limits(total=jobs))


def book(server: RunningServer) -> Counter[str]:
    path = server.folder / "book"
    return Counter(path.read_text().splitlines()) if path.exists() else Counter()


def open_gate(server: RunningServer) -> None:
    """Let all jobs go that wait, and come to wait."""
    gate = os.open(server.folder / "gate", os.O_RDWR)
    os.write(gate, b"go\n" * 100)


def hosts(client: Client) -> dict[str, Any]:
    return {row["name"]: row for row in client.ask("hosts")}


def up(client: Client, *names: str) -> bool:
    rows = hosts(client)
    return all(rows[name]["state"] == "up" for name in names)


def laulima(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shell.main", *words],
        cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )  # fmt: skip


# the pipeline


def test_the_demo_runs_over_four_ssh_hosts(site: SshSite, server: RunningServer, monkeypatch: Any) -> None:
    folder = Folder(server.folder / "demo")
    folder.prepare()
    text = folder.pipeline.read_text()
    ssh = f"link: ssh, ssh: {{config: {site.config}}}, python: {site.python}"
    assert text.count("link: process") == 1
    folder.pipeline.write_text(text.replace("link: process", ssh))
    arrivals = Arrivals(folder, FILES, 1)
    with (folder.path / "server.log").open("wb") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "shell.main", "run", "demo.yaml"],
            cwd=folder.path, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, "PATH": f"{os.environ['PATH']}:{server.mark}",
                 "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )  # fmt: skip
    arrivals.next_burst()
    count = folder.path / "count.txt"
    until(
        lambda: count.exists() and len(list(folder.lines.glob("[!.]*"))) == FILES,
        f"all files are catalogued: {(folder.path / 'server.log').read_text()}",
        PATIENCE,
    )
    logs = laulima("logs", "1", folder=folder.path)
    assert logs.returncode == 0, logs.stderr
    rows = laulima("hosts", folder=folder.path).stdout
    assert all(name in rows for name in NAMES), rows
    ended = laulima("shutdown", "--kill", folder=folder.path)
    assert (ended.returncode, running.wait(PATIENCE)) == (0, 0), ended.stderr
    monkeypatch.setattr(demo_check, "_counts", lambda _: (0, {}, {}))
    found = check_result(folder, arrivals.names)
    assert (found.catalogued, found.verified, found.problems) == (FILES, FILES, ())
    assert server.nothing_left()
    assert len(site.archives()) == 1, "the code was sent once, whatever the number of hosts"


def test_both_streams_of_a_job_are_followed_while_it_runs(site: SshSite, server: RunningServer) -> None:
    follow_a_job(server, cluster(site, "node1"), here=False)


# broken connections, dead servers


def test_connections_that_are_cut_lose_nothing_and_run_nothing_twice(site: SshSite, server: RunningServer) -> None:
    jobs = 8
    client = server.start(server.configuration(gated(server, jobs), cluster=cluster(site, *NAMES)), until_idle=True)
    until(lambda: sum(book(server).values()) == jobs, "all jobs have begun")
    agents = {name: server.agent(name) for name in NAMES}
    assert all(os.getsid(process) == process for process in agents.values()), "none is in a session of sshd"
    sent = [path.stat().st_ctime_ns for path in site.archives()]
    assert site.cut() >= len(NAMES)
    until(lambda: all(f"host {name}: down" in server.said() for name in NAMES), "the cut is noticed everywhere")
    until(lambda: up(client, *NAMES), "all hosts are back")
    assert {name: server.agent(name) for name in NAMES} == agents, "the agents have not noticed more than a cut"
    assert [path.stat().st_ctime_ns for path in site.archives()] == sent, "nothing was sent again"
    open_gate(server)
    assert server.ended() == 0, server.said()
    assert all(count == 1 for count in book(server).values()), book(server)
    assert sum(book(server).values()) == 2 * jobs
    assert {(row.outcome, row.exit_code, row.attempt) for row in server.history()} == {(Outcome.EXITED.value, 0, 1)}
    assert server.nothing_left()


def test_a_server_that_is_killed_finds_its_jobs_again(site: SshSite, server: RunningServer) -> None:
    configuration = server.configuration(gated(server, 4), cluster=cluster(site, "node1", "node2"))
    server.start(configuration)
    until(lambda: sum(book(server).values()) == 4, "all jobs have begun")
    agents = [server.agent("node1"), server.agent("node2")]
    server.crash()
    client = server.start(configuration, until_idle=True)
    until(lambda: up(client, "node1", "node2"), "the hosts are back")
    assert [server.agent("node1"), server.agent("node2")] == agents
    open_gate(server)
    assert server.ended() == 0, server.said()
    assert book(server) == Counter([f"{word} {job}" for word in ("begun", "done") for job in range(1, 5)])
    assert {(row.exit_code, row.attempt) for row in server.history()} == {(0, 1)}
    assert server.nothing_left()


def test_what_a_server_keeps_is_ended_later_without_one(site: SshSite, server: RunningServer) -> None:
    """Also when nobody names the host any more: its folder here says how it is reached."""
    task = gated(server, 2)
    configuration = server.configuration(task, cluster=cluster(site, "node1", "node2"), on_exit=OnExit.KEEP)
    task = msgspec.structs.replace(task, host=HostWish("node1", required=True))
    configuration = msgspec.structs.replace(configuration, tasks=(task,))
    patient = "from live import hosts; hosts.GOODBYES = 20\n"
    client = server.start(configuration, before=patient)
    until(lambda: sum(book(server).values()) == 2 and up(client, "node1", "node2"), "both jobs have begun")
    server.signal(signal.SIGTERM)
    assert server.ended() == 0, server.said()
    assert "agent of node1: pid" in server.said()
    assert "agent of node2" not in server.said(), "it had nothing to do, and left"
    until(lambda: not any("--name=node2 " in words for words in server.processes().values()), "it has left")
    assert server.agent("node1")
    assert server.end_leftovers() == 0, server.said()
    assert server.nothing_left()
    assert [row.outcome for row in server.history()] == [Outcome.KILLED.value] * 2, "their ends are known"


def test_the_last_words_of_a_server_reach_the_host(site: SshSite, server: RunningServer) -> None:
    """The lease that it leaves behind is much longer than the ordinary one, which its jobs outlive."""
    ticks = server.folder / "ticks"
    task = TaskDefinition(
        "tick",
        command=("sh", "-c", f"while :; do echo x >> {ticks}; sleep {TICK_S}; done"),
        periods=QUICK,
        limits=Limits(total=1),
    )
    times = ChannelTimes(SECOND // 3, SECOND, LEASE_S * SECOND)
    server.start(server.configuration(task, cluster=cluster(site, "node1", times=times), on_exit=OnExit.KEEP))
    until(ticks.exists, "the job runs")
    server.signal(signal.SIGTERM)
    assert server.ended() == 0, server.said()
    before = len(ticks.read_text())
    longer = round(1.25 * LEASE_S / TICK_S) * len("x\n")
    until(lambda: len(ticks.read_text()) > before + longer, "it has run for longer than a lease, without a server")
    assert server.end_leftovers() == 0, server.said()
    assert server.nothing_left()


# what they wrote


def test_what_a_job_writes_is_read_from_here(site: SshSite, server: RunningServer) -> None:
    client = server.start(server.configuration(cluster=cluster(site, "node1")))
    until(lambda: up(client, "node1"), "the host is up")
    script = "seq 1 200000; echo trouble >&2; exit 3"
    waited = laulima(
        "submit", "--host", "node1", "--required", "--wait", "--", "sh", "-c", script, folder=server.folder
    )
    assert (waited.returncode, waited.stderr) == (3, "trouble\n")
    assert waited.stdout == "".join(f"{number}\n" for number in range(1, 200_001)), "1.3 MB, in several pieces"
    shown = laulima("logs", "1", folder=server.folder)
    assert shown.stdout == waited.stdout
    assert laulima("logs", "1", "--stderr", folder=server.folder).stdout == "trouble\n"
    found = site.connections()
    site.stop()
    site.cut(found)
    until(lambda: hosts(client)["node1"]["state"] == "down", "the cut is noticed")
    away = laulima("logs", "1", folder=server.folder)
    assert away.returncode == 1
    assert "stands on node1: host node1 is not connected" in away.stderr


def test_a_script_gets_what_its_job_wrote(site: SshSite, server: RunningServer) -> None:
    (server.folder / "night.yaml").write_text(
        f"""
cluster: {{hosts: [{{name: node1, link: ssh, ssh: {{config: {site.config}}}, python: {site.python}}}]}}
shutdown: {{on_exit: kill}}
tasks:
  hello:
    command: [sh, -c, "echo from there; echo oh >&2"]
    host: {{name: node1, required: true}}
    limits: {{total: 1}}
    periods: {{exec: 100ms}}
    on:
      0: |
        echo got $stdout
        echo got $stderr
"""
    )
    done = laulima("run", "night.yaml", "--until-idle", folder=server.folder)
    assert done.returncode == 0, done.stderr
    assert "got from there\n" in done.stdout
    assert "got oh\n" in done.stdout


# a key that may do nothing else


def test_a_forced_command_lets_a_key_reach_its_own_host_and_nothing_else(site: SshSite, server: RunningServer) -> None:
    root = Path(__file__).resolve().parents[2]
    command = f"env PYTHONPATH={root} {sys.executable} -m shell.main agent --stdio --name node1"
    key = (site.folder / "user_key.pub").read_text()
    (site.folder / "authorized_keys").write_text(f'command="{command}",restrict {key}')
    seldom = msgspec.structs.replace(cluster(site, "node1", "node2"), backoff_ns=5 * SECOND, backoff_cap_ns=60 * SECOND)
    client = server.start(server.configuration(cluster=seldom))
    until(lambda: up(client, "node1"), "its own host is up", PATIENCE)
    waited = laulima("submit", "--host", "node1", "--required", "--wait", "--", "echo", "there", folder=server.folder)
    assert (waited.returncode, waited.stdout) == (0, "there\n")
    words = "this key is for host node1, and node2 was called"
    until(lambda: words in _why(client, "node2"), f"the other says why, not {_why(client, 'node2')}", PATIENCE)
    assert not site.archives(), "nothing was sent"
    proof = server.folder / "proof"
    by_hand = ["ssh", "-F", str(site.config), "-o", "BatchMode=yes", "node1", "touch", str(proof)]
    subprocess.run(by_hand, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)
    assert not proof.exists(), "another command is not obeyed"


# what goes wrong


def test_a_host_that_cannot_be_reached_says_why(site: SshSite, server: RunningServer) -> None:
    good = site.hosts(["node1"])[0]
    there = server.folder / "old-python"
    there.write_text("#!/bin/sh\necho nothing of the kind >&2\nexit 1\n")
    there.chmod(0o755)
    definitions = (
        good,
        *site.hosts(["nobody", "stranger"]),
        msgspec.structs.replace(good, name="without", python="/usr/bin/no-python"),
        msgspec.structs.replace(good, name="broken", python=str(there)),
        msgspec.structs.replace(good, name="refused", ssh=SshSettings(host="-oProxyCommand=touch proof")),
        msgspec.structs.replace(good, name="bare", ship=False),
    )
    client = server.start(server.configuration(cluster=ClusterDefinition(hosts=definitions, backoff_ns=SECOND // 5)))
    reasons = {
        "nobody": "Connection refused",
        "stranger": "Permission denied (publickey)",
        "without": "/usr/bin/no-python was not found there",
        "broken": "nothing of the kind",
        "refused": "cannot be given to ssh",
        "bare": "No module named",
    }
    for name, word in reasons.items():
        until(lambda: hosts(client)[name]["state"] == "down", f"{name} is down")  # noqa: B023 - called at once
        until(lambda: word in _why(client, name), f"{name} says {word}, not {_why(client, name)}")  # noqa: B023
        until(lambda: word in hosts(client)[name]["why"], f"the table says it of {name}")  # noqa: B023
    until(lambda: up(client, "node1"), "others are not disturbed")
    assert not list(server.folder.rglob("proof"))


def _why(client: Client, name: str) -> str:
    return str(client.ask("explain", name=name, about="host"))


def test_check_says_step_by_step_what_works(site: SshSite, server: RunningServer) -> None:
    ssh = f"link: ssh, ssh: {{config: {site.config}}}, python: {site.python}"
    (server.folder / "pipeline.yaml").write_text(
        f"cluster: {{defaults: {{{ssh}}}, hosts: [{{name: node1}}, {{name: nobody}}, "
        "{name: node2, directory: /not/there}, {name: node3, python: /no/python}]}\n"
        "tasks: {t: {command: [x]}}\n"
    )

    def check(name: str) -> tuple[int, dict[str, str]]:
        done = laulima("host", "check", name, "--file", "pipeline.yaml", folder=server.folder)
        assert done.stdout.startswith(f"{name}\n"), done.stderr
        lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()[1:] if not line.startswith("     ")]
        return done.returncode, dict(lines)

    code, steps = check("node1")
    assert code == 0, steps
    assert list(steps) == ["resolve", "ssh", "python", "version", "clock", "spool", "directory", "processes"]
    assert all(rest.startswith("ok ") for rest in steps.values()), steps
    code, steps = check("nobody")
    assert (code, list(steps)) == (1, ["resolve", "ssh"])
    assert "Connection refused" in steps["ssh"]
    code, steps = check("node2")
    assert (code, [step for step, rest in steps.items() if rest.startswith("FAILED")]) == (1, ["directory"])
    code, steps = check("node3")
    assert (code, steps["ssh"][:2], steps["python"][:6]) == (1, "ok", "FAILED")
    assert check("stranger")[0] == 1, "it is not in the file"
    assert not server.processes(), "nothing was started there"


def _program(process: str) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it has ended meanwhile


def test_nothing_of_ssh_is_left_after_an_order(site: SshSite, server: RunningServer) -> None:
    client = server.start(server.configuration(cluster=cluster(site, "node1")))
    until(lambda: up(client, "node1"), "the host is up")
    assert server.process is not None
    pid = server.process.pid
    client.ask("host", verb="off", name="node1")
    until(lambda: hosts(client)["node1"]["state"] == "off", "it is off")
    until(lambda: not site.connections(), "its connection is gone")
    children = Path(f"/proc/{pid}/task/{pid}/children")
    until(lambda: "ssh" not in map(_program, children.read_text().split()), "ssh is reaped")
    client.ask("host", verb="on", name="node1")
    until(lambda: up(client, "node1"), "it is up again")
    assert HostDefinition("x").link.value == "process", "the default is not changed by any of this"
