"""Goal: a run that a failure trace drives is down when the trace says, and what it measures is what the trace holds.

Method: small traces that are written here, read and run; the same figures worked out from the file itself by an own few
lines; every refusal by its message. Where the archives' traces are at hand, whole systems of them.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.errors import ConfigurationError
from model.job import SECOND, JobSpec
from shell.config.scenario import LoadedScenario, load_scenario_text
from sim.fault_plans import faults_of
from sim.fault_traces import FaultTrace, TraceNode, read_trace
from sim.measuring import Measuring
from sim.metrics import Metrics
from sim.scenario import Fault, Kind, NodeOutages, Scenario, TracePlan
from sim.simulation import simulate
from sim.workload import Feed, Submission
from tests.sim.failure_logs import GRID5000, LANL, archived, write_grid, write_lanl

HOUR = 3600
DENVER = ZoneInfo("America/Denver")

# reading


def test_a_lanl_trace_is_read_node_by_node(tmp_path: Path) -> None:
    trace = read_trace(
        write_lanl(
            tmp_path / "lanl.csv",
            "7 1 6/21/2005-10:00 6/21/2005-11:00",
            "7 1 6/21/2005-10:30 6/21/2005-12:00",  # overlaps
            "7 0 6/22/2005-00:00 6/22/2005-00:00",  # lasts no time
            "7 1 6/21/2005-13:00 6/21/2005-13:05",
        )
    )
    begin = int(datetime(2005, 6, 21, 10, tzinfo=DENVER).timestamp())
    assert [node.name for node in trace.nodes] == ["0", "1", "2"]
    assert trace.nodes[1].spans == ((begin, begin + 2 * HOUR), (begin + 3 * HOUR, begin + 3 * HOUR + 300))
    assert trace.nodes[0].spans == trace.nodes[2].spans == ()
    assert (trace.begin_s, trace.end_s) == (begin, begin + 3 * HOUR + 300)
    assert trace.left_out == {"it lasted no time": 1}


def test_a_repair_over_the_change_to_summer_time_is_an_hour_shorter(tmp_path: Path) -> None:
    trace = read_trace(write_lanl(tmp_path / "lanl.csv", "7 0 4/4/2004-01:29 4/4/2004-03:01"))
    ((begin, end),) = trace.nodes[0].spans
    assert end - begin == 32 * 60


def test_a_failure_within_the_hour_that_the_clock_skipped_begins_at_the_jump(tmp_path: Path) -> None:
    trace = read_trace(write_lanl(tmp_path / "lanl.csv", "7 0 4/4/2004-02:30 4/4/2004-03:10"))
    ((begin, end),) = trace.nodes[0].spans
    assert end - begin == 10 * 60


def test_a_trace_from_windows_is_the_same_trace(tmp_path: Path) -> None:
    lanl = write_lanl(tmp_path / "lanl.csv", "7 1 6/21/2005-10:00 6/21/2005-11:00")
    grid = tmp_path / "grid.csv"
    grid.write_text("G1/site1/c1/a,1000,9000\n2000,2100\n")
    for path in (lanl, grid):
        plain = read_trace(path)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
        assert read_trace(path) == plain


def test_a_system_of_several_is_to_be_named(tmp_path: Path) -> None:
    path = write_lanl(
        tmp_path / "lanl.csv", "7 0 6/21/2005-10:00 6/21/2005-11:00", "18 2 6/22/2005-10:00 6/22/2005-11:00"
    )
    assert len(read_trace(path, "18").nodes[2].spans) == 1
    for system, message in (("", "has several systems"), ("19", "has no system 19")):
        with pytest.raises(ConfigurationError, match=message) as caught:
            read_trace(path, system)
        assert "7 (1 failures), 18 (1 failures)" in caught.value.hint


def test_a_grid_trace_is_read_by_parts(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv.gz"
    lines = ["G1/site1/c1/a,1000,9000", "1000,1500", "2000,2100", "2100,2200", "G1/site2/c1/b,1000,9000", "3000,3000"]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    whole = read_trace(path)
    assert [(node.name, node.spans) for node in whole.nodes] == [
        ("G1/site1/c1/a", ((2000, 2200),)),
        ("G1/site2/c1/b", ()),
    ]
    assert whole.left_out == {"it was down when the trace began": 1, "it lasted no time": 1}
    assert [node.name for node in read_trace(path, "site2/c1").nodes] == ["G1/site2/c1/b"]
    assert len(read_trace(path, "c1").nodes) == 2
    with pytest.raises(ConfigurationError, match="has no node of site3") as caught:
        read_trace(path, "site3")
    assert "site1/c1, site2/c1" in caught.value.hint


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("7,cluster,3,0,0,6/21/2005 10:54", ":3: 6 fields where the header has 9"),
        ("7,cluster,3,0,0,21/6/2005 10:54,6/21/2005 11:00,6,", ":3: Prob Started is '21/6/2005 10:54', not a time"),
        ("7,cluster,3,0,0,6/21/2005 10:54,,6,", ":3: Prob Fixed is '', not a time"),
        ("7,cluster,3,0,0,6/21/2005 10:54,6/20/2005 10:54,6,", ":3: the failure ends"),
        ("7,cluster,3,,,6/21/2005 10:54,6/21/2005 10:55,6,", ":3: system 7 does not say which node it was"),
    ],
)
def test_a_line_that_is_no_failure_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = write_lanl(tmp_path / "lanl.csv", "7 0 6/21/2005-10:00 6/21/2005-11:00")
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ConfigurationError) as caught:
        read_trace(path)
    assert f"{path}{message}" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("5,4", ":3: the node is up again (4) before it is down (5)"),
        ("5", ":3: 1 fields: a node has 3"),
        ("5,now", ":3: 'now' is not a time"),
        ("5,-7", ":3: '-7' is not a time"),
        ("G/s/c/n,1,99999999999", ":3: '99999999999' is not a time"),
    ],
)
def test_a_line_that_is_no_down_time_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = write_grid(tmp_path / "grid.csv", "G1/site1/c1/a,1,9000", line)
    with pytest.raises(ConfigurationError) as caught:
        read_trace(path)
    assert f"{path}{message}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("job,host\n", ":1: is neither LANL's header line nor"),
        ("System,nodes\n", "LANL's header line has no column 'nodenumz'"),
    ],
)
def test_a_file_that_is_no_trace_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"trace\.csv") as caught:
        read_trace(path)
    assert message in str(caught.value)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv.gz"
    path.write_bytes(b"no gzip at all")
    with pytest.raises(ConfigurationError, match="the compressed file is damaged"):
        read_trace(path)


# in a scenario

PIPELINE = """\
cluster:
  hosts:
    - {name: "node[1-4]", slots: 1, link: process}
