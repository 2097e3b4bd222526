"""The keys of `notify` and `alarms`: who is told of what, how often, by which way; and what a deadline may look like.

Used by `sections.py` for the schema and by `conversion.py` for the model's plain data; what needs other parts of the
file to judge is in `checks.py`. What the rules mean is `model/notifying.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from live.notifying import url_trouble
from model.alarm_kinds import AlarmKind, NotifyRules
from model.configuration import Notifier, Secret, Webhook
from model.task import TimeLimit
from shell.config.fields import Checked, Choice, Command, Duration, Flag, Name, Scalar, TimeOfDay, Whole, Word
from shell.config.validation import Section
from shell.durations import PATTERN, parse_duration
from shell.wording import clean, cut

ALL = "all"
KINDS = tuple(kind.value for kind in AlarmKind)
NOTIFIERS_MAX = 16
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_|~-]{1,100}")
_SECRET_HEADER = re.compile(r"auth|token|key|secret|cookie|password|credential", re.IGNORECASE)
_SET_BY_US = ("content-type", "content-length", "host", "user-agent", "transfer-encoding", "connection")


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _not_empty(values: tuple[Any, ...], sentence: str) -> tuple[Any, ...]:
    if not values:
        raise ValueError(sentence)
    return values


@dataclass(frozen=True)
class DueBy(Scalar):
    """A duration after the due time, or a time of day; gives a `TimeLimit`."""

    expects = "a duration such as 20m, or a time of day such as 06:00"

    def convert(self, text: str) -> TimeLimit:
        if ":" in text:
            return TimeLimit(text, by_s=TimeOfDay().convert(text))
        after_ns = parse_duration(text)
        if not after_ns:
            raise ValueError(f"expects {self.expects}, longer than nothing")
        return TimeLimit(text, after_ns=after_ns)

    def json_schema(self) -> dict[str, Any]:
        time_of_day = TimeOfDay().json_schema()
        return {"anyOf": [{"type": "string", "pattern": PATTERN}, time_of_day]}


def _check_variable(text: str) -> str:
    if not text.isascii() or not text.isidentifier():
        raise ValueError(f'"{cut(clean(text), 60)}" is not the name of an environment variable')
    return text


def _check_header(text: str) -> str:
    if not _HEADER.fullmatch(text):
        raise ValueError(f'"{cut(clean(text), 60)}" is not the name of a header')
    if text.lower() in _SET_BY_US:
        raise ValueError(f"{text} is set by laulima")
    return text


def _check_line(text: str) -> str:
    if not text.isprintable() or not text.isascii():
        raise ValueError("expects one line of ASCII text")
    return text


Line = Annotated[str, Checked(_check_line, "a text")]


class SecretSection(Section):
    """A text that does not stand in this file. Exactly one of `env` and `file`."""

    env: Annotated[str | None, Checked(_check_variable, "a variable", "^[A-Za-z_][A-Za-z0-9_]*$")] = None
    """a variable of the server's environment"""
    file: Annotated[str | None, Word()] = None
    """a file that holds it, read at each message; relative paths start beside this file"""
    prefix: Line = ""
    """goes before it: "Bearer " """

    @model_validator(mode="after")
    def _exactly_one(self) -> SecretSection:
        if (self.env is None) == (self.file is None):
            raise ValueError("expects exactly one of env, file")
        return self


class _TextSection(SecretSection):
    """What was written as one text."""

    text: Line = ""

    @model_validator(mode="after")
    def _exactly_one(self) -> _TextSection:
        if not self.text:
            return super()._exactly_one()  # type: ignore[operator, no-any-return]
        return self


def _secret(value: object) -> object:
    return {"text": value} if isinstance(value, str) else value


TextOrSecret = Annotated[
    _TextSection, BeforeValidator(_secret, json_schema_input_type=Annotated[str, Word()] | SecretSection)
]


