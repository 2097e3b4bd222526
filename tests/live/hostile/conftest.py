"""One laulima for all tests of strangers: it takes a second to start, and an attack must not need a fresh one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from live import complaints
from live.errands import THREADS_MAX
from model.job import SECOND
from tests.live.hostile.site import Site, site
from tests.live.link_partners import PATIENCE_SECONDS


@pytest.fixture(scope="package")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(scope="package")
def working(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    making = site(tmp_path_factory.mktemp("site"))
    with pytest.MonkeyPatch.context() as patch:
        # However long an attack takes on a loaded machine, people are told of its kind once.
        patch.setattr(complaints, "INTERVAL_NS", 3600 * SECOND)
        here = runner.run(making.__aenter__())
        # What is kept for later (threads, output files) is there now.
        runner.run(every_thread(here))
        runner.run(here.work(*["local", "n1", "n2"] * 8))
        yield here
        runner.run(making.__aexit__(None, None, None))


async def every_thread(here: Site) -> None:
    """Errands by as many threads as there may ever be; how many of them jobs need depends on who is scheduled first."""
    all_there = threading.Barrier(THREADS_MAX)
    errands = here.server._errands
    await asyncio.gather(*(errands.run(lambda: all_there.wait(PATIENCE_SECONDS), 60.0) for _ in range(THREADS_MAX)))