tasks:
  work: {command: [work], periods: {exec: 1h}}
"""


def load(folder: Path, plan: str) -> LoadedScenario:
    (folder / "pipeline.yaml").write_text(PIPELINE)
    write_lanl(
        folder / "lanl.csv",
        "7 0 6/21/2005-10:00 6/21/2005-11:00",
        "7 2 6/21/2005-12:00 6/21/2005-14:00",
        "7 0 6/22/2005-10:00 6/22/2005-10:30",
    )
    text = f"pipeline: pipeline.yaml\nfor: 4d\ngroups: {{two: [node3, node4]}}\nplans: [{{trace: lanl.csv, {plan}}}]\n"
    return load_scenario_text(text, folder / "night.yaml")


def outages(loaded: LoadedScenario) -> list[tuple[str, float, float]]:
    """(host, begin, length) of each fault in hours."""
    (plan,) = loaded.scenario.plans
    hour = HOUR * SECOND
    found = faults_of(plan, loaded.scenario.seed, loaded.scenario.for_ns)
    return [(fault.nodes[-1], fault.at_ns / hour, fault.for_ns / hour) for fault in found]


def test_node_after_node_is_given_to_host_after_host(tmp_path: Path) -> None:
    loaded = load(tmp_path, "system: 7")
    assert outages(loaded) == [("node1", 0, 1), ("node3", 2, 2), ("node1", 24, 0.5)]
    assert loaded.warnings == ("lanl.csv: 3 nodes for 4 hosts: 1 host without faults",)


def test_a_trace_may_begin_later_and_again(tmp_path: Path) -> None:
    later = load(tmp_path, "at: two, begin: 2005-06-21T16:30:00Z")  # 10:30 in Denver
    assert outages(later) == [("node3", 0, 0.5), ("node3", 23.5, 0.5)]
    assert later.warnings == ("lanl.csv: 3 nodes for 2 hosts: the first 2 of them count",)
    again = load(tmp_path, "at: two, begin: 23h, repeat: true")  # its length is 24.5 h
    assert outages(again)[:4] == [("node3", 1, 0.5), ("node3", 1.5, 1), ("node3", 25.5, 0.5), ("node3", 26, 1)]
    assert len(outages(again)) == 8


def test_another_fault_may_come_at_the_traces_times(tmp_path: Path) -> None:
    (plan,) = load(tmp_path, "fault: slow factor=3, at: node1").scenario.plans
    assert isinstance(plan, TracePlan)
    assert plan.fault == Fault(Kind.SLOW, factor=3.0)


# the run


def run_of(trace: FaultTrace) -> Metrics:
    """What is measured in a run over the whole trace, on a host for each node, with one job at its beginning."""
    names = [f"node{number}" for number in range(len(trace.nodes))]
    told = tuple(
        NodeOutages((name,), tuple(((b - trace.begin_s) * SECOND, (e - trace.begin_s) * SECOND) for b, e in node.spans))
        for name, node in zip(names, trace.nodes, strict=True)
    )
    cluster = ClusterDefinition(hosts=tuple(HostDefinition(name, 1) for name in names))
    measuring = Measuring()
    for_ns = trace.length_ns + HOUR * SECOND
    scenario = Scenario(for_ns=for_ns, plans=(TracePlan("trace", Fault(Kind.DOWN), told),))
    first = (Submission(0, JobSpec("work", ("x",), item="1"), SECOND),)
    result = simulate(
        Configuration("trace", "/", cluster=cluster),
        scenario,
        feed=Feed(first, ends=False),
        readers=(measuring,),
        check=False,
    )
    assert result.ended_ns == for_ns
    return measuring.metrics()


def compare(metrics: Metrics, spans_of: dict[int, list[tuple[int, int]]], begin_s: int) -> None:
    """Availability, failures and times to repair of each host: the run's against those of its node's down times."""
    window = (metrics.begin, metrics.end)
    for number, host in enumerate(metrics.hosts):
        spans = [((b - begin_s) * SECOND, (e - begin_s) * SECOND) for b, e in spans_of.get(number, [])]
        down = sum(max(0, min(e, window[1]) - max(b, window[0])) for b, e in spans)
        up = window[1] - window[0] - down
        failures = sum(window[0] < b < window[1] for b, _ in spans)  # at its first instant faults come before the job
        repairs = sum(window[0] <= e < window[1] for _, e in spans)
        assert host.host == f"node{number}"
        assert host.availability == up / (up + down)
        assert host.failures == failures
        assert host.mttr == (down / repairs if repairs else None)
        assert host.mtbf == (up / failures if failures else None)


def merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Down times of one node without overlaps, by another way than the reader's: what is down at each moment."""
    steps = sorted([(b, 1) for b, _ in spans] + [(e, -1) for _, e in spans], key=lambda step: (step[0], -step[1]))
    found, depth, since = [], 0, 0
    for at, step in steps:
        if depth == 0:
            since = at
        depth += step
        if depth == 0:
            found.append((since, at))
    return [(b, e) for b, e in found if e > b]


