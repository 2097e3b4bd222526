"""Host sets, as in Slurm: `node[01-16,20]`, `rack[1-2]n[1-4]`, `alpha,beta`. Short text for many host names.

Leading zeros are part of a name: `node[01-16]` is node01 .. node16.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from model.errors import ConfigurationError

HOSTS_MAX = 10_000
"""Names that one host set may stand for."""

HOST_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
"""Besides, `..` is refused: names become file names."""

_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_NUMBERED = re.compile(r"(.*?)([0-9]{1,9})([^0-9]*)", re.DOTALL)


class HostSetError(ConfigurationError):
    """A host set that cannot be parsed. `offset` is the index of the character at fault."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message, "host sets look like node[01-16], node[1-4,8] or alpha,beta")
        self.offset = offset


def expand(text: str) -> tuple[str, ...]:
    """The host names that `text` stands for, in its order. Raises `HostSetError`; a name twice is an error."""
    names: list[str] = []
    for start, piece in _pieces(text):
        if not piece.strip():
            raise HostSetError("an empty host name", start)
        names.extend(_expand_piece(piece.strip(), start + len(piece) - len(piece.lstrip()), HOSTS_MAX - len(names)))
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise HostSetError(f"{name} is in the set twice")
        seen.add(name)
    return tuple(names)


def collapse(names: Iterable[str]) -> str:
    """A short host set for the names; `expand(collapse(names))` gives them back, sorted, each once."""
    groups: dict[tuple[str, str, int], list[int]] = {}
    plain: list[str] = []
    split = {name: _NUMBERED.fullmatch(name) for name in sorted(set(names))}
    padded = {(parts[1], parts[3], len(parts[2])) for parts in split.values() if parts and parts[2].startswith("0")}
    for name, parts in split.items():
        if parts is None:
            plain.append(name)
        else:
            width = len(parts[2]) if (parts[1], parts[3], len(parts[2])) in padded else 0
            groups.setdefault((parts[1], parts[3], width), []).append(int(parts[2]))
    pieces = [f"{head}{_ranges(sorted(numbers), width)}{tail}" for (head, tail, width), numbers in groups.items()]
    return ",".join(sorted([*plain, *pieces]))


def _pieces(text: str) -> Iterable[tuple[int, str]]:
    """The parts between the commas that stand outside of brackets, each with its offset."""
    start, opened = 0, -1
    for index, character in enumerate(text):
        if character == "[":
            if opened >= 0:
                raise HostSetError("a [ inside of [ ]", index)
            opened = index
        elif character == "]":
            if opened < 0:
                raise HostSetError("a ] without its [", index)
            opened = -1
        elif character == "," and opened < 0:
            yield start, text[start:index]
            start = index + 1
    if opened >= 0:
        raise HostSetError("the [ is not closed", opened)
    yield start, text[start:]


def _expand_piece(piece: str, offset: int, room: int) -> list[str]:
    """All names of one piece such as `rack[1-2]n[01-04]`."""
    names = [""]
    position = 0
    for bracket in re.finditer(r"\[([^\]]*)\]", piece):
        head = piece[position : bracket.start()]
        numbers = _numbers(bracket[1], offset + bracket.start() + 1, room)
        if len(names) * len(numbers) > room:
            raise HostSetError(f"more than {HOSTS_MAX} hosts", offset)
        names = [f"{name}{head}{number}" for name in names for number in numbers]
        position = bracket.end()
    names = [name + piece[position:] for name in names]
    if len(names) > room:
        raise HostSetError(f"more than {HOSTS_MAX} hosts", offset)
    for name in (names[0], names[-1]):
        if not HOST_NAME.fullmatch(name) or ".." in name:
            raise HostSetError(
                f'"{name[:80]}" is not a host name: letters, digits, _ . and - only, at most 64, no ".."', offset
            )
    return names


def _numbers(text: str, offset: int, room: int) -> list[str]:
    """`01-03,7` as `["01", "02", "03", "7"]`."""
    numbers: list[str] = []
    for part in text.split(","):
        found = _RANGE.fullmatch(part.strip())
        if found is None:
            raise HostSetError(f'"{part}" is not a number or a range such as 01-16', offset)
        low, high = found[1], found[2] or found[1]
        if int(high) < int(low):
            raise HostSetError(f"the range {part.strip()} runs backwards", offset)
        if (low.startswith("0") or high.startswith("0")) and len(low) != len(high):
            raise HostSetError(f"the ends of {part.strip()} have different numbers of digits", offset)
        if int(high) - int(low) >= room:
            raise HostSetError(f"more than {HOSTS_MAX} hosts", offset)
        width = len(low) if low.startswith("0") else 0
        numbers.extend(f"{number:0{width}d}" for number in range(int(low), int(high) + 1))
        offset += len(part) + 1
    return numbers


def _ranges(numbers: list[int], width: int) -> str:
    """`[01-03,07]`, or the bare number when there is only one."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    if len(numbers) == 1:
        return f"{numbers[0]:0{width}d}"
    texts = [f"{low:0{width}d}" + (f"-{high:0{width}d}" if high > low else "") for low, high in runs]
    return f"[{','.join(texts)}]"
