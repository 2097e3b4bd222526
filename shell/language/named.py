"""Things of one kind by name, in the order of their making: all queues, all books. Making and removing can be undone.

Rule: one name is one object for as long as some run may be undone. What was removed meanwhile is kept aside, empty, and
taken up again when its name is made again, so that inverses in anybody's log still find the object that people see.
Used by `queues.py` and `books.py` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from shell.language.changes import Changes


class Thing(Protocol):
    number: int
    """orders things by their making"""
    maker: int
    """the run that made or emptied it last (0: none that is recorded)"""

    def __len__(self) -> int: ...
    def clear(self) -> None:
        """Empty it; recorded."""


Kind = TypeVar("Kind", bound=Thing)


class Named(Generic[Kind]):
    __slots__ = ("_aside", "_changes", "_create", "_made", "_things", "get")

    def __init__(self, changes: Changes, create: Callable[[str], Kind]) -> None:
        self._changes = changes
        self._create = create
        self._things: dict[str, Kind] = {}
        self.get: Callable[[str], Kind | None] = self._things.get
        """the thing of that name, or None; bound once, since every command begins with it"""
        self._aside: dict[str, Kind] = {}
        self._made = 0
        changes.when_quiet(self._aside.clear)

    def __len__(self) -> int:
        return len(self._things)

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._things.values())

    def __contains__(self, name: str) -> bool:
        return name in self._things

    def make(self, name: str) -> Kind:
        """The thing of that name; an empty new one when there is none."""
        thing = self._things.get(name)
        if thing is None:
            name = str(name)  # it may be a job's output, which is a kind of text of its own
            thing = self._aside.pop(name, None)
            if thing is None:
                thing = self._create(name)
            self._made += 1
            thing.number = self._made
            thing.maker = self._changes.current
            self._things[name] = thing
            if self._changes.log is not None:
                self._changes.log.append((self._unmake, name, thing, thing.maker))
        return thing

    def make_empty(self, name: str) -> Kind:
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
            self._changes.log.append((self._unremove, name, thing, thing.number))
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

    def _forget(self, name: str, thing: Kind) -> None:
        del self._things[name]
        if self._changes.recording:
            self._aside[name] = thing

    def _unmake(self, name: str, thing: Kind, run: int) -> None:
        """What another run has filled or emptied since stays."""
        if self._things.get(name) is thing and thing.maker == run and not len(thing):
            self._forget(name, thing)

    def _unremove(self, name: str, thing: Kind, number: int) -> Named[Kind] | None:
        if name in self._things:
            return None
        self._aside.pop(name, None)
        thing.number = number
        self._things[name] = thing
        return self
