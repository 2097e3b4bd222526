"""The file's keys, section by section: the schema. The docstring of each key is its help, in editors and in
`laulima docs config`.

A key that was not said is None here; what it then means is decided in `conversion.py`. What needs two sections to
judge is in `checks.py`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from model.job import SECOND
from model.task import TimeLimit
from shell.config.controller_sections import ControllerKey, SchedulerName, SchedulerSection
from shell.config.ends import PATTERN as END_PATTERN
from shell.config.ends import parse_end
from shell.config.fields import (
    LOCAL_NAMES,
    Checked,
    Choice,
    Command,
    Counted,
    Duration,
    Flag,
    Fraction,
    Name,
    TimeOfDay,
    Whole,
    Word,
)
from shell.config.host_sections import HostSettings
from shell.config.joining_sections import JoinSection, ListenSection
from shell.config.notify_sections import AlarmsSection, DueBy, Notifiers
from shell.config.resource_sections import Health, HealthSection, HostSets, Labels, PlaceChoice, Resources
from shell.config.validation import Section
from shell.config.window_text import DAYS_PATTERN, calendar_days, parse_dates, parse_days, parse_zone
from shell.hostset import HostSetError, expand


def _listed(value: object) -> object:
    """One text where a list is expected is a list of one."""
    return [value] if isinstance(value, str) else value


def _check_days(text: str) -> str:
    parse_days(text)
    return text


def _check_dates(text: str) -> str:
    parse_dates(text)
    return text


def _check_calendar(text: str) -> str:
    calendar_days(text)
    return text


def _check_end(text: str) -> str:
    parse_end(text)
    return text


def _check_retry_end(text: str) -> str:
    return parse_end(text, default=False)


def _check_zone(text: str) -> str:
    parse_zone(text)
    return text


def _check_call(text: str) -> str:
    module, colon, function = text.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module.split("."), function]):
        raise ValueError(f'expects package.module:function, not "{text[:60]}"')
    return text


def _check_variable(text: str) -> str:
    if not text.isascii() or not text.isidentifier():
        raise ValueError(f'"{text[:60]}" is not the name of an environment variable: letters, digits and _ only')
    if text.startswith("LAULIMA_"):
        raise ValueError("variables that begin with LAULIMA_ are set by laulima")
    return text


def _check_host_set(text: str) -> str:
    try:
        names = expand(text)
    except HostSetError as error:
        raise ValueError(f"{error}; {error.hint}") from None
    for reserved in LOCAL_NAMES:
        if reserved in names:
            raise ValueError(f'"{reserved}" cannot be the name of a host: it has a meaning of its own')
    return text


def _check_path_word(text: str) -> str:
    if not text.strip():
        raise ValueError("expects a path, but is empty")
    return text


Text = Annotated[str, Word()]
Path = Annotated[str, Checked(_check_path_word, "a path")]
Paths = Annotated[tuple[Path, ...], BeforeValidator(_listed, json_schema_input_type=Path | tuple[Path, ...])]
Zone = Annotated[str, Checked(_check_zone, "a time zone such as Europe/Berlin")]
DayList = Annotated[str, Checked(_check_days, "days such as mon-fri", DAYS_PATTERN)]
DateRange = Annotated[str, Checked(_check_dates, "dates such as 2026-01-01..2026-03-31", r"^[0-9]{4}-")]
CalendarDates = Annotated[str, Checked(_check_calendar, "a date such as 2026-12-25", r"^[0-9]{4}-")]
RetryEnd = Annotated[str, Checked(_check_retry_end, "an end such as crash or 1-3", END_PATTERN, integers=True)]
EndKey = Annotated[str, Checked(_check_end, "an end such as 0, 1-3, timeout or default", END_PATTERN, integers=True)]
Variable = Annotated[str, Checked(_check_variable, "a variable", "^[A-Za-z_][A-Za-z0-9_]*$")]
Calendar = Annotated[
    tuple[CalendarDates, ...],
    BeforeValidator(_listed, json_schema_input_type=CalendarDates | tuple[CalendarDates, ...]),
]
Policy = Annotated[tuple[str, int] | None, Counted(("wait", "fail", "elsewhere"), "try")]
UnknownPolicy = Annotated[
    str | None,
    Choice(("wait", "fail", "elsewhere"), (("try", "there is nothing to try: expects one of wait, fail, elsewhere"),)),
]


class PeriodsSection(Section):
    """How often, and how long at most."""

    exec: Annotated[int | None, Duration()] = None
    """how often the task is asked for a job (default 30s)"""
    poll: Annotated[int | None, Duration()] = None
    """how often a job is looked at where nothing reports by itself (default 1s)"""
    timeout: Annotated[int | None, Duration(word="none")] = None
    """longest run of one attempt, or none (default 10m)"""
    pending: Annotated[int | None, Duration(word="none")] = None
    """longest wait for a start, or none (default 1h)"""


class LimitsSection(Section):
    """How many jobs of a task."""

    in_flight: Annotated[int | None, Whole(1, 10**9, word="none")] = None
    """jobs that have not ended, or none (default none)"""
    total: Annotated[int | None, Whole(1, 10**15, word="none")] = None
    """jobs in the task's whole life, or none (default none)"""