class WebhookSection(Section):
    """Where to send each message, by HTTP POST of a JSON object."""

    url: TextOrSecret
    """https://…, or {env: NAME} or {file: PATH} where the URL itself is a secret; http only to this machine"""
    headers: dict[Annotated[str, Checked(_check_header, "the name of a header")], TextOrSecret] = Field(
        default_factory=dict
    )
    """more headers; secrets from elsewhere: {Authorization: {file: token, prefix: "Bearer "}}"""
    plain_http: Annotated[bool, Flag()] = False
    """true: http to other machines as well; everybody on the way can read it"""

    @model_validator(mode="after")
    def _no_secret_here(self) -> WebhookSection:
        for name, value in self.headers.items():
            if value.text and _SECRET_HEADER.search(name):
                raise ValueError(f"{name} looks like a secret: {{env: NAME}} or {{file: PATH}}, not the text itself")
        trouble = url_trouble(self.url.text, plain_http=self.plain_http) if self.url.text else ""
        if trouble:
            raise ValueError(f"url: {trouble}")
        return self


class NotifierSection(Section):
    """Who is told, of what, and how often. Exactly one of `command` and `webhook`."""

    command: Annotated[
        Command | None,
        AfterValidator(lambda words: None if words is None else _not_empty(words, "the command is empty")),
    ] = None
    """a command that gets one JSON object on its standard input for each message; no shell"""
    webhook: WebhookSection | None = None
    of: Annotated[
        tuple[Annotated[str, Choice((ALL, *KINDS))], ...],
        BeforeValidator(_listed, json_schema_input_type=Annotated[str, Choice((ALL, *KINDS))] | tuple[
            Annotated[str, Choice((ALL, *KINDS))], ...]),
    ] = ()  # fmt: skip
    """which alarms: [host-down, late-end], or all (default: only what handlers tell it by `notify`)"""
    tasks: Annotated[
        tuple[Annotated[str, Name()], ...],
        BeforeValidator(_listed, json_schema_input_type=Annotated[str, Name()] | tuple[Annotated[str, Name()], ...]),
    ] = ()
    """alarms of these tasks only, beside those that are about no task (default: of all tasks)"""
    after: Annotated[int | None, Duration(0)] = None
    """an alarm that is over sooner is not told, one that comes back sooner was not over (default 30s)"""
    again: Annotated[int | None, Duration(word="never")] = None
    """how often an alarm that lasts is told again, or never (default 4h)"""
    per_hour: Annotated[int | None, Whole(1, 3600)] = None
    """messages in an hour; what is more is told in one summary (default 20)"""
    recovered: Annotated[bool, Flag()] = True
    """false: does not tell when an alarm is over"""
    heartbeat: Annotated[int | None, Duration(10**10)] = None
    """tell at least so often that the server lives, for a watcher that raises the alarm when it hears nothing"""

    @model_validator(mode="after")
    def _exactly_one(self) -> NotifierSection:
        if (self.command is None) == (self.webhook is None):
            raise ValueError("expects exactly one of command, webhook")
        return self


def _bounded(notifiers: dict[str, NotifierSection]) -> dict[str, NotifierSection]:
    if len(notifiers) > NOTIFIERS_MAX:
        raise ValueError(f"{len(notifiers)} notifiers; at most {NOTIFIERS_MAX}")
    return notifiers


Notifiers = Annotated[dict[Annotated[str, Name()], NotifierSection], AfterValidator(_bounded)]


class AlarmsSection(Section):
    """What counts as an alarm."""

    backlog: Annotated[int | None, Whole(1, 10**9)] = None
    """more jobs than this that wait are an alarm (default: never)"""
    clear: Annotated[int | None, Duration()] = None
    """jobs that failed, or waited for too long, are an alarm until it has not happened for so long (default 15m)"""
    look: Annotated[int | None, Duration(10**8)] = None
    """how often everything is looked at (default 5s)"""


def make_notifier(name: str, section: NotifierSection) -> Notifier:
    """As plain data."""
    default = NotifyRules()
    kinds = tuple(kind for kind in AlarmKind if ALL in section.of or kind.value in section.of)
    rules = NotifyRules(
        kinds=kinds,
        tasks=section.tasks,
        after_ns=default.after_ns if section.after is None else section.after,
        again_ns=default.again_ns if section.again is None else section.again,
        hour_max=section.per_hour or default.hour_max,
        recovered=section.recovered,
        heartbeat_ns=section.heartbeat or 0,
    )
    return Notifier(name, section.command or (), _webhook(section.webhook), rules)


def _webhook(section: WebhookSection | None) -> Webhook | None:
    if section is None:
        return None
    headers = tuple((name, _plain(value)) for name, value in section.headers.items())
    return Webhook(_plain(section.url), headers, section.plain_http)


def _plain(section: _TextSection) -> Secret:
    return Secret(section.text, section.env or "", section.file or "", section.prefix)
