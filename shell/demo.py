"""`laulima demo`: a real pipeline over real files, in a folder of its own, with a check of the result at the end.

This process makes the folder, starts an ordinary server there (`laulima run --until-idle`), lets files arrive in
bursts while the server works, shows the progress that it asks from the control socket, and in the end compares the
catalogue with checksums of its own. The pipeline itself is `configs/demo.yaml`; nothing here knows what a job does.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from model.errors import LaulimaError, NotReachableError
from model.views import TaskRow
from shell.client import Client
from shell.demo_check import Findings, check_result
from shell.demo_folder import Arrivals, Folder
from shell.detaching import LOG_LINES, command_line, start_server, wait_for_answer
from shell.session import Session
from shell.wording import clean_lines, count, duration, size

FILES_MAX = 20_000
"""Three jobs each; the check at the end reads the whole history at once (live.history.LIMIT_MAX)."""
BURSTS = 8
BURST_GAP_S = 0.6
"""Between two bursts of arriving files."""
LOOK_S = 0.15
"""How often the server is asked how far it is, at most."""
LEFTOVERS_S = 90.0
STEPS = ("check", "compress", "catalogue")
"""The tasks that each file passes, in this order."""
PLAIN_LINE_S = 2.0
"""Without a terminal, progress is one line for each so many seconds."""


def run_demo(session: Session, directory: Path, files: int, prepared: Callable[[Path], None] = lambda _: None) -> int:
    """Run the demo in `directory` with so many files. 0: each is in the catalogue, with its checksum. `prepared` is
    called with the state directory before anything is started."""
    begun = time.monotonic()
    folder = Folder(directory)
    folder.prepare()
    prepared(folder.state)
    arrivals = Arrivals(folder, files, BURSTS)
    session.note(
        f"{count(files, 'file')} ({size(arrivals.bytes_total)}) will arrive in {folder.incoming}; each is checked,"
        f" compressed and catalogued, one job for each step, on four hosts.\nFrom another terminal:"
        f"  cd {directory}  and  laulima status -w | history | explain catalogue | hosts"
    )
    code = _serve(session, folder, arrivals)
    if code is not None:
        return code
    findings = check_result(folder, arrivals.names)
    session.say("\n".join(_summary(findings, arrivals, time.monotonic() - begun)))
    if findings.problems:
        raise LaulimaError("the demo's result is wrong:\n" + "\n".join(findings.problems), f"see {folder.log}")
    session.note(f"its catalogue: {folder.catalogue}; what ran: laulima history --state {folder.state}")
    return 0


def _serve(session: Session, folder: Folder, arrivals: Arrivals) -> int | None:
    """Run the server until it is idle, while files arrive. None: it ended well; else the exit code to leave with."""
    with folder.log.open("ab") as log:
        # Ctrl-C reaches this process only, which passes it on once.
        server = start_server(folder.pipeline, folder.state, ["--until-idle"], log, bound=True)
    with _signals_passed_on(session, server) as asked:
        try:
            wait_for_answer(server, folder.state)
            _watch(session, server, folder, arrivals)
        except BaseException:
            _end(server)
            raise
    if server.returncode != 0:
        _end_leftovers(folder)
    if asked:
        session.note(f"ended on request; what was done: laulima history --state {folder.state}")
        return 128 + asked[0]
    if server.returncode != 0:
        tail = folder.log.read_bytes().decode(errors="replace").splitlines()[-LOG_LINES:]
        raise LaulimaError(
            f"the server ended with exit code {server.returncode}:\n" + clean_lines("\n".join(tail)),
            f"see {folder.log}",
        )
    return None


@contextmanager
def _signals_passed_on(session: Session, server: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Within this, the signals that end a program are passed on to the server; the list holds those that came."""
    asked: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        if not asked:
            session.note("ending the server and its jobs (once more: at once)")
        asked.append(number)
        if server.poll() is None:
            server.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server after a failure of ours: politely, and then at once."""
    for _ in range(2):
        if server.poll() is None:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                continue
    if server.poll() is None:
        server.kill()
        server.wait()


def _end_leftovers(folder: Folder) -> None:
    """A server that failed, or was ended at once, has left agents and jobs: a demo leaves nothing behind."""
    with folder.log.open("ab") as log:
        words = command_line(["shutdown", "--kill", "--state", str(folder.state)])
        subprocess.run(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=LEFTOVERS_S, check=False)  # noqa: S603


def _watch(session: Session, server: subprocess.Popen[bytes], folder: Folder, arrivals: Arrivals) -> None:
    """Let the files arrive, and show how far each step is, until the server ends."""
    next_burst = time.monotonic()
    with _progress(session, arrivals) as show:
        while server.poll() is None:
            if not arrivals.complete and time.monotonic() >= next_burst:
                arrivals.next_burst()
                next_burst += BURST_GAP_S
            try:
                with Client(folder.state) as client:
                    show.tasks(client.ask("tasks", {}, list[TaskRow]))
            except NotReachableError:
                pass  # it is about to end: its exit code says how
            try:
                server.wait(LOOK_S)
            except subprocess.TimeoutExpired:
                continue


class _Lines:
    """Progress as plain lines, now and then."""

    def __init__(self, session: Session, arrivals: Arrivals) -> None:
        self._session, self._arrivals = session, arrivals
        self._due = time.monotonic() + PLAIN_LINE_S

    def tasks(self, rows: list[TaskRow]) -> None:
        if time.monotonic() >= self._due:
            self._due += PLAIN_LINE_S
            done = {row.name: row.done for row in rows}
            steps = ", ".join(f"{step} {done.get(step, 0)}" for step in STEPS)
            self._session.note(f"arrived {self._arrivals.arrived}/{self._arrivals.total}, {steps}")


class _Bars:
    """Progress as bars on a terminal."""

    def __init__(self, arrivals: Arrivals) -> None:
        from rich.console import Console  # noqa: PLC0415 - rich is slow to import, and only a terminal wants it
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        self.progress = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._arrivals = arrivals
        self._bars = {name: self.progress.add_task(name, total=arrivals.total, note="") for name in ("arrived", *STEPS)}

    def tasks(self, rows: list[TaskRow]) -> None:
        self.progress.update(self._bars["arrived"], completed=self._arrivals.arrived)
        for row in rows:
            if row.name in STEPS:
                self.progress.update(
                    self._bars[row.name],
                    completed=row.done,
                    note=clean_lines(f"{row.running} running, {row.pending} pending"),
                )


@contextmanager
def _progress(session: Session, arrivals: Arrivals) -> Iterator[_Lines | _Bars]:
    if not sys.stderr.isatty():
        yield _Lines(session, arrivals)
        return
    bars = _Bars(arrivals)
    with bars.progress:
        yield bars


def _summary(findings: Findings, arrivals: Arrivals, seconds: float) -> list[str]:
    """What was done, one line for each fact."""
    steps = ", ".join(f"{task} {number}" for task, number in findings.jobs_by_task.items())
    hosts = ", ".join(f"{host} {number}" for host, number in findings.attempts_by_host.items())
    facts = [
        ("files in", f"{arrivals.total}", f"{size(arrivals.bytes_total)}, in {count(arrivals.bursts, 'burst')}"),
        ("jobs done", f"{sum(findings.jobs_by_task.values())}", steps),
        ("tried again", f"{findings.retried}", "compress fails at the first attempt for some files, on purpose"),
        ("attempts", f"{sum(findings.attempts_by_host.values())}", hosts),
        (
            "files catalogued",
            f"{findings.catalogued}",
            f"of {arrivals.total}, packed into {size(findings.packed_bytes)}",
        ),
        ("checksums verified", f"{findings.verified}", "catalogue and packed files against the inputs, computed here"),
        ("lost", f"{arrivals.total - findings.verified}", "" if findings.problems else "nothing"),
    ]
    lines = [f"{name:<20}{number:>6}   {text}".rstrip() for name, number, text in facts]
    return [f"demo done in {duration(int(seconds * 1e9))}", *lines]
