"""Goal: a host whose disk is full gets no work, and gets work again when there is room, whatever else is wrong with it.

Method: looks whose result the test gives, in a loop whose timers are due at once; and a real host whose spool lies on a
small tmpfs (mounted in the test, which needs to be root).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from live import scratch_room
from live.scratch_room import AGAIN_BYTES, FULL_BYTES, ScratchRoom, free_bytes
from model.errors import LaulimaError
from model.events import HostDirty
from model.job import LOCAL, SECOND, HostWish
from model.task import Periods, TaskDefinition
from tests.live.running_server import RunningServer, cluster, until


def told(monkeypatch: pytest.MonkeyPatch, *looks: int | Exception, dirty: str = "") -> list[str]:
    """What is posted, look by look, of a host that is `dirty` for another reason."""
    monkeypatch.setattr(scratch_room, "LOOK_SECONDS", 0)
    posted: list[str] = []
    left = list(looks)

    async def whole() -> None:
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def free(_: Path) -> int:
            if not left:
                loop.call_soon_threadsafe(done.set)
                return FULL_BYTES
            look = left.pop(0)
            if isinstance(look, Exception):
                raise look
            return look

        def post(event: HostDirty) -> None:
            posted.append(event.reason)

        room = ScratchRoom(loop, Path("/spool"), post, lambda: dirty or (posted[-1] if posted else ""), free)
        room.begin()
        async with asyncio.timeout(30):
            await done.wait()
        room.close()

    asyncio.run(whole())
    return posted


def test_a_full_disk_is_told_once_and_room_again_when_there_is_some(monkeypatch: pytest.MonkeyPatch) -> None:
    full, between, room = FULL_BYTES - 1, FULL_BYTES, AGAIN_BYTES
    assert told(monkeypatch, room, between, full, full, between, room, room) == ["its disk is full: /spool", ""]


def test_a_look_that_fails_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = (0, OSError(5, "Input/output error"), LaulimaError("no answer"), AGAIN_BYTES)
    assert told(monkeypatch, *looks) == ["its disk is full: /spool", ""]


def test_what_else_is_wrong_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, 0, AGAIN_BYTES, dirty="processes could not be ended") == []


def test_what_a_disk_has_is_what_its_file_system_says(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) > 0
    with pytest.raises(FileNotFoundError):
        free_bytes(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("folder", "host"), [("hosts/node1", HostWish("node1", required=True)), ("local", HostWish(LOCAL))]
)
def test_a_host_whose_disk_is_full_gets_nothing_until_there_is_room(
    tmp_path: Path, folder: str, host: HostWish
) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    server = RunningServer(tmp_path)
    disk = server.state / folder
    disk.mkdir(mode=0o700, parents=True)
    server.state.chmod(0o700)
    disk.parent.chmod(0o700)
    command = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs here")
    try:
        beat = TaskDefinition("beat", command=("true",), periods=Periods(exec_ns=SECOND // 20), host=host)
        client = server.start(server.configuration(beat, cluster=cluster("node1")))
        until(lambda: client.ask("tasks")[0]["done"], "it works")
        with (disk / "ballast").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free_bytes(disk))
        until(lambda: any("its disk is full" in alarm for alarm in client.ask("status")["alarms"]), "it is told")
        until(lambda: client.ask("tasks")[0]["running"] == 0, "what it had has ended")
        until(lambda: "dirty: its disk is full" in client.ask("tasks")[0]["why"], "it says why nothing runs")
        done = client.ask("tasks")[0]["done"]
        (disk / "ballast").unlink()
        until(lambda: client.ask("tasks")[0]["done"] > done, "it works again")
        client.ask("shutdown", kill=True)
        assert server.ended() == 0
    finally:
        server.clean()
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
