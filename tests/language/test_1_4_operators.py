"""Operators and functions: what an expression of the language is worth.

Goal: precedence, whole and floating numbers, texts and their comparison, every function, what is stored as typed, and
that a template with its values gives what the text with the values in it gives.
Method: texts are given to the functions of `shell/language/mathematics.py`; the properties that must hold for any text
are tried with Hypothesis, with counted work where the time it takes matters.
"""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shell.language.arithmetic import DRAWN, OF_TEXT, PAIRED, UNARY
from shell.language.calls import Data
from shell.language.expressions import EXPRESSION_MAX
from shell.language.mathematics import (
    MathsError,
    NotPlainError,
    Slot,
    Value,
    compile_template,
    evaluate,
    evaluate_text,
    format_number,
    is_plain,
    truth,
)


def worth(text: str) -> str:
    """As `echo {text}` shows it."""
    return str(evaluate_text(text, Random(1)))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 - 4 - 3", "3"),
        ("24 / 4 / 3", "2"),
        ("7 - 2 % 4", "5"),
        ("-2^2", "4"),  # the sign binds tighter
        ("2^-1", "0.5"),
        ("2^3^2", "512"),  # from right to left
        ("3 - -2", "5"),
        ("--5", "5"),
        ("3++5", "8"),
        ("1|2 == 3", "1"),  # bits bind tighter than comparisons
        ("5 & 4 + 2", "4"),
        ("1 + 1 <~ 2", "8"),
        ("1 || 0 && 0", "1"),
        ("1 < 2 && 2 < 3", "1"),
        ("3 == 3 != 0", "1"),
        ("1 < 2 < 2", "1"),
        ("1 @ 1", "45"),
        ("-1 @ 0", "-90"),
        ("2 * 1 @ 1", "63.4349488229"),  # (2 * 1) @ 1
        ("3 << 5", "3"),
        ("3 >> 5", "5"),
        ("1 <~ 4", "16"),
        ("16 ~> 3", "2"),
        ("-16 ~> 3", "-2"),
        ("6 & 3", "2"),
        ("6 | 3", "7"),
        ("1 ? 2 : 3", "2"),
        ("0 ? 2 : 3", "3"),
        ("0 ? 2 : 0 ? 4 : 5", "5"),
        ("1 ? 0 ? 2 : 4 : 5", "4"),
        ("1 + 1 == 2 ? 10 + 1 : 20", "11"),
        ("$".replace("$", " 4 +\t4 "), "8"),
    ],
)
def test_operators_bind_in_their_order(text: str, result: str) -> None:
    assert worth(text) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("7/2", "3.5"),
        ("6/2", "3"),
        ("7 % 4", "3"),
        ("-7 % 4", "-3"),
        ("7.5 % 2", "1.5"),
        ("2 + 2.5", "4.5"),
        ("0.1 + 0.2", "0.3"),  # twelve digits
        ("1 / 3", "0.333333333333"),
        ("2^2", "4"),
        ("0x1f + 0", "31"),
        ("010 + 0", "8"),  # octal
        ("08 + 0", "8"),  # no octal: as a floating number
        ("1e3 + 0", "1000"),
        ("2007-10-03", "1994"),
        ("2147483647 + 1", "2147483648"),
        ("3000000000 * 3000000000", "9e+18"),
        ("2147483647 * 2147483647 % 10", "8"),
        ("2.5 > 2", "1"),
        ("3 == 3.0", "1"),
        ("5 >= 5", "1"),
        ("5 <= 4", "0"),
        ("1 != 1", "0"),
        ("2 && 0.5", "1"),
        ("0 || 0.0", "0"),
    ],
)
def test_whole_and_floating_numbers_are_kept_apart(text: str, result: str) -> None:
    assert worth(text) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("1/0", "inf"),
        ("-1/0", "-inf"),
        ("0/0", "nan"),
        ("5 % 0", "nan"),
        ("ln(0)", "-inf"),
        ("ln(-1)", "nan"),
        ("sqrt(-1)", "nan"),
        ("asin(2)", "nan"),
        ("(-8)^(1/3)", "nan"),
        ("0^-1", "inf"),
        ("10^400", "inf"),
        ("(-10)^401", "-inf"),
        ("exp(1000)", "inf"),
        ("sinh(-1000)", "-inf"),
        ("lgamma(0)", "inf"),
        ("1 <~ 2000", "inf"),
        ("int(1/0)", "inf"),
        ("isinf(1/0) + isnan(0/0)", "2"),
        ("isinf(1) + isnan(1)", "0"),
        ("0/0 == 0/0", "0"),
    ],
)
def test_where_there_is_no_result_the_c_library_says_what_comes_out(text: str, result: str) -> None:
    assert worth(text) == result


