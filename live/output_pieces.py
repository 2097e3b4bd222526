"""What a job wrote on another machine, fetched piece by piece over the link of its host, beside the job channel.

`live/outputs.py` asks for one piece after the other, so what is under way is bounded by who asks (credit of one); the
agent (`live/agent_program.py`) reads its spool and answers. A `Fetch` goes down, a `Piece` comes up; neither is part of
the channel: they have no numbers there, are never said again, and are lost with the link. Both are maps on the wire,
batches are arrays.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from live.spool import Stream, output_path

PIECE_MAX: Final = 256 << 10
"""Bytes of one piece."""
FETCHES_MAX: Final = 8
"""Pieces that one agent reads at one time; a further one is refused."""
ERROR_MAX: Final = 500
_FIXMAP: Final = 0x80
"""First four bits of a small map in msgpack."""

Number = Annotated[int, Meta(ge=0, lt=1 << 62)]


class Fetch(Struct, frozen=True, tag="fetch", tag_field="kind", forbid_unknown_fields=True):
    """A wish for bytes of one output, from `offset` on; `size` 0 asks only how many there are."""

    number: Number
    job: Number
    attempt: Number
    stream: Stream
    offset: Number
    size: Annotated[int, Meta(ge=0, le=PIECE_MAX)]


class Piece(Struct, frozen=True, tag="piece", tag_field="kind", forbid_unknown_fields=True):
    """The answer to the `Fetch` of the same number. `total`: bytes that were written so far."""

    number: Number
    data: Annotated[bytes, Meta(max_length=PIECE_MAX)] = b""
    total: Number = 0
    error: Annotated[str, Meta(max_length=ERROR_MAX)] = ""


encode: Final = msgspec.msgpack.Encoder().encode
decode_fetch: Final = msgspec.msgpack.Decoder(Fetch).decode
decode_piece: Final = msgspec.msgpack.Decoder(Piece).decode


def is_aside(payload: bytes) -> bool:
    """Whether this is a `Fetch` or a `Piece`, and no batch."""
    return payload[:1] != b"" and payload[0] & 0xF0 == _FIXMAP


def read_piece(spool: Path, wish: Fetch) -> Piece:
    """What is wished for, from a spool on this machine. An attempt that wrote nothing has no file. Blocks as the disk
    does."""
    path = output_path(spool, wish.job, wish.attempt, wish.stream)
    try:
        with open(path, "rb") as file:
            total = file.seek(0, 2)
            file.seek(wish.offset)
            return Piece(wish.number, file.read(min(wish.size, max(0, total - wish.offset))), total)
    except FileNotFoundError:
        return Piece(wish.number)
    except OSError as error:
        return Piece(wish.number, error=f"{path}: {error.strerror}"[:ERROR_MAX])
