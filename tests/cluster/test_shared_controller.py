"""Goal: a controller with a process of its own is used by several schedulers at once, fairly; whatever happens to one
scheduler is felt by no other, and what happens to the controller loses nothing and runs nothing twice.

Method: real processes on this machine: a controller, servers with folders of their own, agents of process hosts. Jobs
write one line each into a file of their server's folder, and wait for a file of their own where a test needs them to
run. Nothing is judged by time: each test waits for what it is about.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from live.state_directory import owner_pid
from model.configuration import ClusterDefinition, ControllerKind, ControllerPlace, OnExit
from model.job import SECOND, HostWish
from model.job_numbers import superior_of
from model.records import AttemptGiven, Record
from model.sharing import Terms
from model.task import LinesSource, Periods, TaskDefinition
from tests.cluster.shared_site import TIMES, Site, connected, scheduler_rows
from tests.live.running_server import LOCALLY, Client, RunningServer, cluster, until

NOTE = 'echo "$LAULIMA_JOB $LAULIMA_ATTEMPT" >> ran'
PERIODS = Periods(exec_ns=SECOND // 20, timeout_ns=600 * SECOND, pending_ns=600 * SECOND)
PATIENCE = 60.0
"""Seconds that anything may take here beside other tests."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.clean()


ANYWHERE = HostWish()


def noting(name: str, items: int, *, more: str = "", host: HostWish = ANYWHERE, **settings: Any) -> TaskDefinition:
    """A task whose jobs note that they ran; with `more` they do that afterwards."""
    command = ("sh", "-c", f"{NOTE}; {more}" if more else NOTE)
    source = LinesSource(("seq", "1", str(items)))
    return TaskDefinition(name, command=command, source=source, host=host, periods=PERIODS, **settings)


def gated(name: str, items: int, **settings: Any) -> TaskDefinition:
    """Their jobs run until their gates open."""
    return noting(name, items, more="until [ -e gate.$LAULIMA_JOB ]; do sleep 0.05; done", **settings)


def open_gate(server: RunningServer, job: int) -> None:
    """Let a gated job go on."""
    (server.folder / f"gate.{job}").touch()


def ran(server: RunningServer) -> Counter[int]:
    """How often each job ran."""
    file = server.folder / "ran"
    lines = file.read_text().splitlines() if file.exists() else []
    return Counter(int(line.split()[0]) for line in lines)


def at_gates(site: Site) -> list[str]:
    """Jobs that wait for their gates at hosts of the controller."""
    return [words for words in site.controller.processes().values() if "until [ -e gate" in words]


def running(client: Client) -> int:
    return sum(1 for row in client.ask("jobs") if row["state"] == "running")


def done(server: RunningServer) -> list[int]:
    """Jobs that ended well."""
    return sorted(row.job for row in server.history() if row.final and row.outcome == "EXITED" and row.exit_code == 0)


def have_done(client: Client, task: str, jobs: int) -> bool:
    """The same for many jobs: how many of a task."""
    return any(row["name"] == task and row["done"] == jobs for row in client.ask("tasks"))


def hosts_up(client: Client, count: int) -> bool:
    return sum(1 for row in client.ask("status")["hosts"] if row["state"] == "up" and row["name"] != "local") == count


def gifts(site: Site) -> list[int]:
    """Whose job each gift of the controller was, in order, as numbers of superiors."""
    with sqlite3.connect(site.controller.state / "journal.sqlite") as connection:
        rows = connection.execute("SELECT body FROM record WHERE kind = 'attempt given' ORDER BY sequence").fetchall()
    decode = msgspec.msgpack.Decoder(Record).decode
    records = [decode(body) for (body,) in rows]
    return [superior_of(each.job) for each in records if isinstance(each, AttemptGiven)]


def end_all(site: Site) -> None:
    """Every server and the controller leave in order, and nothing is left."""
    for server in site.servers.values():
        if server.process is not None:
            assert server.shut_down(PATIENCE, kill=True) == 0, server.said()
    assert site.controller.shut_down(PATIENCE, kill=True) == 0, site.controller.said()
    for each in (*site.servers.values(), site.controller):
        assert each.nothing_left()


