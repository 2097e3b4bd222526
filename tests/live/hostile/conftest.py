"""One laulima for all tests of strangers: it takes a second to start, and an attack must not need a fresh one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.live.hostile.site import Site, site


@pytest.fixture(scope="package")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(scope="package")
def working(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    making = site(tmp_path_factory.mktemp("site"))
    here = runner.run(making.__aenter__())
    runner.run(here.work(*["local", "n1", "n2"] * 8))  # what is kept for later (threads, output files) is there now
    yield here
    runner.run(making.__aexit__(None, None, None))
