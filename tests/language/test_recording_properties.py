"""Goal: what is recorded of runs comes to the data that they leave, in whatever order they go on, end, or are undone;
and while some are not over, nothing that others have done for good is missing.

Method: Hypothesis lets three runs change queues, books and variables in turns, as commands would; after each end the
records go through bytes into recovery's fold, which is compared with what the language has, or with what must be there.
A second fold is fed from a snapshot that is taken at a random moment, and lines and words are cut into small records.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model import snapshot
from model.records import Record
from model.restored import Fold, fold
from shell.language import recording
from shell.language.language import Language
from shell.language.laying_over import lay_over
from shell.language.recording import stored
from shell.language.runs import Run, RunKind

NAMES = st.sampled_from(["q", "r"])
LINES = st.sampled_from(["1 a", "1 b", "2 a", "ä"])
COLUMNS = st.sampled_from([(-1,), (0,)])
KEYS = st.sampled_from(["1", "2", "1 a"])
PAGES = st.sampled_from(["p", "s"])
WORDS = st.sampled_from(["state", "host"])
VALUES = st.sampled_from(["INIT", "RUN"])
STEPS = st.one_of(
    st.tuples(st.just("push"), NAMES, LINES),
    st.tuples(st.just("push"), NAMES, LINES),
    st.tuples(st.just("pop"), NAMES),
    st.tuples(st.just("pop_key"), NAMES, COLUMNS, KEYS),
    st.tuples(st.just("push_replacing"), NAMES, LINES, COLUMNS),
    st.tuples(st.just("substitute"), NAMES, st.just("a"), st.just("b")),
    st.tuples(st.just("queueinit"), NAMES),
    st.tuples(st.just("queuedelete"), NAMES),
    st.tuples(st.just("page"), NAMES, PAGES),
    st.tuples(st.just("word"), NAMES, PAGES, WORDS, VALUES),
    st.tuples(st.just("word"), NAMES, PAGES, WORDS, VALUES),
    st.tuples(st.just("delpage"), NAMES, PAGES),
    st.tuples(st.just("shuffle"), NAMES),
    st.tuples(st.just("bookinit"), NAMES),
    st.tuples(st.just("bookdelete"), NAMES),
    st.tuples(st.just("set"), st.sampled_from(["x", "y"]), st.sampled_from([1, "1", "two"])),
    st.tuples(st.just("unset"), st.sampled_from(["x", "y"])),
    st.tuples(st.sampled_from(["close", "close", "undo", "flush"])),
)
PLANS = st.lists(st.tuples(st.integers(0, 2), STEPS), max_size=40)
RUNS = 3


class Rig:
    """A language, three places for runs, and recovery's fold of what they recorded."""

    def __init__(self) -> None:
        self.language = Language({}, "/", 1, lambda: None)
        self.language.queues.push("q", "1 a")
        self.language.books.make("q").make("p")
        self.language.variables["x"] = 1
        self.fold = Fold()
        self.other: Fold | None = None
        """began with a snapshot"""
        self.runs: list[Run | None] = [None] * RUNS
        self._numbers = 0
        self.take(lay_over(self.language, None))

    def take(self, records: tuple[Record, ...]) -> None:
        decode = msgspec.msgpack.Decoder(Record).decode
        for record in records:
            for one in (self.fold, self.other):
                if one is not None:
                    one.add(decode(msgspec.msgpack.encode(record)))

    def snapshot(self) -> None:
        self.other = fold(snapshot.say(self.fold.scheduler, self.fold.controller))

    def step(self, place: int, step: tuple[Any, ...]) -> None:
        verb, *arguments = step
        run = self.runs[place]
        recorder, changes = self.language.recorder, self.language.changes
        if verb in ("close", "undo", "flush"):
            if run is not None:
                changes.current = run.number
                self.take(getattr(recorder, verb)(run))
                self.runs[place] = run if verb == "flush" else None
            return
        if run is None:
            self._numbers += 1
            run = self.runs[place] = Run(self.language, self._numbers, 0, RunKind.TASK)
            recorder.open(run, undone=True)
        changes.current = run.number
        self.change(run, verb, *arguments)

    def change(self, run: Run, verb: str, name: str, *arguments: Any) -> None:
        queues, books = self.language.queues, self.language.books
        if verb == "set":
            run.set(name, arguments[0])
        elif verb == "unset":
            run.unset(name)
        elif verb == "queueinit":
            queues.init(name)
        elif verb == "queuedelete":
            queues.delete(name)
        elif verb in ("push", "push_replacing"):
            getattr(queues.make(name), verb)(*arguments)
        elif verb in ("pop", "pop_key", "substitute"):
            queue = queues.get(name)
            if queue is not None:
                getattr(queue, verb)(*arguments)
        elif verb == "page":
            books.make(name).make(arguments[0])
        elif verb == "bookinit":
            books.init(name)
        elif verb == "bookdelete":
            books.delete(name)
        elif (book := books.get(name)) is not None:
            page = None if verb == "shuffle" else book.get(arguments[0])
            if verb == "shuffle":
                book.shuffle(Random(1))
            elif page is not None and verb == "word":
                book.set_word(page, *arguments[1:])
            elif page is not None:
                book.delete_page(page)

    def play(self, plan: list[tuple[int, tuple[Any, ...]]], snapshot_at: int = -1) -> Iterator[None]:
        for number, (place, step) in enumerate(plan):
            if number == snapshot_at:
                self.snapshot()
            self.step(place, step)
            yield

    def close_all(self) -> None:
        for place in range(RUNS):
            self.step(place, ("close",))

    @property
    def known(self) -> Any:
        """What the language has."""
        language = self.language
        queues = {queue.name: list(queue.entries().items()) for queue in language.queues}
        books = {book.name: [(page.key, page.name, page.words) for page in book] for book in language.books}
        return queues, books, {name: stored(language.variables.get(name)) for name in ("x", "y")}


