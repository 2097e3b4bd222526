"""rpyc as a codec: a stock rpyc peer is understood, values arrive, the limits hold, and nothing ever waits.

Method: two `Wire`s, or a `Wire` and rpyc's own `Connection`, joined by hand without any I/O; then `Link`s over a
socket pair in one loop.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rpyc.core import brine, consts  # type: ignore[import-untyped]

from live import hello, wire
from live import link as link_module
from live.hello import Side
from live.link import Link, LinkState, decode_batch, encode_batch
from live.transport import READ_BYTES
from live.wire import Wire, WireError
from model.job import JobId, JobSpec
from model.messages import PROTOCOL, Assign, Batch, Cancel, CancelReason, Inquire, Inventory, Ping, Pong
from tests.live.link_partners import Owner, StockPeer, agent_hello, linked_pair, run, superior_hello


class Heard:
    """What a wire's peer delivered, and how it is answered."""

    def __init__(self, reply: bytes = b"") -> None:
        self.payloads: list[bytes] = []
        self.reply = reply

    def __call__(self, payload: bytes) -> bytes:
        self.payloads.append(payload)
        return self.reply


def carry(source: Wire, target: Wire, piece: int = 1 << 30) -> None:
    """Move what one wire wrote to the other one, in pieces of that many bytes."""
    data = bytes(source.outgoing)
    source.outgoing.clear()
    for start in range(0, len(data), piece):
        target.feed(data[start : start + piece])
        while target.serve(64):
            pass


# the codec alone


def test_what_is_delivered_arrives_and_its_reply_comes_back() -> None:
    there = Heard(b"thanks")
    replies: list[bytes] = []
    near, far = Wire(Heard()), Wire(there)
    near.deliver(b"hello", replies.append)
    carry(near, far)
    carry(far, near)
    assert there.payloads == [b"hello"]
    assert replies == [b"thanks"]


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 100])
def test_a_frame_may_come_in_pieces_of_any_size(piece: int) -> None:
    there = Heard()
    near, far = Wire(Heard()), Wire(there)
    for number in range(3):
        near.deliver(b"x" * 300 + bytes([number]))
    carry(near, far, piece)
    assert there.payloads == [b"x" * 300 + bytes([number]) for number in range(3)]
    assert not far.partial


def test_no_more_than_the_allowed_number_of_requests_is_unanswered_and_the_rest_follows_in_order() -> None:
    there = Heard()
    near, far = Wire(Heard()), Wire(there)
    sent = [number.to_bytes(2, "big") for number in range(3 * wire.IN_FLIGHT_MAX)]
    for payload in sent:
        near.deliver(payload)
    carry(near, far)
    assert len(there.payloads) == wire.IN_FLIGHT_MAX
    while len(there.payloads) < len(sent):
        carry(far, near)
        carry(near, far)
    assert there.payloads == sent


