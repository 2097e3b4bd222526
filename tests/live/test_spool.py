"""Goal: what the spool says after any death is true. Method: logs are written, cut short at every byte, damaged and
read; the pool is lent and taken back as a keeper does it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from live import spool as spools
from live.clock import boot_id
from live.spool import (
    Begun,
    Forgotten,
    OutputPool,
    Over,
    Spool,
    SpoolError,
    StatusLog,
    Syncer,
    output_path,
    read_log,
)
from model.job import JobId, JobSpec, Outcome, Report

SPEC = JobSpec("test", command=("x",))
GOOD = Report(Outcome.EXITED, 0, started=True)


def begun(job: int) -> Begun:
    return Begun(JobId(job), 1, SPEC, f"0-{job}", f"0-{job}e")


def over(job: int) -> Over:
    return Over(JobId(job), 1, GOOD)


def test_a_log_says_what_runs_and_what_is_held(tmp_path: Path) -> None:
    log = StatusLog(tmp_path / "log", [])
    for record in (begun(1), begun(2), over(1), begun(3), over(3), Forgotten(JobId(3), 1)):
        log.append(record)
    log.append(Over(JobId(4), 1, GOOD, SPEC))
    log.sync()
    log.close()
    contents = read_log(tmp_path / "log")
    assert contents.boot == boot_id()
    assert list(contents.begun) == [(2, 1)]
    assert sorted(contents.ended) == [(1, 1), (4, 1)]
    assert contents.ended[JobId(1), 1].report == GOOD
    assert contents.torn == 0


def test_a_log_that_is_cut_short_anywhere_says_all_that_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = StatusLog(path, [])
    sizes = [path.stat().st_size]
    for job in range(1, 6):
        log.append(begun(job))
        log.write()
        sizes.append(path.stat().st_size)
    log.close()
    data = path.read_bytes()
    for length in range(sizes[0], len(data) + 1):
        path.write_bytes(data[:length])
        contents = read_log(path)
        whole = sum(size <= length for size in sizes[1:])
        assert len(contents.begun) == whole
        assert contents.torn == length - sizes[whole]


def test_a_damaged_record_and_what_follows_are_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = StatusLog(path, [begun(1)])
    log.append(begun(2))
    log.write()
    log.close()
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    contents = read_log(path)
    assert list(contents.begun) == [(1, 1)]
    assert contents.torn > 0


def test_no_log_holds_nothing_and_a_record_of_another_version_is_an_error(tmp_path: Path) -> None:
    assert read_log(tmp_path / "absent").begun == {}
    import zlib

    body = b"\x92\xa7unknown\x01"
    path = tmp_path / "log"
    path.write_bytes(len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body)
    with pytest.raises(SpoolError, match="cannot read"):
        read_log(path)


def test_a_full_disk_leaves_whole_records_and_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = StatusLog(tmp_path / "log", [])
    log.append(begun(1))
    real = os.write

    def half(fd: int, data: bytes) -> int:
        return real(fd, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space"):
        log.write()
    assert read_log(tmp_path / "log").torn == 0
    monkeypatch.undo()
    log.append(over(1))
    log.sync()
    assert list(read_log(tmp_path / "log").ended) == [(1, 1)]
    log.close()


def test_a_long_log_is_rewritten_with_what_is_held(tmp_path: Path) -> None:
    log = StatusLog(tmp_path / "log", [begun(1)])
    for job in range(2, 20_000):
        if log.wants_compacting:
            break
        for record in (begun(job), over(job), Forgotten(JobId(job), 1)):
            log.append(record)
        log.write()
    assert log.wants_compacting
    log.compact([begun(1)])
    assert (tmp_path / "log").stat().st_size < 1000
    log.append(begun(5))
    log.write()
    assert list(read_log(tmp_path / "log").begun) == [(1, 1), (5, 1)]
    log.close()


def test_the_syncer_says_when_it_is_done_and_whether_it_worked(tmp_path: Path) -> None:
    import select

    syncer = Syncer()
    file = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    syncer.begin(file)
    assert select.select([syncer.descriptor], [], [], 30)[0]
    assert syncer.end()
    os.close(file)
    reader, writer = os.pipe()
    syncer.begin(writer)
    assert not syncer.end(), "a pipe cannot be brought to a disk"
    os.close(reader)
    os.close(writer)
    os.close(syncer.descriptor)


@pytest.fixture
def pool(tmp_path: Path) -> OutputPool:
    Spool(tmp_path).close()
    return OutputPool(tmp_path, 0)


def test_a_file_that_was_not_written_to_is_lent_again(pool: OutputPool) -> None:
    first = pool.lend()
    assert pool.take_back(first, 1, 1, "stdout", reusable=True) == 0
    assert pool.lend() is first


def test_a_file_that_was_written_to_gets_its_name(pool: OutputPool, tmp_path: Path) -> None:
    file = pool.lend()
    os.write(file.fd, b"text")
    assert pool.take_back(file, 1234, 2, "stderr", reusable=True) == 4
    path = tmp_path / "output" / "000001" / "1234.2.stderr"
    assert output_path(tmp_path, 1234, 2, "stderr") == path
    assert path.read_bytes() == b"text"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list((tmp_path / "pool").iterdir()) == []


def test_a_name_given_early_is_kept_or_taken_away(pool: OutputPool, tmp_path: Path) -> None:
    full, empty = pool.lend(), pool.lend()
    pool.give_name(full, 1, 1, "stdout")
    pool.give_name(empty, 1, 1, "stderr")
    assert output_path(tmp_path, 1, 1, "stdout").read_bytes() == b""
    os.write(full.fd, b"x")
    pool.take_back(full, 1, 1, "stdout", reusable=True)
    pool.take_back(empty, 1, 1, "stderr", reusable=True)
    assert output_path(tmp_path, 1, 1, "stdout").read_bytes() == b"x"
    assert not output_path(tmp_path, 1, 1, "stderr").exists()


@pytest.mark.parametrize("change", ["survivor", "mode", "link", "flags", "position"])
def test_a_file_that_is_not_as_it_was_lent_is_never_lent_again(pool: OutputPool, tmp_path: Path, change: str) -> None:
    import fcntl

    file = pool.lend()
    if change == "mode":
        os.fchmod(file.fd, 0o644)
    elif change == "link":
        os.link(tmp_path / "pool" / file.name, tmp_path / "kept")
    elif change == "flags":
        fcntl.fcntl(file.fd, fcntl.F_SETFL, os.O_NONBLOCK)
    elif change == "position":
        os.lseek(file.fd, 5, os.SEEK_SET)
    pool.take_back(file, 1, 1, "stdout", reusable=change != "survivor")
    assert pool.lend() is not file
    assert not pool.is_unnamed(file.name)


def test_what_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool").chmod(0o777)
    with pytest.raises(SpoolError, match="0777"):
        Spool(tmp_path / "spool")


def test_a_spool_knows_itself_again_and_notices_a_reboot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Spool(tmp_path / "spool")
    first.close()
    second = Spool(tmp_path / "spool")
    assert second.identity == first.identity
    assert second.same_boot
    second.close()
    monkeypatch.setattr(spools, "boot_id", lambda: "another")
    third = Spool(tmp_path / "spool")
    assert not third.same_boot
    third.close()


def test_the_lock_is_held_by_a_child_too(tmp_path: Path) -> None:
    lock = spools.lock_file(tmp_path / "lock")
    spools.write_owner(lock, 4711)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(lock)
    with pytest.raises(spools.SpoolBusyError, match="4711"):
        spools.lock_file(tmp_path / "lock")
    os.close(writer)
    os.close(reader)
    os.waitpid(pid, 0)
    os.close(spools.lock_file(tmp_path / "lock"))
