"""How what is hostile is spelt on each kind of link: rpyc's frames (agents' links, whatever carries them), frames of
msgpack (keepers), lines of JSON (the control socket and its prompts).

A dialect is plain data: `rubbish` are whole things to say, by name, that no correct peer says, before it is known
(`FIRST`) or after it was greeted (`LATER`). Used by `links.py`. Nothing here knows a socket.
"""

from __future__ import annotations

import json
import pickle
import zlib
from dataclasses import dataclass, field
from typing import Any

import msgspec
from rpyc.core import brine, consts  # type: ignore[import-untyped]

from live import hello, keeper_frames, link, wire
from live.control import REQUEST_MAX
from live.link import encode_batch
from model.messages import Batch, Ping
from tests.live.link_partners import agent_hello, superior_hello

NEST = 100_000
BOMB = zlib.compress(b"\0" * (32 << 20))
BIG_COUNT = b"\xff\xff\xff\xff"


@dataclass(frozen=True)
class Dialect:
    first: dict[str, bytes]
    """what is said instead of a greeting, and ends the connection (or is refused in a sentence, where `forgives`)"""
    later: dict[str, bytes]
    """what is said after a correct greeting"""
    begun: bytes
    """the beginning of something that is allowed, and goes on for longer than anybody waits"""
    harmless: bytes
    """a whole correct thing, which changes nothing"""
    forgives: bool = False
    """most rubbish is answered with a sentence, and the connection goes on"""
    fatal: frozenset[str] = field(default_factory=frozenset)
    """what ends the connection all the same"""


# rpyc


def frame(body: bytes, compressed: int = 0, length: int | None = None) -> bytes:
    return wire._HEADER.pack(len(body) if length is None else length, compressed) + body + b"\n"


def request(handler: int, package: Any, sequence: int = 0) -> bytes:
    """A request as rpyc writes it; `package` is a label and what it labels."""
    return frame(bytes([consts.MSG_REQUEST]) + brine.dump((sequence, (handler, package))))


def deliver(payload: bytes, sequence: int = 0) -> bytes:
    return request(consts.HANDLE_CALLATTR, (consts.LABEL_VALUE, (None, "deliver", (payload,))), sequence)


def reply(payload: object, sequence: int = 0, label: int = consts.LABEL_VALUE) -> bytes:
    """The reply to a request; rpyc counts its requests from 0."""
    return frame(bytes([consts.MSG_REPLY]) + brine.dump((sequence, (label, payload))))


def refusal(sequence: int = 0) -> bytes:
    """An error as rpyc writes it, of a class of the sender's choice."""
    return frame(bytes([consts.MSG_EXCEPTION]) + brine.dump((sequence, (("os", "system"), ("x",), (), "trace"))))


def value(label: object, content: object) -> bytes:
    return request(consts.HANDLE_CALLATTR, (label, content))


