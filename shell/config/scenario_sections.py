"""The keys of a scenario file, section by section: the schema. The docstring of each key is its help, in the reference
and in `laulima docs scenario`. Loading, and what needs the pipeline to judge, is in `scenario.py`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainValidator

from model.job import SECOND
from model.sharing import SHARE_MAX
from shell.config.controller_sections import LIMIT_MAX
from shell.config.fields import Checked, Duration, Flag, Name, Whole, Word
from shell.config.scenario_plans import PlanSection
from shell.config.scenario_values import durations, parse_drift, positive, probability, sizes
from shell.config.validation import Section
from sim.distributions import Constant
from sim.scenario import DAY

Durations = Annotated[Any, PlainValidator(durations)]
Sizes = Annotated[Any, PlainValidator(sizes)]
Probability = Annotated[float, Checked(expects="a probability from 0 to 1", check=probability)]
Length = Annotated[int, Duration(0)]
Text = Annotated[str, Word()]
AnyText = Annotated[str, Word(empty=True)]
Texts = Annotated[
    tuple[AnyText, ...],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value, json_schema_input_type=Any),
]


def _stub(value: object) -> object:
    """A text or a list of texts where a stub is expected is its output."""
    return {"output": value} if isinstance(value, str | list) else value


def _prefab(value: object) -> object:
    """A text where a plan is expected is the name of a prefab."""
    return {"prefab": value} if isinstance(value, str) else value


class NetworkSection(Section):
    """The network between the machines."""

    latency: Length = 200_000
    """one way between the controller and a host"""
    jitter: Length = 0
    """up to so much more, drawn for each message"""
    controller: Length = 50_000
    """one way between the scheduler and the controller"""
    loss: Probability = 0.0
    """how probably a message is lost"""
    doubling: Probability = 0.0
    """how probably one arrives twice"""


class HostSection(Section):
    """One host, or a set of them, where it differs from the others."""

    latency: Length | None = None
    """one way between the controller and this host"""
    jitter: Length | None = None
    """up to so much more, drawn for each message"""
    drift: Annotated[float, Checked(expects="parts per million", check=parse_drift)] = 0.0
    """how much faster its clock runs, parts per million"""
    processes: Annotated[int, Whole(0, 1_000_000)] = 0
    """processes that its operating system allows; 0: any number"""
    speed: Annotated[float, Checked(expects="a number above 0", check=positive)] = 1.0
    """how fast jobs run there: 2 is twice as fast"""


class ItemsSection(Section):
    """When the items of an `each` source appear."""

    names: tuple[Text, ...] = ()
    """which; else `count` of `pattern`"""
    pattern: Text = "item-%06d"
    """a name with the item's number"""
    first: Length = 0
    """when the first one appears"""
    every: Length = 60 * SECOND
    """0s: all at once"""
    burst: Annotated[int, Whole(1, 1_000_000)] = 1
    """how many at once"""
    count: Annotated[int, Whole(0, 100_000_000)] = 0
    """0: no end"""


class TaskSection(Section):
    """What a task's jobs do on a host."""

    run: Durations = Constant(5 * SECOND)
    """how long they run: `30s`, or a distribution such as {lognormal: {median: 30s, sigma: 0.5}} (5s)"""
    exit: dict[str, Text] | tuple[Text, ...] | Text = "0"
    """an exit code, codes with their weights, or a list: of the first job, the second, ... the last for all later"""
    crash: dict[str, Probability] = Field(default_factory=dict)
    """signals with their probabilities"""
    out_of_memory: Probability = 0.0
    """how probably one is ended by the kernel for want of memory"""
    never_ends: Probability = 0.0
    """how probably one does not end by itself"""
    ignores_term: Probability = 0.0
    """how probably one goes on after TERM, until KILL"""
    not_found: Annotated[bool, Flag()] = False
    """its command does not exist"""
    stdout: Sizes = Constant(0)
    """how many bytes they print"""
    stderr: Sizes = Constant(0)
    """the same for their errors"""
    prints: Texts = ()
    """what they print, for scripts that read it: a text, or a list (of the first job, the second, ...)"""
    complains: Texts = ()
    """the same for their errors"""
    before: Durations = Constant(0)
    """how long after the making of a job its `block: before` files are visible"""
    after: Durations = Constant(0)
    """how long after its end its `block: after` files are visible"""
    never_visible: Probability = 0.0
    """how probably its `block` files never are"""
    items: ItemsSection | tuple[Text, ...] | None = None
    """when the items of its `each` appear: a list of names (all at the start), or how often (else one a minute)"""


