"""Goal: sources say what is there, in order and bounded, and a source that hangs holds up nothing.

Method: real folders and commands in a temporary folder, asked in a loop of the test; a dead file system is a call that
waits until the test lets it go.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from live import sources
from live.errands import ErrandError, Errands
from live.sources import FEEDING, Sources, answered, feeding
from model.effects import AskSource
from model.events import SourceAnswered
from model.job import SECOND
from model.task import FilesSource, LinesSource, Source

Ask = Callable[..., Coroutine[Any, Any, SourceAnswered]]


def with_sources(folder: Path, body: Callable[[Ask], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        errands = Errands(asyncio.get_running_loop())
        asked = Sources(folder, errands)

        async def ask(source: Source, limit_s: float = 20.0, task: str = "t") -> SourceAnswered:
            question = AskSource(task, 7, source, int(limit_s * SECOND))
            looking = asked.ask(question)
            await asyncio.wait([looking])
            return answered(question, looking)

        try:
            async with asyncio.timeout(30):
                await body(ask)
        finally:
            errands.close()

    asyncio.run(whole())


def test_files_are_sorted_relative_and_hidden_ones_are_no_items(tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    for name in ("b.fits", "a.fits", ".part.fits", "c.txt"):
        (tmp_path / "incoming" / name).touch()

    async def body(ask: Ask) -> None:
        answer = await ask(FilesSource("incoming/*.fits"))
        assert answer == SourceAnswered("t", 7, ("incoming/a.fits", "incoming/b.fits"))

    with_sources(tmp_path, body)


@pytest.mark.parametrize("age_ns", [0, 3600 * SECOND])
def test_a_file_that_comes_or_goes_is_seen_at_the_next_look(tmp_path: Path, age_ns: int) -> None:
    """Also when the folder was old enough for its listing to be kept."""
    folder = tmp_path / "incoming"
    folder.mkdir()
    (folder / "a").touch()
    when = (folder.stat().st_mtime_ns - age_ns,) * 2
    os.utime(folder, ns=when)

    async def body(ask: Ask) -> None:
        for _ in range(2):
            assert (await ask(FilesSource("incoming/*"))).items == ("incoming/a",)
        (folder / "b").touch()
        assert (await ask(FilesSource("incoming/*"))).items == ("incoming/a", "incoming/b")
        (folder / "a").unlink()
        assert (await ask(FilesSource("incoming/*"))).items == ("incoming/b",)

    with_sources(tmp_path, body)


def test_an_old_folder_is_not_listed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "incoming"
    folder.mkdir()
    (folder / "a").touch()
    os.utime(folder, ns=(SECOND, SECOND))

    async def body(ask: Ask) -> None:
        first = await ask(FilesSource("incoming/*"))
        monkeypatch.setattr(sources, "matching", lambda *_: pytest.fail("it was listed again"))
        assert (await ask(FilesSource("incoming/*"))).items == first.items

    with_sources(tmp_path, body)


def test_a_folder_that_is_not_there_has_no_items_and_deep_patterns_work(tmp_path: Path) -> None:
    (tmp_path / "x" / "y").mkdir(parents=True)
    (tmp_path / "x" / "y" / "f").touch()

    async def body(ask: Ask) -> None:
        assert (await ask(FilesSource("nowhere/*"))).items == ()
        assert (await ask(FilesSource("*/y/*"))).items == ("x/y/f",)
        assert "x/y/f" in (await ask(FilesSource("**/*"))).items

    with_sources(tmp_path, body)


def test_a_name_that_is_no_text_is_named_and_keeps_no_other_file_from_being_an_item(tmp_path: Path) -> None:
    for name in (b"bad\xff", b"good", b"worse\xff"):
        (tmp_path / os.fsdecode(name)).touch()

    async def body(ask: Ask) -> None:
        answer = await ask(FilesSource("*"))
        assert "bad" in answer.error
        assert "not valid UTF-8, nor are those of 1 more" in answer.error
        assert answer.items == ("good",)
        (tmp_path / "good").unlink()
        assert (await ask(FilesSource("*"))).items == ()

    with_sources(tmp_path, body)


@pytest.mark.parametrize("pattern", ["*", "*/*", "**/*", "sub/*"])
def test_a_folder_that_cannot_be_read_is_an_error_not_an_empty_one(
    tmp_path: Path, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else everything in it would be forgotten, and a new item once it can be read."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").touch()

    def fails(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(tmp_path))

    async def body(ask: Ask) -> None:
        monkeypatch.setattr("os.scandir", fails)
        answer = await ask(FilesSource(pattern))
        assert "Too many open files" in answer.error
        monkeypatch.undo()
        assert (await ask(FilesSource(pattern))).items

    with_sources(tmp_path, body)


@pytest.mark.parametrize(
    "pattern", ["incoming/*.fits", "incoming/night/*.fits", "incoming/*/*.fits", "incoming/**/a.fits"]
)
def test_a_folder_whose_file_system_is_not_mounted_is_an_error_not_an_empty_one(tmp_path: Path, pattern: str) -> None:
    """Else every file would be a new one when it is mounted again. (`incoming` is a link, first into this file system,
    then into that of /proc, where nothing matches.)"""
    disk = tmp_path / "disk"
    there = disk / "night" if pattern != "incoming/*.fits" else disk
    there.mkdir(parents=True)
    (there / "a.fits").touch()
    os.utime(there, ns=(10**18, 10**18))
    incoming = tmp_path / "incoming"

    def mount(folder: Path) -> None:
        incoming.unlink(missing_ok=True)
        incoming.symlink_to(folder)

    async def body(ask: Ask) -> None:
        mount(Path("/proc/sys/kernel"))
        assert await ask(FilesSource(pattern)) == SourceAnswered("t", 7), "nothing was there before"
        mount(disk)
        found = await ask(FilesSource(pattern))
        assert len(found.items) == 1
        for _ in range(2):
            mount(Path("/proc/sys/kernel"))
            answer = await ask(FilesSource(pattern))
            assert answer.items == ()
            assert "is that one mounted?" in answer.error
        mount(disk)
        assert await ask(FilesSource(pattern)) == found
        (there / "a.fits").unlink()
        assert await ask(FilesSource(pattern)) == SourceAnswered("t", 7), "the same file system, and nothing there"

    with_sources(tmp_path, body)


def test_lines_are_items_once_each_and_run_where_the_configuration_lies(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("one\ntwo words\n\none\nthree")

    async def body(ask: Ask) -> None:
        assert (await ask(LinesSource(("cat", "list")))).items == ("one", "two words", "three")

    with_sources(tmp_path, body)


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (("/no/such/command",), "cannot be started"),
        (("sh", "-c", "echo x; exit 3"), "exit code 3"),
        (("sh", "-c", "kill -9 $$"), "signal 9"),
        (("printf", r"\377\n"), "not UTF-8"),
    ],
)
def test_a_lines_command_that_fails_gives_no_items_and_says_how(
    tmp_path: Path, command: tuple[str, ...], error: str
) -> None:
    async def body(ask: Ask) -> None:
        answer = await ask(LinesSource(command))
        assert error in answer.error
        assert answer.items == ()

    with_sources(tmp_path, body)


def test_a_lines_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "alive")

    async def body(ask: Ask) -> None:
        script = "exec 3<>alive; sleep 1000 & sleep 1000"
        answer = await ask(LinesSource(("sh", "-c", script)), limit_s=0.3)
        assert "within 0.3 s" in answer.error

    reader = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(tmp_path / "alive", os.O_WRONLY)  # there has been one, also if the shell was too slow to open it
    with_sources(tmp_path, body)
    os.close(writer)

    # Every process that held the other end of the pipe is gone: its reader is told so.
    poll = select.poll()
    poll.register(reader, 0)
    assert poll.poll(20_000) == [(reader, select.POLLHUP)]
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_a_flood_of_output_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "OUTPUT_MAX", 1 << 20)

    async def body(ask: Ask) -> None:
        assert "printed more than" in (await ask(LinesSource(("yes",)))).error

    with_sources(tmp_path, body)


def test_a_look_that_never_returns_holds_up_only_its_own_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, released = threading.Event(), threading.Event()
    real = sources.matching

    def hang(pattern: str, root: Path) -> list[str]:
        if pattern == "dead*":
            entered.set()
            released.wait(30)
        return real(pattern, root)

    monkeypatch.setattr(sources, "matching", hang)
    (tmp_path / "file").touch()

    async def body(ask: Ask) -> None:
        while not entered.is_set():  # a slow machine gives up before a thread has begun
            stuck = await ask(FilesSource("dead*"), limit_s=-0.9, task="stuck")
        assert "no answer within" in stuck.error
        assert (await ask(FilesSource("f*"))).items == ("file",)
        again = await ask(FilesSource("dead*"), task="stuck")
        assert "has not come back" in again.error
        released.set()

    with_sources(tmp_path, body)


def test_errands_beyond_the_limit_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def whole() -> None:
        errands = Errands(asyncio.get_running_loop(), threads_max=1)
        errands.close()
        with pytest.raises(ErrandError, match="too many"):
            await errands.run(lambda: 1, 1.0)

    asyncio.run(whole())


def test_a_look_that_nobody_took_can_be_asked_for_again(tmp_path: Path) -> None:
    async def whole() -> None:
        errands = Errands(asyncio.get_running_loop())
        errands.close()
        asked, question = Sources(tmp_path, errands), AskSource("t", 7, FilesSource("*"), SECOND)
        for _ in range(2):
            looking = asked.ask(question)
            await asyncio.wait([looking])
            assert "too many slow look-ups" in answered(question, looking).error

    asyncio.run(whole())


def test_a_look_that_was_given_up_before_a_thread_was_free_can_be_asked_for_again(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    released = threading.Event()

    async def whole() -> None:
        errands = Errands(asyncio.get_running_loop(), threads_max=1)
        busy = errands.run(released.wait, 60.0)
        asked = Sources(tmp_path, errands)
        late, again = (
            AskSource("t", 7, FilesSource("*"), -SECOND * 9 // 10),
            AskSource("t", 8, FilesSource("*"), 20 * SECOND),
        )
        looking = asked.ask(late)
        await asyncio.wait([looking])
        assert "no answer within" in answered(late, looking).error
        released.set()
        await busy
        looking = asked.ask(again)
        await asyncio.wait([looking])
        assert answered(again, looking).items == ("file",)
        errands.close()

    asyncio.run(whole())


def test_a_feeder_says_that_more_will_come(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert not feeding("in/*.gz", tmp_path)
    (tmp_path / "in" / FEEDING).touch()
    assert feeding("in/*.gz", tmp_path)
    assert feeding("in/*/x", tmp_path)
    assert not feeding("other/*", tmp_path)