def test_towers_of_powers_end_at_infinity() -> None:
    assert worth("2^2^2^2^2^9") == "inf"
    assert worth("*".join(["2000000000"] * 5000)) == "inf"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("not(0)", "1"),
        ("not (3)", "0"),
        ("abs(-3)", "3"),
        ("abs(-3.5)", "3.5"),
        ("int(7.9)", "7"),
        ("int(-7.9)", "-7"),
        ("floor(-2.5)", "-3"),
        ("ceil(2.1)", "3"),
        ("round(2.5)", "3"),
        ("round(-2.5)", "-3"),
        ("rint(2.5)", "2"),
        ("rint(3.5)", "4"),
        ("round(0.49999999999999994)", "0"),
        ("exp(0)", "1"),
        ("ten(3)", "1000"),
        ("log(1000)", "3"),
        ("ln(exp(2))", "2"),
        ("sqrt(16)", "4"),
        ("erf(0)", "0"),
        ("sin(0)", "0"),
        ("cos(0)", "1"),
        ("tan(0)", "0"),
        ("asin(1) * 2", "3.14159265359"),
        ("acos(1)", "0"),
        ("4 * atan(1)", "3.14159265359"),
        ("dsin(30)", "0.5"),
        ("dcos(60)", "0.5"),
        ("dtan(45)", "1"),
        ("dasin(1)", "90"),
        ("dacos(0)", "90"),
        ("datan(1)", "45"),
        ("sinh(0)", "0"),
        ("cosh(0)", "1"),
        ("asinh(0)", "0"),
        ("acosh(1)", "0"),
        ("lgamma(1)", "0"),
        ("max(2, 3)", "3"),
        ("min(2,3)", "2"),
        ("max(min(4, 3), 1 + 1)", "3"),
        ("atan2(1, 0) * 2", "3.14159265359"),
        ("datan2(1, 0)", "90"),
        ('length("abc")', "5"),  # quotes count
        ("length(abc)", "3"),
        ("length(007)", "3"),
        ("length(1 + 9)", "2"),
        ("isword(abc)", "1"),
        ("isword(3)", "0"),
        ("isnum(3.5)", "1"),
        ('isnum("3.5")', "0"),
        ("isint(3)", "1"),
        ("isint(3.0)", "0"),
        ("isflt(3.0)", "1"),
        ("isflt(7/2)", "1"),
        ("isnan(0) + 1", "1"),
    ],
)
def test_functions(text: str, result: str) -> None:
    assert worth(text) == result


def test_every_function_takes_parentheses_and_any_number() -> None:
    for name in [*UNARY, *DRAWN, *OF_TEXT]:
        for value in ("0", "-1", "1e300", "-1e300", "0.5", "1/0", "0/0"):
            assert isinstance(evaluate(f"{name}({value})", Random(1)), int | float)
    for name in PAIRED:
        assert isinstance(evaluate(f"{name}(1e300, -2)", Random(1)), int | float)


