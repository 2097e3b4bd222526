"""Goal: a job log is read as it is, errors name their line, and its replay is what first come, first served is.

Method: small logs written here, and logs of the archive where they are at hand; waits are compared with an
independent reference of a few lines, to the nanosecond, on a network without latency.
"""

from __future__ import annotations

import gzip
import os
import random
from heapq import heappop, heappush
from pathlib import Path

import pytest

from model.configuration import Configuration, HostDefinition, Order
from model.errors import ConfigurationError
from model.job import SECOND
from sim import job_log
from sim.job_log import LEAD_NS, By, Survey, cluster_of, submissions, survey
from sim.measuring import Measuring, Observed
from sim.metrics import Metrics
from sim.scenario import Network, Scenario
from sim.simulation import SimulationResult, simulate
from sim.swf import read_header, read_jobs
from sim.workload import Feed
from sim.world import World
from tests.sim.job_logs import HPC2N, LCG, NASA, archived, line, write_log

INSTANT = Network(latency_ns=0, controller_ns=0)


class Starts:
    """Notes when each job of a replay started."""

    def __init__(self) -> None:
        self.waits: dict[str, int] = {}

    def sized(self, host: str, slots: int) -> None: ...

    def started(self, host: str, key: object, slots: int) -> None: ...

    def ended(self, host: str, key: object) -> None: ...

    def final(self, job: Observed, record: object, handled: int) -> None:
        assert job.item is not None
        self.waits[job.item] = job.started - job.submitted


def replay(
    found: Survey,
    order: Order = Order.STRICT,
    *,
    hosts: tuple[HostDefinition, ...] = (),
    network: Network = INSTANT,
    by: By = By.LOG,
) -> tuple[SimulationResult, Metrics, dict[str, int]]:
    starts = Starts()
    measuring = Measuring(writer=starts)
    result = simulate(
        Configuration("log", "/", cluster=cluster_of(found, order, hosts)),
        Scenario(for_ns=found.horizon_ns, network=network),
        feed=Feed(submissions(found, by), ends=True),
        readers=(measuring,),
    )
    assert result.good, result.violations[:3]
    return result, measuring.metrics(), starts.waits


def first_come_first_served(found: Survey, slots: int) -> dict[str, int]:
    """The reference: jobs start in the order of their submit times, each as soon as there is room for it (ns)."""
    waits: dict[str, int] = {}
    ends: list[tuple[int, int]] = []
    free, now = slots, 0
    for job in submissions(found):
        now = max(now, job.at_ns)
        while ends and (ends[0][0] <= now or free < job.spec.slots):
            end, given_back = heappop(ends)
            now, free = max(now, end), free + given_back
        free -= job.spec.slots
        heappush(ends, (now + job.run_ns, job.spec.slots))
        waits[job.spec.item or ""] = now - job.at_ns
    return waits


# the reader


def test_a_line_is_read_as_the_format_says(tmp_path: Path) -> None:
    path = write_log(tmp_path / "a.swf", "  7 10 5 20 2 18.5 -1 4 60 -1 1 3 2 -1 9 1 -1 -1")
    (job,) = read_jobs(path)
    assert (job.line, job.number, job.processors, job.status, job.user, job.queue) == (3, 7, 2, 1, 3, 9)
    assert (job.submit_ns, job.wait_ns, job.run_ns, job.requested_ns) == tuple(n * SECOND for n in (10, 5, 20, 60))