RUBBISH_OF_RPYC: dict[str, bytes] = {
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100f1010000ed0303") + bytes(200),
    "zeros": bytes(4096),
    "a header of 4 GiB": wire._HEADER.pack(0xFFFFFFFF, 0),
    "a compressed bomb": frame(BOMB, compressed=1),
    "an empty frame": frame(b""),
    "a frame without its newline": deliver(b"x")[:-1] + b"X",
    "an unknown kind of message": frame(b"\x09" + brine.dump((0, ()))),
    "an unknown operation": request(99, (consts.LABEL_VALUE, ())),
    "an operation that is no number": request(99, (consts.LABEL_VALUE, ())).replace(b"\xb3", b"\x02"),
    "getroot": request(consts.HANDLE_GETROOT, (consts.LABEL_VALUE, ())),
    "getattr": request(consts.HANDLE_GETATTR, (consts.LABEL_VALUE, (None, "__class__"))),
    "pickle": request(consts.HANDLE_PICKLE, (consts.LABEL_VALUE, (pickle.dumps(1), 2))),
    "call": request(consts.HANDLE_CALL, (consts.LABEL_VALUE, (None, ()))),
    "inspect": request(consts.HANDLE_INSPECT, (consts.LABEL_VALUE, (("a", 1, 2),))),
    "another method": value(consts.LABEL_VALUE, (None, "__init__", ())),
    "deliver of an object": value(consts.LABEL_VALUE, ("", "deliver", (b"",))),
    "deliver of a text": value(consts.LABEL_VALUE, (None, "deliver", ("x",))),
    "deliver of two": value(consts.LABEL_VALUE, (None, "deliver", (b"", b""))),
    "deliver with keywords": value(consts.LABEL_VALUE, (None, "deliver", (b"",), (("a", 1),))),
    "a tuple of references": value(consts.LABEL_TUPLE, ((1, None),)),
    "a reference to an object here": value(consts.LABEL_LOCAL_REF, ("x", 1, 2)),
    "a reference to an object there": value(consts.LABEL_REMOTE_REF, ("x", 1, 2)),
    "an unknown label": value(77, ()),
    "no label": request(consts.HANDLE_CALLATTR, None),
    "a long ping": request(consts.HANDLE_PING, (consts.LABEL_VALUE, (b"x" * 40_000,))),
    "a ping with a number": request(consts.HANDLE_PING, (consts.LABEL_VALUE, (1,))),
    "deep nesting": frame(b"\x01" + brine.TAG_TUP1 * 60_000 + brine.TAG_NONE),
    "a tuple of four thousand million": frame(b"\x01" + brine.TAG_TUP_L4 + BIG_COUNT),
    "very many values": frame(b"\x01" + brine.TAG_TUP_L1 + b"\xff" + brine.TAG_NONE * 255),
    "an integer of many digits": frame(b"\x01" + brine.TAG_INT_L4 + (50_000).to_bytes(4, "big") + b"9" * 50_000),
    "a slice": frame(b"\x01" + brine.dump(slice(1, 2, 3))),
    "a frozenset": frame(b"\x01" + brine.dump(frozenset([1]))),
    "bytes that end after the frame": frame(b"\x01" + brine.TAG_STR_L4 + b"\x7f\xff\xff\xff"),
    "bytes after the value": frame(b"\x01" + brine.dump((0, ())) + b"more"),
    "a text that is no text": frame(b"\x01" + brine.TAG_UNICODE + brine.TAG_NONE),
    "a batch before the hello": deliver(encode_batch(Batch(1, 1, 0, (Ping(1, 2, 3),)))),
    "a deeply nested hello": deliver(b"\x91" * 60_000),
    "a hello of the wrong type": deliver(msgspec.msgpack.encode({"kind": "hello", "protocol": "one", "side": 3})),
    "a refusal": deliver(hello.encode(hello.Refused("no"))),
    "a reply that nobody asked for, then rubbish": reply(b"", 5) + bytes(10),
    "an error that nobody asked for, then rubbish": refusal(5) + bytes(10),
}
SPENT = 7
"""A request's number that is not in use."""
LATER_OF_RPYC: dict[str, bytes] = {
    "no msgpack": deliver(b"\xc1" * 100, SPENT),
    "deep nesting in a batch": deliver(b"\x94" + b"\x91" * 200_000, SPENT),
    "too many messages": deliver(msgspec.msgpack.encode([1, 1, 0, [["ping", 1]] * (link.MESSAGES_MAX + 1)]), SPENT),
    "a batch that is cut short": deliver(b"\x94\xcf" + b"\xff" * 8, SPENT),
    "a text that is no UTF-8": deliver(b"\x94\x01\x01\x00\x91\x93\xa7started\x01\x01\xa1\xff", SPENT),
    "a second hello": deliver(hello.encode(superior_hello()), SPENT),
    "a frame that is too long": wire._HEADER.pack(wire.FRAME_MAX + 1, 0) + b"x",
    "getroot": request(consts.HANDLE_GETROOT, (consts.LABEL_VALUE, ()), SPENT),
    "a reply that nobody asked for, then rubbish": reply(b"", 99) + bytes(10),
}
CALLED = Dialect(
    first={
        **RUBBISH_OF_RPYC,
        "a frame just over the limit": wire._HEADER.pack(wire.GREETING_MAX + 1, 0) + bytes(10),
        "an agent's hello": deliver(hello.encode(agent_hello("n1"))),
        "a hello for another host": deliver(hello.encode(superior_hello("n2"))),
        "a hello without a life": deliver(hello.encode(superior_hello("n1", epoch=0))),
    },
    later={
        **LATER_OF_RPYC,
        "an agent's word": deliver(msgspec.msgpack.encode([1, 1, 0, [["pong", 1, 0, 0, ""]]]), SPENT),
    },
    begun=wire._HEADER.pack(60_000, 0),
    harmless=request(consts.HANDLE_PING, (consts.LABEL_VALUE, (b"",)), SPENT),
)
"""To the end that is called: an agent's."""
CALLING = Dialect(
    first={
        **RUBBISH_OF_RPYC,
        "a superior's hello": reply(hello.encode(superior_hello("evil"))),
        "an answer that is no hello": reply(b"\xc1"),
        "an answer that is a text": reply("hello"),
        "an answer that is nothing": reply(None),
        "a reference for an answer": reply(("x", 1, 2), label=consts.LABEL_REMOTE_REF),
        "an error for an answer": refusal(),
        "an answer of another host": reply(hello.encode(agent_hello("n1"))),
        "two answers": reply(hello.encode(agent_hello("n1"))) * 2,
    },
    later={
        **LATER_OF_RPYC,
        "a superior's word": deliver(msgspec.msgpack.encode([1, 1, 0, [["ping", 1, 0, 0]]]), SPENT),
    },
    begun=wire._HEADER.pack(60_000, 0),
    harmless=request(consts.HANDLE_PING, (consts.LABEL_VALUE, (b"",)), SPENT),
)
"""To the end that calls: a server's."""


