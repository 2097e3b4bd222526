"""Goal: queues, named FIFOs of lines, do what scripts expect: order, keys, loading and saving, undoing.
Method: single commands on a language without interpreter (`command_world.py`), which answers shell lines and files.
"""

from __future__ import annotations

import pytest

from shell.language.calls import Data, Failure
from shell.language.queues import STALE_MOST
from tests.language.command_world import CommandWorld


@pytest.fixture
def world() -> CommandWorld:
    return CommandWorld()


def filled(world: CommandWorld, *lines: str) -> CommandWorld:
    world.run("queueinit q")
    for line in lines:
        world.call("queuepush", "q", line)
    return world


# pushing and popping


def test_lines_come_out_in_the_order_in_which_they_went_in(world: CommandWorld) -> None:
    world.run("queuepush q first", 'queuepush q "and second"')
    assert [world.value("queuepop q") for _ in range(3)] == ["first", "and second", "NULL"]


def test_a_queue_is_made_by_its_first_push(world: CommandWorld) -> None:
    with pytest.raises(Failure, match="queue q not found"):
        world.run("queuesize q")
    world.run("queuepush q first")
    assert world.value("queuesize q") == 1


def test_pushed_text_is_cut_at_newlines_and_an_empty_last_part_is_no_entry(world: CommandWorld) -> None:
    world.call("queuepush", "q", "a\n\nb c\n")
    assert world.lines("q") == ["a", "", "b c"]


def test_output_of_jobs_becomes_plain_lines(world: CommandWorld) -> None:
    world.call("queuepush", "q", Data("one\ntwo $(id)\n"))
    world.call("queuepush", "q", Data("three"))
    assert world.lines("q") == ["one", "two $(id)", "three"]
    assert {type(line) for line in world.lines("q")} == {str}


def test_a_popped_line_is_printed_without_a_variable(world: CommandWorld) -> None:
    filled(world, "hello").run("queuepop q")
    assert world.out == ["hello"] and world.lines("q") == []


def test_an_empty_queue_gives_null_to_a_variable_and_fails_without_one(world: CommandWorld) -> None:
    assert filled(world).value("queuepop q") == "NULL"
    with pytest.raises(Failure, match="queue q is empty"):
        world.run("queuepop q")


@pytest.mark.parametrize(
    "line",
    [
        "queuepop none -var x",
        "queuepop none",
        "queueprint none",
        "queuesize none -var x",
        "queuesave none there",
        "queuedrop none -key 0 a",
        "queuesubstr none a b",
        "queuedelete none",
        "queue2book none b",
    ],
)
def test_reading_a_queue_that_does_not_exist_fails(world: CommandWorld, line: str) -> None:
    with pytest.raises(Failure, match="queue none not found"):
        world.run(line)


@pytest.mark.parametrize("line", ["queuepush q", "queuepush q a b", "queuepop", "queuesave q", "queuelist q"])
def test_too_few_or_too_many_words_say_how_it_is_used(world: CommandWorld, line: str) -> None:
    world.run("queueinit q")
    with pytest.raises(Failure, match=f"USAGE: {line.split(maxsplit=1)[0]}"):
        world.run(line)


def test_options_may_stand_before_the_names(world: CommandWorld) -> None:
    filled(world, "a").run("queuepop -var x q")
    assert world.variables["x"] == "a"


def test_a_text_that_looks_like_an_option_can_be_pushed(world: CommandWorld) -> None:
    assert filled(world, "-uniq").lines("q") == ["-uniq"]


# keys


def test_unique_pushes_only_what_has_a_new_key(world: CommandWorld) -> None:
    filled(world, "1 a", "2 b").run('queuepush q "1 z" -key 0 -uniq', 'queuepush q "3 c" -key 0 -uniq')
    assert world.lines("q") == ["1 a", "2 b", "3 c"]


def test_the_whole_line_is_the_key_when_none_is_given(world: CommandWorld) -> None:
    filled(world, "1 a").run('queuepush q "1 a" -uniq', 'queuepush q "1 b" -uniq', 'queuepush q "1 b" -uniq -key -1')
    assert world.lines("q") == ["1 a", "1 b"]


