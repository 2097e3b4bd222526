"""From checked sections to the model's plain data. Here, and only here, `defaults` and built-in defaults meet a task.

Mappings (`periods`, `limits`, `environment`, `on`, the host policies) are merged key by key: the task's key wins.
Everything else that a task says replaces what `defaults` say.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC
from pathlib import Path
from typing import TypeVar

from msgspec import structs

from model.channel import ChannelTimes
from model.configuration import (
    ClusterDefinition,
    Configuration,
    LanguageSettings,
    OnExit,
    Order,
)
from model.job import LOCAL, Block, HostPolicy, HostWish, Wait
from model.resources import Needs, Place
from model.task import (
    Deadline,
    DoneSource,
    FilesSource,
    Handler,
    Limits,
    LinesSource,
    Missed,
    Periods,
    Retry,
    Source,
    TaskDefinition,
)
from model.windows import Calendar, Window
from shell.config.controller_sections import controller_place, is_shared, scheduler_terms
from shell.config.ends import parse_end
from shell.config.host_sections import HostSettings, host_definition
from shell.config.joining_sections import join_settings, listen_settings
from shell.config.notify_sections import make_notifier
from shell.config.problems import KeyPath
from shell.config.resource_sections import amounts, health_policy, needs_of
from shell.config.script_file import with_what_is_known
from shell.config.sections import (
    BlockSection,
    ChannelSection,
    ClusterSection,
    ConfigurationSection,
    DeadlineSection,
    DefaultsSection,
    EachSection,
    HandlerSection,
    HostNameSection,
    HostSection,
    LimitsSection,
    PeriodsSection,
    RetrySection,
    TaskRetrySection,
    TaskSection,
    WindowSection,
)
from shell.config.window_text import calendar_days, parse_dates, parse_days, parse_zone
from shell.hostset import expand

T = TypeVar("T")

PERIODS = Periods()
LIMITS = Limits()
RETRY = Retry()
BLOCK = Block()
CLUSTER = ClusterDefinition()
CONFIGURATION = Configuration("", "")
TASK_GRACE_NS = TaskDefinition(name="").grace_ns


def said(*choices: T | None, otherwise: T) -> T:
    """The first that was said."""
    return next((choice for choice in choices if choice is not None), otherwise)


LineOf = Callable[[KeyPath, str], int]
"""The line of the file on which a script's text begins."""


def make_configuration(sections: ConfigurationSection, path: Path, digest: str, line_of: LineOf) -> Configuration:
    """The whole file. The sections must have passed `checks.py`."""
    cluster = _cluster(sections.cluster, str(path.parent))
    calendars = calendars_of(sections)
    return Configuration(
        path=str(path),
        directory=str(path.parent),
        tasks=tuple(_task(name, task, sections, calendars, line_of) for name, task in sections.tasks.items()),
        cluster=cluster,
        notifiers=tuple(make_notifier(name, notifier) for name, notifier in sections.notify.items()),
        backlog=sections.alarms.backlog or 0,
        clear_ns=said(sections.alarms.clear, otherwise=CONFIGURATION.clear_ns),
        look_ns=said(sections.alarms.look, otherwise=CONFIGURATION.look_ns),
        on_exit=OnExit(said(sections.shutdown.on_exit, otherwise=CONFIGURATION.on_exit.value)),
        keep_for_ns=said(sections.shutdown.keep_for, otherwise=CONFIGURATION.keep_for_ns),
        language=_language(sections, path.parent),
        digest=digest,
        controller=controller_place(sections.controller, path),
    )


def has_hosts(sections: ConfigurationSection) -> bool:
    """Whether there are other machines than the scheduler's own."""
    return bool(sections.cluster.hosts or sections.cluster.join or is_shared(sections.controller))


def _language(sections: ConfigurationSection, directory: Path) -> LanguageSettings:
    settings = LanguageSettings(
        scripts=tuple(os.path.normpath(directory / name) for name in sections.scripts),
        controller_timeout_ignored=sections.language.controller_timeout == "ignore",
        jitter=said(sections.language.jitter, otherwise=0.0),
    )
    return with_what_is_known(settings, directory) if settings.scripts else settings


