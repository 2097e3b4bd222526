"""Lines, pieces, comments, quotes and blocks: what a script's text is before anything runs.

Method: a text is parsed and the tree is compared with the one that its author meant, mostly by printing it back;
positions and problems are looked at by themselves. Nothing is executed here.
"""

from __future__ import annotations

import textwrap

import pytest

from shell.language.lines import closing, pieces, uncommented
from shell.language.parsing import parse
from shell.language.printing import print_line, print_script
from shell.language.tree import Assignment, If, InlineIf, Line, ListBlock, Malformed, Script, Statement, TaskBlock


def read(text: str) -> Script:
    """A script that must have nothing wrong with it."""
    script = parse(textwrap.dedent(text), "x.pro")
    assert script.problems == ()
    return script


def texts(text: str) -> list[str]:
    """Its statements, printed, one for each."""
    return [print_line(statement) for statement in read(text).body]


def only(text: str) -> Statement:
    (statement,) = read(text).body
    return statement


def wrong(text: str) -> list[str]:
    """`line:column text | hint` of everything that is wrong."""
    script = parse(textwrap.dedent(text), "x.pro")
    return [f"{it.at.line}:{it.at.column} {it.text}" + (f" | {it.hint}" if it.hint else "") for it in script.problems]


# cutting


@pytest.mark.parametrize(
    ("line", "cut"),
    [
        ("echo a; echo b", ["echo a", "echo b"]),
        ("  echo a ;; ; echo b;", ["echo a", "echo b"]),
        ('echo "a; b"; echo c', ['echo "a; b"', "echo c"]),
        ("$x = `ls; pwd`; echo c", ["$x = `ls; pwd`", "echo c"]),
        ("echo (a; (b;)) c; d", ["echo (a; (b;)) c", "d"]),
        ("echo it's; d", ["echo it's", "d"]),
        ('echo 5" wide; d', ['echo 5" wide', "d"]),
        ("echo (a; d", ["echo (a", "d"]),
        ("echo a); d", ["echo a)", "d"]),
        ('echo "(" ; d; echo ")"', ['echo "("', "d", 'echo ")"']),
        ("echo '\"`' ; d `", ["echo '\"`' ; d `"]),
        (r"echo a\; d", ["echo a\\", "d"]),
        (r"echo \"a; b\"", [r"echo \"a; b\""]),
    ],
)
def test_a_semicolon_cuts_outside_of_quotes_backticks_and_balanced_parentheses(line: str, cut: list[str]) -> None:
    assert [text for _, text in pieces(line)] == cut


def test_a_piece_knows_its_column() -> None:
    script = parse("\n  $n = 4;\techo a ; if ($n) break\n", "x.pro")
    assert [str(statement.at) for statement in script.body] == ["x.pro:2:3", "x.pro:2:11", "x.pro:2:20"]
    inline = script.body[2]
    assert isinstance(inline, InlineIf)
    assert inline.statement.at.column == 28


def test_lines_may_count_from_another_line_and_end_in_any_way() -> None:
    script = parse("echo a\r\necho b\n\n  echo c", "block", first_line=40)
    assert [(statement.at.line, print_line(statement)) for statement in script.body] == [
        (40, "echo a"),
        (41, "echo b"),
        (43, "echo c"),
    ]


def test_only_a_newline_ends_a_line_and_only_ascii_blanks_are_blanks() -> None:
    assert texts("echo a\u2028b\x85c\x0bd\x00\u00a0") == ["echo a\u2028b\x85c\x0bd\x00\u00a0"]


def test_a_byte_order_mark_is_no_text() -> None:
    assert texts("\ufeffecho a") == ["echo a"]


# comments


def test_lines_that_begin_with_hash_or_bang_are_comments_in_a_file() -> None:
    assert texts("# a\n  #b\n! rm -rf /\n  !ls\necho c\n##\n###") == ["echo c"]


def test_at_a_prompt_and_behind_a_semicolon_a_bang_is_exec() -> None:
    prompt = parse("!ls -l\n#no\n!", "prompt", prompt=True)
    assert [print_line(statement) for statement in prompt.body] == ["exec ls -l", "exec"]
    assert texts("echo a; !ls\nif ($x) !ls") == ["echo a", "exec ls", "if ($x) exec ls"]


