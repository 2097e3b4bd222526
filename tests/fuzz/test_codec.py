"""Goal: whatever bytes come over a link, the worst is the link's own error, and no more memory than its limits say.

Method: Hypothesis, with any bytes, any values of rpyc's encoding in frames, and mutated recordings of real traffic, in
pieces of any size, through the codec of each kind of link without its sockets.
"""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from rpyc.core import brine, consts  # type: ignore[import-untyped]

from live import hello, wire
from live.keeper_frames import FrameError, frame_messages, frame_orders, message_frames, orders_frames
from live.link import encode_batch
from live.wire import Wire, WireError
from model.job import JobId, JobSpec, Outcome, Report
from model.keeper import Exited, Forget, ListHeld, Renew, Running, Start, Stop
from model.messages import Acknowledge, Assign, Batch, Ended, Inquire, Inventory, Ping, Pong, Started
from tests.fuzz.anything import PLAIN, mutated
from tests.fuzz.budget import fuzz
from tests.live.link_partners import agent_hello, superior_hello

SPEC = JobSpec("t", command=("sh", "-c", "x"), environment=(("A", "1"),))
REPORT = Report(Outcome.EXITED, 0, started=True)
PIECES = st.lists(st.integers(1, 64), max_size=6)


def recorded_traffic() -> tuple[bytes, bytes]:
    """What a server and an agent say to each other in a short life, as bytes: (server's, agent's)."""
    said: dict[str, bytearray] = {"up": bytearray(), "down": bytearray()}
    upper = Wire(lambda _: b"")
    lower = Wire(lambda payload: hello.encode(agent_hello()) if payload.startswith(b"\x8a") else b"")
    upper.deliver(hello.encode(superior_hello()))
    batches = [Batch(1, 1, 0, (Inquire(1), Ping(1, 2, 3))), Batch(1, 2, 7, (Assign(JobId(1), 1, SPEC),))]
    batches.append(Batch(1, 3, 7, (Acknowledge(JobId(1), 1),)))
    for batch in batches:
        upper.deliver(encode_batch(batch))
    answers = (Inventory((), 1), Pong(1), Started(JobId(1), 1, "n"), Ended(JobId(1), 1, REPORT))
    lower.deliver(encode_batch(Batch(7, 1, 1, answers)))
    upper.goodbye()
    for wires, name in (((upper, lower), "down"), ((lower, upper), "up"), ((upper, lower), "down")):
        data = bytes(wires[0].outgoing)
        wires[0].outgoing.clear()
        said[name] += data
        wires[1].feed(data)
        wires[1].serve(99)
    return bytes(said["down"]), bytes(said["up"])


DOWN, UP = recorded_traffic()
assert DOWN and UP


def listen_to(data: bytes, pieces: list[int]) -> None:
    """A wire that gets these bytes, in pieces; it raises a WireError or nothing, and keeps to its limits."""
    got: list[bytes] = []

    def received(payload: bytes) -> bytes:
        got.append(payload)
        return b""

    listening = Wire(received)
    listening.deliver(b"our own request")
    rest = data
    with contextlib.suppress(WireError):
        for size in (*pieces, len(data)):
            listening.feed(rest[:size])
            rest = rest[size:]
            while listening.serve(64):
                assert len(listening.outgoing) <= wire.OUT_MAX
    assert sum(map(len, got)) <= len(data)
    listening.close()


@fuzz(300)
@given(st.binary(max_size=300), PIECES)
def test_any_bytes(data: bytes, pieces: list[int]) -> None:
    listen_to(data, pieces)


ENCODED = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**40), 10**40),
        st.floats(),
        st.text(max_size=9),
        st.binary(max_size=9),
    ),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(st.integers(), max_size=3),
    max_leaves=12,
)


@fuzz(400)
@given(
    st.integers(0, 255),
    st.one_of(
        ENCODED,
        st.tuples(st.integers(0, 3), st.tuples(st.integers(0, 25), st.tuples(st.integers(0, 5), ENCODED))),
        st.tuples(
            st.integers(0, 3),
            st.tuples(
                st.just(consts.HANDLE_CALLATTR), st.tuples(st.just(1), st.tuples(ENCODED, st.just("deliver"), ENCODED))
            ),
        ),
        st.tuples(st.integers(0, 3), st.tuples(st.integers(0, 5), ENCODED)),
    ),
    PIECES,
)
def test_any_values_in_frames(kind: int, value: Any, pieces: list[int]) -> None:
    try:
        body = bytes([kind]) + brine.dump(value)
    except TypeError:
        return
    listen_to(wire._HEADER.pack(len(body), 0) + body + b"\n", pieces)
    kinds = bytes([kind % 3 + 1]) + body[1:]
    listen_to(wire._HEADER.pack(len(body), 0) + kinds + b"\n", pieces)


@fuzz(400)
@given(mutated(DOWN) | mutated(UP), PIECES)
def test_recorded_traffic_that_was_changed(data: bytes, pieces: list[int]) -> None:
    listen_to(data, pieces)


ORDERS = b"".join(
    frame_orders([order], 1)
    for order in (ListHeld(), Renew(5), Start(JobId(1), 1, SPEC), Stop(JobId(1), 1), Forget(JobId(1), 1))
)
MESSAGES = b"".join(frame_messages([message]) for message in (Running(JobId(1), 1, 5), Exited(JobId(1), 1, REPORT)))


@fuzz(400)
@given(mutated(ORDERS) | mutated(MESSAGES) | st.binary(max_size=60), PIECES)
def test_frames_of_keepers_that_were_changed(data: bytes, pieces: list[int]) -> None:
    for frames in (orders_frames(1 << 20), message_frames()):
        rest = data
        with contextlib.suppress(FrameError):
            for size in (*pieces, len(data)):
                frames.feed(rest[:size])
                rest = rest[size:]


@fuzz(300)
@given(PLAIN)
def test_frames_of_keepers_with_any_value(value: Any) -> None:
    try:
        body = msgspec.msgpack.encode(value)
    except (OverflowError, UnicodeEncodeError):
        return
    for frames in (orders_frames(1 << 20), message_frames()):
        with contextlib.suppress(FrameError):
            frames.feed(len(body).to_bytes(4, "big") + body)