# frames of msgpack


def packed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


ORDERS = keeper_frames.frame_orders([], 0)
RUBBISH_OF_FRAMES: dict[str, bytes] = {
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header of 4 GiB": BIG_COUNT,
    "a frame that is too long": (keeper_frames.FRAME_MAX + 1).to_bytes(4, "big"),
    "an empty frame": packed(b""),
    "zeros": bytes(4096),
    "no msgpack": packed(b"\xc1"),
    "deep nesting": packed(b"\x92\x01\x91\x93" + b"\x91" * NEST),
    "deep nesting after the end": packed(b"\x93\x01\x90" + b"\x91" * NEST),
    "an array of four thousand million": packed(b"\x92\x01\xdd" + BIG_COUNT),
    "a text of four thousand million": packed(b"\x92\x01\x91\x93\xdb" + BIG_COUNT),
    "a text that is no UTF-8": packed(b"\x92\x01\x91\x94\xa5start\x01\x01\x92\xa1\xff\x90"),
    "a huge integer": packed(b"\x92\xcf" + b"\xff" * 8 + b"\x91\x92\xa5renew\xd9\xff" + b"9" * 255),
    "an unknown order": packed(msgspec.msgpack.encode([1, [["format disk", 1, 1]]])),
    "what only a keeper says": packed(msgspec.msgpack.encode([1, [["exited", 1, 1, []]]])),
    "an object of pickle": packed(pickle.dumps({"a": 1})),
    "bytes after the value": packed(b"\x92\x01\x90more"),
}
FRAMES = Dialect(first=RUBBISH_OF_FRAMES, later=RUBBISH_OF_FRAMES, begun=b"\0\0\xff\xff", harmless=ORDERS)


# lines of JSON


def line(**words: Any) -> bytes:
    return json.dumps(words).encode() + b"\n"


RUBBISH_OF_LINES: dict[str, bytes] = {
    "an HTTP request": b"GET / HTTP/1.1\r\n",
    "a line that is too long": b"x" * (2 * REQUEST_MAX),
    "an empty line": b"\n",
    "zeros": bytes(4096) + b"\n",
    "a TLS hello": bytes.fromhex("16030100f1010000ed0303") + bytes(200) + b"\n",
    "no object": b"[1, 2]\n",
    "an id of the wrong type": line(id="x", verb=3),
    "deep nesting": b'{"id": 1, "verb": "status", "arguments": {"x": ' + b"[" * NEST + b"]" * NEST + b"}}\n",
    "deep nesting instead of a request": b"[" * NEST + b"\n",
    "a huge integer": b'{"id": 1, "verb": "explain", "arguments": {"name": ' + b"9" * 100_000 + b"}}\n",
    "a huge id": b'{"id": ' + b"9" * 100_000 + b', "verb": "status"}\n',
    "a text that is no UTF-8": b'{"id": 1, "verb": "\xff"}\n',
    "half of a pair": b'{"id": 1, "verb": "explain", "arguments": {"name": "\\ud800"}}\n',
    "an unknown verb": line(id=1, verb="format disk"),
    "an attribute for a verb": line(id=1, verb="__class__"),
    "arguments of the wrong type": line(id=1, verb="submit", arguments={"command": "x"}),
    "an unknown order to a host": line(id=1, verb="host", arguments={"verb": "burn", "name": "n1"}),
    "a host in another folder": line(id=1, verb="host", arguments={"verb": "add", "name": "../x"}),
    "a host with an option for a name": line(id=1, verb="host", arguments={"verb": "add", "name": "-oProxyCommand=x"}),
}
LINES = Dialect(
    first=RUBBISH_OF_LINES,
    later=RUBBISH_OF_LINES,
    begun=b'{"id": 1, "verb": "',
    harmless=line(id=1, verb="hosts"),
    forgives=True,
    fatal=frozenset({"a line that is too long"}),
)
