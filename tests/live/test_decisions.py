"""Goal: what a live server decided is decided again, effect by effect, by fresh machines that are given the same; and
when one of them decides otherwise, the first difference is named.

Method: a real server with real hosts and faults records its decisions; its file is replayed here, by the machines as
they are and by one that was changed. Which attempt meets which fault is not the same twice, and need not be.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

import pytest

from live.decisions import DECODING, MAGIC, Recorder, Recording
from model import agent, controller, decisions, ending, scheduler
from model.configuration import Configuration
from model.decisions import EVENTS, Drained, Entry, MachineMade, Received
from model.effects import Notice
from model.errors import ConfigurationError
from model.job import SECOND, HostWish
from model.replaying import Replayed, replay
from model.restored import Fold
from model.task import Handler, Limits, LinesSource, Retry, TaskDefinition
from model.windows import Window
from shell.main import main
from tests.live.running_server import LOCALLY, QUICK, Client, RunningServer, cluster, until

LIMIT = 60.0
NIGHT = Window(ZoneInfo("Pacific/Honolulu"), from_s=0, to_s=86_400)
RETRIED = Retry(on=("exit 1", "lost", "crash"), times=3, backoff_ns=SECOND // 20)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    running = RunningServer(tmp_path)
    yield running
    running.clean()


@pytest.fixture(scope="module")
def retried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that has recorded a small life; it is only looked at."""
    running = RunningServer(tmp_path_factory.mktemp("retried"))
    running.begin(
        running.configuration(first_attempt_fails("retried", 3, LOCALLY)), until_idle=True, before=recorded(running)
    )
    assert running.ended(LIMIT) == 0, running.said()
    yield running
    running.clean()


def recording(server: RunningServer) -> Path:
    return server.folder / "night.decisions"


_RECORDED = """
from pathlib import Path
from msgspec.structs import replace
import live.server
from tests.live.test_decisions import NIGHT
really = live.server.serve
def serve(configuration, *words, **more):
    tasks = tuple(replace(task, windows=(NIGHT,)) for task in configuration.tasks)
    return really(replace(configuration, tasks=tasks), *words, decisions=Path({path!r}), **more)
live.server.serve = serve
"""


def recorded(server: RunningServer) -> str:
    """Python for a server's process: it records its decisions, and its tasks have windows."""
    return _RECORDED.format(path=str(recording(server)))


def entries(server: RunningServer) -> list[Entry]:
    return list(Recording(recording(server)).entries())


def replayed(server: RunningServer) -> Replayed:
    return replay(entries(server), DECODING)


def waiting(client: Client) -> Counter[str]:
    """Jobs that run and stand at the gate, by task."""
    return Counter(row["task"] for row in client.ask("jobs") if row["state"] == "running" and row["task"] != "retried")


def effects(server: RunningServer) -> int:
    return sum(len(entry.effects) for entry in entries(server) if isinstance(entry, Drained))


def first_attempt_fails(name: str, items: int, host: HostWish) -> TaskDefinition:
    """Every job fails once, and is tried again."""
    command = ("sh", "-c", '[ "$LAULIMA_ATTEMPT" -gt 1 ]')
    return TaskDefinition(
        name,
        command=command,
        host=host,
        periods=QUICK,
        source=LinesSource(("seq", str(items))),
        retry=RETRIED,
    )


def test_a_night_with_faults_is_decided_again_to_the_last_effect(server: RunningServer) -> None:
    """An agent is killed, a job is killed by a person, jobs fail and are tried again, a host is drained, the server
    dies by kill -9 while jobs run, and the next one finds them: two lives in one file."""
    gate = server.folder / "gate"
    os.mkfifo(gate)
    waits = ("sh", "-c", "read line < gate")
    tasks = (
        first_attempt_fails("retried", 6, HostWish()),
        TaskDefinition(
            "held",
            command=waits,
            periods=QUICK,
            host=HostWish("node1", required=True),
            limits=Limits(total=2),
            retry=RETRIED,
            handlers=(Handler("killed", run=("true",)),),
        ),
        TaskDefinition("near", command=waits, periods=QUICK, host=LOCALLY, limits=Limits(total=1)),
    )
    configuration = server.configuration(*tasks, cluster=cluster("node1", "node2"))
    client = server.start(configuration, before=recorded(server))
    until(lambda: waiting(client) == {"held": 2, "near": 1}, "three wait at the gate", LIMIT)
    until(lambda: len([row for row in server.history() if row.task == "retried" and row.final]) == 6, "tried", LIMIT)
    victim = next(row["job"] for row in client.ask("jobs") if row["task"] == "held")
    client.ask("kill", selection={"jobs": [victim]}, reason="too slow")
    os.kill(server.agent("node1"), signal.SIGKILL)
    until(lambda: any(row.outcome == "KILLED" for row in server.history()), "a person's kill", LIMIT)
    client.ask("host", verb="drain", name="node2", reason="new disk")
    server.crash()
    server.start(configuration, before=recorded(server))
    writer = os.open(gate, os.O_RDWR)
    try:
        os.write(writer, b"go\n" * 20)
        until(lambda: len([row for row in server.history() if row.task == "near" and row.final]) == 1, "near", LIMIT)
        until(lambda: sum(row.final for row in server.history() if row.task == "held") == 2, "held", LIMIT)
    finally:
        os.close(writer)
    server.signal(signal.SIGTERM)
    server.ended(LIMIT)

    done = replayed(server)
    assert done.difference is None, done.difference
    assert done.lives == 2
    assert done.effects == effects(server) > 100
    assert min(done.machines[name] for name in ("scheduler", "controller", "local")) > 5
    assert main(["replay", str(recording(server))]) == 0


