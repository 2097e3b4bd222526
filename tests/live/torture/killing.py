"""kill -9 of everything that is ours, at random moments, while a client goes on submitting.

`Killer` is a thread that kills a server, an agent or a keeper every so often (each kind as often as the others) and
starts the server again when it was the victim. `Submitter` is a client that never gives up, and keeps the books of
what was promised to it: accepted, or unknown because the answer was cut off.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from pathlib import Path
from random import Random

from model.configuration import ClusterDefinition, Configuration, HostDefinition
from model.errors import NotReachableError
from model.job import LOCAL, SECOND
from model.task import DoneSource, LinesSource, Periods, TaskDefinition
from tests.live.running_server import Client, RunningServer

INTERVAL = 0.5
"""Seconds between two kills."""
HOSTS = ("node1", "node2")
LONG_EVERY = 10
"""One of so many jobs takes a second or two, so that many a kill meets it."""


def configuration(server: RunningServer, lines: int) -> Configuration:
    """Two hosts that are called again soon; a task of `lines` jobs that runs again what was lost, and one that has a
    job for each of its results."""
    periods = Periods(exec_ns=SECOND // 5, timeout_ns=120 * SECOND, pending_ns=0)
    again = TaskDefinition(
        "again",
        command=("./job.sh", "0", "0.1"),
        periods=periods,
        source=LinesSource(("seq", "1", str(lines))),
        lost_reruns=1000,
    )
    after = TaskDefinition(
        "after",
        command=("./job.sh", "0", "0"),
        periods=periods,
        source=DoneSource("again"),
        lost_reruns=1000,
    )
    cluster = ClusterDefinition(
        hosts=tuple(HostDefinition(name, 3) for name in HOSTS),
        local_slots=2,
        backoff_ns=SECOND // 5,
        backoff_cap_ns=SECOND,
    )
    return server.configuration(again, after, cluster=cluster)


class Killer:
    """Kills, until `stop`. `kills` counts them by kind."""

    def __init__(self, server: RunningServer, configuration: Configuration, seed: int, interval: float) -> None:
        self._server = server
        self._configuration = configuration
        self._chance = Random(seed)
        self._interval = interval
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self.kills = {"server": 0, "agent": 0, "keeper": 0}
        self._thread = threading.Thread(target=self._work, name="killer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Kill no more. Raises what went wrong meanwhile."""
        self._over.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    @property
    def failed(self) -> bool:
        return self._failure is not None

    def _work(self) -> None:
        try:
            while not self._over.wait(self._interval):
                self._kill_one()
        except BaseException as failure:  # noqa: BLE001 - raised by `stop`, in the test's own thread
            self._failure = failure

    def _kill_one(self) -> None:
        kind = self._chance.choice(tuple(self.kills))
        if kind == "server":
            process = self._server.process
            assert process is not None and process.poll() is None, f"it ended by itself: {self._server.said()}"
            self._server.crash()
            self._server.begin(self._configuration)
        else:
            living = agents(self._server) if kind == "agent" else keepers(self._server)
            if not living:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._chance.choice(living), signal.SIGKILL)
        self.kills[kind] += 1


def agents(server: RunningServer) -> list[int]:
    """Process ids of all agent programs of a test's server."""
    return sorted(pid for pid, words in server.processes().items() if "live.agent_program" in words)


def keepers(server: RunningServer) -> list[int]:
    """Process ids of all keepers, of the server's own machine and of all hosts: the owners of their locks. (By its name
    alone a job that a keeper is just starting would be taken for one.)"""
    living = server.processes()
    locks = [*server.state.glob("local/keeper-*.lock"), *server.state.glob("hosts/*/keeper-*.lock")]
    texts = [lock.read_text().strip() for lock in locks]
    return sorted({int(text) for text in texts if text.isdigit()} & living.keys())


class Submitter:
    """Submits jobs of `job.sh` one after another, over as many connections as it takes."""

    def __init__(self, state: Path, chance: random.Random) -> None:
        self._state = state
        self._chance = chance
        self._client: Client | None = None
        self.accepted: dict[int, str] = {}
        """job -> its number, as the server promised"""
        self.unknown: set[str] = set()
        """numbers whose answer was cut off"""

    def submit(self, number: int) -> bool:
        """Try once; False: nothing was promised, and `number` may be submitted under another number only."""
        try:
            if self._client is None:
                self._client = Client(self._state)
        except NotReachableError:
            return False
        seconds = self._chance.uniform(0.5, 2.0) if number % LONG_EVERY == 0 else self._chance.uniform(0, 0.2)
        arguments: dict[str, object] = {"command": ["./job.sh", str(number), f"{seconds:.3f}"]}
        if number % 3 == 0:
            arguments |= {"host": LOCAL, "required": True}
        try:
            answer = self._client.answer("submit", **arguments)
        except (OSError, ValueError):  # cut off, or an answer of which only a part came
            self.unknown.add(str(number))
            self.close()
            return True
        assert answer["ok"], answer
        self.accepted[answer["data"]["job"]] = str(number)
        return True

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
