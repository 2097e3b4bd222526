"""Surroundings of a page: a stub of the server that it shows, and the page itself. Starting and ending a page takes a
quarter of a second, so tests that leave nothing behind share one.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.page.site import Site, open_page, status
from tests.shell.stub import Stub


@contextlib.contextmanager
def answering(state: Path) -> Iterator[Stub]:
    stub = Stub(state)
    thread = threading.Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        stub.end()
        thread.join()


@pytest.fixture(scope="module")
def shared_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def shared_stub(shared_state: Path) -> Iterator[Stub]:
    with answering(shared_state) as stub:
        yield stub


@pytest.fixture(scope="module")
def looking(shared_state: Path, shared_stub: Stub) -> Iterator[Site]:
    """A page for looking only; not to be watched."""
    with open_page(shared_state) as site:
        yield site


@pytest.fixture(scope="module")
def acting(shared_state: Path, shared_stub: Stub) -> Iterator[Site]:
    """A page that may act; not to be watched."""
    with open_page(shared_state, control=True) as site:
        yield site


@pytest.fixture
def server(shared_stub: Stub) -> Stub:
    """What answers to `looking` and `acting`, as if it had never been asked."""
    shared_stub.answers.clear()
    shared_stub.answers["status"] = status()
    shared_stub.requests.clear()
    return shared_stub


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[Stub]:
    """What answers to `fresh`."""
    with answering(tmp_path) as stub:
        stub.answers["status"] = status()
        yield stub


@pytest.fixture
def fresh(tmp_path: Path, stub: Stub) -> Iterator[Site]:
    """A page of this test alone."""
    with open_page(tmp_path) as site:
        yield site
