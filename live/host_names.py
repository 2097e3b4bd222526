"""Which names a host may have, whoever adds it: people (`live/requests.py`) or scripts (`live/scripts.py`)."""

from __future__ import annotations

import re

from model.errors import OperatorError
from model.job import LOCAL

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
