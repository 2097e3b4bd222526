"""Goal: the manual page says what the commands are, and can be read; the unit file is one that systemd and the command
line take.

Method: the page in docs/ is compared with the one that is made of the table; man's own formatter and systemd's own
checker read them where they are installed.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from docs.manual import PAGE
from shell.commands.learn import EXIT_CODES
from shell.main import command
from shell.manual_page import manual_page
from shell.verbs import BY_NAME, VERBS, parameters
from tests.shell.stub import Ran

UNIT = Path(__file__).parents[2] / "docs" / "laulima.service"
LIMIT = 120.0
"""Seconds that another program may take on a loaded machine."""


def rendered() -> str:
    made = subprocess.run(
        ["groff", "-man", "-Tascii", "-ww", "-P-cbou", str(PAGE)], capture_output=True, timeout=LIMIT, check=True
    )
    assert made.stderr == b""
    return made.stdout.decode()


def test_the_page_in_docs_is_the_one_of_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == manual_page(), "run `make docs`"


def test_the_command_prints_it(laulima: Callable[..., Ran]) -> None:
    ran = laulima("docs", "--man")
    assert (ran.code, ran.out, ran.err) == (0, manual_page(), "")


def test_no_word_of_it_is_taken_for_a_request() -> None:
    known = {".TH", ".SH", ".SS", ".PP", ".TP", ".nf", ".fi", ".in"}
    lines = manual_page().splitlines()
    assert {line.split()[0] for line in lines if line.startswith((".", "'"))} == known


@pytest.mark.needs("groff", "groff-base")
def test_it_can_be_read_and_has_every_command_and_option() -> None:
    words = " ".join(rendered().replace("-\n", "-").split())
    flat = words.replace(" ", "")
    for verb in VERBS:
        assert f"{verb.name} laulima {verb.name} " in words
        assert verb.example.replace(" ", "") in flat
        for parameter in parameters(verb):
            assert all(flag in words for flag in parameter.flags), (verb.name, parameter.name)
    assert " ".join(EXIT_CODES.split()) in words


# the unit file


def settings() -> dict[str, str]:
    lines = [line for line in UNIT.read_text(encoding="utf-8").splitlines() if "=" in line and line[0] != "#"]
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize(("key", "name"), [("ExecStart", "run"), ("ExecReload", "reload")])
def test_the_commands_of_the_unit_exist(key: str, name: str) -> None:
    program, verb, *words = shlex.split(settings()[key])
    assert program.startswith("/")
    assert verb == name
    found = command(BY_NAME[verb]).make_context(verb, words).params
    assert found["state"] == settings()["WorkingDirectory"] + "/.laulima"
    assert not found.get("detach")


def test_a_restart_leaves_keepers_agents_and_jobs_alone() -> None:
    found = settings()
    assert (found["Type"], found["KillMode"], found["OOMPolicy"]) == ("notify", "process", "continue")
    assert "KillSignal" not in found


@pytest.mark.needs("systemd-analyze", "systemd")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "night.service"
    text = UNIT.read_text(encoding="utf-8").replace("/opt/laulima/bin/laulima", "/bin/true")
    unit.write_text(text.replace("User=pipeline", "User=daemon").replace("/srv/night\n", "/\n"), encoding="utf-8")
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=LIMIT, check=False
    )
    ours = [line for line in said.stderr.splitlines() if "night.service" in line]
    assert ours == []
