"""Goal: books, tables of pages of words, do what scripts expect of them: order, keys, answers of queries, undoing.
Method: single commands on a language without interpreter (`command_world.py`).
"""

from __future__ import annotations

import pytest

from shell.language.calls import Data, Failure
from shell.language.commands.books import PARTS, TROUBLES_SHOWN
from tests.language.command_world import CommandWorld


@pytest.fixture
def world() -> CommandWorld:
    return CommandWorld()


def bound(world: CommandWorld, *states: str) -> CommandWorld:
    """A book `b` with pages p0, p1, ... in those states."""
    world.run("book init b")
    for number, state in enumerate(states):
        world.run(f"book newpage b p{number}", f"book setword b p{number} state {state}")
    return world


def answered(world: CommandWorld, text: str, options: str = "") -> CommandWorld:
    """What a query has answered, made into pages of book `b`."""
    world.run("queueinit q")
    world.call("queuepush", "q", text)
    assert world.run(f"queue2book q b {options}")
    return world


# books and pages


def test_init_creates_or_empties_and_create_keeps(world: CommandWorld) -> None:
    bound(world, "INIT").run("book create b", "book create c")
    assert world.value("book npages b") == 1 and world.value("book npages c") == 0
    world.run("book init b")
    assert world.value("book npages b") == 0


def test_list_and_getbook_go_by_the_order_of_making(world: CommandWorld) -> None:
    bound(world, "A", "B").run("book init a", "book list")
    assert [line.split() for line in world.out] == [["b", "2"], ["a", "0"]]
    assert world.value("book getbook 0") == "b" and world.value("book getbook -1") == "a"
    assert world.value("book getbook 2") == "NULL"
    with pytest.raises(Failure, match="book 2 not found: there are 2"):
        world.run("book getbook 2")


def test_delete_forgets_the_book(world: CommandWorld) -> None:
    bound(world, "A").run("book delete b")
    for line in ("book delete b", "book listbook b", "book npages b -var n", "book newpage b p", "book shuffle b"):
        with pytest.raises(Failure, match="book b not found"):
            world.run(line)


def test_a_new_page_comes_last_and_one_that_exists_keeps_its_words(world: CommandWorld) -> None:
    bound(world, "A", "B").run("book newpage b p0", "book newpage b a", "book listbook b")
    assert world.out == ["p0", "p1", "a"]
    assert world.value("book getword b p0 state") == "A"


def test_a_page_is_listed_by_words_in_the_order_of_their_setting(world: CommandWorld) -> None:
    bound(world, "A").run("book setword b p0 path /a", 'book setword b p0 name "two words"', "book listpage b p0")
    assert [line.split(None, 1) for line in world.out] == [["state", "A"], ["path", "/a"], ["name", "two words"]]


def test_pages_are_counted_from_zero_and_from_the_end_with_negative_numbers(world: CommandWorld) -> None:
    bound(world, "A", "B", "C")
    found = [world.value(f"book getpage b {number}") for number in (0, 2, 3, -1, -3, -4)]
    assert found == ["p0", "p2", "NULL", "p2", "p0", "NULL"]


def test_page_number_must_be_a_number(world: CommandWorld) -> None:
    with pytest.raises(Failure, match="not a number: first"):
        bound(world, "A").run("book getpage b first -var p")


def test_with_a_key_only_the_pages_that_match_are_counted(world: CommandWorld) -> None:
    bound(world, "INIT", "RUN", "INIT", "DONE", "INIT")
    found = [world.value(f"book getpage b {number} -key state INIT") for number in (0, 1, 2, 3, -1)]
    assert found == ["p0", "p2", "p4", "NULL", "p4"]
    assert world.value("book npages b -key state INIT") == 3
    assert world.value("book npages b -key state LOST") == 0


def test_keyed_pages_follow_every_change(world: CommandWorld) -> None:
    bound(world, "INIT", "INIT", "INIT")
    assert world.value("book getpage b 0 -key state INIT") == "p0"
    world.run("book setword b p0 state RUN", "book delpage b p1", "book newpage b p9", "book setword b p9 state INIT")
    assert world.value("book getpage b 0 -key state INIT") == "p2"
    assert world.value("book getpage b 1 -key state INIT") == "p9"
    world.run("book setword b p0 state INIT")
    assert world.value("book getpage b 0 -key state INIT") == "p0", "the order of making counts, not that of matching"
    world.run("book init b")
    assert world.value("book npages b -key state INIT") == 0


