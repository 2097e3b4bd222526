"""Goal: a failing statement ends what is around it, tells its place once, and never more than that.

Method: small scripts on the dictionary world; printed lines and error lines are compared.
"""

from __future__ import annotations

import pytest

from shell.language.runs import FirstFailure, RunKind
from shell.language.tree import Position
from tests.language.world import NAME, Script


def test_the_first_failure_ends_line_block_macro_and_file() -> None:
    text = (
        "macro m\nfor i 0 3\nif (1)\nnosuch; echo line\necho block\nend\necho loop\nend\necho macro\nend\nm\necho file"
    )
    script = Script(text)
    assert (script.ok, script.out) == (False, [])
    assert script.errors == ["test.pro:4:1: nosuch: Command not found. (`?` lists the commands and macros)"]


def test_break_does_the_same_without_a_word() -> None:
    script = Script("macro m\nwhile (1)\nbreak\nend\nend\nm\necho never")
    assert (script.ok, script.out, script.errors) == (False, [], [])
    assert script.run.failure == FirstFailure(Position(NAME, 3, 1), "")


def test_the_place_of_the_first_failure_is_kept() -> None:
    script = Script("macro m\n  if (1) nosuch\nend\nm", kind=RunKind.TASK)
    assert script.run.failure == FirstFailure(
        Position(NAME, 2, 10), "nosuch: Command not found. (`?` lists the commands and macros)"
    )


def test_the_place_of_a_command_that_fails_after_it_waited_is_its_own() -> None:
    script = Script("if (1) input nosuch")
    assert script.errors == ["test.pro:1:8: cannot read /home/user/nosuch: No such file or directory"]


def test_auto_break_off_lets_everything_go_on() -> None:
    text = "break -auto off\nmacro m\nnosuch\necho macro\nend\nm\nfor i 0 2\n$x = $nosuch\necho $i\nend\necho $STATUS"
    script = Script(text)
    assert script.out == ["macro", "0", "1", "1"]
    assert len(script.errors) == 3


def test_it_goes_on_behind_statements_that_wait() -> None:
    script = Script("break -auto off\nexec false\necho a\ninput nosuch\necho b", shell={"false": (1, "")})
    assert script.out == ["a", "b"]


def test_break_stops_even_then() -> None:
    assert Script("break -auto off\nfor i 0 9\nif ($i == 1) break\necho $i\nend\necho never").out == ["0"]


def test_auto_break_off_belongs_to_the_session_where_it_was_said() -> None:
    script = Script("break -auto off")
    script.session = 3
    assert script.more("nosuch\necho never").out == []
    script.session = 0
    assert script.more("nosuch\necho on").out == ["on"]


def test_it_lasts_until_it_is_switched_on() -> None:
    script = Script("break -auto off\nbreak -auto\nbreak -auto on\nbreak -auto\nnosuch\necho never")
    assert script.out == ["auto break is off", "auto break is on"]


def test_task_macros_always_end_at_a_failure() -> None:
    script = Script("break -auto off")
    script.kind = RunKind.TASK
    assert script.more("nosuch\necho never").out == []


def test_a_near_miss_is_named() -> None:
    assert Script("queuepusj q a").errors == ["test.pro:1:1: queuepusj: Command not found. (did you mean queuepush?)"]


def test_an_ambiguous_beginning_names_what_it_may_be() -> None:
    assert Script("queuel").errors == ["test.pro:1:1: ambiguous command: queuel ( queuelist queueload )"]


def test_an_exact_name_wins_and_two_names_of_one_command_are_not_ambiguous() -> None:
    script = Script("optio a", kind=RunKind.TASK)
    assert "ambiguous" not in script.errors[0]


def test_a_quote_that_is_not_closed_is_told_of_and_its_word_dropped() -> None:
    script = Script('macro count\necho $0\nend\ncount a "b c')
    assert script.out == ["2"]
    assert script.errors == ["test.pro:4:1: misbalanced quotes"]


def test_the_text_of_a_failing_line_is_shown_when_asked_for() -> None:
    script = Script("opihi verbose on\nnosuch word")
    assert script.errors[-1] == "error on line: nosuch word"


@pytest.mark.parametrize("text", ["break -auto maybe", "break now", "last 1", "set 1x! = 2", "local", "macro edit m"])
def test_control_commands_refuse_what_they_do_not_know(text: str) -> None:
    script = Script(text)
    assert not script.ok
    assert len(script.errors) == 1


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("nosuch", "`?` lists the commands and macros"),
        ("queuepush", "a word is missing; a variable that is empty leaves none behind"),
        ("queuepush q a b", "there are too many words; put quotes round a text with blanks"),
        ("queuesize q -vra n", "there is no option -vra, did you mean -var?"),
        ("queuepush jobs a\nqueuesize job", "did you mean jobs? (queueinit job makes it)"),
        ("book init work\nbook npages wrok", "did you mean work? (book create wrok makes it)"),
        ("book init b\nbook newpage b p\nbook setword b p w two words", "put quotes round a text with blanks"),
        ("queueload q 5", "the shell line stands behind -x, in quotes"),
    ],
)
def test_a_command_with_wrong_words_says_what_is_wrong(text: str, hint: str) -> None:
    script = Script(text)
    assert not script.ok
    assert len(script.errors) == 1 and hint in script.errors[0]
    assert script.errors[0].startswith(f"{NAME}:{text.count(chr(10)) + 1}:1: ")


def test_a_break_that_ended_only_its_macro_is_not_the_failure_of_the_file() -> None:
    script = Script("break -auto off\nmacro m\nbreak\nend\nm\nbreak -auto on\nnosuch")
    assert script.run.failure is not None
    assert script.run.failure.at == Position(NAME, 7, 1)
