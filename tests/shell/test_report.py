"""Goal: a report is one page that asks nobody for anything, says what came of the run and why, is the same for the same
run, and nothing foreign in it is markup; beside it CSV files whose sums are those of the run.

Method: small rehearsals by the command line; names that would be markup are put past the loader, which refuses them.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from array import array
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import pytest

from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.job import SECOND
from model.task import Limits, Periods, TaskDefinition
from shell.config.scenario import LoadedScenario
from shell.main import main
from shell.report import courses, drawing
from shell.report.again import made_by
from shell.report.assumptions import distribution_text
from shell.report.causes import causes
from shell.report.drawing import PALETTE
from shell.report.page import Told, page
from shell.report.spreads import dots, waits
from shell.simulate import rehearsal
from sim.distributions import Choice, Constant, Lognormal, Uniform
from sim.host_states import AWAY
from sim.measuring import Measuring
from sim.scenario import Fault, Kind, Scenario
from sim.simulation import simulate
from sim.timeline import Timeline

PIPELINE = """\
cluster:
  hosts: [{name: "node[1-2]", slots: 1}]
tasks:
  warp:
    command: [warp]
    host: {name: node2, required: true}
    periods: {exec: 1m, pending: 30m}
  other:
    command: [other]
    periods: {exec: 10m}
"""
SCENARIO = """\
title: "A <night> & more"
pipeline: pipeline.yaml
for: 2h
tasks: {warp: {run: {exponential: 35s}}}
faults: [node2 down 10m-50m]
expect: [max_pending < 5min, lost < 2]
"""
HOUR = 3600 * SECOND


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "night.yaml").write_text(SCENARIO)
    return tmp_path


@pytest.fixture(scope="module")
def page_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the night, made once."""
    folder = tmp_path_factory.mktemp("night")
    (folder / "pipeline.yaml").write_text(PIPELINE)
    (folder / "night.yaml").write_text(SCENARIO)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["sim", "night.yaml", "--report", "report.html"]) == 1
    return (folder / "report.html").read_text()


