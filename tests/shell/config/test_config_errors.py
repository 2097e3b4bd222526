"""Bad input: everything that a person can get wrong is an error with file, line, column, the line and a way out.

Method: a good file of one task, and what is wrong with it in each case; the place and the sentence are compared.
"""

from __future__ import annotations

import pytest

from model.errors import ConfigurationError
from shell.config import InvalidConfiguration, load_text

TASK = "tasks:\n  warp:\n    command: [a]\n"


def errors(text: str) -> list[str]:
    """The lines that name a place, without the file's name."""
    with pytest.raises(InvalidConfiguration) as caught:
        load_text(text)
    message = str(caught.value)
    assert caught.value.exit_code == 1
    assert message.endswith("Nothing was started.")
    return [line.removeprefix("pipeline.yaml:") for line in message.splitlines() if line.startswith("pipeline.yaml:")]


def only_error(text: str) -> str:
    """The one error of the text."""
    found = errors(text)
    assert len(found) == 1, found
    return found[0]


def test_a_grace_that_is_too_long_for_every_task_is_complained_about_once() -> None:
    assert len(errors(TASK + "  weld:\n    command: [b]\ndefaults: {grace: 1m}\n")) == 1


def test_a_grace_that_just_fits_is_taken() -> None:
    load_text(TASK + "    grace: 28s\ncluster: {hosts: [{name: a}]}\n")


def test_the_form_of_the_message() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_text("tasks:\n  warp:\n    command: [a]\n    periods: {exce: 5s}\n    limits: {in_flight: x}\n")
    assert str(caught.value) == (
        "pipeline.yaml:4:15   tasks.warp.periods.exce   unknown key, did you mean exec?\n"
        "        periods: {exce: 5s}\n"
        "                  ^\n"
        'pipeline.yaml:5:25   tasks.warp.limits.in_flight   expects a whole number or none, not "x"\n'
        "        limits: {in_flight: x}\n"
        "                            ^\n"
        "2 errors. Nothing was started."
    )
    assert caught.value.hint


