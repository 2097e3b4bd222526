"""The command `book ...`, and `queue2book` with its older name `ipptool2book`. For books see `shell/language/books.py`.

With `-var` what is not there gives `NULL` and success, except for `npages` and `setword`, which fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from shell.language.books import NULL, Page
from shell.language.calls import Call, Command, Failure, misused
from shell.language.mathematics import number_of
from shell.language.metadata import Block, Trouble, page_blocks, raw_blocks
from shell.wording import clean, nearest

TROUBLES_SHOWN = 10
"""Lines of an answer that are shown when they make no sense; of more only the number is told."""
TROUBLE_LONGEST = 200
"""Characters of such a line that are shown."""


@dataclass(frozen=True, slots=True)
class Part:
    """One form of `book`. `count`: the arguments behind the form's name, options not among them."""

    usage: str
    count: int
    run: Callable[[Call], bool]


def book(call: Call) -> bool:
    words = call.words
    part = PARTS.get(words[1]) if len(words) > 1 else None
    if part is None:
        raise _no_such_part(words[1:])
    return part.run(call)


def _no_such_part(given: list[str]) -> Failure:
    known = "forms: " + " ".join(PARTS)
    if not given:
        return Failure(f"USAGE: {USAGE}", hint=known)
    return Failure(f"book: unknown form {given[0]}{nearest(given[0], list(PARTS))}", hint=known)


def _arguments(call: Call, form: str) -> list[str]:
    """What is left behind `book FORM` when the options are taken out."""
    part = PARTS[form]
    return call.arguments(part.count + 1, part.count + 1, part.usage)[1:]


def _key(call: Call) -> tuple[str, str] | None:
    keys = call.options("-key", 2)
    return (keys[-1][0], keys[-1][1]) if keys else None


def _answer(call: Call, variable: str | None, found: str | None, missing: str) -> bool:
    """Print or keep what was found; `missing` says what was not."""
    if variable is not None:
        call.set(variable, NULL if found is None else found)
    elif found is None:
        raise Failure(missing)
    else:
        call.say(found)
    return True


# whole books


def _init(call: Call) -> bool:
    (name,) = _arguments(call, "init")
    call.language.books.init(name)
    return True


def _create(call: Call) -> bool:
    """A book that exists keeps its pages."""
    (name,) = _arguments(call, "create")
    call.language.books.make(name)
    return True


def _delete(call: Call) -> bool:
    (name,) = _arguments(call, "delete")
    if not call.language.books.delete(name):
        raise Failure(f"book {name} not found")
    return True


def _list(call: Call) -> bool:
    _arguments(call, "list")
    for item in call.language.books:
        call.say(f"{item.name:<15} {len(item)}")
    return True


def _getbook(call: Call) -> bool:
    """The N-th book, in the order of their making."""
    variable = call.option("-var")
    (text,) = _arguments(call, "getbook")
    names = call.language.books.names()
    rank = _rank(text)
    name = names[rank] if -len(names) <= rank < len(names) else None
    return _answer(call, variable, name, f"book {text} not found: there are {len(names)}")


def _listbook(call: Call) -> bool:
    (name,) = _arguments(call, "listbook")
    pages = [page.name for page in call.language.books.find(name)]
    if pages:
        call.say("\n".join(pages))
    return True


def _shuffle(call: Call) -> bool:
    (name,) = _arguments(call, "shuffle")
    call.language.books.find(name).shuffle(call.language.random)
    return True


# pages


def _newpage(call: Call) -> bool:
    """A page that exists stays as it is."""
    name, page = _arguments(call, "newpage")
    call.language.books.find(name).make(page)
    return True


def _delpage(call: Call) -> bool:
    """With a key: all that match, which may be none."""
    key = _key(call)
    if key is None:
        name, page = _arguments(call, "delpage")
        found = call.language.books.find(name)
        found.delete_page(found.find(page))
    else:
        name = call.arguments(2, 2, PARTS["delpage"].usage)[1]
        call.language.books.find(name).delete_matching(*key)
    return True


def _listpage(call: Call) -> bool:
    name, page = _arguments(call, "listpage")
    for word, value in call.language.books.find(name).find(page).words.items():
        call.say(f"{word:<20} {value}")
    return True


def _npages(call: Call) -> bool:
    key = _key(call)
    variable = call.option("-var")
    (name,) = _arguments(call, "npages")
    found = call.language.books.find(name)
    count = len(found) if key is None else found.count_matching(*key)
    if variable is None:
        call.say(f"Npages: {count}")
    else:
        call.set(variable, count)
    return True


def _getpage(call: Call) -> bool:
    """The N-th page, from 0, negative from the end; with a key the N-th one of those that match."""
    key = _key(call)
    variable = call.option("-var")
    name, text = _arguments(call, "getpage")
    rank = _rank(text)
    found = call.language.books.get(name)
    page: Page | None = None
    missing = f"book {name} not found"
    if found is not None:
        page = found.page_at(rank) if key is None else found.matching_at(rank, *key)
        such = "" if key is None else f" with {key[0]} {key[1]}"
        missing = f"page {text}{such} not found in book {name}"
    return _answer(call, variable, None if page is None else page.name, missing)


