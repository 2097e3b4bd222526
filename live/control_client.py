"""A question to the control socket of another process of ours, beside the loop. (People's commands have a client of
their own, `shell/client.py`, which waits.)

Used by `live/controller_away.py`. One connection for each question; nothing is kept.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec

from live.accepting import peer_user
from live.state_directory import connect
from model.errors import NotReachableError, OperatorError

ANSWER_MAX = 64 << 20
"""Bytes of one answer."""

_decode = msgspec.json.Decoder().decode


async def ask(state: Path, verb: str, arguments: dict[str, Any], seconds: float) -> Any:
    """The data of the answer. Raises NotReachableError when none comes within `seconds`, OperatorError when the other
    side says no."""
    loop = asyncio.get_running_loop()
    client = connect(state, 0.0)  # does not block: it is connected, or nobody has room for it
    if peer_user(client) != os.geteuid():
        client.close()
        raise NotReachableError(f"{state} belongs to another user")
    reader, writer = await asyncio.open_unix_connection(sock=client, limit=ANSWER_MAX)
    try:
        async with asyncio.timeout_at(loop.time() + seconds):
            writer.write(msgspec.json.encode({"id": 1, "verb": verb, "arguments": arguments}) + b"\n")
            answer = _decode(await reader.readuntil(b"\n"))
    except TimeoutError:
        raise NotReachableError(f"no answer within {seconds:g} s") from None
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, msgspec.MsgspecError) as error:
        raise NotReachableError(f"no answer: {error}") from error
    finally:
        writer.transport.abort()
    if not answer.get("ok"):
        raise OperatorError(str(answer.get("error")), str(answer.get("hint") or ""))
    return answer.get("data")
