"""The hello: what the two ends of a link say about themselves before anything else.

The end that dialled sends a `Hello` as its first `deliver`; the reply is the other's `Hello`, or a `Refused` after
which the link is closed. A map with names, not a bare list: any two versions of laulima can read each other's.
Used by `live/link.py` only; frames and sockets don't belong here.
"""

from __future__ import annotations

import os
import platform
from enum import Enum
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import msgspec
from msgspec import Struct

from live.clock import boot_id
from live.display import clean
from live.wire import RPYC_VERSION
from model.errors import LaulimaError
from model.messages import PROTOCOL

TEXT_MAX: Final = 500
"""Characters of any text in a hello that is repeated to a person."""


class HelloError(LaulimaError):
    """The two ends cannot work together."""


class Side(Enum):
    """Which end of the job channel speaks."""

    SUPERIOR = "superior"
    """of an agent: a server, or a controller with a process of its own"""
    AGENT = "agent"
    SCHEDULER = "scheduler"
    """of a controller with a process of its own"""
    CONTROLLER = "controller"

    @property
    def hears_down(self) -> bool:
        """It is the subordinate's end: what it hears is what a superior says."""
        return self in (Side.AGENT, Side.CONTROLLER)


_PARTNERS: Final = {
    Side.SUPERIOR: Side.AGENT,
    Side.AGENT: Side.SUPERIOR,
    Side.SCHEDULER: Side.CONTROLLER,
    Side.CONTROLLER: Side.SCHEDULER,
}


class Hello(Struct, frozen=True, tag="hello", tag_field="kind", omit_defaults=True):
    """One end, as it describes itself."""

    protocol: int
    """`model.messages.PROTOCOL`: must be equal at both ends"""
    side: str
    """`Side` of the sender, as text so that a later kind can be named in a refusal"""
    laulima: str = ""
    rpyc: str = ""
    python: str = ""
    name: str = ""
    """the host's name. A superior says which host it means to reach; an agent says which one it is. Of a scheduler its
    own name; a controller has none"""
    boot: str = ""
    """boot id of the machine"""
    epoch: int = 0
    """which life of the sender speaks"""
    process: int = 0
    """process id, for people"""
    identity: str = ""
    """which journal a scheduler or controller writes: one that has lost its journal is another one"""
    state: str = ""
    """a controller's state directory on this machine"""


class Refused(Struct, frozen=True, tag="refused", tag_field="kind"):
    """The answer to a hello that leads to nothing, with the sentence to show."""

    text: str


_answer_decoder: Final = msgspec.msgpack.Decoder(Hello | Refused)
_encoder: Final = msgspec.msgpack.Encoder()


@cache  # looking it up reads files, and every link says it
def laulima_version() -> str:
    try:
        return version("laulima")
    except PackageNotFoundError:
        return "not installed"


def own_hello(side: Side, name: str, epoch: int, identity: str = "", state: str = "") -> Hello:
    """What this process says about itself."""
    return Hello(
        protocol=PROTOCOL,
        side=side.value,
        laulima=laulima_version(),
        rpyc=RPYC_VERSION,
        python=platform.python_version(),
        name=name,
        boot=boot_id(),
        epoch=epoch,
        process=os.getpid(),
        identity=identity,
        state=state,
    )


def encode(word: Hello | Refused) -> bytes:
    return _encoder.encode(word)


def decode(data: bytes) -> Hello | Refused:
    """Raises HelloError for bytes that are neither a hello nor a refusal."""
    try:
        word: Hello | Refused = _answer_decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise HelloError(
            f"its first word is no hello ({error})", "is that a laulima? both ends need the same version"
        ) from error
    return word


def check(own: Hello, other: Hello) -> None:
    """Raises HelloError with the sentence to show when the two cannot work together."""
    if own.protocol != other.protocol:
        raise HelloError(
            f"the {own.side} has laulima {own.laulima} (protocol {own.protocol}), "
            f"the {_short(other.side)} has laulima {_short(other.laulima)} (protocol {other.protocol}): "
            "install the same version at both ends",
            "stop the older one once nothing runs there; the next start takes the new version",
        )
    side = Side(own.side)
    if other.side != _PARTNERS[side].value:
        raise HelloError(f"a {own.side} was called by a {_short(other.side)}, which cannot work together")
    if own.name != other.name and side in (Side.SUPERIOR, Side.AGENT):
        raise HelloError(
            f"host {_short(other.name)!r} was reached where {own.name!r} was expected",
            "do two hosts of the configuration share one address or one spool?",
        )
    if other.epoch < 1:
        raise HelloError(f"the {other.side} names no life (epoch {other.epoch})")


def _short(text: str) -> str:
    return clean(text[:TEXT_MAX])
