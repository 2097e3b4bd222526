"""Frames between an agent and its keepers: length-prefixed msgpack over a unix socket of one machine and one user.

    agent --> keeper     Orders: when they were said (CLOCK_BOOTTIME, the same clock on both sides), and the orders
    agent <-- keeper     messages

Called by `keepers.py` (agent) and `keeper_process.py`. No I/O here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from model.errors import LaulimaError
from model.keeper import KeeperMessage, Order

FRAME_MAX = 64 << 20
"""Bytes of one frame; everything that a keeper holds (`Holding`) is one."""
GREETING_MAX = 1 << 20
"""The same, before who speaks has said anything."""
BACKLOG_MAX = 2 * FRAME_MAX
"""Bytes that may wait for a peer that does not read; then the connection is closed, and what matters is said again."""

T = TypeVar("T")


class FrameError(LaulimaError):
    """What came is no frame of ours."""


class Orders(Struct, frozen=True, array_like=True):
    sent_ns: int
    orders: list[Order]


_encode = msgspec.msgpack.Encoder().encode


def frame_orders(orders: Sequence[Order], now: int) -> bytes:
    """Raises FrameError when they do not fit."""
    return _frame(_encode(Orders(now, list(orders))))


def frame_messages(messages: Sequence[KeeperMessage]) -> bytes:
    """Raises FrameError when they do not fit."""
    return _frame(_encode(messages))


def _frame(body: bytes) -> bytes:
    if len(body) > FRAME_MAX:
        raise FrameError(f"a frame of {len(body)} bytes is longer than {FRAME_MAX}")
    return len(body).to_bytes(4, "big") + body


class Frames(Generic[T]):
    """Cuts a stream of bytes into decoded frames."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[T], frame_max: int = FRAME_MAX) -> None:
        self._decode = decoder.decode
        self._buffer = bytearray()
        self.frame_max = frame_max

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[T]:
        """The frames that are complete now. Raises FrameError."""
        buffer = self._buffer
        buffer += data
        frames = []
        position = 0
        while len(buffer) - position >= 4:
            length = int.from_bytes(buffer[position : position + 4], "big")
            if length > self.frame_max:
                raise FrameError(f"a frame of {length} bytes is longer than {self.frame_max}")
            end = position + 4 + length
            if len(buffer) < end:
                break
            try:
                frames.append(self._decode(buffer[position + 4 : end]))
            except (msgspec.MsgspecError, RecursionError, ValueError) as error:
                raise FrameError(f"a frame cannot be read: {error}") from error
            position = end
        del buffer[:position]
        return frames


def orders_frames(frame_max: int) -> Frames[Orders]:
    return Frames(msgspec.msgpack.Decoder(Orders), frame_max)


def message_frames() -> Frames[list[KeeperMessage]]:
    return Frames(msgspec.msgpack.Decoder(list[KeeperMessage]))
