"""Goal: a macro that never ends, waits too long, fails or meets a bug of ours costs its own task only, visibly.
Method: such scripts in the small world of `script_world.py`, where a statement takes time, beside a task that must
keep its period.
"""

from __future__ import annotations

from typing import Any

import pytest

from model.scripting import MAIN_SESSION, CloseSession, Interrupt, Stream
from shell.language.calls import Command
from tests.language.script_world import SHOWN, STATEMENT_NS, ScriptWorld

STEADY = "task steady\n  periods -exec 0.2\n  task.exec\n    command work\n  end\nend\n"
TURN_SECONDS = 100_000 * STATEMENT_NS / 1e9


def starts(run: ScriptWorld, task: str = "steady") -> list[float]:
    return [when for when, name in run.starts if name == task]


def late(run: ScriptWorld, period: float = 0.2) -> float:
    return max(when - period * place for place, when in enumerate(starts(run)))


LOOP = "while (1)\n $i ++\nend"


def test_an_exec_macro_without_end_stops_its_own_task_only() -> None:
    text = f"$i = 0\n{STEADY}task bad\n  periods -exec 1\n  task.exec\n    {LOOP}\n    command x\n  end\nend\nrun\n"
    run = ScriptWorld(text)
    run.run(10.1)
    assert "100000 statements" in run.task("bad").faulted
    assert f"{SHOWN}:" in run.task("bad").faulted
    assert starts(run, "bad") == []
    assert len(starts(run)) >= 50
    assert late(run) <= TURN_SECONDS + 0.05
    assert any("stopped" in notice.text and notice.level == "alarm" for notice in run.notices)


def test_an_exit_macro_without_end_stops_its_own_task_only() -> None:
    text = f"$i = 0\n{STEADY}task bad\n  periods -exec 1\n  command x\n  task.exit 0\n    {LOOP}\n  end\nend\nrun\n"
    run = ScriptWorld(text)
    run.run(10.1)
    assert "100000 statements" in run.task("bad").faulted
    assert len(starts(run)) >= 50
    assert run.task("bad").done == len(starts(run, "bad"))


def test_a_session_without_end_lets_tasks_go_on() -> None:
    run = ScriptWorld(f"$i = 0\n{STEADY}run\n")
    run.open(3)
    run.say(LOOP, session=3, number=9)
    run.run(4.1)
    assert len(starts(run)) >= 18
    assert late(run) <= TURN_SECONDS + 0.05
    run.give_scripts(Interrupt(3))
    run.run(0.5)
    assert [(ran.session, ran.number, ran.ok) for ran in run.ran[1:]] == [(3, 9, False)]
    assert "interrupted" in run.shown[3, Stream.ERROR]
    assert run.scripts is not None
    assert run.scripts.next_due() is None


def test_a_faulted_run_leaves_no_change_in_queues_and_books_but_variables_stay() -> None:
    text = f"""$i = 0
$kept = 0
queuepush q old
book init b
book newpage b p
book setword b p state INIT
task bad
  task.exec
    $kept = 1
    queuepop q -var x
    queuepush q new
    book setword b p state RUN
    book newpage b p2
    {LOOP}
    command x
  end
end
run
"""
    run = ScriptWorld(text)
    run.run(2)
    language = run.language
    assert run.task("bad").faulted
    assert language.queues.dump()["q"] == ["old"]
    assert language.books.dump()["b"] == {"p": {"state": "INIT"}}
    assert language.variables["kept"] == "1"
    assert language.variables["x"] == "old"


def test_a_run_that_only_declines_keeps_its_changes() -> None:
    run = ScriptWorld("task t\n  task.exec\n    queuepush q seen\n    break\n    command x\n  end\nend\nrun\n")
    run.run(0.5)
    assert run.language.queues.dump()["q"] == ["seen"]


