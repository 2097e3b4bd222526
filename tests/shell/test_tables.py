"""Goal: every list fits the terminal, 80 columns when piped, and whatever is not running says why in its line.

Method: whole screens as they must look (snapshots), and narrow ones.
"""

from __future__ import annotations

import time

from msgspec import structs

from model.views import ResourceRow, Status
from shell.commands.reads import explanation_lines, status_lines
from shell.tables import HISTORY, HOSTS, JOBS, TASKS, Style, host_columns, table
from shell.wording import width
from tests.shell.rows import HOUR, MINUTE, SECOND, explanation, history_row, host_row, job_row, status_of, task_row

NOW = int(time.mktime((2026, 11, 24, 14, 30, 0, 0, 0, -1))) * SECOND


def night() -> Status:
    tasks = [
        task_row("copy", running=2, limit=4, done=118, last_at=NOW - 12 * SECOND, next_at=NOW + 3 * SECOND),
        task_row("detrend", pending=212, running=40, limit=40, done=803, failed=4, last_at=NOW - SECOND, next_at=NOW,
                 why="limits.in_flight=40"),
        task_row("warp", pending=31, running=9, limit=64, done=77, failed=9, last_at=NOW - 2 * MINUTE, next_at=NOW,
                 why="22 of 31 need node17 (down 26 min)"),
        task_row("stack", state="window closed", limit=8, last_at=NOW - 8 * HOUR - 30 * MINUTE,
                 next_at=NOW + 3 * HOUR + 30 * MINUTE, why="opens 18:00"),
        task_row("notify", state="held", pending=3, limit=1, last_at=NOW - 24 * HOUR,
                 why='held by operator: "mail loop"'),
    ]  # fmt: skip
    hosts = [
        host_row("node1", busy=8), host_row("node2", busy=3), host_row("node3"),
        host_row("node17", state="down", since_ns=26 * MINUTE, why="no route to host"), host_row("node18", state="off"),
    ]  # fmt: skip
    return status_of(tasks, hosts, alarms=("warp: 9 failures in 1 h, 7 with exit 3 (no space) on node21",))


def test_status_is_one_screen_of_80_columns() -> None:
    assert status_lines(night(), Style(80), NOW) == [
        "pipeline.yaml  running 3d 04:00  clock live  pid 4242",
        "HOSTS 5   busy 2  idle 1  down 1  off 1     slots 11/24 (45 %)",
        "TASK     STATE          PEND  RUN/MAX  DONE  FAIL  NEXT    WHY",
        "copy     on                0      2/4   118     0  in 3 s",
        "detrend  on              212    40/40   803     4  now     limits.in_flight=40",
        "warp     on               31     9/64    77     9  now     22 of 31 need node17…",
        "stack    window closed     0      0/8     0     0  18:00   opens 18:00",
        'notify   held              3      0/1     0     0  -       held by operator: "m…',
        "ALARMS    warp: 9 failures in 1 h, 7 with exit 3 (no space) on node21",
        "          node17: down 26 min, no route to host",
        "          node18: off 0 ms",
    ]


def with_resources() -> Status:
    rows = (ResourceRow("cpus", 1500, 8000), ResourceRow("memory", 4 << 30, 32 << 30))
    hosts = [
        host_row("node1", busy=2, resources=rows, labels=("ssd",)),
        host_row("node2", resources=rows[:1]),
        host_row("node3", state="down", resources=rows, why="no route to host"),
    ]
    return structs.replace(status_of([], hosts), resources=(ResourceRow("licence_x", 3, 10),))


def test_declared_resources_are_shown_as_used_of_total_in_the_units_of_people() -> None:
    assert status_lines(with_resources(), Style(80), NOW)[:3] == [
        "pipeline.yaml  running 3d 04:00  clock live  pid 4242",
        "HOSTS 3   busy 1  idle 1  down 1     slots 2/16 (12 %)",
        "RESOURCES cpus 3/16  memory 4GiB/32GiB  licence_x 3/10",
    ]


def test_the_list_of_hosts_has_columns_for_resources_and_labels_where_there_are_some() -> None:
    hosts = with_resources().hosts
    lines = table(host_columns(hosts), hosts, NOW, Style(0))
    assert [line.split("  ")[0] for line in lines] == ["HOST", "node1", "node2", "node3"]
    assert "RESOURCES" in lines[0]
    assert "LABELS" in lines[0]
    assert "cpus 1.5/8  memory 4GiB/32GiB" in lines[1]
    plain = [host_row("node1")]
    assert "RESOURCES" not in table(host_columns(plain), plain, NOW, Style(0))[0]


def test_a_wide_status_cuts_nothing() -> None:
    text = "\n".join(status_lines(night(), Style(0), NOW))
    assert 'held by operator: "mail loop"' in text
    assert "22 of 31 need node17 (down 26 min)" in text


def test_a_narrow_terminal_loses_what_matters_least_and_keeps_the_reason() -> None:
    for columns in (120, 80, 60, 50):
        lines = status_lines(night(), Style(columns), NOW)
        assert max(width(line) for line in lines) <= columns
        head = next(line for line in lines if line.startswith("TASK"))
        assert all(word in head for word in ("STATE", "PEND", "RUN/MAX", "WHY"))
    assert "NEXT" not in head
    assert "LAST" in "".join(status_lines(night(), Style(120), NOW))


