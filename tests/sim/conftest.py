"""What the tests of simulations share beside their builders: what a file has simulated goes with its last test."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _nothing_kept(request: pytest.FixtureRequest) -> Iterator[None]:
    """What is worked out once for all tests of a file (`functools.cache`) is a hundred megabytes of event log in some,
    and a worker runs many files."""
    yield
    for made in vars(request.module).values():
        if isinstance(made, functools._lru_cache_wrapper) and made.__module__ == request.module.__name__:
            made.cache_clear()
