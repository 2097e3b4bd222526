"""Goal: a pipeline says which controller it uses, and a controller's file on what terms it is used; what cannot be
meant is an error that names the place.

Method: whole files as text, through the loader.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from model.configuration import Configuration, ControllerKind, ControllerPlace
from model.errors import ConfigurationError
from model.job import LOCAL
from model.sharing import Terms
from shell.config import load_text
from shell.config.problems import InvalidConfiguration
from shell.prepared import Asked, prepare

TASK = "tasks: {a: {command: [x]}}\n"


def loaded(text: str, path: str = "/srv/pipes/night.yaml") -> Configuration:
    return load_text(text, Path(path)).configuration


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ("", ControllerPlace()),
        ("controller: embedded\n", ControllerPlace()),
        ("controller: spawn\n", ControllerPlace(ControllerKind.SPAWN)),
        (
            "controller: {socket: ../run/c.sock}\n",
            ControllerPlace(ControllerKind.SOCKET, "/srv/run/c.sock", "night"),
        ),
        (
            "controller: {socket: /run/laulima, name: n-1}\n",
            ControllerPlace(ControllerKind.SOCKET, "/run/laulima/schedulers.sock", "n-1"),
        ),
    ],
)
def test_where_the_controller_is(said: str, place: ControllerPlace) -> None:
    assert loaded(said + TASK).controller == place


def test_a_name_that_no_scheduler_may_have_is_made_one() -> None:
    assert loaded("controller: {socket: a}\n" + TASK, "/p/Nächte 2.yaml").controller.name == "N_chte_2"


def test_with_a_shared_controller_jobs_go_to_its_hosts_and_any_host_may_be_meant() -> None:
    text = "controller: {socket: a}\ntasks: {a: {command: [x]}, b: {command: [x], host: {name: n7, required: true}}}\n"
    configuration = loaded(text)
    assert [task.host.name for task in configuration.tasks] == [None, "n7"]
    assert loaded(TASK).tasks[0].host.name == LOCAL


def test_terms_of_schedulers() -> None:
    text = """
cluster:
  pending_max: 50
  hosts: [{name: n1}]
  schedulers:
    night: {share: 3}
    tests: {in_flight_max: 2, pending_max: 7}
"""
    cluster = loaded(text).cluster
    assert cluster.terms_of("night") == Terms(3, 50, 0)
    assert cluster.terms_of("tests") == Terms(1, 7, 2)
    assert cluster.terms_of("anybody") == Terms(1, 50, 0)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("controller: spwan\n" + TASK, "1:13   controller ", "did you mean spawn?"),
        ("controller: {name: x}\n" + TASK, "controller.socket ", "is missing"),
        ("controller: {socket: a, name: a/b}\n" + TASK, "1:31   controller.name ", "cannot be the name of a scheduler"),
        ("controller: {socket: a}\ncluster: {hosts: [{name: n1}]}\n" + TASK, "cluster.hosts ", "in its own file"),
        ("controller: {socket: a}\ncluster: {order: strict}\n" + TASK, "cluster.order ", "for all its schedulers"),
        ("controller: {socket: a}\ncluster: {health: {failures: 3}}\n" + TASK, "cluster.health ", "in its own file"),
        ("controller: {socket: a}\ncluster: {schedulers: {n: {}}}\n" + TASK, "cluster.schedulers ", "in its own file"),
        ("cluster: {schedulers: {n: {share: 0}}}\n" + TASK, "cluster.schedulers.n.share ", "from 1 to 1000"),
        ("cluster: {schedulers: {a/b: {}}}\n" + TASK, "cluster.schedulers", "cannot be the name of a scheduler"),
    ],
)
def test_what_cannot_be_meant(text: str, place: str, words: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        loaded(text)
    assert place in str(caught.value) and words in str(caught.value), str(caught.value)


def test_a_rehearsal_does_not_know_the_hosts_of_others(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("controller: {socket: a}\n" + TASK)
    with pytest.raises(ConfigurationError, match="hosts of this pipeline are those of a shared controller"):
        prepare(Asked(file))


@pytest.mark.parametrize("name", ["shared.yaml", "shared-cluster.yaml"])
def test_the_examples_are_right(name: str) -> None:
    file = Path(__file__).parents[3] / "configs" / name
    configuration = load_text(file.read_text(), file).configuration
    assert bool(configuration.tasks) != bool(configuration.cluster.hosts)
