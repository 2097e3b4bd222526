"""Whatever the text is: the parser answers, in time linear in it, and what it understood can be written and read again.

Method: Hypothesis with random text, with lines made of the language's own words and marks, and with damaged scripts;
and a kept corpus of the nastiest texts found so far (`corpus/`; add a file there when a text makes trouble). Linear
time is judged by the ratio between a text and one ten times as long (processor time of the test alone, the best of some
tries), never by seconds.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shell.language.lines import BLANKS
from shell.language.parsing import parse
from shell.language.printing import print_script
from shell.language.tree import Script
from tests.language.trees import problems, shape

TRIES = 20
"""Measurements on a busy machine, at most; on a quiet one the first is enough."""
CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())

WORDS = [
    *(
        "if",
        "else",
        "elseif",
        "end",
        "endif",
        "END",
        "for i 0 3",
        "foreach w a b",
        "while",
        "list a",
        "macro go",
        "macro create",
    ),
    *(
        "macro list",
        "task t",
        "task.exec",
        "task.exit 0",
        "TASK.EXIT",
        "break",
        "set x =",
        "periods -exec 1",
        "echo",
        "exec ls",
    ),
    *(
        "$x",
        "$x =",
        "$x ++",
        "$$r:n -=",
        "$list:$i =",
        "--",
        "==",
        "&&",
        "(1)",
        "(",
        ")",
        "((",
        "))",
        '"',
        '"a b"',
        "`",
        "`ls`",
    ),
    *(
        ";",
        " # ",
        "#",
        "!",
        "\\",
        "\\;",
        "{",
        "}",
        "'",
        " ",
        "\t",
        "\r",
        "\f",
        "\v",
        "\n",
        "\n\n",
        "\x00",
        "\u2028",
        "\u00e9",
    ),
]
lines = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
scripts = st.lists(lines, max_size=25).map("\n".join)
glued = st.lists(st.sampled_from(WORDS), max_size=40).map("".join)


def check(text: str) -> Script:
    """Parse, and see that positions lie in the text and that printing is stable."""
    script = parse(text, "x.pro")
    printed = print_script(script)
    again = parse(printed, "x.pro")
    assert shape(again) == shape(script)
    assert sorted(problems(again)) == sorted(problems(script))
    assert print_script(again) == printed
    physical = text.removeprefix("\ufeff").split("\n")
    for at in (*(statement.at for statement in script.body), *(problem.at for problem in script.problems)):
        line = physical[at.line - 1]
        assert 1 <= at.column <= len(line)
        assert line[at.column - 1] not in BLANKS
    return script


@given(st.text())
@example("\ufeff#\n$x =#a;b")
@example('if "a $x = ;b # c" d')
@example("$x = (a; b # c) d")
def test_any_text_is_parsed_and_printed_again(text: str) -> None:
    check(text)


@given(scripts | glued)
@example("list a; #b; c\nend")
@example("list a; !b; c\nend")
@example("macro create\tdelete\nend")
@example("if (1) if (2)\nend; echo")
@example("macro a\n if\n else if\n")
def test_any_text_of_the_languages_own_words_is_parsed_and_printed_again(text: str) -> None:
    check(text)


@given(scripts | glued)
def test_at_a_prompt_any_text_is_parsed_and_only_open_blocks_are_unfinished(text: str) -> None:
    script = parse(text, "prompt", prompt=True)
    unfinished = [problem for problem in script.problems if problem.unfinished]
    assert len(unfinished) <= 1
    closed = parse(text + "\nend" * (text.count("\n") + text.count(";") + 1), "prompt", prompt=True)
    assert not any(problem.unfinished for problem in closed.problems)


@given(scripts, st.data())
def test_a_line_that_is_lost_changes_nothing_before_the_block_it_was_in(text: str, data: st.DataObject) -> None:
    whole = check(text)
    physical = text.split("\n")
    lost = data.draw(st.integers(0, len(physical) - 1))
    cut = check("\n".join(physical[:lost] + physical[lost + 1 :]))
    ends = [following.at.line for following in whole.body[1:]]
    untouched = sum(1 for line in ends if line <= lost)
    assert shape(Script("", cut.body[:untouched])) == shape(Script("", whole.body[:untouched]))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_kept_corpus_is_parsed_and_printed_again(path: Path) -> None:
    script = check(path.read_bytes().decode("utf-8", errors="surrogateescape"))
    assert bool(script.problems) == path.name.startswith("bad-")


@pytest.mark.parametrize(
    "unit",
    [
        "(", ")", "(;", ";)", "`\"", '"', '" ', "`;", " #", "$", "$x=", "if (a) ", "if (", "if ", "! ", "\\", "{",
        "\x00", "a;", "\t", "if (a)\n", "if\n", "else\n", "end\n", "list a\n", "task a\ntask.exec\n", "macro a;",
        "if (a) for i\n", "$x = 1 # a\n", "\r\n",
    ],
)  # fmt: skip
def test_a_text_ten_times_as_long_takes_about_ten_times_as_long(unit: str) -> None:
    def seconds(count: int) -> float:
        text = unit * count
        begun = time.process_time()
        parse(text, "x.pro")
        return time.process_time() - begun

    # Quadratic time would give 100, in each try. What disturbs makes a try longer, never shorter, so the best ones
    # count, and while they say no there is one more. Short times are no evidence.
    short = long = math.inf
    for _ in range(TRIES):
        short = min(short, *(seconds(3_000) for _ in range(3)))
        long = min(long, seconds(30_000))
        if long < 0.02 or long < 40 * max(short, 0.0005):
            return
    raise AssertionError(f"{short:.4f} s become {long:.4f} s")


def test_a_line_of_a_megabyte_of_nested_marks_is_read() -> None:
    check("echo " + "(" * 500_000 + ";" + ")" * 500_000)
    check("if (1) " * 150_000)


def test_blocks_a_hundred_thousand_deep_are_refused_without_deep_recursion() -> None:
    script = parse("while (1)\n" * 100_000, "x.pro")
    assert [problem.text for problem in script.problems][-1].startswith("blocks nested deeper")
    assert len(script.problems) == 2


def test_a_line_longer_than_the_limit_is_refused_alone() -> None:
    script = parse("echo a\n$x = " + "y" * (16 * 1024 * 1024) + "\necho b", "x.pro")
    assert [problem.at.line for problem in script.problems] == [2]
    assert len(script.body) == 3
