"""The one way in which foreign text (names, items, output, reasons, what a peer said) reaches a terminal or a log.

Text is kept as it came and cleaned where it is shown: by the server (`live/server.py`, `live/texts.py`,
`live/complaints.py`) and by everything in `shell/` (through `shell/wording.py`, whose words these are, too).
"""

from __future__ import annotations

import unicodedata

# Categories that a terminal obeys instead of showing: controls (C0, C1, DEL), formats (bidi, zero width), lone
# surrogates (bytes that were no UTF-8), private use, line and paragraph separators, and code points without a meaning.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean(text: str) -> str:
    """`text` with everything that a terminal would obey shown as a visible escape, on one line."""
    if text.isascii() and text.isprintable():
        return text
    return "".join([_visible(character) if _is_unseen(character) else character for character in text])


def clean_lines(text: str) -> str:
    """The same for a text of several lines: newlines and tabs stay."""
    return "\n".join("\t".join(clean(cell) for cell in line.split("\t")) for line in text.split("\n"))


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in _UNSEEN


def _visible(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python carries a byte that was no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if short:
        return short
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
