"""The keys for resources, labels and host health, and what amounts mean: `cpus: 0.5`, `memory: 32GiB`, `gpus: 2`.

Used by `sections.py` for the schema and by `conversion.py` for the model's plain data; what needs several parts of the
file to judge is in `resource_checks.py`. What an amount may look like depends on its name, so a scalar here is only
known to be one amount or other, and `amount` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator

from model.health import HealthPolicy
from model.resources import CPU, CPUS, GPUS, MEMORY, Amounts, Needs, Place
from shell.config.fields import Checked, Choice, Duration, Scalar, Whole
from shell.config.validation import Section, found
from shell.hostset import HostSetError, expand
from shell.wording import clean, cut, nearest

BUILT_IN = (CPUS, MEMORY, GPUS)
AMOUNT_MAX = 10**15
"""Of a counter in pieces, and of cpus in thousandths; memory may be as many KiB."""
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_AMOUNT = re.compile(r"([0-9]{1,15})(\.[0-9]{1,9})?\s*([A-Za-z]{0,3})")
_MEMORY_UNIT = re.compile(r"([KMGT])(iB|B|)|B", re.IGNORECASE)


def _check_label(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f'"{cut(clean(text), 40)}" is not a name: letters, digits, _ . and -, a letter or _ first')
    return text


def _check_host_set(text: str) -> str:
    try:
        expand(text)
    except HostSetError as error:
        raise ValueError(f"{error}; {error.hint}") from None
    return text


@dataclass(frozen=True)
class Quantity(Scalar):
    """An amount of something; its text is kept, for its name says how it is read."""

    expects = "an amount such as 2 or 32GiB"

    def convert(self, text: str) -> str:
        if not _AMOUNT.fullmatch(text):
            raise ValueError(f"expects {self.expects}, {found(text)}")
        return text

    def json_schema(self) -> dict[str, Any]:
        return {"type": ["string", "number"], "pattern": r"^[0-9]+(\.[0-9]+)?\s*[A-Za-z]*$", "minimum": 0}


def amount(name: str, text: str) -> int:
    """The amount in the model's unit: thousandths of a cpu, bytes of memory, pieces of anything else. Raises
    `ValueError` with a sentence."""
    parts = _AMOUNT.fullmatch(text)
    assert parts is not None, "the schema has checked it"
    number, unit = Decimal(parts[1] + (parts[2] or "")), parts[3]
    if name == MEMORY:
        if not unit:
            raise ValueError(f"a number without a unit; write {text}GiB, or MiB, KiB, TiB")
        factor = _memory_factor(unit)
    elif unit:
        raise ValueError(f"{name} are counted, without a unit: {parts[1]}")
    else:
        factor = CPU if name == CPUS else 1
    whole = number * factor
    if name == MEMORY:
        whole = whole.to_integral_value()
    if whole != whole.to_integral_value():
        few = "at most three digits after the point" if name == CPUS else "a whole number"
        raise ValueError(f"expects {few}, not {text}")
    if whole > AMOUNT_MAX * (1 << 10 if name == MEMORY else 1):
        raise ValueError(f"{text} is more than there can be")
    return int(whole)


def _memory_factor(unit: str) -> int:
    """`G` and `GiB` are 2**30 as for Slurm; `GB` is 10**9."""
    parts = _MEMORY_UNIT.fullmatch(unit)
    if parts is None:
        raise ValueError(f'"{unit}" is no unit of memory: KiB, MiB, GiB, TiB{nearest(unit, ["KiB", "MiB", "GiB"])}')
    letter = (parts[1] or "").upper()
    if (parts[2] or "").upper() == "B" and letter:
        return int(1000 ** " KMGT".index(letter))
    return _UNITS[letter]


ResourceName = Annotated[str, Checked(_check_label, "a name", f"^{_NAME.pattern}$")]
Resources = dict[ResourceName, Annotated[str, Quantity()]]
Label = Annotated[str, Checked(_check_label, "a label", f"^{_NAME.pattern}$")]
HostSet = Annotated[str, Checked(_check_host_set, "a host name or set such as node[01-16]")]
PlaceChoice = Annotated[str | None, Choice(tuple(place.value for place in Place))]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Labels = Annotated[tuple[Label, ...], BeforeValidator(_listed, json_schema_input_type=Label | tuple[Label, ...])]
HostSets = Annotated[
    tuple[HostSet, ...], BeforeValidator(_listed, json_schema_input_type=HostSet | tuple[HostSet, ...])
]


class HealthSection(Section):
    """When a host on which jobs fail in a row is set aside; `off`: never."""

    failures: Annotated[int | None, Whole(2, 1000, word="off")] = None
    """so many quick bad ends in a row, or off (default 5)"""
    tasks: Annotated[int | None, Whole(1, 1000)] = None
    """of so many different tasks, which otherwise work (default 3)"""
    window: Annotated[int | None, Duration()] = None
    """within so long (default 10m)"""
    pause: Annotated[int | None, Duration()] = None
    """how long it gets nothing, then one job; each further pause is twice as long, up to 1h (default 5m)"""


def _off(value: object) -> object:
    return {"failures": "off"} if value == "off" else value


Health = Annotated[
    HealthSection, BeforeValidator(_off, json_schema_input_type=Annotated[str, Choice(("off",))] | HealthSection)
]


def health_policy(section: HealthSection) -> HealthPolicy:
    """With the built-in defaults for what was not said."""
    known = HealthPolicy()
    return HealthPolicy(
        known.failures if section.failures is None else section.failures,
        section.tasks or known.tasks,
        section.window or known.window_ns,
        section.pause or known.pause_ns,
    )


def amounts(texts: Mapping[str, str]) -> Amounts:
    """The amounts in the model's form; 0 of something is nothing."""
    found_ones = {name: amount(name, text) for name, text in texts.items()}
    return tuple(sorted((name, number) for name, number in found_ones.items() if number))


def amounts_of_words(words: Sequence[str]) -> Amounts:
    """The amounts of a command line's `NAME=AMOUNT`. Raises `ValueError` with a sentence."""
    texts: dict[str, str] = {}
    for word in words:
        name, is_said, text = word.partition("=")
        if not is_said:
            raise ValueError(f'expects NAME=AMOUNT such as cpus=8, not "{cut(clean(word), 60)}"')
        if _check_label(name) in texts:
            raise ValueError(f"{name} is said twice")
        texts[name] = Quantity().convert(text)
    return amounts(texts)


def labels_of_words(words: Sequence[str]) -> tuple[str, ...]:
    """The labels of a command line, each once. Raises `ValueError` with a sentence."""
    return tuple(dict.fromkeys(_check_label(word) for word in words))


def needs_of(
    resources: Mapping[str, str], labels: tuple[str, ...], avoid: tuple[str, ...], place: str | None
) -> Needs | None:
    """What a task needs of its hosts; None: slots and nothing else."""
    hosts = tuple(sorted({name for text in avoid for name in expand(text)}))
    needs = Needs(amounts(resources), tuple(sorted(set(labels))), hosts, None if place is None else Place(place))
    return None if needs == Needs() else needs