IN_A_TASK = [
    ("pol: 1s", "4:5   tasks.warp.pol", "unknown key"),
    ("perods: {}", "4:5   tasks.warp.perods", "did you mean periods?"),
    ("periods: {exec: 5}", "4:21   tasks.warp.periods.exec", "for seconds write 5s"),
    ("periods: {exec: 0s}", "4:21   tasks.warp.periods.exec", "longer than nothing"),
    ("periods: {timeout: 0s}", "4:24   tasks.warp.periods.timeout", "write none for no limit"),
    ("periods: {timeout: -5s}", "4:24   tasks.warp.periods.timeout", "such as 10m"),
    ("periods: {timeout: 5 minutes}", "4:24   tasks.warp.periods.timeout", "such as 10m"),
    ("periods: [exec]", "4:14   tasks.warp.periods", "expects keys with values, not a list"),
    ("periods:", "4:5   tasks.warp.periods", "expects keys with values, but is empty"),
    ("host:", "4:5   tasks.warp.host", "is empty"),
    ("limits: {total: -1}", "4:21   tasks.warp.limits.total", "from 1"),
    ("limits: {in_flight: 0}", "4:25   tasks.warp.limits.in_flight", "write none"),
    ("limits: {in_flight: 2.5}", "4:25   tasks.warp.limits.in_flight", 'whole number or none, not "2.5"'),
    ("active: yes", "4:13   tasks.warp.active", 'expects true or false, not "yes"'),
    ("active: [x]", "4:13   tasks.warp.active", "expects true or false, not a list"),
    ("slots: 0", "4:12   tasks.warp.slots", "from 1"),
    ("nice: 50", "4:11   tasks.warp.nice", "from -20 to 19"),
    ("missed: onec", "4:13   tasks.warp.missed", "did you mean once?"),
    ("directory: ''", "4:16   tasks.warp.directory", "expects a path"),
    ("environment: {A-B: 1}", "4:19   tasks.warp.environment.A-B", "not the name of an environment variable"),
    ("environment: {LAULIMA_JOB: 1}", "4:19   tasks.warp.environment.LAULIMA_JOB", "set by laulima"),
    ("environment: {A: [1]}", "4:22   tasks.warp.environment.A", "expects a word, not a list"),
    ("prepare: |\n      if (1)\n        break", "5:7   tasks.warp.prepare", "end"),
    ("on:\n      0: |\n        echo ok\n        for i 0 3", "7:9   tasks.warp.on.0", "end"),
    ("on: {0: {script: [echo]}}", "4:22   tasks.warp.on.0.script", "expects a word, not a list"),
    ("on: {timout: {}}", "4:10   tasks.warp.on.timout", "did you mean timeout?"),
    ("on: {3-1: {}}", "4:10   tasks.warp.on.3-1", "runs backwards"),
    ("on: {300: {}}", "4:10   tasks.warp.on.300", "from 0 to 255"),
    ("on: {crash: {retri: {}}}", "4:18   tasks.warp.on.crash.retri", "did you mean retry?"),
    ("on: {crash: {retry: {on: [0]}}}", "4:26   tasks.warp.on.crash.retry.on", "unknown key"),
    ("on: {crash: {notify: me}}", "4:26   tasks.warp.on.crash.notify", "notifier me is not defined"),
    ("on: {crash: {run: []}}", "4:23   tasks.warp.on.crash.run", "the command is empty"),
    ("on: {timeout: {}, TIMED_OUT: {}}", "4:23   tasks.warp.on.TIMED_OUT", "says the same as timeout"),
    ("retry: {times: 3}", "4:5   tasks.warp.retry.on", "is missing"),
    ("retry: {on: []}", "4:17   tasks.warp.retry.on", "at least one end"),
    ("retry: {on: [default]}", "4:18   tasks.warp.retry.on[0]", "not an end"),
    ("retry: {on: crash, jitter: 2}", "4:32   tasks.warp.retry.jitter", "from 0 to 1"),
    ("retry: {on: crash, factor: 0.5}", "4:32   tasks.warp.retry.factor", "from 1 to"),
    ("when_lost: rerun", "4:16   tasks.warp.when_lost", "{rerun: 3}"),
    ("when_lost: {rerun: 0}", "4:16   tasks.warp.when_lost", "from 1"),
    ("when_lost: {again: 1}", "4:16   tasks.warp.when_lost", "report or {rerun: N}"),
    ("host: {name: local, when_down: try}", "4:36   tasks.warp.host.when_down", "{try: 3}"),
    ("host: {when_unknown: try}", "4:26   tasks.warp.host.when_unknown", "nothing to try"),
    ("host: {name: any, required: true}", "4:33   tasks.warp.host.required", "must be named"),
    ("host: ../x", "4:11   tasks.warp.host", "is not a name"),
    ("host: {name: node9, required: true}", "4:18   tasks.warp.host.name", "required host node9 is not defined"),
    ("slots: 3", "4:12   tasks.warp.slots", "local has 2"),
    ("each: {files: x, done: y}", "4:11   tasks.warp.each", "exactly one of"),
    ("each: {}", "4:11   tasks.warp.each", "exactly one of"),
    ("each: {done: wrap}", "4:18   tasks.warp.each.done", "no task wrap, did you mean warp?"),
    ("each: {done: warp}", "4:18   tasks.warp.each.done", "circle: warp <- warp"),
    ("each: {lines: ls}", "4:19   tasks.warp.each.lines", 'list of words: ["ls"]'),
    ("block: {limit: 2m}", "4:12   tasks.warp.block", "before or after"),
    ("call: os:getpid", "4:5   tasks.warp.call", "both command and call"),
    ("call: os.getpid", "4:11   tasks.warp.call", "package.module:function"),
    ("arguments: [x]", "4:5   tasks.warp.arguments", "belong to call"),
    ("windows: [{days: mon-fir}]", "4:22   tasks.warp.windows[0].days", "did you mean fri?"),
    ("windows: [{from: '25:00'}]", "4:22   tasks.warp.windows[0].from", "from 00:00 to 23:59:59"),
    ("windows: [{from: 18}]", "4:22   tasks.warp.windows[0].from", "time of day such as 18:00"),
    ("windows: [{from: '18:00', to: '18:00'}]", "4:15   tasks.warp.windows[0]", "the same time"),
    ("windows: [{jobs: 0}]", "4:22   tasks.warp.windows[0].jobs", "from 1 to 1000000"),
    ("windows: [{jobs: 2, exclude: true}]", "4:15   tasks.warp.windows[0]", "starts nothing"),
    ("windows: [{zone: Berlin}]", "4:22   tasks.warp.windows[0].zone", "did you mean Europe/Berlin?"),
    ("windows: [{zone: Europe/Berlni}]", "4:22   tasks.warp.windows[0].zone", "did you mean Europe/Berlin?"),
    ("windows: [{zone: ../../etc/passwd}]", "4:22   tasks.warp.windows[0].zone", "not a time zone"),
    ("windows: [{zone: Europe}]", "4:22   tasks.warp.windows[0].zone", "not a time zone"),
    ("windows: [{dates: 2026-02-30, zone: UTC}]", "4:23   tasks.warp.windows[0].dates", "a date such as"),
    ("windows: [{dates: 2026-02-03..2026-02-01}]", "4:23   tasks.warp.windows[0].dates", "run backwards"),
    ("windows: [{dates: 0001-01-01}]", "4:23   tasks.warp.windows[0].dates", "too far away"),
    ("windows: [{calendar: feasts}]", "4:26   tasks.warp.windows[0].calendar", "not defined"),
    ("windows: [{days: sat, dates: 2026-11-23, zone: UTC}]", "4:15   tasks.warp.windows[0]", "never opens"),
    ("windows: [{zone: UTC, days: mon}, {zone: UTC, exclude: true}]", "4:5   tasks.warp.windows", "never start"),
]


