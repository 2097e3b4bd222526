"""Goal: `if`, `for`, `foreach`, `while`, `last` and `next` do what scripts rely on, and what was plainly broken works.

Method: small scripts on the dictionary world; what they print is compared.
"""

from __future__ import annotations

import pytest

from shell.language.calls import Data
from shell.language.runs import SLICE_STATEMENTS, TASK_STATEMENTS, BudgetSpent, RunKind
from tests.language.world import NAME, Script

DOUBLING = "".join([f"macro d{k}\nd{k + 1}\nd{k + 1}\nend\n" for k in range(20)]) + "macro d20\n$x = 1\nend\nd0"
"""Twenty macros without a loop, each of which calls the next one twice."""


def test_if_and_else_choose_a_body() -> None:
    text = "foreach x 1 5\nif ($x > 3)\necho big\nelse\necho small\nend\nend"
    assert Script(text).out == ["small", "big"]


def test_an_inline_if_keeps_quotes_and_expands_its_statement_only_when_it_holds() -> None:
    script = Script(
        'if (1) echo "two  blanks"\nif (0) echo $nosuch\nif (2 > 1) $n = 0\nif ($n == 0) set n = 4\necho $n'
    )
    assert script.errors == []
    assert script.out == ["two  blanks", "4"]


def test_a_condition_may_be_a_bare_variable() -> None:
    assert Script("$dry = 1\nif $dry echo a\nif ($dry) echo b\nif (not($dry)) echo c").out == ["a", "b"]


@pytest.mark.parametrize("text", ["if (abc) echo a", "if (1 +) echo a", "if ($nosuch) echo a", 'if ("a" < "b") echo a'])
def test_what_is_no_condition_fails(text: str) -> None:
    script = Script(text)
    assert (script.ok, script.out, len(script.errors)) == (False, [], 1)


def test_quotes_belong_to_what_is_compared() -> None:
    text = (
        '$s = "x"\n$w = x\nif ($s == "x") echo 1\nif ("$w" == "x") echo 2\nif ($w == "x") echo 3\nif ("3" == 3) echo 4'
    )
    assert Script(text).out == ["1", "2"]


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ("i 0 3", "0 1 2"),
        ("i 0 3 -incl", "0 1 2 3"),
        ("i 3 0 -1", "3 2 1"),
        ("i 3 0 -1 -incl", "3 2 1 0"),
        ("i 0 1 0.25", "0 0.25 0.5 0.75"),
        ("i 0 0.3 0.1 -incl", "0 0.1 0.2 0.3"),
        ("i 5 5", ""),
        ("i 0 {1 + 1}", "0 1"),
        ("i 0 $list:n", "0 1"),
    ],
)
def test_for_counts(arguments: str, values: str) -> None:
    script = Script(f"$list:n = 2\nqueueinit q\nfor {arguments}\n  queuepush q $i\nend")
    assert script.errors == []
    assert " ".join(script.lines("q")) == values


def test_the_body_may_change_the_variable_of_a_for() -> None:
    assert Script("for i 0 10\necho $i\n$i = $i + 3\nend\necho $i").out == ["0", "4", "8", "11"]


@pytest.mark.parametrize("arguments", ["i 0", "i a 3", "i 0 3 0", "i 0 3 1 2", "$x 0 3", "i 0 list"])
def test_bad_arguments_of_for_fail(arguments: str) -> None:
    script = Script(f"for {arguments}\necho no\nend", variables={"x": "a b"})
    assert (script.ok, script.out, len(script.errors)) == (False, [], 1)


def test_foreach_takes_words() -> None:
    script = Script('$list = c "d e"\nforeach w a b $list $stdout\necho <$w>\nend', variables={"stdout": Data("x y")})
    assert script.out == ["<a>", "<b>", "<c>", "<d e>", "<x y>"]


def test_while_expands_its_condition_before_each_pass() -> None:
    assert Script("$n = 0\nwhile ($n < 3)\n$n ++\nend\necho $n").out == ["3"]