def test_what_is_unknown_is_none_and_a_run_of_0_is_a_run(tmp_path: Path) -> None:
    path = write_log(tmp_path / "a.swf", line(1, 0, 0, -1), line(2, 0.25, -1, -1, asked=3), line(3, 1, -7, 2))
    first, second, third = read_jobs(path)
    assert (first.run_ns, first.processors, first.wait_ns) == (0, None, None)
    assert (second.submit_ns, second.run_ns, second.processors) == (SECOND // 4, None, 3)
    assert third.run_ns is None  # negative runs of badly converted logs


def test_more_than_18_fields_blank_lines_and_late_comments_are_no_error(tmp_path: Path) -> None:
    path = write_log(tmp_path / "a.swf", line(1, 0, 5) + " 99 98 97", "", "; a word in between", line(2, 1, 5))
    assert [job.number for job in read_jobs(path)] == [1, 2]


def test_what_nobody_reads_may_be_any_number(tmp_path: Path) -> None:
    whole, fraction = line(1, 0, 5).split(), line(2, 0.5, 5).split()
    whole[6] = fraction[9] = str(10**13)
    path = write_log(tmp_path / "a.swf", " ".join(whole), " ".join(fraction))
    assert [job.number for job in read_jobs(path)] == [1, 2]


def test_a_number_may_be_written_in_any_way(tmp_path: Path) -> None:
    path = write_log(
        tmp_path / "a.swf", *(line(1, 0, 5).replace("5", five) for five in ("5", "05", "+5", "5.0", "5e0"))
    )
    assert [job.run_ns for job in read_jobs(path)] == [5 * SECOND] * 5


@pytest.mark.parametrize("head", ["; MaxProcs: 64\n; Partition: 3 lancs.ac.uk\n", ""])
def test_a_log_from_windows_is_the_same_log(tmp_path: Path, head: str) -> None:
    text = f"{head}{line(1, 0, 5)}\n{line(2, 0.5, 5)}\n"
    plain, marked = tmp_path / "plain.swf", tmp_path / "marked.swf.gz"
    plain.write_text(text)
    marked.write_bytes(gzip.compress(text.replace("\n", "\r\n").encode("utf-8-sig")))
    assert read_header(marked) == read_header(plain)
    assert list(read_jobs(marked)) == list(read_jobs(plain))


def test_header_fields(tmp_path: Path) -> None:
    path = tmp_path / "a.swf.gz"
    text = "; UnixStartTime: 749458803\n;\n; MaxNodes: 120\n; Partition:  3 lancs.ac.uk\n; Note: a: b\n" + line(1, 0, 5)
    path.write_bytes(gzip.compress(text.encode()))
    header = read_header(path)
    assert header.processors == 120
    assert header.start_wall_s == 749458803
    assert header.partitions == {3: "lancs.ac.uk"}
    assert header.fields["Note"] == "a: b"
    assert [job.number for job in read_jobs(path)] == [1]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("1 2 3", "3 fields where a job has 18"),
        (line(1, 0, 5).replace("5", "x"), "its run time is 'x', not a number"),
        (line(1, 0, 5).replace("5", "nan"), "its run time is nan"),
        (line(1, 0, 5).replace("5", "5,5"), "its run time is '5,5', not a number"),
        (line(1, 0, 5).replace("5", "null"), "its run time is 'null', not a number"),
        (line(1, 0, 10**12), "its run time is 1000000000000, at most"),
        (line(1, -1, 5), "its submit time is -1"),
        ("9" * 5000, "it has more than 4096 bytes"),
    ],
)
def test_an_error_names_file_line_and_reason(tmp_path: Path, wrong: str, why: str) -> None:
    path = write_log(tmp_path / "a.swf", line(1, 0, 5), wrong)
    with pytest.raises(ConfigurationError) as error:
        survey(path)
    assert f"{path}:4: {why}" in str(error.value)


def test_a_pipe_is_refused_for_it_could_be_read_only_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.swf")
    with pytest.raises(ConfigurationError, match="is a pipe, and a job log is read twice"):
        survey(tmp_path / "pipe.swf")


def test_a_damaged_gzip_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.swf.gz"
    whole = gzip.compress("\n".join(line(number, number, 5) for number in range(5000)).encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigurationError, match=r"a\.swf\.gz:\d+: the compressed file is damaged"):
        survey(path)
    path.write_bytes(b"no gzip at all")
    with pytest.raises(ConfigurationError, match="damaged"):
        survey(path)


# jobs and hosts of a log


