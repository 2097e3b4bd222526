"""Queues: named FIFOs of text lines. The data only; the commands are in `commands/queues.py`.

Rule: an entry is known by its serial number, which grows with each push; entries are kept in that order. So pushing,
popping and taking one from the middle cost the same whatever the length, and the inverse of a change finds its entry
again. Keyed look-ups use an index for each form of key that was ever used on that queue, built at the first use. An
index may name entries that are gone or have changed; whoever reads it checks, and when most is stale it is thrown away.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from heapq import heappop, heappush

from shell.language.calls import Failure
from shell.language.changes import Changes, Kind
from shell.language.named import Named
from shell.language.touched import Touched, TouchedQueue
from shell.wording import nearest

Columns = tuple[int, ...]
"""A form of key: numbers of blank-separated columns from 0; -1 is the whole line."""

WHOLE_LINE: Columns = (-1,)
STALE_MOST = 64
"""An index may hold twice the queue's entries and this many more."""
PASSES_MOST = 1000
"""How often `substitute` goes over one line before it gives up."""
LINE_LONGEST = 16 << 20
"""Characters; the language's limit for a value."""


@lru_cache(maxsize=256)
def key_columns(text: str) -> Columns:
    """`0:2` as columns. Raises Failure when it is no such thing."""
    try:
        columns = tuple(int(part) for part in text.split(":"))
    except ValueError:
        columns = (-2,)
    if min(columns) < -1:
        raise Failure(
            f"invalid key {text}", hint="column numbers from 0, joined with ':', as in 0:2; -1 is the whole line"
        )
    return columns


def key_of(line: str, columns: Columns) -> str | None:
    """The key of a line: its columns joined with `:`; None when it has not so many columns (it then equals none)."""
    if columns == WHOLE_LINE:
        return line
    words = line.split()
    try:
        return ":".join([words[column] if column >= 0 else line for column in columns])
    except IndexError:
        return None


def cut_lines(text: str) -> list[str]:
    """One line for each part between newlines; an empty last part is none. Plain text, whatever kind of text came."""
    lines = str(text).split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


class KeyIndex:
    """Serial numbers of entries by key, as heaps; some may be stale."""

    __slots__ = ("heaps", "size")

    def __init__(self) -> None:
        self.heaps: dict[str, list[int]] = {}
        self.size = 0

    def add(self, key: str | None, serial: int) -> None:
        if key is not None:
            heappush(self.heaps.setdefault(key, []), serial)
            self.size += 1


