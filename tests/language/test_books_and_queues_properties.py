"""Goal: queues and books are right in any order of any commands, with their indexes, and undoing takes back one run's
changes and no others. Method: Hypothesis makes sequences of changes; a queue is compared with a plain list, an index
with a look at every page, and what an undo leaves with what there would be if the undone run had never been.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shell.language.books import NULL, Books
from shell.language.changes import Changes
from shell.language.metadata import page_blocks, raw_blocks
from shell.language.queues import WHOLE_LINE, Columns, Queues, key_columns, key_of
from shell.language.ranked import BLOCK_LONGEST, Ranked

LINES = st.sampled_from(["1 a", "1 b", "2 a", "2 b", "3", "1 a x"])
COLUMNS = st.sampled_from([WHOLE_LINE, (0,), (1,), (0, 1)])
KEYS = st.sampled_from(["1", "2", "a", "b", "1:a", "2:b", "1 a", "3", "9"])
QUEUE_CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("push"), LINES),
        st.tuples(st.just("pop")),
        st.tuples(st.just("pop_key"), COLUMNS, KEYS),
        st.tuples(st.just("drop_key"), COLUMNS, KEYS),
        st.tuples(st.just("push_unique"), LINES, COLUMNS),
        st.tuples(st.just("push_replacing"), LINES, COLUMNS),
        st.tuples(st.just("substitute"), st.sampled_from(["a", "1"]), st.sampled_from(["b", "2", "1b"])),
        st.tuples(st.just("clear")),
    ),
    max_size=40,
)

PAGES = st.sampled_from(["p", "q", "r", "s"])
WORDS = st.sampled_from(["state", "host"])
VALUES = st.sampled_from(["INIT", "RUN", NULL])
BOOK_CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("make"), PAGES),
        st.tuples(st.just("make"), PAGES),
        st.tuples(st.just("set_word"), PAGES, WORDS, VALUES),
        st.tuples(st.just("set_word"), PAGES, WORDS, VALUES),
        st.tuples(st.just("delete_page"), PAGES),
        st.tuples(st.just("delete_matching"), WORDS, VALUES),
        st.tuples(st.just("shuffle")),
        st.tuples(st.just("clear")),
        st.tuples(st.just("ask"), WORDS),
        st.tuples(st.just("delete book")),
    ),
    max_size=40,
)
TURNS = st.lists(st.booleans(), max_size=80)
"""Who goes on at each step: the run that will be undone, or the other one."""


class PlainQueue:
    """The same as a list, looking at every entry each time."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def _first(self, columns: Columns, key: str | None) -> int | None:
        places = [place for place, line in enumerate(self.lines) if key is not None and key_of(line, columns) == key]
        return places[0] if places else None

    def push(self, line: str) -> None:
        self.lines.append(line)

    def pop(self) -> str | None:
        return self.lines.pop(0) if self.lines else None

    def pop_key(self, columns: Columns, key: str) -> str | None:
        place = self._first(columns, key)
        return None if place is None else self.lines.pop(place)

    def drop_key(self, columns: Columns, key: str) -> int:
        before = len(self.lines)
        self.lines = [line for line in self.lines if key_of(line, columns) != key]
        return before - len(self.lines)

    def push_unique(self, line: str, columns: Columns) -> bool:
        if self._first(columns, key_of(line, columns)) is not None:
            return False
        self.lines.append(line)
        return True

    def push_replacing(self, line: str, columns: Columns) -> None:
        place = self._first(columns, key_of(line, columns))
        if place is None:
            self.lines.append(line)
        else:
            self.lines[place] = line

    def substitute(self, old: str, new: str) -> None:
        self.lines = [line.replace(old, new) for line in self.lines]

    def clear(self) -> None:
        self.lines = []


@given(QUEUE_CHANGES)
def test_a_queue_with_its_indexes_is_a_plain_list(steps: list[tuple[str, ...]]) -> None:
    queue, plain = Queues(Changes()).make("q"), PlainQueue()
    for name, *arguments in steps:
        assert getattr(queue, name)(*arguments) == getattr(plain, name)(*arguments)
        assert list(queue) == plain.lines and len(queue) == len(plain.lines)


@given(QUEUE_CHANGES, QUEUE_CHANGES)
def test_undoing_a_run_restores_a_queue_and_its_indexes(
    before: list[tuple[str, ...]], steps: list[tuple[str, ...]]
) -> None:
    changes = Changes()
    queue, plain = Queues(changes).make("q"), PlainQueue()
    for name, *arguments in before:
        getattr(queue, name)(*arguments)
        getattr(plain, name)(*arguments)
    changes.begin(1)
    changes.current = 1
    for name, *arguments in steps:
        getattr(queue, name)(*arguments)
    changes.undo(1)
    assert list(queue) == plain.lines
    for columns in (WHOLE_LINE, (0,), (1,)):
        for key in ("1", "a", "1 a", "2"):
            assert queue.pop_key(columns, key) == plain.pop_key(columns, key)


@given(QUEUE_CHANGES, TURNS)
def test_undoing_a_run_keeps_what_another_one_pushed_meanwhile(steps: list[tuple[str, ...]], turns: list[bool]) -> None:
    changes = Changes()
    queues = Queues(changes)
    for line in ("1 a", "2 b", "3"):
        queues.push("q", line)
    changes.begin(1)
    theirs: list[str] = []
    plan = list(steps)
    for mine in [*turns, *[True] * len(plan)]:
        changes.current = 1 if mine else 2
        if not mine:
            theirs.append(f"{len(theirs)} theirs")
            queues.push("q", theirs[-1])
        elif plan:
            name, *arguments = plan.pop(0)
            if name == "clear" and len(plan) % 2:
                queues.delete("q")
            else:
                getattr(queues.make("q"), name)(*arguments)
    changes.undo(1)
    assert list(queues.find("q")) == ["1 a", "2 b", "3", *theirs]


