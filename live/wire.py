"""rpyc reduced to a codec: bytes in, frames out, one remote call, plain values only. No I/O, no clock, no waiting.

The only module that imports rpyc. `live/link.py` feeds it and sends what it has written; nothing else uses it.

What is kept of rpyc: its frames (`!LB`, body, newline), its value encoding (brine), its requests and replies
(`Connection`). A stock rpyc peer calls `connection.async_request(HANDLE_CALLATTR, None, "deliver", (data,))`; to be
called back it puts one function for HANDLE_CALLATTR into its handler table, because `None` names the root here.
What is taken away: references, attributes, pickles, foreign exceptions, compression, every call that waits, every
operation but PING, CLOSE and CALLATTR of `deliver` with one bytes argument.

Rule: whatever a peer sends, the worst that happens is a `WireError`, and the owner ends that one link with its text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from struct import Struct
from typing import Any, Final

from rpyc.core import brine, consts  # type: ignore[import-untyped]
from rpyc.core.protocol import Connection  # type: ignore[import-untyped]
from rpyc.version import __version__ as _rpyc_version  # type: ignore[import-untyped]

from model.errors import LaulimaError

__all__ = [
    "DELIVER",
    "FRAME_MAX",
    "GREETING_MAX",
    "IN_FLIGHT_MAX",
    "OUT_MAX",
    "PAYLOAD_MAX",
    "RPYC_VERSION",
    "Wire",
    "WireError",
]

DELIVER: Final = "deliver"
"""The one method that each end offers."""
RPYC_VERSION: Final[str] = _rpyc_version

FRAME_MAX: Final = 8 << 20
"""Bytes in one frame: an inventory of about 25,000 attempts fits."""
PAYLOAD_MAX: Final = FRAME_MAX - 64
"""Bytes in one `deliver`: the frame around them needs less than 64."""
GREETING_MAX: Final = 64 << 10
"""Bytes in one frame before the peer is known, and in any reply."""
OUT_MAX: Final = 64 << 20
"""Bytes that may wait for a peer, written or not yet; one more and it is called too slow."""
IN_FLIGHT_MAX: Final = 64
"""Requests that a peer may leave unanswered; further ones wait here, counted against OUT_MAX."""
VALUES_MAX: Final = 128
"""Values in one frame. A `deliver` has 12; more means a peer that wants to keep the decoder busy."""
DIGITS_MAX: Final = 20
"""Digits of one integer."""
COMPLAINT_MAX: Final = 500
"""Characters of an error text, ours or the peer's."""

_HEADER: Final = Struct("!LB")
_END: Final = b"\n"

_CONFIGURATION: Final = {
    "allow_all_attrs": False,
    "allow_exposed_attrs": False,
    "allow_getattr": False,
    "allow_pickle": False,
    "allow_public_attrs": False,
    "allow_safe_attrs": False,
    "allow_setattr": False,
    "allow_delattr": False,
    "bind_threads": False,
    "import_custom_exceptions": False,
    "include_local_traceback": False,
    "include_local_version": False,
    "instantiate_custom_exceptions": False,
    "logger": None,
    "propagate_KeyboardInterrupt_locally": False,
    "propagate_SystemExit_locally": False,
    "sync_request_timeout": None,
}


class WireError(LaulimaError):
    """The peer said something that no correct peer says, or takes nothing any more: its link must end."""


def _tag(tag: bytes) -> int:
    return tag[0]


_SIMPLE: Final[dict[int, tuple[int, int]]] = {
    **{_tag(tag): (0, 0) for tag in (brine.TAG_NONE, brine.TAG_TRUE, brine.TAG_FALSE)},
    **{_tag(tag): (0, 0) for tag in (brine.TAG_EMPTY_STR, brine.TAG_EMPTY_TUPLE, *brine.IMM_INTS_LOADER)},
    **{_tag(getattr(brine, f"TAG_STR{size}")): (size, 0) for size in range(1, 5)},
    **{_tag(getattr(brine, f"TAG_TUP{size}")): (0, size) for size in range(1, 5)},
    _tag(brine.TAG_UNICODE): (0, 1),
    _tag(brine.TAG_FLOAT): (8, 0),
}
"""For each tag of fixed size: bytes that follow it, values that follow it."""
_BYTES_SHORT, _BYTES_LONG = _tag(brine.TAG_STR_L1), _tag(brine.TAG_STR_L4)
_TUPLE_SHORT, _INTEGER_SHORT = _tag(brine.TAG_TUP_L1), _tag(brine.TAG_INT_L1)