def test_replacing_keeps_the_place_of_the_first_entry_with_the_key(world: CommandWorld) -> None:
    filled(world, "1 a", "2 b", "2 c").run('queuepush q "2 z" -key 0 -replace', 'queuepush q "9 y" -key 0 -replace')
    assert world.lines("q") == ["1 a", "2 z", "2 c", "9 y"]


def test_unique_and_replace_together_replace(world: CommandWorld) -> None:
    filled(world, "1 a").run('queuepush q "1 b" -key 0 -uniq -replace', 'queuepush q "2 c" -key 0 -uniq -replace')
    assert world.lines("q") == ["1 b", "2 c"]


def test_a_key_without_unique_or_replace_means_nothing(world: CommandWorld) -> None:
    assert filled(world, "1 a").run('queuepush q "1 b" -key 0')
    assert world.lines("q") == ["1 a", "1 b"]


def test_every_line_of_a_text_is_looked_up_by_itself(world: CommandWorld) -> None:
    filled(world, "1 a").call("queuepush", "q", "1 b\n2 c\n2 d", "-uniq", "-key", "0")
    assert world.lines("q") == ["1 a", "2 c"]


def test_popping_by_key_takes_the_first_entry_whose_columns_match(world: CommandWorld) -> None:
    filled(world, "x 1 a", "y 1 a", "y 2 b")
    assert world.value("queuepop q -key 1:2 1:a") == "x 1 a"
    assert world.value("queuepop q -key 0 y") == "y 1 a"
    assert world.value("queuepop q -key 1:2 1:a") == "NULL"
    assert world.lines("q") == ["y 2 b"]


def test_popping_by_key_without_variable_fails_when_there_is_none(world: CommandWorld) -> None:
    with pytest.raises(Failure, match="queue q has no such entry"):
        filled(world, "1 a").run("queuepop q -key 0 2")


def test_a_line_with_too_few_columns_equals_none(world: CommandWorld) -> None:
    filled(world, "a").call("queuepush", "q", "a", "-key", "3", "-uniq")
    assert world.lines("q") == ["a", "a"]


def test_keys_see_what_was_pushed_popped_and_replaced_since(world: CommandWorld) -> None:
    filled(world, "1 a", "2 b")
    assert world.value("queuepop q -key 0 2") == "2 b"
    world.run('queuepush q "2 c"', "queuepop q -var x", 'queuepush q "2 d" -replace -key 0')
    assert world.value("queuepop q -key 1 c") == "NULL"
    world.run('queuepush q "7 d" -replace -key 1')
    assert world.value("queuepop q -key 0 2") == "NULL"
    assert world.value("queuepop q -key 0 7") == "7 d"


def test_the_first_match_is_the_oldest_entry_even_when_a_younger_one_had_the_key_before(world: CommandWorld) -> None:
    filled(world, "1 a", "2 b", "3 b")
    assert world.value("queuepop q -key 1 nothing") == "NULL"
    world.run('queuepush q "1 b" -replace -key 0')
    assert world.value("queuepop q -key 1 b") == "1 b"


def test_an_index_does_not_grow_with_what_has_left(world: CommandWorld) -> None:
    filled(world, "stays here").run("queuepop q -key 0 nothing -var x")
    queue = world.language.queues.find("q")
    for number in range(3 * STALE_MOST):
        world.call("queuepush", "q", f"k {number}")
        world.run(f"queuepop q -key 1 {number} -var x")
    held = sum(index.size for index in queue._indexes.values())
    assert held <= 2 * (2 * len(queue) + STALE_MOST) + 2


def test_dropping_removes_all_matches_and_may_find_none(world: CommandWorld) -> None:
    filled(world, "1 a", "2 b", "1 c")
    assert world.run("queuedrop q -key 0 1") and world.lines("q") == ["2 b"]
    assert world.run("queuedrop q -key 0 1") and world.lines("q") == ["2 b"]
    with pytest.raises(Failure, match="USAGE: queuedrop"):
        world.run("queuedrop q")


