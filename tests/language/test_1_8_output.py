"""echo, fprintf and output: what is printed, and where it goes.

Method: single commands by their words (`ordinary_world.py`). For the text of a job, echo into a file and a real shell's
echo into another are compared.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from model.scripting import MAIN_SESSION, Stream
from shell.language.buffers import BUFFER_MAX, Buffer
from shell.language.calls import Data, Failure
from tests.language.ordinary_world import HOME, World


def test_echo_joins_words_by_one_blank() -> None:
    world = World()
    assert world.call("echo", "n", "is", "4  5")
    assert world.out == "n is 4  5\n"


def test_echo_alone_prints_nothing() -> None:
    world = World()
    assert world.call("echo")
    assert world.out == ""


def test_no_return_leaves_the_line_open() -> None:
    world = World()
    assert world.call("echo", "-no-return", "a") and world.call("echo", "b", "-no-return") and world.call("echo", "c")
    assert world.out == "abc\n"


def test_fprintf_prints_a_line_in_a_format() -> None:
    world = World()
    assert world.call("fprintf", "%s has %5.1f%%", "it", "3.14")
    assert world.out == "it has   3.1%\n"
    with pytest.raises(Failure, match="fprintf: the format wants 1 values, there are 0"):
        world.call("fprintf", "%d")


def test_output_adds_answers_to_a_file_until_it_is_ended() -> None:
    world = World()
    world.files[f"{HOME}/report.txt"] = "before\n"
    assert world.call("output", "report.txt")
    assert world.call("echo", "kept")
    assert world.call("output", "stdout")
    assert world.call("echo", "shown")
    assert world.files[f"{HOME}/report.txt"] == "before\nkept\n" and world.out == "shown\n"


def test_output_err_is_about_error_lines_only() -> None:
    world = World()
    assert world.call("output", "-err", "bad.txt")
    world.shell["false"] = (1, "")
    world.call("list", "x", "-x", "false")
    assert world.call("echo", "shown")
    assert world.call("output", "-err", "stderr")
    world.call("list", "x", "-x", "false")
    line = "test.pro:7:3: list: status 1: false\n"
    assert (world.files[f"{HOME}/bad.txt"], world.errors, world.out) == (line, line, "shown\n")


def test_current_says_where_answers_go() -> None:
    world = World()
    world.call("output", "-current", "before")
    world.call("output", "report.txt")
    world.call("output", "-current", "now")
    world.call("output", "-err", "-current", "errors")
    assert [world.variables[name] for name in ("before", "now", "errors")] == ["stdout", f"{HOME}/report.txt", "stderr"]


def test_a_file_that_cannot_be_written_is_refused_at_once() -> None:
    world = World()
    world.locked.add(f"{HOME}/locked")
    with pytest.raises(Failure, match="output: /home/user/locked: Permission denied"):
        world.call("output", "locked")
    assert Stream.OUT not in world.language.output_of(MAIN_SESSION)


def test_each_prompt_has_its_own_output() -> None:
    world = World()
    world.call("output", "main.txt")
    world.enter(7)
    world.call("echo", "shown at the prompt")
    world.call("output", "prompt.txt")
    world.call("echo", "kept by the prompt")
    world.enter(MAIN_SESSION)
    world.call("echo", "kept by the script")
    assert world.out == "shown at the prompt\n"
    assert world.files == {f"{HOME}/main.txt": "kept by the script\n", f"{HOME}/prompt.txt": "kept by the prompt\n"}


@pytest.mark.parametrize("words", [["a", "b"], ["-err"], ["-current", "x", "y"]])
def test_output_wants_one_target(words: list[str]) -> None:
    with pytest.raises(Failure, match="USAGE: output"):
        World().call("output", *words)


def test_a_buffer_keeps_answers_until_they_are_dumped_to_a_file() -> None:
    world = World()
    assert world.call("output", "-buffer")
    world.call("output", "-current", "now")
    world.call("echo", "one")
    assert world.call("output", "-dump", "kept.txt")
    world.call("echo", "two")
    assert world.call("output", "-buffer") and world.call("output", "-dump", "kept.txt")
    assert world.call("output", "stdout")
    world.call("echo", "shown")
    assert (world.files[f"{HOME}/kept.txt"], world.out, world.variables["now"]) == ("one\ntwo\n", "shown\n", "buffer")
    with pytest.raises(Failure, match="there is no buffer to dump"):
        world.call("output", "-dump", "kept.txt")


def test_a_buffer_that_cannot_be_dumped_keeps_what_it_has() -> None:
    world = World()
    world.locked.add(f"{HOME}/locked")
    world.call("output", "-buffer")
    world.call("echo", "one")
    with pytest.raises(Failure, match="Permission denied"):
        world.call("output", "-dump", "locked")
    world.call("output", "-dump", "kept.txt")
    assert world.files[f"{HOME}/kept.txt"] == "one\n"


def test_a_full_buffer_drops_the_oldest_and_says_so() -> None:
    buffer = Buffer()
    for text in ("old\n", "x" * (BUFFER_MAX - 1), "\n"):
        buffer.add(text)
    assert buffer.take().startswith("[4 earlier characters had no room in the buffer]\nxxx")
    assert buffer.take() == ""


def test_exec_echo_and_echo_leave_the_same_text_of_a_job(tmp_path: Path) -> None:
    written = Data(
        "first line\n  'single' and \"double\" quotes; echo cut\n$(id) `id` $HOME {1+1} * #\nlast line without an end"
    )
    world = World(really_in=tmp_path)
    assert world.call("exec", "echo", written, ">>", "by_shell")
    assert world.call("output", "by_echo")
    assert world.call("echo", written)
    assert world.call("output", "stdout")
    assert (tmp_path / "by_echo").read_text() == (tmp_path / "by_shell").read_text() == written + "\n"


def test_the_lines_of_a_script_leave_the_same_text_of_a_job(tmp_path: Path) -> None:
    """Neither expansion nor the shell reads what a job wrote; what is round it is read."""
    written = "a 'b' \"c\"\n;echo cut\n$(id) $HOME {1+1} \\x ( \nend"
    world = World(really_in=tmp_path)
    world.variables |= {"stdout": Data(written), "n": 3}
    assert world.script(
        "$copy = $stdout\n"
        'exec echo $stdout >> by_shell; exec echo .$copy. {$n+1} "$n , $stdout" >> by_shell\n'
        "output by_echo\n"
        "echo $stdout\n"
        'echo .$copy. {$n+1} "$n , $stdout"\n'
        "output stdout\n"
    ), world.errors
    assert (tmp_path / "by_echo").read_text() == f"{written}\n.{written}. 4 3 , {written}\n"


def test_fprintf_and_echo_take_what_expansion_leaves_of_a_line() -> None:
    world = World()
    assert world.script('$x = 2.5\nfprintf "%05.2f of {2*$x}" $x\necho x:   $x  "a  b"\n')
    assert world.out == "02.50 of 5\nx: 2.5 a  b\n"
