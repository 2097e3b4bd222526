"""Goal: worlds that run side by side cost nothing before they are run, and no process outlives who asked for them.

Method: functions that are no worlds, in real processes; who asks is killed, and what it started is waited for.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import pytest

from shell.commands import many_worlds

DEADLINE_MS = 60_000
"""Two processes have ended by then, however busy the machine is."""
ASKS_AND_STANDS = """
import threading
from multiprocessing import active_children
from shell.commands.many_worlds import each
from tests.shell.test_many_worlds import wait_for_ever
answers = each(wait_for_ever, [0, 1, 2, 3], 2, chunk=1)
next(answers)
print(*(process.pid for process in active_children()), flush=True)
threading.Event().wait()
"""


def test_a_million_worlds_are_not_asked_for_before_the_first_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """While they were, Ctrl-C was not heard: whoever ended waited for all of them."""
    submitted = []

    class Counting(ProcessPoolExecutor):
        def submit(self, function: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
            submitted.append(args)
            return super().submit(function, *args, **named)

    monkeypatch.setattr(many_worlds, "ProcessPoolExecutor", Counting)
    answers = many_worlds.each(abs, range(0, -1_000_000, -1), 2)
    assert [next(iter(answers)) for _ in range(25)] == list(range(25))
    assert len(submitted) <= many_worlds.AHEAD * 2 + 3
    assert isinstance(answers, Generator)
    answers.close()


def test_worker_processes_end_with_the_one_that_asked() -> None:
    asking = subprocess.Popen([sys.executable, "-c", ASKS_AND_STANDS], stdout=subprocess.PIPE, text=True)
    assert asking.stdout is not None
    workers = [os.pidfd_open(int(pid)) for pid in asking.stdout.readline().split()]
    assert len(workers) == 2
    asking.send_signal(signal.SIGKILL)
    asking.wait()
    asking.stdout.close()
    for worker in workers:
        ended = select.poll()
        ended.register(worker, select.POLLIN)
        assert ended.poll(DEADLINE_MS), "a worker process lives on"
        os.close(worker)
