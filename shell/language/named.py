"""Things of one kind by name, in the order of their making: all queues, all books. Making and removing can be undone.

Rule: one name is one object for as long as some run may be undone. What was removed meanwhile is kept aside, empty, and
taken up again when its name is made again, so that inverses in anybody's log still find the object that people see.
Used by `queues.py` and `books.py` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from shell.language.changes import Changes, Kind
from shell.language.touched import Touched, TouchedThing


class Thing(Protocol):
    number: int
    """orders things by their making"""
    maker: int
    """the run that made or emptied it last (0: none that is recorded)"""
    floor: int
    """what has a smaller serial is thrown away"""
    next_serial: int

    def __len__(self) -> int: ...
    def clear(self) -> None:
        """Empty it; recorded."""

    def touched_in(self, touched: Touched) -> TouchedThing: ...


Some = TypeVar("Some", bound=Thing)


class Named(Generic[Some]):
    """`create(name, first)` makes an empty one whose first serial is `first`: serials of one name never come again, so
    a late word of a run about something that is gone cannot be taken for a word about what is there now."""

    __slots__ = ("_aside", "_changes", "_create", "_first", "_made", "_things", "get")

    def __init__(self, changes: Changes, create: Callable[[str, int], Some]) -> None:
        self._changes = changes
        self._create = create
        self._things: dict[str, Some] = {}
        self.get: Callable[[str], Some | None] = self._things.get
        """the thing of that name, or None; bound once, since every command begins with it"""
        self._aside: dict[str, Some] = {}
        self._made = 0
        self._first = 0
        """no serial of anything that was removed is as large"""
        changes.when_quiet(self._aside.clear)

    def __len__(self) -> int:
        return len(self._things)

    def __iter__(self) -> Iterator[Some]:
        return iter(self._things.values())

    def __contains__(self, name: str) -> bool:
        return name in self._things

    def make(self, name: str) -> Some:
        """The thing of that name; an empty new one when there is none."""
        thing = self._things.get(name)
        if thing is None:
            name = str(name)  # it may be a job's output, which is a kind of text of its own
            thing = self._aside.pop(name, None)
            if thing is None:
                thing = self._create(name, self._first)
            self._made += 1
            thing.number = self._made
            thing.maker = self._changes.current
            self._things[name] = thing
            if self._changes.log is not None:
                self._changes.log.append((MADE, self, name, thing, thing.maker))
        return thing

    def make_empty(self, name: str) -> Some:
        """The thing of that name, emptied."""
        thing = self.make(name)
        thing.clear()
        thing.maker = self._changes.current
        return thing

    def remove(self, name: str) -> bool:
        """Empty and forget it; whether it was there."""
        thing = self._things.get(name)
        if thing is None:
            return False
        thing.clear()
        if self._changes.log is not None:
            self._changes.log.append((REMOVED, self, name, thing, thing.number))
        self._forget(name, thing)
        return True

    def remove_all(self) -> None:
        for name in list(self._things):
            self.remove(name)

    def settle(self) -> None:
        """Restore the order after inverses."""
        in_order = sorted(self._things.items(), key=lambda pair: pair[1].number)
        self._things.clear()
        self._things.update(in_order)

    def restore_names(self, numbers: Mapping[str, int]) -> None:
        """Have things of these names with these numbers, and behind them whatever else is there. Not recorded."""
        others = [thing for name, thing in self._things.items() if name not in numbers]
        self._made = max(numbers.values(), default=0)
        for thing in others:
            self._made += 1
            thing.number = self._made
        for name, number in numbers.items():
            if name not in self._things:
                self._things[name] = self._create(name, self._first)
            self._things[name].number = number
        self.settle()

    def _forget(self, name: str, thing: Some) -> None:
        del self._things[name]
        self._first = max(self._first, thing.next_serial)
        if self._changes.recording:
            self._aside[name] = thing

    def unmake(self, name: str, thing: Some, run: int) -> None:
        """What another run has filled or emptied since stays."""
        if self._things.get(name) is thing and thing.maker == run and not len(thing):
            self._forget(name, thing)

    def unremove(self, name: str, thing: Some, number: int) -> Named[Some] | None:
        if name in self._things:
            return None
        self._aside.pop(name, None)
        thing.number = number
        self._things[name] = thing
        return self


def _note_made(touched: Touched, _named: object, _name: str, thing: Thing, _maker: int) -> None:
    thing.touched_in(touched).made(thing.number, thing.floor)


def _note_removed(touched: Touched, _named: object, _name: str, thing: Thing, _number: int) -> None:
    thing.touched_in(touched).removed()


MADE = Kind(Named.unmake, _note_made)
REMOVED = Kind(Named.unremove, _note_removed)
