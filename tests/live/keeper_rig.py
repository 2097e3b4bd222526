"""A small agent for tests: real keepers in a real spool, and waiting for what they say with a deadline."""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from live.keepers import Keepers
from live.spool import Spool, output_path
from model.job import JobId, JobSpec, Report
from model.keeper import Exited, Forget, Holding, KeeperMessage, Leave, ListHeld, Running, Start, Stop

SECOND = 1_000_000_000
PATIENCE = 60.0
ENOUGH_SECONDS = (1, 5, 25)
"""Time limits of a job that is to do something before it is ended: the first one that is long enough here counts."""


def sh(script: str, **more: object) -> JobSpec:
    """A job that runs a shell script."""
    return JobSpec("test", command=("/bin/sh", "-c", script), **more)  # type: ignore[arg-type]


class Rig:
    def __init__(self, spool: Spool, directory: Path, count: int = 1) -> None:
        self.spool = spool
        self.reports: dict[int, Report] = {}
        self.running: set[int] = set()
        self.holdings: list[Holding] = []
        self.ups: list[int] = []
        self.downs: list[int] = []
        self.troubles: list[str] = []
        self._changed = asyncio.Event()
        self._forgets = False
        self.keepers = Keepers(
            spool,
            "testhost",
            directory,
            count,
            on_message=self._said,
            on_up=self._up,
            on_down=self._down,
            on_trouble=self.troubles.append,
        )

    def _said(self, keeper: int, message: KeeperMessage) -> None:
        if isinstance(message, Running):
            self.running.add(message.job)
        elif isinstance(message, Exited):
            assert message.job not in self.reports or self.reports[message.job] == message.report
            self.reports[message.job] = message.report
            if self._forgets:
                self.keepers.send(keeper, Forget(message.job, message.attempt))
        else:
            self.holdings.append(message)
        self._changed.set()

    def _up(self, keeper: int) -> None:
        self.ups.append(keeper)
        self._changed.set()

    def _down(self, keeper: int) -> None:
        self.downs.append(keeper)
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something that the keepers say."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_printed(self, job: int, part: bytes) -> None:
        """Wait for output of a running job; no event tells of it, so the file is looked at while the loop goes on."""
        deadline = time.monotonic() + PATIENCE
        while part not in self.output(job):
            assert time.monotonic() < deadline, f"job {job} did not print {part!r}"
            await asyncio.sleep(0)

    def start(self, job: int, spec: JobSpec, keeper: int = 0) -> None:
        self.keepers.send(keeper, Start(JobId(job), 1, spec))

    def stop(self, job: int, keeper: int = 0) -> None:
        self.keepers.send(keeper, Stop(JobId(job), 1))

    def forget(self, job: int, keeper: int = 0) -> None:
        self.keepers.send(keeper, Forget(JobId(job), 1))

    async def report(self, job: int) -> Report:
        await self.until(lambda: job in self.reports)
        return self.reports[job]

    async def run(self, spec: JobSpec, job: int = 1) -> Report:
        self.start(job, spec)
        return await self.report(job)

    async def run_out_of_time(self, spec: JobSpec, enough: Callable[[bytes], bool]) -> tuple[int, Report]:
        """A job that never ends by itself, ended by a time limit that let it print `enough`; its number and report."""
        for job, seconds in enumerate(ENOUGH_SECONDS, 1):
            report = await self.run(replace(spec, timeout_ns=seconds * SECOND), job)
            if enough(self.output(job)):
                return job, report
        raise AssertionError(f"not printed in {seconds} s: {self.output(job)!r}")

    async def holding(self, keeper: int = 0) -> Holding:

        seen = len(self.holdings)
        self.keepers.send(keeper, ListHeld())
        await self.until(lambda: len(self.holdings) > seen)
        return self.holdings[-1]

    def output(self, job: int, stream: str = "stdout") -> bytes:
        path = output_path(self.spool.path, job, 1, stream)  # type: ignore[arg-type]
        return path.read_bytes() if path.exists() else b""

    def keeper_pid(self, keeper: int = 0) -> int:
        return int((self.spool.path / f"keeper-{keeper}.lock").read_text())

    async def end(self) -> None:
        """Have every keeper end what runs and go away."""
        for keeper in self.keepers.numbers:
            for entry in (await self.holding(keeper)).entries:
                self.keepers.send(keeper, Forget(entry.job, entry.attempt))
        self._forgets = True
        for keeper in self.keepers.numbers:
            self.keepers.send(keeper, Leave(kill=True))
        async with asyncio.timeout(PATIENCE):
            await self.keepers.gone()


@asynccontextmanager
async def rig(tmp_path: Path, count: int = 1) -> AsyncIterator[Rig]:
    """Keepers that are gone, with everything that they ran, at the end of the block."""
    spool = Spool(tmp_path / "spool")
    one = Rig(spool, tmp_path, count)
    await one.keepers.start()
    try:
        yield one
        await one.end()
    finally:
        await one.keepers.close()
        spool.close()
        _kill_what_is_left(spool)


def marked(identity: str) -> list[int]:
    """Every living process that carries the mark of a spool."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                environment = Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if f"LAULIMA_SPOOL={identity}".encode() in environment:
                found.append(int(name))
    return found


def exists(pid: int) -> bool:
    """It lives (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Look again and again at something that no event tells."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        select.select([], [], [], 0.005)


def _kill_what_is_left(spool: Spool) -> None:
    """A failed test leaves nothing behind."""
    pids = marked(spool.identity)
    for lock in spool.path.glob("keeper-*.lock"):
        text = lock.read_text().strip()
        if text.isdigit() and _is_keeper(int(text)):
            pids.append(int(text))
    for pid in pids:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            continue


def _is_keeper(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "laulima-keeper"
    except (FileNotFoundError, ProcessLookupError):
        return False