class Queue:
    """One queue. Every change is recorded in `changes.log`."""

    __slots__ = ("_changes", "_indexes", "_lines", "floor", "maker", "name", "next_serial", "number")

    def __init__(self, name: str, changes: Changes, first: int = 0) -> None:
        """`first`: the serial of its first entry."""
        self.name = name
        self.number = 0
        self.maker = 0
        self._changes = changes
        self._lines: OrderedDict[int, str] = OrderedDict()
        self.next_serial = first
        self.floor = first
        """entries before this serial were thrown away by `clear`: their inverses do nothing"""
        self._indexes: dict[Columns, KeyIndex] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines.values())

    def entries(self) -> Mapping[int, str]:
        """The lines by their serials, in order; to read."""
        return self._lines

    def restore(self, lines: Mapping[int, str], floor: int) -> None:
        """Have just these lines with these serials. Not recorded: it is what was recorded."""
        self._lines = OrderedDict(sorted(lines.items()))
        self.floor = floor
        self.next_serial = max(floor, next(reversed(self._lines), -1) + 1)
        self._indexes = {}

    def touched_in(self, touched: Touched) -> TouchedQueue:
        """What a run has touched of it."""
        return touched.queue(self.name, self.number)

    def push(self, line: str) -> None:
        """Add one line (without newline) at the end."""
        serial = self.next_serial
        self.next_serial = serial + 1
        self._lines[serial] = line
        if self._indexes:
            self._note(serial, line)
        log = self._changes.log
        if log is not None:
            log.append((PUSHED, self, serial, line))

    def pop(self) -> str | None:
        """Remove and return the first line; None: empty."""
        lines = self._lines
        if not lines:
            return None
        serial, line = lines.popitem(False)
        log = self._changes.log
        if log is not None:
            log.append((TAKEN, self, serial, line))
        return line

    def pop_key(self, columns: Columns, key: str) -> str | None:
        """Remove and return the first line with that key; None: there is none."""
        serial = self._first(columns, key)
        return None if serial is None else self._take(serial)

    def drop_key(self, columns: Columns, key: str) -> int:
        """Remove all lines with that key; how many there were."""
        dropped = 0
        while self.pop_key(columns, key) is not None:
            dropped += 1
        return dropped

    def push_unique(self, line: str, columns: Columns) -> bool:
        """Push only when no entry has the line's key; whether it was pushed."""
        key = key_of(line, columns)
        if key is not None and self._first(columns, key) is not None:
            return False
        self.push(line)
        return True

    def push_replacing(self, line: str, columns: Columns) -> None:
        """Put the line in the place of the first entry with its key; at the end when there is none."""
        key = key_of(line, columns)
        serial = None if key is None else self._first(columns, key)
        if serial is None:
            self.push(line)
        else:
            self._replace(serial, line)

    def substitute(self, old: str, new: str) -> None:
        """Replace `old` in every line until it is gone; each occurrence once where `new` contains it (else: endless).

        Raises Failure, with no line changed, when a line never gets rid of `old`, or grows beyond 16 MiB.
        """
        changed = [(serial, _substituted(line, old, new)) for serial, line in self._lines.items() if old in line]
        for serial, line in changed:
            self._replace(serial, line)

    def clear(self) -> None:
        """Empty it."""
        self.next_serial += 1  # so that no other clearing has the same floor
        if self._changes.log is not None:
            self._changes.log.append((EMPTIED, self, self._lines, self.next_serial, self.floor))
        self._lines = OrderedDict()
        self.floor = self.next_serial
        self._indexes = {}

    # keys

    def _first(self, columns: Columns, key: str) -> int | None:
        """The serial of the first entry with that key."""
        index = self._indexes.get(columns)
        if index is None:
            index = self._indexes[columns] = KeyIndex()
            for serial, line in self._lines.items():
                index.add(key_of(line, columns), serial)
        heap = index.heaps.get(key)
        while heap:
            found = self._lines.get(heap[0])
            if found is not None and key_of(found, columns) == key:
                return heap[0]
            heappop(heap)
            index.size -= 1
        index.heaps.pop(key, None)
        return None

    def _note(self, serial: int, line: str) -> None:
        """Keep the indexes up to date with an entry that is new or has a new line."""
        for columns, index in list(self._indexes.items()):
            index.add(key_of(line, columns), serial)
            if index.size > 2 * len(self._lines) + STALE_MOST:
                del self._indexes[columns]

    # single changes, and their inverses (called by `changes.py`, through the kinds below)

    def _take(self, serial: int) -> str:
        line = self._lines.pop(serial)
        if self._changes.log is not None:
            self._changes.log.append((TAKEN, self, serial, line))
        return line

    def _replace(self, serial: int, line: str) -> None:
        old = self._lines[serial]
        self._lines[serial] = line
        self._note(serial, line)
        if self._changes.log is not None:
            self._changes.log.append((REPLACED, self, serial, old, line))

    def unpush(self, serial: int, line: str) -> None:
        if self._lines.get(serial) is line:
            del self._lines[serial]

    def unreplace(self, serial: int, old: str, line: str) -> None:
        if self._lines.get(serial) is line:
            self._lines[serial] = old
            self._note(serial, old)

    def put_back(self, serial: int, line: str) -> Queue | None:
        lines = self._lines
        if serial < self.floor or serial in lines:
            return None
        first = next(iter(lines), serial)
        lines[serial] = line
        self._note(serial, line)
        if serial > first:
            return self
        lines.move_to_end(serial, last=False)  # mostly: it was popped from there
        return None

    def unclear(self, lines: OrderedDict[int, str], floor: int, floor_before: int) -> Queue | None:
        if self.floor != floor:
            return None
        lines.update(self._lines)
        self._lines = lines
        self.floor = floor_before
        self._indexes = {}
        return None

    def settle(self) -> None:
        """Restore the order after inverses."""
        self._lines = OrderedDict(sorted(self._lines.items()))


