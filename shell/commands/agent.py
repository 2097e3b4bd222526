"""`laulima agent`: lets this machine dial in to a server that listens (`cluster.listen`)."""

from __future__ import annotations

from pathlib import Path

from live.agent_joining import JoinSettings, default_spool, join
from live.host_names import HOST_NAME
from model.job import SECOND
from shell.selections import UsageError
from shell.session import Session

PORT_MAX = 65535


def agent(
    _session: Session,
    *,
    join_at: str,
    name: str,
    slots: int,
    cert: str | None,
    key: str | None,
    ca: str,
    spool: str | None,
    retry_max: int,
    keep_jobs: bool,
) -> int:
    """Dial in, and stay until a signal; see `live/agent_joining.py`."""
    host, _, port = join_at.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or not 0 < int(port) <= PORT_MAX:
        raise UsageError(f"--join wants HOST:PORT, not {join_at}")
    if not HOST_NAME.fullmatch(name):
        raise UsageError(f"--name: {name} cannot be the name of a host: letters, digits, _ . - are allowed")
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
        )
    )
