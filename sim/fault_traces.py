"""Readers of failure traces: the failure records of Los Alamos (LANL) and the down times of Grid'5000.

A trace gives, for each node, the spans of time in which it was down. Which format a file has is seen from its first
line. Called by `shell.config.scenario_plans`, which maps nodes to hosts; drawn faults are `sim/fault_plans.py`'s.

LANL (LA-UR-05-7318, 1996-2005): a header line, then one failure a line, of all systems; times are of a clock in Los
Alamos, to the minute, when an operator was told. Grid'5000 (Failure Trace Archive, 2005-2006): `node,begin,end` opens a
node, named grid/site/cluster/node, and each `begin,end` after it is a span in which it was down; s since 1970.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NoReturn
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from model.errors import ConfigurationError
from model.job import SECOND
from model.windows import shown_first
from sim.numbered_lines import line_error, numbered_lines

LANL_ZONE = ZoneInfo("America/Denver")
"""Repair times that the file tells agree with this zone's changes to summer time."""
LANL_COLUMNS = ("System", "nodes", "nodenumz", "Prob Started", "Prob Fixed")
"""Those that are read; the header names them."""
LANL_TIME = "%m/%d/%Y %H:%M"
NODES_MAX = 100_000
"""Nodes of one trace, and the largest number of one."""
WALL_MAX_S = 4 * 10**9
"""Times later than in the year 2096 are no times of a trace."""
HINT = (
    "formats: LANL's failure records (a header line with System, nodes, nodenumz, Prob Started, Prob Fixed), and "
    "Grid'5000's down times (node,begin,end, then begin,end lines; s since 1970)"
)

Span = tuple[int, int]


class TraceNode(Struct, frozen=True):
    """A node, and when it was down: (begin, end) in s since 1970, in order, and apart."""

    name: str
    spans: tuple[Span, ...]


class FaultTrace(Struct, frozen=True):
    """The part of a trace that was asked for. Its beginning and its end are s since 1970."""

    path: Path
    begin_s: int
    end_s: int
    nodes: tuple[TraceNode, ...]
    """in order, those that were never down too"""
    left_out: dict[str, int] = field(default_factory=dict)
    """why -> how many records do not count"""

    @property
    def length_ns(self) -> int:
        """From its beginning to its end."""
        return (self.end_s - self.begin_s) * SECOND


def read_trace(path: Path, system: str = "") -> FaultTrace:
    """The nodes of a trace. `system`: of LANL its number, of Grid'5000 a part of it, such as `site1/c3`; it may be left
    out where there is one only (LANL) or for all (Grid'5000).

    Raises `ConfigurationError`, which names the file, the line and what is wrong with it.
    """
    lines = ((number, line.decode("utf-8", "replace").strip()) for number, line in numbered_lines(path, HINT))
    for number, line in lines:
        if not line or line.startswith("#"):
            continue
        words = line.split(",")
        if words[0] == "System":
            return _read_lanl(path, system, words, lines)
        if len(words) == 3 and "/" in words[0]:
            return _read_grid(path, system, number, words, lines)
        _refuse(path, number, "is neither LANL's header line nor the first node of a Grid'5000 trace")
    raise line_error(path, 0, "is empty", HINT)


def _refuse(path: Path, line: int, why: str) -> NoReturn:
    raise line_error(path, line, why, HINT)


def _apart(spans: list[Span]) -> tuple[Span, ...]:
    """Spans that overlap or touch are one."""
    joined: list[Span] = []
    for begin, end in sorted(spans):
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return tuple(joined)


def _is_part(name: str, system: str) -> bool:
    """Whether a node's path has `system` in it, in whole words."""
    return not system or f"/{system.strip('/')}/" in f"/{name}/"


# LANL


class _LanlSystem(Struct):
    """One system of LANL's while the file is read."""

    size: int = 0
    """how many nodes it has"""
    spans: dict[int, list[Span]] = field(default_factory=dict)
    records: int = 0