@pytest.mark.parametrize("key", ["x", "0:x", "-2", "0:", "1,2"])
def test_a_key_that_is_no_column_number_is_refused(world: CommandWorld, key: str) -> None:
    with pytest.raises(Failure, match=f"invalid key {key}") as caught:
        filled(world, "a").run(f"queuepop q -key {key} a -var x")
    assert "column numbers" in caught.value.hint
    assert world.lines("q") == ["a"]


# whole queues


def test_size_and_list_count_lines(world: CommandWorld) -> None:
    filled(world, "a", "b").run("queueinit empty", "queuesize q", "queuelist")
    assert world.out[0] == "Nlines: 2"
    assert [line.split() for line in world.out[1:]] == [["q", "2"], ["empty", "0"]]


def test_printing_leaves_the_queue_as_it_is(world: CommandWorld) -> None:
    filled(world, "a b", "c").run("queueprint q", "queueprint q")
    assert world.out == ["a b", "c", "a b", "c"]


def test_printing_an_empty_queue_prints_nothing(world: CommandWorld) -> None:
    assert filled(world).run("queueprint q") and world.out == []


def test_init_empties_and_delete_forgets(world: CommandWorld) -> None:
    filled(world, "a").run("queueinit q")
    assert world.lines("q") == []
    world.run("queuedelete q")
    assert world.language.queues.names() == []


def test_filling_with_output_leaves_just_its_lines(world: CommandWorld) -> None:
    filled(world, "old").language.queues.fill("q", "a\nb\n")
    assert world.lines("q") == ["a", "b"]
    world.language.queues.fill("q", "")
    assert world.lines("q") == []


def test_text_is_replaced_until_it_is_gone(world: CommandWorld) -> None:
    filled(world, "@D@/x/@D@", "no", "aaaa").run("queuesubstr q @D@ d4", "queuesubstr q aa a")
    assert world.lines("q") == ["d4/x/d4", "no", "a"]


def test_text_that_comes_again_in_its_replacement_is_replaced_once_for_each_occurrence(world: CommandWorld) -> None:
    filled(world, "a-a").run("queuesubstr q a bab")
    assert world.lines("q") == ["bab-bab"]


def test_a_replacement_that_makes_a_line_too_long_fails_and_changes_nothing(world: CommandWorld) -> None:
    filled(world, "a", "a a")
    with pytest.raises(Failure, match="longer than 16 MiB"):
        world.call("queuesubstr", "q", "a", "y" * (9 << 20))
    assert world.lines("q") == ["a", "a a"]


def test_a_replacement_that_never_gets_rid_of_its_text_fails(world: CommandWorld) -> None:
    filled(world, "0" * 3000 + "1")
    with pytest.raises(Failure, match="never ends"):
        world.run("queuesubstr q 01 10")


# commands and files


def test_loading_adds_the_lines_that_are_not_empty(world: CommandWorld) -> None:
    world.shell["cat in.txt"] = (0, "a\n\nb c\n")
    filled(world, "old").run('queueload q -x "cat in.txt"')
    assert world.lines("q") == ["old", "a", "b c"] and world.errors == []


def test_a_bad_end_of_a_loading_command_warns(world: CommandWorld) -> None:
    world.shell["ls nothing"] = (2, "a\n")
    assert world.run('queueload q -x "ls nothing"')
    assert world.lines("q") == ["a"]
    assert world.errors == ["test.pro:7:3: warning: queueload: exit status 2 of: ls nothing"]


def test_a_bad_end_is_trapped(world: CommandWorld) -> None:
    world.shell["ls nothing"] = (-15, "a\n")
    with pytest.raises(Failure, match="queueload: signal 15 of: ls nothing"):
        world.run('queueload q -x "ls nothing" -trap')
    assert world.language.queues.get("q") is None


def test_a_command_that_cannot_be_run_fails_to_load(world: CommandWorld) -> None:
    with pytest.raises(Failure, match="queueload: whatever: there is no shell"):
        world.run("queueload q -x whatever")
    with pytest.raises(Failure, match="USAGE: queueload"):
        world.run("queueload q")


