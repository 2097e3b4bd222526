"""Goal: what a script asks for happens on this machine as it was asked for, in the order in which it was asked for, and
nothing that a script starts can hold the server.

Method: the driver alone in a loop, with real shells and files and a recorder in the place of the machines.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from live import script_files, scripts, shell_lines, texts
from live.errands import Errands
from live.host_names import refuse_host
from live.outputs import Outputs
from live.prompts import Prompts
from live.scripts import SCRIPTS, ScriptDriver
from live.spool import output_path
from live.state_directory import StateDirectory
from model.effects import Answer, Notice
from model.events import HostVerb, IntakeVerb, OrderHost, OrderIntake
from model.job import LOCAL, SECOND
from model.scripting import (
    Abandon,
    AppendText,
    CloseSession,
    Execute,
    Executed,
    FetchOutput,
    FileUsed,
    FileVerb,
    Give,
    Leave,
    OpenSession,
    OutputFetched,
    SessionRan,
    SessionText,
    Show,
    Stream,
    UseFile,
)

LIMIT = 20.0
MASK = 0o022


class Spools:
    """Outputs of hosts on this machine (`live.outputs.Outputs`)."""

    def __init__(self, state: StateDirectory) -> None:
        self._state = state

    def spool(self, host: str) -> Path:
        return self._state.local_spool if host == LOCAL else self._state.host_spool(host)


class World:
    """The driver, and what it told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[tuple[str, Any]] = []
        self.notices: list[Notice] = []
        self.left: list[tuple[bool | None, int]] = []
        self.failures: list[BaseException] = []
        self.ordered: list[OrderHost] = []
        self._changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.errands = Errands(loop)
        self.state = StateDirectory(folder / "state")
        self.driver = ScriptDriver(
            loop,
            self.errands,
            cast("Outputs", Spools(self.state)),
            MASK,
            str(folder),
            post=self._post,
            say=self._say,
            failed=self.failures.append,
            leave=lambda kill, status: self.left.append((kill, status)),
            order_host=lambda order: refuse_host(order.host, order.slots) or self.ordered.append(order),
        )
        self.prompts = Prompts(lambda event: self._post(SCRIPTS, event), lambda: {"tasks": ["one"]}, str(folder))
        self.driver.join(self.prompts)
        self._handlers = self.driver.handlers()

    def _post(self, machine: str, event: object) -> None:
        self.events.append((machine, event))
        self._changed.set()

    def _say(self, notice: Notice) -> None:
        self.notices.append(notice)
        self._changed.set()

    def do(self, *effects: Any) -> None:
        for effect in effects:
            self._handlers[type(effect)](SCRIPTS, effect)

    async def until(self, condition: Callable[[], Any]) -> Any:
        """The first true value; looked at whenever something was told, and now and then."""
        async with asyncio.timeout(LIMIT):
            while not (value := condition()):
                self._changed.clear()
                waiting = asyncio.ensure_future(self._changed.wait())
                await asyncio.wait([waiting], timeout=0.02)
                waiting.cancel()
        assert not self.failures
        return value

    async def answer(self, run: int = 1) -> Any:
        """The event that answers the run."""
        found = await self.until(lambda: [event for _, event in self.events if getattr(event, "run", 0) == run])
        return found[0]

    def line(
        self, command: str, run: int = 1, timeout: float = 0.0, *, session: int = 0, capture: bool = True
    ) -> Execute:
        return Execute(run, session, command, str(self.folder), int(timeout * SECOND), capture)


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    made = World(folder)
    try:
        yield made
    finally:
        await made.driver.close()
        made.errands.close()
        made.state.close()


