"""Goal: macros, files and modules: defining and calling them, their arguments, what they may be called.

Method: small scripts on the dictionary world, files in a dictionary.
"""

from __future__ import annotations

from shell.language.runs import MACROS_DEEP
from tests.language.world import Script


def test_a_macro_is_a_command_with_arguments() -> None:
    script = Script('macro greet\necho $0 $1 $2\nend\ngreet a "b c"')
    assert script.out == ["3 a b c"]


def test_a_guard_on_the_number_of_arguments_stops_the_caller() -> None:
    text = "macro one\nif ($0 != 2)\necho USAGE: one (word)\nbreak\nend\necho $1\nend\none a\none\necho never"
    assert Script(text).out == ["a", "USAGE: one (word)"]


def test_return_leaves_the_macro_quietly() -> None:
    script = Script("macro m\necho a\nreturn\necho b\nend\nm\necho after $STATUS")
    assert script.out == ["a", "after 1"]


def test_next_outside_of_a_loop_ends_the_macro_quietly() -> None:
    assert Script("macro m\necho a\nnext\necho b\nend\nfor i 0 2\nm\necho $i\nend").out == ["a", "0", "a", "1"]


def test_a_return_in_a_loop_leaves_the_loop_only() -> None:
    assert Script("macro m\nfor i 0 3\nreturn\nend\necho after\nend\nm").out == ["after"]


def test_a_later_definition_replaces_the_earlier_one_also_for_lines_that_ran_already() -> None:
    text = "macro xx\necho 1\nend\nmacro call\nxx\nend\ncall\nmacro xx\necho 2\nend\ncall\nmacro delete xx\ncall"
    script = Script(text)
    assert script.out == ["1", "2"]
    assert "Command not found" in script.errors[0]


def test_macros_may_be_abbreviated_while_that_is_clear() -> None:
    assert Script("macro tidy.up\necho tidy\nend\ntid").out == ["tidy"]
    script = Script("macro tidy.up\nend\nmacro tidy.down\nend\ntid")
    assert script.errors == ["test.pro:5:1: ambiguous command: tid ( tidy.down tidy.up )"]


def test_the_name_of_a_command_cannot_be_taken() -> None:
    assert "there is a command of this name" in Script("macro echo\nend").errors[0]


def test_a_macro_may_have_the_name_of_a_command_that_the_historical_scheduler_lacked() -> None:
    script = Script("macro check\n  echo mine $0\nend\ncheck a\nchec a\nmacro delete check\ncheck a b")
    assert script.out == ["mine 2", "mine 2"]
    assert script.errors


def test_a_macro_has_a_help_text() -> None:
    assert "drop old pages" in Script('macro tidy -c "drop old pages"\nend\nhelp tidy').out[0]


def test_a_macro_can_be_listed() -> None:
    script = Script("macro tidy\n  echo $1\nend\nmacro list tidy")
    assert [line.strip() for line in script.out] == ["macro tidy", "echo $1", "end"]
    assert not Script("macro list nosuch").ok


def test_a_macro_may_define_another_one() -> None:
    assert Script("macro outer\nmacro inner\necho $1\nend\nend\nouter\ninner x").out == ["x"]


def test_the_command_may_stand_in_a_variable() -> None:
    assert Script("macro daily\necho day $1\nend\n$todo = daily 5\n$todo\n$pre = dai\n$pre 6").out == ["day 5", "day 6"]


def test_a_macro_that_calls_itself_without_end_fails_with_a_sentence() -> None:
    script = Script("macro m\n$n ++\nm\nend\nm")
    assert f"macro recursion deeper than {MACROS_DEEP}" in script.errors[0]
    assert len(script.errors) == 1
    assert script["n"] == str(MACROS_DEEP)


def test_macros_nest_to_their_limit_inside_of_blocks_that_wait() -> None:
    depth = MACROS_DEEP
    blocks = "if (1)\n" * 6 + "for k 0 1\nsleep 1\nm\nend\n" + "end\n" * 6
    script = Script(f"macro m\n$n ++\nif ($n < {depth})\n{blocks}end\necho deep\nend\nm")
    assert script.errors == []
    assert len(script.out) == depth


def test_blocks_in_macros_nest_as_deep_as_they_can_and_then_fail_with_a_sentence() -> None:
    script = Script("macro m\n" + "if (1)\n" * 150 + "sleep 1\nm\n" + "end\n" * 151 + "m")
    assert len(script.errors) == 1
    assert "nested too deep" in script.errors[0]


def test_a_file_is_run_where_it_is_named() -> None:
    script = Script("input lib.pro\necho $x", files={"lib.pro": "$x = 5\nmacro m\nend"})
    assert script.out == ["5"]


def test_a_missing_file_fails() -> None:
    assert Script("input nosuch.pro\necho never").errors == [
        "test.pro:1:1: cannot read /home/user/nosuch.pro: No such file or directory"
    ]


def test_a_failure_in_a_file_ends_the_file_and_whoever_loads_it() -> None:
    script = Script("input lib.pro\necho never", files={"lib.pro": "$x = 5\n\n  nosuch\n$x = 6"})
    assert script.errors == ["lib.pro:3:3: nosuch: Command not found. (`?` lists the commands and macros)"]
    assert (script["x"], script.out) == ("5", [])


def test_a_return_in_a_file_ends_the_file_quietly() -> None:
    assert Script("input lib.pro\necho after", files={"lib.pro": "return\necho never"}).out == ["after"]


def test_positions_in_macros_name_their_own_file() -> None:
    script = Script("input lib.pro\n\nm", files={"lib.pro": "macro m\n\n\n   nosuch\nend"})
    assert script.errors == ["lib.pro:4:4: nosuch: Command not found. (`?` lists the commands and macros)"]


def test_modules_are_looked_for_in_their_folders() -> None:
    script = Script("module a.pro\necho $a", files={"modules/a.pro": "$a = 1\nmodule b.pro", "modules/b.pro": "$b = 1"})
    assert script.out == ["1"]
    assert script["b"] == "1"


def test_modules_that_load_one_another_do_so_once() -> None:
    files = {"modules/a.pro": "$n ++\nmodule b.pro", "modules/b.pro": "$n ++\nmodule a.pro"}
    script = Script("module a.pro\necho $n", files=files)
    assert script.out == ["2"]


def test_files_that_load_themselves_fail_with_a_sentence() -> None:
    script = Script("input a.pro", files={"a.pro": "input a.pro"})
    assert f"deeper than {MACROS_DEEP}" in script.errors[0]


def test_sleep_takes_its_time() -> None:
    script = Script("sleep 2.5\nusleep 1000")
    assert script.language.now_ns == 2_501_000_000
    assert not Script("sleep soon").ok


def test_people_can_ask_what_a_word_would_run() -> None:
    script = Script("macro tidy\nend\nwhich tid\nwhich queuepu\nhelp queuepush\nhelp\n?")
    assert script.errors == []
    assert script.out[:2] == ["tidy: macro (test.pro:1:1)", "queuepush: command"]