def test_drawn_numbers_are_in_their_range_and_come_from_the_given_source() -> None:
    drawn = [evaluate("rnd(0)", random) for random in [Random(5)] for _ in range(200)]
    assert all(isinstance(value, float) and 0 <= value < 1 for value in drawn)
    assert len(set(drawn)) == 200
    assert evaluate("rnd(0)", Random(5)) == drawn[0]
    whole = [evaluate("lrnd(0)", random) for random in [Random(5)] for _ in range(200)]
    assert all(isinstance(value, int) and 0 <= value < 2**31 for value in whole)
    assert worth("int(100 * drnd(0)) < 100") == "1"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('"x" == "x"', "1"),
        ('"x" != "y"', "1"),
        ('x == "x"', "0"),  # quotes are part of the text
        ("x == x", "1"),
        ('"3" == 3', "0"),  # a text equals no number
        ('"3" != 3', "1"),
        ("x == 3", "0"),
        ('("two words" == "two words")', "1"),
        ('("a+b;(c" == "a+b;(c")', "1"),
        ('"" == ""', "1"),
        ('("a" == "a") && ("b" != "c")', "1"),
        ("a.b:c_1 == a.b:c_1", "1"),
        ("3abc == 3abc", "1"),
        ("floor == floor", "1"),  # no parenthesis: a word
        ("it's == it's", "1"),
    ],
)
def test_texts_can_be_compared(text: str, result: str) -> None:
    assert worth(text) == result


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "()",
        "(1",
        "1)",
        "1 +",
        "* 2",
        "1 2",
        "prog -a b",
        "a/b",
        "/usr/bin/x",
        "~/x",
        "user@host",
        '"a" + 1',
        '"a" < "b"',
        '-"a"',
        'not("a")',
        "sqrt(a)",
        '"a" && 1',
        '1 ? "a" : "b"',
        "1?2:3",
        "1 ? 2",
        "1 : 2",
        "1 ? (2 : 3)",
        "sqrt()",
        "sqrt(1, 2)",
        "max(1)",
        "max(1, 2, 3)",
        "(1, 2)",
        "nosuch(3)",
        "1 = 2",
        "!x",
        '"open',
        '"a"b',
        'b"a"',
        "1 <~ -1",
        "1 & (1/0)",
        "1 + \x00",
        "\x00",
    ],
)
def test_what_is_no_mathematics_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(MathsError, match=r"\w"):
        evaluate(text, Random(1))


def test_a_refusal_names_the_word_that_does_not_belong() -> None:
    with pytest.raises(MathsError, match="'b' stands where an operator is wanted"):
        evaluate("prog -a b", Random(1))
    with pytest.raises(MathsError, match=r"operator \+ is not defined for text") as error:
        evaluate('"a" + 1', Random(1))
    assert '"a"' in error.value.hint


def test_a_refusal_is_remembered_and_said_anew() -> None:
    errors = []
    for _ in range(2):
        with pytest.raises(MathsError) as error:
            evaluate("a b", Random(1))
        errors.append(error.value)
    assert str(errors[0]) == str(errors[1]) and errors[0] is not errors[1]


@pytest.mark.parametrize("text", ["007", "-007", "+5", "0x1f", "1e5", "3.0", "017", "1e-3", "word", '"two words"'])
def test_a_single_number_or_text_is_stored_as_typed(text: str) -> None:
    assert evaluate_text(f"  {text} ", Random(1)) == text


def test_what_is_worked_out_is_stored_as_a_whole_number_or_as_twelve_digits() -> None:
    assert evaluate_text("007 + 0", Random(1)) == 7
    assert evaluate_text("6/2", Random(1)) == "3"
    assert evaluate_text("(abc)", Random(1)) == "abc"
    assert format_number(1e15) == "1e+15" and format_number(-12) == "-12" and format_number(2.50) == "2.5"


def test_a_condition_is_a_number() -> None:
    assert truth(1) and truth(0.5) and truth(math.nan) and not truth(0) and not truth(0.0)
    with pytest.raises(MathsError, match="abc is no condition"):
        truth("abc")


# templates: the same, with variables as operands

VALUES = (3, 0, -2, 2.5, "7", "007", "-4", "1e3", "word", "NULL", "a.b", "08", math.inf)


