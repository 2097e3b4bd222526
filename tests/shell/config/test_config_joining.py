"""Goal: where a server listens and who may join is what the file says, and what makes no sense is an error of the file.

Method: files in, definitions or the lines of errors out.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from model.configuration import HostDefinition, JoinSettings, Link, ListenSettings
from shell.config import load, load_text
from tests.shell.config.test_config_errors import only_error

TASK = "tasks: {a: {command: [x]}}\n"
LISTEN = "listen: {address: 0.0.0.0}"


def test_a_port_is_opened_only_where_the_file_says_so() -> None:
    cluster = load_text(TASK, Path("/data/pipeline.yaml")).configuration.cluster
    assert (cluster.listen, cluster.join) == (None, None)


def test_what_is_not_said_has_a_default() -> None:
    text = f"{TASK}cluster: {{{LISTEN}, join: {{names: 'g[1-3]', slots_max: 9}}, hosts: [{{name: n1, link: tls}}]}}\n"
    cluster = load_text(text, Path("/data/pipeline.yaml")).configuration.cluster
    assert cluster.listen == ListenSettings("0.0.0.0", 7433, "/data/tls")
    assert cluster.join == JoinSettings(("g1", "g2", "g3"), 3, 9)
    assert cluster.hosts == (HostDefinition("n1", 1, Link.TLS),)


def test_hosts_that_join_may_have_what_the_file_says() -> None:
    join = "join: {names: 'g[1-3]', slots_max: 9, resources: {gpus: 6, memory: 64GiB}, labels: ssd}"
    task = "tasks: {a: {command: [x], resources: {gpus: 2}, needs: [ssd]}}\n"
    hosts = "hosts: [{name: n1, link: tls, resources: {cpus: 4}}]"
    loaded = load_text(f"{task}cluster: {{{LISTEN}, {join}, {hosts}}}\n")
    assert not loaded.warnings
    cluster = loaded.configuration.cluster
    assert cluster.join is not None
    assert (cluster.join.resources, cluster.join.labels) == ((("gpus", 6), ("memory", 64 << 30)), ("ssd",))


def test_a_folder_of_certificates_may_be_anywhere() -> None:
    text = f"{TASK}cluster: {{listen: {{address: '::1', port: 99, certificates: /etc/laulima}}}}\n"
    assert load_text(text).configuration.cluster.listen == ListenSettings("::1", 99, "/etc/laulima")


@pytest.mark.parametrize("host", ["any", "{name: g2, required: true}"])
def test_a_task_may_want_a_host_that_joins(host: str) -> None:
    cluster = f"cluster: {{{LISTEN}, join: {{names: 'g[1-3]', slots_max: 9}}}}\n"
    loaded = load_text(f"tasks: {{a: {{command: [x], host: {host}}}}}\n{cluster}")
    assert not loaded.warnings
    by_default = load_text(f"{TASK}{cluster}").configuration.tasks[0].host
    assert by_default.name is None, "hosts that may join are hosts, so it does not run here"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("cluster: {hosts: [{name: n1, link: tls}]}\n", "cluster.hosts[0].link", "say cluster.listen"),
        ("cluster: {join: {names: g1, slots_max: 1}}\n", "cluster.join", "say cluster.listen"),
        ("cluster: {listen: {address: here.example.org}}\n", "cluster.listen.address", "an address of this machine"),
        ("cluster: {listen: {address: 0.0.0.0, port: 0}}\n", "cluster.listen.port", "65535"),
        (f"cluster: {{{LISTEN}, join: {{names: 'g[1-', slots_max: 1}}}}\n", "cluster.join.names", "not closed"),
        (f"cluster: {{{LISTEN}, join: {{names: g1}}}}\n", "cluster.join.slots_max", "is missing"),
        (
            f"cluster: {{{LISTEN}, join: {{names: g1, slots_max: 1, resources: {{memory: 4}}}}}}\n",
            "cluster.join.resources.memory",
            "without a unit",
        ),
        (
            f"cluster: {{{LISTEN}, resources: {{t: 1}}, join: {{names: g1, slots_max: 1, resources: {{t: 1}}}}}}\n",
            "cluster.join.resources.t",
            "is what all hosts share",
        ),
        (
            f"cluster: {{{LISTEN}, join: {{names: g1, slots_max: 1}}}}\ndefaults: {{resources: {{gpus: 1}}}}\n",
            "defaults.resources",
            "no host has gpus",
        ),
    ],
)
def test_what_makes_no_sense_is_an_error(text: str, place: str, words: str) -> None:
    line = only_error(TASK + text)
    assert place in line
    assert words in line


def test_the_shipped_example_is_right() -> None:
    loaded = load(Path(__file__).parents[3] / "configs" / "tls.yaml")
    assert not loaded.warnings
    cluster = loaded.configuration.cluster
    assert cluster.join is not None
    assert (len(cluster.join.names), cluster.join.hosts_max) == (64, 32)