class Parsed(HTMLParser):
    """The page's tags, attributes and text, as a browser's parser sees them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.depth: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "br"):
            self.depth.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.depth.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def report(words: list[str]) -> Parsed:
    main(["sim", *words, "--report", "report.html"])
    return Parsed(Path("report.html").read_text())


def assert_asks_for_nothing(parsed: Parsed) -> None:
    """No script, no address, nothing that a browser would fetch or run."""
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form", "image"} & set(parsed.tags)
    for tag, name, value in parsed.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("href", "xlink:href", "src"):
            assert value.startswith("#"), (tag, name, value)
        assert "://" not in value or name.startswith("xmlns"), (tag, name, value)
        assert "url(" not in value or "url(#" in value, (tag, name, value)
    assert (
        "meta",
        "content",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    ) in (parsed.attributes)


def test_one_page_that_says_what_came_of_it(page_text: str) -> None:
    parsed = Parsed(page_text)
    assert parsed.depth == []
    assert_asks_for_nothing(parsed)
    text = " ".join(parsed.text.split())
    assert "A <night> & more" in text
    assert "2 h 00 simulated, seed 1: " in text
    assert "1 of 2 expectations not met" in text
    assert "Worst moment 00:" in text
    assert "which they require and which was away" in text
    assert re.search(r"throughput[0-9.]+/h", text)
    assert "tasks.warp.host pipeline.yaml:6" in text
    assert "run exponential, mean 35 s, exit 0" in text
    assert f"laulima sim night.yaml --for 2h --seed 1With {made_by()}." in text
    assert parsed.tags.count("figure") == parsed.tags.count("svg") == 6
    assert all(name in text for name in ("node2", "required host away", "age of the oldest, min", "PENDING_TIMEOUT"))


def test_the_same_run_gives_the_same_bytes(night: Path, page_text: str) -> None:
    first = subprocess.run(
        [sys.executable, "-m", "shell.main", "sim", "night.yaml", "--report", "first.html"],
        env={**os.environ, "PYTHONHASHSEED": "17", "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        cwd=night, capture_output=True, check=False, timeout=100,
    )  # fmt: skip
    assert first.returncode == 1, first.stderr
    assert (night / "first.html").read_text() == page_text


def test_pictures_have_the_page_s_colour_and_do_not_need_any(page_text: str) -> None:
    assert drawing.INK not in page_text
    assert page_text.count("currentColor") > 50
    assert not re.search(r"(fill|stroke): (#000000|black|#ffffff)", page_text.split("Outcomes:", maxsplit=1)[0])
    assert "prefers-color-scheme:dark" in page_text
    hatches = [look.hatch for look in drawing.PALETTE]
    assert len(set(hatches)) == len(hatches)
    looks = [drawing.look_of(number) for number in range(2 * len(drawing.PALETTE))]
    assert len({(look.colour, look.hatch) for look in looks}) == len(looks)
    assert "url(#h" in page_text  # hatches are there


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, timeout=60)


def test_a_report_names_the_commit_of_a_checkout_and_of_no_other_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    assert re.fullmatch(r"laulima [0-9.]+", made_by(checkout))
    git(tmp_path, "init")  # of somebody who has installed it there
    assert re.fullmatch(r"laulima [0-9.]+", made_by(checkout))
    git(checkout, "init")
    assert made_by(checkout).endswith("of a checkout whose commit git does not tell")
    (checkout / "code.py").write_text("pass\n")
    git(checkout, "add", "code.py")
    git(checkout, "commit", "-m", "first")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "nowhere"))
    assert re.fullmatch(r"laulima [0-9.]+, commit [0-9a-f]{12}", made_by(checkout))
    (checkout / "code.py").write_text("1 / 0\n")
    assert re.fullmatch(r"laulima [0-9.]+, commit [0-9a-f]{12} with changes", made_by(checkout))


def rows_of(name: str) -> list[dict[str, str]]:
    """Of a CSV file."""
    return list(csv.DictReader(Path(name).read_text().splitlines()))


NASTY = "</text></svg><script>alert('x')</script>$a$&amp;\x1b[31m"
SHORT = "<b>$a^b$&\x1b[1m"
"""Short enough to stand in a picture as a whole."""


def test_nothing_foreign_is_markup() -> None:
    tasks = (
        TaskDefinition(NASTY, command=("x",), periods=Periods(exec_ns=60 * SECOND), limits=Limits(total=5)),
        TaskDefinition(SHORT, command=("x",), periods=Periods(exec_ns=60 * SECOND)),
    )
    cluster = ClusterDefinition(hosts=(HostDefinition(NASTY), HostDefinition("node2")))
    scenario = Scenario(for_ns=HOUR, title=NASTY, faults=(Fault(Kind.DOWN, (NASTY,), HOUR // 4, HOUR // 4),))
    loaded = LoadedScenario(Configuration(NASTY, "/", tasks, cluster), scenario, datetime(2026, 1, 1, tzinfo=UTC))
    timeline, measuring = Timeline(), Measuring()
    result = simulate(loaded.configuration, scenario, readers=(timeline, measuring))
    answer = rehearsal(loaded, result, f"laulima sim {NASTY}")
    text = page(Told(loaded, answer, measuring.metrics(), timeline))
    parsed = Parsed(text)
    assert parsed.depth == []
    assert_asks_for_nothing(parsed)
    assert "</text></svg><script>alert('x')</script>$a$&amp;" in parsed.text  # shown as it is written
    assert "\x1b" not in parsed.text
    in_pictures = " ".join(re.findall(r"<text\b[^>]*>(.*?)</text>", text, re.DOTALL))
    assert "&lt;b&gt;$a^b$&amp;\\x1b[1m" in in_pictures


RACKS = """\
pipeline: pipeline.yaml
for: 2h
groups: {left: "node[1,3]", right: "node[2,4]", all: [left, right]}
tasks: {warp: {run: 90s}, other: {run: 5m}}
faults: [left down 20m-40m, node4 down 1h-80m]
"""


def test_hosts_stand_by_their_racks_and_a_task_has_one_colour_in_all_pictures(night: Path) -> None:
    (night / "pipeline.yaml").write_text(PIPELINE.replace("node[1-2]", "node[1-5]"))
    (night / "racks.yaml").write_text(RACKS)
    parsed = report(["racks.yaml"])
    text = (night / "report.html").read_text()
    where, *_, away = re.findall(r"<svg\b.*?</svg>", text, re.DOTALL)
    words = [re.findall(r"<text\b[^>]*>(?:<tspan[^>]*>)?([^<]+)", one) for one in (where, away)]
    rows = [[word for word in found if word.startswith("node")] for found in words]
    assert rows[0] == ["node5", "node4", "node2", "node3", "node1"]  # from below
    assert rows[1] == ["node4", "node3", "node1"]
    assert "at once, most 2" in words[1]
    assert {"left", "right", "in no group"} <= set(words[0])
    assert "all" not in words[0]
    assert "Open at the end:" in parsed.text
    assert "(running, " in parsed.text
    assert "nothing is cut off" in parsed.text


def test_colours_follow_the_order_of_tasks() -> None:
    """`small` has the most jobs and stands first in the picture, but is the second task."""
    found = {"large": array("q", [SECOND]), "small": array("q", [SECOND, 2 * SECOND])}
    svg, _ = waits(found, {}, ["large", "small"])
    first, second = (drawing.PALETTE[at].colour.lower() for at in (0, 1))
    lines = re.findall(
        r'<path d="[^"]*" clip-path="[^"]*" style="fill: none;(?: stroke-dasharray: [^;]*;)?[^"]*?stroke: (#[0-9a-f]+)',
        svg,
    )
    assert lines[:2] == [second, first]


def test_many_worlds_and_a_comparison_are_on_the_page(night: Path) -> None:
    words = ["night.yaml", "--seeds", "1-4", "--set", "tasks.warp.host={name: node2, wait: 1m}"]
    parsed = report([*words, "--against", "night.yaml", "--csv", "out"])
    assert_asks_for_nothing(parsed)
    text = " ".join(parsed.text.split())
    assert "of 4 worlds failed (95 %: " in text
    assert "4 worlds: each seed a dot" in text
    assert "Right: the paired difference" in text
    assert "night.yaml --set tasks.warp.host={name: node2, wait: 1m} against night.yaml" in text
    assert "--seeds 1-4 --set 'tasks.warp.host={name: node2, wait: 1m}' --against night.yaml" in text
    assert parsed.tags.count("svg") == 7
    rows = rows_of("out/worlds.csv")
    assert [(row["arm"], row["seed"]) for row in rows] == [
        (arm, str(seed)) for arm in ("this", "baseline") for seed in range(1, 5)
    ]
    compared = {row["figure"]: row for row in rows_of("out/comparison.csv")}
    assert float(compared["max_wait"]["difference"]) < 0


def test_the_numbers_behind_the_pictures(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["sim", "night.yaml", "--csv", "out"])
    assert "wrote out: figures.csv" in capsys.readouterr().err
    assert not Path("report.html").exists()
    figures = {row["figure"]: row["value"] for row in rows_of("out/figures.csv")}
    outcomes = rows_of("out/outcomes.csv")
    assert sum(int(row["jobs"]) for row in outcomes if row["outcome"] != "open") == int(figures["ended"])
    slots = rows_of("out/slots.csv")
    used = sum(
        (float(row["end"]) - float(row["start"]))
        * sum(float(row[name]) for name in ("good", "rejected", "lost", "running"))
        for row in slots
    )
    assert used == pytest.approx(float(figures["utilization_nominal"]) * 2 * 7200, rel=1e-6)
    for row in slots:
        parts = ("good", "rejected", "lost", "running", "free", "closed", "unreached", "without power")
        assert sum(float(row[name]) for name in parts) == pytest.approx(float(row["slots"])) == 2.0, row
    assert float(figures["hosts.node2.mttr"]) == 2400.0
    jobs = rows_of("out/jobs-on-hosts.csv")
    assert {row["host"] for row in jobs if row["task"] == "warp"} == {"node2"}
    assert sum(row["verdict"] == "good" for row in jobs) == sum(
        int(row["jobs"]) for row in outcomes if row["outcome"] == "exit 0"
    )
    (away,) = rows_of("out/away.csv")
    assert (away["host"], float(away["start"]), float(away["end"])) == ("node2", 600.0, 3000.0)


def test_a_run_without_faults_and_without_jobs_has_a_page(night: Path) -> None:
    (night / "pipeline.yaml").write_text("cluster:\n  hosts: [{name: node1}]\ntasks: {}\n")
    parsed = report(["pipeline.yaml", "--for", "1s"])
    assert parsed.depth == []
    assert "Nothing: no job waited for long" in parsed.text


def test_without_matplotlib_nothing_is_simulated(
    night: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drawing, "find_spec", lambda _: None)
    for more in ([], ["--seeds", "1-2"]):
        assert main(["sim", "night.yaml", "--report", "report.html", *more]) == 1
        said = capsys.readouterr()
        assert "pip install 'laulima[report]'" in said.err
        assert said.out == ""


def test_a_place_that_cannot_be_written_is_told(night: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "night.yaml", "--for", "1m", "--report", "missing/report.html"]) == 1
    assert "missing/report.html cannot be written" in capsys.readouterr().err


def test_what_hurt_most_stands_first_with_its_line(night: Path) -> None:
    timeline = Timeline()
    timeline.hurt["warp", "required host away", "node2"] = 30 * HOUR
    timeline.hurt["warp", "no free slot", "node2"] = 90 * HOUR
    timeline.hurt["other", "no free slot", ""] = 9 * HOUR
    timeline.hurt["other", "to be tried again", ""] = SECOND
    measuring = Measuring()
    found = causes(timeline, measuring.metrics(), str(night / "pipeline.yaml"))
    assert [(cause.what.split(" in all")[0], cause.where.split()[0]) for cause in found] == [
        ("jobs of warp waited 90 h", "tasks.warp.host"),
        ("jobs of warp waited 30 h", "tasks.warp.host.when_down"),
        ("jobs of other waited 9 h", "cluster.hosts"),
    ]
    assert found[1].where == "tasks.warp.host.when_down   pipeline.yaml:6 (not set there)"


def test_distributions_in_words() -> None:
    assert distribution_text(Constant(5 * SECOND)) == "5 s"
    assert distribution_text(Uniform(SECOND, 5 * SECOND)) == "uniform, low 1 s, high 5 s"
    assert distribution_text(Lognormal(30 * SECOND, 0.8)) == "lognormal, median 30 s, sigma 0.8"
    assert distribution_text(Choice((SECOND, 2 * SECOND), (0.5, 0.5))).startswith("choice, values 1 s, 2 s")


STATES = """\
pipeline: pipeline.yaml
for: 2h
faults: [node1 down 20m-40m, node2 silent 20m-40m, node3 suspended 20m-40m, node4 lost 20m-40m]
"""


def test_what_keeps_a_host_from_working_is_told_apart_with_and_without_colour(night: Path) -> None:
    (night / "pipeline.yaml").write_text(PIPELINE.replace("node[1-2]", "node[1-6]"))
    (night / "states.yaml").write_text(STATES)
    report(["states.yaml", "--set", "hosts.node5=drain", "--set", "hosts.node6=off"])
    pictures = re.findall(r"<figure>.*?</figure>", (night / "report.html").read_text(), re.DOTALL)
    text = " ".join(Parsed(pictures[0]).text.split())
    for name, drawn in (
        ("without power", "hatched"), ("agent silent", "plain grey"), ("suspended", "upright lines"),
        ("cut off", "hatched the other way"), ("drained", "dotted"), ("switched off", "rings"),
    ):  # fmt: skip
        assert text.count(name) == 2, name  # in the legend, and in the caption
        assert f"{drawn}: {name}" in text
    without_colour = [(look.hatch, look.opacity) for _, _, look in dict.fromkeys(courses.STATES.values())]
    assert len({hatch for hatch, _ in without_colour}) == len(without_colour) == 7
    assert set(courses.STATES) >= AWAY
    slots = " ".join(Parsed(pictures[1]).text.split())
    for name in ("free", "empty, and drained or off", "empty, and not to be reached", "without power"):
        assert slots.count(name) == 1, name  # in the legend
    layers = (drawing.USEFUL, drawing.BAD, drawing.LOST, drawing.FREE, drawing.CLOSED, drawing.UNREACHED, drawing.DOWN)
    assert len({(look.hatch, look.opacity) for look in layers}) == len(layers)
    (through,) = [opacity for hatch, opacity in without_colour if not hatch]
    assert through < 0.5  # jobs go on below a silent agent, and are seen


def test_only_what_there_was_is_in_the_legend(page_text: str) -> None:
    first = re.findall(r"<figure>.*?</figure>", page_text, re.DOTALL)[0]
    text = " ".join(Parsed(first).text.split())
    assert "over a host's row, hatched: without power." in text
    assert "silent" not in text
    assert "drained" not in text


def test_a_job_of_several_slots_is_as_high_as_these() -> None:
    lanes: list[int] = []
    assert courses.taken_lanes(lanes, 2, 0, 10) == [(0, 2)]
    assert courses.taken_lanes(lanes, 1, 0, 5) == [(2, 1)]
    assert courses.taken_lanes(lanes, 1, 0, 10) == [(3, 1)]
    assert courses.taken_lanes(lanes, 3, 5, 8) == [(2, 1), (4, 2)], "in pieces around the one that still runs"
    assert courses.taken_lanes(lanes, 6, 10, 20) == [(0, 6)]
    assert lanes == [20] * 6


def test_ages_are_read_in_a_unit_of_their_size() -> None:
    units = [courses.age_unit(minutes) for minutes in (0.0, 179.0, 180.0, 2700.0, 4320.0)]
    assert units == [("min", 1), ("min", 1), ("h", 60), ("h", 60), ("d", 1440)]


def test_the_median_and_the_bar_of_seeds_are_those_of_the_tables() -> None:
    """Of two seeds the median is between them, not the larger one."""
    lines: list[list[float]] = []

    class Recording:
        def plot(self, xs: list[float], *_: object, **__: object) -> None:
            lines.append(list(xs))

    dots(cast("Any", Recording()), 0.0, [10.0, 20.0], (10.0, 20.0), PALETTE[0], "o")
    assert lines == [[0.0, 1.0], [0.5], [0.0, 1.0]]