def test_two_schedulers_share_the_slots_by_their_weights(site: Site) -> None:
    """2,000 jobs, all of them waiting before the first may go; while both ask, the one with share 3 gets three of
    four."""
    terms = (("night", Terms(share=3)),)
    controller = site.controller.start_with(cluster("n1", "n2", slots=4, times=TIMES, schedulers=terms))
    until(lambda: hosts_up(controller, 2), "the hosts are up", PATIENCE)
    for host in ("n1", "n2"):
        controller.ask("host", verb="drain", name=host, reason="not yet")
    clients = {name: site.start_server(name, noting("quick", 1000)) for name in ("evening", "night")}
    until(
        lambda: all(scheduler_rows(controller).get(name, {}).get("waiting") == 1000 for name in ("evening", "night")),
        "all wait",
        PATIENCE,
    )
    reasons = clients["night"].ask("explain", name="quick", about="task")["reasons"]
    (told,) = [reason for reason in reasons if reason.startswith("job 1, the first: ")]
    assert "none of 2 hosts takes work" in told and reasons.index(told) == 1, reasons  # behind why it makes no job
    for host in ("n1", "n2"):
        controller.ask("host", verb="on", name=host)
    for name, client in clients.items():
        server = site.server(name)
        until(lambda client=client: have_done(client, "quick", 1000), f"{name} has done all", PATIENCE)
        until(lambda server=server: len(done(server)) == 1000, "that is on the disk", PATIENCE)
        assert set(ran(server).values()) == {1} and len(ran(server)) == 1000
    given = gifts(site)
    assert len(given) == 2000
    while_both_ask = given[:1300]
    first = min(set(given))  # who came first has the smaller number: evening
    night = sum(1 for number in while_both_ask if number != first) / len(while_both_ask)
    assert 0.75 * 0.9 < night < 0.75 * 1.1, night
    end_all(site)


def test_a_scheduler_that_dies_or_leaves_is_felt_by_no_other_and_harvests_its_own(site: Site) -> None:
    controller = site.controller.start_with(cluster("n1", "n2", slots=3, times=TIMES))
    night, evening = site.server("night"), site.server("evening")
    night_client = site.start_server("night", gated("long", 2))
    until(lambda: len(ran(night)) == 2, "both run", PATIENCE)
    evening_client = site.start_server("evening", noting("short", 20))
    until(lambda: len(done(evening)) == 20, "evening works", PATIENCE)
    until(lambda: running(night_client) == 2, "night is told so", PATIENCE)
    night.crash()
    until(lambda: not scheduler_rows(controller)["night"]["listens"], "the controller knows", PATIENCE)
    answer = evening_client.ask("submit", command=["sh", "-c", "echo $LAULIMA_JOB"], wait=True)
    assert answer["report"]["exit_code"] == 0
    assert scheduler_rows(controller)["night"]["at_hosts"] == 2
    open_gate(night, 1)  # it ends while nobody is there to hear it
    night_client = site.start_server("night", gated("long", 2))
    until(lambda: len(done(night)) == 1, "it is harvested", PATIENCE)
    # an upgrade: it leaves in order, what runs goes on, and the next life has it again
    assert night.shut_down(PATIENCE) == 0, night.said()
    assert evening_client.ask("submit", command=["true"], wait=True)["report"]["exit_code"] == 0
    site.start_server("night", gated("long", 2))
    open_gate(night, 2)
    until(lambda: len(done(night)) == 2, "both are harvested", PATIENCE)
    assert ran(night) == {1: 1, 2: 1} and [row.attempt for row in night.history()] == [1, 1]
    assert len(done(evening)) == 22
    output = evening_client.ask("output", job=answer["job"], attempt=1, host=answer["report"]["host"])
    assert msgspec.convert(output["data"], bytes, strict=False) == f"{answer['job']}\n".encode()
    end_all(site)


