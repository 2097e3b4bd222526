"""Goal: a prompt shows what its lines show, keeps blocks together, survives Ctrl-C, and ends with a code that a script
can rely on; and it completes what exists.

Method: whole command lines against a stub of the control socket that holds one session, in this process, behind a pipe
and behind a pseudo-terminal; completion as the pure function that it is.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shell.completing import completions
from shell.detaching import command_line
from shell.prompt import CONTINUATION, PROMPT, TEXT_MAX, history_file
from tests.shell.stub import Ran, Stub

Laulima = Callable[..., Ran]
DEADLINE = 30.0

NAMES = {
    "commands": ["echo", "queuepush", "queuepop", "task", "status"],
    "macros": ["mine"],
    "tasks": ["warp", "stack"],
    "hosts": ["node1", "node2", "local"],
    "variables": ["nfail", "list:0"],
    "queues": ["todo"],
    "books": ["pages"],
}


class Pretender:
    """One session: `echo X` shows X, `fail` fails, `if` opens a block until `end`, `quit N` quits, `hang` runs until
    it is interrupted."""

    def __init__(self, stub: Stub) -> None:
        self.ran: list[str] = []
        self.items: list[dict[str, Any]] = []
        self.interrupts = 0
        self.changed = threading.Condition()
        stub.answers.update(
            shell_open={"session": 1, "name": "prompt 1"},
            shell_text=self.text,
            shell_read=self.read,
            shell_interrupt=self.interrupt,
            shell_names=NAMES,
        )

    def text(self, arguments: dict[str, Any]) -> dict[str, Any]:
        text = arguments["text"]
        number = len(self.ran) + 1
        self.ran.append(text)
        words = text.split()
        if words[:1] == ["hang"]:
            self.add(stream="out", text="hanging\n")
            return {"number": number}
        if words[:1] == ["echo"]:
            self.add(stream="out", text=" ".join(words[1:]) + "\n")
        if words[:1] == ["fail"]:
            self.add(stream="error", text="it failed\n")
        more = "if" in words and "end" not in words
        status = int(words[1]) if words[:1] == ["quit"] else None
        self.add(ran=number, ok=words[:1] != ["fail"] and not more, more=more, status=status)
        return {"number": number}

    def add(self, **what: Any) -> None:
        with self.changed:
            self.items.append({"place": len(self.items) + 1, **what})
            self.changed.notify_all()

    def read(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The real one waits longer, and answers other questions meanwhile."""
        with self.changed:
            self.changed.wait_for(lambda: self.items[arguments["after"] :], 0.1)
            return {"items": self.items[arguments["after"] :], "closed": False}

    def interrupt(self, arguments: dict[str, Any]) -> None:
        self.interrupts += 1
        self.add(ran=len(self.ran), ok=False)


@pytest.fixture
def pretender(server: Stub) -> Pretender:
    return Pretender(server)


@pytest.fixture
def piped(laulima: Laulima, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Ran]:
    def run(text: str) -> Ran:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        return laulima("shell")

    return run


# from a pipe


def test_lines_of_a_pipe_are_run_in_order_without_any_invitation(
    pretender: Pretender, piped: Callable[[str], Ran]
) -> None:
    ran = piped("echo one\necho two")
    assert (ran.code, ran.out, ran.err) == (0, "one\ntwo\n", "")
    assert pretender.ran == ["echo one\n", "echo two\n"]


def test_a_line_that_fails_lets_the_next_ones_run_and_makes_the_exit_code_1(
    pretender: Pretender, piped: Callable[[str], Ran]
) -> None:
    ran = piped("fail\necho on\n")
    assert (ran.code, ran.out, ran.err) == (1, "on\n", "it failed\n")


