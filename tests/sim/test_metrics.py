"""Goal: each metric is what its definition says.

Method: worlds so small that every figure is worked out by hand (no latency on the network), and invented event logs for
what needs a special story; `jobs.csv` is read back.
"""

from __future__ import annotations

import csv
import io
import json
import re
from array import array
from itertools import pairwise
from pathlib import Path

import pytest

from model.channel import ChannelTimes
from model.configuration import ClusterDefinition, Configuration, HostDefinition, Order
from model.job import SECOND, JobId, JobSpec, Outcome, Report
from model.records import AttemptEnded, JobAccepted
from model.task import Limits, Periods, TaskDefinition
from shell import simulate as rehearsing
from shell.main import main
from shell.metric_tables import after_last_text, metric_lines
from shell.prepared import Output
from shell.replay import Replay
from shell.simulate import Measured
from shell.tables import Style
from sim.answers import Answers
from sim.distributions import Constant
from sim.job_log import Survey, cluster_of, submissions, survey
from sim.jobs_csv import BATSIM_COLUMNS, JobsCsv, intervals
from sim.log import Committed, EventLog, Finished, Header, ProcessEnded, ProcessStarted, read_log
from sim.measuring import Measuring
from sim.metrics import Metrics, Spread, jain
from sim.scenario import Fault, Kind, Network, Scenario, TaskWeather
from sim.simulation import simulate
from sim.swf import SwfHeader
from sim.workload import Feed, Submission
from tests.sim.job_logs import line, write_log

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
INSTANT = Network(latency_ns=0, controller_ns=0)


def job(at_s: int, run_s: float, slots: int = 1, *, name: str = "", task: str = "work", **more: object) -> Submission:
    """A job of `task`, submitted `at_s` after the first minute."""
    at_ns = MINUTE + at_s * SECOND
    item = name or f"{at_s}/{run_s}/{slots}"
    pending_ns = int(more.pop("pending_s", 0)) * SECOND  # type: ignore[call-overload]
    timeout_ns = int(more.pop("timeout_s", 0)) * SECOND  # type: ignore[call-overload]
    spec = JobSpec(task, ("x",), item=item, slots=slots, pending_ns=pending_ns, timeout_ns=timeout_ns)
    return Submission(at_ns, spec, round(run_s * SECOND), **more)  # type: ignore[arg-type]


def measure(
    *jobs: Submission,
    slots: int = 2,
    for_s: int = 0,
    faults: tuple[Fault, ...] = (),
    warm_up_s: int = 0,
    file: io.StringIO | None = None,
) -> Metrics:
    """Run these jobs on one host, to the end of the last or to `for_s` after the first minute."""
    measuring = Measuring(
        warm_up_ns=MINUTE + warm_up_s * SECOND if warm_up_s else 0,
        writer=None if file is None else JobsCsv(file, "small"),
        answers=Answers({"scheduler": ChannelTimes().silent_ns}),
    )
    hosts = (HostDefinition("one", slots),)
    found = survey_of(jobs)
    result = simulate(
        Configuration("small", "/", cluster=cluster_of(found, Order.STRICT, hosts)),
        Scenario(for_ns=MINUTE + for_s * SECOND if for_s else 1000 * MINUTE, network=INSTANT, faults=faults),
        feed=Feed(jobs, ends=not for_s),
        readers=(measuring,),
    )
    assert result.good, result.violations[:3]
    return measuring.metrics()


def survey_of(jobs: tuple[Submission, ...]) -> Survey:
    return Survey(Path("small"), SwfHeader({}, 0, 0, {}), 0, 0, jobs=len(jobs))


def test_times_of_jobs_and_slowdowns() -> None:
    metrics = measure(job(0, 20), job(0, 20, 2), job(1, 4))
    total = metrics.total
    # starts at 0, 20, 40; ends at 20, 40, 44
    assert total.wait == Spread(3, (0 + 20 + 39) / 3 * SECOND, 20 * SECOND, 39 * SECOND, 39 * SECOND, 39 * SECOND)
    assert total.response.mean == pytest.approx((20 + 40 + 43) / 3 * SECOND)
    assert total.slowdown.max == pytest.approx(43 / 4)
    assert total.slowdown.mean == pytest.approx((1 + 2 + 43 / 4) / 3)
    assert total.bounded_slowdown.max == pytest.approx(43 / 10)  # a run of 4 s counts as tau
    assert metrics.makespan == 44 * SECOND
    assert total.giving.mean == total.dispatch.mean == 0.0
    assert total.queueing == total.wait