def test_what_others_changed_meanwhile_stays_when_a_run_is_undone() -> None:
    text = f"""$i = 0
task bad
  periods -exec 100
  task.exec
    queuepush q mine
    exec slow
    queuepush q "mine too"
    {LOOP}
    command x
  end
end
task other
  periods -exec 100
  task.exec
    queuepush q other
    break
    command x
  end
end
run
"""
    run = ScriptWorld(text, shell=lambda _: (0, "", 5.0))
    run.run(10)
    assert run.task("bad").faulted
    assert run.language.queues.dump()["q"] == ["other"]


def test_a_macro_that_waits_too_long_is_ended_with_what_it_waits_for() -> None:
    text = f"{STEADY}task bad\n  periods -exec 1\n  task.exec\n    exec sleep 1000\n    command x\n  end\nend\nrun\n"
    run = ScriptWorld(text, shell=lambda _: (0, "", 1000.0))
    run.run(65)
    faulted = run.task("bad").faulted
    assert "did not end in time (waited for a shell line)" in faulted
    assert f"{SHOWN}:10" in faulted
    assert len(run.abandoned) == 1
    assert late(run) <= 0.05


def test_while_one_macro_waits_others_run() -> None:
    text = f"{STEADY}task waits\n  periods -exec 3\n  task.exec\n    exec sleep 2\n    command x\n  end\nend\nrun\n"
    run = ScriptWorld(text, shell=lambda _: (0, "", 2.0))
    run.run(10.1)
    assert late(run) <= 0.05
    assert starts(run, "waits") == pytest.approx([2.0, 5.0, 8.0], abs=0.05)


def test_one_macro_is_not_interrupted_by_another_between_two_statements() -> None:
    text = """$total = 0
macro count
  for i 0 2000
    $was = $total
    $total = $was + 1
  end
end
task a
  periods -exec 0.05
  task.exec
    count
    break
    command x
  end
end
task b
  periods -exec 0.05
  task.exec
    count
    break
    command x
  end
end
run
"""
    run = ScriptWorld(text)
    run.run(1.5)
    total = run.language.variables["total"]
    assert total > 20_000
    assert total % 2000 == 0 or (run.scripts is not None and run.scripts.next_due() == run.now)


def test_a_line_that_fails_declines_the_turn_counted_with_its_place() -> None:
    text = f"{STEADY}task bad\n  periods -exec 1\n  task.exec\n    queuepop missing\n    command x\n  end\nend\nrun\n"
    run = ScriptWorld(text)
    run.run(100)
    (reason,) = run.task("bad").skipped
    assert reason == f"failed at {SHOWN}:10"
    assert run.task("bad").skipped[reason] == 101
    assert not run.task("bad").faulted
    line = run.language.tasks.get("bad").failed_lines[f"{SHOWN}:10"]
    assert line.count == 101
    told = [notice for notice in run.notices if notice.about == "task bad"]
    assert len(told) == 2
    assert f"{SHOWN}:10" in told[0].text
    assert len(starts(run)) > 490


def test_a_bug_of_a_command_ends_its_run_and_is_told() -> None:
    def explode(_: Any) -> bool:
        raise ZeroDivisionError("by hand")

    run = ScriptWorld(f"{STEADY}task bad\n  task.exec\n    explode\n    command x\n  end\nend\n")
    run.language.commands["explode"] = Command("explode", explode, "explode", "")
    run.say("run\n")
    run.run(5)
    assert "internal error, please report it: ZeroDivisionError: by hand" in run.task("bad").faulted
    assert len(starts(run)) >= 25
    run.say("explode\n", number=4)
    assert "ZeroDivisionError" in run.errors
    assert not run.ran[-1].ok


def test_a_task_that_a_fault_stopped_goes_on_when_its_macro_is_said_anew() -> None:
    run = ScriptWorld(f"$i = 0\ntask bad\n  task.exec\n    {LOOP}\n    command x\n  end\nend\nrun\n")
    run.run(2)
    assert run.task("bad").faulted
    run.say("task bad\n  npending 3\nend\n")
    run.run(2)
    assert run.task("bad").faulted
    run.say("task bad\n  task.exec\n    command x\n  end\nend\n")
    run.run(2)
    assert not run.task("bad").faulted
    assert len(starts(run, "bad")) >= 1


