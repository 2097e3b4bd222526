"""How pictures are drawn: matplotlib, asked for here only and when a report is made, to SVG that a page can hold.

The same run gives the same bytes. Text and lines have the page's own colour (`currentColor`), so a picture is as good
on dark as on light; what has a colour has a hatch as well, so it can be told apart without. Called by the other files
here.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.util import find_spec
from io import StringIO
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

from model.errors import LaulimaError
from shell.wording import clean, cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#010203"
"""Drawn in this colour, and written as `currentColor`. No other colour is like it."""
WIDTH_INCHES = 9.6
NAME_COLUMNS = 28
"""A name in a picture is cut here."""
TICKS_MAX = 9
LEGEND_INCHES = 0.55
"""How far below the axes a legend begins, of a low picture."""
MINUTE_NS, HOUR_NS, DAY_NS = 60 * 10**9, 3600 * 10**9, 86400 * 10**9
STEPS_NS = (
    *(seconds * 10**9 for seconds in (1, 5, 10, 30)),
    *(minutes * MINUTE_NS for minutes in (1, 5, 10, 15, 30)),
    *(hours * HOUR_NS for hours in (1, 2, 3, 6, 12)),
    *(days * DAY_NS for days in (1, 2, 7, 30, 90, 365)),
)

RC: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: it is searched, read aloud, and small
    "svg.hashsalt": "laulima",
    "text.parse_math": False,  # a name with two $ is a name
    "path.simplify": False,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "hatch.linewidth": 0.6,
    **{f"{name}.color": INK for name in ("text", "xtick", "ytick", "grid", "lines")},
    **{f"axes.{name}": INK for name in ("edgecolor", "labelcolor", "titlecolor")},
}


class Look(Struct, frozen=True):
    """How one thing is filled: a colour, and a hatch that tells it apart without. `opacity`: of the colour."""

    colour: str
    hatch: str = ""
    opacity: float = 1.0


PALETTE = (
    Look("#0072B2"), Look("#E69F00", "///"), Look("#009E73", "|||"), Look("#CC79A7", "xxx"), Look("#56B4E9", "\\\\\\"),
    Look("#F0E442", "+++"), Look("#D55E00", "---"), Look("#999999", "/|"),
)  # fmt: skip
"""Okabe and Ito (2008): told apart by colour-blind eyes; further ones begin again with a denser hatch."""
USEFUL, BAD, LOST, FREE, DOWN = (
    Look("#0072B2"), Look("#56B4E9", "\\\\"), Look("#D55E00", "xxx"), Look(INK, "", 0.1), Look("#888888", "///"),
)  # fmt: skip
SILENT, SUSPENDED, CUT_OFF = Look("#888888", "", 0.45), Look("#888888", "||||", 0.75), Look("#888888", "\\\\\\", 0.6)
"""A host whose agent stands still (its jobs go on, and are seen through it), that stands still as a whole, and that
nothing reaches."""
DRAINED, OFF, SET_ASIDE = Look("#777777", "...", 0.6), Look("#777777", "oo", 0.6), Look("#777777", "**", 0.6)
"""A host that takes nothing new, that a person has switched off, or that gets nothing because jobs failed there."""
CLOSED, UNREACHED = DRAINED, CUT_OFF
"""Empty slots of hosts that are drained, off or set aside, and of those that do not answer."""
BAND_OPACITY = 0.16
"""Of the bands of faults behind every time axis."""


def look_of(number: int) -> Look:
    """Of the `number`-th task or reason."""
    look = PALETTE[number % len(PALETTE)]
    return look if number < len(PALETTE) else Look(look.colour, (look.hatch or "|") * 2)


def require_matplotlib() -> None:
    """Raises `LaulimaError` when it is not installed: before anything is simulated."""
    if find_spec("matplotlib") is None:
        raise LaulimaError(
            "a report has pictures, and matplotlib, which draws them, is not installed",
            "pip install 'laulima[report]'; or without pictures: --json, --csv DIR",
        )


@contextmanager
def picture(height_inches: float, columns: Sequence[float] = (1.0,)) -> Iterator[tuple[Figure, list[Axes], Svg]]:
    """A figure with axes beside each other, of these relative widths; when the block ends the `Svg` has its text."""
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, and only for reports
    from matplotlib.figure import Figure  # noqa: PLC0415

    made = Svg()
    with mpl.rc_context(cast("Any", RC)), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a name in a script that the font has not: the reader's has
        figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
        grid = figure.add_gridspec(1, len(columns), width_ratios=list(columns))
        axes = [figure.add_subplot(grid[0, at]) for at in range(len(columns))]
        yield figure, axes, made
        text = StringIO()
        figure.savefig(text, format="svg", transparent=True)
        made.text = _for_a_page(text.getvalue())


class Svg:
    """A picture as SVG."""

    text = ""


_PROLOGUE = re.compile(r"\A.*?(?=<svg\b)", re.DOTALL)
_METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_SIZE = re.compile(r'(<svg\b[^>]*?) width="[^"]*pt"', re.DOTALL)
_PATH = re.compile(r'\bd="[^"]*"')
_DIGITS = re.compile(r"(\.[0-9]{2})[0-9]+")
"""A hundredth of a point cannot be seen."""
_HEIGHT = re.compile(r'(<svg\b[^>]*?) height="[^"]*pt"', re.DOTALL)


def _for_a_page(svg: str) -> str:
    """Without what only a file of its own needs (and the date); as wide as the page; in the page's colour."""
    svg = _METADATA.sub("", _PROLOGUE.sub("", svg))
    svg = _PATH.sub(lambda found: _DIGITS.sub(r"\1", found[0]).replace(" \n", " "), svg)
    svg = _HEIGHT.sub(r"\1", _SIZE.sub(r'\1 width="100%"', svg, count=1), count=1)
    return svg.replace(INK, "currentColor")