def test_a_word_that_is_missing_matches_null(world: CommandWorld) -> None:
    bound(world, "A", "B").run("book setword b p1 host here")
    assert world.value("book getpage b 0 -key host NULL") == "p0"
    world.run("book newpage b p2")
    assert world.value("book npages b -key host NULL") == 2


def test_delpage_takes_one_page_or_all_that_match(world: CommandWorld) -> None:
    bound(world, "DONE", "INIT", "DONE", "RUN").run("book delpage b p3", "book delpage b -key state DONE")
    assert list(world.pages("b")) == ["p1"]
    assert world.run("book delpage b -key state DONE"), "none is no failure"
    with pytest.raises(Failure, match="page p3 not found in book b"):
        world.run("book delpage b p3")


def test_shuffle_is_the_same_for_the_same_seed_and_keeps_the_pages(world: CommandWorld) -> None:
    orders = []
    for seed in (1, 1, 2):
        other = bound(CommandWorld(seed), *["INIT"] * 40)
        assert other.value("book getpage b 0 -key state INIT") == "p0"
        other.run("book shuffle b")
        orders.append([*other.pages("b")])
        assert other.value("book getpage b 0 -key state INIT") == orders[-1][0]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(f"p{number}" for number in range(40)) != orders[0]


def test_a_page_made_after_a_shuffle_comes_last(world: CommandWorld) -> None:
    bound(world, *["INIT"] * 20).run("book shuffle b", "book newpage b last")
    assert world.value("book getpage b -1") == "last"


# words


def test_setword_needs_the_page_and_takes_any_value(world: CommandWorld) -> None:
    bound(world, "A").run("book setword b p0 count -1", "book setword b p0 text -var")
    assert world.pages("b")["p0"] == {"state": "A", "count": "-1", "text": "-var"}
    with pytest.raises(Failure, match="page p1 not found in book b"):
        world.run("book setword b p1 state A")


def test_output_of_jobs_is_kept_as_plain_text_wherever_it_is_put(world: CommandWorld) -> None:
    output = Data("two $words")
    world.call("book", "init", output)
    world.call("book", "newpage", output, output)
    world.call("book", "setword", output, output, output, output)
    world.call("queuepush", "q", "a METADATA\nx STR y\nEND")
    world.call("queue2book", "q", output, "-setword", output, output)
    ((book, pages),) = world.language.books.dump().items()
    texts = [book, *pages, *[text for words in pages.values() for pair in words.items() for text in pair]]
    assert {type(text) for text in texts} == {str} and texts.count("two $words") == 6


def test_an_empty_value_which_leaves_no_word_behind_is_the_empty_text(world: CommandWorld) -> None:
    bound(world, "A").run('book setword b p0 state ""')
    assert world.value("book getword b p0 state") == ""
    assert world.value("book npages b -key state NULL") == 0


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("book getword none p0 state", "book none not found"),
        ("book getword b p9 state", "page p9 not found in book b"),
        ("book getword b p0 colour", "word colour not found in page p0 of book b"),
        ("book getpage none 0", "book none not found"),
        ("book getpage b 7", "page 7 not found in book b"),
        ("book getpage b 0 -key state DONE", "page 0 with state DONE not found in book b"),
    ],
)
def test_what_is_missing_fails_without_variable_and_is_null_with_one(
    world: CommandWorld, line: str, sentence: str
) -> None:
    with pytest.raises(Failure, match=sentence):
        bound(world, "A").run(line)
    assert world.value(line) == "NULL"


def test_without_variable_the_answer_is_printed(world: CommandWorld) -> None:
    bound(world, "A").run("book getword b p0 state", "book getpage b 0", "book npages b")
    assert world.out == ["A", "p0", "Npages: 1"]


@pytest.mark.parametrize("form", sorted(PARTS))
def test_every_form_says_how_it_is_used(world: CommandWorld, form: str) -> None:
    with pytest.raises(Failure, match=f"USAGE: book {form}"):
        world.run(f"book {form} a b c d e f")


def test_a_misspelt_form_is_named_with_the_near_miss(world: CommandWorld) -> None:
    with pytest.raises(Failure, match="unknown form getwrd, did you mean getword"):
        world.run("book getwrd b p w")
    with pytest.raises(Failure, match="USAGE: book") as caught:
        world.run("book")
    assert "listpage" in caught.value.hint


# answers of queries

ANSWER = """\
jobs MULTI

# two of them
jobs METADATA
   job_id   S64   12          # the number
   part     S32   0
   path     STR   "two words"   # quoted
   label    STR   several plain words
   empty    STR   ""
   nothing  STR
END

jobs METADATA
   job_id   S64   13
   part     S32   1
END
"""
FIRST = {"job_id": "12", "part": "0", "path": "two words", "label": "several plain words", "empty": "", "nothing": ""}


