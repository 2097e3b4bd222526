"""Goal: what an assignment stores: mathematics where the right side is some, else the text as it stands.

Method: small scripts on the dictionary world; variables are looked at as they are kept.
"""

from __future__ import annotations

import pytest

from tests.language.world import Script


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$x = 7", "7"),
        ("$x = 007", "007"),
        ("$x=7", "7"),
        ("$x = 2 + 3", "5"),
        ("$x = 7 / 2", "3.5"),
        ("$x = 6 / 2", "3"),
        ("$x = 2007-10-03", "1994"),
        ("$x = a/b", "a/b"),
        ("$x = fast", "fast"),
        ("$x = prog -a -b 3", "prog -a -b 3"),
        ('$x = "a b"', '"a b"'),
        ("$x =", ""),
        ("$x = 5 # the reason", "5"),
        ("$x = a\\b", "ab"),
        ("$x = 0x10 + 1", "17"),
        ("$x = file{1 + 1}.fits", "file2.fits"),
        ("$x = awk {print}", "awk {print}"),
    ],
)
def test_a_right_side_is_mathematics_or_else_a_text(text: str, value: str) -> None:
    script = Script(text)
    assert script.errors == []
    assert script["x"] == value


def test_command_lines_are_built_by_appending_words() -> None:
    script = Script("$run = prog -a\n$run = $run -n 5\n$run = $run $run\necho $run")
    assert script.out == ["prog -a -n 5 prog -a -n 5"]


def test_stored_quotes_act_when_the_variable_is_used() -> None:
    script = Script('$x = "two words"\n$none = ""\nmacro count\necho $0\nend\ncount $x\ncount $none a')
    assert script.out == ["2", "2"]


def test_text_that_looks_like_mathematics_only_with_its_values_is_worked_out() -> None:
    assert Script("$a = 2\n$op = +\n$x = $a $op 3")["x"] == "5"


def test_counting_up_and_down() -> None:
    script = Script("$x ++\n$x++\n$x += 5\n$x -= 2.5\n$y --\n$big = 2147483647\n$big ++")
    assert (script["x"], script["y"], script["big"]) == ("4.5", "-1", "2147483648")


def test_what_is_no_number_cannot_be_counted() -> None:
    assert "is no number" in Script("$x = abc\n$x ++").errors[0]
    assert "is no number" in Script("$x = 1\n$x += abc").errors[0]


def test_the_target_may_be_named_by_variables() -> None:
    script = Script("$ref = a\n$i = 2\n$$ref = 1\n$list:$i = 5\n$$ref:n = 3\n$list:$i ++")
    assert (script["a"], script["list:2"], script["a:n"]) == ("1", "6", "3")


def test_a_macro_may_set_a_variable_of_its_caller_by_name() -> None:
    assert Script("macro set_it\n$$1 = $2\n$$1:n = 0\nend\nset_it there 5").variables["there"] == "5"


def test_a_target_that_is_no_name_fails() -> None:
    assert "is no name" in Script("$ref = two words\n$$ref = 1").errors[0]


def test_a_local_is_assigned_to_before_the_global_one() -> None:
    assert Script("$x = 1\nmacro m\nlocal x\n$x = 2\nend\nm")["x"] == "1"


@pytest.mark.parametrize("text", ["set x = 1 + 2", "set x=3", "$y = 2\nset x = $y + 1", "if (1) set x = 3"])
def test_set_is_an_assignment_as_a_command(text: str) -> None:
    script = Script(text)
    assert script.errors == []
    assert script["x"] == "3"


def test_set_is_a_command_so_its_words_have_lost_their_quotes() -> None:
    script = Script('set x = "fast"\nif ("$x" == "fast") echo same')
    assert script.out == ["same"]


def test_set_takes_an_index_from_a_variable() -> None:
    assert Script("$i = 3\nset list:$i = a")["list:3"] == "a"


# backticks


def test_a_shell_line_in_backticks_gives_its_output_on_one_line() -> None:
    script = Script("$n = 2\n$x = `cat $n`\necho $x $EXECSTATUS", shell={"cat 2": "a\nb\n"})
    assert script.out == ["a b 0"]


def test_only_the_last_newline_of_a_backtick_goes() -> None:
    assert Script("$x = `a`", shell={"a": "b\n\n"})["x"] == "b "


def test_there_is_no_limit_on_what_a_backtick_gives() -> None:
    assert len(Script("$x = `a`", shell={"a": "b" * 100_000})["x"]) == 100_000


def test_a_bad_status_of_a_backtick_warns_and_the_assignment_succeeds() -> None:
    script = Script("$x = `a`\necho $EXECSTATUS $x", shell={"a": (3, "out\n")})
    assert script.ok
    assert script.out == ["3 out"]
    assert script.errors == ["test.pro:1:1: warning: exit status 3: a"]


def test_the_shell_sees_backslashes_and_braces_as_they_are() -> None:
    script = Script("$x = `awk '{print \\$1}' $f`", shell=lambda _: "", variables={"f": "name"})
    assert script.errors == ["test.pro:1:1: cannot expand $1: not in a macro"]
    assert Script("$x = `sed s/\\./{2}/`", shell=lambda _: "").executed == ["sed s/\\./{2}/"]


# braces


def test_an_expression_in_braces_is_replaced_by_its_value() -> None:
    assert Script('$a = 3\necho {$a+1} x{$a/2}y "in {$a * 2} quotes"').out == ["4 x1.5y in 6 quotes"]


def test_a_backslash_makes_a_brace_ordinary() -> None:
    assert Script("echo \\{a} \\\\ \\x").out == ["{a} \\ x"]


@pytest.mark.parametrize(
    "text", ["echo {1 +}", "echo {a b}", "echo {abc}", "echo {1", "echo {{1}}", "$v = abc\necho {$v}"]
)
def test_what_is_no_mathematics_in_braces_fails_the_line(text: str) -> None:
    script = Script(text)
    assert not script.ok
    assert script.out == []
    assert len(script.errors) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("- 5", "-5"),
        ("- $y", "-7"),
        ("-$y", "-7"),
        ("3 -$z", "6"),
        ("-all", "-all"),
        ("1.", "1."),
        (".5", ".5"),
        ("1e3", "1e3"),
        ("1. * 2", "2"),
        ("10:30", "10:30"),
        ("$y $y", "7 7"),
        ("5 min", "5 min"),
        ("a|b", "a|b"),
    ],
)
def test_what_looks_like_a_number_or_nearly_so(text: str, value: str) -> None:
    assert str(Script(f"$y = 7\n$z = -3\n$x = {text}").variables["x"]) == value


@pytest.mark.parametrize("text", ["x = 5", "x=5", "x += 5", "x ++"])
def test_an_assignment_without_its_dollar_says_so(text: str) -> None:
    assert "a variable is set by $x" in Script(text).errors[0]


def test_a_backtick_that_nothing_closes_is_no_text() -> None:
    assert "the backtick of the shell line is not closed" in Script("$x = `date").errors[0]


def test_adding_nothing_is_refused_in_words() -> None:
    assert Script("$x +=").errors == ["test.pro:1:1: there is nothing to add to $x ($x ++ adds 1)"]
