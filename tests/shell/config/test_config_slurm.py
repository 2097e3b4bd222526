"""Goal: what a file says of a host under Slurm is what its program is told, and what makes no sense is an error.

Method: files in, definitions or the lines of errors out.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from model.configuration import BatchSettings, HostDefinition, Link, times_of
from model.job import SECOND
from shell.config import load, load_text
from tests.shell.config.test_config_errors import only_error

TASK = "tasks: {a: {command: [x]}}\n"
HOUR = 3600 * SECOND


def host(text: str, defaults: str = "{}") -> HostDefinition:
    """The one host of a cluster."""
    loaded = load_text(
        f"{TASK}cluster: {{defaults: {defaults}, hosts: [{{name: big, link: slurm, slots: 500, {text}}}]}}\n"
    )
    [found] = loaded.configuration.cluster.hosts
    return found


def test_a_host_under_slurm_has_what_its_file_says() -> None:
    found = host(
        "python: /usr/bin/python3, spool: /shared, directory: /data,"
        " slurm: {options: [--partition=night, --exclusive], poll: 10s, window: 1s, array_max: 50, lease: 48h}"
    )
    settings = BatchSettings(("--partition=night", "--exclusive"), 10 * SECOND, SECOND, 50, 48 * HOUR)
    expected = HostDefinition(
        "big", 500, Link.SLURM, python="/usr/bin/python3", spool="/shared", directory="/data", batch=settings
    )
    assert found == expected


def test_without_a_word_jobs_there_live_for_a_day_without_a_server() -> None:
    found = host("")
    assert found.batch == BatchSettings()
    times = load_text(TASK).configuration.cluster.times
    assert times_of(found, times).lease_ns == 24 * HOUR
    assert times_of(HostDefinition("other"), times) == times


def test_what_is_said_of_all_hosts_under_slurm_holds_for_each() -> None:
    found = host("slurm: {poll: 2s}", "{link: slurm, spool: /shared, slurm: {poll: 9s, options: --qos=long}}")
    assert (found.spool, found.batch.poll_ns, found.batch.options) == ("/shared", 2 * SECOND, ("--qos=long",))


def test_the_disk_of_ssh_hosts_is_not_taken_for_the_shared_one() -> None:
    assert host("", "{link: ssh, spool: /var/tmp/own, directory: /data}").spool == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("slurm: {options: [-p night]}", "expects a long option of sbatch"),
        ("slurm: {options: [night]}", "expects a long option of sbatch"),
        ("slurm: {options: [--array=0-9]}", "--array is said by laulima itself"),
        ("slurm: {options: [--wrap=rm]}", "--wrap is said by laulima itself"),
        ("slurm: {options: ['--job-name=mine']}", "--job-name is said by laulima itself"),
        ("slurm: {lease: 1s}", "expects at least 1m"),
        ("slurm: {array_max: 0}", "expects a whole number from 1"),
        ("slurm: {pol: 1s}", "did you mean poll"),
        ("ship: true", "ship belongs to a host with link: ssh"),
        ("spool: relative", "expects an absolute path"),
    ],
)
def test_what_makes_no_sense_is_an_error(text: str, words: str) -> None:
    assert words in only_error(f"{TASK}cluster: {{hosts: [{{name: big, link: slurm, {text}}}]}}\n")


def test_the_keys_of_slurm_belong_to_hosts_under_slurm() -> None:
    sentence = only_error(f"{TASK}cluster: {{hosts: [{{name: a, slurm: {{poll: 1s}}}}]}}\n")
    assert "slurm belongs to a host with link: slurm" in sentence
    assert "link: ssh or slurm" in only_error(f"{TASK}cluster: {{hosts: [{{name: a, spool: /b}}]}}\n")


def test_the_example_is_right() -> None:
    loaded = load(Path(__file__).parents[3] / "configs" / "slurm.yaml")
    assert [(one.name, one.link) for one in loaded.configuration.cluster.hosts] == [("big", Link.SLURM)]