def test_a_peer_that_takes_nothing_is_called_too_slow_when_the_cap_is_reached() -> None:
    near = Wire(Heard())
    block = b"x" * (4 << 20)
    for _ in range(wire.OUT_MAX // len(block) - 1):
        near.deliver(block)
    with pytest.raises(WireError, match="too slow"):
        near.deliver(block + block[:-100])
    assert near.backlog_bytes <= wire.OUT_MAX


def test_what_waits_for_its_turn_counts_against_the_cap_too() -> None:
    near = Wire(Heard())
    for _ in range(wire.IN_FLIGHT_MAX):
        near.deliver(b"small")
    block = b"x" * (4 << 20)
    for _ in range(wire.OUT_MAX // len(block) - 1):
        near.deliver(block)
    assert len(near.outgoing) < len(block)
    with pytest.raises(WireError, match="too slow"):
        near.deliver(block)


def test_a_payload_that_no_frame_carries_is_refused_by_the_sender() -> None:
    with pytest.raises(WireError, match=str(wire.PAYLOAD_MAX)):
        Wire(Heard()).deliver(b"x" * (wire.PAYLOAD_MAX + 1))


def test_the_largest_payload_fits_into_one_frame() -> None:
    there = Heard()
    near, far = Wire(Heard()), Wire(there)
    far.accept_large()
    near.deliver(b"x" * wire.PAYLOAD_MAX)
    carry(near, far)
    assert len(there.payloads[0]) == wire.PAYLOAD_MAX


def test_before_the_peer_is_known_its_frames_must_be_small() -> None:
    near, far = Wire(Heard()), Wire(Heard())
    near.deliver(b"x" * wire.GREETING_MAX)
    with pytest.raises(WireError, match="header"):
        carry(near, far)


def test_a_refusal_of_the_peer_ends_the_link_with_its_text() -> None:
    def refuse(_: bytes) -> bytes:
        raise WireError("not today")

    near, far = Wire(Heard()), Wire(refuse)
    near.deliver(b"x")
    with pytest.raises(WireError, match="not today"):
        carry(near, far)
    with pytest.raises(WireError, match="it refused: not today"):
        carry(far, near)


def test_a_bug_of_ours_is_not_taken_for_a_fault_of_the_peer() -> None:
    def stumble(_: bytes) -> bytes:
        raise ZeroDivisionError

    near, far = Wire(Heard()), Wire(stumble)
    near.deliver(b"x")
    with pytest.raises(ZeroDivisionError):
        carry(near, far)


def test_a_goodbye_is_noticed() -> None:
    near, far = Wire(Heard()), Wire(Heard())
    near.goodbye()
    carry(near, far)
    assert far.left


def test_closing_never_waits_and_leaves_nothing_for_the_garbage_collector_to_wait_for() -> None:
    begin = time.monotonic()
    for _ in range(3):
        near = Wire(Heard())
        near.deliver(b"never answered")
        near.close()
        del near
        gc.collect()
    abandoned = Wire(Heard())
    abandoned.deliver(b"never answered")
    del abandoned
    gc.collect()
    assert time.monotonic() - begin < 30, "rpyc's own close waits for an answer: 30 s each, four times"


def test_closing_inside_a_call_ends_after_that_call() -> None:
    there: list[bytes] = []

    def close_at_once(payload: bytes) -> bytes:
        there.append(payload)
        far.close()
        return b""

    near, far = Wire(Heard()), Wire(close_at_once)
    near.deliver(b"one")
    near.deliver(b"two")
    carry(near, far)
    assert there == [b"one"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=4), st.integers(1, 3))
def test_whatever_bytes_come_the_worst_is_a_wire_error(pieces: list[bytes], kind: int) -> None:
    there = Heard()
    far = Wire(there)
    try:
        for piece in pieces:
            body = bytes([kind]) + piece
            far.feed(wire._HEADER.pack(len(body), 0) + body + b"\n")
            far.serve(8)
    except WireError:
        pass
    assert all(type(payload) is bytes for payload in there.payloads)
    far.close()


# a stock rpyc peer


def test_a_stock_rpyc_peer_says_hello_delivers_and_is_called_back() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        owner = Owner()
        link = Link(loop, agent_hello(epoch=9), owner, dials=False)
        ours, theirs = socket.socketpair()
        link.start(ours)
        peer = StockPeer(theirs)
        answer = await asyncio.to_thread(peer.deliver, hello.encode(superior_hello()))
        assert isinstance(answer, bytes)
        told = hello.decode(answer)
        assert isinstance(told, hello.Hello)
        assert (told.name, told.side, told.epoch) == ("node1", "agent", 9)
        batch = Batch(1, 1, 0, (Inquire(1),))
        assert await asyncio.to_thread(peer.deliver, encode_batch(batch)) == b""
        assert owner.batches == [batch]
        link.send(Batch(9, 1, 1, (Inventory((), 1, 9, 2),)))
        await asyncio.to_thread(peer.serve_until_delivered, 1)
        assert decode_batch(peer.delivered[0], Side.SUPERIOR).messages == (Inventory((), 1, 9, 2),)
        await asyncio.to_thread(peer.connection.ping, "are you there?")
        await asyncio.to_thread(peer.connection.close)
        await owner.until(lambda: bool(owner.reasons))
        assert owner.left

    run(scenario())


def test_a_stock_rpyc_peer_that_wants_an_object_is_told_why_not() -> None:
    async def scenario() -> None:
        owner = Owner()
        link = Link(asyncio.get_running_loop(), agent_hello(), owner, dials=False)
        ours, theirs = socket.socketpair()
        link.start(ours)
        peer = StockPeer(theirs)

        def ask() -> str:
            with pytest.raises(ValueError, match="only deliver") as caught:
                peer.connection.sync_request(consts.HANDLE_GETROOT)
            return str(caught.value)

        await asyncio.to_thread(ask)
        await owner.until(lambda: bool(owner.reasons))
        peer.connection.close()

    run(scenario())


# two links


def test_two_links_learn_who_the_other_is_and_pass_batches() -> None:
    async def scenario() -> None:
        upper, upper_owner, lower, lower_owner = linked_pair(superior_hello(epoch=4), agent_hello(epoch=7))
        await upper_owner.until(lambda: bool(upper_owner.peers))
        assert (upper_owner.peers[0].epoch, lower_owner.peers[0].epoch) == (7, 4)
        down = Batch(4, 1, 7, (Ping(1, 2, 3), Assign(JobId(5), 1, JobSpec("t", ("true",)))))
        up = Batch(7, 1, 4, (Pong(1),))
        upper.send(down)
        lower.send(up)
        await lower_owner.until(lambda: bool(lower_owner.batches))
        await upper_owner.until(lambda: bool(upper_owner.batches))
        assert (lower_owner.batches, upper_owner.batches) == ([down], [up])
        upper.close(goodbye=True)
        await lower_owner.until(lambda: bool(lower_owner.reasons))
        assert lower_owner.left
        assert upper_owner.reasons == []

    run(scenario())


def test_an_inventory_of_many_megabytes_passes() -> None:
    async def scenario() -> None:
        upper, upper_owner, lower, _ = linked_pair()
        await upper_owner.until(lambda: bool(upper_owner.peers))
        text = "x" * (6 << 20)
        lower.send(Batch(1, 1, 1, (Pong(1, 0, 0, text),)))
        await upper_owner.until(lambda: bool(upper_owner.batches))
        assert upper_owner.batches[0].messages == (Pong(1, 0, 0, text),)
        upper.close()
        lower.close()

    run(scenario())


@pytest.mark.parametrize(
    ("superior", "agent", "words"),
    [
        (
            msgspec.structs.replace(superior_hello(), protocol=99, laulima="9.9"),
            agent_hello(),
            ["protocol 99", f"protocol {PROTOCOL}", "9.9", "install the same version"],
        ),
        (superior_hello("node1"), agent_hello("node2"), ["node1", "node2"]),
        (agent_hello(), agent_hello(), ["cannot work together"]),
        (superior_hello(epoch=0), agent_hello(), ["names no life"]),
    ],
)
def test_ends_that_cannot_work_together_say_so_at_both_ends(
    superior: hello.Hello, agent: hello.Hello, words: list[str]
) -> None:
    async def scenario() -> None:
        upper, upper_owner, lower, lower_owner = linked_pair(superior, agent)
        await upper_owner.until(lambda: bool(upper_owner.reasons))
        await lower_owner.until(lambda: bool(lower_owner.reasons))
        for word in words:
            assert word in upper_owner.reasons[0]
            assert word in lower_owner.reasons[0]
        assert not upper_owner.peers
        assert not lower_owner.peers
        assert upper.state is lower.state is LinkState.ENDED

    run(scenario())


def test_each_side_accepts_only_what_the_other_may_say() -> None:
    said_down = encode_batch(Batch(1, 1, 0, (Cancel(JobId(1), 1, CancelReason.KILLED),)))
    said_up = encode_batch(Batch(1, 1, 0, (Pong(1),)))
    assert decode_batch(said_down, Side.AGENT).messages
    assert decode_batch(said_up, Side.SUPERIOR).messages
    with pytest.raises(WireError):
        decode_batch(said_down, Side.SUPERIOR)
    with pytest.raises(WireError):
        decode_batch(said_up, Side.AGENT)


def test_a_batch_that_speaks_for_another_life_than_the_hello_ends_the_link() -> None:
    async def scenario() -> None:
        upper, upper_owner, _, lower_owner = linked_pair(superior_hello(epoch=4))
        await upper_owner.until(lambda: bool(upper_owner.peers))
        upper.send(Batch(5, 1, 0, (Ping(1, 2, 3),)))
        await lower_owner.until(lambda: bool(lower_owner.reasons))
        assert "life 5" in lower_owner.reasons[0]
        assert not lower_owner.batches

    run(scenario())


SAMPLE = encode_batch(
    Batch(1, 2, 3, (Ping(1, 2, 3), Assign(JobId(5), 1, JobSpec("t", ("true",), environment=(("A", "b"),)))))
)


@settings(max_examples=500)
@given(st.integers(0, len(SAMPLE) - 1), st.binary(min_size=1, max_size=3), st.booleans())
def test_whatever_a_batch_holds_the_worst_is_a_wire_error(position: int, rubbish: bytes, cut: bool) -> None:
    data = SAMPLE[:position] + rubbish + (b"" if cut else SAMPLE[position + len(rubbish) :])
    with suppress(WireError):
        assert isinstance(decode_batch(data, Side.AGENT), Batch)


def test_a_batch_of_the_wrong_side_ends_the_link_with_a_reason() -> None:
    async def scenario() -> None:
        upper, upper_owner, _, lower_owner = linked_pair()
        await upper_owner.until(lambda: bool(upper_owner.peers))
        upper.send(Batch(1, 1, 0, (Pong(1),)))
        await lower_owner.until(lambda: bool(lower_owner.reasons))
        await upper_owner.until(lambda: bool(upper_owner.reasons))
        assert "its batch cannot be read" in lower_owner.reasons[0]
        assert "its batch cannot be read" in upper_owner.reasons[0]

    run(scenario())


def test_a_link_whose_peer_reads_nothing_stays_responsive_and_ends_as_too_slow() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        owner = Owner()
        link = Link(loop, agent_hello(), owner, dials=False)
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        link.start(ours)
        await loop.sock_sendall(theirs, request_frame(hello.encode(superior_hello())))
        await owner.until(lambda: bool(owner.peers))
        batch = Batch(1, 1, 1, (Pong(1, 0, 0, "x" * (4 << 20)),))
        for _ in range(2 + wire.OUT_MAX // (4 << 20)):
            link.send(batch)
        await owner.until(lambda: bool(owner.reasons))
        assert "too slow" in owner.reasons[0]
        theirs.close()

    run(scenario())


def request_frame(payload: bytes, sequence: int = 0) -> bytes:
    """What rpyc writes for a `deliver`."""
    arguments = (None, "deliver", (payload,))
    body: bytes = b"\x01" + brine.dump((sequence, (consts.HANDLE_CALLATTR, (consts.LABEL_VALUE, arguments))))
    return bytes(wire._HEADER.pack(len(body), 0) + body + b"\n")


def test_one_link_that_floods_does_not_hold_up_another_one() -> None:
    async def scenario() -> None:
        flooding, _, _, flooded = linked_pair()
        calm, calm_owner, _, calmed = linked_pair()
        await calm_owner.until(lambda: bool(calm_owner.peers))
        await flooded.until(lambda: bool(flooded.peers))
        for number in range(5000):
            flooding.send(Batch(1, number + 1, 1 + number % 2, (Ping(number, 0, 0),)))  # to two lives: none merged
        calm.send(Batch(1, 1, 1, (Ping(1, 0, 0),)))
        await calmed.until(lambda: bool(calmed.batches))
        assert len(flooded.batches) < 5000
        await flooded.until(lambda: len(flooded.batches) == 5000)
        assert [batch.sequence for batch in flooded.batches] == list(range(1, 5001))
        flooding.close()
        calm.close()

    run(scenario())


def test_what_one_turn_says_to_one_life_is_one_frame_where_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        upper, upper_owner, lower, lower_owner = linked_pair()
        await upper_owner.until(lambda: bool(upper_owner.peers))
        words = [Batch(1, number, 1 + number // 4, (Ping(number, 0, 0),)) for number in range(1, 6)]
        for batch in words:
            upper.send(batch)
        await lower_owner.until(lambda: len(lower_owner.batches) == 2)
        assert lower_owner.batches == [
            Batch(1, 3, 1, (Ping(1, 0, 0), Ping(2, 0, 0), Ping(3, 0, 0))),
            Batch(1, 5, 2, (Ping(4, 0, 0), Ping(5, 0, 0))),
        ]
        monkeypatch.setattr(link_module, "PAYLOAD_MAX", len(encode_batch(words[0])))
        for batch in words:
            upper.send(batch)
        await lower_owner.until(lambda: len(lower_owner.batches) == 7)
        assert lower_owner.batches[2:] == words
        upper.close()
        lower.close()

    run(scenario())


def test_the_last_words_of_a_turn_are_said_before_goodbye() -> None:
    async def scenario() -> None:
        upper, upper_owner, lower, lower_owner = linked_pair()
        await upper_owner.until(lambda: bool(upper_owner.peers))
        word = Batch(1, 1, 1, (Ping(1, 0, 0),))
        upper.send(word)
        upper.close(goodbye=True)
        await lower_owner.until(lambda: bool(lower_owner.reasons))
        assert lower_owner.batches == [word]
        assert lower_owner.left
        lower.close()

    run(scenario())


def test_a_burst_of_frames_is_handled_whole_though_nothing_more_comes() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        owner = Owner()
        link = Link(loop, agent_hello(), owner, dials=False)
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        link.start(ours)
        burst = request_frame(hello.encode(superior_hello()))
        for number in range(1, 500):
            burst += request_frame(encode_batch(Batch(1, number, 1, (Ping(number, 0, 0),))), number)
        await loop.sock_sendall(theirs, burst)
        await owner.until(lambda: len(owner.batches) == 499)
        assert [batch.sequence for batch in owner.batches] == list(range(1, 500))
        link.close()
        theirs.close()

    run(scenario())


def test_hundreds_of_links_are_one_loops_work(capsys: pytest.CaptureFixture[str]) -> None:
    """Prints the rate of a single link too: a figure for people, not a condition."""

    async def scenario() -> None:
        pairs = [linked_pair() for _ in range(200)]
        for upper, upper_owner, _, _ in pairs:
            await upper_owner.until(lambda owner=upper_owner: bool(owner.peers))  # type: ignore[misc]
            upper.send(Batch(1, 1, 1, (Ping(1, 0, 0),)))
        for _, _, _, lower_owner in pairs:
            await lower_owner.until(lambda owner=lower_owner: bool(owner.batches))  # type: ignore[misc]
        upper, _, _, lower_owner = pairs[0]
        spec = JobSpec("t", ("true",))
        jobs = tuple(Assign(JobId(number), 1, spec) for number in range(100))
        begin = time.perf_counter()
        for number in range(200):
            upper.send(Batch(1, number + 2, 1 + number % 2, jobs))
        await lower_owner.until(lambda: len(lower_owner.batches) == 201)
        assert all(len(owner.batches) == 1 for _, _, _, owner in pairs[1:])
        rate = 200 * 100 / (time.perf_counter() - begin)
        with capsys.disabled():
            print(f"\n[one link, batches of 100 jobs: {rate:,.0f} jobs/s; reads of {READ_BYTES >> 10} KiB]")
        for upper, _, lower, _ in pairs:
            upper.close()
            lower.close()

    run(scenario())
