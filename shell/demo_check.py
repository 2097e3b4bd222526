"""The demo's proof: its catalogue against checksums computed here, with other code than the pipeline's tools.

Called by `demo.py` after the server has ended. It reads the files and the history, and judges; it repairs nothing.
"""

from __future__ import annotations

import gzip
import hashlib
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from model.errors import LaulimaError
from shell.demo_folder import Folder
from shell.tables import outcome_word

PROBLEMS_MAX = 10
"""Problems that are told one by one; the rest is counted."""


class Findings(Struct, frozen=True):
    catalogued: int
    verified: int
    packed_bytes: int
    retried: int
    jobs_by_task: dict[str, int]
    """jobs that ended well"""
    attempts_by_host: dict[str, int]
    problems: tuple[str, ...]


def check_result(folder: Folder, names: Sequence[str]) -> Findings:
    """Merge the catalogue's lines into `catalogue.txt`, sorted, and compare each with its input."""
    lines = sorted(
        (path.read_text(encoding="utf-8") for path in folder.lines.iterdir() if not path.name.startswith(".")),
        key=lambda line: line.partition("  ")[2],
    )
    folder.catalogue.write_text("".join(lines), encoding="utf-8")
    entries = dict(_entry(line) for line in lines)
    problems: list[str] = []
    verified = 0
    for name in names:
        problem = _compare(folder, name, entries.get(f"incoming/{name}"))
        if problem:
            problems.append(f"{name}: {problem}")
        else:
            verified += 1
    strangers = set(entries) - {f"incoming/{name}" for name in names}
    problems += [f"{stranger} is in the catalogue and never arrived" for stranger in sorted(strangers)]
    retried, jobs, attempts = _counts(folder)
    return Findings(
        catalogued=len(entries),
        verified=verified,
        packed_bytes=sum(path.stat().st_size for path in folder.packed.glob("*.gz")),
        retried=retried,
        jobs_by_task=jobs,
        attempts_by_host=attempts,
        problems=_shortened(problems),
    )


def _entry(line: str) -> tuple[str, str]:
    digest, _, name = line.rstrip("\n").partition("  ")
    return name, digest


def _compare(folder: Folder, name: str, digest: str | None) -> str:
    """What is wrong with one file; empty: nothing."""
    if digest is None:
        return "is not in the catalogue"
    content = (folder.incoming / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        return "its checksum in the catalogue is wrong"
    try:
        unpacked = gzip.decompress((folder.packed / f"{name}.gz").read_bytes())
    except (OSError, EOFError) as error:
        return f"its packed file cannot be read: {error}"
    return "" if unpacked == content else "its packed file holds something else"


def _counts(folder: Folder) -> tuple[int, dict[str, int], dict[str, int]]:
    """From the history: attempts that were not the last, jobs done by task, attempts by host."""
    from live.history import LIMIT_MAX, History, HistoryQuestion  # noqa: PLC0415

    rows = History(folder.state / "journal.sqlite").attempts(HistoryQuestion(limit=LIMIT_MAX))
    if not rows:
        raise LaulimaError("the journal holds no history of the demo", f"see {folder.log}")
    good = Counter(row.task for row in rows if row.final and outcome_word(row) == "exit 0")
    hosts = Counter(row.host for row in rows if row.host)
    return sum(not row.final for row in rows), dict(good.most_common()), dict(sorted(hosts.items()))


def _shortened(problems: list[str]) -> tuple[str, ...]:
    if len(problems) <= PROBLEMS_MAX:
        return tuple(problems)
    return (*problems[:PROBLEMS_MAX], f"and {len(problems) - PROBLEMS_MAX} more")