def test_what_scripts_answer_on_the_spot_is_replayed_too(server: RunningServer) -> None:
    """Tasks with statements: their behaviours are outside of the machines, so their answers are in the file."""
    (server.folder / "take.yaml").write_text(
        "cluster: {local: {slots: 2}}\n"
        "tasks:\n"
        "  prepared: {command: [sh, -c, 'exit $LAULIMA_JOB'], periods: {exec: 50ms}, limits: {total: 4},\n"
        "             host: {name: local, required: true}, prepare: '$x = 1', on: {default: {script: 'echo odd'}}}\n"
    )
    words = ["run", str(server.folder / "take.yaml"), "--until-idle", "--state", str(server.state)]
    assert main([*words, "--decisions", str(recording(server))]) == 0
    done = replayed(server)
    assert done.difference is None, done.difference
    assert done.effects == effects(server) > 20
    kinds = {entry.kind for entry in entries(server) if isinstance(entry, Received)}
    assert {"Prepared job", "Reacted"} <= kinds


def test_a_model_that_decides_otherwise_is_seen_and_its_first_difference_named(
    retried: RunningServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replayed(retried).difference is None
    monkeypatch.setattr(ending, "_retry_wait", lambda *_: SECOND)
    done = replayed(retried)
    assert done.difference is not None
    assert done.difference.machine == "scheduler"
    assert 0 < done.effects < effects(retried)
    assert '"attempt ended"' in done.difference.live
    assert str(SECOND // 20) in done.difference.live
    assert str(SECOND) in done.difference.now
    assert "ended" in done.difference.last
    assert main(["replay", str(recording(retried))]) == 1
    assert f"event {done.difference.event}" in capsys.readouterr().out


def test_an_effect_that_nobody_asked_for_then_is_a_difference(retried: RunningServer) -> None:
    every = entries(retried)
    for place, entry in enumerate(every):
        if isinstance(entry, Drained):
            done = replay([*every[:place], *every[place + 1 :]], DECODING)
            assert done.difference is not None
            assert (done.difference.live, done.difference.effect) == ("", 1)
            assert done.difference.now != ""


def test_a_recording_says_of_what_machines_were_made_and_windows_survive_it(retried: RunningServer) -> None:
    made = {entry.machine: entry.of for entry in entries(retried) if isinstance(entry, MachineMade)}
    assert set(made) == {"scheduler", "controller", "local"}
    of = made["scheduler"]
    assert isinstance(of, decisions.SchedulerMade)
    assert of.tasks[0].windows == (NIGHT,)


def test_only_what_is_sealed_counts_and_the_next_life_goes_on_behind_it(server: RunningServer) -> None:
    configuration = server.configuration(first_attempt_fails("retried", 1, LOCALLY))
    server.begin(configuration, until_idle=True, before=recorded(server))
    assert server.ended(LIMIT) == 0, server.said()
    path = recording(server)
    with path.open("ab") as file:
        file.write(b"\0\0\1\0half an entry")
    reading = Recording(path)
    assert replay(reading.entries(), DECODING).lives == 1
    assert reading.cut == 17
    server.begin(configuration, until_idle=True, before=recorded(server))
    assert server.ended(LIMIT) == 0, server.said()
    assert replayed(server).lives == 2
    assert Recording(path).cut == 0

    text = bytearray(path.read_bytes())
    text[len(MAGIC) + 100] ^= 1
    path.write_bytes(text)
    with pytest.raises(ConfigurationError, match="damaged"):
        replayed(server)


def test_a_file_that_is_no_recording_is_neither_gone_on_with_nor_changed(server: RunningServer) -> None:
    recording(server).write_text("tasks: {}\n")
    server.begin(server.configuration(), until_idle=True, before=recorded(server))
    assert server.ended(LIMIT) != 0
    assert "no recording of decisions" in server.said()
    assert recording(server).read_text() == "tasks: {}\n"


def test_every_event_of_every_machine_can_be_written() -> None:
    made = [
        scheduler.Scheduler(1, 0, cluster(), ()),
        controller.Controller(1, 0, cluster()),
        agent.Agent("local", 1, 0, 1, cluster().times, (0,), 1),
    ]
    received = {kind for machine in made for kind in machine._handlers}
    assert received <= {*EVENTS, decisions.Prepared}


class NoLoop:
    """A loop whose turns never end."""

    def call_soon(self, callback: object) -> None:
        assert callback is not None


def test_a_full_disk_ends_the_recording_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Notice] = []
    path = tmp_path / "night.decisions"
    recorder = Recorder(path, cast("asyncio.AbstractEventLoop", NoLoop()), said.append, Configuration("x", "."), Fold())
    recorder.write(decisions.Advanced("scheduler", 1))
    recorder.flush()
    real = os.write

    def half(file: int, data: memoryview) -> int:
        if len(data) > 8:
            return real(file, data[:8])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", half)
    recorder.write(decisions.Advanced("scheduler", 2))
    recorder.flush()
    recorder.write(decisions.Advanced("scheduler", 3))
    recorder.close()
    monkeypatch.undo()
    assert [notice.level for notice in said] == ["warning"]
    assert "No space left" in said[0].text
    kept = [entry for entry in Recording(path).entries() if isinstance(entry, decisions.Advanced)]
    assert [entry.now for entry in kept] == [1]