def test_a_run_of_0_has_no_slowdown_but_a_bounded_one() -> None:
    metrics = measure(job(0, 30, 2), job(1, 0))
    assert metrics.total.slowdown.count == 1
    assert metrics.total.bounded_slowdown.max == pytest.approx(29 / 10)
    assert metrics.total.bounded_slowdown.p50 == 1.0


def test_a_bounded_slowdown_is_never_below_1() -> None:
    metrics = measure(job(0, 4))
    assert metrics.total.bounded_slowdown.max == metrics.total.slowdown.max == 1.0


def test_throughput_load_utilization_and_queue_over_the_window() -> None:
    metrics = measure(job(0, 20), job(0, 20, 2), job(1, 4), for_s=100)
    assert (metrics.begin, metrics.end) == (MINUTE, MINUTE + 100 * SECOND)
    assert metrics.throughput == pytest.approx(3 / 100)
    assert metrics.offered_load == metrics.utilization_nominal == pytest.approx((20 + 40 + 4) / 200)
    assert metrics.goodput == metrics.utilization_nominal
    assert metrics.lost_work == 0.0
    assert metrics.queue_mean == pytest.approx((20 + 39) / 100)
    assert metrics.queue_max == 2
    assert metrics.oldest == 39 * SECOND


def test_more_load_than_slots_is_said() -> None:
    metrics = measure(*[job(0, 100, name=str(number)) for number in range(5)], for_s=100)
    assert metrics.offered_load is None  # no job has ended: nobody knows how long they run
    metrics = measure(*[job(0, 50, name=str(number)) for number in range(10)], for_s=101)
    assert metrics.offered_load == pytest.approx(500 / 202)
    assert any("the queue must grow" in text for text in metric_lines(metrics, Style(columns=0)))


def test_slot_time_is_good_rejected_lost_or_running() -> None:
    metrics = measure(
        job(0, 10, name="a"),
        job(20, 10, 2, name="b", exit_code=3),
        job(40, 100, name="c", timeout_s=30),
        job(80, 1000, name="d"),
        for_s=100,
    )
    used = metrics.total.slot_time
    assert (used.good, used.rejected, used.running) == (10 * SECOND, 20 * SECOND, 20 * SECOND)
    assert used.lost == pytest.approx(30 * SECOND, abs=SECOND / 100)  # TERM ends it a moment later
    assert used.busy == used.good + used.rejected + used.lost + used.running
    assert metrics.timeouts == {"TIMED_OUT": 1}
    assert metrics.attempts == 3


def test_jobs_that_are_open_are_listed_and_no_metric_counts_them() -> None:
    metrics = measure(job(0, 500, 2, name="runs"), job(5, 10, name="waits"), for_s=60)
    assert [(open_job.item, open_job.state, open_job.age) for open_job in metrics.open_jobs] == [
        ("runs", "running", 60 * SECOND),
        ("waits", "pending", 55 * SECOND),
    ]
    assert metrics.total.open == 2
    assert metrics.total.wait == Spread()
    assert metrics.oldest == 55 * SECOND
    lines = metric_lines(metrics, Style(columns=0))
    wait = next(text for text in lines if text.startswith("wait"))
    assert wait.split() == ["wait", "0", "-", "-", "-", "-", "-"]
    assert any("(work waits) pending" in text for text in lines)


def test_a_pending_timeout_has_no_wait_and_is_counted() -> None:
    metrics = measure(job(0, 100, 2, name="a"), job(1, 10, name="b", pending_s=20), for_s=200)
    assert metrics.timeouts == {"PENDING_TIMEOUT": 1}
    assert metrics.total.wait.count == 1
    assert metrics.total.ended == 2
    assert metrics.queue_mean == pytest.approx(20 / 200, rel=1e-3)