# sessions


def test_texts_of_one_session_run_one_after_the_other() -> None:
    run = ScriptWorld("", shell=lambda _: (0, "", 1.0))
    run.open(1)
    run.say("exec slow\necho one\n", session=1, number=1)
    run.say("echo two\n", session=1, number=2)
    run.open(2)
    run.say("echo three\n", session=2, number=1)
    assert run.shown == {(2, Stream.OUT): "three\n"}
    run.run(2)
    assert run.shown[1, Stream.OUT] == "one\ntwo\n"
    assert [(ran.session, ran.number) for ran in run.ran] == [(2, 1), (1, 1), (1, 2)]


def test_an_unfinished_block_asks_for_more_and_runs_nothing() -> None:
    run = ScriptWorld("")
    run.open(1)
    run.say("echo one\nif (1)\n", session=1, number=1)
    assert [(ran.ok, ran.more) for ran in run.ran] == [(False, True)]
    assert run.shown == {}
    run.say("echo one\nif (1)\necho two\nend\n", session=1, number=2)
    assert run.shown[1, Stream.OUT] == "one\ntwo\n"
    assert run.ran[-1].ok


def test_an_interrupt_ends_what_runs_and_what_stands_behind_it() -> None:
    run = ScriptWorld("", shell=lambda _: (0, "", 100.0))
    run.open(1)
    run.say("exec slow\necho one\n", session=1, number=1)
    run.say("echo two\n", session=1, number=2)
    run.give_scripts(Interrupt(1))
    run.run(0)
    assert len(run.abandoned) == 1
    assert [(ran.number, ran.ok) for ran in run.ran] == [(1, False), (2, False)]
    run.say("echo three\n", session=1, number=3)
    assert run.shown[1, Stream.OUT] == "three\n"
    run.run(200)
    assert run.shown[1, Stream.OUT] == "three\n"


def test_a_closed_session_is_forgotten() -> None:
    run = ScriptWorld("", shell=lambda _: (0, "", 100.0))
    run.open(1)
    run.say("exec slow\n", session=1)
    run.give_scripts(CloseSession(1))
    run.run(0)
    assert len(run.abandoned) == 1
    assert run.ran == []
    run.say("echo x\n", session=1, number=7)
    assert [(ran.number, ran.ok) for ran in run.ran] == [(7, False)]


def test_a_session_that_leaves_runs_no_further_text() -> None:
    run = ScriptWorld("", shell=lambda _: (0, "", 1.0))
    run.open(1)
    run.say("exec slow\nquit 3\necho one\n", session=1, number=1)
    run.say("echo two\n", session=1, number=2)
    run.run(2)
    assert run.shown == {}
    assert [(ran.number, ran.ok, ran.status) for ran in run.ran] == [(1, True, 3), (2, False, None)]
    assert run.left == []


def test_a_file_that_cannot_be_read_fails() -> None:
    run = ScriptWorld("input nowhere.pro\n")
    assert not run.ran[0].ok
    assert "nowhere.pro" in run.errors


def test_many_runs_leave_nothing_behind() -> None:
    run = ScriptWorld(
        "$n = 0\ntask t\n  periods -exec 0.01\n  task.exec\n    $n ++\n    command work $n\n  end\n"
        "  task.exit 0\n    echo -no-return\n  end\nend\nrun\n"
    )
    run.run(5)
    assert run.scripts is not None
    kept = {name: len(value) for name, value in vars(run.scripts).items() if isinstance(value, dict | list) and value}
    assert set(kept) <= {"_sessions", "_events"}
    assert len(run.language.requests) == 0
    assert MAIN_SESSION == 0
