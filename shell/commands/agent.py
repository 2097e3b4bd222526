"""`laulima agent`: lets this machine dial in to a server that listens (`cluster.listen`); or, with `--stdio`, is what a
forced command in authorized_keys starts for a server that comes by ssh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from live import agent_stdio
from live.agent_joining import JoinSettings, default_spool, join
from live.host_names import HOST_NAME
from model.job import SECOND
from shell.selections import UsageError, offered
from shell.session import Session

PORT_MAX = 65535


def agent(
    _session: Session,
    *,
    join_at: str | None,
    stdio: bool,
    name: str | None,
    slots: int,
    resources: Sequence[str],
    labels: Sequence[str],
    cert: str | None,
    key: str | None,
    ca: str,
    spool: str | None,
    retry_max: int,
    keep_jobs: bool,
) -> int:
    """Dial in, and stay until a signal (`live/agent_joining.py`); or be the bridge (`live/agent_stdio.py`)."""
    if stdio == bool(join_at):
        raise UsageError("one of --join and --stdio", "laulima agent --join server:7433 --name gpu07 --slots 8")
    if name is not None and not HOST_NAME.fullmatch(name):
        raise UsageError(f"--name: {name} cannot be the name of a host: letters, digits, _ . - are allowed")
    if join_at is None:
        return agent_stdio.main([], name or "")
    if name is None:
        raise UsageError("--join wants --name as well: which host this is")
    host, _, port = join_at.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or not 0 < int(port) <= PORT_MAX:
        raise UsageError(f"--join wants HOST:PORT, not {join_at}")
    if retry_max < SECOND:
        raise UsageError("--retry-max: at least 1s")
    return join(
        JoinSettings(
            host,
            int(port),
            name,
            slots,
            Path(ca),
            Path(cert or f"{name}.pem"),
            Path(key or f"{name}.key"),
            (Path(spool) if spool else default_spool(host, int(port), name)).absolute(),
            retry_max / SECOND,
            keep_jobs,
            *offered(resources, labels),
        )
    )
