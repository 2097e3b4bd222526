"""Sums over time in bins of one width, which grow with the run: what pictures over time are drawn of.

Filled by `sim/timeline.py` and `sim/waiting.py`; read by `shell/report/` and `shell/course_lines.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from model.job import SECOND

BINS = 300
"""Time is cut into at most so many pieces: more cannot be seen in a picture."""
FIRST_BIN_NS = SECOND


class Most(Struct, frozen=True):
    """The largest value at any moment, however short it was, and when it was first reached (ns)."""

    value: int = 0
    at: int = 0


def most_of(changes: Iterable[tuple[int, int]]) -> Most:
    """Of what begins at 0: (when, by how much), in order. What ends at a moment is gone when something else begins."""
    most, value = Most(), 0
    for at, by in changes:
        value += by
        if value > most.value:
            most = Most(value, at)
    return most


class Series:
    """Sums over time by name, in bins of one width, which doubles when they are full."""

    def __init__(self) -> None:
        self.width_ns = FIRST_BIN_NS
        self.areas: dict[str, list[float]] = {}
        self.peaks: dict[str, list[float]] = {}

    def add(self, name: str, start: int, end: int, weight: float) -> None:
        """`weight` from `start` to `end`."""
        if end <= start or not weight:
            return
        self._reach(end)
        areas = self._of(self.areas, name)
        width = self.width_ns
        first, last = start // width, (end - 1) // width
        if first == last:
            areas[first] += weight * (end - start)
            return
        areas[first] += weight * ((first + 1) * width - start)
        for at in range(first + 1, last):
            areas[at] += weight * width
        areas[last] += weight * (end - last * width)

    def peak(self, name: str, at_ns: int, value: float) -> None:
        """The bin's largest value."""
        self._reach(at_ns + 1)
        peaks = self._of(self.peaks, name)
        at = at_ns // self.width_ns
        peaks[at] = max(peaks[at], value)

    def means(self, name: str, end_ns: int) -> list[float]:
        """The mean in each bin up to `end_ns`."""
        self._reach(end_ns)  # the last thing may have been long ago
        count = max(1, -(-end_ns // self.width_ns))
        areas = self._of(self.areas, name)[:count]
        widths = [min(self.width_ns, max(1, end_ns - at * self.width_ns)) for at in range(count)]
        return [area / width for area, width in zip(areas, widths, strict=True)]

    def _of(self, table: dict[str, list[float]], name: str) -> list[float]:
        values = table.get(name)
        if values is None:
            values = table[name] = [0.0] * BINS
        return values

    def _reach(self, end: int) -> None:
        while end > self.width_ns * BINS:
            half = BINS // 2
            for areas in self.areas.values():
                areas[:] = [areas[2 * at] + areas[2 * at + 1] for at in range(half)] + [0.0] * (BINS - half)
            for peaks in self.peaks.values():
                peaks[:] = [max(peaks[2 * at : 2 * at + 2]) for at in range(half)] + [0.0] * (BINS - half)
            self.width_ns *= 2
