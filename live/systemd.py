"""What a service manager (systemd) is told: that we are ready, what we do, that we reload, stop, and are alive.

The protocol is sd_notify(3): one datagram of `NAME=value` lines to the socket in NOTIFY_SOCKET. Without that variable
nobody is told anything. `live/life.py` makes one for each life of a server or a controller and calls it;
`live/reloading.py` says when a reload is under way.

The watchdog is fed at half of its time, and only when the loop has had a turn since the last time: a loop that hangs,
a turn that does not end and a machine that has failed all end in a restart. A full disk does not, though turns stand
still then: that is known, shown and waited for, and no restart makes room. What runs is adopted by the next life.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator, MutableMapping
from typing import Final, Protocol

from live.clock import monotonic_ns
from live.display import clean
from model.controller import Controller
from model.host import HostState

ADDRESS: Final = "NOTIFY_SOCKET"
WATCHDOG: Final = "WATCHDOG_USEC"
WATCHDOG_PROCESS: Final = "WATCHDOG_PID"
VARIABLES: Final = (ADDRESS, WATCHDOG, WATCHDOG_PROCESS)
"""They are for the process that was started as the service, and for none that it starts."""
SEND_SECONDS: Final = 0.5
"""How long one datagram may wait for room: the service manager reads them quickly, or is in trouble itself."""
STATUS_SECONDS: Final = 10.0
"""How often it is looked whether there is another state to tell."""
STATUS_MAX: Final = 400
"""Characters of the state; `systemctl status` shows it on one line."""
MICROSECOND: Final = 1_000
"""In ns."""


class Turning(Protocol):
    """What shows that the loop works: `live/loop.py`."""

    turns: int
    stuck: bool
    closed: bool

    def schedule(self) -> None: ...


class Systemd:
    """The one that has started this process, if there is one. Made before the loop, used inside it."""

    def __init__(self, address: str, watchdog_usec: int, tell: Callable[[str], None]) -> None:
        """`address` empty: there is none. `watchdog_usec` 0: it does not watch. `tell` shows people what failed."""
        self._address = address
        self._half_s = watchdog_usec / 2e6
        self._tell = tell
        self._failed = ""
        self._turns_seen = 0
        self._said = ""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._stopping = False

    @classmethod
    def taken(cls, environment: MutableMapping[str, str], tell: Callable[[str], None]) -> Systemd:
        """As the environment says, which forgets it: no job, agent or page speaks in our name."""
        address, watchdog, process = (environment.pop(name, "") for name in VARIABLES)
        ours = process in ("", str(os.getpid()))
        if watchdog and not (watchdog.isascii() and watchdog.isdigit()):
            tell(f"{WATCHDOG}={watchdog!r} is no number of microseconds: the watchdog is not fed")
            ours = False
        return cls(address, int(watchdog) if watchdog and ours else 0, tell)

    def ready(self, loop: asyncio.AbstractEventLoop, turns: Turning, state: Callable[[], str]) -> None:
        """From now on it hears that we are alive, and `state()` when that has changed."""
        if not self._address:
            return
        self._said = _line(state())
        self._send("READY=1", f"STATUS={self._said}")
        self._again(loop, "state", STATUS_SECONDS, lambda: self._say_state(state))
        if self._half_s:
            self._turns_seen = turns.turns
            turns.schedule()
            self._again(loop, "watchdog", self._half_s, lambda: self._feed(turns))

    def _again(self, loop: asyncio.AbstractEventLoop, name: str, every_s: float, do: Callable[[], None]) -> None:
        def fire() -> None:
            self._timers[name] = loop.call_later(every_s, fire)
            do()

        self._timers[name] = loop.call_later(every_s, fire)

    def _feed(self, turns: Turning) -> None:
        if turns.turns != self._turns_seen or turns.stuck or turns.closed:
            self._send("WATCHDOG=1")
        self._turns_seen = turns.turns
        turns.schedule()

    def _say_state(self, state: Callable[[], str]) -> None:
        said = _line(state())
        if said != self._said and not self._stopping:
            self._said = said
            self._send(f"STATUS={said}")

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """While this lasts another configuration is taken up."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // MICROSECOND}")
        try:
            yield
        finally:
            if not self._stopping:
                self._send("READY=1")

    def stopping(self) -> None:
        """We leave, and stay alive until we have left."""
        self._stopping = True
        self._send("STOPPING=1", "STATUS=ending")

    def close(self) -> None:
        """Nothing more is said."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(SEND_SECONDS)
                sender.connect(_address(self._address))
                sender.send("\n".join(lines).encode())
        except (OSError, ValueError) as error:
            if self._failed != str(error):  # each cause once, for the watchdog speaks for ever
                self._failed = str(error)
                self._tell(f"the service manager at {ADDRESS}={self._address} cannot be told {lines[0]}: {error}")
        else:
            self._failed = ""


def hosts_in_short(controller: Controller) -> str:
    """The controller's hosts, for the state that is told."""
    up = sum(host.state is HostState.UP for host in controller.hosts.values())
    return f"{up} of {len(controller.hosts)} hosts up"


def _address(name: str) -> str:
    """As the kernel wants it: an abstract one is written with `@`. Raises ValueError."""
    if name.startswith("@"):
        return f"\0{name[1:]}"
    if name.startswith("/"):
        return name
    raise ValueError("it is neither a path nor an abstract unix address")


def _line(text: str) -> str:
    return clean(text)[:STATUS_MAX]
