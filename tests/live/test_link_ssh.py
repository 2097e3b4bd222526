"""Hosts behind ssh, without sshd: the code that is sent, the bridge, what a failure is called, and what ssh is told.

Method: a program of our own stands for ssh (`fake_ssh.py`); real agents run behind it. With a real sshd:
`tests/cluster/test_ssh_hosts.py`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from live import first_stage, link_ssh
from live.hello import laulima_version
from live.link_ssh import SshError, SshHost
from live.output_pieces import PIECE_MAX, Fetch, Piece, decode_piece, encode, is_aside, read_piece
from live.shipping import Archive, agent_archive, own_python, pack
from live.spool import output_path
from live.sweep import sweep
from model.configuration import SshSettings
from model.errors import NotReachableError
from model.job import JobId, JobSpec
from model.messages import Assign, Batch, Ended, Inquire, Inventory
from tests.live.fake_ssh import FakeSsh
from tests.live.link_partners import PATIENCE_SECONDS, Superior, run


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSsh:
    return FakeSsh(tmp_path, monkeypatch)


@asynccontextmanager
async def superior_of(host: SshHost, ssh: FakeSsh, epoch: int = 1) -> AsyncIterator[Superior]:
    """A superior of this host; whatever the test does, no agent of it is left."""
    superior = Superior(epoch)
    superior.links.define("node1", host, ended=host.ended)
    try:
        yield superior
        await superior.links.close(goodbye=True)
        await host.wait_gone(PATIENCE_SECONDS)
    finally:
        await superior.links.close(goodbye=True)
        host.close()
        if ssh.spool().exists():
            sweep(ssh.spool())


async def reason(host: SshHost) -> str:
    with pytest.raises(NotReachableError) as caught:
        (await host.dial()).close()
    host.close()
    return str(caught.value)


def is_dead(process: int) -> bool:
    """Ended, whether or not it was reaped."""
    try:
        return not Path(f"/proc/{process}/cmdline").read_bytes()
    except FileNotFoundError:
        return True


# code that is sent


def test_the_code_is_sent_once_and_checked_each_time(ssh: FakeSsh, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        host = ssh.host()
        assert not ssh.archives()
        first = await host.check()
        assert (first.held, first.laulima) == (True, laulima_version()), "the answer comes from the code that was sent"
        [folder] = ssh.archives()
        assert folder.name == agent_archive().digest
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        made = folder.stat().st_ino
        with monkeypatch.context() as patched:
            patched.setattr(link_ssh, "agent_archive", lambda: Archive(b"this would be refused", folder.name))
            assert (await host.check()).stage == "checked", "nothing was sent again"
        assert [path.stat().st_ino for path in ssh.archives()] == [made]
        (folder / "model" / "job.py").write_text("damaged")
        assert (await host.check()).stage == "checked"
        assert [path.stat().st_ino for path in ssh.archives()] != [made], "what is damaged is replaced"
        assert first_stage.is_good(str(ssh.archives()[0]))
        host.close()

    run(scenario())


def test_hosts_that_share_a_home_may_all_get_the_code_at_one_time(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        hosts = [ssh.host(f"node{number}") for number in range(4)]
        answers = await asyncio.gather(*(host.check() for host in hosts))
        assert [answer.stage for answer in answers] == ["checked"] * 4
        assert len(ssh.archives()) == 1, "and nothing else is left there"
        for host in hosts:
            host.close()

    run(scenario())


def test_the_digest_says_what_is_in_the_folder(tmp_path: Path) -> None:
    archive = pack({"a.py": b"x", "b/c.py": b"y"})
    assert archive == pack({"b/c.py": b"y", "a.py": b"x"}), "the same files make the same bytes"
    folder = tmp_path / archive.digest
    assert first_stage.unpack(archive.data, str(folder)) == ""
    made = folder.stat().st_ino
    assert first_stage.unpack(archive.data, str(folder)) == ""
    assert folder.stat().st_ino == made, "somebody may run what is there"
    (folder / "b" / "__pycache__").mkdir()
    (folder / "b" / "__pycache__" / "c.pyc").write_bytes(b"z")
    assert first_stage.is_good(str(folder)), "what Python leaves there changes nothing"
    (folder / "more.py").write_text("")
    assert not first_stage.is_good(str(folder))
    (folder / "more.py").unlink()
    folder.chmod(0o770)
    assert not first_stage.is_good(str(folder)), "others may write to it"


def test_code_that_arrives_damaged_is_not_used(tmp_path: Path) -> None:
    archive = pack({"a.py": b"x"})
    other = tmp_path / pack({"a.py": b"y"}).digest
    assert "not what was sent" in first_stage.unpack(archive.data, str(other))
    assert "could not be put" in first_stage.unpack(archive.data[:-9], str(tmp_path / archive.digest))
    assert not list(tmp_path.iterdir()), "nothing is left of it"


def test_the_archive_holds_what_an_agent_imports_and_nothing_else(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        host = ssh.host()
        await host.check()
        host.close()

    run(scenario())
    [folder] = ssh.archives()
    names = {path.name.partition("-")[0] for path in folder.iterdir()}
    assert names == {"model", "live", "rpyc", "msgspec", "laulima"}


# the agent behind it


def test_an_agent_outlives_its_connection_and_is_found_by_the_next_one(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        os.mkfifo(ssh.folder / "gate")
        host = ssh.host()
        async with superior_of(host, ssh) as superior:
            agent = await superior.connect("node1")
            superior.say("node1", Inquire(1), life=0)
            await superior.until(lambda: bool(superior.heard(Inventory)))
            command = ("sh", "-c", "echo there; cat gate")
            superior.say("node1", Assign(JobId(7), 1, JobSpec("t", command)))
            await superior.until(lambda: len(superior.batches) >= 2)
            for process in list(host._runs):
                process.kill()
            await superior.until(lambda: superior.events[-1][0] == "down")
            same = await superior.connect("node1")
            assert (same.process, same.epoch) == (agent.process, agent.epoch)
            superior.say("node1", Inquire(2), life=0)
            await superior.until(lambda: len(superior.heard(Inventory)) == 2)
            assert [entry.job for entry in superior.heard(Inventory)[-1].entries] == [7]
            piece = await superior.links.fetch("node1", 7, 1, "stdout", 0, PIECE_MAX)
            while not piece.data:  # the job has started, and writes in its own time
                piece = await superior.links.fetch("node1", 7, 1, "stdout", 0, PIECE_MAX)
            assert (piece.data, piece.total) == (b"there\n", 6)
            (ssh.folder / "gate").write_text("go")
            await superior.until(lambda: bool(superior.heard(Ended)))

    run(scenario())


def test_it_is_known_whether_the_agent_has_left(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        host = ssh.host()
        async with superior_of(host, ssh) as superior:
            await superior.connect("node1")
            assert host.agent.startswith("pid ")
            await superior.links.close(goodbye=False)
            assert not await host.wait_gone(1), "without a goodbye it waits for the next server"
            await superior.connect("node1")
            await superior.links.close(goodbye=True)
            assert await host.wait_gone(PATIENCE_SECONDS)
            assert host.agent == ""

    run(scenario())


def test_what_is_left_there_is_ended_by_force(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        host = ssh.host()
        async with superior_of(host, ssh) as superior:
            agent = await superior.connect("node1")
            await superior.links.close(goodbye=False)
            await host.end_by_force()
            assert host.agent == ""
            assert is_dead(agent.process)

    run(scenario())


def test_an_agent_that_stands_still_does_not_hold_its_bridge(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        host = ssh.host()
        async with superior_of(host, ssh) as superior:
            agent = await superior.connect("node1")
            os.kill(agent.process, signal.SIGSTOP)
            [process] = host._runs
            await superior.links.close(goodbye=True)
            assert not await host.wait_gone(1)
            assert await process.ended == link_ssh.GONE + 3, "it says that the agent stays"
            os.kill(agent.process, signal.SIGCONT)

    run(scenario())


def test_a_link_that_ends_says_what_ssh_said(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        host = ssh.host()
        async with superior_of(host, ssh) as superior:
            await superior.connect("node1")
            [process] = host._runs
            with suppress(ProcessLookupError):
                os.kill(process._process, signal.SIGTERM)
            await superior.until(lambda: superior.events[-1][0] == "down")
            assert superior.events[-1][2] == "the other end closed the connection", "greetings are no reason"
            superior.links._hosts["node1"].ended = lambda: "Timeout, server not responding."
            await superior.connect("node1")
            for process in list(host._runs):
                process.kill()
            await superior.until(lambda: superior.events[-1][0] == "down")
            assert superior.events[-1][2].endswith(": Timeout, server not responding.")

    run(scenario())


# what goes wrong


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("echo 'Permission denied (publickey).' >&2; exit 255", "ssh to node1 failed: "),
        ("echo 'Permission denied (publickey).' >&2; exit 255", "Permission denied (publickey)."),
        ("exit 1", "the agent there did not start (no word came; it ended with status 1)"),
        ("printf '\\033[2Jevil' >&2; exit 255", r"\x1b[2Jevil"),
        ("echo down for maintenance; exit 0", "down for maintenance / Authorised use only"),
        ("yes | head -c 70000", "nothing that an agent says"),
        ("printf '\\036laulima-agent {\"stage\": 7}\\n'; exec sleep 60", "not of this version"),
        ('printf \'\\036laulima-agent {"stage": "bridge", "protocol": 99}\\n\'; exec sleep 60', "protocol 99"),
    ],
)
def test_a_failure_says_what_ssh_and_the_other_end_said(ssh: FakeSsh, behaviour: str, said: str) -> None:
    ssh.behave(behaviour)

    async def scenario() -> None:
        assert said in await reason(ssh.host())

    run(scenario())


def test_a_python_that_cannot_run_our_code_is_named_with_ours(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        facts = {"stage": "python", "python": "3.12.1", "abi": "cpython-312-arm", "held": False}
        ssh.behave(f"printf '\\036laulima-agent {first_stage.json.dumps(facts)}\\n'; exec cat >/dev/null")
        text = await reason(ssh.host())
        assert "3.12.1" in text
        assert "cpython-312-arm" in text
        assert own_python()[1] in text
        assert "ship: false" in text
        facts["python"] = "3.6.8"
        ssh.behave(f"printf '\\036laulima-agent {first_stage.json.dumps(facts)}\\n'; exec cat >/dev/null")
        assert "3.6.8" in (text := await reason(ssh.host()))
        assert "3.11 or later is needed" in text

    run(scenario())


def test_a_host_that_does_not_answer_leaves_no_process(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        ssh.behave("exec sleep 600")
        host = ssh.host()
        dialling = asyncio.ensure_future(host.dial())
        async with asyncio.timeout(PATIENCE_SECONDS):
            # nothing announces what a process has written to its standard error
            while not any("Authorised use only" in process.words() for process in host._runs):  # noqa: ASYNC110
                await asyncio.sleep(0)
        dialling.cancel()  # as a time limit does it
        with pytest.raises(asyncio.CancelledError):
            await dialling
        [process] = host._runs
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await process.ended == 128 + signal.SIGKILL

        assert "Authorised use only" in process.words()
        assert not host._runs, "it is reaped and forgotten"

    run(scenario())


# what ssh is told


def test_what_could_be_taken_for_an_option_never_reaches_ssh(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        for name in ("-oProxyCommand=x", "a b", "a;b", "", "a@b", "$(x)"):
            host = ssh.host("node1", ssh=SshSettings(host=name)) if name else ssh.host("-x")
            assert "cannot be given to ssh" in await reason(host)
        assert ssh.runs() == 0

    run(scenario())


def test_the_sites_options_come_before_ours_and_the_host_after_two_dashes(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        settings = SshSettings("gate", "me", 2222, ("StrictHostKeyChecking=accept-new",), "/etc/x")
        words = ssh.host(ssh=settings).ssh_words()
        assert words[:8] == ["ssh", "-T", "-F", "/etc/x", "-p", "2222", "-l", "me"]
        options = words[9::2]
        assert set(words[8::2]) == {"-o"}
        assert options[0] == "BatchMode=yes"
        assert options.index("StrictHostKeyChecking=accept-new") < options.index("StrictHostKeyChecking=yes")
        host = ssh.host(ssh=settings)
        await host.check()
        host.close()
        assert " -- gate exec " in ssh.calls.read_text()

    run(scenario())


def test_a_python_below_the_home_directory_is_found_and_others_are_quoted() -> None:
    assert link_ssh._quoted("~/venv/bin/python") == "~/venv/bin/python"
    assert link_ssh._quoted("~/my venv/$x") == "~/'my venv/$x'"
    assert link_ssh._quoted("python3; rm x") == "'python3; rm x'"


def test_where_laulima_is_installed_nothing_is_sent(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        ssh.behave(f"export PYTHONPATH={os.getcwd()}:{':'.join(path for path in sys.path if path)}")
        host = ssh.host(ship=False)
        assert (await host.check()).stage == "checked"
        assert not ssh.archives()
        host.close()

    run(scenario())


# outputs


def test_a_piece_is_read_where_it_is_wished_for(tmp_path: Path) -> None:
    assert read_piece(tmp_path, Fetch(1, 7, 1, "stdout", 0, 10)) == Piece(1), "it wrote nothing"
    path = output_path(tmp_path, 7, 1, "stdout")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"0123456789")
    assert read_piece(tmp_path, Fetch(2, 7, 1, "stdout", 4, 3)) == Piece(2, b"456", 10)
    assert read_piece(tmp_path, Fetch(3, 7, 1, "stdout", 40, 3)) == Piece(3, b"", 10)
    assert read_piece(tmp_path, Fetch(4, 7, 1, "stdout", 0, 0)) == Piece(4, b"", 10)
    assert decode_piece(encode(Piece(5, b"x", 1))) == Piece(5, b"x", 1)
    assert is_aside(encode(Fetch(1, 7, 1, "stdout", 0, 10)))
    assert not is_aside(encode(Batch(1, 2, 3, ())))


def test_a_fetch_without_a_link_says_so_and_one_under_way_ends_with_its_link(ssh: FakeSsh) -> None:
    async def scenario() -> None:
        host = ssh.host()
        async with superior_of(host, ssh) as superior:
            with pytest.raises(NotReachableError, match="node1 is not connected"):
                await superior.links.fetch("node1", 7, 1, "stdout", 0, 1)
            await superior.connect("node1")
            under_way = superior.links.fetch("node1", 7, 1, "stdout", 0, 1)
            superior.links.fail("node1", "a test ends it")
            async with asyncio.timeout(PATIENCE_SECONDS):
                with pytest.raises(NotReachableError, match="its link ended"):
                    await under_way

    run(scenario())


def test_a_step_says_how_far_it_came() -> None:
    assert SshError("ssh", "x").step == "ssh"
