"""Goal: a person says in one line, or in a few keys, what goes wrong where and when; what is not understood is told
with its place and a way out.

Method: lines and small scenarios beside a small pipeline, read; every refusal by its message and position. The texts
for people are held against what is read.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.errors import ConfigurationError
from model.job import SECOND
from shell import fault_words, simulate
from shell.config import InvalidConfiguration
from shell.config.scenario import LoadedScenario, load_scenario_text, with_faults, with_prefab
from shell.config.scenario_faults import HINT, KINDS, Known, parse_fault
from shell.config.scenario_plans import parse_prefab
from shell.main import main
from shell.verbs import BY_NAME
from sim.distributions import Constant, Exponential, Lognormal, Uniform, Weibull
from sim.fault_plans import faults_of
from sim.faults import RESTART_NS
from sim.prefabs import PREFABS
from sim.scenario import Counted, Fault, FaultPlan, Kind, Plan, Unit

PIPELINE = """\
cluster:
  hosts:
    - {name: "node[1-6]", slots: 2, link: process}
tasks:
  warp: {command: [warp], periods: {exec: 5m}}
"""
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
GROUPS = {"rack1": ("node1", "node2"), "rack2": ("node3", "node4")}
CONFIGURATION = Configuration(
    "", "", cluster=ClusterDefinition(hosts=tuple(HostDefinition(f"node{n}", 1) for n in range(1, 7)))
)
SCENARIO = "pipeline: pipeline.yaml\nstart: 2026-11-24T18:00\ngroups: {rack1: 'node[1-2]', rack2: [node3, node4]}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    return tmp_path


def load(folder: Path, text: str) -> LoadedScenario:
    return load_scenario_text(SCENARIO + text, folder / "night.yaml")


def plan_of(folder: Path, text: str) -> FaultPlan:
    (made,) = load(folder, f"plans:\n  - {text}\n").scenario.plans
    assert isinstance(made, FaultPlan)
    return made


def parsed(line: str) -> list[Fault | FaultPlan]:
    return parse_fault(line, START, Known.of(CONFIGURATION, GROUPS))


def down(hosts: str, at_ns: int = 0, for_ns: int = 0) -> list[Fault]:
    return [Fault(Kind.DOWN, (f"node{host}",), at_ns, for_ns) for host in hosts]


# one line


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        ("node3 down 02:00-04:00", down("3", 8 * HOUR, 2 * HOUR)),
        ("node3 down from 02:00 for 2h", down("3", 8 * HOUR, 2 * HOUR)),
        ("node3 down from 02:00 until 04:00", down("3", 8 * HOUR, 2 * HOUR)),
        ("node3 down from 02:00 to 04:00", down("3", 8 * HOUR, 2 * HOUR)),
        ("node3 down 02:00 for 2h", down("3", 8 * HOUR, 2 * HOUR)),
        ("node3 down 02:00+2h", down("3", 8 * HOUR, 2 * HOUR)),
        ("node3 down at 10m", down("3", 10 * MINUTE)),
        ("node3 down for 10m", down("3", 0, 10 * MINUTE)),
        ("node3 down until 10m", down("3", 0, 10 * MINUTE)),
        ("rack2 down from 02:00 for 2h", down("34", 8 * HOUR, 2 * HOUR)),
        ("rack1,node3 down", down("123")),
        ("hosts down", down("123456")),
        ("controller silent 03:00-03:10", [Fault(Kind.FROZEN, ("controller",), 9 * HOUR, 10 * MINUTE)]),
        ("node1 silent", [Fault(Kind.SILENT, ("node1",))]),
        ("controller split 1h+1m", [Fault(Kind.LOST, ("scheduler", "controller"), HOUR, MINUTE)]),
        ("rack2 split", [Fault(Kind.LOST, ("controller", f"node{n}")) for n in (3, 4)]),
        ("node1 lossy chance=0.2", [Fault(Kind.LOSSY, ("controller", "node1"), chance=0.2)]),
        ("local lossy", [Fault(Kind.LOSSY, ("scheduler", "local"))]),
        ("controller rack1 lost", [Fault(Kind.LOST, ("controller", f"node{n}")) for n in (1, 2)]),
        ("controller overloaded 1h delay=1s", [Fault(Kind.OVERLOADED, ("controller",), HOUR, delay_ns=SECOND)]),
        ("node1 overloaded limit=3", [Fault(Kind.OVERLOADED, ("node1",), limit=3)]),
        ("node1 hung 1h limit=1", [Fault(Kind.HUNG, ("node1",), HOUR, limit=1)]),
        ("controller,node1 silent", [Fault(Kind.FROZEN, ("controller",)), Fault(Kind.SILENT, ("node1",))]),
    ],
)  # fmt: skip
def test_one_line_says_where_what_and_when(line: str, faults: list[Fault]) -> None:
    assert parsed(line) == faults


@pytest.mark.parametrize(
    ("when", "at_minute", "minutes"),
    [
        ("02:30-03:30", 60, 30),  # the clock jumps from 02:00 to 03:00, 60 minutes after the start
        ("01:30-02:30", 30, 30),
        ("02:30+1h", 60, 60),
        ("01:30-03:30", 30, 60),
    ],
)
def test_a_time_that_the_clock_skips_is_the_instant_of_its_jump(when: str, at_minute: int, minutes: int) -> None:
    before_summer = datetime(2026, 3, 29, 1, 0, tzinfo=ZoneInfo("Europe/Berlin"))
    found = parse_fault(f"node3 down {when}", before_summer, Known.of(CONFIGURATION, GROUPS))
    assert found == down("3", at_minute * MINUTE, minutes * MINUTE)


def test_times_that_are_all_skipped_are_refused() -> None:
    before_summer = datetime(2026, 3, 29, 1, 0, tzinfo=ZoneInfo("Europe/Berlin"))
    message = "02:10-02:50 is no time at all: both are 2026-03-29 03:00:00"
    with pytest.raises(ValueError, match=message):
        parse_fault("node3 down 02:10-02:50", before_summer, Known.of(CONFIGURATION, GROUPS))


def test_a_rehearsal_that_starts_in_a_skipped_hour_starts_at_the_jump(folder: Path) -> None:
    text = "pipeline: pipeline.yaml\nstart: 2026-03-29T02:30\nzone: Europe/Berlin\nfaults: [node1 down 03:30]\n"
    loaded = load_scenario_text(text, folder / "night.yaml")
    assert loaded.scenario.start_wall_ns == int(datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp()) * SECOND
    assert loaded.scenario.faults == (*down("1", 30 * MINUTE),)


def test_a_share_of_hosts_is_drawn_with_the_seed() -> None:
    line = "34% of hosts slow 02:00 for 2h factor=3"
    (found,) = parsed(line)
    assert isinstance(found, FaultPlan)
    assert (found.share, found.name) == (0.34, line)
    drawn = {seed: list(faults_of(found, seed, DAY)) for seed in range(1, 9)}
    for faults in drawn.values():
        assert [(f.kind, f.at_ns, f.for_ns, f.factor) for f in faults] == [(Kind.SLOW, 8 * HOUR, 2 * HOUR, 3.0)] * 2
    assert len({tuple(f.nodes[0] for f in faults) for faults in drawn.values()}) > 3
    (of_rack,) = parsed("50% of rack2 down")
    assert isinstance(of_rack, FaultPlan)
    assert [(f.nodes[0] in ("node3", "node4"), f.for_ns) for f in faults_of(of_rack, 1, DAY)] == [(True, 0)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rack3 down", "down: there is no rack3, did you mean rack2?"),
        ("controller down", "down: there is no controller for it: it is at hosts"),
        ("node1 frozen", "frozen: there is no node1: it is at controller or scheduler"),
        ("node1 one-way", "one_way is at a link: name its two ends, such as controller node1"),
        ("scheduler lost", "lost is at a link: name its two ends"),
        ("controller rack3 lost", "there is no link between controller and rack3, did you mean rack2?"),
        ("20% down", "20% of what? Such as 20% of hosts"),
        ("20% of down", "20% of what?"),
        ("0% of hosts down", "expects a share from above 0% to 100%, not 0%"),
        ("120% of hosts down", "expects a share from above 0% to 100%"),
        ("node1 down form 02:00", "form is not understood"),
        ("node1 down from", "from what? A time is missing"),
        ("node1 down from 02:00 for", "for is not understood"),
        ("node1 down from 02:00 at 03:00", "at is not understood"),
        ("node1 down for 2h until 3h", "for and until say the same"),
        ("node1 down from 4h until 2h", "from 4h until 2h ends before it begins"),
        ("node1 down 2h-2h", "2h-2h is no time at all: both are 2026-11-24 20:00:00"),
        ("node1 down 1h for 0s", "0s is no time at all; to the end: leave it out"),
        ("node1 down slow 1h+1h", "slow: a line is one fault, another one is a line of its own"),
        ("node1 down from 1h down", "down: a line is one fault, another one is a line of its own"),
        ("node1 down 1h 2h", "2h is not understood"),
    ],
)
def test_a_line_that_is_not_understood_says_why(line: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is what is tested
        parsed(line)
    assert message in str(caught.value)


@given(st.lists(st.sampled_from(
    ["node1", "rack1", "hosts", "controller", "20%", "of", "down", "slow", "lost", "split", "overloaded", "from", "for",
     "until", "02:00", "1h", "1h-2h", "1h+2h", "factor=3", "=", "delay=", "[", ",", "%", "wall_step", "local"]
), max_size=8))  # fmt: skip
def test_no_words_make_the_reader_fall(words: list[str]) -> None:
    try:
        found = parsed(" ".join(words))
    except (ValueError, ConfigurationError):
        return
    assert found


# plans


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{fault: down, gap: {weibull: {shape: 0.7, scale: 30d}}, for: {lognormal: {median: 1h, sigma: 1.2}}}",
            FaultPlan(
                "down",
                Fault(Kind.DOWN),
                tuple(Unit(f"node{n}", ((f"node{n}",),)) for n in range(1, 7)),
                Lognormal(HOUR, 1.2),
                Weibull(0.7, 30 * DAY),
            ),
        ),
        (
            "{fault: slow factor=3, at: rack1, every: 1d, for: {uniform: [10m, 2h]}, first: '02:00'}",
            FaultPlan(
                "slow factor=3",
                Fault(Kind.SLOW, factor=3.0),
                (Unit("node1", (("node1",),)), Unit("node2", (("node2",),))),
                Uniform(10 * MINUTE, 2 * HOUR),
                Constant(DAY),
                Counted.FROM_BEGIN,
                first=Constant(8 * HOUR),
            ),
        ),
        (
            "{scope: group, gap: {exponential: 1d}, for: 1h, from: '02:00', until: '06:00', name: racks}",
            FaultPlan(
                "racks",
                Fault(Kind.DOWN),
                (Unit("rack1", (("node1",), ("node2",))), Unit("rack2", (("node3",), ("node4",)))),
                Constant(HOUR),
                Exponential(DAY),
                from_ns=8 * HOUR,
                until_ns=12 * HOUR,
            ),
        ),
        (
            "{fault: hung limit=1, at: 'node[1-2]', scope: 50%, gap: 6h, for: 1m}",
            FaultPlan(
                "hung limit=1",
                Fault(Kind.HUNG, limit=1),
                (Unit("share", (("node1",), ("node2",))),),
                Constant(MINUTE),
                Constant(6 * HOUR),
                share=0.5,
            ),
        ),
        (
            "{fault: restarted, at: controller, gap: {exponential: 1d}}",
            FaultPlan(
                "restarted",
                Fault(Kind.RESTARTED),
                (Unit("controller", (("controller",),)),),
                Constant(RESTART_NS),
                Exponential(DAY),
            ),
        ),
        (
            "{fault: split, at: controller, first: {exponential: 1d}, for: 5m}",
            FaultPlan(
                "split",
                Fault(Kind.LOST),
                (Unit("scheduler controller", (("scheduler", "controller"),)),),
                Constant(5 * MINUTE),
                first=Exponential(DAY),
            ),
        ),
        (
            "{fault: wall_step delay=1h, first: 3h}",
            FaultPlan(
                "wall_step delay=1h",
                Fault(Kind.WALL_STEP, delay_ns=HOUR),
                (Unit("", ((),)),),
                first=Constant(3 * HOUR),
            ),
        ),
        (
            "{prefab: grid5000, at: rack2, scope: group}",
            FaultPlan(
                "grid5000",
                Fault(Kind.DOWN),
                (Unit("rack2", (("node3",), ("node4",))),),
                PREFABS["grid5000"].lasts,
                PREFABS["grid5000"].interval,
            ),
        ),
    ],
)
def test_a_plan_is_interval_duration_and_scope(folder: Path, text: str, expected: FaultPlan) -> None:
    assert plan_of(folder, text) == expected


def test_a_name_alone_is_a_prefab_at_every_host(folder: Path) -> None:
    made = plan_of(folder, "lanl-cluster")
    assert (made.interval, made.lasts) == (PREFABS["lanl-cluster"].interval, PREFABS["lanl-cluster"].lasts)
    assert [unit.name for unit in made.units] == [f"node{n}" for n in range(1, 7)]
    made = plan_of(folder, "exponential(30d, 4h)")
    assert (made.interval, made.lasts) == (Exponential(30 * DAY), Exponential(4 * HOUR))
    assert load(folder, "plans: [none]\n").scenario.plans == ()


def test_plans_of_one_fault_are_drawn_by_different_names(folder: Path) -> None:
    once = "{gap: {exponential: 1d}, for: 1h}"
    plans: tuple[Plan, ...] = load(folder, f"plans: [{once}, {once}, lanl-cluster]\n").scenario.plans
    assert [plan.name for plan in plans] == ["down", "down#2", "lanl-cluster"]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("{fault: donw, gap: 1d, for: 1h}", "plans[0].fault", "donw is no fault, did you mean down?"),
        (
            "{fault: slow fator=3, gap: 1d, for: 1h}",
            "plans[0].fault",
            "fator=3 is not understood, did you mean factor?",
        ),
        ("{at: node9, gap: 1d, for: 1h}", "plans[0].at", "down: there is no node9"),
        ("{fault: frozen, gap: 1d, for: 1h}", "plans[0].at", "frozen: there is no node1"),
        ("{at: node1, scope: group, gap: 1d, for: 1h}", "plans[0].at", "node1 is no group"),
        ("{scope: rack, gap: 1d, for: 1h}", "plans[0].scope", "expects host, group or a share such as 20%, not rack"),
        ("{scope: 0%, gap: 1d, for: 1h}", "plans[0].scope", "expects a share from above 0% to 100%, not 0%"),
        ("{for: 1h}", "plans[0]", "says not how often: every (begin to begin), gap (end to begin), or only first"),
        ("{every: 1d, gap: 1d, for: 1h}", "plans[0].gap", "every and gap: one of them says how often"),
        ("{gap: 1d}", "plans[0]", "for is missing: how long it lasts"),
        ("{gap: 1d, for: 0s}", "plans[0].for", "for is no time at all"),
        ("{gap: 0s, for: 100ms}", "plans[0].gap", "comes more often than once a second"),
        ("{every: 1h, for: {exponential: 2h}}", "plans[0].every", "it is over only when the next one begins"),
        ("{fault: broken, at: rack1, gap: 1d, for: 1h}", "plans[0].for", "broken lasts no time: leave out for"),
        ("{gap: {weibul: {shape: 1, scale: 1h}}, for: 1h}", "plans[0].gap", "weibul is no distribution"),
        ("{gap: 1d, for: 1h, from: '02:00', until: 1h}", "plans[0].until", "1h is before the plan's beginning"),
        ("{gap: 1d, for: 1h, from: never}", "plans[0].from", "expects a duration"),
        ("{prefab: lanl-clusters}", "plans[0].prefab", "lanl-clusters is no prefab, did you mean lanl-cluster?"),
        ("exponential(4h)", "plans[0].prefab", "exponential(4h) is no prefab"),
        ("exponential(4, 1h)", "plans[0].prefab", "a number without a unit"),
        ("{prefab: grid5000, gap: 1d}", "plans[0].gap", "gap beside prefab: the prefab says it"),
        ("{prefab: grid5000, system: 18}", "plans[0].system", "system without trace: it is about a trace"),
        ("{trace: lanl.csv, gap: 1d}", "plans[0].gap", "gap beside trace: the trace says it"),
        ("{trace: lanl.csv}", "plans[0].trace", "lanl.csv cannot be read: No such file"),
        ("{trace: pipeline.yaml}", "plans[0].trace", "pipeline.yaml:1: is neither LANL's header line"),
        ("{trace: good.csv, begin: soon}", "plans[0].begin", "expects a date such as 2003-06-01, or a duration"),
        (
            "{trace: good.csv, begin: 2006-01-01}",
            "plans[0].begin",
            "is not within the trace, which goes from 2005-06-21",
        ),
        ("{trace: good.csv, system: 8}", "plans[0].trace", "has no system 8 (system: one of 7 (1 failures))"),
    ],
)
def test_a_plan_that_is_wrong_is_told_with_its_place(folder: Path, text: str, place: str, message: str) -> None:
    (folder / "good.csv").write_text(
        "System,nodes,nodenumz,Prob Started,Prob Fixed\n7,3,0,6/21/2005 10:54,6/21/2005 11:54\n"
    )
    with pytest.raises(InvalidConfiguration) as caught:
        load(folder, f"plans:\n  - {text}\n")
    (problem,) = caught.value.problems
    assert message in problem.message
    assert problem.path == place
    assert problem.spot is not None and problem.spot.line == 5


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("{node1: node2}", "node1 cannot be the name of a group"),
        ("{hosts: node2}", "hosts cannot be the name of a group"),
        ("{down: node2}", "down cannot be the name of a group"),
        ("{rack: node9}", "group rack: there is no node9"),
        ("{rack: 'node[1-'}", "the [ is not closed"),
        ("{rack: row, row: node1}", "group rack: there is no row"),
    ],
)
def test_a_group_that_is_wrong_is_told(folder: Path, groups: str, message: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        load_scenario_text(f"pipeline: pipeline.yaml\ngroups: {groups}\n", folder / "night.yaml")
    (problem,) = caught.value.problems
    assert message in problem.message


def test_a_group_may_hold_earlier_groups(folder: Path) -> None:
    loaded = load_scenario_text(
        "pipeline: pipeline.yaml\ngroups:\n  a: node[1-2]\n  b: [a, node5]\nfaults: [b down]\n", folder / "night.yaml"
    )
    assert loaded.groups["b"] == ("node1", "node2", "node5")
    assert [fault.nodes[0] for fault in loaded.scenario.faults] == ["node1", "node2", "node5"]


# the command line


def test_lines_of_the_command_line_know_the_scenarios_groups(folder: Path) -> None:
    loaded = with_faults(load(folder, "faults: [node1 reboot 1h]\n"), ("rack2 down 1h", "20% of hosts slow"))
    assert [fault.kind for fault in loaded.scenario.faults] == [Kind.REBOOT, Kind.DOWN, Kind.DOWN]
    assert [plan.name for plan in loaded.scenario.plans] == ["20% of hosts slow"]
    with pytest.raises(ConfigurationError, match="--fail 'rack7 down'") as caught:
        with_faults(loaded, ("rack7 down",))
    assert caught.value.hint == HINT
    assert "laulima docs faults" in HINT


def test_a_prefab_comes_instead_of_the_scenarios_faults(folder: Path) -> None:
    loaded = load(folder, "faults: [node1 reboot 1h]\nplans: [grid5000]\n")
    with_it = with_prefab(loaded, "lanl-bigsmp").scenario
    assert with_it.faults == () and [plan.name for plan in with_it.plans] == ["lanl-bigsmp"]
    without = with_prefab(loaded, "none").scenario
    assert without.faults == () and without.plans == ()
    with pytest.raises(ConfigurationError, match="--faults 'lanl': lanl is no prefab") as caught:
        with_prefab(loaded, "lanl")
    assert "known: lanl-cluster" in str(caught.value)
    assert "laulima docs faults" in caught.value.hint


def test_sim_takes_faults_and_says_how_to_see_it_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "night.yaml").write_text(SCENARIO + "for: 12h\nfaults: [hosts down]\n")
    night = str(folder / "night.yaml")
    words = [
        "sim",
        night,
        "--faults",
        "none",
        "--fail",
        "rack2 down from 02:00 for 2h",
        "--fail",
        "controller silent 1h+1m",
    ]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "3 faults" in out
    again = next(line for line in out.splitlines() if line.startswith("again"))
    assert "--faults none --fail 'rack2 down from 02:00 for 2h' --fail 'controller silent 1h+1m'" in again
    assert simulate.run(Path(night), faults="none") == 0
    assert "0 faults" in capsys.readouterr().out
    assert main(["sim", night, "--fail", "rack3 down"]) == 1
    assert "rack3" in (err := capsys.readouterr().err) and "WHERE WHAT [WHEN]" in err


# the texts for people


def test_every_fault_and_prefab_is_in_the_text_about_faults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", "faults"]) == 0
    out = capsys.readouterr().out
    for word in (*KINDS, *PREFABS, "none"):
        assert re.search(rf"(?<![\w-]){word}(?![\w-])", out), word
    help_text = " ".join(parameter.help for parameter in BY_NAME["sim"].parameters)
    assert fault_words.GRAMMAR in help_text and fault_words.PREFABS in help_text


def test_what_the_texts_show_is_understood(folder: Path) -> None:
    for line in re.findall(r"'([^']+)'", fault_words.GRAMMAR):
        assert parsed(line)
    for name in re.findall(r"[a-z0-9-]+(?=,| or)", fault_words.PREFABS.replace("'exponential(MTBF, MTTR)'", "")):
        assert parse_prefab(name) is not None
    (folder / "pipeline.yaml").write_text(PIPELINE.replace("node[1-6]", "node[01-32]"))
    shown = fault_words.FAULTS.partition("    groups:")[2].partition("\nevery:")[0]
    plans = "\n".join(line[4:] for line in ("    groups:" + shown).splitlines() if "trace:" not in line)
    plans = re.sub(r" {4,}a prefab.*", "", plans)
    loaded = load_scenario_text(f"pipeline: pipeline.yaml\n{plans}\n", folder / "night.yaml")
    assert len(loaded.scenario.plans) == 4
