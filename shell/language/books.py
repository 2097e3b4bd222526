"""Books: book -> pages in the order of their making -> words. The data only; the commands are in `commands/books.py`.

Rule: a page is known by its serial number, which grows with each new page; the order of a book is that of the serials.
The N-th page is found in a `Ranked`, and the N-th one of those whose word has some value in the `Ranked` of that word
and value: for each word that was ever asked for, an index is built once and kept up to date by every change.
A word that a page does not have counts as `NULL`. All changes are recorded in `changes.log`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from random import Random

from shell.language.calls import Failure
from shell.language.changes import Changes, Kind
from shell.language.named import Named
from shell.language.ranked import Ranked
from shell.language.touched import Touched, TouchedBook
from shell.wording import nearest

NULL = "NULL"
"""What a book says for what is not there."""

NO_PAGES = Ranked()
"""Read only."""


class Page:
    """One page. Change `words` through its book only."""

    __slots__ = ("key", "name", "serial", "words")

    def __init__(self, name: str, serial: int) -> None:
        self.name = name
        self.key = serial
        """its first serial: what tells it from any other page of the book, of the same name, too"""
        self.serial = serial
        self.words: dict[str, str] = {}


class Book:
    """One book. Iterating gives its pages in order."""

    __slots__ = (
        "_changes",
        "_indexes",
        "_order",
        "_pages",
        "_serials",
        "floor",
        "get",
        "maker",
        "name",
        "next_serial",
        "number",
    )

    def __init__(self, name: str, changes: Changes, first: int = 0) -> None:
        """`first`: the serial of its first page."""
        self.name = name
        self.number = 0
        self.maker = 0
        self._changes = changes
        self.next_serial = first
        self.floor = first
        """pages before this serial were thrown away by `clear`: their inverses do nothing"""
        self._fill({})

    def _fill(self, pages: dict[str, Page]) -> None:
        """Have just these pages."""
        self._pages = pages
        self.get = pages.get
        """the page of that name, or None"""
        self._serials: dict[int, Page] = {page.serial: page for page in pages.values()}
        self._order = Ranked()
        for serial in sorted(self._serials):
            self._order.add(serial)
        self._indexes: dict[str, dict[str, Ranked]] = {}

    def __len__(self) -> int:
        return len(self._pages)

    def __iter__(self) -> Iterator[Page]:
        return (self._serials[serial] for serial in self._order)

    def restore(self, pages: Iterable[Page], floor: int) -> None:
        """Have just these pages. Not recorded: it is what was recorded."""
        self.floor = self.next_serial = floor
        kept: dict[str, Page] = {}
        for page in pages:
            kept[page.name] = page
            self.next_serial = max(self.next_serial, page.serial + 1, page.key + 1)
        self._fill(kept)

    def touched_in(self, touched: Touched) -> TouchedBook:
        """What a run has touched of it."""
        return touched.book(self.name, self.number)

    # looking

    def find(self, name: str) -> Page:
        """Raises Failure when there is no such page."""
        page = self.get(name)
        if page is None:
            raise Failure(f"page {name} not found in book {self.name}")
        return page

    def page_at(self, rank: int) -> Page | None:
        """The page of that rank, from 0, negative from the end; None: there are not so many."""
        serial = self._order.at(rank)
        return None if serial is None else self._serials[serial]

    def matching_at(self, rank: int, word: str, value: str) -> Page | None:
        """The page of that rank among those whose `word` is `value`."""
        serial = self._matching(word, value).at(rank)
        return None if serial is None else self._serials[serial]

    def count_matching(self, word: str, value: str) -> int:
        """How many pages have `value` as their `word`."""
        return len(self._matching(word, value))

    def _matching(self, word: str, value: str) -> Ranked:
        index = self._indexes.get(word)
        if index is None:
            index = self._indexes[word] = {}
            for serial in self._order:
                _into(index, self._serials[serial].words.get(word, NULL), serial)
        return index.get(value, NO_PAGES)

    # changing

    def make(self, name: str) -> Page:
        """The page of that name; a new empty one at the end when there is none."""
        page = self.get(name)
        if page is None:
            page = Page(str(name), self.next_serial)
            self.next_serial += 1
            self._enter(page)
            if self._changes.log is not None:
                self._changes.log.append((PAGE_MADE, self, page))
        return page

    def set_word(self, page: Page, word: str, value: str) -> None:
        """Set one word of a page of this book."""
        old = page.words.get(word)
        self._write(page, word, value)
        if self._changes.log is not None:
            self._changes.log.append((WORD_SET, self, page, word, old, value))

    def delete_page(self, page: Page) -> None:
        """Remove a page of this book."""
        self._leave(page)
        if self._changes.log is not None:
            self._changes.log.append((PAGE_REMOVED, self, page))

    def delete_matching(self, word: str, value: str) -> int:
        """Remove all pages whose `word` is `value`; how many there were."""
        serials = list(self._matching(word, value))
        for serial in serials:
            self.delete_page(self._serials[serial])
        return len(serials)

    def clear(self) -> None:
        """Remove all pages."""
        self.next_serial += 1  # so that no other clearing has the same floor
        if self._changes.log is not None:
            self._changes.log.append((EMPTIED, self, self._pages, self.next_serial, self.floor))
        self.floor = self.next_serial
        self._fill({})

    def shuffle(self, random: Random) -> None:
        """Put the pages into another order, drawn from `random`."""
        pages = list(self)
        random.shuffle(pages)
        moves = []
        for page in pages:
            moves.append((page, page.serial, self.next_serial))
            page.serial = self.next_serial
            self.next_serial += 1
        self._fill(self._pages)
        if self._changes.log is not None:
            self._changes.log.append((SHUFFLED, self, moves))

    # single changes without record

    def _enter(self, page: Page) -> None:
        self._pages[page.name] = page
        self._serials[page.serial] = page
        self._order.add(page.serial)
        for word, index in self._indexes.items():
            _into(index, page.words.get(word, NULL), page.serial)

    def _leave(self, page: Page) -> None:
        del self._pages[page.name]
        del self._serials[page.serial]
        self._order.remove(page.serial)
        for word, index in self._indexes.items():
            _out_of(index, page.words.get(word, NULL), page.serial)

    def _write(self, page: Page, word: str, value: str | None) -> None:
        """None: the page is not to have the word. An inverse may come with a page that has left the book."""
        words = page.words
        index = self._indexes.get(word) if self._indexes else None
        if index is not None and self.get(page.name) is page:
            before, after = words.get(word, NULL), NULL if value is None else value
            if before != after:
                _out_of(index, before, page.serial)
                _into(index, after, page.serial)
        if value is None:
            words.pop(word, None)
        else:
            words[word] = value

    # inverses (called by `changes.py`, through the kinds below)

    def unmake(self, page: Page) -> None:
        if self.get(page.name) is page:
            self._leave(page)

    def unwrite(self, page: Page, word: str, old: str | None, value: str) -> None:
        """What another run has written there since stays (unless it is the very same object, as from the same line)."""
        if page.words.get(word) is value:
            self._write(page, word, old)

    def undelete(self, page: Page) -> None:
        """Where another run has made a page of the name since, that one stays."""
        if page.serial >= self.floor and self.get(page.name) is None:
            self._enter(page)

    def unclear(self, pages: dict[str, Page], floor: int, floor_before: int) -> None:
        """Pages that another run has made since stay, behind the old ones; when it has cleared the book, that stays."""
        if self.floor == floor:
            self.floor = floor_before
            self._fill(pages | self._pages)

    def unshuffle(self, moves: list[tuple[Page, int, int]]) -> None:
        for page, before, after in moves:
            if page.serial == after:
                page.serial = before
        self._fill(self._pages)


def _note_made(touched: Touched, book: Book, page: Page) -> None:
    noted = book.touched_in(touched).page(page)
    noted.whole = noted.exists = True


def _note_removed(touched: Touched, book: Book, page: Page) -> None:
    noted = book.touched_in(touched).page(page)
    noted.whole, noted.exists = True, False


def _note_word(touched: Touched, book: Book, page: Page, word: str, _old: str | None, value: str) -> None:
    book.touched_in(touched).page(page).words[word] = value


def _note_emptied(touched: Touched, book: Book, _pages: object, floor: int, _before: int) -> None:
    book.touched_in(touched).emptied(floor)


def _note_shuffled(touched: Touched, book: Book, moves: list[tuple[Page, int, int]]) -> None:
    noted = book.touched_in(touched)
    for page, _, after in moves:
        noted.page(page).order = after


PAGE_MADE = Kind(Book.unmake, _note_made)
PAGE_REMOVED = Kind(Book.undelete, _note_removed)
WORD_SET = Kind(Book.unwrite, _note_word)
EMPTIED = Kind(Book.unclear, _note_emptied)
SHUFFLED = Kind(Book.unshuffle, _note_shuffled)


class Books:
    """All books by name."""

    __slots__ = ("_named", "get", "restore_names")

    def __init__(self, changes: Changes) -> None:
        self._named: Named[Book] = Named(changes, lambda name, first: Book(name, changes, first))
        self.get = self._named.get
        """the book of that name, or None"""
        self.restore_names = self._named.restore_names

    def __iter__(self) -> Iterator[Book]:
        return iter(self._named)

    def names(self) -> list[str]:
        """In the order of their making."""
        return [book.name for book in self._named]

    def find(self, name: str) -> Book:
        """Raises Failure when there is no such book."""
        book = self.get(name)
        if book is None:
            raise Failure(f"book {name} not found{nearest(name, self.names())}", hint=f"book create {name} makes it")
        return book

    def make(self, name: str) -> Book:
        """The book of that name, made when there is none."""
        return self._named.make(name)

    def init(self, name: str) -> Book:
        """The book of that name, empty."""
        return self._named.make_empty(name)

    def delete(self, name: str) -> bool:
        """Whether there was one."""
        return self._named.remove(name)

    def dump(self) -> dict[str, dict[str, dict[str, str]]]:
        """Book -> page -> word -> value, books and pages in order."""
        return {book.name: {page.name: dict(page.words) for page in book} for book in self._named}

    def load(self, dumped: Mapping[str, Mapping[str, Mapping[str, str]]]) -> None:
        """Have just what `dump` gave."""
        self._named.remove_all()
        for name, pages in dumped.items():
            book = self.make(name)
            for page_name, words in pages.items():
                page = book.make(page_name)
                for word, value in words.items():
                    book.set_word(page, word, value)


def _into(index: dict[str, Ranked], value: str, serial: int) -> None:
    ranked = index.get(value)
    if ranked is None:
        ranked = index[value] = Ranked()
    ranked.add(serial)


def _out_of(index: dict[str, Ranked], value: str, serial: int) -> None:
    ranked = index[value]
    ranked.remove(serial)
    if not ranked:
        del index[value]