def _task(
    name: str,
    task: TaskSection,
    sections: ConfigurationSection,
    calendars: Mapping[str, Calendar],
    line_of: LineOf,
) -> TaskDefinition:
    defaults = sections.defaults
    windows = said(task.windows, defaults.windows, otherwise=())
    handlers: dict[str, Handler] = {}
    for path, settings in ((("defaults",), defaults), (("tasks", name), task)):
        for end, handler in settings.on.items():
            handlers[parse_end(end)] = _handler(parse_end(end), handler, (*path, "on", end), line_of)
    return TaskDefinition(
        name=name,
        command=task.command or (),
        call=task.call,
        arguments=task.arguments,
        environment=tuple(sorted({**defaults.environment, **task.environment}.items())),
        directory=said(task.directory, defaults.directory, otherwise="") or None,
        slots=said(task.slots, defaults.slots, otherwise=1),
        nice=said(task.nice, defaults.nice, otherwise=0),
        host=make_wish(task, defaults, has_hosts=has_hosts(sections)),
        periods=_periods(task.periods, defaults.periods),
        limits=_limits(task.limits, defaults.limits),
        windows=tuple(part for window in windows for part in window_parts(window, sections.zone, calendars)),
        missed=Missed(said(task.missed, defaults.missed, otherwise=Missed.ONCE.value)),
        source=None if task.each is None else _source(task.each),
        grace_ns=said(task.grace, defaults.grace, otherwise=TASK_GRACE_NS),
        block=_block(task.block or defaults.block),
        stdout=task.stdout or defaults.stdout,
        stderr=task.stderr or defaults.stderr,
        retry=_retry(task.retry or defaults.retry),
        lost_reruns=said(task.when_lost, defaults.when_lost, otherwise=("report", 0))[1],
        silent_grace_ns=task.silent_grace or defaults.silent_grace,
        handlers=tuple(handlers.values()),
        active=said(task.active, defaults.active, otherwise=True),
        prepare=task.prepare or "",
        prepare_line=line_of(("tasks", name, "prepare"), task.prepare) if task.prepare else 1,
        needs=_needs(task, sections),
        deadline=_deadline(task.deadline or defaults.deadline, sections.zone),
    )


def _needs(task: TaskSection, sections: ConfigurationSection) -> Needs | None:
    """`local` counts slots and nothing else, so what `defaults` say of resources is not for it."""
    wish = make_wish(task, sections.defaults, has_hosts=has_hosts(sections))
    return None if wish.name == LOCAL else needs_of_task(task, sections.defaults)


def needs_of_task(task: TaskSection, defaults: DefaultsSection) -> Needs | None:
    """Its own laid over the defaults: resources name by name, everything else as a whole."""
    own, default = task.host, defaults.host
    avoid = own.avoid if own is not None and own.avoid is not None else None if default is None else default.avoid
    return needs_of(
        {**defaults.resources, **task.resources},
        task.needs if task.needs is not None else defaults.needs or (),
        avoid or (),
        task.place or defaults.place,
    )


def _periods(own: PeriodsSection, default: PeriodsSection) -> Periods:
    return Periods(
        exec_ns=said(own.exec, default.exec, otherwise=PERIODS.exec_ns),
        poll_ns=said(own.poll, default.poll, otherwise=PERIODS.poll_ns),
        timeout_ns=said(own.timeout, default.timeout, otherwise=PERIODS.timeout_ns),
        pending_ns=said(own.pending, default.pending, otherwise=PERIODS.pending_ns),
    )


def _limits(own: LimitsSection, default: LimitsSection) -> Limits:
    return Limits(
        in_flight=said(own.in_flight, default.in_flight, otherwise=LIMITS.in_flight),
        total=said(own.total, default.total, otherwise=LIMITS.total),
    )


def make_wish(task: TaskSection, defaults: DefaultsSection, *, has_hosts: bool) -> HostWish:
    """Where a task's jobs want to run. Without a word about it: any host if there are hosts, else local."""
    own, default = task.host or HostSection(), defaults.host or HostNameSection()
    name = said(own.name, default.name, otherwise="any" if has_hosts else LOCAL)
    return HostWish(
        name=None if name == "any" else name,
        required=said(own.required, default.required, otherwise=False),
        wait_ns=said(own.wait, default.wait, otherwise=0),
        when_down=_policy(said(own.when_down, defaults.when_down, otherwise=("wait", 0))),
        when_silent=_policy(said(own.when_silent, defaults.when_silent, otherwise=("wait", 0))),
        when_unknown=_policy((said(own.when_unknown, defaults.when_unknown, otherwise="fail"), 0)),
    )


def _policy(policy: tuple[str, int]) -> HostPolicy:
    return HostPolicy(Wait(policy[0]), policy[1])


def _source(each: EachSection) -> Source:
    if each.files is not None:
        return FilesSource(each.files)
    if each.lines is not None:
        return LinesSource(each.lines)
    assert each.done is not None, "the section holds exactly one of the three"
    return DoneSource(each.done)


def _block(block: BlockSection | None) -> Block | None:
    if block is None:
        return None
    return Block(block.before, block.after, said(block.limit, otherwise=BLOCK.limit_ns))


def _deadline(section: DeadlineSection | None, default_zone: str | None) -> Deadline | None:
    if section is None:
        return None
    zone = section.zone or default_zone
    days = None if section.days is None else frozenset(day for text in section.days for day in parse_days(text))
    return Deadline(section.start, section.end, UTC if zone is None else parse_zone(zone), days)


