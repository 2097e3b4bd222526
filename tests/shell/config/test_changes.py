"""Goal: `--set` changes what it says and nothing else, is checked like the file, and its errors name it and a way out.

Method: one pipeline with a set of hosts, a change in each case.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from model.configuration import Order
from model.errors import ConfigurationError
from model.events import HostVerb
from model.job import SECOND
from shell.config.changes import load_changed

PIPELINE = """\
cluster:
  hosts:
    - {name: "node[1-4]", slots: 2, labels: [ssd]}
tasks:
  warp:
    command: [warp]
    host: {name: node3, required: true}
  warp.b:
    command: [warp, b]
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "pipeline.yaml"
    path.write_text(PIPELINE)
    return path


def test_any_key_of_the_file(pipeline: Path) -> None:
    changes = ("tasks.warp.limits.in_flight=80", "cluster.order=strict", "tasks.warp.command=[sleep, '3']")
    made = load_changed(pipeline, (*changes, "defaults.periods={exec: 1m}")).loaded.configuration
    assert made.tasks[0].limits.in_flight == 80
    assert made.cluster.order is Order.STRICT
    assert made.tasks[0].command == ("sleep", "3")
    assert made.tasks[1].periods.exec_ns == 60 * SECOND


def test_a_task_whose_name_has_a_dot(pipeline: Path) -> None:
    made = load_changed(pipeline, ("tasks.warp.b.slots=2",)).loaded.configuration
    assert [task.slots for task in made.tasks] == [1, 2]


def test_one_host_of_a_set_keeps_its_place_and_its_other_keys(pipeline: Path) -> None:
    made = load_changed(pipeline, ("hosts.node2.slots=5",)).loaded.configuration
    assert [(host.name, host.slots) for host in made.cluster.hosts] == [
        ("node1", 2), ("node2", 5), ("node3", 2), ("node4", 2),
    ]  # fmt: skip
    assert made.cluster.hosts[1].labels == ("ssd",)


def test_a_host_is_switched_off_from_the_beginning(pipeline: Path) -> None:
    changed = load_changed(pipeline, ("hosts.node3=off",))
    (ordered,) = changed.orders
    assert ordered.host is not None
    assert (ordered.at_ns, ordered.host.verb, ordered.host.host) == (0, HostVerb.OFF, "node3")
    assert len(changed.loaded.configuration.cluster.hosts) == 4


def test_the_digest_tells_changed_ones_apart(pipeline: Path) -> None:
    digests = {
        load_changed(pipeline, changes).loaded.configuration.digest
        for changes in ((), ("cluster.order=strict",), ("cluster.order=fill",))
    }
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("hosts.node9=off", "there is no host node9, did you mean node4?"),
        ("hosts.node3=on", "expects off or drain, or a key of the host: hosts.node3.slots=4"),
        ("tasks.wrap.slots=3", "there is no task wrap, did you mean warp?"),
        ("tasks.warp.limits.in_flght=3", "unknown key, did you mean in_flight?"),
        ("tasks.warp.slots=many", 'expects a whole number, not "many"'),
        ("tasks.warp.slots.more=1", "expects a whole number, not keys with values"),
        ("tasks.warp.command=[a, b", '"[a, b" is not a value'),
        ("order", "expects KEY=VALUE"),
        ("=3", "expects KEY=VALUE"),
    ],
)
def test_a_wrong_change_is_named(pipeline: Path, change: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_changed(pipeline, (change,))
    assert said in str(caught.value)
    assert "--set" in str(caught.value)


def test_a_file_that_is_wrong_by_itself_is_not_blamed_on_the_change(pipeline: Path) -> None:
    pipeline.write_text(PIPELINE + "    slots: x\n")
    with pytest.raises(ConfigurationError) as caught:
        load_changed(pipeline, ("cluster.order=strict",))
    assert "--set" not in str(caught.value)
    assert f"{pipeline}:10" in str(caught.value)
