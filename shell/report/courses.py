"""Pictures over time: what ran where, slots, the queue by reason, and when hosts were away.

Called by `shell/report/page.py` with the `Timeline` of one run. Faults lie as bands behind every time axis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec.structs import replace as copied

from model import records
from model.events import HostVerb
from shell.report.drawing import (
    BAD,
    BAND_OPACITY,
    CLOSED,
    CUT_OFF,
    DOWN,
    DRAINED,
    FREE,
    INK,
    LOST,
    OFF,
    SET_ASIDE,
    SILENT,
    SUSPENDED,
    UNREACHED,
    USEFUL,
    Look,
    TimeAxis,
    key_of,
    legend,
    look_of,
    named,
    picture,
    rectangles,
)
from shell.wording import count
from sim import unused_slots
from sim.scenario import Kind
from sim.series import BINS
from sim.timeline import NONE, VERDICTS, FaultSpan, Timeline, Verdict
from sim.waiting import OF_ITEMS, OF_JOBS, Reason

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HOSTS_SHOWN = 20
"""Hosts in the picture of what ran where: those that were away longest, then those that lost most, then the busiest."""
HOSTS_MAPPED = 60
"""Hosts in the map of availability: those that were away at all, the longest first."""
JOBS_DRAWN = 2500
"""With more jobs on the hosts shown, how busy they were is drawn instead of each job."""
BANDS_MAX = 200
"""Bands of faults behind a time axis; with more, nothing could be seen before them."""
THINNEST = 0.003
"""A layer that is nowhere thicker than so much of the thickest cannot be seen, and is left out."""
OUTLINE = 0.5
"""Width of the line around a state of a host: a plain grey one has an edge, too."""
LEVELS = 4
"""Shades of a bin."""
TASKS_NAMED = 8
WITHOUT_POWER = ("without power", "hatched", copied(DOWN, opacity=0.75))
STATES: Mapping[str, tuple[str, str, Look]] = MappingProxyType({
    HostVerb.DRAIN.value: ("drained", "dotted", DRAINED),
    HostVerb.OFF.value: ("switched off", "rings", OFF),
    records.SET_ASIDE: ("set aside", "stars", SET_ASIDE),
    Kind.SILENT.value: ("agent silent", "plain grey", SILENT),
    Kind.SUSPENDED.value: ("suspended", "upright lines", SUSPENDED),
    Kind.LOST.value: ("cut off", "hatched the other way", CUT_OFF),
    Kind.DOWN.value: WITHOUT_POWER,
    Kind.REBOOT.value: WITHOUT_POWER,
})  # fmt: skip
"""What lies over a host's row, by the `kind` of its spans in the `Timeline`: its name, how it looks without colour, and
the look; the later ones on top."""


def bands(axes: Axes, timeline: Timeline, time: TimeAxis) -> None:
    """The faults, grey behind the picture."""
    if len(timeline.faults) > BANDS_MAX:
        return
    for fault in timeline.faults:
        end = timeline.end if fault.end == NONE else fault.end
        axes.axvspan(time.hours(fault.start), time.hours(end), color=INK, alpha=BAND_OPACITY, linewidth=0.0, zorder=0)


Groups = Mapping[str, Sequence[str]]
"""Hosts that may fail together, by the name of the rack, switch or site."""
NO_GROUPS: Groups = MappingProxyType({})


def _grouped(names: Sequence[str], groups: Groups) -> list[tuple[str, str]]:
    """(host, its group) with the hosts of a group beside each other; those of none last. A host is in the first group
    that has it: a later one may hold several earlier."""
    of = {host: (at, group) for at, (group, hosts) in reversed([*enumerate(groups.items())]) for host in hosts}
    ranked = sorted((of.get(name, (len(groups), "")), at, name) for at, name in enumerate(names))
    return [(name, group) for (_, group), _, name in ranked]


def _mark_groups(axes: Axes, shown: Sequence[tuple[str, str]]) -> bool:
    """Lines between the groups, and their names at the right. `shown`: from the top. Whether there is any."""
    if not any(group for _, group in shown):
        return False
    first = 0
    for at in range(1, len(shown) + 1):
        if at < len(shown) and shown[at][1] == shown[first][1]:
            continue
        top, bottom = len(shown) - 0.5 - first, len(shown) - 0.5 - at
        if at < len(shown):
            axes.axhline(bottom, color=INK, linewidth=0.8, linestyle=(0, (4, 2)))
        axes.text(
            1.01, (top + bottom) / 2, named(shown[first][1] or "in no group"), fontsize=8, va="center",
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
        first = at
    return True


def what_ran_where(timeline: Timeline, time: TimeAxis, groups: Groups = NO_GROUPS) -> tuple[str, str]:
    """SVG and caption: a row a host, each job a bar in the colour of its task."""
    hosts = list(timeline.hosts)
    ordered = _grouped(_worst_hosts(timeline), groups)
    shown = [name for name, _ in ordered]
    rows = {hosts.index(name): at for at, name in enumerate(reversed(shown))}
    spans = timeline.spans
    inside = [at for at in range(len(spans.start)) if spans.host[at] in rows]
    with picture(1.0 + 0.26 * len(shown)) as (_, (axes,), svg):
        if len(inside) <= JOBS_DRAWN:
            keys = _jobs(axes, timeline, time, rows, inside)
            how = "each bar a job in the colour of its task; x: lost with its host, killed or timed out"
        else:
            keys = _busy(axes, timeline, time, rows, inside)
            how = f"{count(len(inside), 'job')}, so not each but how busy the host was"
        states = _states(axes, timeline, time, {name: rows[hosts.index(name)] for name in shown})
        axes.set_yticks(range(len(shown)), [named(name) for name in reversed(shown)])
        axes.set_ylim(-0.6, len(shown) - 0.4)
        how += ", hosts by their groups" if _mark_groups(axes, ordered) else ""
        time.put_on(axes)
        legend(axes, [*keys, *(key_of(look, name) for name, _, look in states)], 5)
    left_out = len(hosts) - len(shown)
    more = f" {count(left_out, 'host')} left out, which did less or nothing." if left_out else ""
    over = f"; over a host's row, {', '.join(f'{drawn}: {name}' for name, drawn, _ in states)}" if states else ""
    return svg.text, f"What ran where: {how}{over}.{more}"


def _worst_hosts(timeline: Timeline) -> list[str]:
    hosts = list(timeline.hosts)
    spans = timeline.spans
    lost, busy = [0] * len(hosts), [0] * len(hosts)
    for at in range(len(spans.start)):
        end = timeline.end if spans.end[at] == NONE else spans.end[at]
        if spans.host[at] < len(hosts):
            busy[spans.host[at]] += (end - spans.start[at]) * spans.slots[at]
            lost[spans.host[at]] += VERDICTS[spans.verdict[at]] is Verdict.LOST
    away = {name: _away_ns(timeline, name) for name in hosts}
    order = sorted(range(len(hosts)), key=lambda at: (-away[hosts[at]], -lost[at], -busy[at], at))
    idle = {at for at in order if not away[hosts[at]] and not busy[at] and not timeline.closed.get(hosts[at])}
    kept = sorted([at for at in order if at not in idle][:HOSTS_SHOWN]) or [0]
    return [hosts[at] for at in kept]


def _away_ns(timeline: Timeline, host: str) -> int:
    """Faults may overlap."""
    until = total = 0
    for span in timeline.down.get(host, ()):  # in the order of their beginnings
        end = timeline.end if span.end == NONE else span.end
        total += max(0, end - max(span.start, until))
        until = max(until, end)
    return total


def _jobs(axes: Axes, timeline: Timeline, time: TimeAxis, rows: dict[int, int], inside: Sequence[int]) -> list[object]:
    """Bars within the host's row, which has a lane for each slot; a job of several slots is as high as these, in pieces
    where they are not beside each other."""
    spans, hosts = timeline.spans, list(timeline.hosts)
    lanes: dict[int, list[int]] = {host: [] for host in rows}
    boxes: dict[int, list[tuple[float, float, float, float]]] = {}
    lost: list[tuple[float, float]] = []
    for at in inside:
        host = spans.host[at]
        end = timeline.end if spans.end[at] == NONE else spans.end[at]
        tall = 0.8 / max(1, timeline.hosts[hosts[host]])
        begin = time.hours(spans.start[at])
        for first, number in taken_lanes(lanes[host], spans.slots[at], spans.start[at], end):
            bottom = rows[host] - 0.4 + max(0.0, min(first * tall, 0.8 - number * tall))
            high = min(number * tall, 0.8) - 0.1 * tall
            boxes.setdefault(spans.task[at], []).append((begin, bottom, time.hours(end) - begin, high))
        if VERDICTS[spans.verdict[at]] is Verdict.LOST:
            lost.append((time.hours(end), bottom + high / 2))
    for task in sorted(boxes):
        rectangles(axes, boxes[task], look_of(task), linewidth=0.2)
    if lost:
        axes.plot(*zip(*lost, strict=True), "x", color=INK, markersize=4, zorder=4)
    return [key_of(look_of(task), named(timeline.tasks[task]) or "unknown") for task in sorted(boxes)[:TASKS_NAMED]]


def taken_lanes(lanes: list[int], slots: int, start: int, end: int) -> list[tuple[int, int]]:
    """Lanes for a job, the lowest that are free: (the first, how many beside each other). `lanes`: until when each is
    taken; it grows where a host runs more than it has slots."""
    free = [lane for lane, until in enumerate(lanes) if until <= start][:slots]
    free += range(len(lanes), len(lanes) + slots - len(free))
    pieces: list[tuple[int, int]] = []
    for lane in free:
        lanes[lane : lane + 1] = [end]
        if pieces and sum(pieces[-1]) == lane:
            pieces[-1] = pieces[-1][0], pieces[-1][1] + 1
        else:
            pieces.append((lane, 1))
    return pieces


def _busy(axes: Axes, timeline: Timeline, time: TimeAxis, rows: dict[int, int], inside: Sequence[int]) -> list[object]:
    """A bar in each bin, as tall as the share of the host's slots that ran something."""
    spans, hosts = timeline.spans, list(timeline.hosts)
    width = timeline.end / (BINS / 2)
    slots_of = {host: max(1, timeline.hosts[hosts[host]]) for host in rows}
    shares: dict[int, list[float]] = {host: [0.0] * (BINS // 2) for host in rows}
    for at in inside:
        end = timeline.end if spans.end[at] == NONE else spans.end[at]
        areas = shares[spans.host[at]]
        for column in range(int(spans.start[at] // width), min(BINS // 2, int(end // width) + 1)):
            left, right = max(spans.start[at], column * width), min(end, (column + 1) * width)
            areas[column] += max(0.0, right - left) * spans.slots[at] / width
    boxes = [
        (time.hours(column * width), rows[host] - 0.4, time.hours(width), 0.8 * min(1.0, area / slots_of[host]))
        for host, areas in shares.items()
        for column, area in enumerate(areas)
        if area > 0.0
    ]
    rectangles(axes, boxes, USEFUL)
    return [key_of(USEFUL, "busy: full height is all slots")]


def _states(axes: Axes, timeline: Timeline, time: TimeAxis, rows: Mapping[str, int]) -> list[tuple[str, str, Look]]:
    """Over each host's row what kept it from working as usual; those of `STATES` that there are."""
    spans: dict[tuple[str, str, Look], list[tuple[int, FaultSpan]]] = {state: [] for state in STATES.values()}
    for table in (timeline.closed, timeline.down):
        for name, row in rows.items():
            for span in table.get(name, ()):
                spans[STATES[span.kind]].append((row, span))
    for (_, _, look), found in spans.items():
        rectangles(axes, _boxes(time, timeline.end, found), look, zorder=3, linewidth=OUTLINE)
    return [state for state, found in spans.items() if found]


def _boxes(
    time: TimeAxis, end_ns: int, spans: Sequence[tuple[int, FaultSpan]]
) -> list[tuple[float, float, float, float]]:
    """A box over the row for each of these times."""
    boxes = []
    for row, span in spans:
        end = end_ns if span.end == NONE else span.end
        boxes.append((time.hours(span.start), row - 0.45, time.hours(end - span.start), 0.9))
    return boxes


def _stack(
    axes: Axes, timeline: Timeline, time: TimeAxis, layers: Sequence[tuple[str, Look, Sequence[float]]]
) -> list[object]:
    """Areas on each other, in steps, one for each bin."""
    width = timeline.series.width_ns
    bottom = [0.0] * len(layers[0][2]) if layers else []
    keys = []
    most = max((max(values) for _, _, values in layers), default=0.0)
    for name, look, values in layers:
        if max(values) <= most * THINNEST:
            continue
        boxes = []
        for at, value in enumerate(values):
            if value > 0.0:
                end = min((at + 1) * width, timeline.end)
                boxes.append((time.hours(at * width), bottom[at], time.hours(end - at * width), value))
        rectangles(axes, boxes, look)
        bottom = [below + value for below, value in zip(bottom, values, strict=True)]
        keys.append(key_of(look, name))
    axes.set_ylim(0.0, max([*bottom, 1e-9]) * 1.08)
    return keys


def _steps(axes: Axes, timeline: Timeline, time: TimeAxis, values: Sequence[float], style: str, label: str) -> object:
    width = timeline.series.width_ns
    edges = [time.hours(min(at * width, timeline.end)) for at in range(len(values) + 1)]
    return axes.stairs(values, edges, color=INK, linestyle=style, linewidth=1.2, label=label, zorder=4)


def slots(timeline: Timeline, time: TimeAxis) -> tuple[str, str]:
    """SVG and caption: what the slots were there for, and the demand."""
    series, end = timeline.series, timeline.end
    means: Callable[[str], list[float]] = lambda name: series.means(name, end)  # noqa: E731 - read five times below
    good, rejected, lost, running = (means(verdict.value) for verdict in VERDICTS)
    useful = [one + other for one, other in zip(good, running, strict=True)]
    demand = [sum(parts) for parts in zip(useful, rejected, lost, means("pending slots"), strict=True)]
    with picture(3.3) as (_, (axes,), svg):
        bands(axes, timeline, time)
        layers = [
            ("ended well, or runs", USEFUL, useful), ("ended badly", BAD, rejected), ("lost work", LOST, lost),
            ("free", FREE, free_slots(timeline)), ("empty, and drained or off", CLOSED, means(unused_slots.CLOSED)),
            ("empty, and not to be reached", UNREACHED, means(unused_slots.UNREACHED)),
            ("without power", DOWN, means(unused_slots.DOWN)),
        ]  # fmt: skip
        keys = _stack(axes, timeline, time, layers)
        keys.append(_steps(axes, timeline, time, demand, "--", "demand: runs or waits"))
        most = max([*means(unused_slots.SLOTS), 1.0])
        axes.set_ylim(0.0, min(max([*demand, most]) * 1.05, most * 3))
        axes.set_ylabel("slots")
        time.put_on(axes)
        legend(axes, keys, 3)
    return svg.text, (
        "Slots: was capacity the limit? What runs counts as work wherever it runs; the whole height is all slots there "
        "are. The dashed line is what wanted to run; grey bands are faults."
    )


def age_unit(most_min: float) -> tuple[str, int]:
    """In what ages are read, and how many minutes that is: three of it at least, where there is so much."""
    return next(((unit, minutes) for unit, minutes in (("d", 1440), ("h", 60)) if most_min >= 3 * minutes), ("min", 1))


def free_slots(timeline: Timeline) -> list[float]:
    """Slots that were empty and could be used, in each bin."""
    taken = (*(verdict.value for verdict in VERDICTS), *unused_slots.NOT_FREE)
    columns = [timeline.series.means(name, timeline.end) for name in (unused_slots.SLOTS, *taken)]
    return [max(0.0, all_of - sum(others)) for all_of, *others in zip(*columns, strict=True)]


REASONS = {
    Reason.NO_SLOT: 0, Reason.HOST_AWAY: 6, Reason.HOST_CLOSED: 4, Reason.HOST_UNKNOWN: 5, Reason.CONTROLLER_AWAY: 3,
    Reason.AT_SCHEDULER: 7, Reason.HELD: 8, Reason.TO_HOST: 2, Reason.RETRY: 1,
    Reason.TASK_LIMIT: 9, Reason.TASK_HELD: 11, Reason.TASK_CLOSED: 15,
}  # fmt: skip
"""The look of each; those of items stand last, so that they lie on top."""


def queue(timeline: Timeline, time: TimeAxis) -> tuple[str, str]:
    """SVG and caption: jobs that wait, by reason, and the age of the oldest; on them items that are no jobs yet."""
    series, end = timeline.series, timeline.end
    with picture(3.3) as (_, (axes,), svg):
        bands(axes, timeline, time)
        means = {reason: series.means(reason.value, end) for reason in REASONS}
        with_items = any(any(means[reason]) for reason in OF_ITEMS)
        keys = _stack(axes, timeline, time, [(why.value, look_of(at), means[why]) for why, at in REASONS.items()])
        axes.set_ylim(0.0, max(axes.get_ylim()[1], 1.0))  # less than one job is no queue
        axes.set_ylabel("jobs and items that wait" if with_items else "jobs that wait")
        other = axes.twinx()
        other.spines["right"].set_visible(True)
        ages = _ages(timeline, [sum(parts) for parts in zip(*(means[reason] for reason in OF_JOBS), strict=True)])
        unit, minutes = age_unit(max(ages, default=0.0))
        if any(ages):
            ages = [age / minutes for age in ages]
            keys.append(_steps(other, timeline, time, ages, ":", f"age of the oldest, {unit}"))
            other.set_ylim(0.0, max([*ages, 1.0]) * 1.08)
        other.set_ylabel(unit)
        time.put_on(axes)
        legend(axes, keys, 3)
    caption = "Queue: why did jobs wait? The dotted line (right axis) is the age of the oldest that waited."
    if with_items:
        named_so = ", ".join(reason.value for reason in OF_ITEMS if any(means[reason]))
        caption += f" On top ({named_so}): items that a source has shown, of which their task makes no job yet."
    return svg.text, caption


def _ages(timeline: Timeline, waiting: Sequence[float]) -> list[float]:
    """Of the oldest job that waits, in each bin, minutes. Where jobs wait and nothing happens it grows older."""
    peaks = timeline.series.peaks.get("oldest", [0.0] * len(waiting))
    ages: list[float] = []
    for peak, jobs in zip(peaks, waiting, strict=False):
        before = ages[-1] if ages else 0.0
        grown = before + timeline.series.width_ns / 60e9 if jobs >= 1.0 and before else 0.0
        ages.append(peak / 60e9 or grown)
    return ages


def availability(timeline: Timeline, time: TimeAxis, groups: Groups = NO_GROUPS) -> tuple[str, str]:
    """SVG and caption: when which hosts were away; empty when none was."""
    known = [(at, name) for at, name in enumerate(timeline.hosts) if name in timeline.down]
    away = sorted((-_away_ns(timeline, name), at, name) for at, name in known)
    ordered = _grouped([name for _, _, name in away[:HOSTS_MAPPED]], groups)
    shown = [name for name, _ in ordered]
    if not shown:
        return "", ""
    width = timeline.end / BINS
    counts = _away_together(timeline, [name for _, name in known], width)
    most = max(counts)
    with picture(1.4 + 0.16 * max(4, len(shown)), (5.0, 1.0)) as (_, (axes, margin), svg):
        bottom, top = len(shown) - 0.2, 1.2 + 0.12 * len(shown)
        boxes = [
            (time.hours(at * width), bottom, time.hours(width), top * number / most) for at, number in enumerate(counts)
        ]
        rectangles(axes, [box for box in boxes if box[3]], Look(DOWN.colour))
        for row, name in enumerate(reversed(shown)):
            shares = _shares(timeline, name, width)
            for level in range(1, LEVELS + 1):
                boxes = [
                    (time.hours(first * width), row - 0.45, time.hours((last - first) * width), 0.9)
                    for first, last in _runs(shares, level)
                ]
                look = Look(DOWN.colour, DOWN.hatch if level == LEVELS else "")
                rectangles(axes, boxes, look, alpha=0.25 + 0.75 * level / LEVELS)
            percent = _away_ns(timeline, name) / timeline.end * 100
            margin.barh(row, percent, color=DOWN.colour, edgecolor=INK, height=0.8)
        heads = [f"at once, most {most}"]
        axes.set_yticks([*range(len(shown)), bottom + top / 2], [*(named(name) for name in reversed(shown)), *heads])
        for each in (axes, margin):
            each.set_ylim(-0.6, bottom + top + 0.1)
        margin.set_yticks([])
        margin.set_xlabel("% of the time away")
        by_group = ", by their groups" if _mark_groups(margin, ordered) else ""
        time.put_on(axes)
    total = len(timeline.hosts) - 1
    return svg.text, (
        f"When hosts were away: {len(away)} of {count(total, 'host')}"
        + (f", the {len(shown)} worst of them" if len(shown) < len(away) else "")
        + by_group
        + ". Columns in one line are hosts that failed together; above, how many were away at once."
    )


def _away_together(timeline: Timeline, hosts: Sequence[str], width: float) -> list[int]:
    """How many hosts were away in each bin, for any part of it."""
    away = [_shares(timeline, host, width) for host in hosts]
    return [sum(share > 0 for share in column) for column in zip(*away, strict=True)]


def _shares(timeline: Timeline, host: str, width: float) -> list[int]:
    """How much of each bin the host was away, in `LEVELS` steps; a bin with any of it has at least one."""
    areas = [0.0] * BINS
    for span in timeline.down.get(host, ()):
        end = timeline.end if span.end == NONE else span.end
        for at in range(int(span.start // width), min(BINS, int(end // width) + 1)):
            areas[at] += max(0.0, min(end, (at + 1) * width) - max(span.start, at * width)) / width
    return [min(LEVELS, -int(-area * LEVELS // 1)) if area > 1e-9 else 0 for area in areas]


def _runs(shares: Sequence[int], level: int) -> list[tuple[int, int]]:
    """Bins of this level that follow each other: (first, behind the last)."""
    found: list[tuple[int, int]] = []
    for at, share in enumerate(shares):
        if share == level:
            if found and found[-1][1] == at:
                found[-1] = (found[-1][0], at + 1)
            else:
                found.append((at, at + 1))
    return found
