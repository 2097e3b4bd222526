"""Goal: a server is replaced by one of another version in place: `shutdown` that keeps what runs, the other version,
`run`. What runs goes on with the keepers and agents that started it, and is harvested once, by whoever comes next.

Method: the other version is a copy of the whole program in which every message and record has one more field, as a
release adds it; so the servers, agents and keepers of both are real, and each speaks to those of the other. A version
that cannot be understood is made from a log as it would have written it.
"""

from __future__ import annotations

import re
import shutil
import zlib
from pathlib import Path

import msgspec
import pytest

import live
from live.spool import VERSION, Header
from model.configuration import Configuration, OnExit
from tests.live.running_server import until
from tests.live.torture.killing import keepers
from tests.live.torture.small_cluster import PATIENCE, SmallCluster, gated, parent, small_cluster
from tests.live.torture.witness import Mark

HERE = Path(live.__file__).parents[1]
WITH_MESSAGES = ("model/job.py", "model/messages.py", "model/keeper.py", "model/records.py")
STRUCT = re.compile(r"^class \w+\(.*\bStruct\b.*\):\n(?:(?:[ ].*)?\n)+?(?=\n\n\S|\Z)", re.MULTILINE)


@pytest.fixture
def newer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Python that a process runs first to be of the other version."""
    place = tmp_path_factory.mktemp("newer")
    for package in ("model", "live"):
        shutil.copytree(HERE / package, place / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in WITH_MESSAGES:
        text, count = STRUCT.subn(
            r'\g<0>    since_the_newer: str = "a word of the newer version"\n', (place / name).read_text()
        )
        assert count >= 4, f"{name} has messages"
        (place / name).write_text(text)
    path = place / "live/keepers.py"
    path.write_text(path.read_text().replace('"laulima-keeper"', '"newer-keeper"'))
    path = place / "live/hello.py"
    path.write_text(path.read_text().replace("return version(", 'return "newer than " + version('))
    return f"import sys\nsys.path.insert(0, {str(place)!r})\n"


def kept(here: SmallCluster) -> Configuration:
    return msgspec.structs.replace(here.configuration(gated(0)), on_exit=OnExit.KEEP)


def begin_one_at_each(here: SmallCluster, before: str) -> list[Mark]:
    """A server, one job at the gate on its own machine and one on a host."""
    here.client = here.server.start(kept(here), before=before)
    until(lambda: here.host("node1")["state"] == "up", "the host is up", PATIENCE)
    for host in ("node1", "local"):
        here.client.ask("submit", command=["./job.sh", "0", "gate"], like="gated", host=host, required=True)
    return here.begun(2)


def leave(here: SmallCluster) -> None:
    here.client.ask("shutdown")
    assert here.server.ended(PATIENCE) == 0, here.server.said()


def names(here: SmallCluster) -> set[str]:
    """What the keepers are called, which is their version here."""
    return {Path(f"/proc/{pid}/comm").read_text().strip() for pid in keepers(here.server)}


@pytest.mark.parametrize("way", ["up", "down"])
def test_what_runs_goes_on_with_the_keepers_and_agents_of_the_version_that_started_it(
    tmp_path: Path, newer: str, way: str
) -> None:
    before, after = ("", newer) if way == "up" else (newer, "")
    with small_cluster(tmp_path) as here:
        marks = begin_one_at_each(here, before)
        keepers_before = [parent(mark.pid) for mark in marks]
        assert names(here) == {"laulima-keeper" if way == "up" else "newer-keeper"}
        leave(here)
        here.client = here.server.start(kept(here), before=after)
        until(lambda: here.host("node1")["state"] == "up", "the host is up", PATIENCE)
        for mark in marks:
            here.run_on(mark)
        here.are_final([here.submit(3, "node1"), here.submit(4, "node1")])
        assert [parent(mark.pid) for mark in marks] == keepers_before
        assert set(keepers_before) <= set(keepers(here.server)), "they are not replaced"
        rows = here.finish(4)
        assert {(row.attempt, row.outcome) for row in rows} == {(1, "EXITED")}
        assert sorted(row.exit_code or 0 for row in rows) == [0, 0, 3, 4]
        assert {row.host for row in rows} == {"local", "node1"}


def test_a_keeper_that_is_not_understood_is_named_and_its_jobs_go_on(tmp_path: Path) -> None:
    with small_cluster(tmp_path) as here:
        marks = begin_one_at_each(here, "")
        leave(here)
        log = here.server.state / "local" / "keeper-0.log"
        as_it_was = log.read_bytes()
        log.write_bytes(of_version(as_it_was, VERSION + 1))
        here.server.begin(kept(here))
        assert here.server.ended(PATIENCE) == 1
        said = here.server.said()
        assert f"keeper 0 of {log.parent} is of another version" in said
        assert "laulima shutdown --kill" in said
        assert "Traceback" not in said
        for mark in marks:
            here.run_on(mark)
        log.write_bytes(as_it_was)
        here.client = here.server.start(kept(here))
        rows = here.finish(2)
        assert {(row.attempt, row.outcome, row.exit_code) for row in rows} == {(1, "EXITED", 0)}


def of_version(log: bytes, version: int) -> bytes:
    """The same log as a keeper of another version would have begun it."""
    end = 8 + int.from_bytes(log[:4], "little")
    header = msgspec.msgpack.decode(log[8:end], type=Header)
    body = msgspec.msgpack.encode(Header(version, header.boot))
    return len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body + log[end:]