def _check_shape(frame: bytes) -> None:
    """Refuse, before rpyc decodes it, a frame that is deep, or of very many or of strange values.

    Walks over the values without building them, so its cost is bounded by VALUES_MAX and not by the frame's size.
    """
    position, awaited, seen, size = 1, 1, 0, len(frame)
    while awaited:
        awaited -= 1
        seen += 1
        if position >= size or seen > VALUES_MAX:
            raise WireError("its frame is cut short, or holds too many values")
        tag = frame[position]
        position += 1
        simple = _SIMPLE.get(tag)
        if simple is not None:
            position += simple[0]
            awaited += simple[1]
        elif tag == _BYTES_LONG:
            position += 4 + int.from_bytes(frame[position : position + 4], "big")
        elif tag == _BYTES_SHORT and position < size:
            position += 1 + frame[position]
        elif tag == _TUPLE_SHORT and position < size:
            awaited += frame[position]
            position += 1
        elif tag == _INTEGER_SHORT and position < size and frame[position] <= DIGITS_MAX:
            position += 1 + frame[position]
        else:
            raise WireError(f"its frame holds a value of a kind that is not accepted (tag {tag:#04x})")
    if position != size:
        raise WireError("its frame is cut short, or has bytes after its end")


class FrameChannel:
    """What a `Connection` takes for its channel: two buffers, and rpyc's frames cut from the one, laid into the other.

    `outgoing` is emptied from its front by the owner. `frame_max` is raised once the peer is known.
    """

    __slots__ = ("_incoming", "closed", "frame_max", "frames", "outgoing")

    def __init__(self) -> None:
        self._incoming = bytearray()
        self.outgoing = bytearray()
        self.closed = False
        self.frame_max = GREETING_MAX
        self.frames = 0
        """whole frames taken out so far"""

    def feed(self, data: bytes) -> None:
        self._incoming += data

    @property
    def partial(self) -> bool:
        """Whether bytes of a frame are here; the owner asks when no whole one is left."""
        return bool(self._incoming)

    def poll(self, _timeout: object) -> bool:
        """Whether a whole frame is here. Never waits. Raises WireError at a header that is refused."""
        incoming = self._incoming
        if len(incoming) < _HEADER.size:
            return False
        length, compressed = _HEADER.unpack_from(incoming)
        if compressed or not 2 <= length <= self.frame_max:
            raise WireError(
                f"its frame has the header {incoming[:5].hex()}: compressed, empty or over {self.frame_max} bytes",
                "is that a laulima of the same version, without compression?",
            )
        return len(incoming) > _HEADER.size + int(length)

    def recv(self) -> bytes:
        incoming = self._incoming
        end: int = _HEADER.size + _HEADER.unpack_from(incoming)[0]
        if incoming[end : end + 1] != _END:
            raise WireError("its frame does not end with a newline")
        with memoryview(incoming) as view:
            frame = bytes(view[_HEADER.size : end])
        del incoming[: end + 1]
        self.frames += 1
        _check_shape(frame)
        return frame

    def send(self, data: bytes) -> None:
        if self.closed:
            raise EOFError("the link is closed")
        if len(data) > FRAME_MAX:
            raise WireError(f"a frame of {len(data)} bytes is over {FRAME_MAX}")
        if len(self.outgoing) + len(data) > OUT_MAX:
            raise WireError(f"it is too slow: {OUT_MAX} bytes wait for it")
        self.outgoing += _HEADER.pack(len(data), 0)
        self.outgoing += data
        self.outgoing += _END

    def close(self) -> None:
        self.closed = True
        self._incoming.clear()

    def fileno(self) -> int:
        return -1


