"""The data of scripts as recovery keeps it: what records change in it, and what a snapshot says of it.

Data are variables, queues and books of the task language, not its macros and tasks, which come from the script files
at each start. What counts of both is decided by the script machine (`shell/language/laying_over.py`). Part of the fold
of `model/restored.py` and of `model/snapshot.py`, and called by these two only. Records are never changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TypeVar

from msgspec import structs

from model.records import (
    BookChange,
    PageChange,
    QueueChange,
    Record,
    ScriptRecord,
    ScriptsBegun,
    ScriptsChanged,
    SnapshotBook,
    SnapshotQueue,
    SnapshotVariables,
)
from model.remembered import RestoredBook, RestoredData, RestoredPage, RestoredQueue, RestoredVariable

Key = TypeVar("Key")
Entry = TypeVar("Entry")

ABOVE_ALL = 1 << 62
"""No serial of a line and no key of a page is as large."""

# records in


def add(data: RestoredData, record: ScriptRecord) -> None:
    """Take one record."""
    if isinstance(record, ScriptsChanged):
        for name, value in record.variables.items():
            variable = data.variables.setdefault(name, RestoredVariable())
            variable.value = value
            if name in record.initial:
                variable.initial = record.initial[name]
            if variable.value is None and variable.initial is None:
                del data.variables[name]
        for queue in record.queues:
            _change_queue(data.queues, queue)
        for book in record.books:
            _change_book(data.books, book)
    elif isinstance(record, ScriptsBegun):
        _begin(data, record)
    else:
        data.begun = False
        data.variables, data.queues, data.books = {}, {}, {}


def _change_queue(queues: dict[str, RestoredQueue], change: QueueChange) -> None:
    queue = queues.setdefault(change.name, RestoredQueue())
    floor = _floor(queue, change)
    if floor is not None:
        queue.lines = {serial: line for serial, line in queue.lines.items() if serial >= floor}
    if change.removed and not queue.lines:
        _remove(queues, change.name, queue)
        return
    _changed(queue, change)
    for serial in change.taken:
        queue.lines.pop(serial, None)
    for serial, line in change.put.items():
        if serial >= queue.floor:
            queue.lines[serial] = line


def _change_book(books: dict[str, RestoredBook], change: BookChange) -> None:
    book = books.setdefault(change.name, RestoredBook())
    floor = _floor(book, change)
    if floor is not None:
        book.pages = {name: page for name, page in book.pages.items() if page.key >= floor}
    if change.removed and not book.pages:
        _remove(books, change.name, book)
        return
    _changed(book, change)
    for page in change.pages:
        _change_page(book, page)


def _floor(thing: RestoredQueue | RestoredBook, change: QueueChange | BookChange) -> int | None:
    """Below which its entries go; None: none go."""
    if change.removed and change.floor < 0:
        return ABOVE_ALL
    return change.floor if change.floor > thing.floor else None


def _changed(thing: RestoredQueue | RestoredBook, change: QueueChange | BookChange) -> None:
    thing.changed, thing.gone = True, False
    thing.number = change.number or thing.number
    thing.floor = max(thing.floor, change.floor)


def _remove(things: dict[str, Entry], name: str, thing: RestoredQueue | RestoredBook) -> None:
    """What the files fill in would come again by itself: that it is gone is remembered."""
    if thing.filled:
        thing.changed = thing.gone = True
        thing.floor = 0
    else:
        del things[name]


def _change_page(book: RestoredBook, change: PageChange) -> None:
    """A name is that of one page: the one that was made last."""
    page = book.pages.get(change.name)
    if change.gone:
        if page is not None and page.key == change.key:
            del book.pages[change.name]
        return
    if change.key < book.floor or (page is not None and page.key > change.key):
        return
    if page is None or page.key < change.key:
        page = book.pages[change.name] = RestoredPage(change.key, change.key)
    if change.order >= 0:
        page.order = change.order
    for word, value in change.words.items():
        if value is None:
            page.words.pop(word, None)
        else:
            page.words[word] = value


def _begin(data: RestoredData, begun: ScriptsBegun) -> None:
    data.begun = True
    for name in begun.variables:
        data.variables.pop(name, None)
    for filled, kept, things in (
        (begun.filled_queues, begun.kept_queues, data.queues),
        (begun.filled_books, begun.kept_books, data.books),
    ):
        for name, digest in filled.items():
            thing: RestoredQueue | RestoredBook | None = things.get(name)
            if thing is not None:
                thing.filled, thing.changed = digest, False
        for name, digest in kept.items():
            thing = things.get(name)
            if thing is not None:
                thing.filled = digest


# snapshots


def entries(data: RestoredData) -> int:
    """How many entries a snapshot of it has: variables, lines, pages."""
    lines = sum(len(queue.lines) for queue in data.queues.values())
    return len(data.variables) + lines + sum(len(book.pages) for book in data.books.values())


def parts(data: RestoredData, most: int) -> Iterator[Record]:
    """The parts of a snapshot of it, with `most` variables, lines or words in each. Nothing when there is no data."""
    if not (data.begun or data.variables or data.queues or data.books):
        return
    for variables in _slices(data.variables, most):
        yield SnapshotVariables({name: structs.replace(one) for name, one in variables.items()}, data.begun)
    for name, queue in data.queues.items():
        for lines in _slices(queue.lines, most):
            yield SnapshotQueue(name, structs.replace(queue, lines=lines))
    for name, book in data.books.items():
        for pages in _pages(book, most):
            yield SnapshotBook(name, structs.replace(book, pages=pages))


def _slices(entries: dict[Key, Entry], most: int) -> Iterator[dict[Key, Entry]]:
    """All entries in order, `most` at a time; an empty slice when there are none."""
    source = iter(entries.items())
    yield dict(islice(source, most))
    while batch := dict(islice(source, most)):
        yield batch


def _pages(book: RestoredBook, most: int) -> Iterator[dict[str, RestoredPage]]:
    """Pages as long as they have `most` words together, their names included."""
    batch: dict[str, RestoredPage] = {}
    room = most
    for name, page in book.pages.items():
        for words in _slices(page.words, max(1, most - 1)):
            if batch and room <= len(words):
                yield batch
                batch, room = {}, most
            batch[name] = structs.replace(page, words=words)
            room -= 1 + len(words)
    yield batch


def take(data: RestoredData, part: SnapshotVariables | SnapshotQueue | SnapshotBook) -> None:
    """One part of a snapshot; it is left as it is."""
    if isinstance(part, SnapshotVariables):
        data.begun = part.begun
        data.variables.update((name, structs.replace(one)) for name, one in part.variables.items())
    elif isinstance(part, SnapshotQueue):
        queue = data.queues.get(part.name)
        if queue is None:
            queue = data.queues[part.name] = structs.replace(part.queue, lines={})
        queue.lines.update(part.queue.lines)
    else:
        book = data.books.get(part.name)
        if book is None:
            book = data.books[part.name] = structs.replace(part.book, pages={})
        for name, page in part.book.pages.items():
            known = book.pages.get(name)
            if known is None:
                known = book.pages[name] = structs.replace(page, words={})
            known.words.update(page.words)
