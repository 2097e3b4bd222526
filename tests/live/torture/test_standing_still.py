"""Goal: a server, an agent or a keeper that stands still for a while costs no job that its lease covers, and nothing of
another host; beyond the lease the job is ended by its keeper and run again, never beside itself (P3, P8, P10).

Method: real processes, stopped by SIGSTOP and sent on by SIGCONT. How long one stands still is measured by what goes
on meanwhile: ticks of the job, the other side's view of a host, the end of the job at its lease.
"""

from __future__ import annotations

from pathlib import Path

from tests.live.running_server import until
from tests.live.torture.small_cluster import BRIEF, PATIENCE, parent, small_cluster, standing_still


def test_a_server_that_stood_still_loses_no_host_and_no_job(tmp_path: Path) -> None:
    with small_cluster(tmp_path) as here:
        marks = here.begin_at_gate(2)
        assert here.server.process is not None
        with standing_still(here.server.process.pid):
            here.run_on(marks[0])
            here.run_on(marks[1])
        until(lambda: {"up"} == {here.host(name)["state"] for name in ("node1", "node2")}, "both are up", PATIENCE)
        rows = here.finish(2)
        assert [(row.attempt, row.outcome) for row in rows] == [(1, "EXITED")] * 2


def test_while_the_server_stands_still_a_lease_ends_and_the_job_runs_again_later(tmp_path: Path) -> None:
    with small_cluster(tmp_path, BRIEF) as here:
        (first,) = here.begin_at_gate()
        assert here.server.process is not None
        with standing_still(here.server.process.pid):
            here.gone(first)
        second = here.begun(2)[1]
        assert (second.job, second.attempt > 1) == (first.job, True)
        rows = here.finish(1)
        # the other host's lease was as old: it was asked what it holds before it was given anything
        assert [(row.attempt, row.outcome) for row in rows] == [(1, "LOST"), (2, "EXITED")]


def test_an_agent_that_stands_still_keeps_its_job_and_holds_up_nobody_else(tmp_path: Path) -> None:
    with small_cluster(tmp_path) as here:
        (mark,) = here.begin_at_gate()
        still = here.host_of(mark)
        with standing_still(here.server.agent(still)):
            until(lambda: here.host(still)["state"] == "silent", "the host is called silent", PATIENCE)
            brief = here.are_final([here.submit(number) for number in range(10)])
            assert {row.host for row in brief} == {here.other(still)}
            here.run_on(mark)
        until(lambda: here.host(still)["state"] == "up", "the host is up again", PATIENCE)
        rows = here.finish(11)
        assert {(row.attempt, row.outcome) for row in rows} == {(1, "EXITED")}


def test_beyond_its_lease_the_job_of_an_agent_that_stands_still_runs_elsewhere_and_not_twice(tmp_path: Path) -> None:
    with small_cluster(tmp_path, BRIEF) as here:
        (first,) = here.begin_at_gate()
        still = here.host_of(first)
        with standing_still(here.server.agent(still)):
            here.gone(first)
            second = here.begun(2)[1]
            assert here.host_of(second) == here.other(still)
        until(lambda: here.host(still)["state"] == "up", "the host is up again", PATIENCE)
        here.run_on(second)
        rows = here.finish(1)
        assert [(row.attempt, row.outcome) for row in rows] == [(1, "LOST"), (2, "EXITED")]


def test_what_ends_and_what_comes_while_a_keeper_stands_still_is_done_once(tmp_path: Path) -> None:
    with small_cluster(tmp_path) as here:
        (mark,) = here.begin_at_gate()
        host = here.host_of(mark)  # a keeper tells that a job runs when it has run for some ms
        with standing_still(parent(mark.pid)):
            here.open_gate()
            until(lambda: here.witness().ended, "the job ends", PATIENCE)
            jobs = [here.submit(number, host) for number in range(4)]
            assert mark.job not in {row.job for row in here.server.history()}
        rows = here.finish(1 + len(jobs))
        assert {(row.attempt, row.outcome) for row in rows} == {(1, "EXITED")}