@pytest.mark.parametrize(("line", "place", "sentence"), IN_A_TASK, ids=[case[0] for case in IN_A_TASK])
def test_a_mistake_in_a_task(line: str, place: str, sentence: str) -> None:
    error = only_error(f"{TASK}    {line}\n")
    assert error.startswith(f"{place}   "), error
    assert sentence in error


ANYWHERE = [
    ("", "1:1   tasks", "at least one task, or `scripts:`"),
    ("tasks: {}\n", "1:8   tasks", "at least one task"),
    ("tasks:\n", "1:1   tasks", "but is empty"),
    ("tasks: {a: {host: local}}\n", "1:9   tasks.a", "neither command nor call"),
    ("tasks: {a: {command: []}}\n", "1:22   tasks.a.command", "the command is empty"),
    ("tasks: {a: {command: ./run.sh $item -v}}\n", "1:22   tasks.a.command", '["./run.sh", "$item", "-v"]'),
    ("tasks: {a: {command: a | b}}\n", "1:22   tasks.a.command", '["sh", "-c", "a | b"]'),
    ("tasks: {a: {command: [a, [b]]}}\n", "1:26   tasks.a.command[1]", "expects a word, not a list"),
    ("tasks: {../x: {command: [a]}}\n", "1:9   tasks.../x", "is not a name"),
    ("tasks: {a..b: {command: [a]}}\n", "1:9   tasks.a..b", "is not a name"),
    ("tasks: {-a: {command: [a]}}\n", "1:9   tasks.-a", "is not a name"),
    (TASK + "  warp: {command: [b]}\n", "4:3   tasks.warp", "there twice; the first is on line 2"),
    (TASK + "clutser: {}\n", "4:1   clutser", "did you mean cluster?"),
    (TASK + "zone: Mars\n", "4:7   zone", "not a time zone"),
    (TASK + "cluster: {hosts: [{name: 'node[01-'}]}\n", "4:26   cluster.hosts[0].name", "not closed"),
    (TASK + "cluster: {hosts: [{slots: 1}]}\n", "4:19   cluster.hosts[0].name", "is missing"),
    (TASK + "cluster: {hosts: [{name: local}]}\n", "4:26   cluster.hosts[0].name", "a meaning of its own"),
    (TASK + "cluster: {hosts: [{name: 'a,any'}]}\n", "4:26   cluster.hosts[0].name", "a meaning of its own"),
    (
        TASK + "cluster: {hosts: [{name: a, link: tls}]}\n",
        "4:35   cluster.hosts[0].link",
        "say cluster.listen",
    ),
    (
        TASK + "cluster: {hosts: [{name: '-oProxyCommand=x', link: ssh}]}\n",
        "4:26   cluster.hosts[0].name",
        "is not a host name",
    ),
    (
        TASK + "cluster: {hosts: [{name: a, link: ssh, ssh: {host: '-oProxyCommand=x'}}]}\n",
        "4:52   cluster.hosts[0].ssh.host",
        "cannot be given to ssh",
    ),
    (
        TASK + "cluster: {hosts: [{name: a, link: ssh, ssh: 'me@-oProxyCommand=x'}]}\n",
        "4:45   cluster.hosts[0].ssh",
        "cannot be given to ssh",
    ),
    (
        TASK + "cluster: {hosts: [{name: a, link: ssh, ssh: {user: '-l root'}}]}\n",
        "4:52   cluster.hosts[0].ssh.user",
        "not the name of a user",
    ),
    (
        TASK + "cluster: {hosts: [{name: a, link: ssh, ssh: {options: ['-F x']}}]}\n",
        "4:56   cluster.hosts[0].ssh.options[0]",
        "as in ssh_config",
    ),
    (
        TASK + "cluster: {defaults: {link: ssh}, hosts: [{name: a_b}]}\n",
        "4:49   cluster.hosts[0].name",
        "say under which name it knows the host",
    ),
    (
        TASK + "cluster: {hosts: [{name: a, python: python3.12}]}\n",
        "4:29   cluster.hosts[0].python",
        "belongs to a host with link: ssh",
    ),
    (
        TASK + "cluster: {hosts: [{name: a, link: ssh, spool: here}]}\n",
        "4:47   cluster.hosts[0].spool",
        "expects an absolute path",
    ),
    (
        TASK + "cluster: {hosts: [{name: 'n[1-3]'}, {name: n2}]}\n",
        "4:44   cluster.hosts[1].name",
        "n2 is defined twice",
    ),
    (TASK + "cluster: {ping: 20s}\n", "4:17   cluster.ping", "silent must be longer than ping"),
    (TASK + "cluster: {local: {lease: 10s}}\n", "4:26   cluster.local.lease", "lease must be longer"),
    (TASK + "cluster: {local: {margin: 6s}}\n", "4:27   cluster.local.margin", "local.margin must be at least 7s"),
    (
        TASK + "    grace: 29s\ncluster: {hosts: [{name: a}]}\n",
        "4:12   tasks.warp.grace",
        "margin must be at least 31s",
    ),
    (TASK + "defaults: {grace: 1m}\n", "4:19   defaults.grace", "cluster.local.margin must be at least 1m2s"),
    (
        "scripts: [a.pro]\ncluster: {hosts: [{name: a}], margin: 1s}\n",
        "2:39   cluster.margin",
        "a job of a script gets 5s (grace), but after 1s (margin) it may run elsewhere",
    ),
    (TASK + "cluster: {backoff: 10s, backoff_cap: 1s}\n", "4:38   cluster.backoff_cap", "not be shorter"),
    (TASK + "cluster: {order: fil}\n", "4:18   cluster.order", "did you mean fill?"),
    (TASK + "shutdown: {on_exit: stop}\n", "4:21   shutdown.on_exit", "one of keep, kill"),
    (TASK + "notify: {me: {command: []}}\n", "4:24   notify.me.command", "the command is empty"),
    (TASK + "calendars: {a: [25.12.2026]}\n", "4:17   calendars.a[0]", "a date such as"),
    (TASK + "calendars: {a: 1990-01-01..2190-01-01}\n", "4:16   calendars.a", "at most 3660 days"),
    (TASK + "defaults: {host: {when_down: fail}}\n", "4:19   defaults.host.when_down", "unknown key"),
    (
        TASK + "    host: {name: n1, required: true}\n    slots: 3\ncluster: {hosts: [{name: n1, slots: 2}]}\n",
        "5:12   tasks.warp.slots",
        "its host n1 has 2",
    ),
    (
        TASK + "    slots: 3\ncluster: {hosts: [{name: 'n[1-2]', slots: 2}]}\n",
        "4:12   tasks.warp.slots",
        "the biggest host has 2",
    ),
    (
        "tasks:\n  a: {command: [x], each: {done: b}}\n  b: {command: [x], each: {done: a}}\n",
        "2:34   tasks.a.each.done",
        "circle: a <- b <- a",
    ),
    (
        TASK + "    windows: [{calendar: holyday, zone: UTC}]\ncalendars: {holidays: [2026-12-25]}\n",
        "4:26   tasks.warp.windows[0].calendar",
        "did you mean holidays?",
    ),
]


