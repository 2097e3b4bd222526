"""Goal: what many worlds say together is right: summaries, the worst seed, and which differences are larger than noise.

Method: invented worlds whose answer is known; and real ones, which must be those that a run of the seed alone gives.
"""

from __future__ import annotations

from random import Random

from model.configuration import Configuration
from model.job import SECOND
from sim.expectations import Judged
from sim.many import Comparison, Drawn, compare, draw, names_of, summaries, worst_world
from sim.scenario import Comparison as Sign
from sim.scenario import Scenario, Wanted
from sim.simulation import simulate
from sim.swarm import swarm


def world(seed: int, *, unmet: int = 0, broken: int = 0, error: str = "", **figures: float | None) -> Drawn:
    judged = tuple(Judged("lost ==", "count", 0, 1, held=False) for _ in range(unmet))
    return Drawn(seed, broken=broken, judged=judged, figures=figures, error=error)


def worlds_of(name: str, values: list[float]) -> list[Drawn]:
    return [world(seed, **{name: value}) for seed, value in enumerate(values)]


def compared(first: list[Drawn], baseline: list[Drawn]) -> dict[str, Comparison]:
    return {line.figure: line for line in compare(first, baseline)}


def test_a_figure_over_seeds() -> None:
    (line,) = summaries([world(1, p95_wait=3.0), world(2, p95_wait=9.0), world(3, p95_wait=None)])
    assert (line.summary.median, line.summary.low, line.summary.high) == (6.0, 3.0, 9.0)
    assert (line.worst, line.undefined) == (2, 1)


def test_worse_is_less_where_more_is_better_and_nothing_where_neither_is() -> None:
    lines = {
        line.figure: line.worst
        for line in summaries([world(1, goodput=0.5, attempts=4.0), world(2, goodput=0.4, attempts=5.0)])
    }
    assert lines == {"goodput": 2, "attempts": None}


def test_the_world_to_look_at_first() -> None:
    calm, slow, unmet = world(1, p95_wait=1.0), world(2, p95_wait=9.0), world(3, p95_wait=2.0, unmet=1)
    broken = world(4, p95_wait=0.0, broken=1)
    assert worst_world([calm, slow]) is slow
    assert worst_world([calm, slow, unmet]) is unmet
    assert worst_world([calm, broken, slow, unmet]) is broken
    assert worst_world([calm, world(5, p95_wait=1.0)]) is calm


def test_a_difference_that_all_seeds_show_is_larger_than_the_noise_of_the_worlds() -> None:
    """Each arm varies by 100, the difference by 1: only pairs tell it."""
    chance = Random(3)
    weather = [chance.gauss(1000, 100) for _ in range(20)]
    slower = [value + 5 + chance.gauss(0, 1) for value in weather]
    line = compared(worlds_of("p95_wait", slower), worlds_of("p95_wait", weather))["p95_wait"]
    assert line.verdict == "worse"
    assert line.interval is not None
    assert 4 < line.interval.low < line.interval.high < 6
    assert line.gain is not None
    assert line.gain > 1000


def test_luck_is_called_luck() -> None:
    chance = Random(5)
    found = {"worse": 0, "better": 0, "": 0}
    for _ in range(300):
        values = [[chance.gauss(0, 1) for _ in range(12)] for _ in range(2)]
        found[compared(worlds_of("p95_wait", values[0]), worlds_of("p95_wait", values[1]))["p95_wait"].verdict] += 1
    assert 2 <= found["worse"] + found["better"] <= 28  # 5 % of 300 is 15


def test_of_many_figures_none_stands_out_by_luck() -> None:
    chance = Random(9)
    names = [f"tasks.t{number}.p95_wait" for number in range(20)]
    wrong = 0
    for _ in range(40):
        arms = [[world(seed, **{name: chance.gauss(0, 1) for name in names}) for seed in range(12)] for _ in range(2)]
        wrong += any(line.verdict for line in compare(arms[0], arms[1]))
    assert wrong <= 7  # 5 % of 40 is 2; without regard to their number it would be 64 %: 26


