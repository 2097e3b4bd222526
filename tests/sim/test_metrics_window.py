"""Goal: a metric counts what is its own: nothing from before the window, nothing that no host of the controller does.

Method: worlds so small that every figure is worked out by hand, as in `test_metrics.py`.
"""

from __future__ import annotations

import pytest

from model.job import LOCAL, SECOND, HostWish, JobSpec
from shell.metric_tables import metric_lines
from shell.tables import Style
from sim.host_time import HostTime
from sim.log import FaultChanged
from sim.scenario import Fault, Kind
from sim.workload import Submission
from tests.sim.test_metrics import MINUTE, job, measure


def test_what_happened_while_it_warmed_up_is_counted_nowhere() -> None:
    fault = Fault(Kind.DOWN, ("one",), at_ns=MINUTE + 10 * SECOND, for_ns=25 * SECOND)
    early = (job(0, 60, 2, name="hit"), *(job(15, 1, name=f"waits {number}") for number in range(5)))
    whole = measure(*early, job(100, 10), for_s=200, faults=(fault,))
    assert (whole.queue_max, whole.timeouts, whole.attempts) == (5, {"LOST": 1}, 7)
    assert (whole.detection.count, whole.recovery.count) == (1, 1)
    cut = measure(*early, job(100, 10), warm_up_s=95, for_s=200, faults=(fault,))
    assert (cut.queue_max, cut.oldest, cut.timeouts, cut.attempts) == (1, 0, {}, 1)
    assert (cut.detection.count, cut.recovery.count) == (0, 0)


def test_the_load_after_a_warm_up_is_of_the_jobs_that_came_since() -> None:
    """A job of 60 s every 60 s on 2 slots: half of them are asked for, whenever the counting begins."""
    jobs = [job(60 * number, 60, name=str(number)) for number in range(10)]
    assert measure(*jobs, warm_up_s=290, for_s=590).offered_load == pytest.approx(0.5)
    assert measure(*jobs, warm_up_s=530, for_s=590).offered_load == pytest.approx(0.5)


def test_it_is_said_that_tables_are_of_the_whole_run_where_the_window_is_not() -> None:
    said = "(for what follows; the tables above are of the whole run)"
    whole = metric_lines(measure(job(-60, 10), for_s=10), Style(columns=0))
    assert not any(said in text for text in whole)
    for warm_up_s in (0, 15):
        lines = metric_lines(measure(job(0, 10), job(5, 20), warm_up_s=warm_up_s, for_s=65), Style(columns=0))
        assert sum(said in text for text in lines) == 1


def test_what_waits_when_the_window_opens_is_its_queue() -> None:
    metrics = measure(job(0, 30, 2, name="first"), *(job(5, 1, name=str(at)) for at in range(6)), warm_up_s=20)
    assert metrics.queue_max == 6
    assert metrics.oldest == 27 * SECOND


def test_jobs_of_the_schedulers_own_computer_ask_the_hosts_for_nothing() -> None:
    """They ran there for three times as long as all hosts could."""
    near = [
        Submission(MINUTE, JobSpec("near", ("x",), item=str(at), slots=1, host=HostWish(LOCAL)), 80 * SECOND)
        for at in range(6)
    ]
    metrics = measure(job(0, 20), *near, for_s=100)
    assert metrics.offered_load == pytest.approx(20 / 200)
    assert metrics.fairness == 1.0
    tasks = {task.task: task for task in metrics.tasks}
    assert (tasks["near"].asked, tasks["near"].outcomes) == (0, {"exit 0": 1})
    assert metrics.total.run.max == 80 * SECOND


def test_a_host_that_comes_while_it_has_no_power_is_off() -> None:
    hosts = HostTime()
    hosts.size("one", 2, 0)
    hosts.open_window(0)
    hosts.fault(FaultChanged(10, "down", ("two",), True), 0)
    hosts.size("two", 2, 20)
    hosts.fault(FaultChanged(30, "down", ("two",), False), 0)
    hosts.close(40)
    assert hosts.hosts_up == {1: 30, 2: 10}
    assert hosts.all_up == 30