@pytest.mark.parametrize(
    "parts",
    [
        [Slot(0)],
        [Slot(0), " + 1"],
        [Slot(0), " - ", Slot(1)],
        ["(", Slot(0), " == 3)"],
        ["(", Slot(0), " != ", Slot(1), ")"],
        ["(", Slot(0), " < ", Slot(1), ") && not(", Slot(0), ")"],
        ["((", Slot(0), " == 1) || (", Slot(1), " >= 2))"],
        [Slot(0), " % 10 == 0"],
        [Slot(0), "/", Slot(1), " > 0.5"],
        [Slot(0), "^", Slot(1)],
        ["-", Slot(0), "^2"],
        [Slot(0), " ? ", Slot(1), " : -1"],
        ["1 ? ", Slot(0), " : ", Slot(1)],
        ["int(100 * rnd(", Slot(0), "))"],
        ["length(", Slot(0), ") + isnum(", Slot(1), ")"],
        ["isword(", Slot(0), " + 1)"],
        ["max(", Slot(0), ", ", Slot(1), ")"],
        ["sqrt(", Slot(0), ")"],
        ['("', Slot(0), '" == "word")'],
        ['("', Slot(0), ".", Slot(1), '" != "3.0")'],
        ['(length("', Slot(0), '"))'],
        ["(", Slot(0), ' == "', Slot(1), '")'],
        ['("', Slot(0), '" == 3)'],
        ['("', Slot(0), '" + 3)'],
        ['("', Slot(0), '" && 1)'],
        [Slot(0), " * 2000000000 * 2000000000"],
        [Slot(0), " & 6 | ", Slot(1), " <~ 2"],
        ["2 - -", Slot(0)],
        ["not(", Slot(0), " == ", Slot(1), ") + 1"],
        ["(1 == 1) == ", Slot(0)],
    ],
)
def test_a_template_with_values_is_worth_what_its_text_is_worth(parts: list[str | Slot]) -> None:
    template = compile_template(parts)
    assert template is not None
    for _ in range(5):  # first the program, then the code that was made of it
        for first in VALUES:
            for second in VALUES:
                text = "".join(p if isinstance(p, str) else shown((first, second)[p.index]) for p in parts)
                values = (first, second)
                assert said(lambda: template.evaluate_text(values, Random(3))) == said(  # noqa: B023
                    lambda: evaluate_text(text, Random(3))  # noqa: B023
                ), text
                assert said(lambda: template.test(values, Random(3))) == said(  # noqa: B023
                    lambda: truth(evaluate(text, Random(3)))  # noqa: B023
                ), text


def shown(value: Value) -> str:
    return value if isinstance(value, str) else format_number(value)


def said(question) -> object:  # type: ignore[no-untyped-def]
    """The answer, as text, or the words of the refusal."""
    try:
        answer = question()
    except MathsError as error:
        return "refused: " + str(error)
    return answer if isinstance(answer, bool) else str(answer)


@pytest.mark.parametrize(
    "parts",
    [
        [Slot(0), Slot(1)],
        ["2", Slot(0)],
        [Slot(0), "x + 1"],
        [Slot(0), "(2)"],
        ["1 ", Slot(0), " 2"],
        ["2e-", Slot(0)],
        ["prog -a ", Slot(0)],
        [Slot(0), '"a"'],
        ["-", Slot(0)],  # -007 is a number as typed
        ["\0 + ", Slot(0)],
    ],
)
def test_where_a_value_is_not_surely_an_operand_there_is_no_template(parts: list[str | Slot]) -> None:
    assert compile_template(parts) is None


@pytest.mark.parametrize(
    "value", ["two words", "1 + 1", "", "a/b", 'say "x"', "$x", "{1}", "a\\b", "x,y", ":", "2e", "(1)", "x" * 100]
)
def test_a_value_that_could_be_more_than_an_operand_is_handed_back(value: str) -> None:
    assert not is_plain(value)
    template = compile_template([Slot(0), " == 1"])
    assert template is not None
    for _ in range(5):
        for question in (template.evaluate, template.test, template.evaluate_text):
            with pytest.raises(NotPlainError):
                question([value], Random(1))


