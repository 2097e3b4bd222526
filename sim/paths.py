"""Since when the ways from the scheduler over the controller to each host are whole, as the log tells it.

A way is whole while the network vouches for it: both ends run, nothing is wrong with the wire, and the superior has
heard everything. What must happen soon is judged from then on. Owned by `sim/oracle.py`.
"""

from __future__ import annotations

from sim.log import LinkChanged

SCHEDULER = "scheduler"
CONTROLLER = "controller"
LOCAL = "local"


class Paths:
    """Times are true ns."""

    def __init__(self) -> None:
        self.to_controller_ns: int | None = None
        """since when the scheduler reaches the controller; None: it does not"""
        self._to_host: dict[str, int] = {}
        """the same from the controller to a host, and from the scheduler to `local`"""

    def change(self, line: LinkChanged) -> None:
        """A link is vouched for, or no more."""
        if line.state not in ("vouched", "not vouched"):
            return
        whole = line.state == "vouched"
        if line.peer == CONTROLLER:
            self.to_controller_ns = line.t if whole else None
        elif whole:
            self._to_host[line.peer] = line.t
        else:
            self._to_host.pop(line.peer, None)

    def reaches(self, host: str) -> bool:
        """Whether the host's superior reaches it."""
        return host in self._to_host

    def whole_since(self, host: str) -> int | None:
        """Since when the scheduler reaches this host, over the controller unless it is its own; None: it does not."""
        last = self._to_host.get(host)
        if host == LOCAL or last is None:
            return last
        return None if self.to_controller_ns is None else max(last, self.to_controller_ns)
