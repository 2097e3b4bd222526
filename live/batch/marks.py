"""What lies on the file system that the nodes share: specifications, marks, the lease and the runner.

    SPOOL/submissions/NUMBER/specs          what each element is to do
    SPOOL/submissions/NUMBER/script         what the batch system starts
    SPOOL/submissions/NUMBER/INDEX.begun    made once only, by the runner or as a claim
    SPOOL/submissions/NUMBER/INDEX.finished how the job ended
    SPOOL/lease                             until when runners may keep jobs alive (wall time in ns)
    SPOOL/runner/runner_DIGEST.py           the runner (`runner.py`); the first one leaves it compiled for the others
    SPOOL/runner.log                        what batch system and runners print; empty as a rule

Everything here blocks as the file system does, and is called in a thread by `driver.py`. Marks are the truth about
what ran: they are made by one write, and brought to the disk.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final

from live.batch import runner
from live.clock import wall_ns
from live.complaints import set_aside
from live.spool import output_name
from model.batch_words import Begun, Finished, Mark, Stopped, Submission
from model.job import AttemptKey, JobSpec, Outcome, Report
from model.job_numbers import number_marks

SUBMISSIONS: Final = "submissions"
GONE: Final = "gone"
"""Folders that are being deleted: renamed first, so that no runner finds half of one."""
RUNNER_LOG: Final = "runner.log"
PROGRAM: Final = (
    "import sys; sys.path[:0] = sys.argv[1:2]; from {runner} import main; sys.exit(main(sys.argv[2], int(sys.argv[3])))"
)
"""Imported, not run as a script: so it is compiled once, which takes longer than all that a runner does."""
CLAIM: Final = "claimed\n"
"""A first mark that is made here."""
MARK_BYTES_MAX: Final = 1 << 16
"""A mark is a few lines."""
REASON_MAX: Final = 500
"""Characters of a sentence from a mark."""


class Elements:
    """The elements of one spool, as files."""

    def __init__(self, spool: Path, host: str, identity: str, directory: Path, environment: Mapping[str, str]) -> None:
        """`directory`: where jobs run that name none. `environment`: the small one that every job gets."""
        self._spool = spool
        self._directory = directory
        self._environment = {**environment, "LAULIMA_HOST": host, "LAULIMA_SPOOL": identity}
        self._told: dict[int, set[str]] = {}
        """names of the marks of each submission that were told"""
        self._runner = ""

    @property
    def log(self) -> Path:
        """Where the batch system puts what runners print."""
        return self._spool / RUNNER_LOG

    def prepare(self, wanted: Iterable[int]) -> None:
        """At a start: the runner is there, and of submissions only the wanted ones."""
        for name in (SUBMISSIONS, GONE):
            (self._spool / name).mkdir(mode=0o700, exist_ok=True)
        set_aside(self.log)
        source = Path(runner.__file__).read_bytes()
        self._runner = f"runner_{blake2b(source, digest_size=4).hexdigest()}"
        folder = self._spool / "runner"
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / f"{self._runner}.py"
        if not path.exists():
            _replace(path, source)
        keep = {str(number) for number in wanted}
        for folder in (self._spool / SUBMISSIONS).iterdir():
            if folder.name not in keep:
                self._delete(folder)
        for folder in (self._spool / GONE).iterdir():
            shutil.rmtree(folder)

    @property
    def is_empty(self) -> bool:
        """No submission is here."""
        return not any((self._spool / SUBMISSIONS).iterdir())

    def _folder(self, number: int) -> Path:
        return self._spool / SUBMISSIONS / str(number)

    # submissions

    def write(self, submission: Submission, python: str, index_variable: str, passed_on: tuple[str, ...]) -> Path:
        """Lay down what a submission needs; the script for the batch system."""
        folder = self._folder(submission.number)
        folder.mkdir(mode=0o700)
        for job, _ in submission.attempts:
            (self._spool / output_name(job, 0, "stdout")).parent.mkdir(mode=0o700, exist_ok=True)
        pairs = zip(submission.attempts, submission.specs, strict=True)
        specs = [self._spec(key, spec, passed_on) for key, spec in pairs]
        (folder / "specs").write_bytes(specs_bytes(specs))
        script = folder / "script"
        program = PROGRAM.format(runner=self._runner)
        words = ["exec", python, "-I", "-S", "-c", program, str(self._spool / "runner"), str(folder)]
        script.write_text(f'#!/bin/sh\n{shlex.join(words)} "${index_variable}"\n')
        return script

    def _spec(self, key: AttemptKey, spec: JobSpec, passed_on: tuple[str, ...]) -> bytes:
        directory = str(self._directory / (spec.directory or ""))
        mine = {**number_marks(*key), "LAULIMA_TASK": spec.task}
        said = dict(spec.environment)
        if spec.needs is not None and spec.needs.gpus:  # the batch system knows better which ones it has given
            said = {name: value for name, value in said.items() if name not in ("CUDA_VISIBLE_DEVICES", "LAULIMA_GPUS")}
        environment = {**self._environment, **said, **mine}
        fields = [
            str(spec.timeout_ns),
            str(spec.grace_ns),
            str(spec.nice),
            directory,
            f"{self._spool}/{output_name(*key, 'stdout')}",
            f"{self._spool}/{output_name(*key, 'stderr')}",
            "" if spec.stdout is None else os.path.join(directory, spec.stdout),
            "" if spec.stderr is None else os.path.join(directory, spec.stderr),
            " ".join(passed_on),
            str(len(environment)),
            *(f"{name}={value}" for name, value in environment.items()),
            *spec.command,
        ]
        return b"\0".join(os.fsencode(field) for field in fields)

    def discard(self, number: int) -> None:
        """Nothing of this submission is wanted any more, and nothing of it can start from now on."""
        self._told.pop(number, None)
        self._delete(self._folder(number))

    def _delete(self, folder: Path) -> None:
        gone = self._spool / GONE / folder.name
        try:
            folder.rename(gone)
        except FileNotFoundError:
            return
        shutil.rmtree(gone)

    # marks

    def claim(self, number: int, index: int) -> bool:
        """Make the first mark of an element unless it is made; whether its runner can never start it now."""
        path = self._folder(number) / f"{index}.begun"
        try:
            runner.leave(str(path), CLAIM, once=True)
        except FileNotFoundError:
            return True  # without its folder no runner starts anything
        except FileExistsError:
            return path.read_text() == CLAIM
        return True

    def look(self, kind: str) -> list[Mark]:
        """Marks of a kind (`begun` or `finished`) that were not told before. Raises OSError."""
        read = _READERS[kind]
        marks: list[Mark] = []
        for entry in os.scandir(self._spool / SUBMISSIONS):
            if not entry.name.isdigit():
                continue
            told = self._told.get(int(entry.name), ())
            for name in sorted(os.listdir(entry.path)):
                index, _, found = name.partition(".")
                if found == kind and index.isdecimal() and name not in told:
                    with open(f"{entry.path}/{name}", encoding="utf-8", errors="replace") as file:
                        mark = read(int(entry.name), int(index), file.read(MARK_BYTES_MAX))
                    if mark is not None:
                        marks.append(mark)
        return marks

    def note_told(self, marks: Iterable[Mark]) -> None:
        """These marks were told."""
        for mark in marks:
            kind = "begun" if isinstance(mark, Begun) else "finished"
            self._told.setdefault(mark.number, set()).add(f"{mark.index}.{kind}")

    def grant(self, lease_ns: int) -> None:
        """Runners may keep jobs alive for so long from now."""
        _replace(self._spool / "lease", f"{wall_ns() + lease_ns}\n".encode())


def _replace(path: Path, content: bytes) -> None:
    """A small file that is there wholly or as it was, on the disk."""
    fresh = path.with_suffix(".new")
    runner.leave(str(fresh), content.decode(), once=False)
    fresh.rename(path)


def specs_bytes(specs: list[bytes]) -> bytes:
    """All specifications: a line with where the first begins and the places of all, then one after the other."""
    places = [0]
    for spec in specs:
        places.append(places[-1] + len(spec))
    tail = " ".join(map(str, places))
    start = len(tail) + 2
    while start != len(f"{start} {tail}\n"):
        start = len(f"{start} {tail}\n")
    return f"{start} {tail}\n".encode() + b"".join(specs)


def read_begun(number: int, index: int, text: str) -> Begun:
    """The first mark. What is not whole, or was spoilt by somebody, is no claim of ours."""
    if text == CLAIM:
        return Begun(number, index, "")
    words = [*text.split(), "?", ""]
    return Begun(number, index, words[0][:REASON_MAX], int(words[1]) if words[1].isdecimal() else 0)


def read_finished(number: int, index: int, text: str) -> Finished | None:
    """The second mark; None: it is not whole yet. One that somebody has spoilt is the end of its job all the same."""
    if not text.endswith(runner.LAST):
        return None
    facts: dict[str, str] = {}
    notes: list[str] = []
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "note":
            notes.append(value[:REASON_MAX])
        else:
            facts[name] = value
    try:
        stopped = None if facts["stopped"] == "-" else Stopped(facts["stopped"])
        report = _report(facts, "; ".join(notes))
        return Finished(number, index, report, stopped, facts["node"][:REASON_MAX])
    except (KeyError, ValueError) as error:
        reason = f"its result {number}/{index}.finished cannot be read: {error!r}"
        return Finished(number, index, Report(Outcome.LOST, reason=reason[:REASON_MAX], started=True), None, "?")


def _report(facts: Mapping[str, str], notes: str) -> Report:
    if "fault" in facts:
        return Report(Outcome.COMMAND_NOT_FOUND, reason=facts["fault"][:REASON_MAX])
    exit_code = int(facts["exit"]) if "exit" in facts else None
    return Report(
        Outcome.CRASHED if exit_code is None else Outcome.EXITED,
        exit_code=exit_code,
        signal=int(facts["signal"]) if exit_code is None else None,
        core=facts.get("core") == "1",
        reason=notes,
        ran_for_ns=int(facts["ran"]),
        started=True,
        stdout_bytes=int(facts["stdout"]),
        stderr_bytes=int(facts["stderr"]),
    )


_READERS: Final[Mapping[str, Callable[[int, int, str], Mark | None]]] = {"begun": read_begun, "finished": read_finished}
