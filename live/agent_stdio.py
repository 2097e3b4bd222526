"""The bridge of one connection over ssh, started there by sshd: `python -m live.agent_stdio`, or, as the forced command
of a key, `laulima agent --stdio`.

Calls the long-lived agent of the host (`live/agent_program.py`), starting it if none lives, and copies bytes between it
and standard input and output until one side ends. The agent has its own session and descriptors, so it stays when sshd
ends this program; the next bridge calls it again.

What is wanted comes as one line of JSON (`BridgeRequest`), by `live/first_stage.py` as the argument, otherwise from
standard input after a marked line has said that this is a bridge. The answer is a marked line (`Answer`); after it
come frames only. The exit status says what became of the agent: GONE or STAYS.
"""

from __future__ import annotations

import asyncio
import base64
import os
import select
import socket
import sys
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from live.accepting import peer_process
from live.clock import wall_ns
from live.display import clean
from live.first_stage import REQUEST_MAX, facts_of_python, say
from live.hello import TEXT_MAX, laulima_version
from live.host_facts import Fact, host_facts
from live.link_process import ProcessHost, times_from_text
from live.sweep import sweep
from model.errors import LaulimaError, OperatorError
from model.messages import PROTOCOL

GONE: Final = 0
"""Exit status: no agent of this host is left."""
STAYS: Final = 3
"""Exit status: the agent lives on."""
FAILED: Final = 4
"""Exit status: there is no agent; the answer said why."""
LEAVE_SECONDS: Final = 2.5
"""How long an agent whose link has ended gets to leave, before it is said that it stays."""
DRAIN_SECONDS: Final = 2.0
"""How long an agent may take to end its side when the other end has gone."""
STUCK_SECONDS: Final = 30.0
"""How long an agent may take nothing of what is said to it."""
PIECE_BYTES: Final = 256 << 10
STDIN: Final = 0


class BridgeRequest(Struct, frozen=True):
    """What the server wants of the host. `spool` and `directory` may begin with `~/`."""

    what: str
    """`link`: a link to the agent; `end`: end whatever of an agent is left, by force; `check`: say what is there"""
    name: str
    slots: int
    spool: str
    directory: str
    times: str
    archive_bytes: int = 0
    """bytes of the agent's code that follow this line (`live/first_stage.py`)"""


class BridgeAnswer(Struct, frozen=True):
    """`stage`: how far it came: `bridge` and `python` wait for the request, the others are answers to it."""

    stage: str
    reason: str = ""
    hint: str = ""
    python: str = ""
    abi: str = ""
    executable: str = ""
    machine: str = ""
    held: bool = True
    """the agent's code is there"""
    laulima: str = ""
    protocol: int = 0
    agent: int = 0
    """process id of the agent"""
    wall_ns: int = 0
    facts: tuple[Fact, ...] = ()
    ended: int = 0
    """how many processes were ended by force"""


def main(arguments: list[str], only: str = "") -> int:
    """The program; its exit status. `only`: the one host that may be called by this way (empty: any)."""
    os.umask(0o077)
    output = os.dup(1)
    os.dup2(2, 1)  # whatever prints from here on does not stand among the frames
    if arguments:
        line = base64.b64decode(arguments[0])
    else:
        say(output, {**facts_of_python(), "stage": "bridge", "laulima": laulima_version(), "protocol": PROTOCOL})
        line = sys.stdin.buffer.readline(REQUEST_MAX)
    if not line:
        return FAILED
    try:
        request = msgspec.json.decode(line, type=BridgeRequest)
        if only not in ("", request.name):
            raise OperatorError(
                f"this key is for host {only}, and {clean(request.name[:TEXT_MAX])} was called",
                "see --name of the forced command in authorized_keys there",
            )
        return _serve(request, output)
    except LaulimaError as error:
        say(output, {"stage": "failed", "reason": str(error), "hint": error.hint})
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        say(output, {"stage": "failed", "reason": f"the bridge failed: {error}"})
    return FAILED


def _serve(request: BridgeRequest, output: int) -> int:
    spool, directory = Path(request.spool).expanduser(), Path(request.directory).expanduser()
    if request.what == "check":
        facts = [msgspec.to_builtins(fact) for fact in host_facts(spool, directory)]
        versions = {"laulima": laulima_version(), "protocol": PROTOCOL}
        say(output, {"stage": "checked", "facts": facts, "wall_ns": wall_ns(), **facts_of_python(), **versions})
        return GONE
    if request.what == "end":
        say(output, {"stage": "ended", "ended": len(sweep(spool)) if spool.exists() else 0})
        return GONE
    connected = asyncio.run(_agent(request, spool, directory))
    process = peer_process(connected)
    pidfd = os.pidfd_open(process)
    connected.setblocking(True)
    say(output, {"stage": "agent", "agent": process})
    _copy(connected, output)
    return GONE if select.select([pidfd], [], [], LEAVE_SECONDS)[0] else STAYS


async def _agent(request: BridgeRequest, spool: Path, directory: Path) -> socket.socket:
    """A connection to the agent of this host."""
    host = ProcessHost(
        asyncio.get_running_loop(),
        request.name,
        slots=request.slots,
        spool=spool,
        directory=directory,
        times=times_from_text(request.times),
    )
    try:
        return await host.dial()
    finally:
        host.close()


def _copy(connected: socket.socket, output: int) -> None:
    """Copy both ways until the agent ends its side, or the other end has gone and the agent had time to notice."""
    connected.settimeout(STUCK_SECONDS)
    readers: list[int] = [STDIN, connected.fileno()]
    patience: float | None = None
    try:
        while ready := select.select(readers, [], [], patience)[0]:
            if STDIN in ready:
                piece = os.read(STDIN, PIECE_BYTES)
                if piece:
                    connected.sendall(piece)
                else:
                    connected.shutdown(socket.SHUT_WR)
                    readers.remove(STDIN)
                    patience = DRAIN_SECONDS
            if connected.fileno() in ready:
                view = memoryview(connected.recv(PIECE_BYTES))
                if not view:
                    break
                while view:
                    view = view[os.write(output, view) :]
    except OSError:
        pass  # one of the two has gone, or the agent stands still: that is the end of the bridge
    connected.close()
    os.close(output)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
