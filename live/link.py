"""One link of the job channel: a hello, then batches, over a transport. The same at both ends.

`live/links.py` (the superior's end) and `live/listener.py` (an agent's end) make links and hear from them through a
`LinkOwner`. The rules about lost or late messages are not here but in `model/channel.py`: what is given to a link that
ends is gone.

States: GREETING until both ends know each other (HELLO_SECONDS), then OPEN, then ENDED. Every fault of the peer ends
this link with a reason, and nothing else.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from enum import Enum
from itertools import groupby
from typing import Annotated, Final, Protocol

import msgspec

from live import hello
from live.hello import Hello, HelloError, Refused, Side
from live.output_pieces import Fetch, Piece, decode_fetch, decode_piece, encode, is_aside
from live.transport import Transport
from live.wire import IN_FLIGHT_MAX, PAYLOAD_MAX, Wire, WireError
from model.bounds import Number
from model.errors import LaulimaError
from model.messages import Batch, Down, Up

HELLO_SECONDS: Final = 5.0
"""From the connection to the end of both hellos."""
PARTIAL_SECONDS: Final = 30.0
"""From a frame's first byte to its last."""
CLOSE_SECONDS: Final = 1.0
"""How long a link that ends may try to send its last words."""
FRAMES_A_TURN: Final = 64
"""Frames of one link that are handled before other links get their turn."""
MESSAGES_MAX: Final = 100_000
"""Messages in one batch; a host's whole inventory is one message."""
REPLY_PATIENCE_SECONDS: Final = 0.005
"""That a frame has come is said with the next batch, or alone after so long: it wakes the peer for nothing else."""
REPLIES_MAX: Final = IN_FLIGHT_MAX // 2
"""So many wait for company: the peer has not stopped sending yet."""


class LinkOwner(Protocol):
    """Who hears from a link. `link_up` may raise a LaulimaError to refuse; then `link_down` follows with its text."""

    def link_up(self, link: Link, peer: Hello) -> None: ...

    def link_batch(self, link: Link, batch: Batch) -> None: ...

    def link_aside(self, link: Link, message: Fetch | Piece) -> None:
        """Something beside the job channel: an agent hears a Fetch, a superior a Piece."""

    def link_down(self, link: Link, reason: str) -> None:
        """Called once for each link that was not closed by its owner. `link.left`: the peer left on purpose."""


class LinkState(Enum):
    GREETING = "greeting"
    OPEN = "open"
    ENDED = "ended"


class DownBatch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`model.messages.Batch` as an agent may get it: what no superior says does not decode."""

    epoch: Number
    sequence: Number
    receiver_epoch: Number
    messages: Annotated[tuple[Down, ...], msgspec.Meta(max_length=MESSAGES_MAX)]


class UpBatch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`model.messages.Batch` as a superior may get it."""

    epoch: Number
    sequence: Number
    receiver_epoch: Number
    messages: Annotated[tuple[Up, ...], msgspec.Meta(max_length=MESSAGES_MAX)]


_encoder: Final = msgspec.msgpack.Encoder()
_down_decoder: Final = msgspec.msgpack.Decoder(DownBatch)
_up_decoder: Final = msgspec.msgpack.Decoder(UpBatch)


def encode_batch(batch: Batch) -> bytes:
    return _encoder.encode(batch)


def merged(batches: Sequence[Batch]) -> Batch:
    """The same words as one batch, with the number of the last one."""
    last = batches[-1]
    if len(batches) == 1:
        return last
    messages = tuple(message for batch in batches for message in batch.messages)
    return Batch(last.epoch, last.sequence, last.receiver_epoch, messages)


def decode_batch(data: bytes, receiver: Side) -> Batch:
    """Raises WireError for what `receiver` cannot have been sent by a correct peer."""
    try:
        said = _down_decoder.decode(data) if receiver.hears_down else _up_decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise WireError(f"its batch cannot be read: {error}") from error
    return Batch(said.epoch, said.sequence, said.receiver_epoch, said.messages)