def test_blocks_become_pages_named_by_the_key(world: CommandWorld) -> None:
    answered(world, ANSWER, "-key job_id")
    assert world.pages("b") == {"12": FIRST, "13": {"job_id": "13", "part": "1"}}
    assert world.errors == [] and world.lines("q") == [], "the queue has been used up"


def test_a_key_of_several_words_is_joined(world: CommandWorld) -> None:
    assert list(answered(world, ANSWER, "-key job_id:part").pages("b")) == ["12:0", "13:1"]


def test_without_key_pages_are_numbered_and_none_is_overwritten(world: CommandWorld) -> None:
    answered(world, ANSWER)
    assert list(world.pages("b")) == ["page.000", "page.001"]
    world.run("book delpage b page.000")
    answered(world, ANSWER)
    assert list(world.pages("b")) == ["page.001", "page.002", "page.003"]


def test_the_older_name_does_the_same(world: CommandWorld) -> None:
    world.call("queuepush", "q", ANSWER)
    assert world.run("ipptool2book q b -key job_id -uniq -setword state INIT")
    assert world.pages("b")["12"] == FIRST | {"state": "INIT"}


def test_constants_are_set_on_every_new_page(world: CommandWorld) -> None:
    answered(world, ANSWER, "-setword state INIT -key job_id -setword dbname one -setword part 9")
    assert world.pages("b")["13"] == {"job_id": "13", "part": "9", "state": "INIT", "dbname": "one"}


def test_unique_leaves_pages_that_exist_alone(world: CommandWorld) -> None:
    answered(world, ANSWER, "-key job_id -uniq -setword state INIT")
    world.run("book setword b 12 state RUN")
    answered(world, ANSWER.replace("13", "14"), "-key job_id -uniq -setword state INIT")
    assert {name: words["state"] for name, words in world.pages("b").items()} == {
        "12": "RUN",
        "13": "INIT",
        "14": "INIT",
    }


def test_without_unique_a_page_that_exists_gets_the_words_on_top_of_its_own(world: CommandWorld) -> None:
    world.run("book init b", "book newpage b 12", "book setword b 12 own x", "book setword b 12 part old")
    answered(world, ANSWER, "-key job_id")
    assert world.pages("b")["12"] == FIRST | {"own": "x"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a METADATA\n lonely\nEND", "line 2 of queue q: not WORD TYPE VALUE, not used: lonely"),
        ("word STR 1", "line 1 of queue q: outside of any METADATA block, not used: word STR 1"),
        ("END", "line 1 of queue q: END without a block: END"),
        ("a METADATA\n x STR 1", "line 1 of queue q: no page made: the block has no END: a"),
        ("a METADATA\n y STR 1\nEND", "line 1 of queue q: no page made: the block has no word x: a"),
        (
            "a METADATA\n x STR 1\n x STR 2\nEND",
            "line 3 of queue q: x comes again in this block, the later value is used",
        ),
        (
            "a METADATA\n x STR 1\n in METADATA\n y STR\x1b 2\nEND\nEND",
            "inside a block within a block, not used: y STR\\x1b 2",
        ),
    ],
)
def test_what_cannot_be_read_is_shown_and_does_not_fail(world: CommandWorld, text: str, sentence: str) -> None:
    answered(world, text, "-key x")
    assert any(sentence in line for line in world.errors), world.errors
    assert all(line.startswith("test.pro:7:3: ERROR: ") for line in world.errors)


def test_a_block_within_a_block_is_left_out_and_the_outer_one_is_kept(world: CommandWorld) -> None:
    answered(world, "a METADATA\n x STR 1\n in METADATA\n y STR 2\nEND\n z STR 3\nEND\n", "-key x")
    assert world.pages("b") == {"1": {"x": "1", "z": "3"}}
    assert len(world.errors) == 2


def test_of_many_bad_lines_only_the_first_are_shown_and_the_rest_counted(world: CommandWorld) -> None:
    answered(world, "nonsense here now\n" * 1000)
    assert len(world.errors) == TROUBLES_SHOWN + 1
    assert world.errors[-1].endswith(f"{1000 - TROUBLES_SHOWN} more lines like these")


def test_an_empty_answer_makes_an_empty_book(world: CommandWorld) -> None:
    assert answered(world, "").pages("b") == {}