def one_step(books: Books, random: Random, step: tuple[str, ...]) -> None:
    """A change of book `b`, as a command would make it: nothing when the page is not there."""
    name, *arguments = step
    if name == "delete book":
        books.delete("b")
        return
    book = books.make("b")
    if name in {"make", "delete_matching", "clear"}:
        getattr(book, name)(*arguments)
    elif name == "shuffle":
        book.shuffle(random)
    elif name == "ask":
        book.count_matching(arguments[0], "INIT")
    elif (page := book.get(arguments[0])) is not None:
        getattr(book, name)(page, *arguments[1:])


def assert_indexes_hold(books: Books) -> None:
    """Whatever an index says is what a look at every page says."""
    for book in books:
        pages = list(book)
        assert [book.page_at(rank) for rank in range(len(pages))] == pages and book.page_at(len(pages)) is None
        for word in ("state", "host"):
            for value in ("INIT", "RUN", NULL):
                matching = [page for page in pages if page.words.get(word, NULL) == value]
                assert book.count_matching(word, value) == len(matching)
                for rank, page in enumerate(matching):
                    assert book.matching_at(rank, word, value) is page
                    assert book.matching_at(rank - len(matching), word, value) is page


@given(BOOK_CHANGES)
def test_a_book_agrees_with_its_indexes_after_any_changes(steps: list[tuple[str, ...]]) -> None:
    books = Books(Changes())
    for step in steps:
        one_step(books, Random(1), step)
    assert_indexes_hold(books)


@given(BOOK_CHANGES, BOOK_CHANGES)
def test_undoing_a_run_restores_books_and_their_indexes(
    before: list[tuple[str, ...]], steps: list[tuple[str, ...]]
) -> None:
    changes = Changes()
    books = Books(changes)
    for step in before:
        one_step(books, Random(1), step)
    dumped = [(name, list(pages.items())) for name, pages in books.dump().items()]
    changes.begin(1)
    changes.current = 1
    for step in steps:
        one_step(books, Random(2), step)
    changes.undo(1)
    assert [(name, list(pages.items())) for name, pages in books.dump().items()] == dumped
    assert_indexes_hold(books)


@given(BOOK_CHANGES, TURNS)
def test_undoing_a_run_keeps_the_pages_that_another_one_made_meanwhile(
    steps: list[tuple[str, ...]], turns: list[bool]
) -> None:
    changes = Changes()
    books = Books(changes)
    for name in ("p", "q"):
        books.make("b").make(name)
    changes.begin(1)
    theirs: dict[str, dict[str, str]] = {}
    plan = list(steps)
    for mine in [*turns, *[True] * len(plan)]:
        changes.current = 1 if mine else 2
        if not mine:
            name = f"theirs {len(theirs)}"
            theirs[name] = {"state": "INIT"}
            book = books.make("b")
            book.set_word(book.make(name), "state", "INIT")
        elif plan:
            one_step(books, Random(2), plan.pop(0))
    changes.undo(1)
    dumped = books.dump()["b"]
    assert list(dumped.items()) == [("p", {}), ("q", {}), *theirs.items()]
    assert_indexes_hold(books)


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(0, 5 * BLOCK_LONGEST))
@example(0, BLOCK_LONGEST + 1)
def test_ranked_numbers_are_a_sorted_list(seed: int, size: int) -> None:
    random = Random(seed)
    ranked, plain = Ranked(), set(random.sample(range(10 * BLOCK_LONGEST), size))
    for number in sorted(plain) if seed % 2 else list(plain):
        ranked.add(number)
    for number in random.sample(sorted(plain), size // 2):
        ranked.remove(number)
        plain.discard(number)
    in_order = sorted(plain)
    assert list(ranked) == in_order and len(ranked) == len(in_order)
    for rank in (0, 1, size // 4, len(in_order) - 1, -1, -len(in_order)):
        if in_order and -len(in_order) <= rank < len(in_order):
            assert ranked.at(rank) == in_order[rank]
    assert ranked.at(len(in_order)) is None and ranked.at(-len(in_order) - 1) is None
    assert max(map(len, ranked._blocks), default=0) <= BLOCK_LONGEST
    with pytest.raises(KeyError):
        ranked.remove(-1)


ANSWER_LINES = st.lists(
    st.one_of(
        st.sampled_from(["a METADATA", "END", "a MULTI", "x STR 1", 'y STR "a b" # c', "z STR", "end", "#", "x", ""]),
        st.text(max_size=12),
    ),
    max_size=30,
)


@given(ANSWER_LINES)
@pytest.mark.parametrize("read", [page_blocks, raw_blocks])
def test_any_answer_is_read_without_an_error(
    read: Callable[..., tuple[list[object], list[object]]], lines: list[str]
) -> None:
    blocks, troubles = read(lines)
    assert len(blocks) <= len(lines) and len(troubles) <= len(lines) + 1


@given(st.lists(st.text(alphabet=st.characters(exclude_characters='"\n', exclude_categories=["Cs"]), max_size=20)))
def test_quoted_values_are_kept_to_the_letter(values: list[str]) -> None:
    lines = ["a METADATA", *[f'  w{number} STR "{value}"' for number, value in enumerate(values)], "END"]
    blocks, troubles = page_blocks(lines)
    assert [*blocks[0].words.values()] == values and not troubles


@given(st.lists(st.integers(-1, 20), min_size=1, max_size=4))
def test_any_joined_column_numbers_are_a_key(columns: list[int]) -> None:
    assert key_columns(":".join(map(str, columns))) == tuple(columns)
