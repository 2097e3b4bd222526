"""Integers in what others say, and how large they may be. Used by whatever travels: `job.py`, `resources.py`,
`messages.py`. Decoding refuses a larger one, so nothing behind it has to ask."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

NUMBER_MAX = 1 << 62
"""Two of them can be added, and the sum still fits wherever integers are kept (SQLite, msgpack: 64 bits)."""
Number = Annotated[int, Meta(ge=-NUMBER_MAX, le=NUMBER_MAX)]
Count = Annotated[int, Meta(ge=0, le=NUMBER_MAX)]
"""The same, and never less than nothing."""