@pytest.mark.parametrize("text", ["if" + "x" * TEXT_MAX, "if (1)\n" + "echo\n" * (TEXT_MAX // 5)])
def test_a_line_or_block_without_an_end_is_refused_when_it_is_too_long(
    text: str, pretender: Pretender, piped: Callable[[str], Ran]
) -> None:
    ran = piped(text)
    assert (ran.code, ran.err) == (1, f"more than {TEXT_MAX} letters at once\n  put them in a file: input FILE\n")


def test_a_block_is_run_when_it_is_whole(pretender: Pretender, piped: Callable[[str], Ran]) -> None:
    ran = piped("if (1)\n  echo one\nend\necho two\n")
    assert (ran.code, ran.out) == (0, "two\n")
    assert pretender.ran == ["if (1)\n", "if (1)\n  echo one\nend\n", "echo two\n"]


def test_a_block_that_is_never_closed_is_not_run_and_is_told(pretender: Pretender, piped: Callable[[str], Ran]) -> None:
    ran = piped("if (1)\n")
    assert (ran.code, "not closed" in ran.err) == (1, True)


def test_quit_ends_the_prompt_with_its_number(pretender: Pretender, piped: Callable[[str], Ran]) -> None:
    assert piped("fail\nquit 7\necho never\n").code == 7
    assert pretender.ran == ["fail\n", "quit 7\n"]


def test_without_a_server_the_ways_to_one_are_named(state: Path, piped: Callable[[str], Ran]) -> None:
    ran = piped("echo\n")
    assert ran.code == 3
    assert "laulima run FILE" in ran.err
    assert "laulima shell --new" in ran.err


def test_a_file_and_no_file_are_not_both_meant(state: Path, laulima: Laulima) -> None:
    assert laulima("shell", "x.pro", "--new").code == 2


# at a terminal


_STROKES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """`laulima shell` behind a pseudo-terminal."""

    def __init__(self, folder: Path, term: str) -> None:
        self._own, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        environment = {**os.environ, "TERM": term, "HOME": str(folder), "PROMPT_TOOLKIT_NO_CPR": "1"}
        environment.pop("XDG_STATE_HOME", None)
        self.process = subprocess.Popen(
            command_line(["shell"]),
            stdin=other,
            stdout=other,
            stderr=other,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        os.close(other)
        self.said = ""

    def until(self, text: str) -> None:
        """Read until it says so, after what was waited for before; as it reads on the screen, however many strokes it
        was drawn in."""
        deadline = time.monotonic() + DEADLINE
        while text not in self.said and text not in _STROKES.sub("", self.said):
            ready, _, _ = select.select([self._own], [], [], deadline - time.monotonic())
            assert ready, f"not said: {text!r}; it said {self.said!r}"
            self.said += os.read(self._own, 4096).decode(errors="replace")
        before, found, behind = self.said.partition(text)
        self.said = behind if found else _STROKES.sub("", before).partition(text)[2]

    def type(self, letters: str) -> None:
        os.write(self._own, letters.encode())

    def ended(self) -> int:
        """Wait for the end, reading what is said until then."""
        deadline = time.monotonic() + DEADLINE
        while True:
            ready, _, _ = select.select([self._own], [], [], deadline - time.monotonic())
            assert ready, "it did not end"
            try:
                self.said += os.read(self._own, 4096).decode(errors="replace")
            except OSError:  # the other end is closed
                return self.process.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._own)


@pytest.fixture
def terminal(state: Path) -> Iterator[Callable[[str], Terminal]]:
    opened: list[Terminal] = []

    def open_terminal(term: str) -> Terminal:
        opened.append(Terminal(state.parent, term))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.close()


def test_a_terminal_remembers_completes_and_keeps_blocks_together(
    pretender: Pretender, terminal: Callable[[str], Terminal], state: Path
) -> None:
    shell = terminal("xterm")
    shell.until(PROMPT.strip())
    shell.type("queuepu\t")
    shell.until("queuepush")
    shell.type(" todo\r")
    shell.until(PROMPT.strip())
    shell.type("if (1)\r")
    shell.until(CONTINUATION.strip())
    shell.type("end\r")
    shell.until(PROMPT.strip())
    shell.type("\x04")
    assert shell.ended() == 0
    assert pretender.ran == ["queuepush todo\n", "if (1)\n", "if (1)\nend\n"]
    history = state.parent / ".laulima_history"
    assert "queuepush todo" in history.read_text()
    assert history.stat().st_mode & 0o777 == 0o600


def test_ctrl_c_ends_what_runs_and_not_the_prompt(pretender: Pretender, terminal: Callable[[str], Terminal]) -> None:
    shell = terminal("xterm")
    shell.until(PROMPT.strip())
    shell.type("hang\r")
    shell.until("hanging")
    shell.process.send_signal(signal.SIGINT)
    shell.until(PROMPT.strip())
    assert pretender.interrupts == 1
    shell.type("half a line\x03")
    shell.until(PROMPT.strip())
    shell.type("quit 3\r")
    assert shell.ended() == 3
    assert pretender.ran == ["hang\n", "quit 3\n"]


def test_a_dumb_terminal_is_invited_without_any_escape_sequence(
    pretender: Pretender, terminal: Callable[[str], Terminal]
) -> None:
    shell = terminal("dumb")
    shell.until(PROMPT)
    shell.type("echo plain\n")
    shell.until("plain\r\nplain\r\n" + PROMPT)
    shell.type("\x04")
    assert shell.ended() == 0
    assert "\x1b" not in shell.said


def test_the_history_is_where_the_desktop_keeps_such_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    assert history_file() == Path("/somewhere/laulima/history")


# completion


@pytest.mark.parametrize(
    ("before", "word", "expected"),
    [
        ("queuep", "queuep", ["queuepop", "queuepush"]),
        ("mi", "mi", ["mine"]),
        ("  echo a; st", "st", ["status"]),
        ("queuepush t", "t", ["todo"]),
        ("showtask ", "", ["stack", "warp"]),
        ("task w", "w", ["warp"]),
        ("host node", "node", ["node1", "node2"]),
        ("host o", "o", ["off", "on"]),
        ("controller host off node", "node", ["node1", "node2"]),
        ("controller hos", "hos", ["host", "hoststack"]),
        ("book listp", "listp", ["listpage"]),
        ("book listpage p", "p", ["pages"]),
        ("echo $nf", "nf", ["nfail"]),
        ("echo $list:", "list:", ["list:0"]),
        ("echo {$", "", ["list:0", "nfail"]),
        ("nothing such", "such", []),
    ],
)
def test_what_is_completed_depends_on_the_command_and_the_place(before: str, word: str, expected: list[str]) -> None:
    assert completions(before, NAMES) == (len(word), expected)
