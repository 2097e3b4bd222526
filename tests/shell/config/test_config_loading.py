"""What a right file becomes: the model's plain data, field by field, with defaults where nothing is said.

Method: small texts; whole structs are compared, so a field that is forgotten shows.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, date
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from model.channel import ChannelTimes
from model.configuration import (
    ClusterDefinition,
    Configuration,
    HostDefinition,
    Link,
    Notifier,
    OnExit,
    Order,
    SshSettings,
)
from model.job import SECOND, Block, HostPolicy, HostWish, Wait
from model.resources import Needs, Place
from model.task import (
    DoneSource,
    FilesSource,
    Handler,
    Limits,
    LinesSource,
    Missed,
    Periods,
    Retry,
    TaskDefinition,
)
from model.windows import Calendar, Window
from shell.config import Spot, load, load_text

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


def task_of(line: str, rest: str = "") -> TaskDefinition:
    """The one task `t`, with one more line; `rest` stands at the top level."""
    return load_text(f"{rest}\ntasks:\n  t:\n    command: [x]\n    {line}\n").configuration.tasks[0]


def test_the_smallest_file_has_the_models_own_defaults() -> None:
    configuration = load_text("tasks: {t: {command: [x]}}\n", Path("/data/pipeline.yaml")).configuration
    assert configuration == Configuration(
        path="/data/pipeline.yaml",
        directory="/data",
        tasks=(TaskDefinition("t", ("x",), host=HostWish("local")),),
        digest=configuration.digest,
    )
    assert configuration.digest


def test_a_task_without_a_host_runs_on_any_host_if_there_are_hosts() -> None:
    assert task_of("", "cluster: {hosts: [{name: n1}]}").host == HostWish(None)
    assert task_of("host: local", "cluster: {hosts: [{name: n1}]}").host == HostWish("local")
    assert task_of("host: any").host == HostWish(None)


def test_every_key_of_a_task_arrives() -> None:
    text = """