class StubSection(Section):
    """What a shell line of a script answers."""

    output: Texts = ()
    """a text, or a list: of the first call, the second, ...; later calls get the last one"""
    status: Annotated[int, Whole(0, 255)] = 0
    takes: Durations = Constant(0)
    """how long it runs"""
    failing: Probability = 0.0
    """how probably it ends with `failing_status` instead"""
    failing_status: Annotated[int, Whole(0, 255)] = 1


class SharerSection(Section):
    """A scheduler that uses the controller together with others, or a set of them. It has a server, a journal and a
    computer (`local`) of its own."""

    pipeline: Text | None = None
    """its pipeline's file, relative to this one (default: the scenario's)"""
    share: Annotated[int | None, Whole(1, SHARE_MAX)] = None
    """its weight (default: as the controller's file says, for this key and the next two)"""
    in_flight_max: Annotated[int | None, Whole(1, LIMIT_MAX)] = None
    """its jobs that are at hosts; others wait"""
    pending_max: Annotated[int | None, Whole(0, LIMIT_MAX)] = None
    """its jobs that wait at the controller; one more ends OVERLOADED"""
    tasks: dict[Annotated[str, Name()], TaskSection] = Field(default_factory=dict)
    """what the jobs of its tasks do, where it is not what the scenario says for all"""


class ScenarioSection(Section):
    """A scenario file."""

    pipeline: Text | None = None
    """the pipeline's file, relative to this one"""
    title: Text = ""
    """for reports"""
    seed: Annotated[int, Whole(0, 10**18)] = 1
    """decides all that chance decides (laulima sim --seed)"""
    start: Text = "2026-01-01T00:00"
    """wall time of the start"""
    zone: Text = "UTC"
    """of the start, and of times of day in faults"""
    length: Annotated[int, Duration()] = Field(default=DAY, alias="for")
    """how much time is simulated"""
    network: NetworkSection = NetworkSection()
    hosts: dict[str, HostSection] = Field(default_factory=dict)
    """what is different about hosts, by name or set: node[01-16]"""
    tasks: dict[Annotated[str, Name()], TaskSection] = Field(default_factory=dict)
    """what the jobs of tasks do, by name"""
    controller: Text | None = None
    """the file of a controller that several schedulers use (`laulima controller FILE`): its hosts and terms count
    (default: those of the pipeline)"""
    schedulers: dict[str, SharerSection] = Field(default_factory=dict)
    """who uses that controller, by name or set: `{north: {share: 3}, "team[1-4]": {}}` (default: the pipeline alone)"""
    commands: dict[
        str, Annotated[StubSection, BeforeValidator(_stub, json_schema_input_type=Text | Texts | StubSection)]
    ] = Field(default_factory=dict)
    """what shell lines of scripts answer, by pattern (shell wildcards over the whole line; the first that matches)"""
    files: dict[str, AnyText] = Field(default_factory=dict)
    """texts of files that scripts read, by path"""
    faults: tuple[Text, ...] = ()
    """lines such as `node3 down 02:00-04:00` (laulima docs faults)"""
    groups: dict[str, Texts] = Field(default_factory=dict)
    """hosts that faults may name together: `rack1: node[01-16]`, or a list of host sets and earlier groups"""
    plans: tuple[Annotated[PlanSection, BeforeValidator(_prefab, json_schema_input_type=Text | PlanSection)], ...] = ()
    """faults that come again and again, such as `{fault: down, gap: {exponential: 30d}, for: 4h}`, or prefabs"""
    expect: dict[str, dict[str, Text]] | tuple[Text, ...] = Field(default_factory=dict)
    """lines such as `p95_wait < 10m` (laulima docs expect); or for a task, or for `*` (all), counts of outcomes, such
    as `{HOST_DOWN: ">=1", exit 0: 5, open: 0}`"""