def _retry(section: RetrySection | None) -> Retry | None:
    if section is None:
        return None
    ends = [parse_end(end) for end in section.on] if isinstance(section, TaskRetrySection) else []
    return Retry(
        on=tuple(dict.fromkeys(ends)),
        times=said(section.times, otherwise=RETRY.times),
        backoff_ns=said(section.backoff, otherwise=RETRY.backoff_ns),
        factor=said(section.factor, otherwise=RETRY.factor),
        cap_ns=said(section.cap, otherwise=RETRY.cap_ns),
        jitter=said(section.jitter, otherwise=RETRY.jitter),
    )


def _handler(end: str, handler: HandlerSection, path: KeyPath, line_of: LineOf) -> Handler:
    script = handler.script or ""
    return Handler(
        match=end,
        retry=_retry(handler.retry),
        run=handler.run or (),
        notify=handler.notify or "",
        disable=handler.disable,
        script=script,
        script_line=line_of(path, script) if script else 1,
    )


# windows


def calendars_of(sections: ConfigurationSection) -> dict[str, Calendar]:
    """The named calendars."""
    return {
        name: Calendar(name, frozenset(day for text in texts for day in calendar_days(text)))
        for name, texts in sections.calendars.items()
    }


def window_parts(
    section: WindowSection, default_zone: str | None, calendars: Mapping[str, Calendar]
) -> tuple[Window, ...]:
    """The window, as one for each range of dates: allowing windows add up, excluding ones as well."""
    zone_name = section.zone or default_zone
    zone = UTC if zone_name is None else parse_zone(zone_name)
    weekdays = None
    if section.days is not None:
        weekdays = frozenset(day for text in section.days for day in parse_days(text))
    ranges = [(None, None)] if section.dates is None else [parse_dates(text) for text in section.dates]
    return tuple(
        Window(
            zone=zone,
            from_s=section.opens or 0,
            to_s=86400 if section.to is None else section.to,
            weekdays=weekdays,
            first=first,
            last=last,
            calendar=None if section.calendar is None else calendars[section.calendar],
            exclude=section.exclude,
            text=_window_text(section),
            jobs_max=section.jobs or 0,
        )
        for first, last in ranges
    )


def _window_text(section: WindowSection) -> str:
    """As written, in a fixed order: `mon-fri 18:00-06:00`."""
    parts = [",".join(section.days or ()), ",".join(section.dates or ()), section.calendar or ""]
    if section.opens is not None or section.to is not None:
        parts.append(f"{_clock(section.opens or 0)}-{_clock(86400 if section.to is None else section.to)}")
    return " ".join(part for part in parts if part) or "always"


def _clock(second: int) -> str:
    minutes, seconds = divmod(second, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}" + (f":{seconds:02d}" if seconds else "")


# cluster


def channel_times(section: ChannelSection, *, local: bool = False) -> ChannelTimes:
    """The times of one link, with the built-in defaults for what was not said."""
    default = CLUSTER.local_times if local else CLUSTER.times
    return ChannelTimes(
        ping_ns=said(section.ping, otherwise=default.ping_ns),
        silent_ns=said(section.silent, otherwise=default.silent_ns),
        lease_ns=said(section.lease, otherwise=default.lease_ns),
        margin_ns=said(section.margin, otherwise=default.margin_ns),
        resend_ns=said(section.resend, otherwise=default.resend_ns),
    )


def _cluster(section: ClusterSection, here: str) -> ClusterDefinition:
    defaults = section.defaults
    return ClusterDefinition(
        hosts=tuple(
            structs.replace(
                host_definition(name, entry.slots, entry, defaults, here),
                resources=amounts(entry.resources),
                labels=entry.labels,
            )
            for entry in section.hosts
            for name in expand(entry.name)
        ),
        added=host_definition("", 1, HostSettings(), defaults, here),
        local_slots=said(section.local.slots, otherwise=CLUSTER.local_slots),
        order=Order(section.order),
        pending_max=said(section.pending_max, otherwise=CLUSTER.pending_max),
        pending_local_max=said(section.local.pending_max, otherwise=CLUSTER.pending_local_max),
        rooms_max=said(section.rooms_max, otherwise=CLUSTER.rooms_max),
        backoff_ns=said(section.backoff, otherwise=CLUSTER.backoff_ns),
        backoff_cap_ns=said(section.backoff_cap, otherwise=CLUSTER.backoff_cap_ns),
        connect_ns=said(section.connect, otherwise=CLUSTER.connect_ns),
        overtime_ns=said(section.overtime, otherwise=CLUSTER.overtime_ns),
        times=channel_times(section),
        local_times=channel_times(section.local, local=True),
        resources=amounts(section.resources),
        place=Place(said(section.place, otherwise=CLUSTER.place.value)),
        passed_max=said(section.passed_max, otherwise=CLUSTER.passed_max),
        health=health_policy(section.health),
        listen=listen_settings(section.listen, here),
        join=join_settings(section.join),
        schedulers=scheduler_terms(section.schedulers, said(section.pending_max, otherwise=CLUSTER.pending_max)),
    )
