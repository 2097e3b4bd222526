"""What the jobs of a torture say about themselves, and whether the server's books agree with it.

Each job writes the same lines to its stdout and, with one O_APPEND write each, to one witness file that no server
knows: `begin` and `end`, with its job, attempt, pid and number; and `overlap` when it finds another attempt of its own
job alive. Both of two attempts that overlap begin before they look, so one of them sees the other.

Does not belong here: who is killed when (`killing.py`).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import msgspec

from live.spool import output_path
from model.job import AttemptKey
from model.records import AttemptEnded, Record
from model.views import HistoryRow

SCRIPT = r"""#!/bin/sh
# job.sh NUMBER SECONDS|gate: ends with exit status NUMBER % 5, after so long or once there is a file `gate`
mark="$LAULIMA_JOB $LAULIMA_ATTEMPT $$ $1"
echo "begin $mark"
echo "begin $mark" >> witness
for pid in $(sed -n "s/^begin $LAULIMA_JOB [0-9]* \([0-9]*\) .*/\1/p" witness); do
    [ "$pid" = "$$" ] && continue
    if tr '\0' '\n' 2>/dev/null < "/proc/$pid/environ" | grep -qx "LAULIMA_JOB=$LAULIMA_JOB"; then
        echo "overlap $mark with $pid" >> witness
    fi
done 2>/dev/null
if [ "$2" = gate ]; then
    until [ -e gate ]; do echo tick >> "ticks.$LAULIMA_JOB.$LAULIMA_ATTEMPT"; sleep 0.05; done
else
    sleep "$2"
fi
echo "end $mark"
echo "end $mark" >> witness
exit $(($1 % 5))
"""
STATUSES = 5


class Mark(NamedTuple):
    """One line of the witness: what `job` and `attempt` said."""

    job: int
    attempt: int
    pid: int
    number: str


class Witness:
    """The witness file of a folder, read once."""

    def __init__(self, folder: Path) -> None:
        self.begun: list[Mark] = []
        self.ended: list[Mark] = []
        self.overlaps: list[str] = []
        for line in (folder / "witness").read_text().splitlines():
            word, job, attempt, pid, number, *_ = line.split()
            mark = Mark(int(job), int(attempt), int(pid), number)
            if word == "overlap":
                self.overlaps.append(line)
            else:
                {"begin": self.begun, "end": self.ended}[word].append(mark)


def prepare(folder: Path) -> None:
    """Put the job's script and an empty witness into the folder of a configuration."""
    script = folder / "job.sh"
    script.write_text(SCRIPT)
    script.chmod(0o755)
    (folder / "witness").touch()


def check_books(folder: Path, state: Path, rows: list[HistoryRow]) -> None:
    """Promises P1-P4 as far as the jobs themselves can tell. AssertionError names what is wrong."""
    witness = Witness(folder)
    assert not witness.overlaps, witness.overlaps
    _check_ends(state, rows)
    by_key = {(row.job, row.attempt): row for row in rows}
    begun = Counter((mark.job, mark.attempt) for mark in witness.begun)
    doubled = [key for key, times in begun.items() if times > 1]
    assert not doubled, f"attempts that ran more than once: {doubled}"
    unknown = begun.keys() - by_key.keys()
    assert not unknown, f"attempts that ran and are in no history: {unknown}"
    ended = {(mark.job, mark.attempt): mark for mark in witness.ended}
    for row in rows:
        if row.outcome == "EXITED":
            mark = ended.get((row.job, row.attempt))
            assert mark is not None, f"an end that no job knows of: {row}"
            assert row.exit_code == int(mark.number) % STATUSES, (row, mark)
    for mark in witness.begun:
        _check_output(state, mark, (mark.job, mark.attempt) in ended, by_key[mark.job, mark.attempt])


def _check_ends(state: Path, rows: list[HistoryRow]) -> None:
    finals = Counter(row.job for row in rows if row.final)
    assert set(finals.values()) <= {1}, f"final more than once: {[job for job, times in finals.items() if times > 1]}"
    unfinished = {row.job for row in rows} - finals.keys()
    assert not unfinished, f"never final: {unfinished}"
    with contextlib.closing(sqlite3.connect(f"file:{state / 'journal.sqlite'}?mode=ro", uri=True)) as journal:
        bodies = journal.execute("SELECT body FROM record WHERE node = 'scheduler' AND kind = 'attempt ended'")
        recorded = Counter(_key(body) for (body,) in bodies)
        damage = journal.execute("PRAGMA integrity_check").fetchall()
    twice = [key for key, times in recorded.items() if times > 1]
    assert not twice, f"ends that were recorded twice: {twice}"
    assert damage == [("ok",)], damage


def _key(body: bytes) -> AttemptKey:
    record = msgspec.msgpack.decode(body, type=Record)
    assert isinstance(record, AttemptEnded)
    return record.job, record.attempt


def _check_output(state: Path, mark: Mark, ended: bool, row: HistoryRow) -> None:
    """What a job is known to have written is in its file, to the byte; of one that was lost at least that."""
    words = f"{mark.job} {mark.attempt} {mark.pid} {mark.number}\n"
    written = f"begin {words}" + (f"end {words}" if ended else "")
    spools = (state / "local", *sorted((state / "hosts").glob("*")))
    files = [path for spool in spools if (path := output_path(spool, mark.job, mark.attempt, "stdout")).exists()]
    assert len(files) == 1, f"{mark} wrote {written!r}, which is in {files}"
    found = files[0].read_text()
    assert found.startswith(written), f"{mark} wrote {written!r}; {files[0]} holds {found!r}"
    if row.outcome == "EXITED":
        assert found == written
        assert row.stdout_bytes == len(found), (row, found)
