"""What an agent that dials in and its server say to each other before the frames of the job channel: lines of JSON.

    agent                                            server
      JoinRequest {what: join, name, slots}    ->
                                               <-      JoinAnswer {what: link, slots, times, directory}
      JoinReady {agent: pid}                   ->
      frames of the job channel               <->      frames; the server's hello is the first

The answer comes when the server wants the host, which may be later. An agent that leaves says `leave` on a connection
of its own, while the link goes on until nothing runs there any more; the answer `left` comes then.
Used by `live/tls_door.py`, `live/joining.py`, `live/link_tls.py` and, at the other end, `live/agent_joining.py`.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from live.display import clean
from model.errors import NotReachableError
from model.resources import Amounts

JOIN: Final = "join"
LEAVE: Final = "leave"
LINK: Final = "link"
END: Final = "end"
LEFT: Final = "left"
REFUSED: Final = "refused"
TEXT_MAX: Final = 500


class JoinRequest(Struct, frozen=True):
    """`what`: JOIN or LEAVE. `leaving`: a JOIN for the sake of what still runs there."""

    protocol: int
    what: str
    name: str
    slots: int = 1
    laulima: str = ""
    agent: int = 0
    """process id of the agent that lives there; 0: none"""
    leaving: bool = False
    resources: Amounts = ()
    """what it has beside slots"""
    labels: tuple[str, ...] = ()


class JoinAnswer(Struct, frozen=True):
    """`what`: LINK, END (end by force whatever of an agent is there), LEFT, or REFUSED with the sentence to show."""

    what: str
    reason: str = ""
    slots: int = 1
    times: str = ""
    directory: str = ""
    """where relative paths of jobs start; may begin with `~/`"""


class JoinReady(Struct, frozen=True):
    """The agent there answers (its process id), or why not."""

    agent: int = 0
    reason: str = ""


W = TypeVar("W", JoinRequest, JoinAnswer, JoinReady)


def line(word: JoinRequest | JoinAnswer | JoinReady) -> bytes:
    return msgspec.json.encode(word) + b"\n"


def read_word(data: bytes, kind: type[W]) -> W:
    """Raises NotReachableError for what is no such word."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise NotReachableError(
            f"what it says cannot be read ({error})", "is that a laulima? both ends need the same version"
        ) from error


def refusal(reason: str) -> bytes:
    """The line that says no."""
    return line(JoinAnswer(REFUSED, clean(reason)[:TEXT_MAX]))