def test_a_piece_that_begins_with_hash_is_a_comment_to_the_end_of_the_line() -> None:
    assert texts("$n = 4; # count; of things\necho b") == ["$n = 4", "echo b"]


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("$n = 4 # four; of them", "$n = 4"),
        ("$n =4\t# four", "$n = 4"),
        ("$n ++ # one more", "$n ++"),
        ("$n = # none", "$n ="),
        ('$n = "a # b" # c', '$n = "a # b"'),
        ("$n = `grep -v # x` # c", "$n = `grep -v # x`"),
        ("$n = (3 # 4) # c", "$n = (3 # 4)"),
        ("$n = a#b", "$n = a#b"),
        ("$n =#ff8800", "$n =#ff8800"),
        ("set n = 4 # four", "set n = 4"),
        ("if ($n) set n = 4 # four; more", "if ($n) set n = 4"),
        ("if ($n) $n = 4 # four", "if ($n) $n = 4"),
        ("periods -exec 5 -poll 0.5 # slow", "periods -exec 5 -poll 0.5"),
        ("npending 3 # don't", "npending 3"),
        ("trange 21:00 23:00 # night", "trange 21:00 23:00"),
        ("host anyhost # any", "host anyhost"),
        ("if ($n == 0) break # nothing to do", "if ($n == 0) break"),
        ("echo a # b", "echo a # b"),
        ("exec ls # b", "exec ls # b"),
        ("command run # 4", "command run # 4"),
    ],
)
def test_a_trailing_comment_counts_where_a_hash_could_be_nothing_else(line: str, meant: str) -> None:
    assert texts(line) == [meant]


def test_a_trailing_comment_may_stand_behind_the_lines_of_a_block() -> None:
    script = read("""
        macro go # start; all
          if ($x) # (really
            echo a
          else # "not; really
            echo b
          end # if; of go
          for i 0 3 # thrice
          end
        end # go; macro
        """)
    assert (
        print_script(script) == "macro go\n  if ($x)\n    echo a\n  else\n    echo b\n  end\n  for i 0 3\n  end\nend\n"
    )


def test_an_uncommented_text_is_given_back_as_it_is() -> None:
    assert uncommented('a "# b" #c') == 'a "# b"'
    assert uncommented("# a") == ""
    assert uncommented('a " # b') == 'a "'


# assignments and conditions


@pytest.mark.parametrize(
    ("line", "target", "operator", "value"),
    [
        ("$x = 1 + 2", "x", "=", "1 + 2"),
        ("$x=2", "x", "=", "2"),
        ("$x++", "x", "++", ""),
        ("$x --", "x", "--", ""),
        ("$x +=$y", "x", "+=", "$y"),
        ("$x -= 1", "x", "-=", "1"),
        ("$x =", "x", "=", ""),
        ("$x = = 3", "x", "=", "= 3"),
        ("$$ref = 5", "$ref", "=", "5"),
        ("$$1 = $new", "$1", "=", "$new"),
        ("$list:$i = a", "list:$i", "=", "a"),
        ("$map:north = a", "map:north", "=", "a"),
        ('$x = "a b"', "x", "=", '"a b"'),
        ("$x = -a -b", "x", "=", "-a -b"),
    ],
)
def test_an_assignment_is_told_by_its_operator(line: str, target: str, operator: str, value: str) -> None:
    statement = only(line)
    assert isinstance(statement, Assignment)
    assert (statement.target, statement.operator, statement.value) == (target, operator, value)


@pytest.mark.parametrize(
    "line", ["$run --verbose", "$run ++x", "$x == 3", "$?x = 3", "${x} = 3", "$x.y = 3", "$ = 3", "$day\\T = 3", "$run"]
)
def test_a_line_that_begins_with_a_variable_may_be_a_command(line: str) -> None:
    assert isinstance(only(line), Line)


@pytest.mark.parametrize(
    ("line", "condition", "statement"),
    [
        ("if ($n == 0) break", "($n == 0)", "break"),
        ("if($n)break", "($n)", "break"),
        ('if ("$a" == ")") echo "x  y"', '("$a" == ")")', 'echo "x  y"'),
        ("if (($a == 1) && not($b)) $n = 0", "(($a == 1) && not($b))", "$n = 0"),
        ("if $dry echo a", "$dry", "echo a"),
        ("if ($a) if ($b) next", "($a)", "if ($b) next"),
        ("if ($?POLL == 0) set POLL = 1.0", "($?POLL == 0)", "set POLL = 1.0"),
    ],
)
def test_an_inline_condition_holds_one_statement(line: str, condition: str, statement: str) -> None:
    found = only(line)
    assert isinstance(found, InlineIf)
    assert (found.condition, print_line(found.statement)) == (condition, statement)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("if (($a == 1) break", "not balanced"),
        ("if ($a == 1)) break", "not balanced"),
        ("if ($a == 1) && ($b == 2) break", "the condition ends before &&"),
        ("if $a == 1 break", "the condition ends before =="),
        ('if "$a" break', "not in parentheses"),
        ("if ($a) end", "cannot stand behind a condition"),
    ],
)
def test_a_condition_that_cannot_be_told_from_its_statement_is_refused(line: str, problem: str) -> None:
    script = parse(f"echo before\n{line}\necho behind", "x.pro")
    (found,) = script.problems
    assert problem in found.text
    assert found.hint
    assert [print_line(statement) for statement in script.body] == ["echo before", line, "echo behind"]