@pytest.mark.parametrize(("text", "place", "sentence"), ANYWHERE, ids=[case[1] for case in ANYWHERE])
def test_a_mistake_anywhere(text: str, place: str, sentence: str) -> None:
    error = only_error(text)
    assert error.startswith(f"{place}   "), error
    assert sentence in error


def test_errors_of_all_kinds_come_out_together() -> None:
    text = (
        "tasks:\n"
        "  a: {command: [x], host: {name: n9, required: true}, colour: red}\n"  # meaning, and unknown key
        "  b: {command: [x], periods: {exec: 5}, each: {done: nobody}}\n"  # unit, and meaning
        "  b: {command: [y]}\n"  # syntax
        "  c: {command: [x], windows: [{zone: Nowhere}]}\n"  # value
    )
    assert [error.partition("   ")[0] for error in errors(text)] == ["2:34", "2:55", "3:37", "3:54", "4:3", "5:38"]


def test_an_item_of_a_list_that_is_wrong_hides_nothing_elsewhere() -> None:
    found = errors("tasks:\n  a: {command: [x, [y]]}\n  b: {command: [x], slots: 9}\n")
    assert [error.partition("   ")[0] for error in found] == ["2:20", "3:28"]


def test_one_mistake_is_one_error() -> None:
    """What a wrong part would have defined is not complained about where it is used."""
    assert (
        len(
            errors("cluster: {hosts: [{name: 'n[1-'}]}\ntasks: {a: {command: [x], host: {name: n1, required: true}}}\n")
        )
        == 1
    )
    assert len(errors("calendars: {h: [x]}\ntasks: {a: {command: [x], windows: [{calendar: h, zone: UTC}]}}\n")) == 1
    assert len(errors("notify: {me: {}}\ntasks: {a: {command: [x], on: {0: {notify: me}}}}\n")) == 1
    assert len(errors("tasks: {a: {command: ls, each: {files: x}}, b: {command: [x], each: {done: a}}}\n")) == 1
    assert len(errors("tasks: {a: {command: [x], host: {name: n1, required: true, when_unknown: wiat}}}\n")) == 1
    assert len(errors("tasks: {a: {command: *x}}\n")) == 1
    assert len(errors("tasks: {a: {command: [x], periods: *x}}\n")) == 1