def lives(pid_file: Path) -> bool:
    """Whether the process that wrote its number there is alive (a zombie is not)."""
    try:
        return Path(f"/proc/{pid_file.read_text().strip()}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


Test = Callable[[World], Awaitable[None]]


def in_world(folder: Path, test: Test) -> None:
    async def run() -> None:
        async with world(folder) as made:
            await test(made)

    before = os.umask(0o077)  # as a server has it
    try:
        asyncio.run(run())
    finally:
        os.umask(before)


# shell lines


def test_a_shell_line_runs_in_its_directory_and_its_output_and_status_come_back(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.do(world.line("pwd; echo to the errors >&2; read nothing; exit 3"))
        assert await world.answer() == Executed(1, 3, f"{tmp_path}\n")
        world.do(world.line("kill -9 $$", run=2))
        assert (await world.answer(2)).status == -9

    in_world(tmp_path, test)


def test_a_line_longer_than_an_argument_may_be_is_run_all_the_same(tmp_path: Path) -> None:
    text = "x" * 300_000

    async def test(world: World) -> None:
        world.do(world.line(f"echo '{text}' | wc -c; exit 4"))
        assert await world.answer() == Executed(1, 4, f"{len(text) + 1}\n")

    in_world(tmp_path, test)


def test_the_users_shell_runs_the_line_with_the_whole_environment_and_the_users_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = tmp_path / "shell"
    shell.write_text('#!/bin/sh\necho "my shell: $*"; umask; echo "$OF_THE_SERVER"\n')
    shell.chmod(0o755)
    monkeypatch.setenv("SHELL", str(shell))
    monkeypatch.setenv("OF_THE_SERVER", "is seen")

    async def test(world: World) -> None:
        world.do(world.line("echo hello"))
        assert (await world.answer()).output == "my shell: -c echo hello\n0022\nis seen\n"

    in_world(tmp_path, test)


def test_a_line_ends_with_its_shell_and_what_it_left_in_the_background_goes_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")

    async def test(world: World) -> None:
        world.do(world.line("(read line < gate; echo late > late) & echo at once"))
        assert (await world.answer()).output == "at once\n"
        assert not (tmp_path / "late").exists()
        (tmp_path / "gate").write_text("go\n")
        await world.until((tmp_path / "late").exists)

    in_world(tmp_path, test)


def test_a_line_that_takes_too_long_is_ended_with_its_group_even_if_it_is_deaf_to_term(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.do(world.line("trap '' TERM; sleep 1000 & echo $! > pid; wait", timeout=0.3))  # sleep ignores it, too
        answer = await world.answer()
        assert answer.timed_out
        assert "0.3 s" in answer.error
        await world.until(lambda: not lives(tmp_path / "pid"))

    in_world(tmp_path, test)


def test_an_abandoned_line_is_ended_and_nothing_is_answered(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.do(world.line("echo $$ > pid; exec sleep 1000"))
        await world.until(lambda: (tmp_path / "pid").exists() and lives(tmp_path / "pid"))
        world.do(Abandon(1))
        await world.until(lambda: not lives(tmp_path / "pid"))
        world.do(world.line("echo next", run=2))
        assert (await world.answer(2)).output == "next\n"
        assert [event for _, event in world.events] == [Executed(2, 0, "next\n")]

    in_world(tmp_path, test)


def test_the_end_of_the_server_ends_the_lines_that_run(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.do(world.line("echo $$ > pid; trap '' TERM; while true; do sleep 1000; done"))
        await world.until(lambda: (tmp_path / "pid").exists() and lives(tmp_path / "pid"))

    in_world(tmp_path, test)
    assert not lives(tmp_path / "pid")


@pytest.mark.parametrize(
    ("directory", "command", "reason"),
    [("nowhere", "true", "No such file"), (".", "echo a\0b", "null byte")],
)
def test_a_line_that_cannot_be_started_fails_with_a_reason(
    tmp_path: Path, directory: str, command: str, reason: str
) -> None:
    async def test(world: World) -> None:
        world.do(Execute(1, 0, command, str(tmp_path / directory), 0, capture=True))
        answer = await world.answer()
        assert (answer.status, answer.output) == (127, "")
        assert reason in answer.error

    in_world(tmp_path, test)


@pytest.mark.parametrize("command", ["head -c 1001 /dev/zero", "while :; do echo endless; done"])
def test_more_output_than_can_be_taken_ends_the_line_and_is_an_error_not_half_an_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(shell_lines, "OUTPUT_MAX", 1000)

    async def test(world: World) -> None:
        world.do(world.line(command))
        answer = await world.answer()
        assert (answer.output, "1000 bytes" in answer.error, answer.timed_out) == ("", True, False)

    in_world(tmp_path, test)


def test_a_line_that_would_fill_the_disk_at_a_prompt_is_ended_and_holds_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell_lines, "PRINTED_MAX", 20_000)
    monkeypatch.setattr(shell_lines, "SHOWN_MAX", 10)

    async def test(world: World) -> None:
        verbs = world.prompts.converse().verbs()
        session = (await verbs["shell_open"]({}))["session"]
        world.do(world.line("while :; do echo endless; done", session=session, capture=False))
        answer = await world.answer()
        assert "20000 bytes" in answer.error
        items = (await verbs["shell_read"]({"after": 0}))["items"]
        assert "bytes are left out" in items[0].text

    in_world(tmp_path, test)


# texts and files


def test_texts_are_written_in_order_before_later_lines_and_files_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_append(path: str, text: bytes, mask: int) -> None:
        threading.Event().wait(0.3)  # a slow disk
        append(path, text, mask)

    append = texts.append
    monkeypatch.setattr(texts, "append", slow_append)

    async def test(world: World) -> None:
        path = str(tmp_path / "log")
        for number in range(300):
            world.do(AppendText(path, f"{number}\n"))
        world.do(world.line("cat log"), UseFile(2, FileVerb.READ, path))
        expected = "".join(f"{number}\n" for number in range(300))
        assert (await world.answer()).output == expected
        assert (await world.answer(2)).text == expected
        assert os.stat(path).st_mode & 0o777 == 0o644

    in_world(tmp_path, test)


def test_a_text_that_cannot_be_written_is_told_once_and_holds_nothing(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        path = str(tmp_path / "nowhere" / "log")
        world.do(AppendText(path, "lost\n"))
        await world.until(lambda: world.notices)
        world.do(AppendText(path, "lost\n"), world.line("echo on"))
        assert (await world.answer()).output == "on\n"
        assert [(notice.level, path in notice.text) for notice in world.notices] == [("warning", True)]

    in_world(tmp_path, test)


def test_a_pipe_without_a_reader_does_not_hold_scripts(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    async def test(world: World) -> None:
        world.do(AppendText(str(tmp_path / "pipe"), "nobody reads\n"), world.line("echo on"))
        assert (await world.answer()).output == "on\n"
        assert world.notices

    in_world(tmp_path, test)


def test_text_beyond_what_may_wait_is_dropped_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "WAITING_MAX", 10)

    async def test(world: World) -> None:
        path = str(tmp_path / "log")
        world.do(AppendText(path, "x" * 11), AppendText(path, "short"))
        await world.until(lambda: world.notices)
        assert "11 bytes" in world.notices[0].text
        world.do(UseFile(1, FileVerb.READ, path))
        assert (await world.answer()).text == "short"

    in_world(tmp_path, test)


def test_each_verb_of_files_does_what_it_says(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        path, folder = str(tmp_path / "a"), str(tmp_path / "folder")
        script = [
            UseFile(1, FileVerb.STAT, path),
            UseFile(2, FileVerb.APPEND, path, "one\n"),
            UseFile(3, FileVerb.APPEND, path, "two\n"),
            UseFile(4, FileVerb.READ, path),
            UseFile(5, FileVerb.WRITE, path, "three\n"),
            UseFile(6, FileVerb.READ, path),
            UseFile(7, FileVerb.MAKE_DIRECTORY, folder),
            UseFile(8, FileVerb.GLOB, str(tmp_path / "[af]*")),
            UseFile(9, FileVerb.STAT, path),
        ]
        answers: list[FileUsed] = []
        for effect in script:
            world.do(effect)
            answers.append(await world.answer(effect.run))
        assert [answer.ok for answer in answers] == [False] + [True] * 8
        assert (answers[3].text, answers[5].text) == ("one\ntwo\n", "three\n")
        assert answers[7].paths == (path, folder)
        facts = dict(answers[8].facts)
        assert (facts["size"], facts["kind"], facts["mode"], facts["can-read"]) == ("6", "file", "644", "1")

    in_world(tmp_path, test)


def test_a_file_of_2005_in_latin_1_is_read(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"echo caf\xe9\n")
    (tmp_path / "new").write_bytes("echo café\n".encode())

    async def test(world: World) -> None:
        for run, name in enumerate(("old", "new"), 1):
            world.do(UseFile(run, FileVerb.READ, str(tmp_path / name)))
            answer = await world.answer(run)
            assert isinstance(answer, FileUsed)
            assert answer.text == "echo café\n"

    in_world(tmp_path, test)


def test_nobody_gets_the_answer_of_an_abandoned_run(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    async def test(world: World) -> None:
        world.do(UseFile(1, FileVerb.READ, str(tmp_path / "pipe")), Abandon(1))
        await world.errands.run(lambda: (tmp_path / "pipe").write_text("late"), LIMIT)  # waits for the reader
        await world.until(lambda: not world.driver._tasks)
        assert world.events == []

    in_world(tmp_path, test)


@pytest.mark.parametrize("verb", [FileVerb.READ, FileVerb.APPEND, FileVerb.WRITE, FileVerb.MAKE_DIRECTORY])
def test_work_on_a_file_that_cannot_be_done_fails_with_the_path_and_the_reason(tmp_path: Path, verb: FileVerb) -> None:
    async def test(world: World) -> None:
        path = str(tmp_path / "nowhere" / "a")
        world.do(UseFile(1, verb, path))
        assert await world.answer() == FileUsed(1, ok=False, error=f"{path}: No such file or directory")

    in_world(tmp_path, test)


def test_a_file_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script_files, "FILE_MAX", 1 << 20)

    async def test(world: World) -> None:
        world.do(UseFile(1, FileVerb.READ, "/dev/zero"))
        assert "more than 1 MiB" in (await world.answer()).error

    in_world(tmp_path, test)


# output of jobs


@pytest.mark.parametrize("host", ["local", "node1"])
def test_a_jobs_output_comes_from_the_spool_of_its_host(tmp_path: Path, host: str) -> None:
    async def test(world: World) -> None:
        spool = world.state.local_spool if host == "local" else world.state.host_spool(host)
        path = output_path(spool, 7, 2, "stdout")
        path.parent.mkdir(parents=True)
        path.write_bytes(b"some \xff text\n")
        world.do(FetchOutput(1, 7, 2, host, "task"))
        assert await world.answer() == OutputFetched(1, "some \ufffd text\n", "")

    in_world(tmp_path, test)


def test_what_is_left_out_of_an_output_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "OUTPUT_MAX", 4)

    async def test(world: World) -> None:
        path = output_path(world.state.local_spool, 7, 1, "stderr")
        path.parent.mkdir(parents=True)
        path.write_text("0123456")
        world.do(FetchOutput(1, 7, 1, "local", "task"))
        answer = await world.answer()
        assert (answer.stderr, "3 bytes of its stderr" in answer.note) == ("0123", True)

    in_world(tmp_path, test)


# to other machines, and out


def test_what_is_given_goes_to_its_machine_and_a_refused_order_about_a_host_is_answered(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        order = OrderIntake(-1, IntakeVerb.RESUME)
        new, known = OrderHost(-2, HostVerb.ADD, "new", 2), OrderHost(-3, HostVerb.ADD, "known", more=True)
        wrong = OrderHost(-4, HostVerb.ADD, "../etc")
        world.do(Give("scheduler", order), *(Give("controller", each) for each in (new, known, wrong)))
        assert world.ordered == [new, known]
        assert world.events[0] == ("scheduler", order)
        machine, answer = world.events[1]
        assert (machine, answer.request, answer.ok) == (SCRIPTS, -4, False)
        assert isinstance(answer, Answer)
        world.do(Leave(3, kill=True))
        assert world.left == [(True, 3)]

    in_world(tmp_path, test)


# prompts


def test_a_prompt_gets_what_its_lines_show_and_how_they_went(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        talk = world.prompts.converse()
        verbs = talk.verbs()
        opened = await verbs["shell_open"]({})
        session = opened["session"]
        assert world.events == [(SCRIPTS, OpenSession(session, opened["name"], str(tmp_path)))]
        assert await verbs["shell_text"]({"text": "echo hello"}) == {"number": 1}
        assert world.events[-1] == (SCRIPTS, SessionText(session, 1, "echo hello"))
        reading = asyncio.ensure_future(verbs["shell_read"]({"after": 0}))
        world.do(Show(session, Stream.OUT, "hello\n"), Show(99, Stream.OUT, "nobody's\n"))
        first = (await reading)["items"]
        assert [(item.stream, item.text) for item in first] == [("out", "hello\n")]
        world.do(Show(session, Stream.ERROR, "oh\n"), SessionRan(session, 1, ok=False))
        again = (await verbs["shell_read"]({"after": 0}))["items"]  # a read that was given up has lost nothing
        assert again[: len(first)] == first
        rest = (await verbs["shell_read"]({"after": first[-1].place}))["items"]
        assert [(item.text, item.ran, item.ok) for item in rest] == [("oh\n", 0, True), ("", 1, False)]
        assert await verbs["shell_names"]({}) == {"tasks": ["one"]}
        talk.end()
        talk.end()
        assert [event for _, event in world.events if isinstance(event, CloseSession)] == [CloseSession(session)]

    in_world(tmp_path, test)


def test_a_prompt_sees_what_a_line_prints_while_it_runs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")

    async def test(world: World) -> None:
        verbs = world.prompts.converse().verbs()
        session = (await verbs["shell_open"]({}))["session"]
        world.do(world.line("echo begun; echo oh >&2; read line < gate; echo over", session=session, capture=False))
        shown: list[tuple[str, str]] = []
        place = 0

        async def read_until(text: str) -> None:
            nonlocal place
            while text not in "".join(letters for _, letters in shown):
                for item in (await verbs["shell_read"]({"after": place}))["items"]:
                    place = item.place
                    shown.append((item.stream, item.text))

        await read_until("begun")
        await read_until("oh")
        assert not world.events[1:]
        (tmp_path / "gate").write_text("go\n")
        await read_until("over")
        assert await world.answer() == Executed(1, 0)
        assert ("error", "oh\n") in shown

    in_world(tmp_path, test)


def test_a_prompt_that_does_not_read_loses_text_but_not_the_end(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        verbs = world.prompts.converse().verbs()
        session = (await verbs["shell_open"]({}))["session"]
        for _ in range(20):
            world.do(Show(session, Stream.OUT, "x" * (1 << 20)))
        world.do(SessionRan(session, 1, ok=True))
        items = (await verbs["shell_read"]({"after": 0}))["items"]
        assert items[-1].ran == 1
        assert "letters were left out" in items[-2].text
        assert sum(len(item.text) for item in items) < 9 << 20

    in_world(tmp_path, test)