def test_equal_worlds_do_not_differ_and_one_pair_decides_nothing() -> None:
    same = worlds_of("p95_wait", [1.0, 2.0, 3.0])
    assert compared(same, same)["p95_wait"].verdict == "same"
    assert compared(same[:1], worlds_of("p95_wait", [9.0]))["p95_wait"].verdict == ""


def test_the_same_small_count_in_two_seeds_is_no_difference_yet() -> None:
    """Of equal worlds two seeds differ alike in some count in one of four comparisons."""
    chance, wrong = Random(7), 0
    for _ in range(200):
        arms = [
            [
                world(seed, **{name: float(chance.randrange(3)) for name in ("lost", "failed", "open", "ended")})
                for seed in range(2)
            ]
            for _ in range(2)
        ]
        wrong += any(line.verdict not in ("", "same") for line in compare(arms[0], arms[1]))
    assert wrong <= 0.05 * 200


def test_only_seeds_that_both_have_are_pairs() -> None:
    line = compared(worlds_of("queue_max", [1.0, 2.0, 3.0, 4.0]), worlds_of("queue_max", [2.0, 3.0]))["queue_max"]
    assert (line.seeds, line.pairs, line.difference) == (2, 2, -1.0)


def test_seeds_without_the_figure_are_no_pairs_and_are_counted() -> None:
    this = [world(1, p95_wait=3.0, oldest=1.0), world(2, p95_wait=None, oldest=2.0), world(3, error="a bug")]
    other = [world(1, p95_wait=1.0, oldest=None), world(2, p95_wait=None, oldest=None), world(3, p95_wait=2.0)]
    found = compared(this, other)
    assert (found["p95_wait"].seeds, found["p95_wait"].pairs, found["p95_wait"].difference) == (2, 1, 2.0)
    assert (found["oldest"].seeds, found["oldest"].pairs, found["oldest"].difference) == (2, 0, None)


def test_better_is_lower_for_waits_and_higher_for_goodput() -> None:
    low, high = [0.1, 0.11, 0.12, 0.1], [0.5, 0.52, 0.53, 0.51]
    assert compared(worlds_of("goodput", high), worlds_of("goodput", low))["goodput"].verdict == "better"
    assert compared(worlds_of("lost_work", high), worlds_of("lost_work", low))["lost_work"].verdict == "worse"
    assert compared(worlds_of("all_up", high), worlds_of("all_up", low))["all_up"].verdict == "more"


def test_a_drawn_world_is_that_of_its_seed() -> None:
    configuration, scenario = swarm(11)
    names = names_of(scenario, [task.name for task in configuration.tasks])
    drawn = draw(configuration, scenario, 12, names)
    assert drawn.hash == simulate(configuration, _with_seed(scenario, 12)).hash
    assert drawn.hash != simulate(configuration, _with_seed(scenario, 13)).hash
    assert drawn.figures["ended"] == drawn.jobs


def _with_seed(scenario: Scenario, seed: int) -> Scenario:
    fields = {name: getattr(scenario, name) for name in scenario.__struct_fields__}
    return Scenario(**{**fields, "seed": seed})


def test_figures_that_are_expected_are_kept_and_judged() -> None:
    wanted = (Wanted("queue_max", Sign.EQUAL, 0), Wanted("exit_7", Sign.EQUAL, 0))
    scenario = Scenario(for_ns=10 * SECOND, wanted=wanted)
    assert names_of(scenario, ["a", "b"])[-5:] == (
        "exit_7", "tasks.a.p95_wait", "tasks.a.failed", "tasks.b.p95_wait", "tasks.b.failed",
    )  # fmt: skip
    drawn = draw(Configuration("empty", "/"), scenario, 3, names_of(scenario, []))
    assert drawn.good
    assert [one.found for one in drawn.judged] == [0, 0]
