"""Fixtures of the tests that need programs of a cluster: each test starts what it needs, in its own folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.ssh_site import SshSite
from tests.live.running_server import RunningServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A folder for servers; nothing of it is left behind."""
    running = RunningServer(tmp_path)
    yield running
    running.clean()


@pytest.fixture
def site(tmp_path: Path, server: RunningServer) -> Iterator[SshSite]:
    """A running sshd; what is started through it bears the server's mark."""
    made = SshSite(tmp_path / "site", server.mark)
    made.start()
    yield made
    made.clean()