def _note_pushed(touched: Touched, queue: Queue, serial: int, line: str) -> None:
    queue.touched_in(touched).pushed(serial, line)


def _note_taken(touched: Touched, queue: Queue, serial: int, _line: str) -> None:
    queue.touched_in(touched).taken(serial)


def _note_replaced(touched: Touched, queue: Queue, serial: int, _old: str, line: str) -> None:
    queue.touched_in(touched).replaced(serial, line)


def _note_emptied(touched: Touched, queue: Queue, _lines: object, floor: int, _before: int) -> None:
    queue.touched_in(touched).emptied(floor)


PUSHED = Kind(Queue.unpush, _note_pushed)
TAKEN = Kind(Queue.put_back, _note_taken)
REPLACED = Kind(Queue.unreplace, _note_replaced)
EMPTIED = Kind(Queue.unclear, _note_emptied)


class Queues:
    """All queues by name."""

    __slots__ = ("_named", "get", "restore_names")

    def __init__(self, changes: Changes) -> None:
        self._named: Named[Queue] = Named(changes, lambda name, first: Queue(name, changes, first))
        self.get = self._named.get
        """the queue of that name, or None"""
        self.restore_names = self._named.restore_names

    def __iter__(self) -> Iterator[Queue]:
        return iter(self._named)

    def names(self) -> list[str]:
        """In the order of their making."""
        return [queue.name for queue in self._named]

    def find(self, name: str) -> Queue:
        """Raises Failure when there is no such queue."""
        queue = self.get(name)
        if queue is None:
            raise Failure(f"queue {name} not found{nearest(name, self.names())}", hint=f"queueinit {name} makes it")
        return queue

    def make(self, name: str) -> Queue:
        """The queue of that name, made when there is none."""
        return self._named.make(name)

    def init(self, name: str) -> Queue:
        """The queue of that name, empty."""
        return self._named.make_empty(name)

    def delete(self, name: str) -> bool:
        """Whether there was one."""
        return self._named.remove(name)

    def push(self, name: str, text: str) -> None:
        """One entry for each line of `text`, at the end of the queue, which is made when there is none."""
        queue = self.get(name)
        if queue is None:
            queue = self._named.make(name)
        if type(text) is str and text and "\n" not in text:
            queue.push(text)
        else:
            for line in cut_lines(text):
                queue.push(line)

    def fill(self, name: str, text: str) -> None:
        """The lines of `text` and nothing else: what a job wrote, before its exit macro."""
        self.init(name)
        self.push(name, text)

    def dump(self) -> dict[str, list[str]]:
        """All lines of all queues, in order."""
        return {queue.name: list(queue) for queue in self._named}

    def load(self, dumped: Mapping[str, Sequence[str]]) -> None:
        """Have just what `dump` gave."""
        self._named.remove_all()
        for name, lines in dumped.items():
            queue = self.make(name)
            for line in lines:
                queue.push(line)


def _substituted(line: str, old: str, new: str) -> str:
    for _ in range(1 if old in new else PASSES_MOST):
        line = line.replace(old, new)
        if len(line) > LINE_LONGEST:
            raise Failure(f"replacing {old} by {new} makes a line longer than 16 MiB")
        if old not in line:
            break
    else:
        if old not in new:
            raise Failure(f"replacing {old} by {new} never ends: {old} is still there after {PASSES_MOST} passes")
    return line