def test_a_warm_up_that_is_longer_than_the_log_leaves_nothing_to_measure() -> None:
    """A job log ends when its last job has ended, which nobody knows before."""
    metrics = measure(job(0, 10), warm_up_s=500, for_s=65)
    assert (metrics.end - metrics.begin, metrics.total.ended) == (0, 0)
    assert (metrics.throughput, metrics.utilization_nominal, metrics.all_up) == (None, None, None)


def test_a_warm_up_is_cut() -> None:
    metrics = measure(job(0, 10), job(5, 20), job(40, 10), warm_up_s=15, for_s=65)
    assert metrics.begin == MINUTE + 15 * SECOND
    assert metrics.total.ended == 2  # the first was over
    assert metrics.total.slot_time.good == (10 + 10) * SECOND  # of the second its last 10 s
    assert metrics.utilization_nominal == pytest.approx(20 / 100)


def test_a_host_without_power_lowers_what_is_available_and_is_counted() -> None:
    fault = Fault(Kind.DOWN, ("one",), at_ns=2 * MINUTE, for_ns=MINUTE)
    metrics = measure(job(0, 90, 2, name="hit"), job(130, 30, name="later"), for_s=4 * 60, faults=(fault,))
    (host,) = metrics.hosts
    assert (host.failures, host.availability) == (1, pytest.approx(3 / 4))
    assert (host.mtbf, host.mttr) == (3 * MINUTE, MINUTE)
    assert metrics.system_availability == metrics.all_up == pytest.approx(3 / 4)
    assert metrics.utilization_available == pytest.approx((metrics.utilization_nominal or 0) * 4 / 3)
    assert metrics.total.slot_time.lost == 2 * 60 * SECOND
    assert metrics.timeouts == {"LOST": 1}
    assert metrics.detection.count == 1
    assert metrics.recovery.count == 1


def test_faults_at_the_controller_count_as_its_absence() -> None:
    fault = Fault(Kind.FROZEN, ("controller",), at_ns=MINUTE + 10 * SECOND, for_ns=20 * SECOND)
    metrics = measure(job(0, 5), for_s=100, faults=(fault,))
    assert metrics.controller_running == pytest.approx(0.8)
    assert metrics.system_availability == 1.0


def test_the_controller_is_available_while_it_answers_in_time() -> None:
    """Frozen for 60 s: who asks in the first 45 of them hears nothing within the 15 s after which it is silent."""
    frozen = Fault(Kind.FROZEN, ("controller",), at_ns=MINUTE + 20 * SECOND, for_ns=60 * SECOND)
    metrics = measure(job(0, 5), for_s=100, faults=(frozen,))
    assert metrics.controller_running == pytest.approx(0.4)
    assert metrics.controller_availability == pytest.approx(0.55, abs=0.001)


@pytest.mark.parametrize(
    ("kind", "nodes", "for_s", "unserved_s"),
    [
        (Kind.FROZEN, ("controller",), 14, 0),  # the first question is answered in time
        (Kind.RESTARTED, ("controller",), 5, 0),
        (Kind.RESTARTED, ("controller",), 60, 45),
        (Kind.LOST, ("scheduler", "controller"), 60, 45),
        (Kind.ONE_WAY, ("controller", "scheduler"), 60, 45),
        (Kind.LOST, ("scheduler", "controller"), 0, 65),  # to the end: 80 s, of which the last 15 may still be in time
        (Kind.FROZEN, ("scheduler",), 60, 0),  # nobody asks
        (Kind.RESTARTED, ("scheduler",), 60, 0),
        (Kind.DOWN, ("one",), 60, 0),
    ],
)
def test_whatever_keeps_answers_away_counts(kind: Kind, nodes: tuple[str, ...], for_s: int, unserved_s: int) -> None:
    fault = Fault(kind, nodes, at_ns=MINUTE + 20 * SECOND, for_ns=for_s * SECOND)
    metrics = measure(job(0, 5), for_s=100, faults=(fault,))
    away_s = for_s if nodes == ("scheduler",) else 0
    assert metrics.controller_availability is not None
    assert (1 - metrics.controller_availability) * (100 - away_s) == pytest.approx(unserved_s, abs=6)