def test_a_controller_that_dies_loses_nothing_and_runs_nothing_twice(site: Site) -> None:
    hosts = cluster("n1", "n2", slots=2, times=TIMES)
    site.controller.start_with(hosts)
    night, evening = site.server("night"), site.server("evening")
    site.start_server("night", gated("long", 2))
    until(lambda: len(ran(night)) == 2, "they run", PATIENCE)
    evening_client = site.start_server("evening", noting("short", 60, more="sleep 0.1"))
    until(lambda: len(ran(evening)) >= 5, "evening works", PATIENCE)
    site.controller.crash()
    until(lambda: not connected(evening_client), "evening knows", PATIENCE)
    shown = evening_client.ask("status")
    assert any("does not answer" in alarm for alarm in shown["alarms"])
    assert evening_client.ask("submit", command=["true"], host="local", required=True, wait=True)["report"]["started"]
    refusal = evening_client.answer("host", verb="drain", name="n1")
    assert not refusal["ok"] and "the controller" in refusal["error"] and "does not answer" in refusal["error"]
    open_gate(night, 1)
    site.controller.start_with(hosts)
    until(lambda: len(done(night)) == 1 and len(done(evening)) == 61, "what can end has ended", PATIENCE)
    open_gate(night, 2)
    until(lambda: len(done(night)) == 2, "all has ended", PATIENCE)
    assert set(ran(evening).values()) == {1} and len(ran(evening)) == 60
    assert ran(night) == {1: 1, 2: 1}
    end_all(site)


def test_a_controller_that_stands_still_is_silent_and_local_jobs_go_on(site: Site) -> None:
    controller = site.controller.start_with(cluster("n1", times=TIMES))
    server = site.server("night")
    client = site.start_server(
        "night",
        noting("near", 1, host=LOCALLY),
        noting("hasty", 0, silent_grace_ns=SECOND),  # none of its own: a slow machine is silent for a second, too
    )
    until(lambda: len(done(server)) == 1 and connected(client), "a job has run, and the controller is there", PATIENCE)
    process = site.controller.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    patient = client.ask("submit", command=["sh", "-c", NOTE])["job"]
    impatient = client.ask("submit", command=["sh", "-c", NOTE], like="hasty")["job"]
    until(lambda: connected(client, "silent"), "the silence is noticed", PATIENCE)
    for _ in range(3):
        answer = client.ask("submit", command=["sh", "-c", NOTE], host="local", required=True, wait=True)
        assert answer["report"]["exit_code"] == 0
    until(
        lambda: [row for row in server.history() if row.job == impatient and row.outcome == "CONTROLLER_SILENT"],
        "who was impatient is given up",
        PATIENCE,
    )
    waits = {row["job"]: row for row in client.ask("jobs")}
    assert "controller" in waits[patient]["why"] and waits[patient]["state"] != "running"
    process.send_signal(signal.SIGCONT)
    until(lambda: patient in done(server), "who was patient has run", PATIENCE)
    assert ran(server)[patient] == 1 and impatient not in ran(server)
    until(lambda: controller.ask("status")["schedulers"][0]["waiting"] == 0, "who was given up waits no more", PATIENCE)
    end_all(site)


def spawning(
    server: RunningServer,
    *tasks: TaskDefinition,
    hosts: ClusterDefinition | None = None,
    on_exit: OnExit = OnExit.KEEP,
) -> Any:
    return server.configuration(
        *tasks,
        cluster=hosts or cluster("n1", times=TIMES),
        controller=ControllerPlace(ControllerKind.SPAWN),
        on_exit=on_exit,
    )


def test_a_controller_that_is_spawned_comes_and_goes_with_its_server(site: Site) -> None:
    server = site.server("own")
    state = server.state / "controller"
    client = server.start(spawning(server, gated("long", 2), on_exit=OnExit.KILL))
    until(lambda: len(ran(server)) == 2, "both run", PATIENCE)
    first = owner_pid(state)
    assert first is not None
    server.crash()
    client = server.start(spawning(server, gated("long", 2), on_exit=OnExit.KILL))
    until(lambda: connected(client) and running(client) == 2, "its jobs are found again", PATIENCE)
    assert owner_pid(state) == first, "the controller outlives its server"
    os.kill(first, signal.SIGKILL)
    until(lambda: owner_pid(state) not in (None, first), "another one is started", PATIENCE)
    open_gate(server, 1)
    until(lambda: len(done(server)) == 1, "harvested through the new one", PATIENCE)
    # other hosts from the next start on: the controller that is there makes room for one that knows them
    server.crash()
    before = owner_pid(state)
    client = server.start(spawning(server, gated("long", 2), hosts=cluster("n1", "n2", times=TIMES)))
    until(lambda: hosts_up(client, 2) and owner_pid(state) not in (None, before), "it knows the new host", PATIENCE)
    assert [row["name"] for row in client.ask("hosts")] == ["local", "n1", "n2"]
    assert server.shut_down(PATIENCE) == 0, server.said()
    assert owner_pid(state) is None and ran(server) == {1: 1, 2: 1}
    client = server.start(spawning(server, gated("long", 2)))
    open_gate(server, 2)
    until(lambda: len(done(server)) == 2, "harvested by the next ones", PATIENCE)
    assert ran(server) == {1: 1, 2: 1}
    assert server.shut_down(PATIENCE, kill=True) == 0, server.said()
    assert server.nothing_left()


