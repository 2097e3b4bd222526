"""The name that was probably meant, where one is not known.

Called wherever a name is refused: by machines, the server, the command line. Only here it is said how near is near.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

COMPARED_MAX = 2_000
"""Names that a word is compared with: each takes some microseconds, and a server does nothing else meanwhile."""
CUTOFF = 0.6
"""Share of what two words have in common (difflib's ratio) from which on one may be meant by the other."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`, did you mean NAME?` for the near miss among `known`, or nothing."""
    from difflib import get_close_matches  # noqa: PLC0415 - only mistakes pay for the import

    close = get_close_matches(word, list(islice(known, COMPARED_MAX)), n=1, cutoff=CUTOFF)
    return f", did you mean {close[0]}?" if close else ""
