"""Definitions come from the script files, data from the journal: how both are put together at a start.

The files run as at any start. When one of them first says `run`, or all have ended, the data of the life before is laid
over what they made. Rule: what only the files have changed since then counts as the files have it; what only runs have
changed counts as they left it. Where both have changed it: of a variable the files count, since somebody has edited
its first value; of a queue or book, which may hold work that is nowhere else, what runs left counts, and a notice says
so. To see what has changed, the first value of each variable and a digest of each queue and book that the files filled
in are kept with the data.

Called once for each life by `machine.py`; what is recorded later is `recording.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

from model.effects import Notice
from model.records import BookChange, PageChange, QueueChange, ScriptRecord, ScriptsBegun, ScriptsForgotten
from shell.language.books import Page
from shell.language.recording import NOT_KEPT, Parts, stored, value_of, written

if TYPE_CHECKING:
    from model.remembered import RestoredBook, RestoredData, RestoredQueue
    from shell.language.books import Book
    from shell.language.language import Language
    from shell.language.runs import Value

DIGEST_BYTES = 16


class Kept(Protocol):
    """A queue or book of the life before."""

    filled: str
    changed: bool
    gone: bool


def lay_over(language: Language, restored: RestoredData | None) -> tuple[ScriptRecord, ...]:
    """Put the data of the life before (None: it does not count, or there is none) over what the script files made, and
    begin to record. What is to be recorded of that; notices leave as effects."""
    return _LayingOver(language, restored).done()


class _LayingOver:
    def __init__(self, language: Language, restored: RestoredData | None) -> None:
        self._language = language
        self._restored = restored
        self._parts = Parts()
        self._changed: list[str] = []
        """variables whose first value has changed"""

    def done(self) -> tuple[ScriptRecord, ...]:
        language, restored = self._language, self._restored
        if restored is None:
            language.recorder.begin(dict(language.variables), ())
            begun = ScriptsBegun(filled_queues=self._queues({})[0], filled_books=self._books({})[0])
            return (ScriptsForgotten(), *self._parts.records(), begun)
        initial, told = self._lay_variables(restored)
        filled_queues, kept_queues = self._queues(restored.queues)
        filled_books, kept_books = self._books(restored.books)
        language.recorder.begin(initial, told)
        names = tuple(written(name) for name in self._changed)
        begun = ScriptsBegun(names, filled_queues, filled_books, kept_queues, kept_books)
        return (*self._parts.records(), begun)

    def _lay_variables(self, restored: RestoredData) -> tuple[dict[str, Value], list[str]]:
        """The variables as the files made them, and the names of those that are as they were left."""
        variables = self._language.variables
        initial = dict(variables)
        told: list[str] = []
        for name, kept in restored.variables.items():
            if name in initial and stored(initial[name]) != kept.initial:
                self._changed.append(name)
                continue
            told.append(name)
            value = value_of(kept.value)
            if value is None:
                variables.pop(name, None)
            else:
                variables[name] = value
        return initial, told

    # queues and books; the answers are the digests of what counts as the files fill it in, and of what does not though
    # they fill in something new

    def _queues(self, kept: Mapping[str, RestoredQueue]) -> tuple[dict[str, str], dict[str, str]]:
        queues, parts = self._language.queues, self._parts
        made = {queue.name: queue for queue in queues if queue.name not in NOT_KEPT}
        digests = {name: _digest(written(line) for line in queue) for name, queue in made.items()}
        filled, ignored, laid = self._decide("queue", kept, digests)
        for name in laid:
            if kept[name].gone:
                queues.delete(name)
        queues.restore_names({name: kept[name].number for name in laid if not kept[name].gone})
        for name in laid:
            queue = queues.get(name)
            if queue is not None:
                queue.restore(kept[name].lines, kept[name].floor)
        for name in filled:
            queue = made[name]
            if name in kept:
                parts.change_queue(QueueChange(name, queue.number, removed=True))
            parts.fill_queue(name, queue.number, queue.floor, dict(queue.entries()))
        return filled, ignored

    def _books(self, kept: Mapping[str, RestoredBook]) -> tuple[dict[str, str], dict[str, str]]:
        books, parts = self._language.books, self._parts
        made = {book.name: book for book in books}
        digests = {name: _digest(_words(book)) for name, book in made.items()}
        filled, ignored, laid = self._decide("book", kept, digests)
        for name in laid:
            if kept[name].gone:
                books.delete(name)
        books.restore_names({name: kept[name].number for name in laid if not kept[name].gone})
        for name in laid:
            book = books.get(name)
            if book is not None:
                _restore_book(book, kept[name])
        for name in filled:
            book = made[name]
            if name in kept:
                parts.change_book(BookChange(name, book.number, removed=True))
            pages = [PageChange(page.key, page.name, page.serial, words=dict(page.words)) for page in book]
            parts.fill_book(name, book.number, book.floor, pages)
        return filled, ignored

    def _decide(
        self, what: str, kept: Mapping[str, Kept], digests: Mapping[str, str]
    ) -> tuple[dict[str, str], dict[str, str], list[str]]:
        """By the digests of what the files made: what counts as they have it, what does not though it is new, and the
        names of what is laid over."""
        filled: dict[str, str] = {}
        ignored: dict[str, str] = {}
        laid: list[str] = []
        for name, digest in digests.items():
            known = kept.get(name)
            if known is None:
                if digest:
                    filled[name] = digest
            elif digest != known.filled and not known.changed:
                filled[name] = digest
        for name, known in kept.items():
            if name in filled:
                continue
            laid.append(name)
            if digests.get(name, known.filled) != known.filled:
                ignored[name] = digests[name]
                self._tell(what, name)
        return filled, ignored, laid

    def _tell(self, what: str, name: str) -> None:
        text = (
            "the script files fill in something else than before, and tasks have changed it: it stays as tasks left it"
            " (`laulima run --new-data` begins all data afresh)"
        )
        self._language.effects.append(Notice("warning", f"{what} {name}", text))


def _restore_book(book: Book, kept: RestoredBook) -> None:
    pages = []
    for name, known in sorted(kept.pages.items(), key=lambda pair: pair[1].order):
        page = Page(name, known.order)
        page.key = known.key
        page.words = dict(known.words)
        pages.append(page)
    book.restore(pages, kept.floor)


def _words(book: Book) -> Iterable[str]:
    for page in book:
        yield written(page.name)
        yield str(len(page.words))
        for word, value in page.words.items():
            yield written(word)
            yield written(value)


def _digest(texts: Iterable[str]) -> str:
    """Of a sequence of texts; empty for none."""
    found = blake2b(digest_size=DIGEST_BYTES)
    empty = True
    for text in texts:
        empty = False
        content = text.encode()
        found.update(b"%d:" % len(content))
        found.update(content)
    return "" if empty else found.hexdigest()
