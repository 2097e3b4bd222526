"""What the texts of a scenario mean: distributions, sizes, moments and comparisons.

Each function takes what the strict reader gives (text, list or mapping of texts) and raises `ValueError` with a
sentence for people, which `validation.py` places. Called by `scenario.py` and `scenario_faults.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from model.windows import shown_first
from shell.config.validation import found
from shell.durations import parse_duration
from shell.wording import nearest
from sim.distributions import Choice, Constant, Distribution, Exponential, Lognormal, Quantiles, Uniform, Weibull
from sim.scenario import Comparison

SIZES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"([0-9]{1,15})\s*([kMGT]?)B?")
_PARAMETERS = {
    "uniform": "{uniform: [1s, 5s]}",
    "exponential": "{exponential: 30s}",
    "lognormal": "{lognormal: {median: 30s, sigma: 0.5}}",
    "weibull": "{weibull: {shape: 0.7, scale: 1h}}",
    "choice": "{choice: {10s: 0.9, 1h: 0.1}}",
    "quantiles": "{quantiles: {0: 1s, 0.5: 20s, 0.95: 10m, 1: 1h}}",
}
_KINDS = tuple(_PARAMETERS)
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
_COMPARISON = re.compile(r"(==|>=|<=|>|<)?\s*([0-9]{1,12})")


def parse_size(text: str) -> int:
    """Bytes: `100`, `20k`, `1MB` (powers of ten)."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expects a size such as 20k or 1M, {found(text)}")
    return int(match[1]) * SIZES[match[2]]


def durations(value: object) -> Distribution:
    """`30s`, `{uniform: [1s, 5s]}`, `{exponential: 30s}`, `{lognormal: {median: 30s, sigma: 0.5}}`,
    `{weibull: {shape: 0.7, scale: 1h}}`, `{choice: {10s: 0.9, 1h: 0.1}}` or
    `{quantiles: {0: 1s, 0.5: 20s, 0.95: 10m, 1: 1h}}`."""
    return _distribution(value, parse_duration, "a duration such as 30s, or a distribution such as {uniform: [1s, 5s]}")


def sizes(value: object) -> Distribution:
    """The same with sizes in bytes."""
    return _distribution(value, parse_size, "a size such as 20k, or a distribution such as {uniform: [1k, 1M]}")


def _distribution(value: object, read: Callable[[str], int], expects: str) -> Distribution:
    if isinstance(value, str):
        return Constant(read(value))
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(f"expects {expects}, {found(value)}")
    ((kind, parameters),) = value.items()
    if kind == "uniform" and isinstance(parameters, list) and len(parameters) == 2:
        low, high = (read(_text(part)) for part in parameters)
        if low > high:
            raise ValueError("uniform: the smaller one comes first")
        return Uniform(low, high)
    if kind == "exponential" and isinstance(parameters, str):
        return Exponential(read(parameters))
    if kind == "lognormal" and _has(parameters, "median", "sigma"):
        return Lognormal(read(_text(parameters["median"])), positive(_text(parameters["sigma"])))
    if kind == "weibull" and _has(parameters, "shape", "scale"):
        return Weibull(positive(_text(parameters["shape"])), read(_text(parameters["scale"])))
    if kind == "choice" and isinstance(parameters, dict) and parameters:
        weights = tuple(positive(_text(weight)) for weight in parameters.values())
        return Choice(tuple(read(text) for text in parameters), weights)
    if kind == "quantiles" and isinstance(parameters, dict) and parameters:
        return _quantiles({probability(share): read(_text(value)) for share, value in parameters.items()})
    if kind in _KINDS:
        raise ValueError(f"{kind}: expects its parameters, as in {_PARAMETERS[kind]}")
    raise ValueError(f"{kind} is no distribution{nearest(kind, list(_KINDS))}; known: {', '.join(_KINDS)}")


def _quantiles(points: dict[float, int]) -> Quantiles:
    shares, values = tuple(points), tuple(points.values())
    if len(points) < 2 or (shares[0], shares[-1]) != (0.0, 1.0) or values[0] <= 0:
        raise ValueError("quantiles: the first is that of 0, the last that of 1, and all are above 0")
    if list(shares) != sorted(shares) or list(values) != sorted(values):
        raise ValueError("quantiles: shares and values grow from one to the next")
    return Quantiles(shares, values)


def _has(parameters: object, *names: str) -> bool:
    return isinstance(parameters, dict) and set(parameters) == set(names)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expects a word, {found(value)}")
    return value


def positive(text: str) -> float:
    """A decimal number above 0."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or float(text) <= 0.0:
        raise ValueError(f"expects a number above 0, {found(text)}")
    return float(text)


def parse_drift(text: str) -> float:
    """Parts per million, of either sign, at most 100000."""
    if not re.fullmatch(r"-?[0-9]{1,6}(\.[0-9]{1,3})?", text) or abs(float(text)) > 100_000:
        raise ValueError(f"expects parts per million such as -50, {found(text)}")
    return float(text)


def probability(text: str) -> float:
    """A decimal number from 0 to 1."""
    if not re.fullmatch(r"[01]?(\.[0-9]{1,9})?|[01]", text) or not text or not 0.0 <= float(text) <= 1.0:
        raise ValueError(f"expects a probability from 0 to 1, {found(text)}")
    return float(text)


def parse_comparison(text: str) -> tuple[Comparison, int]:
    """`5`, `==5`, `>=1`, `<3`."""
    match = _COMPARISON.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expects a count such as 5 or >=1, {found(text)}")
    return Comparison(match[1] or "=="), int(match[2])


def parse_moment(text: str, start: datetime, not_before_ns: int = 0) -> int:
    """ns since the start of the simulation: a duration (`90m`), or a time of day (`02:00`): the first one that is not
    before `not_before_ns`, by the clock of the start's zone (`shown_first`)."""
    clock = _CLOCK.fullmatch(text)
    if clock is None:
        return parse_duration(text)
    hour, minute, second = int(clock[1]), int(clock[2]), int(clock[3] or 0)
    if hour > 24 or minute > 59 or second > 59 or (hour == 24 and (minute or second)):
        raise ValueError(f"expects a time of day from 00:00 to 24:00, not {text}")
    earliest = start.timestamp() + not_before_ns / 1e9
    day = start.replace(hour=0, minute=0, second=0, microsecond=0)
    for days in range(-1, 4000):
        moment = shown_first(day + timedelta(days=days, hours=hour, minutes=minute, seconds=second))
        if moment.timestamp() >= earliest:
            return round((moment.timestamp() - start.timestamp()) * 1000) * 1_000_000
    raise ValueError(f"{text} does not come within ten years")
