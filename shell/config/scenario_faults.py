"""Faults as people write them: one line, in a scenario's `faults:` list or after `--fail`.

    WHERE WHAT [WHEN] [KEY=VALUE ...]

    node3 down 02:00-04:00              a host; from and to, as times of day or since the start (10m-20m)
    node[1-3] flapping 1h+20m every=30s several hosts, each of them; from, and for how long
    controller frozen 10m-20m           the controller or the scheduler
    controller node3 lost 1h+5m         the link between two of them
    controller node3 slow 1h+5m delay=2s
    wall_step 3h delay=1h               every wall clock jumps

Which nodes there are is checked here; what a fault does is told in `sim/scenario.py` and `sim/faults.py`.
"""

from __future__ import annotations

from datetime import datetime

from model.configuration import Configuration
from shell.config.scenario_values import parse_moment, positive, probability
from shell.durations import parse_duration
from shell.hostset import expand
from shell.wording import nearest
from sim.faults import CONTROLLER, HOST_KINDS, LINK_KINDS, LOCAL, SCHEDULER, SERVER_KINDS
from sim.scenario import Fault, Kind

HINT = "as in 'node3 down 02:00-04:00', 'controller frozen 10m-20m' or 'controller node3 lost 1h+5m'"
_KEYS = ("factor", "chance", "delay", "every", "limit", "spool")
_KINDS = {kind.value: kind for kind in Kind}


def parse_fault(text: str, start: datetime, configuration: Configuration) -> list[Fault]:
    """The faults of one line, one for each host. Raises `ValueError` with a sentence for people."""
    words = text.split()
    names, kind, rest = _head(words)
    at_ns, for_ns, rest = _when(rest, start)
    settings = _settings(rest)
    hosts = [*(host.name for host in configuration.cluster.hosts), *configuration.language.hosts]
    return [
        Fault(kind, nodes, at_ns, for_ns, **settings)  # type: ignore[arg-type]
        for nodes in _places(names, kind, hosts if configuration.language.complete else [*hosts, *_named(names)])
    ]


def _named(names: list[str]) -> list[str]:
    """The hosts that a fault names, where nobody can know which there will be."""
    return [one for name in names if name not in (CONTROLLER, SCHEDULER) for one in _expanded(name)]


def _head(words: list[str]) -> tuple[list[str], Kind, list[str]]:
    """Where and what: the words before and after the first one that is a kind of fault."""
    for at, word in enumerate(words):
        kind = _KINDS.get(word.replace("-", "_"))
        if kind is not None:
            return words[:at], kind, words[at + 1 :]
    guesses = [nearest(word, list(_KINDS)) for word in words[1:3]]
    raise ValueError(f"says no fault{next((guess for guess in guesses if guess), '')}; known: {', '.join(_KINDS)}")


def _when(words: list[str], start: datetime) -> tuple[int, int, list[str]]:
    """(at, for) in ns; no time at all: from the start to the end."""
    if not words or "=" in words[0]:
        return 0, 0, words
    text = words[0]
    if "+" in text:
        first, _, length = text.partition("+")
        return parse_moment(first, start), parse_duration(length), words[1:]
    first, dash, last = text.partition("-")
    at_ns = parse_moment(first, start)
    if not dash:
        return at_ns, 0, words[1:]
    until_ns = parse_moment(last, start, at_ns)
    if until_ns <= at_ns:
        raise ValueError(f"{text} ends before it begins")
    return at_ns, until_ns - at_ns, words[1:]


def _settings(words: list[str]) -> dict[str, object]:
    settings: dict[str, object] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in _KEYS:
            raise ValueError(f"{word} is not understood{nearest(key, list(_KEYS))}; keys: {', '.join(_KEYS)}")
        if key == "factor":
            settings["factor"] = positive(value)
        elif key == "chance":
            settings["chance"] = probability(value)
        elif key == "limit":
            settings["limit"] = int(positive(value)) if value != "0" else 0
        elif key == "spool":
            if value not in ("lost", "kept"):
                raise ValueError("spool is lost or kept")
            settings["spool_lost"] = value == "lost"
        elif key == "every":
            every_ns = parse_duration(value)
            if every_ns <= 0:
                raise ValueError("every: expects a duration longer than nothing")
            settings["every_ns"] = every_ns
        else:
            behind = value.startswith("-")
            settings["delay_ns"] = -parse_duration(value[1:]) if behind else parse_duration(value)
    return settings


def _places(names: list[str], kind: Kind, hosts: list[str]) -> list[tuple[str, ...]]:
    """The nodes of each single fault."""
    if kind is Kind.WALL_STEP:
        if names:
            raise ValueError("wall_step is everywhere: it names no host")
        return [()]
    if not names or len(names) > 2:
        raise ValueError(f"{kind.value} needs one name, or two for a link")
    if len(names) == 2:
        if kind not in LINK_KINDS:
            raise ValueError(f"{kind.value} is at one thing, not at a link")
        return [_link(names, one, hosts) for one in _expanded(names[1] if names[0] == CONTROLLER else names[0])]
    places = _expanded(names[0])
    allowed = (CONTROLLER, SCHEDULER) if kind in SERVER_KINDS else (*hosts, LOCAL)
    if kind not in SERVER_KINDS and kind not in HOST_KINDS:
        raise ValueError(f"{kind.value} is at a link: name its two ends, such as controller {names[0]}")
    for place in places:
        if place not in allowed:
            raise ValueError(f"{kind.value}: there is no {place}{nearest(place, list(allowed))}")
    return [(place,) for place in places]


def _expanded(text: str) -> tuple[str, ...]:
    return expand(text) if "[" in text or "," in text else (text,)


def _link(names: list[str], one: str, hosts: list[str]) -> tuple[str, str]:
    """The two ends, in the order in which they were written."""
    superior_first = names[0] == CONTROLLER or (names[0] == SCHEDULER and one == names[1])
    first, second = (names[0], one) if superior_first else (one, names[1])
    ends = {first, second}
    if ends in ({SCHEDULER, CONTROLLER}, {SCHEDULER, LOCAL}):
        return first, second
    others = ends - {CONTROLLER}
    if CONTROLLER in ends and len(others) == 1 and others <= set(hosts):
        return first, second
    unknown = sorted(others - set(hosts))
    guess = nearest(unknown[0], hosts) if unknown else ""
    raise ValueError(f"there is no link between {first} and {second}{guess}: links go from the scheduler to controller "
                     "and local, and from the controller to each host")  # fmt: skip