def test_jobs_that_cannot_be_replayed_are_left_out_by_line(tmp_path: Path) -> None:
    path = write_log(
        tmp_path / "a.swf",
        line(1, 0, 5),
        line(2, 0, -1),
        line(3, 0, 5, 5),
        line(4, 0, 5, -1),
        line(5, 0, 0, 1, status=5),
        line(6, 0, 5, 4),
        line(6, 0, 2, 4, status=2),
        line(6, 3, 3, 4, status=3),
    )
    found = survey(path)
    assert found.jobs == 2
    assert found.lines_left_out == [
        f"{path}:4: job 2 is left out: its run time is unknown",
        f"{path}:5: job 3 (5 processors) is left out: wider than the largest host, which has 4 slots",
        f"{path}:6: job 4 is left out: its number of processors is unknown",
        f"{path}:7: job 5 is left out: cancelled before it started",
        f"{path}:9: job 6 is left out: a part of a job that was stopped and went on, which has a line of its own",
        f"{path}:10: job 6 is left out: a part of a job that was stopped and went on, which has a line of its own",
    ]
    assert [job.spec.item for job in submissions(found)] == ["1", "6"]
    narrow = survey(path, slots_max=1)
    assert narrow.left_out["wider than the largest host, which has 1 slots"] == 2


@pytest.mark.parametrize(
    ("zone", "midnight_h"),
    [
        ([], 24),
        (["; TimeZoneString: US/Pacific", "; TimeZone: 3600"], 7),
        (["; TimeZoneString: Europe/Stockholm"], 23),
        (["; TimeZone: -28800"], 8),
        (["; TimeZoneString: somewhere", "; TimeZone: +3600"], 23),
        (["; TimeZoneString: ../../etc/passwd", "; TimeZone: MET"], 24),
    ],
)
def test_a_day_of_a_log_begins_at_midnight_where_its_machine_stood(
    zone: list[str], midnight_h: int, tmp_path: Path
) -> None:
    """It begins on 1993-10-01 at 00:00 UTC: then clocks in America still showed summer time."""
    path = tmp_path / "a.swf"
    path.write_text("\n".join(["; UnixStartTime: 749433600", *zone, line(1, 0, 10)]))
    assert read_header(path).midnight_s == midnight_h % 24 * 3600