def test_what_a_file_holds_never_steers_the_terminal() -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        load_text('tasks:\n  "a\\eb": {command: [x], "k\\u202e": 1}\n  b: {command: "\\a", call: "\\e[31m"}\n')
    assert all(line.isprintable() for line in str(caught.value).splitlines())


WARNINGS = [
    ("host: {name: node9, required: true, when_unknown: wait}", "4:18   tasks.warp.host.name", "until it is"),
    ("host: node9", "4:11   tasks.warp.host", "any host will do until it is"),
    ("stdout: $item.log", "4:13   tasks.warp.stdout", "$item is empty"),
    ("environment: {A: $itme}", "4:18   tasks.warp.environment", "did you mean $item?"),
    ("windows: [{from: '10:00', to: '11:00'}]", "4:15   tasks.warp.windows[0]", "read in UTC"),
]


@pytest.mark.parametrize(("line", "place", "sentence"), WARNINGS, ids=[case[0] for case in WARNINGS])
def test_what_may_be_meant_is_a_warning(line: str, place: str, sentence: str) -> None:
    (warning,) = load_text(f"{TASK}    {line}\n").warnings
    assert warning.startswith(f"pipeline.yaml:{place}   "), warning
    assert sentence in warning


def test_a_preferred_host_that_is_too_small_is_a_warning() -> None:
    loaded = load_text(
        "cluster: {hosts: [{name: small, slots: 1}, {name: big, slots: 4}]}\n"
        "tasks:\n  a: {command: [x]}\n  b: {command: [x], each: {done: a}, host: small, slots: 2}\n"
    )
    assert len(loaded.warnings) == 1
    assert "never runs on its preferred host small" in loaded.warnings[0]