def test_nothing_is_left_of_a_server_that_died_with_its_controller(site: Site) -> None:
    """`laulima shutdown --kill` where no server runs also ends what the controller has below it."""
    server = site.server("own")
    server.start(spawning(server, gated("long", 1)))
    until(lambda: len(ran(server)) == 1, "it runs", PATIENCE)
    controller = owner_pid(server.state / "controller")
    assert controller is not None
    os.kill(controller, signal.SIGKILL)
    server.crash()
    assert server.end_leftovers() == 0, server.said()
    assert server.nothing_left()
    assert [row.outcome for row in server.history()] == ["KILLED"]


def test_who_may_come_and_what_a_lost_journal_means(site: Site) -> None:
    """Two of one name; a scheduler that has lost its journal; a controller that has; one of another version."""
    controller = site.controller.start_with(cluster("n1", times=TIMES))
    night = site.server("night")
    client = site.start_server("night", gated("long", 1))
    until(lambda: running(client) == 1 and ran(night), "it runs", PATIENCE)
    other = site.server("other")
    site.start_server("other", controller=site.place("night"))
    until(lambda: "another scheduler is called night" in other.said(), "the second one is told", PATIENCE)
    assert "laulima forget night --state" in other.said()
    assert other.shut_down(PATIENCE) == 0
    newer = "import model.messages\nmodel.messages.PROTOCOL = 99\n"
    other.start(other.configuration(controller=site.place("other"), on_exit=OnExit.KEEP), before=newer)
    until(lambda: "install the same version at both ends" in other.said(), "it is told", PATIENCE)
    assert running(client) == 1 and scheduler_rows(controller)["night"]["listens"]
    # the controller has lost its journal: what it had is lost, what comes goes on
    site.controller.crash()
    for file in site.controller.state.glob("journal.sqlite*"):
        file.unlink()
    site.controller.start_with(cluster("n1", times=TIMES))
    until(lambda: [row.outcome for row in night.history()] == ["LOST"], "the scheduler knows", PATIENCE)
    until(lambda: not at_gates(site), "what its host still had is nobody's, and is ended", PATIENCE)
    assert client.ask("submit", command=["true"], wait=True)["report"]["exit_code"] == 0
    controller = site.controller.client()
    refusal = controller.answer("forget", name="night")
    assert not refusal["ok"] and "is connected" in refusal["error"]
    assert night.shut_down(PATIENCE) == 0
    until(lambda: not scheduler_rows(controller)["night"]["listens"], "it is away", PATIENCE)
    # the scheduler has lost its journal: it is another one
    for file in night.state.glob("journal.sqlite*"):
        file.unlink()
    client = site.start_server("night")
    until(lambda: "another scheduler is called night" in night.said(), "it is refused", PATIENCE)
    assert "forgotten" in controller.ask("forget", name="night")["text"]
    until(lambda: connected(client), "it begins anew", PATIENCE)
    assert client.ask("submit", command=["true"], wait=True)["job"] == 1


def test_a_controller_that_is_ended_with_kill_ends_what_runs_and_says_so_when_it_is_back(site: Site) -> None:
    hosts = cluster("n1", times=TIMES)
    site.controller.start_with(hosts)
    night = site.server("night")
    client = site.start_server("night", gated("long", 1))
    until(lambda: running(client) == 1 and ran(night), "it runs", PATIENCE)
    assert site.controller.shut_down(PATIENCE, kill=True) == 0, site.controller.said()
    assert site.controller.nothing_left() and "have not confirmed" not in site.controller.said()
    assert client.ask("jobs")[0]["state"] == "running", "nobody has said otherwise"
    site.controller.start_with(hosts)
    until(lambda: [row.outcome for row in night.history()] == ["LOST"], "it is told", PATIENCE)


