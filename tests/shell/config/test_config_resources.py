"""Resources, labels, avoided hosts and host health in the file: what is taken, and what is an error with a way out.

Method: a good file of one task and two hosts, and one thing different in each case.
"""

from __future__ import annotations

import pytest

from model.configuration import Configuration
from model.health import HealthPolicy
from model.resources import GIBIBYTE, Needs, Place
from shell.config import InvalidConfiguration, load_text
from shell.config.resource_sections import amount

HOSTS = """\
cluster:
  resources: {licence_x: 10}
  hosts:
    - {name: small, slots: 4, resources: {cpus: 8, memory: 32GiB}, labels: [ssd]}
    - {name: big, slots: 16, resources: {cpus: 64, memory: 256GiB, gpus: 2}}
"""


def text_of(task: str, hosts: str = HOSTS) -> str:
    return f"{hosts}tasks:\n  t:\n    command: [x]\n    {task}\n"


def load(task: str, hosts: str = HOSTS) -> Configuration:
    return load_text(text_of(task, hosts)).configuration


def errors(task: str, hosts: str = HOSTS) -> str:
    with pytest.raises(InvalidConfiguration) as caught:
        load_text(text_of(task, hosts))
    return str(caught.value)


def warnings(task: str) -> str:
    return "\n".join(str(problem) for problem in load_text(text_of(task)).warnings)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("cpus", "2", 2000),
        ("cpus", "0.5", 500),
        ("memory", "1KiB", 1024),
        ("memory", "4GiB", 4 * GIBIBYTE),
        ("memory", "4G", 4 * GIBIBYTE),
        ("memory", "1.5gib", 3 * GIBIBYTE // 2),
        ("memory", "4GB", 4 * 10**9),
        ("memory", "100B", 100),
        ("gpus", "2", 2),
        ("licence_x", "12", 12),
    ],
)
def test_an_amount_is_a_whole_number_of_its_unit(name: str, text: str, expected: int) -> None:
    assert amount(name, text) == expected


@pytest.mark.parametrize(
    ("said", "place", "sentence"),
    [
        ("memory: 4", "4:37", "write 4GiB"),
        ("memory: 4GiX", "4:37", "no unit of memory"),
        ("cpus: 2GiB", "4:35", "without a unit"),
        ("cpus: 0.0001", "4:35", "three digits"),
        ("gpus: 1.5", "4:35", "a whole number"),
        ("gpus: -1", "4:35", "an amount"),
        ("gpus: 1e3", "4:35", "an amount"),
        ("gpus: 9999999999999999", "4:35", "an amount"),
        ("licence_x: 3", "4:40", "what all hosts share"),
        ('"a b": 3', "4:29", "is not a name"),
    ],
)
def test_a_wrong_amount_is_named_with_its_place(said: str, place: str, sentence: str) -> None:
    hosts = f"cluster:\n  resources: {{licence_x: 10}}\n  hosts:\n    - {{name: a, resources: {{{said}}}}}\n"
    found = errors("nice: 0", hosts)
    assert f"pipeline.yaml:{place}" in found, found
    assert sentence in found


def test_what_is_said_arrives() -> None:
    configuration = load("resources: {cpus: 1.5, memory: 2GiB, gpus: 0, licence_x: 1}")
    needs = Needs((("cpus", 1500), ("licence_x", 1), ("memory", 2 * GIBIBYTE)))
    assert configuration.tasks[0].needs == needs
    assert configuration.cluster.resources == (("licence_x", 10),)
    small, big = configuration.cluster.hosts
    assert small.resources == (("cpus", 8000), ("memory", 32 * GIBIBYTE))
    assert (small.labels, big.labels) == (("ssd",), ())


def test_a_tasks_resources_are_laid_over_those_of_the_defaults() -> None:
    defaults = f"{HOSTS}defaults: {{resources: {{cpus: 2, memory: 1GiB}}, needs: [ssd], place: pack}}\n"
    needs = load("resources: {cpus: 4}", defaults).tasks[0].needs
    assert needs == Needs((("cpus", 4000), ("memory", GIBIBYTE)), ("ssd",), (), Place.PACK)


def test_local_is_not_asked_for_what_the_defaults_say() -> None:
    defaults = f"{HOSTS}defaults: {{resources: {{cpus: 2}}}}\n"
    assert load("host: local", defaults).tasks[0].needs is None
    assert "local counts slots" in errors("host: local\n    resources: {cpus: 1}")


def test_nothing_said_is_no_needs() -> None:
    assert load("nice: 1").tasks[0].needs is None


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        ("resources: {gpus: 3}", "no host has what a job needs: 3 gpus; the nearest, big, has 2 gpus"),
        ("resources: {memory: 64GiB}\n    needs: [ssd]", "the nearest, big, has no label ssd"),
        ("needs: [sdd]", "has no label sdd"),
        ("resources: {gpu: 1}", "no host has gpu, did you mean gpus?"),
        ("resources: {tape: 1}", "no host has tape; declare it"),
        ("resources: {licence_x: 11}", "a job takes 11 licence_x, but the cluster has 10"),
        ("host: {avoid: [small, big]}", "is to be avoided"),
        ("host: {name: big, required: true, avoid: big}", "required and avoided at once"),
        ("host: {name: small, required: true}\n    resources: {gpus: 1}", "its host small has 0 gpus"),
        ("host: {avoid: 'node[1-'}", "tasks.t.host.avoid"),
    ],
)
def test_a_job_that_no_host_could_take_is_an_error(task: str, sentence: str) -> None:
    assert sentence in errors(task)


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        ("host: small\n    resources: {gpus: 1}", "it never runs on its preferred host small, which has 0 gpus"),
        ("host: {avoid: smal}", "host smal is not defined, did you mean small?"),
    ],
)
def test_what_will_do_but_was_hardly_meant_is_a_warning(task: str, sentence: str) -> None:
    assert sentence in warnings(task)


def test_a_name_close_to_a_built_in_one_is_asked_about() -> None:
    loaded = load_text(text_of("nice: 0", "cluster: {hosts: [{name: a, resources: {cpu: 2}}]}\n"))
    assert "did you mean cpus?" in str(loaded.warnings[0])


def test_the_cluster_shares_counters_only() -> None:
    assert "cpus belong to hosts" in errors("nice: 0", "cluster: {resources: {cpus: 3}, hosts: [{name: a}]}\n")


def test_health_is_on_by_default_and_can_be_off() -> None:
    assert load("nice: 0").cluster.health == HealthPolicy()
    hosts = "cluster: {hosts: [{name: a}], health: off}\n"
    assert load("nice: 0", hosts).cluster.health.failures == 0
    hosts = "cluster: {hosts: [{name: a}], health: {failures: 7, tasks: 2, pause: 1m}}\n"
    assert load("nice: 0", hosts).cluster.health == HealthPolicy(7, 2, pause_ns=60 * 10**9)
    assert "cluster.health" in errors("nice: 0", "cluster: {hosts: [{name: a}], health: on}\n")