def decode_aside(data: bytes, receiver: Side) -> Fetch | Piece:
    """The same for what is said beside the job channel."""
    try:
        return decode_fetch(data) if receiver.hears_down else decode_piece(data)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise WireError(f"what it says beside the channel cannot be read: {error}") from error


class Link:
    """One connected link. `dials`: this end made the connection, and so says hello first."""

    __slots__ = (
        "_batches",
        "_dials",
        "_loop",
        "_owner",
        "_partial_frame",
        "_partial_since",
        "_replied",
        "_replying",
        "_side",
        "_timer",
        "_transport",
        "_wire",
        "own",
        "peer",
        "state",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, own: Hello, owner: LinkOwner, dials: bool) -> None:
        self._loop = loop
        self._owner = owner
        self._dials = dials
        self._side = Side(own.side)
        self.own = own
        self.peer: Hello | None = None
        """who is at the other end, once it is known"""
        self.state = LinkState.GREETING
        self._wire = Wire(self._delivered)
        self._transport = Transport(loop, self._wire.outgoing, self._received, self._ended)
        self._batches: list[Batch] = []
        """what this turn of the loop has to say"""
        self._replying: asyncio.TimerHandle | None = None
        self._replied = 0
        """frames received when something was sent last"""
        self._partial_frame = -1
        self._partial_since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, connected: socket.socket) -> None:
        """Own this connected socket, and begin."""
        self._transport.attach_socket(connected)
        self._begin()

    def _begin(self) -> None:
        self._timer = self._loop.call_later(HELLO_SECONDS, self._hello_late)
        if self._dials:
            self._wire.deliver(hello.encode(self.own), self._hello_answered)
            self._transport.flush()

    # for the owner

    @property
    def ended(self) -> bool:
        return self.state is LinkState.ENDED

    @property
    def left(self) -> bool:
        """Whether the peer ended the link on purpose, with a goodbye."""
        return self._wire.left

    @property
    def backlog_bytes(self) -> int:
        """Bytes that wait for the peer."""
        return self._wire.backlog_bytes

    def send(self, batch: Batch) -> None:
        """Send a batch, without waiting. Dropped unless OPEN. A link whose peer is too slow ends (in a later turn).
        Batches of one turn travel as one."""
        if self.state is not LinkState.OPEN:
            return
        if not self._batches:
            self._loop.call_soon(self._send_batches)
        self._batches.append(batch)

    def _send_batches(self) -> None:
        """One frame for all that this life says to that life, where it fits in one."""
        batches, self._batches = self._batches, []
        for _, group in groupby(batches, lambda batch: (batch.epoch, batch.receiver_epoch)):
            said = list(group)
            whole = encode_batch(merged(said))
            is_whole = len(said) == 1 or len(whole) <= PAYLOAD_MAX
            for data in (whole,) if is_whole else map(encode_batch, said):
                self._send(data)

    def send_aside(self, message: Fetch | Piece) -> None:
        """The same for what is said beside the job channel."""
        self._send(encode(message))

    def _send(self, payload: bytes) -> None:
        if self.state is not LinkState.OPEN:
            return
        try:
            self._wire.deliver(payload)
        except WireError as error:
            self._loop.call_soon(self._fail, str(error))
        else:
            self._flush()

    def _flush(self) -> None:
        if self._replying is not None:
            self._replying.cancel()
            self._replying = None
        self._replied = self._wire.frames
        self._transport.flush()

    def _flush_soon(self) -> None:
        """Replies wait for company."""
        if self._wire.frames - self._replied >= REPLIES_MAX:
            self._flush()
        elif self._replying is None and self._wire.outgoing:
            self._replying = self._loop.call_later(REPLY_PATIENCE_SECONDS, self._flush)

    def close(self, goodbye: bool = False) -> None:
        """End it; the owner hears nothing more. `goodbye`: this end leaves on purpose, and says so first."""
        if self.state is LinkState.ENDED:
            return
        if goodbye:
            self._send_batches()
            try:
                self._wire.goodbye()
            except WireError:
                goodbye = False  # it takes nothing any more: it sees the end of the connection instead
        self._stop(flush=goodbye)

    # what comes in

    def _received(self, data: bytes) -> None:
        self._wire.feed(data)
        self._serve()

    def _serve(self) -> None:
        if self.state is LinkState.ENDED:
            return
        was_open = self.state is LinkState.OPEN
        try:
            more = self._wire.serve(FRAMES_A_TURN)
        except LaulimaError as error:
            self._fail(str(error))
            return
        except Exception:
            self._fail("this end failed")
            raise
        if self.ended:
            return
        if was_open:
            self._flush_soon()
        else:
            self._flush()
        if self._wire.left:
            self._fail("the other end left")
        elif more:
            self._transport.pause()
            self._loop.call_soon(self._serve)
        else:
            self._transport.resume()
            if self.state is LinkState.OPEN and self._wire.partial:
                self._watch_partial()

    def _delivered(self, payload: bytes) -> bytes:
        """The peer's `deliver`; the return value is the reply."""
        if self.state is LinkState.OPEN:
            assert self.peer is not None
            if is_aside(payload):
                self._owner.link_aside(self, decode_aside(payload, self._side))
                return b""
            batch = decode_batch(payload, self._side)
            if batch.epoch != self.peer.epoch:  # a wrong one would make all that the true life says look stale
                raise WireError(f"its batch speaks for life {batch.epoch}, its hello spoke for {self.peer.epoch}")
            self._owner.link_batch(self, batch)
            return b""
        if self._dials:
            raise WireError("it spoke before it had answered the hello")
        return self._greet(payload)

    def _greet(self, payload: bytes) -> bytes:
        """Judge the first word of a peer that dialled; the reply is our hello, or why not."""
        try:
            other = hello.decode(payload)
            if isinstance(other, Refused):
                raise HelloError("its first word is no hello")
            hello.check(self.own, other)
            self._open(other)
        except LaulimaError as error:
            self._wire.close()  # what else it has sent is not looked at
            self._loop.call_soon(self._fail, str(error))
            return hello.encode(Refused(str(error)[: hello.TEXT_MAX]))
        return hello.encode(self.own)

    def _hello_answered(self, payload: bytes) -> None:
        answer = hello.decode(payload)
        if isinstance(answer, Refused):
            raise HelloError(answer.text[: hello.TEXT_MAX])
        hello.check(self.own, answer)
        self._open(answer)

    def _open(self, peer: Hello) -> None:
        self.peer = peer
        self.state = LinkState.OPEN
        self._wire.accept_large()
        self._cancel_timer()
        self._owner.link_up(self, peer)

    # time

    def _hello_late(self) -> None:
        self._timer = None
        self._fail(f"no hello within {HELLO_SECONDS:g} s")

    def _watch_partial(self) -> None:
        """A frame has begun: it must end in time. One timer, looked at when it fires, costs a busy link nothing."""
        if self._partial_frame != self._wire.frames:
            self._partial_frame = self._wire.frames
            self._partial_since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(self._partial_since + PARTIAL_SECONDS, self._partial_late)

    def _partial_late(self) -> None:
        self._timer = None
        if not self._wire.partial:
            return
        if self._partial_frame != self._wire.frames:
            self._watch_partial()
        elif self._loop.time() >= self._partial_since + PARTIAL_SECONDS:
            self._fail(f"its frame was not complete within {PARTIAL_SECONDS:g} s")
        else:
            self._timer = self._loop.call_at(self._partial_since + PARTIAL_SECONDS, self._partial_late)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # the end

    def _ended(self, reason: str) -> None:
        """The transport is gone."""
        self._fail(reason)

    def _fail(self, reason: str) -> None:
        if self.state is not LinkState.ENDED:
            self._stop(flush=True)
            self._owner.link_down(self, reason)

    def _stop(self, flush: bool) -> None:
        if flush:
            self._send_batches()
        self.state = LinkState.ENDED
        self._batches.clear()
        self._cancel_timer()
        if self._replying is not None:
            self._replying.cancel()
            self._replying = None
        self._wire.close()
        if flush:
            self._transport.close_when_empty(CLOSE_SECONDS)
        else:
            self._transport.close()