def kept(folded: Fold) -> Any:
    """What a restart would bring back."""
    data = folded.scheduler.scripts
    by_number = sorted(data.queues.items(), key=lambda pair: pair[1].number)
    queues = {name: sorted(queue.lines.items()) for name, queue in by_number if not queue.gone}
    books = {
        name: [
            (page.key, title, page.words) for title, page in sorted(book.pages.items(), key=lambda pair: pair[1].order)
        ]
        for name, book in sorted(data.books.items(), key=lambda pair: pair[1].number)
        if not book.gone
    }
    initial = {"x": 1, "y": None}
    variables = {name: data.variables[name].value if name in data.variables else initial[name] for name in initial}
    return queues, books, variables


def in_order(state: Any) -> Any:
    """With the order of queues and books."""
    return list(state[0]), list(state[1]), state


@pytest.fixture(autouse=True)
def small_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "PART_ENTRIES", 3)
    monkeypatch.setattr(snapshot, "PART_ENTRIES", 3)


@settings(max_examples=300)
@given(PLANS, st.integers(0, 40))
def test_when_all_runs_are_over_the_records_come_to_what_the_language_has(plan: list[Any], snapshot_at: int) -> None:
    rig = Rig()
    for _ in rig.play(plan, snapshot_at):
        pass
    rig.close_all()
    assert in_order(kept(rig.fold)) == in_order(rig.known)
    if rig.other is not None:
        assert in_order(kept(rig.other)) == in_order(rig.known)
        assert rig.other.scheduler.scripts == rig.fold.scheduler.scripts


@settings(max_examples=200)
@given(PLANS)
def test_one_run_after_the_other_the_records_come_to_the_data_at_each_end(plan: list[Any]) -> None:
    rig = Rig()
    for _, step in plan:
        rig.step(0, step)
        if step[0] in ("close", "flush", "undo"):
            rig.step(0, ("close",))
            assert in_order(kept(rig.fold)) == in_order(rig.known)


@settings(max_examples=200)
@given(PLANS)
def test_a_restart_brings_back_what_was_recorded_with_the_numbers_by_which_it_is_known(plan: list[Any]) -> None:
    rig = Rig()
    for _ in rig.play(plan):
        pass
    rig.close_all()
    again = Language({}, "/", 1, lambda: None)
    again.queues.push("q", "1 a")
    again.books.make("q").make("p")
    again.variables["x"] = 1
    before, rig.language = rig.known, again
    rig.take(lay_over(again, rig.fold.scheduler.scripts))
    assert in_order(rig.known) == in_order(before)
    assert in_order(kept(rig.fold)) == in_order(before)
    for place, step in plan:
        rig.step(place, step)
    rig.close_all()
    assert in_order(kept(rig.fold)) == in_order(rig.known)


PUSHES = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["push", "pop", "close", "undo"])), max_size=40)


@settings(max_examples=300)
@given(PUSHES)
def test_a_line_that_was_pushed_for_good_and_not_taken_for_good_is_there_after_a_crash_at_any_time(
    plan: list[tuple[int, str]],
) -> None:
    rig = Rig()
    lines = 0
    pushed: list[list[str]] = [[] for _ in range(RUNS)]
    popped: list[list[str]] = [[] for _ in range(RUNS)]
    for_good, taken = ["1 a"], list[str]()
    for place, verb in plan:
        if verb == "push":
            lines += 1
            rig.step(place, ("push", "q", f"line {lines}"))
            pushed[place].append(f"line {lines}")
        elif verb == "pop":
            queue = rig.language.queues.find("q")
            popped[place] += [*queue][:1]
            rig.step(place, ("pop", "q"))
        else:
            rig.step(place, (verb,))
            if verb == "close":
                for_good += pushed[place]
                taken += popped[place]
            pushed[place], popped[place] = [], []
        there = [line for _, line in kept(rig.fold)[0]["q"]]
        assert set(for_good) - set(taken) <= set(there)
        assert len(there) == len(set(there))
        assert not set(there) & set(taken)