def test_saving_appends_and_keeps_the_lines(world: CommandWorld) -> None:
    filled(world, "a", "b c").run("queuesave q out.txt", "queuesave q out.txt")
    assert world.files == {"/there/out.txt": "a\nb c\na\nb c\n"}
    assert world.lines("q") == ["a", "b c"]


def test_saving_to_a_place_that_cannot_be_written_fails(world: CommandWorld) -> None:
    world.unwritable.add("/out.txt")
    with pytest.raises(Failure, match=r"queuesave: /out\.txt: permission denied"):
        filled(world, "a").run("queuesave q /out.txt")


# undoing


def test_a_run_that_is_undone_leaves_its_queues_as_they_were(world: CommandWorld) -> None:
    changes = world.language.changes
    filled(world, "1 a", "2 b", "3 c").run("queuepush other x")
    before = world.language.queues.dump()
    changes.begin(5)
    changes.current = 5
    world.run("queuepop q -var x", "queuepop q -key 0 3 -var x", "queuepush q new", 'queuepush q "2 z" -replace -key 0')
    world.run("queuesubstr q new old", "queueinit q", "queuepush q later", "queuedelete other", "queuepush fresh a")
    world.run("queuepush other again")
    changes.undo(5)
    assert world.language.queues.dump() == before
    assert list(world.language.queues.dump()) == ["q", "other"]
    assert world.value("queuepop q -key 0 2") == "2 b"


def test_what_other_runs_did_meanwhile_stays(world: CommandWorld) -> None:
    changes = world.language.changes
    filled(world, "a", "b")
    changes.begin(5)
    changes.current = 5
    world.run("queuepop q -var x", "queuepush q mine", "queuepush mine m")
    changes.current = 6
    world.run("queuepop q -var y", "queuepush q theirs", "queuepush mine n")
    changes.undo(5)
    assert world.lines("q") == ["a", "theirs"] and world.lines("mine") == ["n"]


def test_entries_of_an_undone_run_that_another_one_has_taken_or_replaced_are_left_to_it(world: CommandWorld) -> None:
    changes = world.language.changes
    filled(world)
    changes.begin(5)
    changes.current = 5
    world.run('queuepush q "1 mine"', 'queuepush q "2 mine"', 'queuepush q "3 mine"')
    changes.current = 6
    world.run("queuepop q -var x", 'queuepush q "2 theirs" -key 0 -replace')
    changes.undo(5)
    assert world.lines("q") == ["2 theirs"]


def test_keys_find_what_an_undo_has_brought_back(world: CommandWorld) -> None:
    changes = world.language.changes
    filled(world, "1 a", "2 b")
    changes.begin(5)
    changes.current = 5
    world.run('queuepush q "1 z" -key 0 -replace')
    assert world.value("queuepop q -key 1 a") == "NULL"
    assert world.value("queuepop q -key 1 b") == "2 b"
    changes.undo(5)
    assert world.value("queuepop q -key 1 z") == "NULL"
    assert world.value("queuepop q -key 1 a") == "1 a"
    assert world.value("queuepop q -key 1 b") == "2 b"


def test_a_queue_that_another_run_has_emptied_stays_empty(world: CommandWorld) -> None:
    changes = world.language.changes
    filled(world, "a", "b")
    changes.begin(5)
    changes.current = 5
    world.run("queuepop q -var x", "queueinit q")
    changes.current = 6
    world.run("queueinit q")
    changes.undo(5)
    assert world.lines("q") == []


def test_what_was_committed_is_not_undone(world: CommandWorld) -> None:
    changes = world.language.changes
    changes.begin(5)
    changes.current = 5
    world.run("queuepush q a")
    changes.commit(5)
    changes.undo(5)
    world.run("queuepush q b")
    assert world.lines("q") == ["a", "b"] and changes.log is None


def test_what_was_dumped_can_be_loaded(world: CommandWorld) -> None:
    filled(world, "a b", "c").run("queueinit empty")
    other = CommandWorld()
    other.run("queuepush gone x")
    other.language.queues.load(world.language.queues.dump())
    assert other.language.queues.dump() == {"q": ["a b", "c"], "empty": []}