def _read_lanl(path: Path, system: str, header: list[str], lines: Iterator[tuple[int, str]]) -> FaultTrace:
    missing = [name for name in LANL_COLUMNS if name not in header]
    if missing:
        _refuse(path, 1, f"LANL's header line has no column {missing[0]!r}")
    places = [header.index(name) for name in LANL_COLUMNS]
    systems: dict[str, _LanlSystem] = {}
    left_out: dict[str, int] = {}
    for number, line in lines:
        if not line:
            continue
        words = next(csv.reader((line,)))
        if len(words) != len(header):
            _refuse(path, number, f"{len(words)} fields where the header has {len(header)}")
        name, size, node, begins, ends = (words[at] for at in places)
        found = systems.setdefault(name, _LanlSystem())
        found.records += 1
        if name != (system or next(iter(systems))):
            continue
        begin, end = _lanl_time(path, number, "Prob Started", begins), _lanl_time(path, number, "Prob Fixed", ends)
        if end < begin:
            _refuse(path, number, f"the failure ends ({ends}) before it begins ({begins})")
        if not node.isdecimal() or not size.isdecimal() or max(int(node), int(size)) > NODES_MAX:
            _refuse(
                path, number, f"system {name} does not say which node it was (nodenumz) and how many it has (nodes)"
            )
        found.size = int(size)
        found.spans.setdefault(int(node), [])
        if begin == end:
            left_out["it lasted no time"] = left_out.get("it lasted no time", 0) + 1
        else:
            found.spans[int(node)].append((begin, end))
    return _lanl_trace(path, system, systems, left_out)


def _lanl_trace(path: Path, system: str, systems: dict[str, _LanlSystem], left_out: dict[str, int]) -> FaultTrace:
    known = [f"{name} ({found.records} failures)" for name, found in systems.items()]
    chosen = system or next(iter(systems), "")
    if chosen not in systems or (not system and len(systems) > 1):
        why = f"has no system {system}" if system else "has several systems, or none: say which"
        raise ConfigurationError(f"{path} {why}", f"system: one of {', '.join(known) or 'none at all'}")
    found = systems[chosen]
    numbers = sorted(found.spans)
    free = (number for number in range(found.size) if number not in found.spans)
    numbers = sorted([*numbers, *[next(free) for _ in range(found.size - len(numbers))]])
    nodes = tuple(TraceNode(str(number), _apart(found.spans.get(number, []))) for number in numbers)
    spans = [span for node in nodes for span in node.spans]
    if not spans:
        raise ConfigurationError(f"{path}: no failure of system {chosen} lasted any time", "give another system")
    return FaultTrace(path, min(spans)[0], max(end for _, end in spans), nodes, left_out)


def _lanl_time(path: Path, line: int, column: str, text: str) -> int:
    try:
        moment = shown_first(datetime.strptime(text, LANL_TIME).replace(tzinfo=LANL_ZONE))
    except ValueError:
        _refuse(path, line, f"{column} is {text!r}, not a time such as 6/21/2005 10:54")
    return round(moment.timestamp())


# Grid'5000


def _read_grid(path: Path, system: str, number: int, words: list[str], lines: Iterator[tuple[int, str]]) -> FaultTrace:
    nodes: list[TraceNode] = []
    parts: dict[str, None] = {}
    left_out: dict[str, int] = {}
    begin_s, end_s = WALL_MAX_S, 0
    name, spans = "", list[Span]()
    first = last = 0

    def close() -> None:
        if name and _is_part(name, system):
            nodes.append(TraceNode(name, _apart(spans)))

    for at, line in _and_the_rest(number, words, lines):
        if len(line) == 3:
            close()
            if len(nodes) > NODES_MAX:
                _refuse(path, at, f"more than {NODES_MAX} nodes")
            name, spans = line[0], []
            first, last = (_grid_time(path, at, text) for text in line[1:])
            parts.setdefault("/".join(name.split("/")[1:-1]))
            if _is_part(name, system):
                begin_s, end_s = min(begin_s, first), max(end_s, last)
        elif len(line) == 2:
            begin, end = (_grid_time(path, at, text) for text in line)
            if end < begin:
                _refuse(path, at, f"the node is up again ({end}) before it is down ({begin})")
            if begin <= first or begin == end:
                why = "it lasted no time" if begin == end else "it was down when the trace began"
                if _is_part(name, system):
                    left_out[why] = left_out.get(why, 0) + 1
            else:
                spans.append((begin, end))
        else:
            _refuse(path, at, f"{len(line)} fields: a node has 3 (name,begin,end), a down time 2 (begin,end)")
    close()
    if not nodes:
        raise ConfigurationError(f"{path} has no node of {system}", f"parts: {', '.join(parts)}")
    return FaultTrace(path, begin_s, end_s, tuple(nodes), left_out)


def _and_the_rest(number: int, words: list[str], lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    yield number, words
    for at, line in lines:
        if line and not line.startswith("#"):
            yield at, line.split(",")


def _grid_time(path: Path, line: int, text: str) -> int:
    if not text.isdecimal() or not text.isascii() or int(text[:12]) > WALL_MAX_S or len(text) > 12:
        _refuse(path, line, f"{text!r} is not a time in whole seconds since 1970")
    return int(text)
