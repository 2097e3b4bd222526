"""Lists: making them from words, lines, files and patterns, changing and joining them.

Method: single commands by their words (`ordinary_world.py`). A list is the variables NAME:0 ... NAME:k-1 and NAME:n.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from shell.language.calls import Data, Failure, Mixed
from shell.language.commands.lists import element_name
from tests.language.ordinary_world import World


def test_split_makes_an_element_of_each_word() -> None:
    world = World()
    assert world.call("list", "w", "-split", "a", "b c", "  d ")
    assert world.list("w") == ["a", "b", "c", "d"]


def test_split_of_nothing_is_an_empty_list() -> None:
    world = World()
    world.call("list", "w", "-split", "old", "words")
    assert world.call("list", "w", "-split")
    assert world.variables["w:n"] == 0 and "w:0" not in world.variables and "w:1" not in world.variables


def test_split_cuts_what_a_job_wrote_into_ordinary_words() -> None:
    world = World()
    assert world.call("list", "w", "-split", Data("vsz\n 1234\n"))
    assert world.list("w") == ["vsz", "1234"]
    assert not any(isinstance(world.variables[name], Data) for name in ("w:0", "w:1"))


def test_a_shorter_list_leaves_nothing_of_the_longer_one() -> None:
    world = World()
    world.call("list", "w", "-split", "a", "b", "c", "d")
    world.call("list", "w", "-split", "e")
    assert sorted(name for name in world.variables if name.startswith("w:")) == ["w:0", "w:n"]


@pytest.mark.parametrize(
    ("characters", "words", "elements"),
    [
        (",", ["a,b,c"], ["a", "b", "c"]),
        (",", ["a,", "b,", "c"], ["a", "b", "c"]),
        (",", ["a,,c"], ["a", "", "c"]),
        (",;", ["a,b;c"], ["a", "b", "c"]),
        (":", ["no separator"], ["no separator"]),
        (",", [], []),
    ],
)
def test_splitbychar_cuts_at_characters_and_keeps_empty_columns(
    characters: str, words: list[str], elements: list[str]
) -> None:
    world = World()
    assert world.call("list", "w", "-splitbychar", characters, *words)
    assert world.list("w") == elements


def test_add_makes_or_lengthens_a_list() -> None:
    world = World()
    assert world.call("list", "shelf", "-add", "one")
    assert world.call("list", "shelf", "-add", "two", "three")
    assert world.list("shelf") == ["one", "two", "three"]


def test_del_takes_the_first_match_and_closes_the_gap() -> None:
    world = World()
    world.call("list", "shelf", "-split", "a", "b", "a", "c")
    assert world.call("list", "shelf", "-del", "a")
    assert world.list("shelf") == ["b", "a", "c"] and "shelf:3" not in world.variables
    with pytest.raises(Failure, match="list shelf has no element z"):
        world.call("list", "shelf", "-del", "z")
    with pytest.raises(Failure, match="list nothing not found"):
        world.call("list", "nothing", "-del", "z")


def test_copy_makes_a_list_of_its_own() -> None:
    world = World()
    world.call("list", "old", "-split", "a", "b")
    assert world.call("list", "new", "-copy", "old")
    world.call("list", "old", "-add", "c")
    assert world.list("new") == ["a", "b"]


def test_join_makes_one_text_from_an_element_on() -> None:
    world = World()
    world.call("list", "w", "-split", "a", "b", "c")
    assert world.call("list", "w", "-join", "all")
    assert world.call("list", "w", "-join", "rest", "-start", "1")
    assert world.call("list", "w", "-join", "none", "-start", "7")
    assert [world.variables[name] for name in ("all", "rest", "none")] == ["a b c", "b c", ""]


def test_the_old_limit_of_1024_characters_of_a_joined_list_is_gone() -> None:
    world = World()
    world.call("list", "w", "-split", *["word"] * 1000)
    world.call("list", "w", "-join", "all")
    assert len(world.variables["all"]) == 4999


def test_a_list_that_says_more_elements_than_it_has_is_named() -> None:
    world = World()
    world.call("list", "w", "-split", "a")
    world.variables["w:n"] = "123456789"
    with pytest.raises(Failure, match="list w has no element 1, though w:n is 123456789"):
        world.call("list", "w", "-join", "all")


@pytest.mark.parametrize("form", ["-x", "-exec"])
def test_the_lines_that_a_command_prints_are_elements(form: str) -> None:
    world = World()
    world.shell["ls -1 /tmp"] = (0, "a b\n\nc\n")
    assert world.call("list", "rows", form, "ls -1 /tmp")
    assert world.list("rows") == ["a b", "", "c"] and world.variables["EXECSTATUS"] == 0
    assert world.executed[0].capture


def test_what_a_job_wrote_is_not_read_by_the_shell(tmp_path: Path) -> None:
    world = World(really_in=tmp_path)
    assert world.call("list", "rows", "-x", Mixed(["printf '%s' ", Data("a; echo b\n$(echo c)")]))
    assert world.list("rows") == ["a; echo b", "$(echo c)"]


def test_a_command_that_fails_is_a_warning_and_its_lines_are_the_list() -> None:
    world = World()
    world.shell["grep x f"] = (1, "")
    assert world.call("list", "rows", "-x", "grep x f")
    assert world.list("rows") == [] and world.variables["EXECSTATUS"] == 1
    assert world.errors == "test.pro:7:3: list: status 1: grep x f\n"


def test_a_command_that_cannot_be_run_fails() -> None:
    with pytest.raises(Failure, match="there is no shell"):
        World().call("list", "rows", "-x", "anything")


def test_a_line_without_quotes_is_not_guessed_at() -> None:
    with pytest.raises(Failure, match="wants one line for the shell"):
        World().call("list", "rows", "-x", "ls", "/tmp")


def test_the_lines_of_a_file_are_elements() -> None:
    world = World()
    world.files["/home/user/hosts.dat"] = "node1 4\nnode2 8"
    assert world.call("list", "hosts", "-file", "hosts.dat")
    assert world.list("hosts") == ["node1 4", "node2 8"]
    with pytest.raises(Failure, match="/home/user/none: No such file"):
        world.call("list", "hosts", "-file", "none")


def test_a_pattern_gives_paths_as_it_was_written() -> None:
    world = World()
    world.files = dict.fromkeys(["/home/user/data/b.fits", "/home/user/data/a.fits", "/home/user/data/c.txt"], "")
    assert world.call("list", "found", "-glob", "data/*.fits")
    assert world.list("found") == ["data/a.fits", "data/b.fits"]
    assert world.call("list", "found", "-glob", "./data/c*")
    assert world.list("found") == ["data/c.txt"]
    assert world.call("list", "found", "-glob", "/home/user/data/c*")
    assert world.list("found") == ["/home/user/data/c.txt"]
    assert world.call("list", "found", "-glob", "~/data/c*")
    assert world.list("found") == ["/home/user/data/c.txt"]
    assert world.call("list", "found", "-glob", "nothing*")
    assert world.list("found") == []


def test_excel_names_elements_as_columns() -> None:
    assert [element_name(number, excel=True) for number in (0, 25, 26, 51, 52, 701, 702)] == [
        "A",
        "Z",
        "AA",
        "AZ",
        "BA",
        "ZZ",
        "AAA",
    ]
    world = World()
    assert world.call("list", "c", "-split", "x", "y", "z", "-excel")
    assert [world.variables[f"c:{letter}"] for letter in "ABC"] == ["x", "y", "z"] and "c:0" not in world.variables
    assert world.call("list", "c", "-del", "y", "-excel")
    assert (world.variables["c:B"], world.variables["c:n"], "c:C" in world.variables) == ("z", 2, False)


@pytest.mark.parametrize("form", ["-vectors", "-buffers"])
def test_vectors_and_buffers_are_refused_with_a_sentence(form: str) -> None:
    with pytest.raises(Failure, match="there are no vectors"):
        World().call("list", "x", form)


def test_an_unknown_form_is_refused_with_those_there_are() -> None:
    with pytest.raises(Failure, match="unknown form -append") as failure:
        World().call("list", "x", "-append", "y")
    assert "-add" in failure.value.hint


@pytest.mark.timeout(30)
def test_a_number_of_elements_that_is_far_too_large_costs_no_time() -> None:
    world = World()
    world.variables["w:n"] = "999999999"
    assert world.call("list", "w", "-split", "a")
    assert world.list("w") == ["a"]


def test_a_script_walks_through_a_list_and_changes_it() -> None:
    world = World()
    world.shell["ps -p 77 -o vsz"] = (0, "   VSZ\n 12345\n")
    assert world.script(
        "$PID = 77\n"
        'list mem -x "ps -p $PID -o vsz"\n'
        "list words -split $mem:1 and more\n"
        "list words -add $mem:n\n"
        "for i 0 $words:n\n"
        "  echo $words:$i\n"
        "end\n"
    ), world.errors
    assert world.out == "12345\nand\nmore\n2\n"
