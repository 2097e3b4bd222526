"""A sorted set of integers that can say which one is the N-th, however it grows and shrinks.

Rule: sorted blocks of at most 1024 in one list. Adding, removing and the N-th cost a look along the blocks' lengths at
most, so 100,000 numbers are as good as 100. Used by `books.py`: serial numbers of pages, all or those that match.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from operator import itemgetter

BLOCK_LONGEST = 1024

_lowest = itemgetter(0)


class Ranked:
    """No number twice."""

    __slots__ = ("_blocks", "_count")

    def __init__(self) -> None:
        self._blocks: list[list[int]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        """In order."""
        for block in self._blocks:
            yield from block

    def add(self, number: int) -> None:
        """Add one that is not there."""
        blocks = self._blocks
        self._count += 1
        if not blocks:
            blocks.append([number])
            return
        place = len(blocks) - 1 if number > blocks[-1][0] else self._block_of(number)
        block = blocks[place]
        insort(block, number)
        if len(block) > BLOCK_LONGEST:
            half = BLOCK_LONGEST if number == block[-1] else BLOCK_LONGEST // 2  # blocks that grow at the end stay full
            blocks.insert(place + 1, block[half:])
            del block[half:]

    def remove(self, number: int) -> None:
        """Remove one that is there. Raises KeyError when it is not."""
        if not self._blocks:
            raise KeyError(number)
        place = self._block_of(number)
        block = self._blocks[place]
        index = bisect_left(block, number)
        if index == len(block) or block[index] != number:
            raise KeyError(number)
        del block[index]
        self._count -= 1
        if not block:
            del self._blocks[place]

    def at(self, rank: int) -> int | None:
        """The number of that rank, from 0; from the end when negative; None beyond either end."""
        if rank < 0:
            rank += self._count
        if not 0 <= rank < self._count:
            return None
        for block in self._blocks:
            if rank < len(block):
                return block[rank]
            rank -= len(block)
        raise AssertionError("the blocks hold fewer numbers than were counted")

    def _block_of(self, number: int) -> int:
        """Which block holds the number, or would."""
        return max(bisect_right(self._blocks, number, key=_lowest) - 1, 0)
