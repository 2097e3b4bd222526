"""Faults as people write them: one line, in a scenario's `faults:` list or after `--fail`.

    WHERE WHAT [WHEN] [KEY=VALUE ...]

`shell/fault_words.py` tells a person what may stand there. WHERE and WHAT of a fault plan are read here, too
(`scenario_plans.py`). Which nodes there are is checked here; what a fault does is told in `sim/scenario.py` and
`sim/faults.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from model.configuration import Configuration
from shell.config.scenario_values import parse_moment, positive, probability
from shell.durations import parse_duration
from shell.fault_words import GRAMMAR
from shell.hostset import expand
from shell.wording import nearest
from sim.distributions import Constant
from sim.faults import CONTROLLER, HOST_KINDS, LINK_KINDS, LOCAL, SCHEDULER, SERVER_KINDS
from sim.scenario import Fault, FaultPlan, Kind, Unit, node_of

HINT = f"{GRAMMAR}; all of it: laulima docs faults"
ALL = "hosts"
"""The word for all hosts of the controller."""
SCHEDULERS = "schedulers"
"""The word for all schedulers, where several use one controller."""
RESERVED = (ALL, CONTROLLER, SCHEDULER, LOCAL, SCHEDULERS)
"""Words for places; groups have other names."""
KINDS = {**{kind.value: kind for kind in Kind}, "split": Kind.LOST}
"""By the words for them. To be split is to lose the link upwards."""
_KEYS = ("factor", "chance", "delay", "every", "limit", "spool")
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%")
_TIMES = {"from": "begin", "at": "begin", "for": "length", "until": "end", "to": "end"}

Place = tuple[Kind, tuple[str, ...]]
"""A kind of fault, and the nodes that it is at."""


@dataclass(frozen=True)
class Known:
    """What a fault may name. `complete` false: a script may add hosts that nobody can know. `schedulers`: names of
    those that use the controller together; empty: there is one, without a name."""

    hosts: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    complete: bool = True
    schedulers: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        configuration: Configuration,
        groups: Mapping[str, tuple[str, ...]] | None = None,
        schedulers: tuple[str, ...] = (),
    ) -> Known:
        """The hosts of a pipeline, and the groups and schedulers of a scenario."""
        hosts = (*(host.name for host in configuration.cluster.hosts), *configuration.language.hosts)
        return cls(tuple(dict.fromkeys(hosts)), groups or {}, configuration.language.complete, schedulers)

    @property
    def owners(self) -> dict[str, str]:
        """The schedulers' own computers, and whose they are."""
        return {node_of(LOCAL, name): node_of(SCHEDULER, name) for name in self.schedulers or ("",)}

    @property
    def servers(self) -> tuple[str, ...]:
        """The controller and the schedulers."""
        return CONTROLLER, *self.owners.values()

    def expand(self, text: str) -> tuple[str, ...]:
        """The names that a text stands for: a host set in which names of groups may stand, too."""
        names: list[str] = []
        word, slash, rest = text.partition("/")
        if slash:
            return tuple(f"{word}/{name}" for name in (expand(rest) if "[" in rest or "," in rest else (rest,)))
        for name in expand(text) if "[" in text or "," in text else (text,):
            if name == SCHEDULERS and self.schedulers:
                names += self.owners.values()
            else:
                names += self.hosts if name == ALL else self.groups.get(name, (name,))
        if self.schedulers and (vague := next((name for name in names if name in (SCHEDULER, LOCAL)), "")):
            which = self.owners if vague == LOCAL else self.owners.values()
            raise ValueError(f"{vague} of which scheduler? {', '.join(which)}; or {SCHEDULERS}, for all of them")
        return tuple(dict.fromkeys(names))

    def check(self, name: str, what: str, *, servers: bool = False) -> None:
        """Raises `ValueError` where there is no such host (nor, with `servers`, such a server)."""
        allowed = [*self.hosts, *self.groups, *self.owners, ALL, *(self.servers if servers else ())]
        if name in self.servers and not servers:
            raise ValueError(f"{what}: there is no {name} for it: it is at hosts")
        if name not in allowed and (self.complete or "/" in name):
            raise ValueError(f"{what}: there is no {name}{nearest(name, allowed)}")


def parse_fault(text: str, start: datetime, known: Known) -> list[Fault | FaultPlan]:
    """The faults of one line, one for each place; a share of hosts is a plan that comes once. Raises `ValueError` with
    a sentence for people."""
    words = text.split()
    where, word, rest = _head(words)
    share, where = parse_share(where)
    places = parse_places(where, word, known)
    times = list(takewhile(lambda one: "=" not in one, rest))
    at_ns, for_ns = parse_when(times, start)
    settings = parse_settings(rest[len(times) :])
    if share is None:
        return [Fault(kind, nodes, at_ns, for_ns, **settings) for kind, nodes in places]  # type: ignore[arg-type]
    unit = Unit(" ".join(where), tuple(nodes for _, nodes in places))
    fault = Fault(places[0][0], **settings)  # type: ignore[arg-type]
    return [FaultPlan(" ".join(words), fault, (unit,), Constant(for_ns), first=Constant(at_ns), share=share)]


def _head(words: list[str]) -> tuple[list[str], str, list[str]]:
    """Where and what: the words before and after the first one that is a kind of fault."""
    for at, word in enumerate(words):
        if word.replace("-", "_") in KINDS:
            return words[:at], word.replace("-", "_"), words[at + 1 :]
    guesses = [nearest(word, list(KINDS)) for word in words[1:3]]
    raise ValueError(f"says no fault{next((guess for guess in guesses if guess), '')}; known: {', '.join(KINDS)}")


