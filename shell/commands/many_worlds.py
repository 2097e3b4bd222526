"""Many worlds one after another or side by side, with a bar; and counters of a run put into a page.

Called by `torture.py`, `torture_crashes.py` and `shell/many_worlds.py`. What a world is and what is judged does not
belong here.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from signal import SIG_IGN, SIGINT, SIGTERM, signal
from threading import Thread
from typing import Any, TypeVar

from model.errors import ConfigurationError, LaulimaError
from shell.wording import duration

CHUNK = 10
"""Worlds that a worker process takes at once."""
AHEAD = 32
"""So many times that are asked of each process beforehand: a million worlds are not put into a queue before the first
is run, and while one takes long the other processes have something to do."""
TELL_S = 15.0
"""Where no bar can be drawn, progress is told so often at most."""

Thing = TypeVar("Thing")
Answer = TypeVar("Answer")


def each(
    run: Callable[[Thing], Answer],
    things: Iterable[Thing],
    jobs: int,
    chunk: int = CHUNK,
    ready: Callable[[], object] | None = None,
) -> Iterator[Answer]:
    """`run` of each thing, in order, by `jobs` processes; `ready` is called once in each of them before. Who takes no
    more answers ends it, and what is still run: nobody waits for it. Raises `LaulimaError` when a process is ended by
    somebody else."""
    listed = [*things]
    with _progress(len(listed)) as step:
        if jobs == 1:
            if ready is not None:
                ready()
            for thing in listed:
                answer = run(thing)
                step()
                yield answer
            return
        # Processes of their own from the first instruction on: a fork would copy locks that other threads hold.
        others = active_children()
        workers = ProcessPoolExecutor(jobs, get_context("spawn"), _begin, (ready,))
        parts = (listed[at : at + chunk] for at in range(0, len(listed), chunk))
        processes: list[BaseProcess] = []
        try:
            asked = deque(workers.submit(_run_all, run, part) for part in islice(parts, AHEAD * jobs))
            processes += [process for process in active_children() if process not in others]
            while asked:
                for answer in asked.popleft().result():
                    step()
                    yield answer
                asked.extend(workers.submit(_run_all, run, part) for part in islice(parts, 1))
        except BrokenProcessPool as error:
            workers.shutdown()
            raise _ended_from_outside([process.exitcode for process in processes]) from error
        finally:
            for process in active_children():
                if process not in others:
                    process.terminate()
            workers.shutdown(cancel_futures=True)


def _run_all(run: Callable[[Thing], Answer], part: Sequence[Thing]) -> list[Answer]:
    """In a worker process."""
    return [run(thing) for thing in part]


def _ended_from_outside(exit_codes: Sequence[int | None]) -> LaulimaError:
    """`exit_codes`: of all worker processes; when one is gone the others are ended by SIGTERM."""
    signals = [-code for code in exit_codes if code is not None and code < 0 and code != -SIGTERM]
    how = f" by signal {signals[0]}" if signals else ""
    return LaulimaError(f"a worker process was ended{how}", "if memory was short: fewer --jobs")


def _begin(ready: Callable[[], object] | None) -> None:
    """In a new process. Ctrl-C goes to the one that waits for the answers, and it ends the others; when it is gone
    itself, nobody else would."""
    signal(SIGINT, SIG_IGN)
    parent = parent_process()
    assert parent is not None
    Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()
    if ready is not None:
        ready()


def _end_after(sentinel: int) -> None:
    """A process waits for others that share its queue: it would not see that nobody gives it anything any more."""
    wait([sentinel])
    os._exit(1)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], Any]]:
    """How far it is, and the time left: a bar on a terminal, elsewhere a line on stderr now and then."""
    from rich.console import Console  # noqa: PLC0415 - only these verbs and the demo draw bars
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Told(total).step
        return
    with Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("worlds", total=total)
        yield lambda: bar.advance(task)


class _Told:
    """Progress in lines of text."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._began = self._told = time.monotonic()

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        now = time.monotonic()
        if now - self._told < TELL_S or self._done == self._total:
            return
        self._told = now
        left_s = (now - self._began) / self._done * (self._total - self._done)
        sys.stderr.write(f"{self._done} of {self._total} worlds, about {duration(round(left_s * 1e9))} left\n")
        sys.stderr.flush()


def write_section(page: Path, name: str, lines: Sequence[str]) -> None:
    """Replace what stands between the page's two marks of this name. Raises `ConfigurationError` when it has none."""
    text = page.read_text()
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if pattern.search(text) is None:
        hint = f"it begins with a line <!-- {name} --> and ends with a line <!-- end -->"
        raise ConfigurationError(f"{page} has no section {name}", hint)
    body = "".join(f"{line}\n" for line in lines)
    page.write_text(pattern.sub(lambda match: match.group(1) + body + match.group(2), text))
