"""Goal: queues and books cost the same however much is in them, and a look-up by key does not look at everything.
Method: the command functions themselves, without parser and interpreter. What must not grow is measured small and large
in turns in one run, and the ratio is judged; rates are kept as figures, with a bare deque as the baseline.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import Figure
from shell.language.calls import Call
from shell.language.commands.books import book
from shell.language.commands.queues import pop, push
from shell.language.language import Language
from shell.language.tree import Position

SMALL, LARGE = 100, 1_000_000
PAGES_SMALL, PAGES_LARGE = 100, 100_000
STEPS = 2_000
"""Commands in one measurement."""
ROUNDS = 15
GROWTH_MOST = 4.0
"""How much more a command may cost with 10,000 (1,000) times as many entries (pages). Caches are smaller than a million
lines, so it is not 1; were anything linear, it would be hundreds."""
AT = Position("bench", 1, 1)


def language() -> tuple[Language, Any]:
    made = Language({}, "/", 1, lambda: None)
    variables = made.variables
    return made, SimpleNamespace(number=1, session=0, get=variables.get, set=variables.__setitem__)


def queue_of(size: int) -> tuple[Language, Any]:
    made, run = language()
    queue = made.queues.make("q")
    for number in range(size):
        queue.push(f"{number} line")
    return made, run


def book_of(pages: int) -> tuple[Language, Any]:
    made, run = language()
    filled = made.books.make("b")
    for number in range(pages):
        filled.set_word(filled.make(f"p{number}"), "state", "INIT")
    return made, run


def push_and_pop(made: Language, run: Any, size: int) -> None:
    for _ in range(STEPS // 2):
        push(Call(made, run, AT, ["queuepush", "q", "some line"]))
        pop(Call(made, run, AT, ["queuepop", "q", "-var", "line"]))
    assert len(made.queues.find("q")) == size


def pop_by_key(made: Language, run: Any, size: int) -> None:
    """Takes one from the middle and puts it at the end."""
    for number in range(STEPS // 2):
        key = str(size // 2 + number % (size // 2))
        pop(Call(made, run, AT, ["queuepop", "q", "-var", "line", "-key", "0", key]))
        assert run.get("line") == f"{key} line"
        push(Call(made, run, AT, ["queuepush", "q", f"{key} line"]))


def walk_by_state(made: Language, run: Any, size: int) -> None:
    """What a run task and its exit macro do: the first page that is INIT becomes RUN, and INIT again."""
    for _ in range(STEPS // 4):
        book(Call(made, run, AT, ["book", "getpage", "b", "0", "-var", "page", "-key", "state", "INIT"]))
        book(Call(made, run, AT, ["book", "setword", "b", run.get("page"), "state", "RUN"]))
        book(Call(made, run, AT, ["book", "npages", "b", "-var", "left", "-key", "state", "INIT"]))
        assert (run.get("page"), run.get("left")) == ("p0", size - 1)
        book(Call(made, run, AT, ["book", "setword", "b", "p0", "state", "INIT"]))


def seconds(action: Callable[[], None]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


@pytest.mark.benchmark(group="language data")
@pytest.mark.parametrize(
    ("name", "fill", "sizes", "work"),
    [
        ("queuepush and queuepop", queue_of, (SMALL, LARGE), push_and_pop),
        ("queuepop -key", queue_of, (SMALL, LARGE), pop_by_key),
        ("book getpage -key, setword, npages -key", book_of, (PAGES_SMALL, PAGES_LARGE), walk_by_state),
    ],
    ids=["queue", "queue by key", "book by key"],
)
def test_the_cost_does_not_grow_with_what_is_there(
    benchmark: BenchmarkFixture,
    figure: Figure,
    name: str,
    fill: Callable[[int], tuple[Language, Any]],
    sizes: tuple[int, int],
    work: Callable[[Language, Any, int], None],
) -> None:
    small, large = ((*fill(size), size) for size in sizes)
    work(*small)  # the indexes are built at the first look-up
    work(*large)
    spent: list[float] = []
    ratios: list[float] = []

    def one_round() -> None:
        little = seconds(lambda: work(*small))
        spent.append(seconds(lambda: work(*large)))
        ratios.append(spent[-1] / little)

    benchmark.pedantic(one_round, rounds=ROUNDS)  # type: ignore[no-untyped-call]
    rate, ratio = STEPS / statistics.median(spent), statistics.median(ratios)
    benchmark.extra_info.update(commands_a_second=round(rate), ratio_to_small=round(ratio, 2))
    figure(
        f"commands, {name}",
        f"{rate:,.0f}/s with {sizes[1]:,} there, {ratio:.1f} times the cost with {sizes[0]}",
        f"at most {GROWTH_MOST:g} times",
    )
    assert ratio <= GROWTH_MOST


@pytest.mark.benchmark(group="language data")
def test_what_a_recorded_run_changes_is_undone_as_fast_as_it_was_done(
    benchmark: BenchmarkFixture, figure: Figure
) -> None:
    made, run = queue_of(LARGE)
    gc.collect()  # as in a server, where so long a queue is no news to the collector
    queue = made.queues.find("q")
    shares: list[float] = []
    undoing: list[float] = []

    def one_round() -> None:
        plain = seconds(lambda: push_and_pop(made, run, LARGE))
        before = (len(queue), next(iter(queue)))
        made.changes.begin(1)
        made.changes.current = 1
        recorded = seconds(lambda: push_and_pop(made, run, LARGE))
        undoing.append(seconds(lambda: made.changes.undo(1)) / plain)
        made.changes.current = 0
        shares.append(recorded / plain)
        assert (len(queue), next(iter(queue))) == before

    benchmark.pedantic(one_round, rounds=ROUNDS)  # type: ignore[no-untyped-call]
    share, undone = statistics.median(shares), statistics.median(undoing)
    figure(
        "commands of a recorded run, queuepush and queuepop",
        f"{share:.1f} times the cost of one that is not; undoing them {undone:.1f} times",
        f"at most {GROWTH_MOST:g} times",
    )
    assert max(share, undone) <= GROWTH_MOST


@pytest.mark.benchmark(group="language data")
def test_a_queue_against_a_bare_deque(benchmark: BenchmarkFixture, figure: Figure) -> None:
    made, run = queue_of(LARGE)
    bare = deque(made.queues.find("q"))
    ratios: list[float] = []

    def bare_work() -> None:
        for _ in range(STEPS // 2):
            bare.append("some line")
            run.set("line", bare.popleft())

    def one_round() -> None:
        spent = seconds(lambda: push_and_pop(made, run, LARGE))
        ratios.append(spent / seconds(bare_work))

    benchmark.pedantic(one_round, rounds=ROUNDS)  # type: ignore[no-untyped-call]
    figure(
        "commands, queuepush and queuepop against a deque", f"{statistics.median(ratios):.1f} times a deque's cost", ""
    )
