"""Goal: keepers outlive their agent, are adopted with all that they hold, and a dead keeper's attempts are LOST, never
guessed; nothing stays behind at the end. Method: real keepers, real agents in processes of their own, kill -9."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from live import keeper_process, keepers
from live.spool import Spool, SpoolBusyError
from model.job import JobId, JobSpec, Outcome
from model.keeper import Leave, Renew, Start
from model.messages import Held
from tests.live.keeper_rig import PATIENCE, SECOND, Rig, exists, marked, rig, sh, wait_until
from tests.live.test_planted import start_here

AGENT = """
import asyncio, os, sys
from pathlib import Path
from tests.live.keeper_rig import Rig, sh
from live.spool import Spool

async def main(directory):
    agent = Rig(Spool(directory / "spool"), directory, 2)
    await agent.keepers.start()
    agent.start(1, sh("echo before; read go < wait; echo after; exit 9"))
    agent.start(2, sh("echo done; exit 3"))
    await agent.until(lambda: 1 in agent.running and 2 in agent.reports)
    print("ready", flush=True)
    await asyncio.Event().wait()

if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
"""


def children_of(pid: int) -> list[int]:
    lists = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(one) for children in lists for one in children]


def test_a_folder_with_modules_of_our_names_is_not_taken_for_ours(tmp_path: Path) -> None:
    """A server works in its user's folder, and nothing there is imported by the keepers or what starts them."""
    scripts, folder = tmp_path / "scripts", tmp_path / "folder"
    for place in (scripts, folder, folder / "live"):
        place.mkdir()
    for name in ("json.py", "selectors.py", "live/__init__.py"):
        (folder / name).write_text("raise SystemExit('a file of the user was imported')\n")
    (scripts / "agent.py").write_text(
        "import asyncio, os\nfrom pathlib import Path\nfrom tests.live.keeper_rig import rig, sh\n"
        "async def main():\n"
        "    async with rig(Path.cwd()) as agent:\n"
        "        assert (await agent.run(sh('exit 7'))).exit_code == 7\n"
        "    assert not {'PYTHONSAFEPATH'} & os.environ.keys()\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, scripts / "agent.py"]
    done = subprocess.run(words, env=environment, cwd=folder, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_keeper_survives_its_agents_death_and_is_adopted(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "wait")
    script = tmp_path / "agent.py"
    script.write_text(AGENT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, script, tmp_path], env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    helpers = children_of(process.pid)
    assert helpers, "the forkserver and its tracker"
    process.kill()
    process.wait()
    process.stdout.close()
    wait_until(lambda: not any(exists(pid) for pid in helpers))

    async def scene() -> None:
        async with rig(tmp_path, 2) as agent:
            pids = [agent.keeper_pid(0), agent.keeper_pid(1)]
            held = {int(entry.job): entry for entry in (await agent.holding()).entries}
            assert held[1].held is Held.RUNNING
            assert held[2].held is Held.ENDED
            assert held[2].report is not None
            assert held[2].report.exit_code == 3
            (tmp_path / "wait").write_text("go\n")
            report = await agent.report(1)
            assert (report.outcome, report.exit_code) == (Outcome.EXITED, 9)
            assert agent.output(1) == b"before\nafter\n"
            assert agent.output(2) == b"done\n"
            assert agent.downs == []
        wait_until(lambda: not any(exists(pid) for pid in pids))
        assert marked(agent.spool.identity) == []

    asyncio.run(scene())


def test_nothing_of_ours_is_left_when_an_agent_has_ended(tmp_path: Path) -> None:
    script = tmp_path / "agent.py"
    script.write_text(
        "import asyncio, os, sys\nfrom pathlib import Path\nfrom tests.live.keeper_rig import rig, sh\n"
        "async def main():\n"
        "    async with rig(Path(sys.argv[1]), 2) as agent:\n"
        "        agent.start(1, sh('sleep 1000'))\n"
        "        await agent.until(lambda: 1 in agent.running)\n"
        "        print(agent.keeper_pid(0), agent.keeper_pid(1), flush=True)\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
        "    print(Path(f'/proc/self/task/{os.getpid()}/children').read_text())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, script, tmp_path], env=environment, capture_output=True, check=True, timeout=60
    )
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) >= 3
    wait_until(lambda: not any(exists(pid) for pid in pids))
    assert done.stderr == b""


def test_a_dead_keepers_attempts_are_lost_its_processes_gone_its_output_kept(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "wait")
    (tmp_path / "waits.py").write_text(
        "import os\ndef long():\n    print('call', flush=True)\n    open('wait').read()\n"
    )

    async def scene() -> None:
        async with rig(tmp_path) as agent:
            await agent.run(sh("echo over; exit 4"), 1)
            await agent.run(sh("exit 5"), 2)
            agent.forget(2)
            agent.start(3, sh("echo printed; setsid sleep 1000 & read never < wait"))
            agent.start(4, JobSpec("test", call="waits:long"))
            await agent.until(lambda: {3, 4} <= agent.running)
            await agent.until_printed(3, b"printed\n")
            await agent.until_printed(4, b"call\n")
            left = marked(agent.spool.identity)
            assert len(left) >= 4, "shell, sleep, worker, callable"
            os.kill(agent.keeper_pid(), signal.SIGKILL)
            await agent.until(lambda: agent.ups == [0, 0])
            assert agent.downs == [0]
            held = {int(entry.job): entry.report for entry in (await agent.holding()).entries}
            assert set(held) == {1, 3, 4}
            assert held[1] is not None
            assert held[1].exit_code == 4
            for number in (3, 4):
                lost = held[number]
                assert lost is not None
                assert (lost.outcome, lost.reason, lost.started) == (Outcome.LOST, "its keeper died", True)
                assert lost.survivors == ()
            assert not any(exists(pid) for pid in left)
            assert agent.output(3) == b"printed\n"
            assert (await agent.run(sh("exit 0"), 5)).exit_code == 0

    asyncio.run(scene())


def test_a_doubled_start_runs_nothing_twice(tmp_path: Path) -> None:
    async def scene() -> None:
        async with rig(tmp_path) as agent:
            for _ in range(3):
                agent.start(1, sh("echo x >> times"))
            await agent.report(1)
            agent.start(1, sh("echo x >> times"))
            await agent.holding()
            assert (tmp_path / "times").read_text() == "x\n"

    asyncio.run(scene())


def test_the_end_of_the_lease_ends_what_runs_without_any_agent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "wait")

    async def scene() -> None:
        spool = Spool(tmp_path / "spool")
        agent = Rig(spool, tmp_path)
        await agent.keepers.start()
        agent.start(1, sh("read never < wait"))
        await agent.until(lambda: 1 in agent.running)
        agent.keepers.send(0, Renew(SECOND // 2))
        await agent.keepers.close()
        spool.close()
        wait_until(lambda: not marked(spool.identity))
        async with rig(tmp_path) as successor:
            entries = (await successor.holding()).entries
            assert entries[0].report is not None
            assert (entries[0].report.outcome, entries[0].report.reason) == (Outcome.LOST, "lease ended")

    asyncio.run(scene())


def test_a_keeper_that_was_told_to_leave_goes_when_its_agent_has_gone_and_keeps_its_ends(tmp_path: Path) -> None:
    async def scene() -> None:
        spool = Spool(tmp_path / "spool")
        agent = Rig(spool, tmp_path)
        await agent.keepers.start()
        await agent.run(sh("exit 8"))
        pid = agent.keeper_pid()
        agent.keepers.send(0, Leave(kill=False))
        del agent.reports[1]
        agent.stop(1)
        assert (await agent.report(1)).exit_code == 8, "its agent may still forget what it holds"
        assert exists(pid)
        await agent.keepers.close()
        spool.close()
        wait_until(lambda: not exists(pid))
        async with rig(tmp_path) as successor:
            entry = (await successor.holding()).entries[0]
            assert entry.report is not None
            assert entry.report.exit_code == 8

    asyncio.run(scene())


def test_a_keeper_that_was_told_to_leave_stays_with_the_next_agent(tmp_path: Path) -> None:
    async def scene() -> None:
        spool = Spool(tmp_path / "spool")
        agent = Rig(spool, tmp_path)
        await agent.keepers.start()
        agent.start(1, sh("read go < gate; exit 8"))
        await agent.until(lambda: 1 in agent.running)
        agent.keepers.send(0, Leave(kill=False))
        await agent.keepers.close()
        spool.close()
        async with rig(tmp_path) as successor:
            pid = successor.keeper_pid()
            await successor.holding()
            (tmp_path / "gate").write_text("go\n")
            await successor.report(1)
            successor.forget(1)
            await successor.holding()
            assert (await successor.run(sh("exit 0"), 2)).exit_code == 0
            assert (successor.keeper_pid(), successor.downs) == (pid, [])

    os.mkfifo(tmp_path / "gate")
    asyncio.run(scene())


def test_a_keeper_that_dies_while_all_are_told_to_leave_leaves_no_successor_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself a successor would not go here: keepers are patient, as they are forks of this process."""
    monkeypatch.setattr(keeper_process, "UNATTENDED_NS", 3600 * SECOND)
    spool = Spool(tmp_path / "spool")
    agents: list[Rig] = []
    begun = threading.Event()

    def starter(*arguments: Any) -> None:
        begun.set()
        start_here(*arguments)

    async def scene() -> None:
        agent = Rig(spool, tmp_path)
        agents.append(agent)
        await agent.keepers.start()
        monkeypatch.setattr(keepers, "_run_starter", starter)
        os.kill(agent.keeper_pid(), signal.SIGKILL)
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        agent.keepers.send(0, Leave(kill=True))
        async with asyncio.timeout(PATIENCE):
            await agent.keepers.gone()
        await agent.keepers.close()

    asyncio.run(scene())  # its end waits for whatever is still being started
    spool.close()
    last = agents[0].keeper_pid()
    try:
        wait_until(lambda: not exists(last))
    finally:
        if exists(last):
            os.kill(last, signal.SIGKILL)


def test_a_keeper_of_a_larger_life_is_heard_too(tmp_path: Path) -> None:
    async def scene() -> None:
        spool = Spool(tmp_path / "spool")
        agent = Rig(spool, tmp_path, 3)
        await agent.keepers.start()
        agent.keepers.send(2, Start(JobId(8), 1, sh("exit 8")))
        await agent.report(8)
        await agent.keepers.close()
        spool.close()
        async with rig(tmp_path, 1) as successor:
            assert 2 in successor.keepers.numbers
            entry = (await successor.holding(2)).entries[0]
            assert entry.report is not None
            assert entry.report.exit_code == 8

    asyncio.run(scene())


def test_a_spool_has_one_owner(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    with pytest.raises(SpoolBusyError, match=f"process {os.getpid()}"):
        Spool(tmp_path / "spool")
    spool.close()
    Spool(tmp_path / "spool").close()


def test_a_keeper_is_deaf_to_the_terminal(tmp_path: Path) -> None:
    async def scene() -> None:
        async with rig(tmp_path) as agent:
            pid = agent.keeper_pid()
            assert os.getsid(pid) not in {os.getsid(0), os.getsid(os.getppid())}
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGHUP)
            assert (await agent.run(sh("exit 0"))).exit_code == 0
            assert agent.downs == []

    asyncio.run(scene())


def test_nobody_else_can_reach_a_keeper(tmp_path: Path) -> None:
    async def scene() -> None:
        async with rig(tmp_path) as agent:
            await agent.run(sh("echo secret"))
            for path in (agent.spool.path, *agent.spool.path.rglob("*")):
                assert path.stat().st_mode & 0o077 == 0, path

    asyncio.run(scene())


STAYS = """
import asyncio, sys
from pathlib import Path
from live.spool import Spool
from tests.live.keeper_rig import Rig, sh

async def main(directory):
    agent = Rig(Spool(directory / "spool"), directory, 2)
    await agent.keepers.start()
    agent.start(1, sh("trap '' TERM; setsid sleep 1000 & read never < wait"), 0)
    agent.start(2, sh("echo on; read go < wait; echo goes on; exit 7"), 1)
    await agent.until(lambda: {1, 2} <= agent.running)
    print(agent.keeper_pid(0), flush=True)
    await asyncio.Event().wait()

if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("then", [signal.SIGSTOP, signal.SIGKILL])
def test_what_a_dead_keeper_left_is_ended_though_its_agent_cannot_do_it(tmp_path: Path, then: signal.Signals) -> None:
    """Its agent stands still, or is dead as well. The other keeper's job is left alone."""
    os.mkfifo(tmp_path / "wait")
    script = tmp_path / "agent.py"
    script.write_text(STAYS)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, script, tmp_path], env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    keeper = int(process.stdout.readline())
    identity = (tmp_path / "spool" / "identity").read_text().strip()
    wait_until(lambda: len(of_keeper(identity, 0)) >= 2)  # shell, sleep
    left = of_keeper(identity, 0)
    others = of_keeper(identity, 1)
    assert others
    process.send_signal(then)
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not any(exists(pid) for pid in left))
    assert all(exists(pid) for pid in others)
    process.kill()
    process.wait()
    process.stdout.close()

    async def scene() -> None:
        async with rig(tmp_path, 2) as agent:
            held = {int(entry.job): entry.report for entry in (await agent.holding(0)).entries}
            assert held[1] is not None
            assert (held[1].outcome, held[1].reason) == (Outcome.LOST, "its keeper died")
            (tmp_path / "wait").write_text("go\n")
            assert (await agent.report(2)).exit_code == 7
            wait_until(lambda: len(guards_of(tmp_path / "spool")) == 2)  # the living keeper's, and the successor's
            guards = guards_of(tmp_path / "spool")
        wait_until(lambda: not any(exists(pid) for pid in guards))

    asyncio.run(scene())


