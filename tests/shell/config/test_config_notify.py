"""Goal: who is told of what, and deadlines, are read as written; a mistake is refused at its place with a way out, and
a secret in the file above all.

Method: small files, right and wrong; configs/notify.yaml as an example of everything.
"""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from model.alarm_kinds import AlarmKind, AlarmSettings, ChannelRules, NotifyRules
from model.configuration import Configuration, Notifier, Secret, Webhook
from model.job import SECOND
from model.task import Deadline, TimeLimit
from shell.config.loading import load, load_text
from shell.config.notify_sections import NOTIFIERS_MAX
from shell.config.problems import InvalidConfiguration

MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
TASK = "tasks: {a: {command: [x]}}\n"


def loaded(text: str) -> Configuration:
    return load_text(text + TASK).configuration


def refused(text: str) -> str:
    with pytest.raises(InvalidConfiguration) as caught:
        load_text(text)
    return str(caught.value)


def test_the_example_is_read_as_it_is_meant() -> None:
    found = load(Path(__file__).parents[3] / "configs" / "notify.yaml").configuration
    log, operator, chat = found.notifiers
    assert log.rules == NotifyRules(kinds=tuple(AlarmKind), after_ns=0)
    assert operator.rules.kinds[0] is AlarmKind.DISK_FULL and operator.rules.tasks == ("stack",)
    assert (operator.rules.after_ns, operator.rules.again_ns, operator.rules.hour_max) == (2 * MINUTE, 4 * HOUR, 10)
    assert chat.webhook == Webhook(
        Secret(env="CHAT_WEBHOOK"), (("Authorization", Secret(file="chat.token", prefix="Bearer ")),)
    )
    assert chat.rules.heartbeat_ns == HOUR
    assert found.alarms.backlog == 200 and found.alarms.channels[1] == ChannelRules("operator", operator.rules)
    reduce, stack = found.tasks
    assert reduce.deadline == Deadline(end=TimeLimit("15m", after_ns=15 * MINUTE), zone=ZoneInfo("Pacific/Honolulu"))
    assert stack.deadline == Deadline(
        TimeLimit("30m", after_ns=30 * MINUTE),
        TimeLimit("06:00", by_s=6 * 3600),
        ZoneInfo("Pacific/Honolulu"),
        frozenset(range(7)),
    )


def test_what_is_not_said_has_its_default() -> None:
    found = loaded("notify: {me: {command: [mail, me]}}\n")
    assert found.notifiers == (Notifier("me", ("mail", "me")),)
    assert found.notifiers[0].rules == NotifyRules()  # nothing but what handlers say
    assert found.alarms == AlarmSettings((ChannelRules("me", NotifyRules()),))
    assert loaded("").alarms == AlarmSettings()


def test_one_word_stands_for_a_list_and_for_never() -> None:
    rules = (
        loaded("notify: {me: {command: [x], of: host-down, tasks: a, again: never, recovered: false}}\n")
        .notifiers[0]
        .rules
    )
    assert rules.kinds == (AlarmKind.HOST_DOWN,) and rules.tasks == ("a",)
    assert (rules.again_ns, rules.recovered) == (0, False)


def test_defaults_may_have_a_deadline_and_a_task_another_one() -> None:
    tasks = "{a: {command: [x]}, b: {command: [x], deadline: {start: '22:30'}}}"
    text = f"zone: UTC\ndefaults: {{deadline: {{end: 1h}}}}\ntasks: {tasks}\n"
    a, b = load_text(text).configuration.tasks
    assert a.deadline == Deadline(end=TimeLimit("1h", after_ns=HOUR))
    assert b.deadline == Deadline(TimeLimit("22:30", by_s=81_000))


@pytest.mark.parametrize(
    ("notifier", "said"),
    [
        ("{}", "expects exactly one of command, webhook"),
        ('{command: [x], webhook: {url: "https://a.b"}}', "expects exactly one of command, webhook"),
        ("{command: []}", "the command is empty"),
        ("{command: [x], of: [host-don]}", "did you mean host-down?"),
        ("{command: [x], tasks: [b]}", "task b is not defined"),
        ("{command: [x], after: 3}", "for seconds write 3s"),
        ("{command: [x], per_hour: 0}", "from 1 to 3600"),
        ("{command: [x], heartbeat: 1s}", "expects at least 10s"),
        ("{command: [x], off: all}", "did you mean of?"),
        ('{webhook: {url: "http://a.b"}}', "plain_http: true"),
        ('{webhook: {url: "gopher://a.b"}}', "expects a URL"),
        ("{webhook: {url: {env: A, file: b}}}", "exactly one of env, file"),
        ("{webhook: {url: {}}}", "exactly one of env, file"),
        ("{webhook: {url: {env: 3A}}}", "not the name of an environment variable"),
        ('{webhook: {url: "https://a.b", headers: {Authorization: abc}}}', "looks like a secret"),
        ('{webhook: {url: "https://a.b", headers: {X-Api-Key: abc}}}', "looks like a secret"),
        ('{webhook: {url: "https://a.b", headers: {Host: b}}}', "Host is set by laulima"),
        ('{webhook: {url: "https://a.b", headers: {"a b": c}}}', "not the name of a header"),
        ('{webhook: {url: "https://a.b", headers: {a: "b\\nc"}}}', "one line"),
    ],
)
def test_a_wrong_notifier_is_refused_at_its_place(notifier: str, said: str) -> None:
    found = refused(f"notify: {{me: {notifier}}}\n{TASK}")
    assert said in found and "pipeline.yaml:1:" in found and "1 error" in found


@pytest.mark.parametrize(
    ("deadline", "said"),
    [
        ("{}", "expects start or end"),
        ("{days: mon}", "expects start or end"),
        ("{end: 0s}", "longer than nothing"),
        ("{end: 6}", "for seconds write 6s"),
        ('{end: "26:00"}', "a time of day from 00:00"),
        ("{end: soon}", "expects a duration"),
        ('{end: "06:00", days: mo}', "expects days such as mon-fri"),
        ('{end: "06:00", zone: Berlin}', "did you mean Europe/Berlin?"),
    ],
)
def test_a_wrong_deadline_is_refused_at_its_place(deadline: str, said: str) -> None:
    found = refused(f"tasks: {{a: {{command: [x], deadline: {deadline}}}}}\n")
    assert said in found and "tasks.a.deadline" in found


def test_there_are_not_too_many() -> None:
    many = ", ".join(f"n{number}: {{command: [x]}}" for number in range(NOTIFIERS_MAX + 1))
    assert f"at most {NOTIFIERS_MAX}" in refused(f"notify: {{{many}}}\n{TASK}")
