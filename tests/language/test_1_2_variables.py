"""Goal: variables are texts that are put into a line before anything else happens to it, from the right, until none is
left.

Method: small scripts on the dictionary world (`world.py`); what they print or leave in variables is compared.
"""

from __future__ import annotations

import pytest

from shell.language.calls import Data, Mixed
from shell.language.runs import RunKind
from tests.language.world import Script


def test_a_name_takes_all_letters_digits_underscores_and_colons() -> None:
    script = Script("$foo = 1\n$foo_bar = 2\n$a:b = 3\necho $foo_bar $a:b $foo.fits $foo/$foo-$foo")
    assert script.out == ["2 3 1.fits 1/1-1"]


def test_elements_of_a_list_are_variables_and_an_index_may_be_one_too() -> None:
    script = Script("$i = 1\n$list:0 = a\n$list:1 = b\n$list:n = 2\necho $list:$i $list:n")
    assert script.out == ["b 2"]


def test_two_dollars_mean_the_variable_whose_name_is_in_another() -> None:
    script = Script("$x = 5\n$list:n = 3\n$ref = x\n$which = list\necho $$ref $$which:n")
    assert script.out == ["5 3"]


def test_word_keys_make_tables() -> None:
    script = Script("$map:north = up\n$key = north\necho $map:$key $?map:$key $?map:south")
    assert script.out == ["up 1 0"]


def test_a_question_mark_asks_whether_a_variable_exists() -> None:
    script = Script("$x =\necho $?x $?y\nif ($?y == 0) set y = 7\necho $y")
    assert script.out == ["1 0", "7"]


def test_values_are_expanded_again() -> None:
    assert Script("$name = world\n$tail = ame\necho hello $n$tail").out == ["hello world"]


def test_a_value_with_a_dollar_is_expanded_when_it_is_used() -> None:
    script = Script("echo $line $line", variables={"line": "$x/$x", "x": "deep"})
    assert script.out == ["deep/deep deep/deep"]


def test_the_last_of_two_glued_variables_goes_first_and_a_backslash_keeps_them_apart() -> None:
    script = Script("$year = 2007\n$week = 34\n$yearly = no\n$tag = $year\\$week\necho $tag $year\\T$week")
    assert script.out == ["200734 2007T34"]
    assert Script("$a = 1\n$b = 2\n$a2 = glued\necho $a$b").out == ["glued"]


def test_an_unknown_variable_fails_its_line_with_the_place() -> None:
    script = Script("$x = 1\n  echo before; echo $nosuch $x\necho after")
    assert script.out == ["before"]
    assert script.errors == ["test.pro:2:16: variable nosuch not found"]
    assert not script.ok


def test_a_lone_dollar_is_ordinary_text() -> None:
    assert Script("echo $ $. a$").out == ["$ $. a$"]


def test_braces_behind_a_dollar_are_no_variable() -> None:
    script = Script("$x = 1\necho ${x}")
    assert not script.ok
    assert "write $name" in script.errors[0]


def test_arguments_exist_in_macros_only() -> None:
    assert "not in a macro" in Script("echo $1").errors[0]
    assert Script("macro two\necho $0 $1 $2 $?2 $?3\nend\ntwo a b").out == ["3 a b 1 0"]


def test_a_value_that_holds_its_own_name_ends_with_a_sentence() -> None:
    script = Script("echo $loop", variables={"loop": "$loop"})
    assert "more than 100000 variables" in script.errors[0]


def test_a_line_does_not_grow_without_limit() -> None:
    script = Script("echo $a", variables={"a": "$b$.$b$.$b$.$b", "b": "x" * 5_000_000})
    assert "16777216 characters" in script.errors[0]


# what jobs wrote


WILD = 'one $nosuch "two;  {3} \\ `id`\n$(rm) '


def test_what_a_job_wrote_is_one_word_and_is_never_parsed() -> None:
    script = Script('echo $stdout\necho "<$stdout>"\nqueuepush q $stdout', variables={"stdout": Data(WILD)})
    assert script.errors == []
    assert "\n".join(script.out) == f"{WILD}\n<{WILD}>"
    assert script.lines("q") == WILD.split("\n")


def test_a_copy_of_what_a_job_wrote_is_as_safe() -> None:
    script = Script("$x = $stdout\n$y = $x\necho $y", variables={"stdout": Data(WILD)})
    assert "\n".join(script.out) == WILD
    assert isinstance(script.variables["y"], Data)


def test_it_is_a_text_in_conditions_whatever_it_holds() -> None:
    script = Script('if ("$stdout" == "7") echo seven\nif ($stdout == 7) echo number', variables={"stdout": Data("7")})
    assert script.out == ["seven"]


def test_a_command_line_may_be_made_with_it_and_only_the_rest_is_split() -> None:
    script = Script("$run = exec grep -e $stdout file\n$run", variables={"stdout": Data("a b; id")}, shell=lambda _: "")
    assert isinstance(script.variables["run"], Mixed)
    assert script.executed == ["grep -e 'a b; id' file"]