def rectangles(axes: Axes, boxes: Iterable[tuple[float, float, float, float]], look: Look, **more: Any) -> None:
    """Boxes (x, y, width, height) of one look, as one path: a picture of thousands stays small."""
    from matplotlib.patches import PathPatch  # noqa: PLC0415
    from matplotlib.path import Path  # noqa: PLC0415

    points: list[tuple[float, float]] = []
    codes: list[Any] = []
    for x, y, width, height in boxes:
        points += [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
        codes += [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    if points:
        style: dict[str, Any] = {
            "facecolor": (look.colour, look.opacity),
            "edgecolor": INK,
            "linewidth": 0.0,
            "hatch": look.hatch or None,
        }
        axes.add_patch(PathPatch(Path(points, codes), **(style | more)))


def key_of(look: Look, name: str) -> Any:
    """An entry of a legend."""
    from matplotlib.patches import Patch  # noqa: PLC0415

    style: dict[str, Any] = {"facecolor": (look.colour, look.opacity), "hatch": look.hatch or None}
    return Patch(edgecolor=INK, linewidth=0.4, label=name, **style)


def named(name: str) -> str:
    """A task, host or other name in a picture: clean, and not too long."""
    return cut(clean(name), NAME_COLUMNS)


def legend(axes: Axes, handles: Sequence[Any], columns: int = 4) -> None:
    """Below the axes and the two lines of their time."""
    if handles:
        figure = axes.get_figure(root=True)
        assert figure is not None
        below = max(0.16, LEGEND_INCHES / figure.get_figheight())
        axes.legend(
            handles=list(handles), loc="upper left", bbox_to_anchor=(0.0, -below), ncols=columns,
            handlelength=2.4, handleheight=1.1, borderaxespad=0.0,
        )  # fmt: skip


class TimeAxis(Struct, frozen=True):
    """The time of a run, drawn in hours since its start and labelled with the clock on its wall."""

    start: datetime
    end_ns: int

    def hours(self, at_ns: float) -> float:
        """Where it is drawn."""
        return at_ns / HOUR_NS

    def put_on(self, axes: Axes) -> None:
        """Limits, ticks and labels."""
        step = next((step for step in STEPS_NS if self.end_ns / step <= TICKS_MAX), STEPS_NS[-1])
        midnight = self.start.replace(hour=0, minute=0, second=0, microsecond=0)
        past_ns = round((self.start - midnight).total_seconds()) * 10**9
        first = math.ceil(past_ns / step) * step - past_ns
        at = range(first, self.end_ns + 1, step)
        axes.set_xlim(0.0, max(self.hours(self.end_ns), 1e-9))
        axes.set_xticks([self.hours(tick) for tick in at], [self._label(tick, step) for tick in at])

    def _label(self, at_ns: int, step: int) -> str:
        moment = self.start + timedelta(seconds=at_ns // 10**9)
        if step >= DAY_NS:
            return moment.strftime("%m-%d")
        if step < MINUTE_NS:
            return moment.strftime("%H:%M:%S")
        day = at_ns and moment.hour == moment.minute == 0
        return moment.strftime("%H:%M\n%m-%d" if day else "%H:%M")
