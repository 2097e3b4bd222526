"""What hosts have and jobs need beside slots: declared resources, labels, hosts to avoid. Amounts are whole numbers.

`cpus` are counted in thousandths and `memory` in bytes; `gpus` and every other name (a licence, a tape drive) in
pieces. A name that the cluster declares is shared by all hosts; any other is a host's own. Nothing here measures or
enforces: a declared amount is given out and taken back, and a job is told what it was given (`environment`).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from msgspec import Struct

from model.bounds import Count

CPUS = "cpus"
MEMORY = "memory"
GPUS = "gpus"
CPU = 1000
"""One cpu, in the thousandths in which cpus are counted."""
GIBIBYTE = 1 << 30
"""A GiB of memory in bytes."""

Amounts = tuple[tuple[str, Count], ...]
"""(name, amount) of resources, by name, each once; what is not named is 0."""


class Place(Enum):
    """Of the hosts that would do, which one."""

    SPREAD = "spread"
    """the one with the most free slots"""
    PACK = "pack"
    """the one with the fewest, so that large jobs find room elsewhere"""


class Needs(Struct, frozen=True, array_like=True):
    """What a job needs of its host beside slots."""

    resources: Amounts = ()
    labels: tuple[str, ...] = ()
    """the host must have all of them"""
    avoid: tuple[str, ...] = ()
    """hosts that will not do"""
    place: Place | None = None
    """None: as the cluster says"""
    gpus: tuple[Count, ...] = ()
    """which GPUs of its host it was given, by their indices; the controller says it when it gives the job"""


NO_NEEDS = Needs()


class Stock:
    """Some resources: how much there is, and how much of it is not given out (less than nothing after a cut)."""

    __slots__ = ("free", "total")

    def __init__(self, amounts: Amounts = ()) -> None:
        self.total: dict[str, int] = dict(amounts)
        self.free: dict[str, int] = dict(amounts)

    def has(self, needed: Amounts) -> bool:
        """Whether so much is free."""
        free = self.free
        for name, amount in needed:  # noqa: SIM110 - a loop costs a third of `all`, and this is asked for each job
            if free.get(name, 0) < amount:
                return False
        return True

    def could(self, needed: Amounts) -> bool:
        """Whether there is so much at all."""
        return all(self.total.get(name, 0) >= amount for name, amount in needed)

    def take(self, needed: Amounts) -> None:
        """So much is given out."""
        for name, amount in needed:
            self.free[name] = self.free.get(name, 0) - amount

    def give_back(self, needed: Amounts) -> None:
        """So much came back."""
        for name, amount in needed:
            self.free[name] = self.free.get(name, 0) + amount

    def resize(self, amounts: Amounts) -> None:
        """There is so much from now on; what is given out stays given out."""
        new = dict(amounts)
        for name in dict.fromkeys([*self.total, *new]):
            self.free[name] = self.free.get(name, 0) + new.get(name, 0) - self.total.get(name, 0)
        self.total = new

    def used(self) -> list[tuple[str, int, int]]:
        """(name, given out, in all) of everything that is declared."""
        return [(name, total - self.free.get(name, 0), total) for name, total in self.total.items()]


def lacking(
    needed: Amounts, labels: Iterable[str], avoid: Iterable[str], host: str, stock: Stock, own: Iterable[str]
) -> list[str]:
    """What keeps a host with this stock and these labels of its `own` from ever taking a job, each in some words."""
    found = [
        f"has {amount_text(name, stock.total.get(name, 0))} {name}"
        for name, amount in needed
        if stock.total.get(name, 0) < amount
    ]
    found += [f"has no label {label}" for label in labels if label not in own]
    return [*found, "is to be avoided"] if host in avoid else found


def shortfall(needed: Amounts, stock: Stock) -> int:
    """How far a stock is from what a job needs: thousandths of each need that are missing, together."""
    missing = [(amount, max(0, amount - stock.total.get(name, 0))) for name, amount in needed]
    return sum(1000 * gap // amount for amount, gap in missing)


def environment(needs: Needs) -> tuple[tuple[str, str], ...]:
    """What a job is told of its share, so that it can obey: no agent enforces it.

    LAULIMA_CPUS as a decimal number, LAULIMA_MEMORY in bytes, LAULIMA_GPUS and CUDA_VISIBLE_DEVICES as indices.
    """
    said: list[tuple[str, str]] = []
    for name, amount in needs.resources:
        if name == CPUS:
            said.append(("LAULIMA_CPUS", _thousandths(amount)))
        elif name == MEMORY:
            said.append(("LAULIMA_MEMORY", str(amount)))
        elif name == GPUS:
            indices = ",".join(map(str, needs.gpus))
            said += [("LAULIMA_GPUS", indices), ("CUDA_VISIBLE_DEVICES", indices)]
    return tuple(said)


def _thousandths(amount: int) -> str:
    whole, rest = divmod(amount, CPU)
    return f"{whole}.{rest:03d}".rstrip("0") if rest else str(whole)


_UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def amount_text(name: str, amount: int) -> str:
    """An amount for people: `2.5` cpus, `4GiB` of memory, `3`."""
    if name == CPUS:
        return f"-{_thousandths(-amount)}" if amount < 0 else _thousandths(amount)
    if name != MEMORY:
        return str(amount)
    for size, unit in _UNITS:
        if abs(amount) >= size:
            return f"{amount / size:.1f}".removesuffix(".0") + unit
    return f"{amount}B"


def amounts_text(amounts: Amounts) -> str:
    """`cpus 8, memory 32GiB`."""
    return ", ".join(f"{name} {amount_text(name, amount)}" for name, amount in amounts)


def needed_text(name: str, amount: int) -> str:
    """`2 cpus`, `1 gpu`, `4GiB memory`."""
    text = amount_text(name, amount)
    return f"{text} {name[:-1] if text == '1' and name in (CPUS, GPUS) else name}"
