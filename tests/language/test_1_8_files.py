"""Files and folders: whether they are there, what is known of them, making folders, going to them, reading lines.

Method: single commands by their words against a file system of a dictionary (`ordinary_world.py`).
"""

from __future__ import annotations

import pytest

from shell.language.calls import Failure
from tests.language.ordinary_world import HOME, World


@pytest.fixture
def world() -> World:
    world = World()
    world.files[f"{HOME}/flag"] = "one\ntwo\nthree\n"
    return world


def test_file_says_whether_a_file_exists(world: World) -> None:
    assert world.call("file", "flag", "found")
    assert world.call("file", "data", "-var", "folder")
    assert world.call("file", "/nowhere", "missing")
    assert [world.variables[name] for name in ("found", "folder", "missing")] == [1, 1, 0]
    assert world.call("file", "~/flag")
    assert world.out == "1\n"


@pytest.mark.parametrize("option", ["-can-read", "-can-write"])
def test_file_says_what_may_be_done_with_it(world: World, option: str) -> None:
    assert world.value("file", "flag", option) == 1
    world.locked.add(f"{HOME}/flag")
    assert world.value("file", "flag", option) == 0
    assert world.value("file", "/nowhere", option) == 0


def test_stats_fill_variables_with_what_is_known(world: World) -> None:
    assert world.call("file", "flag", "it", "-stats")
    assert [world.variables[f"it:{fact}"] for fact in ("size", "mtime", "kind", "can_read")] == [
        "12",
        "1000",
        "file",
        "1",
    ]
    assert world.variables["it"] == 1


def test_stats_of_a_missing_file_do_not_keep_those_of_another(world: World) -> None:
    world.call("file", "flag", "it", "-stats")
    assert world.call("file", "/nowhere", "it", "-stats")
    assert (world.variables["it"], world.variables["it:size"], world.variables["it:can_write"]) == (0, "NULL", "NULL")
    with pytest.raises(Failure, match="-stats wants a variable"):
        world.call("file", "flag", "-stats")


def test_mkdir_makes_a_folder_and_is_content_with_one_that_exists(world: World) -> None:
    assert world.call("mkdir", "logs")
    assert world.call("mkdir", "logs")
    assert f"{HOME}/logs" in world.folders


def test_mkdir_makes_one_level_and_never_replaces_a_file(world: World) -> None:
    with pytest.raises(Failure, match="mkdir: /home/user/a/b: No such file"):
        world.call("mkdir", "a/b")
    with pytest.raises(Failure, match="mkdir: /home/user/flag: File exists"):
        world.call("mkdir", "flag")


def test_cd_changes_where_relative_names_lie(world: World) -> None:
    assert world.call("cd", "data")
    assert world.value("pwd") == f"{HOME}/data"
    assert world.value("file", "flag") == 0
    assert world.call("cd", "..")
    assert world.value("file", "flag") == 1
    assert world.call("cd", "/") and world.call("cd")
    assert world.call("pwd") and world.out == f"{HOME}\n"


def test_cd_stays_where_it_is_if_there_is_no_such_folder(world: World) -> None:
    for name in ("nowhere", "flag"):
        with pytest.raises(Failure, match=f"cd: {HOME}/{name} is not a folder"):
            world.call("cd", name)
    assert world.language.directory == HOME


def test_scan_gives_one_line_of_a_file(world: World) -> None:
    assert world.call("scan", "flag", "first")
    assert world.call("scan", "flag", "third", "2")
    assert world.call("scan", "flag", "last", "-1")
    assert world.call("scan", "flag", "beyond", "3")
    assert [world.variables[name] for name in ("first", "third", "last", "beyond")] == ["one", "three", "three", "NULL"]
    assert world.value("scan", "flag", "1") == "two"
    assert world.call("scan", "flag")
    assert world.out == "one\n"
    with pytest.raises(Failure, match="scan: /nowhere: No such file"):
        world.call("scan", "/nowhere", "x")


def test_scannext_walks_through_a_file_and_begins_again(world: World) -> None:
    seen = []
    for _ in range(4):
        assert world.call("scannext", "flag", "line")
        seen.append(world.variables["line"])
    seen.append(world.value("scannext", "flag"))
    assert seen == ["one", "two", "three", "NULL", "one"]


def test_scannext_reads_a_file_once_for_all_its_lines(world: World) -> None:
    for _ in range(4):
        world.call("scannext", "flag", "line")
    assert world.reads == [f"{HOME}/flag"]


def test_scannext_walks_through_several_files_at_once(world: World) -> None:
    world.files[f"{HOME}/other"] = "uno\n"
    for name in ("flag", "other", "flag"):
        world.call("scannext", name)
    assert world.out == "one\nuno\ntwo\n"


def test_scannext_can_be_begun_again_and_says_where_a_file_ends(world: World) -> None:
    world.call("scannext", "flag")
    assert world.call("scannext", "flag", "-close")
    for _ in range(3):
        world.call("scannext", "flag")
    assert world.out == "one\none\ntwo\nthree\n"
    with pytest.raises(Failure, match="has no line left"):
        world.call("scannext", "flag")


def test_two_languages_do_not_share_where_they_are_in_a_file(world: World) -> None:
    other = World()
    other.files = world.files
    world.call("scannext", "flag", "line")
    other.call("scannext", "flag", "line")
    assert other.variables["line"] == "one"
