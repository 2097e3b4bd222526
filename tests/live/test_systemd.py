"""Goal: systemd hears from a server and a controller when they are ready, reload and stop, and that they are alive only
as long as they are; and nothing else that we start speaks in their name.

Method: a datagram socket of the test's own in the place of systemd's, with a loop whose timers the test lets go off;
then `laulima run` and `laulima controller` as processes of their own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, cast

import pytest

from live.systemd import VARIABLES, Systemd
from shell.detaching import command_line
from tests.live.running_server import DEADLINE, until

READY = "READY=1\nSTATUS=idle"


class Listener:
    """What a service manager hears, one text for each datagram."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def all(self) -> list[str]:
        """Everything that is there."""
        found: list[str] = []
        with contextlib.suppress(BlockingIOError):  # that was all
            while True:
                found.append(self.socket.recv(4096).decode())
        return found


class Reader:
    """Hears at once what programs say, for the kernel keeps ten datagrams at most."""

    def __init__(self, address: str) -> None:
        self._listener = Listener(address)
        self._listener.socket.setblocking(True)
        self._heard: SimpleQueue[str] = SimpleQueue()
        self._thread = Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while said := self._listener.socket.recv(4096):
            self._heard.put(said.decode())

    def end(self) -> None:
        self._listener.socket.sendto(b"", self._listener.socket.getsockname())
        self._thread.join(DEADLINE)
        self._listener.socket.close()

    def next(self) -> str:
        return self._heard.get(timeout=DEADLINE)

    def until(self, line: str) -> list[str]:
        """Everything up to the datagram that begins with this line."""
        deadline = time.monotonic() + DEADLINE
        found = [self.next()]
        while not found[-1].startswith(line):
            assert time.monotonic() < deadline, f"no {line}: {found}"
            found.append(self.next())
        return found


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    found = Listener(str(tmp_path / "notify"))
    yield found
    found.socket.close()


class Timer:
    def __init__(self, seconds: float, fire: Callable[[], None]) -> None:
        self.seconds, self.fire = seconds, fire
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """Timers go off when the test says so."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []

    def call_later(self, seconds: float, fire: Callable[[], None]) -> Timer:
        self.timers.append(Timer(seconds, fire))
        return self.timers[-1]

    def go_off(self, seconds: float) -> None:
        timer = next(timer for timer in self.timers if timer.seconds == seconds)
        self.timers.remove(timer)
        timer.fire()


class Turns:
    def __init__(self) -> None:
        self.turns, self.asked, self.stuck, self.closed = 7, 0, False, False

    def schedule(self) -> None:
        self.asked += 1


class Told:
    """What is told, over the stubs. `state` is what it says of itself, `lines` what people were told."""

    def __init__(self, address: str, watchdog_usec: int = 0) -> None:
        self.lines: list[str] = []
        self.state = "idle"
        self.loop, self.turns = Loop(), Turns()
        self.systemd = Systemd(address, watchdog_usec, self.lines.append)

    def begin(self) -> None:
        self.systemd.ready(cast("Any", self.loop), self.turns, lambda: self.state)


@pytest.fixture
def told(listener: Listener) -> Told:
    return Told(listener.socket.getsockname(), 60_000_000)


def test_without_a_service_manager_nothing_is_said_or_timed() -> None:
    told = Told("", 60_000_000)
    told.begin()
    with told.systemd.reloading():
        pass
    told.systemd.stopping()
    assert (told.lines, told.loop.timers, told.turns.asked) == ([], [], 0)


def test_what_is_told_is_for_this_process_alone(listener: Listener) -> None:
    ours = {"NOTIFY_SOCKET": listener.socket.getsockname(), "WATCHDOG_USEC": "60000000"}
    for process, seconds in (("", [10.0, 30.0]), (str(os.getpid()), [10.0, 30.0]), ("1", [10.0])):
        environment = {**ours, "WATCHDOG_PID": process, "PATH": "/bin"}
        loop = Loop()
        systemd = Systemd.taken(environment, pytest.fail)
        systemd.ready(cast("Any", loop), Turns(), lambda: "idle")
        assert environment == {"PATH": "/bin"}
        assert [timer.seconds for timer in loop.timers] == seconds
    assert listener.all() == [READY] * 3


@pytest.mark.parametrize("watchdog", ["-1", "soon", "1e6", "²"])
def test_a_watchdog_of_no_number_is_named(watchdog: str) -> None:
    lines: list[str] = []
    Systemd.taken({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": watchdog}, lines.append)
    assert "is no number of microseconds" in lines[0]


def test_an_abstract_address_is_reached(tmp_path: Path) -> None:
    abstract = Listener(f"\0{tmp_path}")
    told = Told(f"@{tmp_path}")
    told.begin()
    assert abstract.all() == [READY]
    assert told.lines == []
    abstract.socket.close()


@pytest.mark.parametrize("address", ["vsock:2:1", "run/notify", "/" + 200 * "x", "/nowhere/notify"])
def test_who_cannot_be_reached_is_told_to_people_once(address: str) -> None:
    told = Told(address, 60_000_000)
    told.begin()
    told.turns.turns += 1
    told.loop.go_off(30.0)
    assert len(told.lines) == 1
    assert address in told.lines[0]
    assert "READY=1" in told.lines[0]


def test_the_watchdog_is_fed_at_half_of_its_time_while_turns_go_on(told: Told, listener: Listener) -> None:
    told.begin()
    assert told.turns.asked == 1  # an idle server has no turn of itself
    for _ in range(3):
        told.turns.turns += 1
        told.loop.go_off(30.0)
    assert listener.all() == [READY, "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"]
    assert told.turns.asked == 4


def test_without_a_turn_it_is_not_fed(told: Told, listener: Listener) -> None:
    told.begin()
    told.loop.go_off(30.0)
    told.loop.go_off(30.0)
    assert listener.all() == [READY]
    told.turns.turns += 1
    told.loop.go_off(30.0)
    assert listener.all() == ["WATCHDOG=1"]


@pytest.mark.parametrize("still", ["stuck", "closed"])
def test_turns_that_stand_still_on_purpose_are_no_hang(told: Told, listener: Listener, still: str) -> None:
    told.begin()
    setattr(told.turns, still, True)
    told.loop.go_off(30.0)
    assert listener.all() == [READY, "WATCHDOG=1"]


def test_its_state_is_told_when_it_has_changed_on_one_line(told: Told, listener: Listener) -> None:
    told.begin()
    told.loop.go_off(10.0)
    told.state = "3 jobs run\nREADY=0"
    told.loop.go_off(10.0)
    told.loop.go_off(10.0)
    first, second = listener.all()
    assert first == READY
    assert second.startswith("STATUS=3 jobs run")
    assert "\n" not in second


def test_a_reload_ends_with_ready_also_when_it_fails(told: Told, listener: Listener) -> None:
    told.begin()
    with contextlib.suppress(RuntimeError), told.systemd.reloading():
        reloading = listener.all()[1].split("\n")
        assert reloading[0] == "RELOADING=1"
        assert int(reloading[1].removeprefix("MONOTONIC_USEC=")) > 0
        raise RuntimeError
    assert listener.all() == ["READY=1"]


def test_who_stops_is_alive_and_not_ready(told: Told, listener: Listener) -> None:
    told.begin()
    with told.systemd.reloading():
        told.systemd.stopping()
    told.turns.closed, told.state = True, "leaving"
    told.loop.go_off(30.0)
    told.loop.go_off(10.0)
    assert [said.split("\n")[0] for said in listener.all()][-2:] == ["STOPPING=1", "WATCHDOG=1"]
    told.systemd.close()
    assert all(timer.cancelled for timer in told.loop.timers)


# the programs

PIPELINE = """\
cluster: {hosts: [{name: node1}]}
shutdown: {on_exit: kill}
tasks:
  show:
    command: [sh, -c, "env > shown.$$; mv shown.$$ shown; exec sleep 600"]
    host: {name: node1, required: true}
    periods: {exec: 1h, timeout: none}