zone: Europe/Berlin
cluster: {hosts: [{name: "n[1-2]", slots: 8, resources: {cpus: 1}, labels: fast}, {name: n3}], resources: {x: 3}}
notify: {me: {command: [mail, me]}}
tasks:
  t:
    call: package.module:function
    arguments: [$item, 08:30]
    environment: {B: 2, A: ""}
    directory: work
    slots: 4
    nice: -5
    resources: {cpus: 0.5, x: 2}
    needs: fast
    place: pack
    host:
      {name: n1, required: true, wait: 5s, when_down: {try: 3}, when_silent: elsewhere, when_unknown: wait, avoid: n3}
    periods: {exec: 1s, poll: 2s, timeout: 3s, pending: 4s}
    limits: {in_flight: 5, total: 6}
    windows: [{days: mon-fri, from: 18:00, to: 06:00}]
    missed: all
    each: {files: in/*}
    block: {before: [a, b], after: c, limit: 7s}
    stdout: out
    stderr: err
    retry: {on: [LOST, exit 75, crash, 1-3], times: 2, backoff: 8s, factor: 1.5, cap: 9s, jitter: 0.25}
    when_lost: {rerun: 2}
    silent_grace: 10s
    on:
      0: {run: [echo, $item]}
      1-3: {retry: {times: 1, backoff: 0s}}
      timeout: {notify: me}
      PENDING_TIMEOUT: {}
      crash: {disable: true}
      default: {notify: me}
    active: false
"""
    (task,) = load_text(text).configuration.tasks
    assert task == TaskDefinition(
        name="t",
        call="package.module:function",
        arguments=("$item", "08:30"),
        environment=(("A", ""), ("B", "2")),
        directory="work",
        slots=4,
        nice=-5,
        host=HostWish(
            "n1", True, 5 * SECOND, HostPolicy(Wait.TRY, 3), HostPolicy(Wait.ELSEWHERE), HostPolicy(Wait.WAIT)
        ),
        periods=Periods(SECOND, 2 * SECOND, 3 * SECOND, 4 * SECOND),
        limits=Limits(5, 6),
        windows=(
            Window(
                ZoneInfo("Europe/Berlin"),
                18 * 3600,
                6 * 3600,
                frozenset(range(5)),
                text="mon-fri 18:00-06:00",
            ),
        ),
        missed=Missed.ALL,
        source=FilesSource("in/*"),
        block=Block(("a", "b"), ("c",), 7 * SECOND),
        stdout="out",
        stderr="err",
        retry=Retry(("lost", "75", "crash", "1-3"), 2, 8 * SECOND, 1.5, 9 * SECOND, 0.25),
        lost_reruns=2,
        silent_grace_ns=10 * SECOND,
        handlers=(
            Handler("0", run=("echo", "$item")),
            Handler("1-3", retry=Retry(times=1, backoff_ns=0)),
            Handler("timed-out", notify="me"),
            Handler("pending-timeout"),
            Handler("crash", disable=True),
            Handler("default", notify="me"),
        ),
        active=False,
        needs=Needs((("cpus", 500), ("x", 2)), ("fast",), ("n3",), Place.PACK),
    )


def test_every_field_of_the_model_can_be_written() -> None:
    """The survey example uses every key: in each struct, each field differs from its default somewhere."""
    configuration = load(Path(__file__).parents[3] / "configs" / "survey.yaml").configuration
    tasks = configuration.tasks
    untouched = {
        field
        for field in TaskDefinition.__struct_fields__
        if all(getattr(task, field) == getattr(TaskDefinition("x"), field) for task in tasks)
    }
    assert untouched == set()


def test_the_three_sources() -> None:
    more = "\n  u: {command: [x], each: {files: y}}"
    assert task_of("each: {lines: [ls, -1]}").source == LinesSource(("ls", "-1"))
    assert task_of(f"each: {{done: u}}{more}").source == DoneSource("u")


def test_no_limit_is_written_as_none() -> None:
    defaults = "defaults: {periods: {timeout: 1s, pending: 1s}, limits: {in_flight: 2, total: 3}}"
    assert task_of("periods: {timeout: none, pending: none}", defaults).periods == Periods(timeout_ns=0, pending_ns=0)
    assert task_of("limits: {in_flight: none, total: none}", defaults).limits == Limits(0, 0)


def test_defaults_hold_where_a_task_says_nothing_and_mappings_are_merged_by_key() -> None:
    text = """
notify: {me: {command: [mail]}}
cluster: {hosts: [{name: n1, slots: 9}]}
defaults:
  host: n1
  when_down: fail
  when_silent: elsewhere
  when_unknown: wait
  when_lost: {rerun: 4}
  missed: skip
  slots: 2
  nice: 3
  directory: d
  environment: {A: "1", B: "1"}
  periods: {exec: 7s, timeout: 9s}
  limits: {in_flight: 8}
  windows: [{zone: UTC, days: sat}]
  block: {before: f}
  stdout: o
  stderr: e
  retry: {on: crash}
  silent_grace: 1m
  on: {timeout: {disable: true}, crash: {notify: me}}
  active: false
tasks:
  plain: {command: [x]}
  own:
    command: [x]
    host: {required: true, when_down: wait}
    when_lost: report
    missed: all
    slots: 1
    nice: 0
    environment: {B: "2"}
    periods: {exec: 1s}
    windows: []
    on: {TIMED_OUT: {}}
    active: true
"""
    plain, own = load_text(text).configuration.tasks
    fail, elsewhere, wait = HostPolicy(Wait.FAIL), HostPolicy(Wait.ELSEWHERE), HostPolicy(Wait.WAIT)
    assert plain == TaskDefinition(
        name="plain",
        command=("x",),
        environment=(("A", "1"), ("B", "1")),
        directory="d",
        slots=2,
        nice=3,
        host=HostWish("n1", False, 0, fail, elsewhere, wait),
        periods=Periods(exec_ns=7 * SECOND, timeout_ns=9 * SECOND),
        limits=Limits(in_flight=8),
        windows=(Window(UTC, weekdays=frozenset({5}), text="sat"),),
        missed=Missed.SKIP,
        block=Block(("f",)),
        stdout="o",
        stderr="e",
        retry=Retry(("crash",)),
        lost_reruns=4,
        silent_grace_ns=MINUTE,
        handlers=(Handler("timed-out", disable=True), Handler("crash", notify="me")),
        active=False,
    )
    changed = msgspec.structs.replace(
        plain,
        name="own",
        environment=(("A", "1"), ("B", "2")),
        slots=1,
        nice=0,
        host=HostWish("n1", True, 0, wait, elsewhere, wait),
        periods=Periods(exec_ns=SECOND, timeout_ns=9 * SECOND),
        windows=(),
        missed=Missed.ALL,
        lost_reruns=0,
        handlers=(Handler("timed-out"), Handler("crash", notify="me")),
        active=True,
    )
    assert own == changed


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ("{}", [Window(UTC, text="always")]),
        ("{days: [mon, Wednesday]}", [Window(UTC, weekdays=frozenset({0, 2}), text="mon,Wednesday")]),
        ("{days: sat-mon}", [Window(UTC, weekdays=frozenset({5, 6, 0}), text="sat-mon")]),
        ("{to: 06:00, jobs: 3}", [Window(UTC, 0, 21600, text="00:00-06:00", jobs_max=3)]),
        ("{to: 24:00}", [Window(UTC, 0, 86400, text="00:00-24:00")]),
        ("{from: 8:15:30}", [Window(UTC, 29730, 86400, text="08:15:30-24:00")]),
        (
            "{dates: [2026-01-01, 2026-02-01..2026-02-03], exclude: true}",
            [
                Window(
                    UTC,
                    first=first,
                    last=last,
                    exclude=True,
                    text="2026-01-01,2026-02-01..2026-02-03",
                )
                for first, last in (
                    (date(2026, 1, 1), date(2026, 1, 1)),
                    (date(2026, 2, 1), date(2026, 2, 3)),
                )
            ],
        ),
        (
            "{calendar: h}",
            [Window(UTC, calendar=Calendar("h", frozenset({date(2026, 12, 25), date(2026, 12, 26)})), text="h")],
        ),
    ],
)
def test_windows(window: str, expected: list[Window]) -> None:
    task = task_of(f"windows: [{window}]", "zone: utc\ncalendars: {h: 2026-12-25..2026-12-26}")
    assert list(task.windows) == expected


def test_a_windows_own_zone_wins_over_the_files() -> None:
    task = task_of("windows: [{zone: Pacific/Honolulu}, {}]", "zone: Europe/Berlin")
    assert [window.zone for window in task.windows] == [ZoneInfo("Pacific/Honolulu"), ZoneInfo("Europe/Berlin")]


def test_every_key_of_the_cluster_arrives() -> None:
    text = """
tasks: {t: {command: [x]}}
notify: {me: {command: [mail, me]}}
shutdown: {on_exit: kill, keep_for: 2h}
cluster:
  order: strict
  pending_max: 1
  rooms_max: 2
  backoff: 3s
  backoff_cap: 4s
  connect: 5s
  overtime: 6s
  ping: 7s
  silent: 8s
  lease: 9s
  margin: 10s
  resend: 11s
  local: {slots: 12, pending_max: 13, ping: 14s, silent: 15s, lease: 16s, margin: 17s, resend: 18s}
  hosts:
    - {name: "n[09-10]", slots: 19}
    - {name: spare, link: process}
"""
    configuration = load_text(text).configuration
    assert configuration.cluster == ClusterDefinition(
        hosts=(HostDefinition("n09", 19), HostDefinition("n10", 19), HostDefinition("spare", 1)),
        local_slots=12,
        order=Order.STRICT,
        pending_max=1,
        pending_local_max=13,
        rooms_max=2,
        backoff_ns=3 * SECOND,
        backoff_cap_ns=4 * SECOND,
        connect_ns=5 * SECOND,
        overtime_ns=6 * SECOND,
        times=ChannelTimes(7 * SECOND, 8 * SECOND, 9 * SECOND, 10 * SECOND, 11 * SECOND),
        local_times=ChannelTimes(14 * SECOND, 15 * SECOND, 16 * SECOND, 17 * SECOND, 18 * SECOND),
    )
    assert configuration.notifiers == (Notifier("me", ("mail", "me")),)
    assert configuration.on_exit is OnExit.KILL
    assert configuration.keep_for_ns == 2 * HOUR


def test_every_key_of_ssh_arrives_and_a_hosts_own_wins_over_the_defaults() -> None:
    text = """
tasks: {t: {command: [x]}}
cluster:
  defaults:
    link: ssh
    ssh: {user: obs, port: 2222, options: ProxyJump=gate, config: ssh.config}
    python: python3.12
    ship: false
    spool: /var/tmp/obs
    directory: /data
  hosts:
    - {name: "n[1-2]", slots: 3}
    - {name: far, ssh: {host: far.example.org, user: me, options: []}, python: python3, ship: true, spool: ~/x}
    - {name: short, ssh: you@gate}
    - {name: here, link: process}
"""
    cluster = load_text(text, Path("/etc/night.yaml")).configuration.cluster
    ssh = SshSettings("", "obs", 2222, ("ProxyJump=gate",), "/etc/ssh.config")
    rest = {"python": "python3.12", "ship": False, "spool": "/var/tmp/obs", "directory": "/data"}
    here, far, short = cluster.hosts[4], cluster.hosts[2], cluster.hosts[3]
    assert cluster.hosts[:2] == tuple(HostDefinition(name, 3, Link.SSH, ssh, **rest) for name in ("n1", "n2"))
    assert (far.ssh.host, far.ssh.user, far.ssh.port, far.ssh.options) == ("far.example.org", "me", 2222, ())
    assert (far.python, far.ship, far.spool, far.directory) == ("python3", True, "~/x", "/data")
    assert (short.ssh.host, short.ssh.user) == ("gate", "you")
    assert here == HostDefinition("here", directory="/data")
    assert cluster.added == HostDefinition("", 1, Link.SSH, ssh, **rest), "for hosts that people and scripts add"


def test_the_directory_is_that_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pipeline.yaml").write_text("tasks: {t: {command: [x]}}\n")
    monkeypatch.chdir(tmp_path)
    configuration = load(Path("pipeline.yaml")).configuration
    assert configuration.directory == str(tmp_path)
    assert configuration.path == str(tmp_path / "pipeline.yaml")


def test_places_can_be_asked_for_afterwards() -> None:
    loaded = load_text("tasks:\n  t:\n    command: [x]\n    host: {name: any}\n")
    assert loaded.locate(("tasks", "t", "host", "name")) == Spot(4, 18)
    assert loaded.locate(("cluster",)) is None


def test_a_loaded_configuration_cannot_be_changed() -> None:
    loaded = load_text("tasks: {t: {command: [x]}}\n")
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.warnings = ("x",)  # type: ignore[misc]