@pytest.mark.parametrize(
    "opener", ["if (($a == 1)", "if ($a))", "if ($a) && ($b)", "if $a == 1", "if", "while", "while ($a"]
)
def test_a_broken_condition_still_opens_its_block(opener: str) -> None:
    script = parse(f"{opener}\n  echo a\nend\necho b", "x.pro")
    first, second = script.body
    assert isinstance(first, Malformed)
    assert first.text == f"{opener}\n  echo a\nend"
    assert print_line(second) == "echo b"
    assert len(script.problems) == 1


# blocks


def test_every_block_is_closed_by_any_line_that_begins_with_end() -> None:
    script = read("""
        macro a -c "help; text"
          for i 0 $n -incl
            foreach w a "b c"
              while ($i < 3)
                if ($i)
                endif
              END
            Endfor
          end for
        end.of.macro
        """)
    assert print_script(script) == textwrap.dedent("""\
        macro a -c "help; text"
          for i 0 $n -incl
            foreach w a "b c"
              while ($i < 3)
                if ($i)
                end
              end
            end
          end
        end
        """)


def test_outside_of_blocks_a_name_may_begin_with_end_or_else() -> None:
    assert texts("endgame 3\nend.all\nelsewhere\nif ($x) endgame") == [
        "endgame 3",
        "end.all",
        "elsewhere",
        "if ($x) endgame",
    ]


def test_a_block_may_stand_on_one_line() -> None:
    assert print_script(read("for i 0 3; echo $i; end; echo done")) == "for i 0 3\n  echo $i\nend\necho done\n"


@pytest.mark.parametrize(
    ("short", "full"),
    [("whil ($x)", "while ($x)"), ("forea w a b", "foreach w a b"), ("mac go", "macro go"), ("lis a", "list a")],
)
def test_block_words_may_be_abbreviated(short: str, full: str) -> None:
    assert print_script(read(f"{short}\nend")) == f"{full}\nend\n"


def test_which_is_not_taken_for_a_loop() -> None:
    assert texts("whi ls") == ["whi ls"]


def test_a_macro_inside_of_a_block_counts_as_a_block() -> None:
    (outer,) = read("if ($x)\n  macro go\n    echo a\n  end\n  echo b\nend").body
    assert isinstance(outer, If)
    assert [print_line(statement) for statement in outer.then] == ["macro go", "echo b"]


def test_macro_verbs_are_commands_and_create_is_none() -> None:
    assert texts("macro list\nmacro delete go\nmacro") == ["macro list", "macro delete go", "macro"]
    assert print_script(read("macro create go\nend")) == "macro go\nend\n"
    assert print_script(read("macro create list\nend")) == "macro create list\nend\n"


def test_task_blocks_are_told_without_case_and_commands_about_tasks_are_none() -> None:
    (task,) = read("task a\n  HOST local\n  Task.Exec\n    command ls\n  end\n  TASK.EXIT 0\n  end\nend").body
    assert isinstance(task, TaskBlock)
    assert [print_line(statement) for statement in task.body] == ["HOST local", "task.exec", "task.exit 0"]
    assert texts("task -list\ntask delete a\ntask") == ["task -list", "task delete a", "task"]


def test_the_elements_of_a_list_are_lines_as_they_are() -> None:
    statement = only('list a\n  x; y # z\n\n # no\n ! no\n  $v {1+2} "q\n  if (x)\nEND')
    assert isinstance(statement, ListBlock)
    assert statement.elements == ("x; y # z", '$v {1+2} "q', "if (x)")


def test_list_with_anything_else_is_a_command() -> None:
    assert texts('list a -split b c\nlist\nlist a -x "ls"') == ["list a -split b c", "list", 'list a -x "ls"']
    assert print_script(read("list a -excel\nx\nend")) == "list a -excel\n  x\nend\n"


# what is wrong


