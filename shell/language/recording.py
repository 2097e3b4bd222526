"""What runs have changed in variables, queues and books, as records: so that it is there after a restart.

Rule: what a run changed is recorded when it counts for good: that of a task's run when it ends (a run that was cut
short leaves nothing, and is run again from its beginning), that of a session's run whenever it waits, and at its end.
Runs go on where others wait, and see what those have not finished. So at each place that a run has touched, what is
recorded is what is there now, or, where another run that is not over has touched the same place, what this run itself
left there. Nobody's unfinished change is recorded by somebody else; in the end the last word stands, as in memory. A
run that is undone is recorded only where others have built on what it did.

Which places a run touched in queues and books says its log (`changes.py`); variables are noted by `runs.py` in
`Run.changed`. Driven by `machine.py` and `work.py`; the scheduler writes the records (`model/events.py`). What counts
of the records at the next start is `laying_over.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from model.records import BookChange, PageChange, QueueChange, ScriptRecord, ScriptsChanged
from shell.language.calls import Data, Mixed
from shell.language.job_variables import STREAMS
from shell.language.touched import Touched, TouchedBook, TouchedPage, TouchedQueue

if TYPE_CHECKING:
    from model.remembered import Stored
    from shell.language.books import Book
    from shell.language.language import Language
    from shell.language.queues import Queue
    from shell.language.runs import Run, Value

PART_ENTRIES = 1_000
"""Variables, lines and words of one record at most; a larger change is several records in one transaction."""
PART_CHARACTERS = 1 << 20
"""The same for their text: a record that has so many characters gets nothing more (a single value may have 16 MiB)."""
NOT_KEPT = frozenset(STREAMS)
"""Queues that belong to the job whose end is reacted to, not to the scripts."""


class Recorder:
    """Makes the records of one script machine. Nothing is recorded before `begin`."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._runs: dict[int, Run] = {}
        """those that are not over"""
        self.begun = False
        self._initial: dict[str, Value] = {}
        """the variables as the script files made them"""
        self._known: dict[str, Value] = {}
        """as they are in the journal, or were at the beginning"""
        self._told: set[str] = set()
        """those whose initial value is in the journal"""

    def begin(self, initial: dict[str, Value], told: Iterable[str]) -> None:
        """What is there now counts; what changes from now on is recorded. `initial`: the variables as the script files
        made them; `told`: those of which the journal knows that."""
        self.begun = True
        self._initial, self._known, self._told = initial, dict(self._language.variables), set(told)
        changes = self._language.changes
        for number, run in self._runs.items():
            touched = changes.touched(number)
            if touched is None:  # a session's: what it did so far is what the files made
                changes.begin(number)
            else:  # what it did so far was taken for what the files made
                for thing in (*touched.queues.values(), *touched.books.values()):
                    thing.met = True
            run.changed.clear()

    def open(self, run: Run, *, undone: bool) -> None:
        """A run begins. `undone`: its changes may be taken back."""
        self._runs[run.number] = run
        if undone or self.begun:
            self._language.changes.begin(run.number)

    def close(self, run: Run) -> tuple[ScriptRecord, ...]:
        """The run is over, and its changes stay."""
        records = self._records(run)
        del self._runs[run.number]
        self._language.changes.commit(run.number)
        return records

    def undo(self, run: Run) -> tuple[ScriptRecord, ...]:
        """The run is over, and what it did to queues and books is taken back."""
        changes = self._language.changes
        touched = changes.touched(run.number) if self.begun else None
        others = list(changes.touched_by_others(run.number)) if touched is not None else []
        changes.undo(run.number)
        parts = Parts()
        if touched is not None:
            parts.variables(self._variables(run))
            self._changed(parts, touched, others, undone=True)
        del self._runs[run.number]
        return parts.records()

    def flush(self, run: Run) -> tuple[ScriptRecord, ...]:
        """The run goes on; what it changed until now counts."""
        records = self._records(run)
        if self.begun:
            run.changed.clear()
            self._language.changes.commit(run.number)
            self._language.changes.begin(run.number)
        return records

    # what was changed

    def _records(self, run: Run) -> tuple[ScriptRecord, ...]:
        changes = self._language.changes
        touched = changes.touched(run.number) if self.begun else None
        if touched is None:
            return ()
        parts = Parts()
        parts.variables(self._variables(run))
        if touched.queues or touched.books:
            self._changed(parts, touched, list(changes.touched_by_others(run.number)), undone=False)
        return parts.records()

    def _variables(self, run: Run) -> Iterator[tuple[str, Stored, bool, Stored]]:
        """(name, value, whether its initial value is to be said, that)."""
        variables, known = self._language.variables, self._known
        others = [other.changed for other in self._runs.values() if other is not run]
        for name, own in run.changed.items():
            shared = any(name in changed for changed in others)
            value = own if shared else variables.get(name)
            before = known.get(name)
            if value.__class__ is before.__class__ and value == before:
                continue
            if value is None:
                del known[name]
            else:
                known[name] = value
            new = name not in self._told
            self._told.add(name)
            yield name, stored(value), new, stored(self._initial.get(name)) if new else None

    def _changed(self, parts: Parts, touched: Touched, others: list[Touched], *, undone: bool) -> None:
        queues, books = self._language.queues, self._language.books
        for name, mine in touched.queues.items():
            theirs = [other.queues[name] for other in others if name in other.queues]
            if not undone:
                for their in theirs:
                    their.met = True
            if name not in NOT_KEPT and (mine.met or not undone):
                parts.queue(name, queues.get(name), mine, theirs, undone=undone)
        for name, book in touched.books.items():
            beside = [other.books[name] for other in others if name in other.books]
            if not undone:
                for one in beside:
                    one.met = True
            if book.met or not undone:
                parts.book(name, books.get(name), book, beside, undone=undone)