def test_hosts_that_are_not_up_are_named_up_to_a_limit() -> None:
    hosts = [host_row(f"node{number}", state="down", why="no route") for number in range(1, 31)]
    lines = status_lines(status_of([], hosts), Style(80), NOW)
    assert sum("no route" in line for line in lines) == 8
    assert lines[-1].strip() == "and 22 more hosts not up: laulima hosts"


def test_a_controller_that_is_away_is_said_before_the_tasks() -> None:
    from model.views import ExecutorRow

    lines = status_lines(status_of([], [], executors=(ExecutorRow("controller", "silent", 7, 2),)), Style(80), NOW)
    assert lines[1] == "controller is silent: 7 pending, 2 running"


def test_a_job_says_why_it_waits_in_its_line() -> None:
    rows = [
        job_row(81231, item="exposure 12", since_ns=26 * MINUTE, why="node17 is down, next try 13:31"),
        job_row(81232, item="a\x1b[2Jb", state="running", host="node1", why=""),
    ]
    assert table(JOBS, rows, NOW) == [
        "  JOB  TRY  TASK  STATE    HOST    SINCE  ITEM         WHY",
        "81231    1  warp  pending  -      26 min  exposure 12  node17 is down, next try…",
        "81232    1  warp  running  node1     1 s  a\\x1b[2Jb",
    ]


def test_hosts_are_listed_with_their_reason() -> None:
    rows = [host_row("node1", busy=3, done=12), host_row("node17", state="down", queued=22, why="no route to host")]
    assert table(HOSTS, rows, NOW) == [
        "HOST    STATE  BUSY  QUEUED  DONE  FAIL  SINCE  WHY",
        "node1   up      3/8       0    12     0   0 ms",
        "node17  down    0/8      22     0     0   0 ms  no route to host",
    ]


def test_history_tells_the_exit_code_the_signal_or_the_outcome() -> None:
    at = {"started_at": NOW, "ended_at": NOW}
    rows = [
        history_row(1, **at),
        history_row(2, exit_code=3, **at),
        history_row(3, outcome="CRASHED", exit_code=None, signal=11, **at),
        history_row(
            4, outcome="HOST_DOWN", exit_code=None, host="", started_at=None, ended_at=NOW, reason="node17 is down"
        ),
    ]
    lines = table(HISTORY, rows, NOW, Style(120))
    assert [line.split()[3:5] for line in lines[1:3]] == [["exit", "0"], ["exit", "3"]]
    assert "CRASHED 11" in lines[3]
    assert lines[4].split() == ["4", "1", "warp", "HOST_DOWN", "-", "14:30:00", "1", "s", "-", "warp", "1", "(node17",
                                "is", "down)"]  # fmt: skip


def test_history_tells_when_a_process_ended_and_not_when_that_was_heard_of() -> None:
    heard = NOW + HOUR
    ends = {
        "its host was away meanwhile": (
            history_row(1, started_at=NOW, ran_for_ns=MINUTE, ended_at=heard),
            NOW + MINUTE,
        ),
        "its start was heard of late, too": (
            history_row(1, started_at=heard, ran_for_ns=MINUTE, ended_at=heard),
            heard,
        ),
        "nobody knows how long it ran": (history_row(1, started_at=NOW, ran_for_ns=0, ended_at=heard), heard),
        "it never started": (history_row(1, started_at=None, ran_for_ns=0, ended_at=heard), heard),
        "the server's clock was set back": (
            history_row(1, started_at=NOW, ran_for_ns=MINUTE, ended_at=NOW - HOUR),
            NOW,
        ),
        "the same, run time unknown": (history_row(1, started_at=NOW, ran_for_ns=0, ended_at=NOW - HOUR), NOW),
    }
    assert {why: row.over_at for why, (row, _) in ends.items()} == {why: end for why, (_, end) in ends.items()}
    away, _ = ends["its host was away meanwhile"]
    assert " 14:31:00 " in table(HISTORY, [away], heard, Style(120))[1]


def test_colour_marks_states_and_takes_no_room() -> None:
    rows = [task_row("copy"), task_row("stack", state="held", why="held: disk")]
    plain = table(TASKS, rows, NOW, Style(80))
    coloured = table(TASKS, rows, NOW, Style(80, colour=True))
    assert "\x1b[33mheld\x1b[0m" in coloured[2]
    assert [line.replace("\x1b[33m", "").replace("\x1b[32m", "").replace("\x1b[0m", "") for line in coloured] == plain


def test_explain_tells_reasons_changes_and_when() -> None:
    assert explanation_lines(explanation(reasons=("first\x07", "second"), changes=("node17 answers", "host=any"))) == [
        "job 81231 (warp): pending for 26 min",
        "  1. first\\x07",
        "  2. second",
        "it would change if:  node17 answers",
        "                     host=any",
        "by itself:  in 4 min at the earliest",
    ]
    assert explanation_lines(explanation(until_ns=None))[-1] == "by itself:  not; it waits for one of these"