def test_a_missing_end_is_unfinished_and_what_came_before_still_runs() -> None:
    script = parse("echo a\nmacro go\n  echo b\n\n", "x.pro")
    (problem,) = script.problems
    assert problem.unfinished
    assert str(problem.at) == "x.pro:2:1"
    assert script.body == (
        Line(script.body[0].at, "echo a"),
        Malformed(problem.at, "macro go\n  echo b", "missing 'end': this macro is not closed"),
    )


def test_the_indentation_hints_at_the_end_that_is_missing() -> None:
    (found,) = wrong("macro go\n  if ($x)\n    echo a\nend\nmacro stop\nend\n")
    missing, _, hint = found.partition(" | ")
    assert missing == "1:1 missing 'end': this macro is not closed"
    assert hint == "the end of line 4 closes the if of line 2, but is not indented like it"


def test_an_end_or_else_too_many_is_found_where_it_stands() -> None:
    assert wrong("echo a\nend\n  else\nif ($x)\nend\nendif # a; b") == [
        "2:1 end without a block",
        "3:3 else outside of an if block",
        "6:1 end without a block",
    ]


@pytest.mark.parametrize("line", ["elseif ($b)", "else if ($b)", "elsif ($b)", "ELSEIF"])
def test_there_is_no_elseif(line: str) -> None:
    text = f"if ($a)\n  echo a\n{line}\n  echo b\nend"
    script = parse(f"{text}\necho c", "x.pro")
    assert [problem.text for problem in script.problems] == ["there is no elseif"]
    assert "an if block of its own" in script.problems[0].hint
    assert [print_line(statement) for statement in script.body] == [text, "echo c"]


def test_an_if_has_one_else_with_nothing_behind_it() -> None:
    assert wrong("if ($a)\nelse\nelse\nend") == ["3:1 a second else in one if block"]
    assert wrong("if ($a)\nelse echo b\nend") == ["2:1 nothing may stand behind else | put it on the next line"]


def test_a_block_cannot_stand_behind_a_condition_but_its_end_is_found() -> None:
    script = parse("if ($a) for i 0 3\n  echo $i\nend\necho b", "x.pro")
    assert [problem.text for problem in script.problems] == ["a block (for) cannot stand behind a condition"]
    assert print_line(script.body[1]) == "echo b"


def test_the_macros_of_a_task_stand_in_a_task() -> None:
    assert wrong("task.exec\n  command a\nend\ntask a\n task.exit\n end\n task.exec now\n end\nend") == [
        "1:1 task.exec outside of a task",
        "5:2 task.exit needs a number, default, crash or timeout",
        "7:2 nothing may stand behind task.exec",
    ]


def test_blocks_and_conditions_nest_two_hundred_deep_and_no_deeper() -> None:
    for levels, count in ((200, 0), (201, 1), (50_000, 1)):
        script = parse("if (1)\n" * levels + "end\n" * levels, "x.pro")
        assert len(script.problems) == count
        assert len(script.body) == 1
    assert parse("if (1) " * 200 + "break", "x.pro").problems == ()
    assert len(parse("if (1) " * 201 + "break", "x.pro").problems) == 1
    assert len(parse("macro a\n" + "if (1) " * 200 + "break\nend", "x.pro").problems) == 1


def test_the_parenthesis_that_closes_is_found_past_quotes() -> None:
    assert closing('(a ")" (b) c) d)', 0) == 12
    assert closing("(a", 0) == -1


def test_spacing_case_and_line_ends_of_an_old_file_mean_what_was_meant() -> None:
    text = (
        "$x=1\r\nif($x==1)\r\n\techo a ;; echo b;\r\nENDIF\r\nif ($x==1)echo c\r\n#\r\n  #  \r\n"
        "for i 0 2 # twice\r\nEND # for\r\n; echo d"
    )
    assert print_script(read(text)).splitlines() == [
        "$x = 1",
        "if ($x==1)",
        "  echo a",
        "  echo b",
        "end",
        "if ($x==1) echo c",
        "for i 0 2",
        "end",
        "echo d",
    ]


def test_a_malformed_block_carries_its_way_out() -> None:
    (malformed,) = parse("if (1)\n echo a\nelse if (2)\nend", "x.pro").body
    assert isinstance(malformed, Malformed)
    assert (malformed.problem, malformed.hint) == (
        "there is no elseif",
        "line 3: write else, and an if block of its own inside",
    )


@pytest.mark.parametrize("line", ["local i k", "run", "stop", "halt", "break", "return", "module lib.pro", "set x = 1"])
def test_a_comment_may_stand_behind_commands_whose_words_never_begin_so(line: str) -> None:
    assert texts(f"{line} # why; and how") == [line]
