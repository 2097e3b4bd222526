"""One line of a script: where it is cut into pieces, where a comment begins, which parenthesis closes which.

A `;` cuts and a ` #` begins a comment only outside of double quotes, backticks and balanced parentheses. A quote,
backtick or parenthesis without its partner on the line is an ordinary character, and a backslash protects nothing
(`\\;` is cut). Called by `parsing.py` and `statements.py`. Every function takes time linear in its text. What a piece
means does not belong here.
"""

from __future__ import annotations

import re

BLANKS = " \t\r\f\v"
"""What stands between words. Other white space of Unicode is ordinary text, as in C."""
LINE_MOST = 16 * 1024 * 1024
"""Characters of the longest line that is read."""

# Quoted text is one match. A quote that nothing closes matches alone; there is at most one of each kind in a line.
_MARK = re.compile(r'"[^"]*"|`[^`]*`|[();#]')


def open_marks(text: str) -> list[int]:
    """Where each unprotected `;`, and each unprotected `#` at the start or behind a blank, stands; in order."""
    found: list[int] = []
    opened: list[int] = []
    for match in _MARK.finditer(text):
        place = match.start()
        mark = text[place]
        if mark == ";" or (mark == "#" and (place == 0 or text[place - 1] in BLANKS)):
            found.append(place)
        elif mark == "(":
            opened.append(place)
        elif mark == ")" and opened:
            start = opened.pop()
            while found and found[-1] > start:
                found.pop()
    return found


def pieces(line: str) -> list[tuple[int, str]]:
    """A line as its pieces between `;`: (offset in the line, text without the blanks around it); empty ones are left
    out."""
    cuts = [place for place in open_marks(line) if line[place] == ";"] if ";" in line else []
    found = []
    start = 0
    for stop in (*cuts, len(line)):
        text = line[start:stop].lstrip(BLANKS)
        offset = stop - len(text)
        text = text.rstrip(BLANKS)
        if text:
            found.append((offset, text))
        start = stop + 1
    return found


def uncommented(text: str) -> str:
    """`text` without its trailing comment and the blanks before it."""
    if "#" not in text:
        return text
    for place in open_marks(text):
        if text[place] == "#":
            return text[:place].rstrip(BLANKS)
    return text


def closing(text: str, start: int) -> int:
    """Where the parenthesis that opens at `start` is closed; -1: nowhere. Parentheses in quotes do not count."""
    depth = 0
    for match in _MARK.finditer(text, start):
        mark = text[match.start()]
        if mark == "(":
            depth += 1
        elif mark == ")":
            depth -= 1
            if depth == 0:
                return match.start()
    return -1