def test_raw_columns_take_their_names_from_the_first_line(world: CommandWorld) -> None:
    answered(world, '# name  cores\n\nnode1 4\n# a comment\n"node 2" 8\n', "-raw-columns -key name -setword use YES")
    assert world.pages("b") == {
        "node1": {"name": "node1", "cores": "4", "use": "YES"},
        "node 2": {"name": "node 2", "cores": "8", "use": "YES"},
    }


def test_a_raw_line_with_another_number_of_columns_is_shown(world: CommandWorld) -> None:
    answered(world, "name cores\nnode1\nnode2 4 x\nnode3 1\n", "-raw-columns")
    assert world.pages("b") == {"page.000": {"name": "node3", "cores": "1"}}
    assert [line.split("ERROR: ")[1] for line in world.errors] == [
        "line 2 of queue q: 1 columns instead of 2, not used: node1",
        "line 3 of queue q: 3 columns instead of 2, not used: node2 4 x",
    ]


def test_a_raw_column_that_comes_twice_is_shown(world: CommandWorld) -> None:
    answered(world, "name name\na b\n", "-raw-columns -key name")
    assert world.pages("b") == {"b": {"name": "b"}}
    assert "column name comes more than once, the last is used" in world.errors[0]


# undoing


def test_a_run_that_is_undone_leaves_its_books_as_they_were(world: CommandWorld) -> None:
    changes = world.language.changes
    bound(world, "INIT", "RUN", "INIT").run("book create other", "book newpage other x")
    assert world.value("book npages b -key state INIT") == 2
    before = world.language.books.dump()
    changes.begin(5)
    changes.current = 5
    world.run("book setword b p0 state RUN", "book setword b p0 new 1", "book delpage b p1", "book newpage b p1")
    world.run("book shuffle b", "book delpage b -key state INIT", "book init b", "book newpage b p2", "book delete b")
    world.run("book create b", "book newpage b last", "book delete other", "book create fresh")
    changes.undo(5)
    assert world.language.books.dump() == before
    assert list(world.language.books.dump()) == ["b", "other"] and list(world.pages("b")) == ["p0", "p1", "p2"]
    assert world.value("book getpage b 1 -key state INIT") == "p2"


def test_what_other_runs_did_meanwhile_stays(world: CommandWorld) -> None:
    changes = world.language.changes
    bound(world, "INIT", "INIT")
    changes.begin(5)
    changes.current = 5
    world.run("book setword b p0 state RUN", "book setword b p1 state RUN", "book delpage b p1", "book create mine")
    changes.current = 6
    world.run("book setword b p0 state DONE", "book newpage b theirs", "book newpage b p1", "book newpage mine theirs")
    changes.undo(5)
    assert world.pages("b") == {"p0": {"state": "DONE"}, "theirs": {}, "p1": {}}
    assert world.pages("mine") == {"theirs": {}}


def test_a_page_that_another_run_has_deleted_stays_deleted(world: CommandWorld) -> None:
    changes = world.language.changes
    bound(world, "INIT", "INIT")
    changes.begin(5)
    changes.current = 5
    world.run("book setword b p0 state RUN")
    changes.current = 6
    world.run("book delpage b p0")
    assert world.value("book npages b -key state INIT") == 1
    changes.undo(5)
    assert world.value("book npages b -key state INIT") == 1
    assert world.pages("b") == {"p1": {"state": "INIT"}}


def test_a_book_that_another_run_has_emptied_stays_empty(world: CommandWorld) -> None:
    changes = world.language.changes
    bound(world, "INIT", "INIT")
    changes.begin(5)
    changes.current = 5
    world.run("book delpage b p0", "book init b")
    changes.current = 6
    world.run("book init b")
    changes.undo(5)
    assert world.pages("b") == {}


def test_what_was_dumped_can_be_loaded(world: CommandWorld) -> None:
    bound(world, "A", "B").run("book create empty")
    other = bound(CommandWorld(), "X", "Y", "Z")
    other.language.books.load(world.language.books.dump())
    assert other.language.books.dump() == {"b": {"p0": {"state": "A"}, "p1": {"state": "B"}}, "empty": {}}
    assert other.value("book getpage b 0 -key state B") == "p1"


def test_the_number_of_a_page_may_be_computed(world: CommandWorld) -> None:
    bound(world, "A", "B", "C")
    assert [world.value(f"book getpage b {rank}") for rank in ("1.7", "2.0", "01", "-1.0")] == ["p1", "p2", "p1", "p2"]
    for word in ("x", "inf", "nan"):
        with pytest.raises(Failure, match="not a number"):
            world.run(f"book getpage b {word}")
