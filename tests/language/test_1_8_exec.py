"""exec: shell lines made of words, how they may end, and that text of a job stays text on its way through the shell.

Method: single commands by their words (`ordinary_world.py`); where the shell's own reading is the point, a real `sh`
runs them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.job import SECOND
from shell.language.calls import Data, Failure, Mixed
from shell.language.commands.shell_lines import shell_line
from tests.language.ordinary_world import HOME, World

AWKWARD = "one line\n  two 'single' \"double\"\n; rm -rf $HOME $(id) `id` {1+1} \\$x #\n*\n"


def test_words_are_joined_by_one_blank_and_run_where_the_session_is() -> None:
    world = World()
    world.shell["touch a b >> log"] = (0, "")
    assert world.call("exec", "touch", "a", "b", ">>", "log")
    (effect,) = world.executed
    assert (effect.directory, effect.timeout_ns, effect.capture) == (HOME, 0, False)


@pytest.mark.parametrize(("status", "sentence"), [(3, "exec: status 3: false"), (-9, "exec: ended by signal 9: false")])
def test_only_status_0_is_success(status: int, sentence: str) -> None:
    world = World()
    world.shell["false"] = (status, "")
    with pytest.raises(Failure) as failure:
        world.call("exec", "false")
    assert str(failure.value) == sentence


def test_a_line_that_cannot_be_run_says_why() -> None:
    with pytest.raises(Failure, match="exec: there is no shell: anything"):
        World().call("exec", "anything")


def test_a_line_that_takes_too_long_is_told_of_with_its_limit() -> None:
    world = World()
    world.slow.add("sleep 100")
    with pytest.raises(Failure, match=r"exec: not done within 0\.5 s and ended: sleep 100"):
        world.call("exec", "-timeout", "0.5", "sleep", "100")
    assert world.executed[0].timeout_ns == SECOND // 2


def test_behind_the_command_timeout_is_its_own_word() -> None:
    world = World()
    world.shell["fetch -timeout 5"] = (0, "")
    assert world.call("exec", "fetch", "-timeout", "5")
    assert world.executed[0].timeout_ns == 0


@pytest.mark.parametrize(
    "words",
    [["-timeout"], ["-timeout", "5"], ["-timeout", "soon", "ls"], ["-timeout", "nan", "ls"], ["-timeout", "-1", "ls"]],
)
def test_a_limit_must_be_seconds_and_a_line_must_follow(words: list[str]) -> None:
    with pytest.raises(Failure, match=r"USAGE: exec|-timeout wants seconds"):
        World().call("exec", *words)


def test_a_long_line_is_shortened_in_its_error() -> None:
    world = World()
    line = "x" * 5000
    world.shell[line] = (1, "")
    with pytest.raises(Failure) as failure:
        world.call("exec", line)
    assert len(str(failure.value)) < 300


def test_what_a_job_wrote_is_not_read_by_the_shell(tmp_path: Path) -> None:
    world = World(really_in=tmp_path)
    assert world.call("exec", "printf", "%s", Data(AWKWARD), ">", "seen")
    assert (tmp_path / "seen").read_text() == AWKWARD


def test_what_a_job_wrote_is_not_read_by_the_shell_inside_a_longer_word(tmp_path: Path) -> None:
    world = World(really_in=tmp_path)
    assert world.call("exec", Mixed(["echo before_", Data(AWKWARD), "_after $((1+2)) > seen"]))
    assert (tmp_path / "seen").read_text() == f"before_{AWKWARD}_after 3\n"


def test_other_variables_are_read_by_the_shell_as_ever(tmp_path: Path) -> None:
    world = World(really_in=tmp_path)
    assert world.call("exec", "echo $((1+2)); echo more", ">> seen")
    assert world.call("exec", "(echo a; echo b)", ">", "both")
    assert (tmp_path / "both").read_text() == "a\nb\n"


@settings(max_examples=200)
@given(st.text(st.characters(exclude_characters="\0", codec="utf-8")))
def test_any_data_is_one_word_of_the_line(written: str) -> None:
    import shlex

    assert shlex.split(shell_line(["echo", Data(written), "end"])) == ["echo", written, "end"]
