"""Goal: scripts of thousands of statements between two events cost little: loops, queue statements, macro calls.

Method: each script runs 100,000 passes in the interpreter itself (no machine, no driver). In turns with it a loop in
Python does what the script says with the same dictionaries. The figure is the best rate of the rounds and how many
times the Python loop's time that takes; the ratio is what is judged, the rate is what people compare. Wanted on an idle
machine: 100,000 loop bodies with one assignment and one comparison, 200,000 queue statements a second.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from shell.language.commands.table import COMMANDS
from shell.language.compiling import compile_text
from shell.language.interpreter import run_body
from shell.language.language import Language
from shell.language.runs import SLICE, Run, RunKind

PASSES = 100_000
ROUNDS = 5

pytestmark = pytest.mark.timeout(120)


def scripted(text: str) -> float:
    """Seconds that a script takes."""
    language = Language({command.name: command for command in COMMANDS}, "/", 1, lambda: None)
    body = compile_text(text, "benchmark.pro")
    run = Run(language, 1, 0, RunKind.SESSION)
    steps = run_body(language, run, body)
    before = time.perf_counter()
    for asked in steps:
        assert asked is SLICE, "a script that measures itself must not wait"
    seconds = time.perf_counter() - before
    assert language.variables["STATUS"] == 1, language.effects
    return seconds


def measured(
    benchmark: BenchmarkFixture,
    figure: Figure,
    text: str,
    plain: Callable[[], None],
    what: str,
    count: int,
    most: float,
) -> None:
    """Run script and Python loop in turns; `most`: times the Python loop's time that the script may take."""
    seconds: list[float] = []
    bare: list[float] = []

    def one_round() -> None:
        before = time.perf_counter()
        plain()
        bare.append(time.perf_counter() - before)
        seconds.append(scripted(text))

    benchmark.pedantic(one_round, rounds=ROUNDS)  # type: ignore[no-untyped-call]
    ratio = min(seconds) / min(bare)
    rate = count / min(seconds)
    benchmark.extra_info.update(rate=round(rate), ratio_to_python=round(ratio, 1))
    figure(f"language, {what}", f"{rate:,.0f}/s, {ratio:.0f} times a Python loop", f"at most {most:.0f} times")
    assert ratio <= most


def count_up() -> None:
    variables: dict[str, int] = {}
    for number in range(PASSES):
        variables["x"] = number + 1
        if variables["x"] == 3:
            variables["y"] = 2


def push() -> None:
    queue: deque[str] = deque()
    for number in range(PASSES):
        queue.append(str(number))


def push_and_pop() -> None:
    queue: deque[str] = deque()
    variables: dict[str, str] = {}
    for number in range(PASSES):
        queue.append(f"a {number}")
        variables["line"] = queue.popleft()


def call() -> None:
    variables: dict[str, str] = {}

    def macro(*arguments: str) -> None:
        variables["y"] = arguments[1]

    for number in range(PASSES):
        macro("m", str(number))


@pytest.mark.benchmark(group="language")
def test_loop_bodies(benchmark: BenchmarkFixture, figure: Figure) -> None:
    text = f"for i 0 {PASSES}\n$x = $i + 1\nif ($x == 3) $y = 2\nend"
    measured(benchmark, figure, text, count_up, "loop bodies of an assignment and a comparison", PASSES, 80)


@pytest.mark.benchmark(group="language")
def test_queue_pushes(benchmark: BenchmarkFixture, figure: Figure) -> None:
    measured(benchmark, figure, f"for i 0 {PASSES}\nqueuepush q $i\nend", push, "queuepush in a loop", PASSES, 80)


@pytest.mark.benchmark(group="language")
def test_queue_pushes_and_pops(benchmark: BenchmarkFixture, figure: Figure) -> None:
    text = f'for i 0 {PASSES}\nqueuepush q "a $i"\nqueuepop q -var line\nend'
    measured(benchmark, figure, text, push_and_pop, "queuepush and queuepop in a loop", 2 * PASSES, 80)


@pytest.mark.benchmark(group="language")
def test_macro_calls(benchmark: BenchmarkFixture, figure: Figure) -> None:
    text = f"macro mm\n$y = $1\nend\nfor i 0 {PASSES}\nmm $i\nend"
    measured(benchmark, figure, text, call, "macro calls", PASSES, 80)
