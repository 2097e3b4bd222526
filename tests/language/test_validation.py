"""What `laulima validate` finds in a script without running it, and what it leaves alone.

Method: small scripts with one mistake each, checked against the language's own table of commands; and scripts without
a mistake, ours and the whole ones kept beside these tests, in which nothing may be found.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from shell.language.commands.table import COMMANDS
from shell.language.findings import Severity, words_of
from shell.language.parsing import parse
from shell.language.tree import Script
from shell.language.validation import check

UNSAID = "are ended after 1 s: no periods -timeout is said"
TABLE = {command.name: command for command in COMMANDS}
WHOLE = sorted((Path(__file__).parent / "scripts").glob("*.pro"))


def found(text: str, files: dict[str, str] | None = None, known: tuple[str, ...] = ()) -> list[str]:
    """`line:column severity: text (hint)` of everything that is found, but that a task says nothing of a timeout."""

    def load(_: str, name: str) -> Script | None:
        return None if files is None or name not in files else parse(textwrap.dedent(files[name]), name)

    script = parse(textwrap.dedent(text), "x.pro")
    texts = [str(each).removeprefix("x.pro:") for each in check(script, TABLE, load=load, known=known)]
    return [text for text in texts if UNSAID not in text]


def only(text: str) -> str:
    (finding,) = found(text)
    return finding


def in_task(line: str) -> str:
    return f"task t\n  command ls\n  {line}\nend\n"


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("eccho a", "1:1: error: eccho: Command not found. (did you mean echo?)"),
        ("if (1) eccho a", "1:8: error: eccho: Command not found. (did you mean echo?)"),
        ("echo {1 +}", "1:6: error: the expression 1 + cannot be computed"),
        ("if (1 = 2) echo a", "1:1: error: the condition (1 = 2) cannot be computed"),
        ('if ("a" < 3) echo a', "1:1: error: the condition"),
        ("$n = 1; $n += 2 *", "1:9: error: the value 2 * cannot be computed"),
        ("$n = 1; if ($n = 2) echo a", "1:9: warning: the condition ($n = 2) cannot be computed"),
        ("$day = 2007-10-03", "1:1: warning: 2007-10-03 is computed"),
        ("queuedelete", "1:1: error: queuedelete needs at least 1 word, not 0 (USAGE: queuedelete"),
        ("queuedelete a b c", "1:17: error: queuedelete takes at most 1 word, not 3 (USAGE: queuedelete"),
        ("book getwrod a b c", "1:6: error: book: unknown form getwrod (did you mean getword?)"),
        ("for i 0", "1:1: error: missing 'end'"),
        ("for i 0\nend", "1:1: error: for needs a variable, a start and a stop"),
        ("if (1)\nelseif (2)\nend", "2:1: error: there is no elseif"),
        ("macro echo\nend", "1:1: error: echo is a command: no macro can have its name"),
        ("echo $1", "1:6: error: $1 is an argument of a macro, and this is none"),
        ("nmax 3", "1:1: error: nmax: not defining or running a task here"),
        ("echo $nnn", "1:6: warning: variable nnn is never set here: such a line fails"),
        ("$count = 1; echo $coutn $coutn", "1:18: warning: variable coutn is never set here, used 2 times"),
        ("$d = 3; echo $d: a", "1:14: warning: variable d: is never set here: such a line fails (the name"),
        ('$day = 3; $hour = 4; echo "$day:$hour"', "1:28: warning: variable day:0 is never set here"),
        ("input gone.pro", "1:7: warning: gone.pro cannot be read"),
    ],
)  # fmt: skip
def test_a_mistake_is_found_where_it_stands(line: str, finding: str) -> None:
    assert only(line).startswith(finding)


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("periods -exec fast", "3:17: error: periods -exec fast: not a number of seconds"),
        ("periods -exc 3", "3:11: error: periods: unknown option -exc (did you mean -exec?)"),
        ("periods -poll", "3:11: error: periods: -poll needs a value"),
        ("npending many", "3:12: error: npending many: not a number"),
        ("nice 30", "3:8: error: nice 30: not a number from 0 to 20"),
        ("active maybe", "3:10: error: active maybe: neither true nor false"),
        ("trange 25:00 26:00", "3:10: error: 25:00 is no time of a day"),
        ("trange Mon 10:00", "3:10: error: Mon is a day of the week, 10:00 a time of day"),
        ("npendign 3", "3:3: error: unknown task command npendign: the line is skipped (did you mean npending?)"),
        ("period -exec 3", "3:3: error: unknown task command period"),
        ("$n = 3", "3:3: error: only settings may stand directly in a task"),
        ("if (1) active true", "3:3: error: only settings may stand directly in a task"),
        ("task.exit defualt\n  end", "3:3: error: task.exit defualt: no such exit (did you mean default?)"),
        ("task.exec\n  echo $1\n end", "4:8: error: $1 is an argument of a macro"),
        ("task.exit 0\n  command ls\n end", "4:3: error: command: not defining or running a task here"),
    ],
)
def test_a_mistake_in_a_task_is_found(line: str, finding: str) -> None:
    findings = found(in_task(line))
    assert findings[0].startswith(finding)
    assert len([each for each in findings if "error" in each and "word, not" not in each]) == 1


@pytest.mark.parametrize(
    "text",
    [
        "$run = ls -l; $run --all; $$run = 3",
        "set n = 3; ech $n; ec {$n * 2} (a) \"b c\"",
        "macro go.now\nend\ngo",
        "macro go\n if ($0 != 2)\n  break\n end\n $$1 = $2\nend\ngo result\necho $result",
        "if ($?POLL == 0) set POLL = 1\nif ($?SITE) echo $SITE",
        "list w -split a b; echo $w:0 $w:n; for i 0 $w:n\n echo $w:$i\nend",
        "list w\n a\nend\nforeach v a b\n echo $v $w:0\nend",
        "queuepush q a; queuepop q -var line; echo $line; sprintf name \"%d\" 3; echo $name",
        "$w:north = 1; $key = north; echo $w:$key",
        "echo $argv:0 $PID $HOME $MODULES:0 $STATUS",
        in_task("task.exit 0\n echo $EXIT $JOB_STATUS $options:0 $taskarg:n $stdout\n end"),
        "$EXIT_OK = 0; " + in_task("task.exit $EXIT_OK\n end"),
        "macro shape\n task $1.x\n  active $2\n end\nend",
        "task t\n command ls\nend\ntask t\n active false\nend",
        "task t\n task.exec\n  if (1)\n   command ls\n  end\n end\nend",
        "task t\n task.exec\n  $run = 3\n  $run\n end\nend",
        in_task("Periods -exec 3 # slow\n NPENDING 3\n trange 6:00:00 7:00:00 -nmax 3\n trange -reset"),
        "exec awk '\\{print NF\\}' file",
        "local a b; echo $a$b",
    ],
)  # fmt: skip
def test_what_can_be_right_is_left_alone(text: str) -> None:
    assert found(text) == []


def test_a_task_needs_a_command_somewhere() -> None:
    nothing = "task t\n npending 1\n task.exec\n  echo a\n end\nend\n"
    assert only(nothing) == "1:1: error: task t has no command (say command in it or in its task.exec)"
    behind = nothing.replace("echo a", "if (1) command ls")
    assert only(behind).startswith("1:1: note: task t gets its command only behind an inline if or from a macro")
    by_macro = nothing.replace("echo a", "give") + "macro give\n command ls\nend\n"
    assert only(by_macro).startswith("1:1: note: task t gets its command only")
    assert found(nothing + "input gone.pro")[0].startswith("1:1: warning: task t has no command")
    assert found(nothing + "input gone.pro", {"gone.pro": "task t\n command ls\nend"}) == []


def test_a_command_behind_the_call_of_a_macro_that_switches_tasks_is_a_plain_one() -> None:
    macro = "macro off\n  task t\n    active false\n  end\nend\n"
    assert found(f"{macro}task t\n  task.exec\n    if ($?done) off\n    off\n    command ls\n  end\nend\n") == []


def test_a_macro_that_hides_a_command_has_its_own_words() -> None:
    assert found("macro check\n  echo $1\nend\ncheck a b c d\n") == []
    assert "takes at most" in only("check job 1 -save a b")


def test_what_check_saves_is_set() -> None:
    assert found("check job 1 -save\necho $JOB_EXITST $JOB_STDOUT_SIZE $JOB_REALHOST\n") == []


def test_files_that_are_loaded_are_looked_at_too() -> None:
    files = {"more.pro": "macro go\n  eccho a\nend\ninput more.pro\n", "site.pro": "$POLL = 1\n"}
    script = "input more.pro\nmodule site.pro\ngo\necho $POLL\n"
    assert found(script, files) == ["more.pro:2:3: error: eccho: Command not found. (did you mean echo?)"]


def test_behind_a_file_that_is_not_known_an_unknown_command_is_no_error() -> None:
    (finding,) = found("$f = a.pro; input $f; tidy.up")
    assert finding.startswith("1:23: warning: tidy.up: Command not found.")
    assert only("tidy.up").startswith("1:1: error: tidy.up: Command not found.")


def test_a_name_that_only_a_printing_command_was_given_is_not_taken_for_set() -> None:
    macro = "macro go\n $$1 = 3\nend\n"
    assert found(macro + "go total; echo $total") == []
    (finding,) = found(macro + "echo total; echo $total")
    assert finding.startswith("4:18: warning: variable total is never set here")


def test_variables_set_elsewhere_are_taken_as_known() -> None:
    assert found("echo $SITE", known=("SITE",)) == []


def test_a_global_from_exec_that_an_exit_macro_reads_is_doubtful_with_several_jobs() -> None:
    text = """\
        task t
          npending 3
          task.exec
            book getpage work 0 -var page
            $tries ++
            command ls $page
          end
          task.exit 0
            echo $page $tries
            book getword work $page x -var other
            echo $other
          end
        end
        """
    (finding,) = found(text)
    assert finding.startswith("9:10: warning: $page is set in the task.exec of t (line 4) and read here")
    assert found(text.replace("npending 3", "npending 1")) == []
    kept = text.replace("book getpage work 0 -var page", "if ($tries > $page) $page = $tries")
    assert found(kept) == []
    assert found(text.replace("book getpage", "local page; book getpage")) == []


def test_a_timeout_on_a_controller_job_is_noted() -> None:
    text = in_task("host anyhost\n  periods -exec 3 -timeout 60")
    assert only(text).startswith("4:19: note: -timeout ends jobs of t that run longer on the controller")
    assert found(text.replace("anyhost", "local")) == []


def test_an_ambiguous_abbreviation_names_what_it_may_mean() -> None:
    assert only("queuel").startswith("1:1: error: ambiguous command: queuel ( queuelist queueload )")


def test_words_know_whether_they_are_one_word_whatever_happens() -> None:
    words = words_of('a "b $c" $d {1 + 2}x (e f) "" g"h')
    assert [(word.text, word.dynamic, word.fixed) for word in words] == [
        ("a", False, True),
        ("b $c", True, True),
        ("$d", True, False),
        ("{1 + 2}x", True, True),
        ("(e f)", False, True),
        ('g"h', True, False),
    ]


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.name)
def test_the_whole_scripts_have_no_errors(path: Path) -> None:
    def load(_: str, name: str) -> Script | None:
        other = path.parent / name
        return parse(other.read_text(), str(other)) if other.exists() else None

    findings = check(parse(path.read_text(), str(path)), TABLE, load=load)
    assert [str(each) for each in findings if each.severity is Severity.ERROR] == []


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "corpus").iterdir()), ids=lambda path: path.name)
def test_anything_at_all_can_be_checked(path: Path) -> None:
    script = parse(path.read_bytes().decode("utf-8", errors="surrogateescape"), "x.pro")
    findings = check(script, TABLE)
    assert bool([each for each in findings if each.severity is Severity.ERROR]) or not path.name.startswith("bad-")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("task t\n  command ls\nend", True),
        ("task t\n  host local\n  command ls\n  periods -exec 5\nend", True),
        ("task t\n  command ls\n  periods -exec 5 -timeout 30\nend", False),
        ("task t\n  command ls\n  periods $all\nend", False),
        ("task t\n  command ls\n  task.exec\n    periods -timeout 30\n  end\nend", False),
        ("periods -timeout 30\ntask t\n  command ls\nend", False),
        ("task t\n  host anyhost\n  command ls\nend", False),
    ],
)
def test_a_local_task_without_a_timeout_is_told_of_the_historical_one(text: str, told: bool) -> None:
    findings = check(parse(text, "x.pro"), TABLE, known=("all",))
    assert [UNSAID in str(each) for each in findings] == ([True] if told else [])
