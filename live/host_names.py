"""Which names a host may have, and what it may say that it has, whoever adds it: people and scripts
(`live/controller_here.py`), or its own agent (`live/joining.py`)."""

from __future__ import annotations

import re
from collections.abc import Collection

from model.errors import OperatorError
from model.job import LOCAL
from model.resources import Amounts

HOST_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
"""A host's name becomes a folder's."""


SLOTS_MAX = 1_000_000
"""Slots of one host."""


def refuse_host(name: str, slots: int) -> None:
    """Raise OperatorError when there cannot be such a host."""
    if not HOST_NAME.fullmatch(name) or ".." in name or name == LOCAL:
        raise OperatorError(f"{name!r} cannot be the name of a host", "letters, digits, _ . - are allowed")
    if slots < 1:
        raise OperatorError("a host has at least one slot")
    if slots > SLOTS_MAX:
        raise OperatorError(f"a host has at most {SLOTS_MAX} slots")


OFFER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
"""A resource, or a label."""
OFFERS_MAX = 64
"""Resources, and labels, of one host."""


def refuse_offer(resources: Amounts, labels: Collection[str], shared: Collection[str] = ()) -> None:
    """Raise OperatorError when no host can have these. `shared`: resources of the cluster."""
    names = [name for name, _ in resources]
    if len(names) > OFFERS_MAX or len(labels) > OFFERS_MAX:
        raise OperatorError(f"a host has at most {OFFERS_MAX} resources and {OFFERS_MAX} labels")
    for name in (*names, *labels):
        if not OFFER_NAME.fullmatch(name):
            raise OperatorError(
                f"{name!r} cannot be a resource or a label", "letters, digits, _ . and -, a letter or _ first"
            )
    if len(set(names)) < len(names):
        raise OperatorError(f"a resource is said twice: {', '.join(names)}")
    for name in names:
        if name in shared:
            raise OperatorError(f"{name} is what all hosts share (`cluster.resources`), and no host's own")
