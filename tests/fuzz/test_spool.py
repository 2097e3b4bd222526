"""Goal: whatever stands in the files of a spool, its reader says what is whole, or that it is no spool; nothing else.

Method: status logs that were cut, changed, doubled, or whose records have right checksums and wrong contents; other
small files with any bytes; links and folders in the place of files.
"""

from __future__ import annotations

import contextlib
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live import spool as spools
from live.agent_life import LifeError, begin_life
from live.spool import Begun, Forgotten, Header, Over, Spool, SpoolError, StatusLog, read_log
from live.state_directory import owner_pid
from live.sweep import is_alive, owner_of
from model.job import JobId, JobSpec, Outcome, Report
from tests.fuzz.anything import PLAIN, damaged, mutated, said
from tests.fuzz.budget import fuzz

SPEC = JobSpec("test", command=("x",))
GOOD = Report(Outcome.EXITED, 0, started=True)


def whole_log() -> bytes:
    with folder() as path:
        log = StatusLog(path / "log", [])
        for job in range(1, 5):
            log.append(Begun(JobId(job), 1, SPEC, f"0-{job}", f"0-{job}e"))
        log.append(Over(JobId(1), 1, GOOD))
        log.append(Over(JobId(9), 1, GOOD, SPEC))
        log.append(Forgotten(JobId(9), 1))
        log.sync()
        log.close()
        return (path / "log").read_bytes()


@contextmanager
def folder() -> Iterator[Path]:
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as name:
        yield Path(name)


def read(content: bytes) -> None:
    with folder() as path:
        log = path / "keeper-0.log"
        log.write_bytes(content)
        with contextlib.suppress(SpoolError):
            held = read_log(log)
            assert 0 <= held.torn <= len(content)
        assert log.read_bytes() == content, "reading changes nothing"


WHOLE = whole_log()


@fuzz(150)
@given(mutated(WHOLE) | st.binary(max_size=80))
def test_a_log_that_was_changed(content: bytes) -> None:
    read(content)


RECORDS = st.lists(damaged(said(Header, Begun, Over, Forgotten)) | PLAIN, max_size=5)


@fuzz(200)
@given(RECORDS)
def test_records_with_right_checksums_and_any_contents(records: list[Any]) -> None:
    content = b""
    for record in records:
        try:
            body = msgspec.msgpack.encode(record)
        except (OverflowError, UnicodeEncodeError):
            continue
        content += len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body
    read(content)


def test_a_log_that_is_deep_or_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = b"\x94\xa5begun" + b"\x91" * 100_000
    read(len(deep).to_bytes(4, "little") + zlib.crc32(deep).to_bytes(4, "little") + deep)
    with folder() as path:
        monkeypatch.setattr(spools, "LOG_MAX", 10)
        (path / "log").write_bytes(bytes(11))
        with pytest.raises(SpoolError, match="too long"):
            read_log(path / "log")


SMALL = st.sampled_from(["identity", "boot", "life", "lock", "keeper-0.lock", "keeper-x.log", "keeper-0.log"])


@fuzz(120)
@given(st.dictionaries(SMALL, st.binary(max_size=40) | st.sampled_from([b"1", b"9" * 5000, b"1 2\n", b"\xb2 \xb2"])))
def test_a_spool_with_any_bytes_in_its_small_files(files: dict[str, bytes]) -> None:
    with folder() as path:
        for name, content in files.items():
            (path / name).write_bytes(content)
        owner_pid(path)
        owner_of(path / "lock")
        is_alive(path)
        with contextlib.suppress(SpoolError):
            spool = Spool(path)
            try:
                spool.keepers()
                assert spool.identity.isprintable()
            finally:
                spool.close()
        with contextlib.suppress(LifeError):
            assert begin_life(path).epoch > 0


@pytest.mark.parametrize("name", ["lock", "identity", "boot", "keeper-0.lock"])
def test_a_link_in_the_place_of_a_file_is_not_followed(name: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("x")
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    (spool / name).symlink_to(victim)
    with contextlib.suppress(SpoolError):
        made = Spool(spool)
        made.close()
        with contextlib.suppress(OSError):
            spools.lock_file(spool / name)
    assert victim.read_text() == "x"