class Parts:
    """Changes, cut into records. Where `undone`, a place that others have touched is left to them."""

    def __init__(self) -> None:
        self._records: list[ScriptRecord] = []
        self._variables: dict[str, Stored] = {}
        self._initial: dict[str, Stored] = {}
        self._queues: list[QueueChange] = []
        self._books: list[BookChange] = []
        self._entries = 0
        self._characters = 0

    def records(self) -> tuple[ScriptRecord, ...]:
        self._cut()
        return tuple(self._records)

    def _cut(self) -> None:
        if self._variables or self._queues or self._books:
            record = ScriptsChanged(self._variables, self._initial, tuple(self._queues), tuple(self._books))
            self._records.append(record)
        self._variables, self._initial, self._queues, self._books = {}, {}, [], []
        self._entries = self._characters = 0

    def _is_full(self, characters: int) -> bool:
        """Count one more entry; whether the record is to be cut behind it."""
        self._entries += 1
        self._characters += characters
        return self._entries >= PART_ENTRIES or self._characters >= PART_CHARACTERS

    def variables(self, changed: Iterable[tuple[str, Stored, bool, Stored]]) -> None:
        for name, value, new, initial in changed:
            self._variables[name] = value
            if new:
                self._initial[name] = initial
            if self._is_full(_size(value)):
                self._cut()

    def queue(
        self, name: str, queue: Queue | None, mine: TouchedQueue, theirs: list[TouchedQueue], *, undone: bool
    ) -> None:
        kept = any(their.whole for their in theirs)
        if undone and kept:
            return
        exists, number, floor = _whole(mine, queue, kept=kept)
        if not exists:
            self.change_queue(QueueChange(name, number, floor, removed=True))
            return
        if queue is None and not kept and not mine.whole:
            return  # somebody whose changes stay has removed it
        here = {} if queue is None else queue.entries()
        put: dict[int, str | None] = {}
        for serial, own in mine.lines.items():
            sharing = [their for their in theirs if serial in their.lines or their.threw_away(serial)]
            if not sharing:
                put[serial] = here.get(serial)
            elif not undone:
                put[serial] = own
                if here.get(serial) == own:  # the last word of all that were said about it
                    for their in sharing:
                        their.lines.pop(serial, None)
        self.fill_queue(name, number, floor, put)

    def fill_queue(self, name: str, number: int, floor: int, lines: dict[int, str | None]) -> None:
        """Say lines of a queue; None: taken."""
        put: dict[int, str] = {}
        taken: list[int] = []
        for serial, line in lines.items():
            if line is None:
                taken.append(serial)
            else:
                put[serial] = written(line)
            if self._is_full(len(line or "")):
                self.change_queue(QueueChange(name, number, floor, put=put, taken=tuple(taken)))
                self._cut()
                put, taken, floor = {}, [], -1
        if put or taken or floor >= 0:
            self.change_queue(QueueChange(name, number, floor, put=put, taken=tuple(taken)))

    def change_queue(self, change: QueueChange) -> None:
        self._queues.append(change)

    def change_book(self, change: BookChange) -> None:
        self._books.append(change)

    def book(self, name: str, book: Book | None, mine: TouchedBook, theirs: list[TouchedBook], *, undone: bool) -> None:
        kept = any(their.whole for their in theirs)
        if undone and kept:
            return
        exists, number, floor = _whole(mine, book, kept=kept)
        if not exists:
            self.change_book(BookChange(name, number, floor, removed=True))
            return
        if book is None and not kept and not mine.whole:
            return
        pages = []
        for key, page in mine.pages.items():
            beside = [their.pages[key] for their in theirs if key in their.pages]
            thrown = any(their.threw_away(key) for their in theirs)
            change = _page(book, page, beside, kept=thrown, undone=undone)
            if change is not None:
                pages.append(change)
        self.fill_book(name, number, floor, pages)

    def fill_book(self, name: str, number: int, floor: int, changes: Iterable[PageChange]) -> None:
        """Say pages of a book."""
        pages: list[PageChange] = []
        for whole in changes:
            words: dict[str, str | None] = {}
            for word, value in whole.words.items():
                words[written(word)] = None if value is None else written(value)
                if self._is_full(len(word) + len(value or "")):
                    pages.append(PageChange(whole.key, written(whole.name), whole.order, whole.gone, words))
                    self.change_book(BookChange(name, number, floor, pages=tuple(pages)))
                    self._cut()
                    pages, words, floor = [], {}, -1
            if words or not whole.words:
                pages.append(PageChange(whole.key, written(whole.name), whole.order, whole.gone, words))
            if self._is_full(len(whole.name)):
                self.change_book(BookChange(name, number, floor, pages=tuple(pages)))
                self._cut()
                pages, floor = [], -1
        if pages or floor >= 0:
            self.change_book(BookChange(name, number, floor, pages=tuple(pages)))