"""


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    found = Reader(str(tmp_path / "notify"))
    yield found
    found.end()


@pytest.fixture
def start(
    tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a `laulima` as systemd does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAULIMA_STATE", raising=False)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    started: list[subprocess.Popen[bytes]] = []

    def begin(*words: str) -> subprocess.Popen[bytes]:
        with (tmp_path / "said").open("ab") as said:
            started.append(subprocess.Popen(command_line(words), stdin=subprocess.DEVNULL, stdout=said, stderr=said))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:  # the test has failed: end what it has left, too
            process.terminate()
            process.wait(DEADLINE)


def ended(process: subprocess.Popen[bytes], reader: Reader) -> int:
    process.send_signal(signal.SIGTERM)
    assert not any("READY=1" in said for said in reader.until("STOPPING=1"))
    return process.wait(DEADLINE)


def test_a_server_tells_systemd_and_nobody_else_does(
    start: Callable[..., subprocess.Popen[bytes]], reader: Reader, tmp_path: Path
) -> None:
    server = start("run", "pipeline.yaml", "--page")
    assert reader.next().startswith("READY=1\nSTATUS=")
    assert reader.until("WATCHDOG=1")
    until((tmp_path / "shown").exists, "a job runs")
    assert not [line for line in (tmp_path / "shown").read_text().split() if line.startswith(VARIABLES)]
    until(lambda: not speaking(below(server.pid)), "no process that the server has started knows systemd's socket")
    (tmp_path / "pipeline.yaml").write_text(PIPELINE.replace("1h", "2h"))
    assert subprocess.run(command_line(["reload", "pipeline.yaml"]), timeout=DEADLINE, check=False).returncode == 0
    reader.until("RELOADING=1")
    assert reader.until("READY=1")
    assert ended(server, reader) == 0


def test_a_controller_tells_systemd(start: Callable[..., subprocess.Popen[bytes]], reader: Reader) -> None:
    controller = start("controller", "pipeline.yaml")
    assert reader.next().startswith("READY=1\nSTATUS=0 jobs of 0 schedulers; ")
    assert reader.until("WATCHDOG=1")
    assert ended(controller, reader) == 0


def below(pid: int) -> list[int]:
    """The process's children, theirs, and so on."""
    children: list[int] = []
    with contextlib.suppress(OSError):  # it has gone
        children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [each for child in children for each in (child, *below(child))]


def speaking(pids: list[int]) -> list[int]:
    """Those of the processes that know where systemd listens. One that is just being started may for a moment."""
    found: list[int] = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if b"NOTIFY_SOCKET=" in Path(f"/proc/{pid}/environ").read_bytes():
                found.append(pid)
    return found