def test_a_guard_leaves_the_processes_of_a_successor_alone(tmp_path: Path) -> None:
    """They carry the marks of the dead keeper, too."""

    async def scene() -> None:
        async with rig(tmp_path) as agent:
            wait_until(lambda: guards_of(agent.spool.path))
            (first,) = guards_of(agent.spool.path)
            os.kill(first, signal.SIGSTOP)
            os.kill(agent.keeper_pid(), signal.SIGKILL)
            await agent.until(lambda: agent.ups == [0, 0])
            agent.start(1, sh("sleep 1000"))
            await agent.until(lambda: 1 in agent.running)
            os.kill(first, signal.SIGCONT)
            wait_until(lambda: not exists(first))
            await agent.holding()
            assert 1 not in agent.reports
            assert agent.downs == [0]

    asyncio.run(scene())


def of_keeper(identity: str, number: int) -> list[int]:
    """Living processes that carry the marks of a keeper."""
    mark = f"LAULIMA_KEEPER={number}\0".encode()
    found = []
    for pid in marked(identity):
        try:
            if mark in Path(f"/proc/{pid}/environ").read_bytes() + b"\0":
                found.append(pid)
        except OSError:
            continue  # it has just ended
    return found


def guards_of(spool: Path) -> list[int]:
    """Living guards of this spool: their errors go to a file of it."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            is_guard = (entry / "comm").read_text() == "laulima-guard\n"
            if is_guard and Path(os.readlink(entry / "fd/2")).parent == spool:
                found.append(int(entry.name))
        except OSError:
            continue  # no process, or it has just ended
    return found