class _Root:
    """The object that a Connection serves: nothing on it can be reached by name."""

    __slots__ = ("_received", "bug", "left")

    def __init__(self, received: Callable[[bytes], bytes]) -> None:
        self._received = received
        self.left = False
        self.bug: Exception | None = None
        """what failed on this side, and is not the peer's fault"""

    def deliver(self, payload: bytes) -> bytes:
        with self.ours():
            return self._received(payload)

    @contextmanager
    def ours(self) -> Iterator[None]:
        """What fails in here, but for a LaulimaError, is a bug of ours and must not be taken for the peer's."""
        try:
            yield
        except LaulimaError:
            raise
        except Exception as error:
            self.bug = error
            raise

    def on_disconnect(self, connection: object) -> None:
        """Asked for by rpyc."""


class _Values(Connection):  # type: ignore[misc]  # rpyc has no types
    """A Connection that carries plain values, offers one call, never waits, and never meets the garbage collector."""

    def close(self) -> None:
        """Let go. (The stock one waits for the peer's answer.)"""
        if not self._closed:
            self._cleanup(_anyway=True)

    def __del__(self) -> None:
        """Nothing. (The stock one closes, and so waits.)"""

    @classmethod
    def _request_handlers(cls) -> dict[int, Any]:
        return {
            consts.HANDLE_PING: cls._handle_ping,
            consts.HANDLE_CLOSE: cls._handle_close,
            consts.HANDLE_CALLATTR: cls._handle_callattr,
        }

    def _handle_ping(self, data: object) -> object:
        if not isinstance(data, bytes | str) or len(data) > GREETING_MAX // 4:
            raise WireError("it pinged with something that is no short text")
        return data

    def _handle_close(self) -> None:
        self._local_root.left = True

    def _handle_callattr(self, obj: object, name: object, args: object, kwargs: object = ()) -> bytes:
        if obj is not None or name != DELIVER or kwargs or type(args) is not tuple:
            raise WireError("it called something else than deliver(bytes)")
        if len(args) != 1 or type(args[0]) is not bytes:
            raise WireError("it called deliver with something else than one bytes value")
        reply: bytes = self._local_root.deliver(args[0])
        return reply

    def _dispatch_request(self, seq: object, raw_args: Any) -> None:
        """Answer a request. One that fails is answered with its reason, and ends the link."""
        try:
            handler, package = raw_args
            operation = self._HANDLERS.get(handler)
            if operation is None:
                raise WireError(f"it asked for operation {handler!r}: only deliver(bytes) is offered")
            reply = operation(self, *self._unbox(package))
        except Exception as error:
            self._send(consts.MSG_EXCEPTION, seq, self._box_exc(type(error), error, None))
            raise
        self._send(consts.MSG_REPLY, seq, self._box(reply))

    def _box(self, obj: object) -> tuple[int, object]:
        if not brine.dumpable(obj):
            raise WireError("only plain values are sent")
        return consts.LABEL_VALUE, obj

    def _unbox(self, package: Any) -> Any:
        label, value = package
        if label != consts.LABEL_VALUE:
            raise WireError("it sent a reference to an object: only plain values are accepted")
        return value

    def _box_exc(self, _type: object, val: BaseException, _traceback: object) -> object:
        """The kind and the text of an error; no traceback, no attributes."""
        return ("builtins", "ValueError"), (str(val)[:COMPLAINT_MAX],), (), ""

    def _unbox_exc(self, raw: Any) -> WireError:
        """The peer's error as text: no class of its choice is made or remembered."""
        try:
            (_, kind), arguments, _, _ = raw
            text = ", ".join(str(argument) for argument in arguments) or str(kind)
        except (TypeError, ValueError):
            text = "an error that it did not explain"
        return WireError(text[:COMPLAINT_MAX])


