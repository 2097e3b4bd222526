"""The page's own process: the address, the links that are printed, the HTTP server, and its end.

Called by `shell/commands/page.py` for `laulima serve`; `laulima run --page` starts that as a child. The links hold the
token behind `#`: a browser never sends that part, so it is in no log. They are also in the file `page.json` of the
state directory, and the token for looking alone in `page.token`, for a program that reads it before each call, as
Prometheus does (`authorization: {credentials_file: …}`). Only this user can read them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import msgspec
import uvicorn
from msgspec import Struct
from starlette.types import ASGIApp

from model.errors import ConfigurationError, LaulimaError
from shell.page.access import Tokens

LINKS_NAME = "page.json"
TOKEN_NAME = "page.token"  # noqa: S105 - a file's name
BEFORE_TOKEN = "#token="  # noqa: S105 - what stands before one
"""In a link."""
CONNECTIONS_MAX = 128
"""Open connections; a page has two or three."""
KEEP_ALIVE_S = 10
LEAVE_S = 2
"""How long answers that are under way may take at the end."""
LISTEN = "127.0.0.1:0"
"""Any port that is free."""


class Links(Struct, frozen=True):
    """Where the page is. `control` empty: it is for looking only."""

    look: str
    control: str
    pid: int


def refuse_elsewhere(listen: str) -> tuple[IPv4Address | IPv6Address, int]:
    """Address and port of `ADDRESS:PORT`. Raises ConfigurationError when that is no address of this machine alone."""
    name, _, port = listen.rpartition(":")
    name = name.strip("[]")
    try:
        address = ip_address("127.0.0.1" if name in ("", "localhost") else name)
        number = int(port)
    except ValueError:
        raise ConfigurationError(f"{listen!r} is no ADDRESS:PORT", "for example 127.0.0.1:8642") from None
    if not address.is_loopback:
        raise ConfigurationError(
            f"the page is not served at {address}: what it says would cross the network in the clear",
            "from another machine: ssh -L 8642:127.0.0.1:8642 HOST, with --listen 127.0.0.1:8642 here",
        )
    return address, number


def bound(listen: str) -> socket.socket:
    """A listening socket at `ADDRESS:PORT`. Raises ConfigurationError when that is no address of this machine alone."""
    address, number = refuse_elsewhere(listen)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio sets no TCP_NODELAY
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((str(address), number))
        listener.listen(CONNECTIONS_MAX)
    except (OSError, OverflowError) as error:
        listener.close()
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise LaulimaError(
            f"the page cannot listen at {listen}: {why}", "another port: --listen 127.0.0.1:0"
        ) from error
    return listener


def links(listener: socket.socket, tokens: Tokens) -> Links:
    name, port = listener.getsockname()[:2]
    where = f"http://{f'[{name}]' if ':' in name else name}:{port}/{BEFORE_TOKEN}"
    return Links(where + tokens.look, where + tokens.control if tokens.control else "", os.getpid())


@contextlib.contextmanager
def written(found: Links, state: Path | None) -> Iterator[None]:
    """The links and the token are in the state directory for as long as this lasts."""
    if state is None or not state.is_dir():
        yield
        return
    _replace(state / TOKEN_NAME, found.look.partition(BEFORE_TOKEN)[2].encode())
    _replace(state / LINKS_NAME, msgspec.json.encode(found) + b"\n")
    try:
        yield
    finally:
        if (there := read_links(state)) is not None and there.pid == os.getpid():
            (state / LINKS_NAME).unlink()
            (state / TOKEN_NAME).unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    """The file is whole at every instant, and this user's alone."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    new.rename(path)


def read_links(state: Path) -> Links | None:
    """The links of the page that is open for this state directory; None: there is none."""
    try:
        return msgspec.json.decode((state / LINKS_NAME).read_bytes(), type=Links)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


class _Http(uvicorn.Server):
    """uvicorn takes signals in a way of its own and passes them on when it ends; here they are `serve`'s."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(app: ASGIApp, listener: socket.socket, close: Callable[[], None]) -> None:
    """Until SIGINT, SIGTERM or SIGHUP. `close` ends answers that never end by themselves."""
    asyncio.run(_serve(app, listener, close))


async def _serve(app: ASGIApp, listener: socket.socket, close: Callable[[], None]) -> None:
    http = server(app)

    def leave() -> None:
        http.should_exit = True
        close()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, leave)
    await http.serve([listener])


def server(app: ASGIApp) -> uvicorn.Server:
    """The HTTP server, not running yet."""
    return _Http(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            http="h11",
            loop="asyncio",
            lifespan="on",
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=LEAVE_S,
        )
    )
