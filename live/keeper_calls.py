"""A keeper's workers for Python callables: one for each working directory, started when first needed.

Called by `keeper_process.py`, which is told through three functions what became of each request. The protocol with a
worker, and what happens inside it, is `callables.py`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping

from live import callables, processes
from live.clock import boottime_ns
from live.keeper_link import Readiness
from live.trees import RunningJob, Trees
from model.job import SECOND

IMPORT_LIMIT_NS = 60 * SECOND
"""How long a worker may take to answer; then it is killed."""
WORKERS_MAX = 8
"""Idle workers are closed when there are more."""


class Calls:
    """See the head of this file."""

    def __init__(
        self,
        environment: Mapping[str, str],
        readiness: Readiness,
        trees: Trees,
        *,
        forked: Callable[[RunningJob], None],
        refused: Callable[[RunningJob, bool, str], None],
        ended: Callable[[RunningJob, int, int], None],
    ) -> None:
        """`environment` of the workers. `forked`: it runs (pid and pidfd are set). `refused`: it never ran, whether to
        try again, and why. `ended`: what `waitid` says, for a `reap`."""
        self._environment = environment
        self._readiness = readiness
        self._trees = trees
        self._forked = forked
        self._refused = refused
        self._ended = ended
        self._workers: dict[str, callables.Worker] = {}
        self._asked: dict[int, _Request] = {}
        self._number = 0
        self._cold: set[str] = set()
        """callables whose import starts threads"""

    @property
    def is_waiting(self) -> bool:
        return bool(self._asked)

    def start(self, job: RunningJob, environment: dict[str, str], directory: str) -> None:
        """Raises StartError; otherwise `forked` or `refused` follows."""
        call = job.spec.call
        assert call is not None
        worker = self._worker(directory)
        self._number += 1
        run = callables.Run(self._number, call, job.spec.arguments, environment, job.spec.nice, call in self._cold)
        try:
            worker.ask(run, job.stdout.fd, job.stderr.fd)
        except OSError as error:
            raise processes.start_error(error, call) from error
        self._asked[self._number] = _Request(job, environment, directory, boottime_ns())

    def reap(self, job: RunningJob, directory: str) -> bool:
        """Have the worker of this ended job read how it ended. False: there is none any more."""
        worker = self._workers.get(directory)
        if worker is None:
            return False
        try:
            worker.reap(job.pid)
        except OSError:
            return False
        return True

    def end_hanging(self, now: int) -> None:
        """Kill workers that do not answer."""
        for number, request in list(self._asked.items()):
            worker = self._workers.get(request.directory)
            if worker is not None and now >= request.asked_ns + IMPORT_LIMIT_NS:
                del self._asked[number]
                worker.waiting.pop(number, None)
                os.kill(worker.pid, signal.SIGKILL)
                self._refused(request.job, False, "its import took longer than a minute")

    def _worker(self, directory: str) -> callables.Worker:
        worker = self._workers.get(directory)
        if worker is None:
            for other in list(self._workers.values()):
                if len(self._workers) >= WORKERS_MAX and not other.running and not other.waiting:
                    self._close(other)
            worker = fresh = callables.Worker(directory, self._environment, 2)
            self._workers[directory] = worker
            self._trees.add_worker(worker.pid)
            self._readiness.watch(worker.socket.fileno(), lambda _mask: self._said(fresh))
        return worker

    def _close(self, worker: callables.Worker) -> None:
        """What it was asked and did not answer never ran; what it forked becomes the keeper's child."""
        del self._workers[worker.directory]
        self._readiness.unwatch(worker.socket.fileno())
        worker.close()
        self._trees.remove_worker(worker.pid)
        for number in list(worker.waiting):
            self._refused(self._asked.pop(number).job, True, "the worker that imports its module died")

    def _said(self, worker: callables.Worker) -> None:
        try:
            answer, handle = worker.answer()
        except BlockingIOError:
            return
        except (OSError, EOFError):
            self._close(worker)
            return
        if isinstance(answer, callables.Reaped):
            worker.running -= 1
            job = self._trees.jobs.get(answer.pid)
            if job is not None:
                self._ended(job, answer.code, answer.status)
            return
        if isinstance(answer, callables.Retired):
            self._retired(worker, answer)
            return
        worker.waiting.pop(answer.number, None)
        request = self._asked.pop(answer.number, None)
        if isinstance(answer, callables.Refused):
            if request is not None:
                self._refused(request.job, answer.again, answer.text)
            return
        worker.running += 1
        if request is None:  # its import took too long, and was refused; it ends with its worker
            os.kill(answer.pid, signal.SIGKILL)
            os.close(handle)
            return
        request.job.pid, request.job.handle, request.job.is_ours = answer.pid, handle, False
        self._forked(request.job)

    def _retired(self, worker: callables.Worker, answer: callables.Retired) -> None:
        """What it was asked goes to its successor."""
        numbers = [number for number in worker.waiting if number in self._asked]
        worker.waiting.clear()
        self._close(worker)
        for number in numbers:
            request = self._asked.pop(number)
            assert request.job.spec.call is not None
            if answer.cold and number == answer.number:
                self._cold.add(request.job.spec.call)
            try:
                self.start(request.job, request.environment, request.directory)
            except processes.StartError as error:
                self._refused(request.job, error.again, str(error))


class _Request:
    """What a worker was asked and did not answer yet."""

    __slots__ = ("asked_ns", "directory", "environment", "job")

    def __init__(self, job: RunningJob, environment: dict[str, str], directory: str, now: int) -> None:
        self.job = job
        self.environment = environment
        self.directory = directory
        self.asked_ns = now