def parse_share(words: list[str]) -> tuple[float | None, list[str]]:
    """(share, the rest) of `20% of hosts`; None: all of them."""
    match = _SHARE.fullmatch(words[0]) if words else None
    if match is None:
        return None, words
    if len(words) != 3 or words[1] != "of":
        raise ValueError(f"{words[0]} of what? Such as {words[0]} of hosts, or {words[0]} of a group")
    share = float(match[1]) / 100
    if not 0.0 < share <= 1.0:
        raise ValueError(f"expects a share from above 0% to 100%, not {words[0]}")
    return share, words[2:]


def parse_when(words: list[str], start: datetime) -> tuple[int, int]:
    """(at, for) in ns; no word at all: from the start to the end."""
    if not words:
        return 0, 0
    if len(words) == 1:
        return _compact(words[0], start)
    if words[0][0].isdecimal():
        words = ["from", *words]
    said: dict[str, str] = {}
    for word, value in zip(words[::2], [*words[1::2], ""], strict=False):
        if word.replace("-", "_") in KINDS:
            raise ValueError(f"{word}: a line is one fault, another one is a line of its own")
        if word not in _TIMES or not value or _TIMES[word] in said:
            raise ValueError(
                f"{word} is not understood{nearest(word, list(_TIMES))}; times are as in 02:00-04:00, 10m+5m, "
                "from 02:00 for 2h or from 02:00 until 04:00"
            )
        said[_TIMES[word]] = value
    at_ns = parse_moment(said["begin"], start) if "begin" in said else 0
    if "length" in said and "end" in said:
        raise ValueError("for and until say the same: leave out one of them")
    if "end" in said:
        return at_ns, _until(" ".join(words), at_ns, said["end"], start)
    return at_ns, _length(said["length"]) if "length" in said else 0


def _compact(text: str, start: datetime) -> tuple[int, int]:
    """`02:00`, `02:00-04:00` or `02:00+2h`."""
    if text in _TIMES:
        raise ValueError(f"{text} what? A time is missing")
    if "+" in text:
        first, _, length = text.partition("+")
        return parse_moment(first, start), _length(length)
    first, dash, last = text.partition("-")
    at_ns = parse_moment(first, start)
    return at_ns, _until(text, at_ns, last, start) if dash else 0


def _until(text: str, at_ns: int, last: str, start: datetime) -> int:
    until_ns = parse_moment(last, start, at_ns)
    if until_ns == at_ns:
        when = start.astimezone(UTC) + timedelta(microseconds=at_ns // 1000)
        raise ValueError(f"{text} is no time at all: both are {when.astimezone(start.tzinfo):%Y-%m-%d %H:%M:%S}")
    if until_ns < at_ns:
        raise ValueError(f"{text} ends before it begins")
    return until_ns - at_ns


def _length(text: str) -> int:
    length_ns = parse_duration(text)
    if not length_ns:
        raise ValueError(f"{text} is no time at all; to the end: leave it out")
    return length_ns


def parse_settings(words: list[str]) -> dict[str, object]:
    """The fields of a fault that `KEY=VALUE` words set."""
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


def parse_places(names: list[str], word: str, known: Known) -> list[Place]:
    """What each single fault is, and at which nodes. `word`: one of `KINDS`. Raises `ValueError`."""
    kind = KINDS[word]
    if kind is Kind.WALL_STEP:
        if names:
            raise ValueError("wall_step is everywhere: it names no host")
        return [(kind, ())]
    if not names or len(names) > 2:
        raise ValueError(f"{word} needs one name, or two for a link")
    if len(names) == 1:
        return [place for one in known.expand(names[0]) for place in _places(one, word, known)]
    if kind not in LINK_KINDS:
        raise ValueError(f"{word} is at one thing, not at a link")
    return [(kind, _link(names, one, known)) for one in known.expand(names[1] if names[0] == CONTROLLER else names[0])]


def _places(name: str, word: str, known: Known) -> list[Place]:
    """Of one name: at a link that has its name from one end it may be at several."""
    kind, servers = KINDS[word], known.servers
    if kind is Kind.SILENT and name in servers:
        return [(Kind.FROZEN, (name,))]
    if kind not in SERVER_KINDS and kind not in HOST_KINDS:
        if kind is Kind.ONE_WAY or name == SCHEDULER:
            raise ValueError(f"{word} is at a link: name its two ends, such as controller {name}")
        known.check(name, word, servers=True)
        if name == CONTROLLER:
            return [(kind, (scheduler, name)) for scheduler in known.owners.values()]
        if name in servers:
            return [(kind, (name, CONTROLLER))]
        return [(kind, (known.owners.get(name, CONTROLLER), name))]
    if name in servers and kind in SERVER_KINDS:
        return [(kind, (name,))]
    if kind not in HOST_KINDS:
        raise ValueError(f"{word}: there is no {name}{nearest(name, list(servers))}: it is at {' or '.join(servers)}")
    known.check(name, word)
    return [(kind, (name,))]


def _link(names: list[str], one: str, known: Known) -> tuple[str, str]:
    """The two ends, in the order in which they were written."""
    first, second = (CONTROLLER, one) if names[0] == CONTROLLER else (one, names[1])
    ends = {first, second}
    if any(ends in ({scheduler, CONTROLLER}, {scheduler, local}) for local, scheduler in known.owners.items()):
        return first, second
    others = ends - {CONTROLLER}
    hosts = set(known.hosts)
    if not known.complete:
        hosts |= others - set(RESERVED)
    if CONTROLLER in ends and len(others) == 1 and others <= hosts:
        return first, second
    unknown = sorted(others - hosts)
    guess = nearest(unknown[0], [*known.hosts, *known.groups, *known.servers[1:]]) if unknown else ""
    raise ValueError(f"there is no link between {first} and {second}{guess}: links go from the scheduler to controller "
                     "and local, and from the controller to each host")  # fmt: skip
