"""Many worlds one after another or side by side, with a bar; and counters of a run put into a page.

Called by `torture.py` and `torture_crashes.py`. What a world is and what is judged does not belong here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from model.errors import ConfigurationError

CHUNK = 10
"""Worlds that a worker process takes at once."""

Thing = TypeVar("Thing")
Answer = TypeVar("Answer")


def each(run: Callable[[Thing], Answer], things: Iterable[Thing], jobs: int, chunk: int = CHUNK) -> Iterator[Answer]:
    """`run` of each thing, in order, by `jobs` processes."""
    listed = [*things]
    with _bar(len(listed)) as step:
        if jobs == 1:
            for thing in listed:
                yield run(thing)
                step()
            return
        with ProcessPoolExecutor(jobs) as workers:
            for answer in workers.map(run, listed, chunksize=chunk):
                yield answer
                step()


@contextmanager
def _bar(total: int) -> Iterator[Callable[[], Any]]:
    """A bar on a terminal, nothing elsewhere."""
    from rich.console import Console  # noqa: PLC0415 - only these verbs and the demo draw bars
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    with Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("worlds", total=total)
        yield lambda: bar.advance(task)


def write_section(page: Path, name: str, lines: Sequence[str]) -> None:
    """Replace what stands between the page's two marks of this name. Raises `ConfigurationError` when it has none."""
    text = page.read_text()
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if pattern.search(text) is None:
        hint = f"it begins with a line <!-- {name} --> and ends with a line <!-- end -->"
        raise ConfigurationError(f"{page} has no section {name}", hint)
    body = "".join(f"{line}\n" for line in lines)
    page.write_text(pattern.sub(lambda match: match.group(1) + body + match.group(2), text))
