"""Goal: a terminal obeys nothing that came from outside, wherever it is shown.

Method: text with escapes, on a real pseudo-terminal and into a file; what the server, its scripts, an agent's log and a
prompt write.
"""

from __future__ import annotations

import asyncio
import io
import os
import pty
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import texts
from live.complaints import Complaints
from live.display import clean, clean_lines
from live.life import tell
from live.texts import Texts
from shell import prompt, wording

NASTY = "a\x1b]0;title\x07b\x1b[2Jc\u202ed\x9be\tf\ng"
SEEN = "a\\x1b]0;title\\x07b\\x1b[2Jc\\u202ed\\x9be\tf\ng"


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def shown_on(terminal: int, end: bytes) -> bytes:
    """What a terminal shows, up to this end; the kernel may bring it in several pieces."""
    said = b""
    while not said.endswith(end):
        said += os.read(terminal, 1000)
    return said


def test_there_is_one_function_for_all() -> None:
    assert wording.clean is clean
    assert wording.clean_lines is clean_lines
    assert clean_lines(NASTY) == SEEN


def test_a_log_line_stays_one_line() -> None:
    file = io.StringIO()
    Complaints(file).say(NASTY)
    assert file.getvalue().count("\n") == 1
    assert "\x1b" not in file.getvalue()


def test_what_the_server_tells_is_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    tell(NASTY)
    assert capsys.readouterr().err == SEEN + "\n"


def test_a_prompt_on_a_terminal_is_cleaned_and_a_file_gets_what_was_said(
    terminal: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = terminal
    with open(os.dup(theirs), "w", encoding="utf-8") as screen:
        monkeypatch.setattr(sys, "stdout", screen)
        prompt.show("out", NASTY)
        screen.flush()
    assert shown_on(ours, b"g").decode().replace("\r\n", "\n").expandtabs(1) == SEEN.expandtabs(1)
    with (tmp_path / "file").open("w", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdout", file)
        prompt.show("out", NASTY)
    assert (tmp_path / "file").read_text(encoding="utf-8") == NASTY


def test_what_a_server_says_into_a_file_has_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "server.log").open("w+", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stderr", file)
        tell("alarm: host node3: down\nand more")
        file.seek(0)
        said = file.read()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  alarm: host node3: down\nand more\n", said)
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as read, open(writing, "w", encoding="utf-8") as write:
        monkeypatch.setattr(sys, "stderr", write)
        tell("alarm: host node3: down")
        write.close()
        assert read.read() == "alarm: host node3: down\n"


def test_a_log_that_is_full_ends_nobody_and_takes_the_next_line_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    with open("/dev/full", "w", encoding="utf-8") as full, log.open("w", encoding="utf-8") as good:
        descriptor = os.dup(full.fileno())
        with open(descriptor, "w", encoding="utf-8") as file:
            monkeypatch.setattr(sys, "stderr", file)
            complaints = Complaints(file)
            tell("lost")
            complaints.say("lost")
            os.dup2(good.fileno(), descriptor)
            tell("there")
            complaints.say("and here")
    assert [line.split("  ")[-1].split("Z ")[-1][-8:] for line in log.read_text().splitlines()] == ["there", "and here"]


def test_what_scripts_show_on_the_servers_terminal_is_cleaned(
    terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = terminal
    monkeypatch.setattr(texts, "STREAMS", {"standard output": theirs})

    async def show() -> None:
        shown = Texts(asyncio.get_running_loop(), 0o077, lambda _: None)
        shown.show("standard output", NASTY)
        assert await shown.written(20)
        await shown.close(20)

    asyncio.run(show())
    assert b"\x1b" not in shown_on(ours, b"g")