def test_a_while_that_never_holds_is_no_failure() -> None:
    script = Script("while (0)\necho no\nend\necho after $STATUS")
    assert script.out == ["after 1"]


def test_next_in_a_while_tests_the_condition_again() -> None:
    script = Script("$n = 0\nwhile ($n < 3)\n$n ++\nif ($n == 2) next\necho $n\nend")
    assert script.out == ["1", "3"]


@pytest.mark.parametrize(("leave", "skip"), [("last", "next"), ("return", "continue")])
def test_last_leaves_the_innermost_loop_and_next_goes_to_its_next_pass(leave: str, skip: str) -> None:
    text = f"for i 0 2\nfor j 0 9\nif ($j == 0) {skip}\nif ($j == 3) {leave}\necho $i.$j\nend\nend"
    assert Script(text).out == ["0.1", "0.2", "1.1", "1.2"]


def test_last_in_an_if_block_takes_effect_when_the_block_is_over() -> None:
    text = "for i 0 5\nif ($i == 1)\nlast\necho still here\nend\necho $i\nend\necho after"
    assert Script(text).out == ["0", "still here", "after"]


@pytest.mark.parametrize("order", ["last\nsleep 1", "sleep 1\nlast"])
def test_last_works_in_a_block_that_waits(order: str) -> None:
    text = f"for i 0 5\nif ($i == 1)\n{order}\necho still here\nend\necho $i\nend\necho after"
    assert Script(text).out == ["0", "still here", "after"]


def test_a_list_block_takes_its_elements_as_they_are_written() -> None:
    script = Script("list l\n $nosuch {x}\n  a b\n# no element\nend\necho $l:n $l:1")
    assert script.out == ["2 a b"]
    assert script["l:0"] == "$nosuch {x}"


def test_statements_of_a_line_are_run_one_after_the_other() -> None:
    assert Script('$n = 4; echo $n; echo "a;b";').out == ["4", "a;b"]


def test_what_is_malformed_fails_only_when_it_is_reached() -> None:
    script = Script("echo before\nif (1)\necho inside")
    assert script.out == ["before"]
    assert script.errors[0].startswith("test.pro:2:1: missing 'end'")


# slices and budgets


def test_a_long_loop_gives_way_again_and_again() -> None:
    assert Script("for i 0 10000\n$x = $i\nend").slices >= 10000 // 500


def test_straight_text_and_macros_give_way_too() -> None:
    assert Script("$x = 1\n" * 2000).slices >= 3
    assert Script("macro m\n$x = 1\nend\n" + "m\n" * 2000).slices >= 3


@pytest.mark.parametrize("text", ["while (1)\n$x = 1\nend", "while (1)\nend", "while (1)\nm\nend", DOUBLING])
def test_a_task_macro_without_end_spends_its_statements(text: str) -> None:
    script = Script("macro m\n$x = 1\nend", kind=RunKind.TASK)
    with pytest.raises(BudgetSpent):
        script.more(text)
    assert script.run.statements <= TASK_STATEMENTS + SLICE_STATEMENTS
    assert script.run.where().startswith(f"{NAME}:")


def test_a_session_may_run_as_long_as_it_likes() -> None:
    assert Script(f"for i 0 {TASK_STATEMENTS}\nend").ok


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('$e =\nif ($e == "") break', "put quotes round what may be a text or empty, on both sides"),
        ("$e =\nif ($e > 1) break", "a variable in it is empty, or no number"),
        ("$y = 3\nif ($y = 3) break", "write == to compare"),
        ("$y = 3\nif (!$y) break", "write not(…)"),
        ('$x = "a"\nif ("$x" == "a") break', "a value with quotes of its own needs none around it"),
        ("if $a == 1\nbreak\nend", "put all of it in parentheses"),
        ('if ("a" == "a) break', "a quote is not closed"),
        ("IF (1)", "write if: case counts"),
    ],
)
def test_a_condition_that_is_none_fails_with_a_way_out(text: str, hint: str) -> None:
    script = Script(text)
    assert not script.ok
    assert len(script.errors) == 1 and hint in script.errors[0]