class HostNameSection(Section):
    """Where jobs run, without the policies."""

    name: Annotated[str | None, Name()] = None
    """a host of the cluster, `any` or `local`"""
    required: Annotated[bool | None, Flag()] = None
    """true: on no other host (default false: it is preferred)"""
    wait: Annotated[int | None, Duration(0)] = None
    """preferred host: how long to wait for it before any host will do (default 0s)"""
    avoid: HostSets | None = None
    """hosts that will not do: node03, or [node03, "node[05-08]"]"""


class HostSection(HostNameSection):
    """Where jobs run, and what becomes of them when a required host cannot take them."""

    when_down: Policy = None
    """wait (default), fail, elsewhere, or {try: N}: fail after N attempts to connect"""
    when_silent: Policy = None
    """the same for a host that is connected and does not answer (default wait)"""
    when_unknown: UnknownPolicy = None
    """the same for a host that is not defined: fail (default), wait, elsewhere"""


def _host_name(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class WindowSection(Section):
    """When a task may start jobs. Without `exclude` windows add up; excluding ones forbid."""

    days: Annotated[
        tuple[DayList, ...] | None, BeforeValidator(_listed, json_schema_input_type=DayList | tuple[DayList, ...])
    ] = None
    """mon-fri, or [mon, wed]; the day on which the window opens (default every day)"""
    opens: Annotated[int | None, TimeOfDay()] = Field(default=None, alias="from")
    """when it opens, such as 18:00 (default 00:00)"""
    to: Annotated[int | None, TimeOfDay(end=True)] = None
    """when it closes; before `from` it is on the next day (default 24:00)"""
    zone: Annotated[str | None, *Zone.__metadata__] = None
    """time zone of days and times (default: `zone` of the file)"""
    dates: Annotated[
        tuple[DateRange, ...] | None, BeforeValidator(_listed, json_schema_input_type=DateRange | tuple[DateRange, ...])
    ] = None
    """2026-01-01..2026-03-31, one date, or a list of them"""
    calendar: Annotated[str | None, Name()] = None
    """only on the dates of this calendar (`calendars`)"""
    exclude: Annotated[bool, Flag()] = False
    """true: no starts while it is open"""
    jobs: Annotated[int | None, Whole(1, 1_000_000)] = None
    """most jobs to start each time that it is open (default no limit)"""

    @model_validator(mode="after")
    def _some_length(self) -> WindowSection:
        opens, to = self.opens or 0, 86400 if self.to is None else self.to
        if opens == to % 86400 and (opens or self.to == 0):
            raise ValueError("from and to are the same time; for the whole day leave both out")
        if self.exclude and self.jobs is not None:
            raise ValueError("jobs counts what starts while the window is open; an excluding window starts nothing")
        return self


class DeadlineSection(Section):
    """When jobs must have started and ended; what is later is an alarm. At least one of `start` and `end`."""

    start: Annotated[TimeLimit | None, DueBy()] = None
    """20m: each job has started so long after it was due; "22:00": since the last 22:00 a job was made, and all have
    started"""
    end: Annotated[TimeLimit | None, DueBy()] = None
    """20m: each job has ended so long after it was due; "06:00": since the last 06:00 a job has ended well, and none is
    left"""
    days: Annotated[
        tuple[DayList, ...] | None, BeforeValidator(_listed, json_schema_input_type=DayList | tuple[DayList, ...])
    ] = None
    """of times of day: mon-fri, or [mon, wed] (default every day)"""
    zone: Annotated[str | None, *Zone.__metadata__] = None
    """time zone of days and times (default: `zone` of the file)"""

    @model_validator(mode="after")
    def _some(self) -> DeadlineSection:
        if self.start is None and self.end is None:
            raise ValueError("expects start or end")
        return self


class EachSection(Section):
    """Where items come from: one job for each. Exactly one of the keys."""

    files: Path | None = None
    """each path that matches, such as incoming/*"""
    lines: Command | None = None
    """each line that this command prints"""
    done: Annotated[str | None, Name()] = None
    """each item that this task finished well"""

    @model_validator(mode="after")
    def _exactly_one(self) -> EachSection:
        if len(self.model_fields_set) != 1:
            raise ValueError("expects exactly one of files, lines, done")
        if self.lines is not None and not (self.lines and self.lines[0]):
            raise ValueError("lines: the command is empty")
        return self


class BlockSection(Section):
    """Files to wait for, where a network file system shows them late."""

    before: Paths = ()
    """files that must be visible before the start"""
    after: Paths = ()
    """files that must be visible before the end is reported"""
    limit: Annotated[int | None, Duration()] = None
    """longest wait, each time (default 2m)"""

    @model_validator(mode="after")
    def _some(self) -> BlockSection:
        if not self.before and not self.after:
            raise ValueError("expects before or after with at least one file")
        return self


class RetrySection(Section):
    """New attempts of the same job."""

    times: Annotated[int | None, Whole(1, 10**6)] = None
    """how many (default 3)"""
    backoff: Annotated[int | None, Duration(0)] = None
    """wait before the first (default 10s)"""
    factor: Annotated[float | None, Fraction(1, 1000)] = None
    """each wait is so much longer than the one before it (default 2.0)"""
    cap: Annotated[int | None, Duration()] = None
    """longest wait (default 1h)"""
    jitter: Annotated[float | None, Fraction(0, 1)] = None
    """up to this part of the wait is added by chance (default 0)"""


class TaskRetrySection(RetrySection):
    """New attempts of the same job, and after which ends."""

    on: Annotated[
        tuple[RetryEnd, ...],
        BeforeValidator(_listed, json_schema_input_type=RetryEnd | tuple[RetryEnd, ...]),
        AfterValidator(lambda ends: _not_empty(ends, "expects at least one end, such as crash or 1-255")),
    ]
    """ends after which it is tried again: [LOST, "exit 75", crash, 1-255]"""


def _not_empty(values: tuple[Any, ...], sentence: str) -> tuple[Any, ...]:
    if not values:
        raise ValueError(sentence)
    return values


def _handler_script(value: object) -> object:
    """Text where a handler is expected is its script."""
    return {"script": value} if isinstance(value, str) else value


class HandlerSection(Section):
    """What to do when an attempt ended so."""

    retry: RetrySection | None = None
    """try again, after waits that grow"""
    run: Command | None = None
    """run this command on the scheduler's machine"""
    notify: Annotated[str | None, Name()] = None
    """tell this notifier (`notify` of the file)"""
    disable: Annotated[bool, Flag()] = False
    """true: start nothing more until a person releases the task"""
    script: Text | None = None
    """statements of the task language to run then"""


Handlers = dict[
    EndKey,
    Annotated[HandlerSection, BeforeValidator(_handler_script, json_schema_input_type=Text | HandlerSection)],
]
LostPolicy = Annotated[tuple[str, int] | None, Counted(("report",), "rerun")]


class TaskSettings(Section):
    """What `defaults` and each task can say."""

    environment: dict[Variable, Annotated[str, Word(empty=True)]] = Field(default_factory=dict)
    """variables for the job; a task's own are added to those of `defaults`"""
    directory: Path | None = None
    """working directory on the host (default: the folder of this file)"""
    slots: Annotated[int | None, Whole(1, 100_000)] = None
    """slots that a job takes, all on one host (default 1)"""
    resources: Resources = Field(default_factory=dict)
    """what a job takes beside slots: {cpus: 2, memory: 4GiB, gpus: 1, licence_x: 1}; added to those of `defaults`"""
    needs: Labels | None = None
    """labels that the host must have, all of them"""
    place: PlaceChoice = None
    """of the hosts that would do the one with the most free slots (spread) or the fewest (pack); default: cluster's"""
    nice: Annotated[int | None, Whole(-20, 19)] = None
    """how much a job gives way to others, 19 most (default 0)"""
    grace: Annotated[int | None, Duration()] = None
    """between TERM and KILL when a job is ended (default 5s)"""
    periods: PeriodsSection = PeriodsSection()
    limits: LimitsSection = LimitsSection()
    windows: tuple[WindowSection, ...] | None = None
    """when jobs may start (default always); a task's replace those of `defaults`"""
    missed: Annotated[str | None, Choice(("skip", "once", "all", "elastic"))] = None
    """starts whose time passed while nothing could start: skip, once (default), all; elastic: at once, also after a
    limit or window, and the period counts from there"""
    deadline: DeadlineSection | None = None
    block: BlockSection | None = None
    stdout: Path | None = None
    """file to which the output is appended; may hold $item, $job, $task"""
    stderr: Path | None = None
    """the same for the errors"""
    retry: TaskRetrySection | None = None
    when_lost: LostPolicy = None
    """a host vanished with the job: report (default, never run twice) or {rerun: N}"""
    silent_grace: Annotated[int | None, Duration()] = None
    """how long the controller may be silent before a job not known to run is given up (default: pending)"""
    on: Handlers = Field(default_factory=dict)
    """what to do after an end: exit code, range, outcome (timeout, lost, ...), crash, default"""
    active: Annotated[bool | None, Flag()] = None
    """false: the task starts nothing until a person says so (default true)"""


class DefaultsSection(TaskSettings):
    """What holds for every task that does not say otherwise."""

    host: Annotated[
        HostNameSection | None, BeforeValidator(_host_name, json_schema_input_type=Text | HostNameSection)
    ] = None
    """a host, any or local (default: any if hosts are defined, else local)"""
    when_down: Policy = None
    """a required host is down: wait (default), fail, elsewhere, {try: N}"""
    when_silent: Policy = None
    """a required host does not answer (default wait)"""
    when_unknown: UnknownPolicy = None
    """a required host is not defined: fail (default), wait, elsewhere"""


class TaskSection(TaskSettings):
    """One task. Exactly one of `command` and `call`; neither where `prepare` says the command."""

    command: Command | None = None
    """a list of words; $item, $job and $task are replaced, each word stays one argument, no shell"""
    call: Annotated[str | None, Checked(_check_call, "package.module:function")] = None
    """a Python function, package.module:function"""
    arguments: Annotated[tuple[Annotated[str, Word(empty=True)], ...], BeforeValidator(_listed)] = ()
    """arguments of `call`, as texts"""
    host: Annotated[HostSection | None, BeforeValidator(_host_name, json_schema_input_type=Text | HostSection)] = None
    """a host, any or local, or a mapping with policies"""
    each: EachSection | None = None
    """one job for each item; $item stands for it"""
    prepare: Text | None = None
    """statements of the task language to run before each job; `break` declines it"""


class ChannelSection(Section):
    """Times of the link to a subordinate."""

    ping: Annotated[int | None, Duration(SECOND // 1000)] = None
    """between two questions whether it is there (default 5s)"""
    silent: Annotated[int | None, Duration()] = None
    """unanswered for so long it is called silent and gets nothing new (default 15s)"""
    lease: Annotated[int | None, Duration()] = None
    """a host that heard nothing for so long ends its jobs (default 5m; local 1h)"""
    margin: Annotated[int | None, Duration()] = None
    """added before a job is declared lost (default 30s)"""
    resend: Annotated[int | None, Duration(SECOND // 1000)] = None
    """what was not answered is said again after so long (default 10s)"""


class LocalSection(ChannelSection):
    """The scheduler's own machine."""

    slots: Annotated[int | None, Whole(1, 100_000)] = None
    """jobs at once (default 2)"""
    pending_max: Annotated[int | None, Whole(1, 10**9)] = None
    """jobs that may wait for it (default 100000)"""


class HostEntry(HostSettings):
    """One host, or many with the same settings."""

    name: Annotated[str, Checked(_check_host_set, "a host name or set such as node[01-16]")]
    """a host name or host set: node[01-16]"""
    slots: Annotated[int, Whole(1, 100_000)] = 1
    """jobs at once (default 1)"""
    resources: Resources = Field(default_factory=dict)
    """what it has for jobs beside slots: {cpus: 8, memory: 32GiB, gpus: 2, licence_x: 3}"""
    labels: Labels = ()
    """words that tasks can ask for with `needs`: [fast, ssd]"""


class ClusterSection(ChannelSection):
    """Where jobs run."""

    local: LocalSection = LocalSection()
    defaults: HostSettings = HostSettings()
    """what holds for every host that does not say otherwise, and for those that people and scripts add"""
    hosts: tuple[HostEntry, ...] = ()
    listen: ListenSection | None = None
    """where agents can dial in (link: tls)"""
    join: JoinSection | None = None
    """hosts that may come and go by themselves, by dialling in"""
    schedulers: dict[SchedulerName, SchedulerSection] = Field(default_factory=dict)
    """of a controller that several schedulers share: on what terms, by their names"""
    resources: Resources = Field(default_factory=dict)
    """what all hosts share, such as licences: {licence_x: 10}"""
    place: PlaceChoice = None
    """of the hosts that would do the one with the most free slots (spread, default) or the fewest (pack)"""
    passed_max: Annotated[int | None, Whole(1, 10**9, word="none")] = None
    """how often later jobs may pass one that waits, before a host is kept for it, or none: always (default 1000)"""
    health: Health = HealthSection()
    """when a host on which jobs fail in a row is set aside, or off"""
    order: Annotated[str, Choice(("fill", "strict"))] = "fill"
    """fill (default): a job that cannot start yet lets later ones pass; strict: it does not"""
    pending_max: Annotated[int | None, Whole(1, 10**9)] = None
    """jobs in the queue; one more ends OVERLOADED (default 100000)"""
    rooms_max: Annotated[int | None, Whole(1, 1000)] = None
    """starts in a row that may fail for want of room (default 5)"""
    backoff: Annotated[int | None, Duration(SECOND // 1000)] = None
    """first wait before a host is tried again; it doubles (default 1s)"""
    backoff_cap: Annotated[int | None, Duration(SECOND // 1000)] = None
    """longest such wait (default 1m)"""
    connect: Annotated[int | None, Duration(SECOND // 1000)] = None
    """how long an attempt to connect may take (default 20s)"""
    overtime: Annotated[int | None, Duration()] = None
    """beyond a job's timeout, before the controller asks for its end as well (default 1m)"""


class ShutdownSection(Section):
    """What becomes of running jobs when the server ends."""

    on_exit: Annotated[str | None, Choice(("keep", "kill"))] = None
    """keep (default): they run on and their results are fetched later; kill: they are ended"""
    keep_for: Annotated[int | None, Duration()] = None
    """how long they may run on (default 24h); so long the next server waits for a host that it does not hear"""


class LanguageSection(Section):
    """How scripts of the task language are run."""

    controller_timeout: Annotated[str | None, Choice(("limit", "ignore"))] = None
    """`periods -timeout` of a script's task, for jobs on hosts: limit (default) their run time, or ignore it"""
    jitter: Annotated[float | None, Fraction(0, 1)] = None
    """each start of a script's task is late by up to this part of its exec period, by chance (default 0)"""


class ConfigurationSection(Section):
    """The whole file."""

    tasks: dict[Annotated[str, Name()], TaskSection] = Field(default_factory=dict)
    """the tasks, each under its name"""
    scripts: Annotated[tuple[Path, ...], BeforeValidator(_listed, json_schema_input_type=Path | tuple[Path, ...])] = ()
    """script files of the task language, run in order at the start; jobs start when one of them says `run`"""
    language: LanguageSection = LanguageSection()
    defaults: DefaultsSection = DefaultsSection()
    cluster: ClusterSection = ClusterSection()
    calendars: dict[Annotated[str, Name()], Calendar] = Field(default_factory=dict)
    """lists of dates, each under its name; windows refer to them"""
    zone: Annotated[str | None, *Zone.__metadata__] = None
    """time zone of windows that name none (default UTC)"""
    notify: Notifiers = Field(default_factory=dict)
    """who is told of alarms, each under its name; handlers refer to them"""
    alarms: AlarmsSection = AlarmsSection()
    shutdown: ShutdownSection = ShutdownSection()
    controller: ControllerKey = None
    """which controller the jobs for hosts go to: embedded (default), spawn, or {socket: PATH} of a shared one"""