def test_between_quotes_blanks_and_operators_are_text_and_only_quotes_and_expansions_are_handed_back() -> None:
    template = compile_template(['("', Slot(0), '" == "a (b) + c")'])
    assert template is not None
    for _ in range(5):
        assert template.test(["a (b) + c"], Random(1))
        assert not template.test([""], Random(1))
        for value in ('"', "$x", "{1}", "\\"):
            with pytest.raises(NotPlainError):
                template.test([value], Random(1))


def test_job_output_is_a_text_whatever_it_holds() -> None:
    number, quoted = compile_template([Slot(0), " == 3"]), compile_template(['("', Slot(0), '" == "3")'])
    assert number is not None and quoted is not None
    assert is_plain(Data('$(id); "'))
    for _ in range(5):
        assert not number.test([Data("3")], Random(1))
        assert quoted.test([Data("3")], Random(1))
        assert not quoted.test([Data('3" == "3')], Random(1))
        assert compile_template([Slot(0)]).evaluate_text([Data("a b")], Random(1)) == "a b"  # type: ignore[union-attr]


def test_a_template_takes_a_whole_number_without_looking_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    template = compile_template([Slot(0), " + 1"])
    assert template is not None
    for _ in range(4):
        template.evaluate([1], Random(1))
    monkeypatch.setattr("shell.language.mathematics.run", None)
    template._function.__globals__["operand_of"] = None  # type: ignore[union-attr]
    assert template.evaluate([41], Random(1)) == 42


# any text

PIECES = st.one_of(
    st.sampled_from(["1", "2", "007", "9e9", ".5", "0x", "x", '"a b"', "inf", "nan", "é", " ", " : ", "not"]),
    st.sampled_from(["sqrt(", "max(", "length(", "lgamma(", "rnd(", "(", ")"]),
    st.sampled_from([*"+-*/%@^&|<>=!~?,", '"', "$", "\\", "{", "\0"]),
)


@given(st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=25).map("".join)))
@example("^".join(["2"] * 9) + "^9")
@example("-" * 3000 + "1")
@example("(" * 3000 + "1" + ")" * 3000)
@example("2^" * 3000 + "1")
@example("max(1," * 2000 + "1" + ")" * 2000)
@example("1 ? 2 : " * 2000 + "3")
@example("9" * 5000)
@example("0x" + "f" * 5000)
@example("1" * 3000 + "x")
def test_any_text_has_a_worth_or_is_refused(text: str) -> None:
    try:
        result = evaluate_text(text, Random(1))
    except MathsError:
        return
    assert isinstance(result, str) or abs(result) <= 2**31


@given(
    st.lists(PIECES, max_size=8),
    st.lists(PIECES, max_size=8),
    st.one_of(PIECES, st.integers(-(2**31), 2**31), st.text(max_size=5)),
)
def test_a_template_never_disagrees_with_its_text(before: list[str], after: list[str], value: int | str) -> None:
    parts: list[str | Slot] = ["".join(before), Slot(0), "".join(after)]
    template = compile_template(parts)
    if template is None:
        return
    text = "".join(before) + str(value) + "".join(after)
    for _ in range(4):
        try:
            got = said(lambda: template.evaluate_text([value], Random(1)))
        except NotPlainError:
            return
        wanted = said(lambda: evaluate_text(text, Random(1)))
        assert got == wanted or (str(got).startswith("refused") and str(wanted).startswith("refused"))


def test_the_longest_texts_are_read_in_one_pass() -> None:
    """Each of these is at the limit, and would take minutes if any step looked at the rest of the text again."""
    for piece in ("1+", "2^", "-", "(", "1 ? 2 : ", "max(1,", '"a"==', "not("):
        text = piece * (EXPRESSION_MAX // len(piece) - 1) + "1"
        said(lambda: evaluate_text(text, Random(1)))  # noqa: B023
    with pytest.raises(MathsError, match="at most 65536 characters"):
        evaluate("1" + " " * EXPRESSION_MAX, Random(1))