def test_a_log_without_a_job_to_replay_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no job in it can be replayed \(1 x its run time is unknown"):
        survey(write_log(tmp_path / "a.swf", line(1, 0, -1)))


def test_partitions_are_hosts_of_the_size_that_their_jobs_used(tmp_path: Path) -> None:
    path = tmp_path / "a.swf"
    lines = ["; Partition: 1 fast", "; Partition: 2 local", "; MaxProcs: 100"]
    lines += [line(1, 0, 10, 2, partition=1), line(2, 5, 10, 3, partition=1), line(3, 15, 10, 4, partition=1)]
    lines += [line(4, 0, 10, partition=2), line(5, 2, 10, wait=8, partition=2)]
    path.write_text("\n".join(lines))
    found = survey(path)
    hosts = {host.name: host.slots for host in cluster_of(found, Order.FILL).hosts}
    assert hosts == {"fast": 5, "partition2": 1}  # `local` is the scheduler's own machine
    wishes = {job.spec.item: job.spec.host.name for job in submissions(found) if job.spec.host.required}
    assert wishes == {"1": "fast", "2": "fast", "3": "fast", "4": "partition2", "5": "partition2"}
    result, metrics, waits = replay(found, Order.FILL)
    assert result.jobs == 5
    assert waits == {"1": 0, "2": 0, "3": 0, "4": 0, "5": 8 * SECOND}
    assert metrics.hosts[0].host == "fast"


def test_a_partition_with_all_jobs_is_the_whole_machine_that_the_header_tells_of(tmp_path: Path) -> None:
    path = tmp_path / "a.swf"
    lines = ["; Partition: 1 DEFAULT", "; Partition: 2 ALL", "; MaxProcs: 100", line(1, 0, 10, 2, partition=1)]
    path.write_text("\n".join(lines))
    found = survey(path)
    assert [(host.name, host.slots) for host in cluster_of(found, Order.FILL).hosts] == [("DEFAULT", 100)]
    assert not found.sized_by_use
    path.write_text("\n".join([*lines, line(2, 0, 10, 2, partition=2)]))
    assert survey(path).sized_by_use


def test_jobs_of_one_number_do_not_share_their_run_times(tmp_path: Path) -> None:
    path = write_log(tmp_path / "a.swf", line(1, 0, 5), line(1, 0, 50))
    assert [job.spec.item for job in submissions(survey(path))] == ["1", "1-line4"]
    _, metrics, _ = replay(survey(path))
    assert (metrics.total.run.p50, metrics.total.run.max) == (5 * SECOND, 50 * SECOND)


def test_a_log_that_is_not_in_order_is_replayed_in_order(tmp_path: Path) -> None:
    path = write_log(tmp_path / "a.swf", line(1, 10, 5), line(2, 0, 5), line(3, 4, 5))
    found = survey(path)
    assert not found.in_order
    at = [(job.spec.item, (job.at_ns - LEAD_NS) // SECOND) for job in submissions(found)]
    assert at == [("2", 0), ("3", 4), ("1", 10)]


def test_failed_and_cancelled_jobs_exit_1(tmp_path: Path) -> None:
    path = write_log(
        tmp_path / "a.swf", line(1, 0, 5), line(2, 0, 5, status=0), line(3, 0, 5, status=5), line(4, 0, 5, status=-1)
    )
    result, metrics, _ = replay(survey(path))
    assert result.tally.tasks["log"].outcomes == {"exit 0": 2, "exit 1": 2}
    assert metrics.total.slot_time.good == metrics.total.slot_time.rejected == 10 * SECOND


def test_tasks_by_user(tmp_path: Path) -> None:
    path = write_log(tmp_path / "a.swf", line(1, 0, 5, user=7), line(2, 0, 5, user=-1), line(3, 0, 5, user=7))
    result, _, _ = replay(survey(path), by=By.USER)
    assert {name: task.made for name, task in result.tally.tasks.items()} == {"user7": 2, "user-unknown": 1}


# the replay


def random_log(path: Path, jobs: int, slots: int, seed: int) -> Path:
    """Many jobs in bursts, with equal submit times, equal ends, runs of 0, and jobs as wide as the machine."""
    draw = random.Random(seed)
    submit, lines = 0, []
    for number in range(1, jobs + 1):
        submit += draw.choice((0, 0, 1, 5, 40))
        width = draw.choice((1, 1, 2, 3, slots // 2, slots))
        lines.append(line(number, submit, draw.choice((0, 1, 5, 10, 10, 60, 300)), width))
    return write_log(path, *lines, processors=slots)


def test_a_short_log_is_kept_and_a_long_one_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = random_log(tmp_path / "a.swf", 20, 8, 1)
    short, first = survey(path), survey(path, first=10)
    monkeypatch.setattr(job_log, "KEPT_MAX", 19)
    long, part = survey(path), survey(path, first=10)
    assert (len(short.kept), len(long.kept)) == (20, 0)
    read_again = list(submissions(long))
    path.unlink()
    assert list(submissions(short)) == read_again
    assert list(submissions(first)) == list(submissions(part)) == read_again[:10]


@pytest.mark.parametrize("seed", range(3))
def test_strict_is_first_come_first_served_to_the_nanosecond(tmp_path: Path, seed: int) -> None:
    found = survey(random_log(tmp_path / "a.swf", 400, 8, seed))
    result, _, waits = replay(found)
    assert result.jobs == 400
    assert waits == first_come_first_served(found, 8)
    assert max(waits.values()) > 100 * SECOND


@pytest.mark.parametrize(("slots", "seed"), [(4, 0), (4, 1), (16, 0), (16, 1)])
def test_so_it_is_where_many_jobs_take_no_time(tmp_path: Path, slots: int, seed: int) -> None:
    """They are brief, and in another order some would go ahead: there narrow ones found room before wide ones, and what
    was given back was passed."""
    draw, submit, lines = random.Random(seed), 0, []
    for number in range(1, 401):
        submit += draw.choice([0, 0, 1, 5, 30, draw.randint(0, 100)])
        run = draw.choice([0, 1, 10, draw.randint(0, 400)])
        lines.append(line(number, submit, run, draw.randint(1, slots // draw.choice((1, 2, 4)))))
    found = survey(write_log(tmp_path / "a.swf", *lines, processors=slots))
    assert replay(found)[2] == first_come_first_served(found, slots)


def test_fill_lets_a_later_job_pass_and_strict_does_not(tmp_path: Path) -> None:
    path = write_log(tmp_path / "a.swf", line(1, 0, 100, 3), line(2, 1, 10, 4), line(3, 2, 10, 1))
    assert replay(survey(path), Order.STRICT)[2] == {"1": 0, "2": 99 * SECOND, "3": 108 * SECOND}
    assert replay(survey(path), Order.FILL)[2] == {"1": 0, "2": 99 * SECOND, "3": 0}


def test_fill_never_keeps_the_host_for_a_wide_job(tmp_path: Path) -> None:
    """First fit starves it: whatever its number of passes."""
    narrow = [line(number, number, 4, 1) for number in range(2, 2000)]
    found = survey(write_log(tmp_path / "a.swf", line(1, 1, 4, 1), line(2000, 1, 1, 4), *narrow))
    waits = replay(found, Order.FILL)[2]
    assert waits["2000"] == 2002 * SECOND
    assert sum(waits.values()) == waits["2000"]


def test_nothing_is_kept_of_jobs_that_are_final(tmp_path: Path) -> None:
    found = survey(write_log(tmp_path / "a.swf", *[line(number, number, 4) for number in range(1, 50)]))
    worlds: list[World] = []
    simulate(
        Configuration("log", "/", cluster=cluster_of(found, Order.FILL)),
        Scenario(for_ns=found.horizon_ns),
        feed=Feed(submissions(found), ends=True),
        prepare=worlds.append,
    )
    assert list(worlds[0].weather.foretold()) == []


def test_the_end_of_the_last_job_is_the_end(tmp_path: Path) -> None:
    result, metrics, _ = replay(survey(write_log(tmp_path / "a.swf", line(1, 1000, 5), line(2, 1003, 7, 2))))
    assert result.ended_ns == metrics.end == LEAD_NS + 10 * SECOND
    assert result.open == 0


def test_the_same_log_gives_the_same_event_log(tmp_path: Path) -> None:
    found = survey(random_log(tmp_path / "a.swf", 100, 8, 1))
    assert replay(found)[0].hash == replay(found)[0].hash


def test_hpc2n_waits_are_those_of_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    found = survey(archived(HPC2N))
    _, metrics, waits = replay(found)
    expected = first_come_first_served(found, 240)
    assert len(waits) == found.jobs == 3145
    assert waits == expected
    mean_s = sum(expected.values()) / len(expected) / SECOND
    assert metrics.total.wait.mean == pytest.approx(mean_s * SECOND, rel=1e-12)
    with capsys.disabled():
        print(f"\nHPC2N: mean wait {mean_s:.0f} s, in the log itself {found.wait_ns / found.waits / SECOND:.0f} s")


@pytest.mark.timeout(60)
def test_nasa_waits_are_those_of_the_reference() -> None:
    found = survey(archived(NASA))
    assert found.jobs == 18_239
    assert replay(found)[2] == first_come_first_served(found, 128)


def test_the_lcg_grid_is_170_hosts() -> None:
    found = survey(archived(LCG), first=3000)
    assert len(found.partitions) == 170
    assert found.jobs == 3000
    result, metrics, waits = replay(found, Order.FILL)
    assert result.jobs == 3000
    assert max(waits.values()) == 0  # each site is as large as its jobs need
    assert metrics.utilization_nominal is not None