def lanl_directly(path: Path, system: str) -> dict[int, list[tuple[int, int]]]:
    """Down times by node, straight from the file: its own times of begin and repair."""
    spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        for row in csv.DictReader(file):
            if row["System"] == system:
                begin, end = (
                    int(datetime.strptime(row[name], "%m/%d/%Y %H:%M").replace(tzinfo=DENVER).timestamp())
                    for name in ("Prob Started", "Prob Fixed")
                )
                spans[int(row["nodenumz"])].append((begin, end))
    return {node: merged([span for span in found if span[0] < span[1]]) for node, found in spans.items()}


def test_what_a_run_measures_is_what_a_small_trace_holds(tmp_path: Path) -> None:
    path = write_lanl(
        tmp_path / "lanl.csv",
        "7 0 6/21/2005-10:00 6/21/2005-11:00",
        "7 0 6/21/2005-10:30 6/21/2005-12:00",  # overlaps
        "7 0 6/21/2005-12:00 6/21/2005-12:01",  # touches
        "7 0 6/23/2005-00:00 6/25/2005-00:00",
        "7 2 6/21/2005-11:00 6/21/2005-11:01",
        "7 2 6/24/2005-10:00 6/24/2005-10:10",
    )
    metrics = run_of(read_trace(path, "7"))
    directly = lanl_directly(path, "7")
    begin_s = min(span[0] for spans in directly.values() for span in spans)
    compare(metrics, directly, begin_s)
    first, second, third = metrics.hosts
    assert (first.failures, second.failures, third.failures) == (1, 0, 2)
    assert (second.availability, second.mttr) == (1.0, None)
    assert third.mttr == 330 * SECOND


@pytest.mark.timeout(600)
@pytest.mark.parametrize("system", ["2", "16", "18"])
def test_what_a_run_measures_is_what_lanls_trace_holds(system: str) -> None:
    path = archived(LANL)
    trace = read_trace(path, system)
    directly = lanl_directly(path, system)
    metrics = run_of(trace)
    assert sum(host.failures for host in metrics.hosts) > 2000
    compare(metrics, directly, trace.begin_s)
    down = sum(e - b for spans in directly.values() for b, e in spans) * SECOND
    whole = (metrics.end - metrics.begin) * len(metrics.hosts)
    assert metrics.system_availability == pytest.approx(1 - down / whole, abs=1e-6)


@pytest.mark.timeout(600)
def test_what_a_run_measures_is_what_a_cluster_of_grid5000_holds() -> None:
    """The first month of a cluster of 57 nodes: 1,051 nodes of 18 months would take too long for a test."""
    trace = read_trace(archived(GRID5000), "site3/c1")
    end_s = trace.begin_s + 30 * 24 * HOUR
    spans = {
        number: [(b, min(e, end_s)) for b, e in node.spans if b < end_s] for number, node in enumerate(trace.nodes)
    }
    nodes = tuple(TraceNode(node.name, tuple(spans[number])) for number, node in enumerate(trace.nodes))
    metrics = run_of(FaultTrace(trace.path, trace.begin_s, end_s, nodes))
    assert sum(host.failures for host in metrics.hosts) > 100
    compare(metrics, spans, trace.begin_s)
