"""Goal: lines that are read once mean what the expansion of their text means, whatever stands in them and in their
variables.

Method: Hypothesis makes lines from the pieces that matter (variables, glued names, quotes, parentheses, braces,
backslashes, outputs of jobs) and values of variables from the same pieces. Each line is taken both ways: by the
template and as text; where the template gives an answer at all, the two must be equal, also in what kind of text each
word is. And whatever the line is, nothing but a `Failure` is raised.
"""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from shell.language.assigning import Assign, Condition, assigned
from shell.language.calls import Data, Failure, Mixed
from shell.language.expansion import words_of
from shell.language.runs import Run
from shell.language.templates import TextualError, read_words
from shell.language.tree import Position
from tests.language.world import Script

AT = Position("test.pro", 1, 1)
PIECES = [
    "$a",
    "$b",
    "$list:",
    "$$b",
    "$$b:n",
    "$?a",
    "$?",
    "$1",
    "$",
    "x",
    "7",
    "0.5",
    " ",
    "  ",
    '"',
    "(",
    ")",
    "{",
    "}",
    "\\",
    ":n",
    ".",
]
PIECES += ["+", "-", "==", " + ", "abc", "=", ";", ",", "#", "-key", "$c", "{$a+1}", "{2*3}", '"$a"', "'", "\n"]
lines = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
values = st.one_of(
    st.integers(-5, 2**31),
    st.sampled_from(
        [
            "a",
            "b",
            "list:n",
            "",
            "two words",
            "3",
            "1.5",
            "-2",
            "x.fits",
            "NULL",
            "$a",
            '"q"',
            "(1)",
            "{2}",
            "a\\b",
            "$",
        ]
    ),
    st.sampled_from(["", "one", '$a "b" {3} (x', "line\nline"]).map(Data),
    st.just(Mixed(["pre ", Data("$a"), "post"])),
)


def world(a: Any, b: Any, c: Any) -> Run:
    script = Script(variables={"a": a, "b": b, "c": c, "list:0": "zero", "list:n": 2, "a:n": 5})
    script.run.arguments = ["macro", "first"]
    return script.run


def attempt(function: Any) -> Any:
    try:
        return function()
    except Failure:
        return "Failure"  # where two things are wrong, each way may find another one first


def kinds(words: Any) -> Any:
    return [(type(word), str(word)) for word in words] if isinstance(words, list) else words


def by_template(run: Run, line: str) -> Any:
    """The words as the interpreter makes them; None: it would take the text."""
    try:
        made = read_words(line)
        words = [word if isinstance(word, str) else word(run) for word in made]
    except TextualError:
        return None
    return [word for word in words if word or type(word) is not str]


@given(lines, values, values, values)
@example('echo "$a"', Data('"'), "b", "c")
@example("$list:$b", "x", "0", "c")
@example("{$a+1}", "3", "0", "c")
@example("$$b:n", 1, "a", "c")
def test_words_read_once_are_the_words_of_the_expansion(line: str, a: Any, b: Any, c: Any) -> None:
    run = world(a, b, c)
    quick = attempt(lambda: by_template(run, line))
    if quick is not None:
        assert kinds(quick) == kinds(attempt(lambda: words_of(run, AT, line)))


@given(lines, values, values, values)
@example("$a - $b", "-2", "x", "c")
@example("$a", Data("7"), "x", "c")
@example("$?$list:0.5", 1, 2, 3)
def test_a_right_side_read_once_is_worth_what_its_text_is_worth(line: str, a: Any, b: Any, c: Any) -> None:
    run = world(a, b, c)
    line = line.strip()
    quick = attempt(lambda: Assign("x", line)._value(run) if Assign("x", line)._constant is None else line)
    slow = attempt(lambda: assigned(run, line))
    assert str(quick) == str(slow)
    assert isinstance(quick, Data) == isinstance(slow, Data)


@given(lines, values, values, values)
def test_a_condition_read_once_holds_when_its_text_holds(line: str, a: Any, b: Any, c: Any) -> None:
    run = world(a, b, c)
    condition = Condition(f"({line})")
    assert attempt(lambda: condition.holds(run)) == attempt(lambda: condition._textually(run))


@given(st.text(st.sampled_from('$?:ab1 "(){}\\`;#=+-\n\t\ud7ff\ue000'), max_size=30))
def test_no_text_raises_anything_but_a_failure_of_its_statement(text: str) -> None:
    script = Script(text, variables={"a": "$b", "b": '"(', "1": "x"}, shell=lambda _: (0, ""))
    assert script.signal is not None