def test_availability_and_duplicates_can_be_expected_and_are_in_every_form(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.yaml").write_text("cluster: {hosts: [{name: n1}]}\ntasks: {own: {command: [own]}}\n")
    scenario = tmp_path / "s.yaml"
    expected = "controller_availability < 99 %, controller_running == 100 %, duplicates == 0"
    scenario.write_text(f"pipeline: p.yaml\nfor: 1h\nfaults: [controller split 10m+2m]\nexpect: [{expected}]\n")
    output = Output(csv=tmp_path / "csv")
    assert rehearsing.run(scenario, measured=Measured(metrics=True), output=output) == 0
    said = capsys.readouterr().out
    assert re.search(r"controller answering in time / running +97\.[0-9]{2} % / 100\.00 %", said)
    assert re.search(r"processes of a job at the same time +0\n", said)
    figures = dict(csv.reader((tmp_path / "csv" / "figures.csv").read_text().splitlines()))
    assert figures["duplicates"] == "0" and float(figures["controller_availability"]) == pytest.approx(0.97, abs=0.002)
    assert rehearsing.run(scenario, json=True, measured=Measured(metrics=True)) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert metrics["controller_availability"] == pytest.approx(0.97, abs=0.002)
    assert (metrics["controller_running"], metrics["duplicates"]) == (1.0, 0)


def test_a_controller_that_is_slow_is_available_as_long_as_it_is_not_too_slow() -> None:
    """Every batch takes it 1 s, so it is behind, but answers; or 20 s."""
    slow, slower = (
        Fault(Kind.OVERLOADED, ("controller",), at_ns=MINUTE + 20 * SECOND, for_ns=40 * SECOND, delay_ns=each * SECOND)
        for each in (1, 20)
    )
    assert measure(job(0, 5), for_s=100, faults=(slow,)).controller_availability == 1.0
    found = measure(job(0, 5), for_s=100, faults=(slower,)).controller_availability
    assert found is not None and 0.3 < found < 0.9


def test_the_time_after_the_last_job_came_is_told() -> None:
    """Two jobs a minute apart, the second runs ten minutes: nobody asked for anything in the last ten of eleven."""
    metrics = measure(job(0, 30), job(60, 600))
    assert metrics.last_submit == metrics.begin + MINUTE
    assert after_last_text(metrics) == "; no job came in the last 10 min of it, which averages count"
    assert after_last_text(measure(job(0, 1), job(600, 1))) == ""


def test_fairness_is_1_for_equal_shares() -> None:
    both = [job(0, 10, name="a", task="first"), job(0, 10, name="b", task="second")]
    assert measure(*both).fairness == pytest.approx(1.0)
    unfair = [job(0, 10, name="a", task="first"), job(0, 10, name="b", task="second", exit_code=1)]
    assert measure(*unfair).fairness == pytest.approx(0.5)
    assert jain([]) is None


def test_a_task_that_got_nothing_makes_it_unfair_and_one_that_runs_on_is_left_out() -> None:
    served = job(0, 10, 2, name="a", task="served")
    metrics = measure(served, job(20, 500, 2, name="b", task="long"), for_s=100)
    assert metrics.fairness == 1.0
    metrics = measure(served, job(20, 500, 2, name="b", task="long"), job(30, 5, name="c", task="starved"), for_s=100)
    assert {task.task: task.served for task in metrics.tasks} == {"served": 1.0, "long": None, "starved": 0.0}
    assert metrics.fairness == pytest.approx(0.5)


def test_percentiles_are_of_the_sample() -> None:
    spread = Spread.of([array("q", range(1, 101))])
    assert (spread.mean, spread.p50, spread.p95, spread.p99, spread.max) == (50.5, 50, 95, 99, 100)
    assert Spread.of([array("q")]) == Spread()


def test_nothing_at_all_is_undefined_and_not_0() -> None:
    metrics = measure(for_s=100)
    assert (metrics.makespan, metrics.throughput, metrics.offered_load, metrics.oldest) == (None, None, None, None)
    figures = metric_lines(metrics, Style(columns=0))
    assert "makespan                                 -" in figures


def test_a_log_file_gives_the_same_metrics(tmp_path: Path) -> None:
    found = survey(write_log(tmp_path / "a.swf", *[line(number, number, 30, 2) for number in range(1, 40)]))
    path, measuring, later = tmp_path / "events", Measuring(), Measuring()
    with path.open("wb") as file:
        simulate(
            Configuration("log", "/", cluster=cluster_of(found, Order.STRICT)),
            Scenario(for_ns=found.horizon_ns),
            file=file,
            feed=Feed(submissions(found), ends=True),
            readers=(measuring,),
        )
    later.read(read_log(path))
    assert later.metrics() == measuring.metrics()
    assert later.metrics().total.ended == 39


# jobs.csv


def test_jobs_csv_has_batsims_columns_first() -> None:
    file = io.StringIO()
    measure(
        job(0, 20, name="a"),
        job(0, 20, 2, name="b", exit_code=4, timeout_s=100),
        job(1, 500, name="c"),
        job(2, 5, 2, name="d"),
        for_s=100,
        file=file,
    )
    file.seek(0)
    rows = list(csv.DictReader(file))
    assert tuple(rows[0])[: len(BATSIM_COLUMNS)] == BATSIM_COLUMNS
    a, b, c, d = rows
    assert (a["job_id"], a["submission_time"], a["starting_time"]) == ("a", "60.000000000", "60.000000000")
    assert (a["finish_time"], a["execution_time"], a["waiting_time"]) == ("80.000000000", "20.000000000", "0.000000000")
    assert (a["final_state"], a["success"], a["stretch"]) == ("COMPLETED_SUCCESSFULLY", "1", "1.000000")
    assert (b["final_state"], b["success"], b["turnaround_time"]) == ("COMPLETED_FAILED", "0", "40.000000000")
    assert (b["requested_time"], b["exit_code"], b["requested_number_of_resources"]) == ("100.000000000", "4", "2")
    assert len(a["allocated_resources"].split("-")) == 1
    assert int(b["allocated_resources"].split("-")[1]) - int(b["allocated_resources"].split("-")[0]) == 1
    assert (c["final_state"], c["finish_time"], c["stretch"]) == ("RUNNING", "", "")
    assert (d["final_state"], d["starting_time"], d["allocated_resources"]) == ("NOT_STARTED", "", "")


def test_the_requested_time_is_that_of_the_log_and_else_the_timeout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = io.StringIO()
    measure(job(0, 5, name="a", timeout_s=30), job(0, 5, name="b"), file=file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert {row["job_id"]: row["requested_time"] for row in rows} == {"a": "30.000000000", "b": "-1"}
    lines = [line(1, 0, 30, time=3600), line(2, 10, 20), line(3, 20, 90, time=60)]
    replay = Replay(write_log(tmp_path / "a.swf", *lines))
    table = tmp_path / "jobs.csv"
    assert rehearsing.run(None, replay=replay, measured=Measured(jobs_csv=table)) == 0
    capsys.readouterr()
    with table.open(newline="") as written:
        rows = list(csv.DictReader(written))
    found = {row["job_id"]: (row["requested_time"], row["execution_time"]) for row in rows}
    assert found["1"] == ("3600.000000000", "30.000000000")
    assert found["2"] == ("-1", "20.000000000")
    assert found["3"] == ("60.000000000", "90.000000000")  # nobody is held to it


def test_no_slot_is_two_jobs_at_once() -> None:
    file = io.StringIO()
    measure(*[job(number // 3, 7 + number % 5, 1 + number % 3) for number in range(60)], slots=5, file=file)
    file.seek(0)
    held: list[tuple[float, float, int]] = []
    for row in csv.DictReader(file):
        begin, end = float(row["starting_time"]), float(row["finish_time"])
        numbers = [
            number
            for part in row["allocated_resources"].split()
            for number in range(int(part.split("-")[0]), int(part.split("-")[-1]) + 1)
        ]
        assert len(numbers) == int(row["requested_number_of_resources"])
        held += [(begin, end, number) for number in numbers]
    held.sort(key=lambda one: (one[2], one[0]))
    assert all(
        one[2] != next_one[2] or one[1] <= next_one[0] for one, next_one in pairwise(held)
    )  # fmt: skip


def test_intervals() -> None:
    assert intervals([(0, 2), (7, 9)]) == "0-2 7-9"
    assert intervals([(4, 4)]) == "4"
    assert intervals([]) == ""
    assert intervals([]) == ""


# the command


def test_the_command_replays_and_says_that_it_is_open_loop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write_log(
        tmp_path / "a.swf", line(1, 0, 100, 3), line(2, 1, 10, 4, wait=50), line(3, 2, 10, 1), line(4, 3, -1)
    )
    table = tmp_path / "jobs.csv"
    replay = Replay(log, order=Order.FILL)
    assert rehearsing.run(None, replay=replay, measured=Measured(jobs_csv=table)) == 0
    out, errors = capsys.readouterr()
    assert f"{log}:6: job 4 is left out: its run time is unknown" in errors
    assert "3 jobs of" in out
    assert "open loop" in out
    assert "mean wait in the log itself: 50 s" in out
    assert f"again      laulima sim --seed 1 --workload {log} --order fill" in out
    assert len(table.read_text().splitlines()) == 4


def test_the_command_with_other_hosts_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write_log(tmp_path / "a.swf", *[line(number, 0, 60, 2) for number in range(1, 9)])
    assert rehearsing.run(None, replay=Replay(log, 6, ("n[1-2]:2",)), json=True) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["workload"]["given"] == 6
    assert [host["host"] for host in answer["metrics"]["hosts"]] == ["n1", "n2"]
    assert answer["metrics"]["makespan"] == pytest.approx(180 * SECOND, rel=1e-4)
    assert [host["busy"] for host in answer["hosts"]][1:] == pytest.approx([180 / 240, 180 / 240], rel=1e-3)


def test_a_job_log_beside_a_pipeline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = tmp_path / "p.yaml"
    pipeline.write_text(
        "cluster: {hosts: [{name: n1, slots: 2, link: process}]}\ntasks: {own: {command: [own], periods: {exec: 1m}}}\n"
    )
    log = write_log(tmp_path / "a.swf", line(1, 0, 60), line(2, 0, 60))
    assert rehearsing.run(pipeline, replay=Replay(log), for_ns=10 * MINUTE, json=True) == 0
    tasks = {task["task"]: task["ended"] for task in json.loads(capsys.readouterr().out)["metrics"]["tasks"]}
    assert tasks["log"] == 2
    assert tasks["own"] >= 8


def test_lateness_of_a_polling_task_is_0_on_a_quiet_night(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = tmp_path / "p.yaml"
    pipeline.write_text("tasks: {own: {command: [own], host: local, periods: {exec: 1m}}}\n")
    assert rehearsing.run(pipeline, for_ns=10 * MINUTE, json=True, measured=Measured(metrics=True)) == 0
    total = json.loads(capsys.readouterr().out)["metrics"]["total"]
    assert total["lateness"]["max"] == 0
    assert 5 * SECOND <= total["due_to_handled"]["p50"] < 6 * SECOND


def test_a_job_of_an_item_is_due_when_it_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.yaml").write_text("tasks: {own: {command: [own], host: local, each: {files: '*'}}}\n")
    scenario = tmp_path / "s.yaml"
    scenario.write_text("pipeline: p.yaml\nfor: 1h\ntasks: {own: {run: 7s, items: {every: 5m, count: 3}}}\n")
    assert rehearsing.run(scenario, json=True, measured=Measured(metrics=True)) == 0
    total = json.loads(capsys.readouterr().out)["metrics"]["total"]
    assert 7 * SECOND <= total["due_to_handled"]["mean"] < 7.1 * SECOND
    assert total["lateness"]["count"] == 0


def test_a_process_that_nobody_waits_for_is_an_orphan() -> None:
    spec = JobSpec("work", ("x",), slots=2)
    lost = AttemptEnded(JobId(1), 1, Report(Outcome.LOST, host="one", started=True), final=True)
    measuring = Measuring()
    log = EventLog(readers=(measuring,))
    for entry in (
        Header(1, "", "", {"one": 2}),
        Committed(0, "scheduler", JobAccepted(JobId(1), spec)),
        ProcessStarted(5, "one", 1, 1, 100, 2),
        Committed(50, "scheduler", lost),
        ProcessEnded(80, "one", 1, 1, 2, 0, None),
        Finished(100),
    ):
        log.add(entry)
    metrics = measuring.metrics()
    assert metrics.orphans == 1
    assert metrics.total.slot_time.lost == 2 * 75
    assert metrics.utilization_nominal == pytest.approx(150 / 200)


def runs_of(*lines: ProcessStarted | ProcessEnded | Committed) -> Metrics:
    """Of a job that is accepted at 0."""
    measuring = Measuring()
    log = EventLog(readers=(measuring,))
    first = (Header(1, "", "", {"one": 2, "two": 2}), Committed(0, "scheduler", JobAccepted(JobId(1), JobSpec("work"))))
    for entry in (*first, *lines, Finished(1000)):
        log.add(entry)
    return measuring.metrics()


def start(t: int, host: str, attempt: int) -> ProcessStarted:
    return ProcessStarted(t, host, 1, attempt, 100, 1)


def end(t: int, host: str, attempt: int) -> ProcessEnded:
    return ProcessEnded(t, host, 1, attempt, 1, 0, None)


def test_processes_of_one_job_at_one_time_are_duplicates() -> None:
    lost = Committed(50, "scheduler", AttemptEnded(JobId(1), 1, Report(Outcome.LOST, started=True), final=False))
    again = (start(5, "one", 1), lost, start(90, "two", 2), end(95, "two", 2))
    assert runs_of(*again, end(99, "one", 1)).duplicates == 1
    assert runs_of(start(5, "one", 1), end(40, "one", 1), lost, *again[2:]).duplicates == 0
    assert runs_of(start(5, "one", 1), end(40, "one", 1), start(45, "two", 1), end(50, "two", 1)).duplicates == 1
    assert runs_of(start(5, "one", 1), start(45, "two", 1), end(50, "two", 1)).duplicates == 1


def test_a_host_that_stood_still_past_its_lease_makes_a_duplicate_as_the_oracle_says() -> None:
    fault = Fault(Kind.SUSPENDED, ("one",), at_ns=2 * MINUTE, for_ns=20 * MINUTE)
    measuring = Measuring()
    task = TaskDefinition(
        "a", command=("x",), lost_reruns=3, periods=Periods(exec_ns=HOUR, timeout_ns=0), limits=Limits(total=2)
    )
    cluster = ClusterDefinition(hosts=(HostDefinition("one"), HostDefinition("two")))
    scenario = Scenario(for_ns=HOUR, faults=(fault,), tasks={"a": TaskWeather(run=Constant(30 * MINUTE))})
    result = simulate(Configuration("small", "/", (task,), cluster), scenario, readers=(measuring,))
    assert (measuring.metrics().duplicates, result.excused) == (1, 1)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "a pipeline is missing"),
        (("p.yaml", "--order", "fill"), "about a job log"),
        (("p.yaml", "--workload", "a.swf", "--hosts", "n:1"), "a pipeline has hosts and an order of its own"),
        (("--workload", "a.swf", "--scenario", "s.yaml"), "--scenario needs a pipeline"),
        (("--workload", "a.swf", "--hosts", "n"), "hosts and their slots are expected"),
        (("--workload", "a.swf", "--hosts", "n:1", "--hosts", "n:2"), "n is there twice"),
        (("--workload", "no.swf"), "there is no file no.swf"),
    ],
)
def test_options_that_say_nothing_together_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    why: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_log(tmp_path / "a.swf", line(1, 0, 60))
    (tmp_path / "p.yaml").write_text("tasks: {own: {command: [own]}}\n")
    assert main(["sim", *words]) in (1, 2)
    assert why in capsys.readouterr().err