def _rank(text: str) -> int:
    """A fraction, which a computed number may have, is cut off."""
    with suppress(ValueError):
        return int(text)
    number = number_of(text)
    if number is None or not math.isfinite(number):
        raise Failure(f"not a number: {text}", hint="pages are counted from 0, and from the end with -1")
    return int(number)


# words


def _setword(call: Call) -> bool:
    """Without a value: the empty text, since an empty `$x` leaves no word behind. No options: any value will do."""
    words = call.words
    if len(words) == 5:
        value = ""
    elif len(words) == 6:
        value = str(words[5])
    else:
        raise misused(PARTS["setword"].usage, words[2:], 4)
    book_of = call.language.books.find(words[2])
    book_of.set_word(book_of.find(words[3]), str(words[4]), value)
    return True


def _getword(call: Call) -> bool:
    variable = call.option("-var")
    name, page_name, word = _arguments(call, "getword")
    found = call.language.books.get(name)
    page = None if found is None else found.get(page_name)
    value = None if page is None else page.words.get(word)
    if value is not None:
        missing = ""
    elif found is None:
        missing = f"book {name} not found"
    elif page is None:
        missing = f"page {page_name} not found in book {name}"
    else:
        missing = f"word {word} not found in page {page_name} of book {name}"
    return _answer(call, variable, value, missing)


PARTS: dict[str, Part] = {
    "init": Part("book init BOOK", 1, _init),
    "create": Part("book create BOOK", 1, _create),
    "delete": Part("book delete BOOK", 1, _delete),
    "list": Part("book list", 0, _list),
    "getbook": Part("book getbook N [-var NAME]", 1, _getbook),
    "listbook": Part("book listbook BOOK", 1, _listbook),
    "shuffle": Part("book shuffle BOOK", 1, _shuffle),
    "newpage": Part("book newpage BOOK PAGE", 2, _newpage),
    "delpage": Part("book delpage BOOK PAGE | book delpage BOOK -key WORD VALUE", 2, _delpage),
    "listpage": Part("book listpage BOOK PAGE", 2, _listpage),
    "npages": Part("book npages BOOK [-var NAME] [-key WORD VALUE]", 1, _npages),
    "getpage": Part("book getpage BOOK N [-var NAME] [-key WORD VALUE]", 2, _getpage),
    "setword": Part("book setword BOOK PAGE WORD [VALUE]", 4, _setword),
    "getword": Part("book getword BOOK PAGE WORD [-var NAME]", 3, _getword),
}
"""Read by `book`, by completion and by `validate`."""

USAGE = "book FORM ..."


# answers of queries


CONVERT = "queue2book QUEUE BOOK [-key WORD[:WORD...]] [-uniq] [-setword WORD VALUE]... [-raw-columns]"


def convert(call: Call) -> bool:
    """Make a page of each block in a queue; the queue is empty afterwards.

    A page that exists gets the block's words on top of its own; with `-uniq` it stays as it is. What cannot be read is
    shown as `ERROR: ...`, and does not fail the command.
    """
    constants = call.options("-setword", 2)
    key = call.option("-key")
    unique = call.flag("-uniq")
    raw = call.flag("-raw-columns")
    queue_name, book_name = call.arguments(2, 2, CONVERT)
    queue = call.language.queues.find(queue_name)
    blocks, troubles = (raw_blocks if raw else page_blocks)(queue)
    into = call.language.books.make(book_name)
    queue.clear()
    free = len(into)
    for block in blocks:
        if key is None:
            while into.get(name := f"page.{free:03d}") is not None:
                free += 1
        else:
            given = _page_name(block, key.split(":"))
            if isinstance(given, Trouble):
                troubles.append(given)
                continue
            name = given
        if unique and into.get(name) is not None:
            continue
        page = into.make(name)
        for word, value in block.words.items():
            into.set_word(page, word, value)
        for word, value in constants:
            into.set_word(page, str(word), str(value))
    _show(call, queue_name, troubles)
    return True


def _page_name(block: Block, words: list[str]) -> str | Trouble:
    missing = [word for word in words if word not in block.words]
    if missing:
        return Trouble(block.line, f"no page made: the block has no word {' and no word '.join(missing)}", block.name)
    return ":".join([block.words[word] for word in words])


def _show(call: Call, queue_name: str, troubles: Iterable[Trouble]) -> None:
    in_order = sorted(troubles, key=lambda trouble: trouble.line)
    for trouble in in_order[:TROUBLES_SHOWN]:
        text = clean(trouble.text[:TROUBLE_LONGEST])
        call.complain(f"ERROR: line {trouble.line} of queue {queue_name}: {trouble.problem}: {text}")
    if len(in_order) > TROUBLES_SHOWN:
        call.complain(f"ERROR: queue {queue_name}: {len(in_order) - TROUBLES_SHOWN} more lines like these")


COMMANDS: tuple[Command, ...] = (
    Command("book", book, USAGE, "books of pages of words: " + " ".join(PARTS), least=1),
    Command("queue2book", convert, CONVERT, "make pages of the answer of a query that is in a queue", least=2),
    Command(
        "ipptool2book", convert, CONVERT.replace("queue2book", "ipptool2book"), "older name of queue2book", least=2
    ),
)