class Wire:
    """One end of one link, without I/O.

    `received(payload) -> reply` is called for each `deliver` of the peer; it must not block, and may raise.
    Bytes to send gather in `outgoing`. After a WireError, or after `close`, only `outgoing` may be used.
    """

    __slots__ = (
        "_channel",
        "_closing",
        "_connection",
        "_in_flight",
        "_refusal",
        "_root",
        "_serving",
        "_waiting",
        "_waiting_bytes",
    )

    def __init__(self, received: Callable[[bytes], bytes]) -> None:
        self._channel = FrameChannel()
        self._root = _Root(received)
        self._connection = _Values(self._root, self._channel, _CONFIGURATION)
        self._in_flight = 0
        self._waiting: deque[tuple[bytes, Callable[[bytes], None] | None]] = deque()
        self._waiting_bytes = 0
        self._refusal = ""
        self._serving = False
        self._closing = False

    @property
    def outgoing(self) -> bytearray:
        """Bytes to send; the owner deletes from the front what it has sent."""
        return self._channel.outgoing

    @property
    def backlog_bytes(self) -> int:
        """Bytes that wait for the peer."""
        return len(self._channel.outgoing) + self._waiting_bytes

    @property
    def frames(self) -> int:
        """Whole frames received."""
        return self._channel.frames

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and not ended (asked after `serve` said that no whole one is left)."""
        return self._channel.partial

    @property
    def left(self) -> bool:
        """Whether the peer said goodbye."""
        return self._root.left

    def accept_large(self) -> None:
        """The peer is known: from here on its frames may have FRAME_MAX bytes."""
        self._channel.frame_max = FRAME_MAX

    def feed(self, data: bytes) -> None:
        """Take bytes as they come, in pieces of any size. Follow with `serve`."""
        self._channel.feed(data)

    def serve(self, frames: int) -> bool:
        """Handle up to `frames` whole frames; whether more are here. Raises WireError: the link must end; so it must
        after any other exception, which is a bug of whoever was called."""
        self._serving = True
        try:
            for _ in range(frames):
                if self._closing or not self._channel.poll(0):
                    return False
                self._connection.serve(0)
                if self._refusal:
                    raise WireError(self._refusal)
                if self._root.left:
                    return False
            return not self._closing and self._channel.poll(0)
        except LaulimaError:
            raise
        except Exception as error:
            if error is self._root.bug:
                raise
            # Whatever else rpyc stumbles over is the peer's fault, and ends this link only.
            raise WireError(f"it sent what cannot be read ({type(error).__name__}: {error})") from error
        finally:
            self._serving = False
            if self._closing:
                self._connection.close()

    def deliver(self, payload: bytes, answered: Callable[[bytes], None] | None = None) -> None:
        """Send, or queue while IN_FLIGHT_MAX requests are unanswered. `answered` gets the reply.

        Raises WireError when the payload is too large or the peer too slow: the link must end.
        """
        if len(payload) > PAYLOAD_MAX:
            raise WireError(f"a message of {len(payload)} bytes is over the {PAYLOAD_MAX} that one frame carries")
        if self.backlog_bytes + len(payload) > OUT_MAX:
            raise WireError(f"it is too slow: {self.backlog_bytes} bytes wait for it")
        if self._in_flight >= IN_FLIGHT_MAX:
            self._waiting.append((payload, answered))
            self._waiting_bytes += len(payload)
        else:
            self._request(payload, answered)

    def _request(self, payload: bytes, answered: Callable[[bytes], None] | None) -> None:
        self._in_flight += 1

        def done(result: Any) -> None:
            self._in_flight -= 1
            try:
                reply = result.value
            except WireError as refusal:
                self._refusal = f"it refused: {refusal}"
                return
            if reply is not None and type(reply) is not bytes:
                self._refusal = "it replied with something else than bytes"
            elif answered is not None:
                with self._root.ours():
                    answered(reply or b"")
            while self._waiting and self._in_flight < IN_FLIGHT_MAX and not self._closing:
                payload, waiting = self._waiting.popleft()
                self._waiting_bytes -= len(payload)
                self._request(payload, waiting)

        self._connection.async_request(consts.HANDLE_CALLATTR, None, DELIVER, (payload,)).add_callback(done)

    def goodbye(self) -> None:
        """Say that this end leaves on purpose; flush `outgoing` afterwards, then close."""
        if not self._closing:
            self._connection.async_request(consts.HANDLE_CLOSE)

    def close(self) -> None:
        """Handle nothing any more. Never waits; what is in `outgoing` stays there."""
        self._closing = True
        self._waiting.clear()
        self._waiting_bytes = 0
        if not self._serving:
            self._connection.close()