def test_what_a_controller_tells_is_in_the_journal_of_each_scheduler(site: Site) -> None:
    controller = site.controller.start_with(cluster("n1", times=TIMES))
    clients = [site.start_server(name) for name in ("evening", "night")]
    until(lambda: all(connected(client) for client in clients) and hosts_up(controller, 1), "all are up", PATIENCE)

    def about_n1(client: Client) -> set[str]:
        return {row["text"] for row in client.ask("notices") if row["about"] == "host n1"}

    before = set().union(*map(about_n1, clients))
    os.kill(site.controller.agent("n1"), signal.SIGKILL)
    until(lambda: set.intersection(*map(about_n1, clients)) - before, "both have the same new notice", PATIENCE)


def test_the_command_line_runs_a_controller_and_shows_it(site: Site, tmp_path: Path) -> None:
    (tmp_path / "shared.yaml").write_text("cluster:\n  hosts:\n    - {name: n1, slots: 2}\n")
    state = tmp_path / "state"
    laulima = [sys.executable, "-m", "shell.main"]
    words = [*laulima, "controller", str(tmp_path / "shared.yaml"), "--state", str(state)]
    environment = dict(os.environ, PATH=f"{os.environ['PATH']}:{site.controller.mark}")
    site.controller.state = state
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment) as process:
        site.controller.process = process
        until(lambda: owner_pid(state), "it runs", PATIENCE)
        site.start_server("night", gated("one", 1))

        def told(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*laulima, *words, "--state", str(state)], capture_output=True, text=True, check=False
            )

        until(lambda: told("jobs", "state=running", "host=n1").stdout.count("night/one") == 1, "its job runs", PATIENCE)
        assert told("jobs", "task=two").stdout == ""
        open_gate(site.server("night"), 1)
        until(lambda: len(done(site.server("night"))) == 1, "its job has run", PATIENCE)
        site.server("night").client().ask("host", verb="drain", name="n1", reason="new disk")
        changes = msgspec.json.decode(told("history", "--changes", "--json").stdout)["changes"]
        assert [(row["verb"], row["name"], row["reason"]) for row in changes] == [("drain", "n1", "new disk")]
        assert "@" in changes[0]["by"], "who asked the server, told by the server"
        shown = subprocess.run([*laulima, "status", "--state", str(state)], capture_output=True, text=True, check=True)
        assert "SCHEDULER" in shown.stdout and "night" in shown.stdout and "connected" in shown.stdout
        (tmp_path / "shared.yaml").write_text(
            "cluster:\n  schedulers: {night: {share: 3}}\n  hosts:\n    - {name: n1, slots: 2}\n"
        )
        taken = told("reload", str(tmp_path / "shared.yaml"))
        assert taken.returncode == 0 and "cluster.schedulers" in taken.stdout, taken
        with contextlib.closing(Client(state)) as client:
            until(lambda: scheduler_rows(client)["night"]["share"] == 3, "its share is another one", PATIENCE)
        changes = msgspec.json.decode(told("history", "--changes", "--json").stdout)["changes"]
        assert [(row["verb"], row["about"]) for row in changes] == [("drain", "host"), ("reload", "configuration")]
        shown = told("tasks")
        assert shown.returncode == 1 and "has hosts and schedulers" in shown.stderr
        wrong = subprocess.run(
            [*laulima, "run", str(tmp_path / "shared.yaml"), "--state", str(state)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert wrong.returncode != 0
        assert site.server("night").shut_down(PATIENCE, kill=True) == 0
        subprocess.run([*laulima, "shutdown", "--kill", "--state", str(state)], check=True, capture_output=True)
        assert process.wait(PATIENCE) == 0
        site.controller.process = None
    (*_, last) = msgspec.json.decode(told("history", "--changes", "--json").stdout)["changes"]
    assert (last["verb"], last["about"]) == ("shutdown kill", "controller") and "@" in last["by"]
    wrong = subprocess.run(
        [*laulima, "run", str(tmp_path / "shared.yaml"), "--state", str(state)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "is the state directory of a controller" in wrong.stderr
