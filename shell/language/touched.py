"""Which places of queues and books one run has touched, and what the run itself left there.

Filled in from the run's log (`changes.py`) by the kinds of change in `queues.py`, `books.py` and `named.py`; read by
`recording.py`. A place is a line of a queue (by its serial), a page of a book (by its key), a word of a page; what was
done to a whole queue, book or page counts for all places in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shell.language.books import Page


class TouchedThing:
    """What a run has touched of the queue or book of one name."""

    __slots__ = ("exists", "floor", "met", "number", "whole")

    def __init__(self, number: int) -> None:
        self.number = number
        self.whole = False
        """the run has made, emptied or removed it"""
        self.exists = True
        """with `whole`: it was left there (removed by this run, it may have been made by another one since)"""
        self.floor = -1
        """with `whole`: what has a smaller number was thrown away; -1: nothing was"""
        self.met = False
        """another run has changed it meanwhile, and its changes stay"""

    def made(self, number: int, floor: int) -> None:
        self.whole = self.exists = True
        self.number = number
        self.floor = max(self.floor, floor)

    def removed(self) -> None:
        self.whole, self.exists = True, False

    def threw_away(self, key: int) -> bool:
        """Whether what has this serial or key was thrown away with all the rest."""
        return self.whole and key < self.floor


class TouchedQueue(TouchedThing):
    """`lines`: by serial, what the run left there; None: nothing."""

    __slots__ = ("_own", "lines")

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.lines: dict[int, str | None] = {}
        self._own: set[int] = set()
        """serials of the run's own lines"""

    def pushed(self, serial: int, line: str) -> None:
        self.replaced(serial, line)
        self._own.add(serial)

    def replaced(self, serial: int, line: str) -> None:
        self.exists = True
        self.lines[serial] = line

    def taken(self, serial: int) -> None:
        """What nobody else has heard of need not be taken back."""
        self.exists = True
        if serial in self._own and not self.met:
            self._own.discard(serial)
            self.lines.pop(serial, None)
        else:
            self.lines[serial] = None

    def emptied(self, floor: int) -> None:
        self.whole, self.floor = True, floor
        self.lines.clear()


class TouchedPage:
    """What a run has touched of one page. `words`: what the run left there; None: no such word."""

    __slots__ = ("exists", "order", "page", "whole", "words")

    def __init__(self, page: Page) -> None:
        self.page = page
        self.whole = False
        """the run has made or removed it"""
        self.exists = True
        self.order = -1
        """its new place in the order of the book; -1: it was not moved"""
        self.words: dict[str, str | None] = {}


class TouchedBook(TouchedThing):
    """`pages`: by their keys."""

    __slots__ = ("pages",)

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.pages: dict[int, TouchedPage] = {}

    def emptied(self, floor: int) -> None:
        self.whole, self.floor = True, floor
        self.pages.clear()

    def page(self, page: Page) -> TouchedPage:
        """What was touched of this page, made when it is first touched."""
        self.exists = True
        found = self.pages.get(page.key)
        if found is None:
            found = self.pages[page.key] = TouchedPage(page)
        return found


class Touched:
    """All that a run has touched, by the names of queues and books, in the order of the first touch."""

    __slots__ = ("books", "queues")

    def __init__(self) -> None:
        self.queues: dict[str, TouchedQueue] = {}
        self.books: dict[str, TouchedBook] = {}

    def queue(self, name: str, number: int) -> TouchedQueue:
        found = self.queues.get(name)
        if found is None:
            found = self.queues[name] = TouchedQueue(number)
        return found

    def book(self, name: str, number: int) -> TouchedBook:
        found = self.books.get(name)
        if found is None:
            found = self.books[name] = TouchedBook(number)
        return found
