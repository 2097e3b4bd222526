"""Goal: a keeper's report of a command is true, and its output is kept to the byte. Method: real keepers run small
shell scripts; the reports and the files in the spool are compared with what the scripts did."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from model.job import JobSpec, Outcome
from tests.live.keeper_rig import rig, sh


def test_exit_statuses_are_told_as_they_are(tmp_path: Path) -> None:
    async def scene() -> None:
        async with rig(tmp_path) as agent:
            for code in (0, 1, 2, 75, 127, 128, 137, 255):
                agent.start(code + 1, sh(f"exit {code}"))
            for code in (0, 1, 2, 75, 127, 128, 137, 255):
                report = await agent.report(code + 1)
                assert (report.outcome, report.exit_code, report.signal) == (Outcome.EXITED, code, None)
                assert report.started
                assert report.ran_for_ns > 0

    asyncio.run(scene())


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL, signal.SIGTERM])
def test_a_signal_that_was_not_ours_is_a_crash(tmp_path: Path, number: signal.Signals) -> None:
    async def scene() -> None:
        async with rig(tmp_path) as agent:
            report = await agent.run(sh(f"kill -{int(number)} $$"))
            assert (report.outcome, report.signal, report.exit_code) == (Outcome.CRASHED, number, None)
            assert not report.oom

    asyncio.run(scene())


def test_what_cannot_be_started_says_why(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("exit 0\n")
    (tmp_path / "no_interpreter").write_text("#!/no/such/interpreter\n")
    (tmp_path / "no_program").write_bytes(b"\0\1\2\3")
    for name in ("no_interpreter", "no_program"):
        (tmp_path / name).chmod(0o755)
    cases = {
        ("no-such-command-xyz",): "not found in PATH",
        ("./absent",): "No such file",
        ("./plain",): "not executable",
        ("./plain/x",): "Not a directory",
        (".",): "is a directory",
        ("/",): "is a directory",
        ("./no_interpreter",): "interpreter",
        ("./no_program",): "no program",
        ("/bin/echo", "x" * 3_000_000): "too long",
    }

    async def scene() -> None:
        async with rig(tmp_path) as agent:
            for number, (command, part) in enumerate(cases.items(), 1):
                report = await agent.run(JobSpec("test", command=command), number)
                assert report.outcome is Outcome.COMMAND_NOT_FOUND, command
                assert part in report.reason, report.reason
                assert not report.started
            report = await agent.run(JobSpec("test", command=("/bin/true",), directory="absent"), 90)
            assert report.outcome is Outcome.COMMAND_NOT_FOUND
            assert "working directory" in report.reason

    asyncio.run(scene())


def test_the_surroundings_of_a_job_are_built_not_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_OURS", "canary")
    (tmp_path / "below").mkdir()

    async def scene() -> None:
        async with rig(tmp_path) as agent:
            script = "env; pwd; umask; readlink /proc/self/fd/0; nice"
            await agent.run(sh(script, environment=(("A", "b c"),), directory="below", nice=3))
            text = agent.output(1).decode()
            assert "canary" not in text
            for line in ("A=b c", "LAULIMA_JOB=1", "LAULIMA_ATTEMPT=1", "LAULIMA_TASK=test", "LAULIMA_HOST=testhost"):
                assert line in text.splitlines()
            assert str(tmp_path / "below") in text.splitlines()
            assert "0027" in text.splitlines()
            assert "/dev/null" in text.splitlines()
            assert "3" in text.splitlines()
            report = await agent.run(sh("ls /proc/self/fd; cat /proc/self/status"), 2)
            descriptors, _, status = agent.output(2).decode().partition("Name:")
            assert descriptors.split() == ["0", "1", "2", "3"], "3 is the directory that ls reads"
            ignored = int(status.partition("SigIgn:")[2].split()[0], 16)
            assert ignored & ~(3 << 31) == 0, "but 32 and 33, which are glibc's own"
            assert "SigBlk:\t0000000000000000" in status
            assert report.exit_code == 0

    asyncio.run(scene())


def test_binary_output_is_kept_to_the_byte(tmp_path: Path) -> None:
    blob = os.urandom(100_000) + b"\0\n\xff no newline"
    (tmp_path / "blob").write_bytes(blob)

    async def scene() -> None:
        async with rig(tmp_path) as agent:
            report = await agent.run(sh("cat blob; cat blob blob >&2"))
            assert agent.output(1) == blob
            assert agent.output(1, "stderr") == blob + blob
            assert (report.stdout_bytes, report.stderr_bytes) == (len(blob), 2 * len(blob))

    asyncio.run(scene())


def test_output_is_never_found_under_another_job(tmp_path: Path) -> None:
    async def scene() -> None:
        async with rig(tmp_path) as agent:
            for number in range(1, 61):
                if number % 3 == 0:
                    agent.start(number, sh(f"echo {number}"))
                elif number % 3 == 1:
                    agent.start(number, sh("exit 0"))
                else:  # tries to leave something in the open file that the next job gets
                    agent.start(number, sh("printf x; truncate -s 0 /proc/self/fd/1; chmod 644 /proc/self/fd/2"))
            for number in range(1, 61):
                await agent.report(number)
                expected = f"{number}\n".encode() if number % 3 == 0 else b""
                assert agent.output(number) == expected

    asyncio.run(scene())


def test_a_hundred_megabytes_cost_no_memory(tmp_path: Path) -> None:
    def resident(pid: int) -> int:
        line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1])

    async def scene() -> None:
        async with rig(tmp_path) as agent:
            await agent.run(sh("exit 0", stdout="kept"), 1)
            before = resident(agent.keeper_pid())
            report = await agent.run(sh("head -c 104857600 /dev/zero", stdout="kept"), 2)
            assert report.stdout_bytes == 104857600
            assert (tmp_path / "kept").stat().st_size == 104857600
            assert resident(agent.keeper_pid()) - before < 8192, "kB"

    asyncio.run(scene())


def test_a_named_file_gets_the_output_of_every_attempt_unmixed(tmp_path: Path) -> None:
    async def scene() -> None:
        async with rig(tmp_path, 2) as agent:
            for number in range(1, 9):
                spec = sh(f"yes {number} | head -c 3000000", stdout="all")
                agent.start(number, spec, keeper=number % 2)
            for number in range(1, 9):
                await agent.report(number)
            text = (tmp_path / "all").read_bytes()
            assert len(text) == 8 * 3_000_000
            pieces = [text[start : start + 3_000_000] for start in range(0, len(text), 3_000_000)]
            assert sorted(pieces) == [b"%d\n" % number * 1_500_000 for number in range(1, 9)]

    asyncio.run(scene())


def test_a_named_file_that_cannot_be_written_is_said_and_the_output_is_kept(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")

    async def scene() -> None:
        async with rig(tmp_path) as agent:
            for number, name in enumerate(("absent/file", "pipe", "link"), 1):
                report = await agent.run(sh("echo kept", stdout=name), number)
                assert (report.outcome, report.exit_code) == (Outcome.EXITED, 0)
                assert "not appended" in report.reason
                assert agent.output(number) == b"kept\n"
            assert not (tmp_path / "elsewhere").exists()

    asyncio.run(scene())


def test_the_output_of_a_running_job_can_be_followed(tmp_path: Path) -> None:
    async def scene() -> None:
        async with rig(tmp_path) as agent:
            agent.start(1, sh("echo begun; read never < wait"))
            await agent.until(lambda: 1 in agent.running)
            await agent.until_printed(1, b"begun\n")
            agent.stop(1)
            assert (await agent.report(1)).outcome is Outcome.KILLED

    os.mkfifo(tmp_path / "wait")
    asyncio.run(scene())


def test_no_room_for_a_process_sends_the_job_back(tmp_path: Path) -> None:
    """The limit of open files of the keeper stands for all kinds of no room."""

    async def scene() -> None:
        import resource

        async with rig(tmp_path) as agent:
            await agent.run(sh("exit 0"), 1)
            used = len(os.listdir(f"/proc/{agent.keeper_pid()}/fd"))
            resource.prlimit(agent.keeper_pid(), resource.RLIMIT_NOFILE, (used + 8, 4096))
            os.mkfifo(tmp_path / "wait")
            for number in range(2, 32):
                agent.start(number, sh("read never < wait"))
            await agent.until(lambda: len(agent.running) + len(agent.reports) >= 31)
            resource.prlimit(agent.keeper_pid(), resource.RLIMIT_NOFILE, (4096, 4096))
            refused = [report for report in agent.reports.values() if report.outcome is Outcome.OVERLOADED]
            assert refused
            assert all(report.again and not report.started for report in refused)

    asyncio.run(scene())