def _whole(mine: TouchedQueue | TouchedBook, thing: Queue | Book | None, *, kept: bool) -> tuple[bool, int, int]:
    """(whether it exists, its number, its floor or -1) as it is to be recorded. `kept`: others have it in hands."""
    number = mine.number if thing is None else thing.number
    if not mine.whole:
        return True, number, -1
    if kept:
        return mine.exists, number, mine.floor
    return (False, number, -1) if thing is None else (True, number, thing.floor)


def _page(
    book: Book | None, mine: TouchedPage, theirs: list[TouchedPage], *, kept: bool, undone: bool
) -> PageChange | None:
    """What is to be recorded of a page; None: nothing. `kept`: others have thrown it away with all the rest."""
    page = mine.page
    kept = kept or any(their.whole for their in theirs)
    if kept and undone:
        return None
    there = mine.exists if kept else book is not None and book.get(page.name) is page
    if not there:
        return PageChange(page.key, page.name, gone=True)
    words: dict[str, str | None] = {}
    for word, own in mine.words.items():
        sharing = [their for their in theirs if word in their.words]
        if not (kept or sharing):
            words[word] = page.words.get(word)
        elif not undone:
            words[word] = own
            if page.words.get(word) == own:
                for their in sharing:
                    del their.words[word]
    moved = kept or any(their.order >= 0 for their in theirs)
    order = mine.order if moved or mine.order < 0 else page.serial
    return PageChange(page.key, page.name, order, words=words)


def _size(value: Stored) -> int:
    if isinstance(value, str):
        return len(value)
    return sum(len(text) for text, _ in value) if isinstance(value, tuple) else 1


def written(text: str) -> str:
    """A text as it can be written down: plain, and halves of surrogates, which no file has, replaced."""
    return str(text) if text.isascii() else str(text).encode(errors="replace").decode()


def stored(value: Value | None) -> Stored:
    """A variable's value as it is recorded."""
    if isinstance(value, Data):
        return tuple(_pieces(value))
    return written(value) if isinstance(value, str) else value


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    if isinstance(text, Mixed):
        for part in text.parts:
            yield from _pieces(part)
    else:
        yield written(text), isinstance(text, Data)


def value_of(kept: Stored) -> Value | None:
    """A variable's value from what was recorded; the inverse of `stored`."""
    if not isinstance(kept, tuple):
        return kept
    parts = [Data(text) if of_job else text for text, of_job in kept]
    return parts[0] if len(parts) == 1 else Mixed(parts)