def test_an_empty_output_is_still_a_word() -> None:
    assert Script("macro count\necho $0\nend\ncount $stdout", variables={"stdout": Data("")}).out == ["2"]


def test_a_line_takes_a_thousand_outputs_and_not_more() -> None:
    script = Script(variables={"stdout": Data("x")})
    assert script.more("queuepush q (" + "$stdout " * 1024 + ")").ok
    assert "more than 1024 outputs" in script.more("queuepush q (" + "$stdout " * 1025 + ")").errors[0]


# locals


def test_a_local_belongs_to_one_call() -> None:
    inner = "macro inner\n  echo inner $k\nend\n"
    outer = "macro outer\n  local k\n  echo $k\n  $k = mine\n  inner\n  echo $k\nend\n"
    script = Script(f"$k = global\n{inner}{outer}outer\nouter\necho $k")
    assert script.out == ["NULL", "inner global", "mine"] * 2 + ["global"]


def test_a_static_local_keeps_its_value_from_call_to_call() -> None:
    body = 'local -static n\nif ("$n" == "NULL") set n = 0\n$n ++\necho $n'
    text = f"macro count\n{body}\nend\ncount\ncount\necho $?n"
    assert Script(text).out == ["1", "2", "0"]


def test_each_call_of_a_recursive_macro_has_its_own_locals() -> None:
    text = "macro down\n  local k\n  $k = $1\n  if ($k > 0) down {$k - 1}\n  echo $k\nend\ndown 2"
    assert Script(text).out == ["0", "1", "2"]


def test_a_local_outside_of_macros_is_global_but_a_task_macro_keeps_its_own() -> None:
    assert Script("local a\nmacro show\necho $a\nend\nshow").out == ["NULL"]
    assert "a" not in Script("local a\n$a = 1", kind=RunKind.TASK).variables


def test_an_argument_cannot_be_local() -> None:
    assert "is an argument" in Script("macro m\nlocal 1\nend\nm x").errors[0]


# what is set


@pytest.mark.parametrize(
    "name", ["HOME", "PID", "KAPA", "UNSIGN", "M_PI", "M_E", "M_c", "M_h", "M_kB", "SCRIPT", "argv:n", "SCRIPT_NAME"]
)
def test_start_variables_are_set(name: str) -> None:
    assert name in Script().variables


def test_status_tells_how_the_statement_before_ended() -> None:
    text = "break -auto off\necho a\necho $STATUS\nnosuch\necho $STATUS\n$x = 1\necho $STATUS"
    assert Script(text).out == ["a", "1", "0", "1"]


def test_errormsg_is_shown_behind_each_failure() -> None:
    assert Script("$ERRORMSG = call the operator\nnosuch").errors[-1] == "call the operator"


def test_all_variables_can_be_shown() -> None:
    assert "abc:1 = 5" in Script("$abc:1 = 5\n?? abc").out


def test_getargs_takes_options_out_of_the_arguments() -> None:
    text = (
        "macro m\ngetargs -v bool -var loud\ngetargs -n value\necho $loud $n $0 $1\nend\nm -n 5 -v file\n$n = 7\nm file"
    )
    assert Script(text).out == ["1 5 2 file", "0 7 2 file"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('$h = n1\necho "host $h: down"', r"the name goes on over the colon; write $h\: to end it"),
        ('macro m\necho "page $1: x"\nend\nm a', r"the name goes on over the colon; write $1\: to end it"),
        ("$l:n = 2\necho $l:2", "list l has 2 elements, counted from 0"),
        ("$NETWORK = 1\nif ($NETWROK) echo never", "did you mean $NETWORK?"),
        ("$i = 1\n$x = a\necho $i$x", r"write $a\$b for both"),
    ],
)
def test_a_missing_variable_comes_with_a_way_out(text: str, hint: str) -> None:
    script = Script(text)
    assert script.out == []
    assert len(script.errors) == 1 and hint in script.errors[0]


def test_a_backslash_ends_a_name_before_a_colon() -> None:
    assert Script("$h = n1\necho host $h\\: down").out == ["host n1: down"]


def test_words_behind_the_colon_are_flat_names_and_asked_for_by_argument() -> None:
    text = "$map:north = 3\nmacro f\necho $?map:$1 $?map:$2 $map:$1\nend\nf north south"
    assert Script(text).out == ["1 0 3"]


def test_elements_of_a_list_whose_name_is_an_argument_are_read_and_set() -> None:
    text = (
        "macro q\n$k = 1\necho $$1 $$1:n $$1:$k\n$$1:$k = new\n$$1:n = 9\nend\n"
        "$l = list\n$l:0 = a\n$l:1 = b\n$l:n = 2\nq l\necho $l:1 $l:n"
    )
    assert Script(text).out == ["list 2 b", "new 9"]
