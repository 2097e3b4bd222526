"""Answers that a session keeps in memory (`output -buffer`) until it writes them to a file (`output -dump FILE`)."""

from __future__ import annotations

from collections import deque

BUFFER_MAX = 16 << 20
"""Characters that a buffer keeps; the oldest texts go."""


class Buffer:
    """Filled by `Language`, emptied by the command `output`."""

    __slots__ = ("_lost", "_size", "_texts")

    def __init__(self) -> None:
        self._texts: deque[str] = deque()
        self._size = 0
        self._lost = 0
        """characters that had no room"""

    def add(self, text: str) -> None:
        self._texts.append(text)
        self._make_room(len(text))

    def put_back(self, text: str) -> None:
        """What was taken could not be used: in front of everything."""
        self._texts.appendleft(text)
        self._make_room(len(text))

    def take(self) -> str:
        """Everything; the buffer is empty then. The first line says how much had no room."""
        lost = f"[{self._lost} earlier characters had no room in the buffer]\n" if self._lost else ""
        text = lost + "".join(self._texts)
        self._texts.clear()
        self._size = self._lost = 0
        return text

    def _make_room(self, more: int) -> None:
        self._size += more
        while self._size > BUFFER_MAX:
            gone = len(self._texts.popleft())
            self._size -= gone
            self._lost += gone
