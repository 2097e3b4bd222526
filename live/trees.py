"""Which processes belong to which job, and how a whole tree is ended, escapees included.

The keeper is the subreaper of all that its jobs start: when the parent of a process ends, the process becomes the
keeper's own child, whatever session it has moved to. So after the end of a job one read of the keeper's list of
children says whether anything is left (1 us, nearly always nothing). Only a child that is not known is looked at
further; its job is found by, in this order: its session, LAULIMA_JOB and LAULIMA_ATTEMPT in its environment, the
output files that it holds open. One without any of these belongs to nobody that is known: it ends with the last job
that ran when it was first seen.

A keeper that has no descriptor left (its limit was lowered, the machine's table is full) cannot look at other
processes. What ends a job needs none; escapees that are known by their marks only wait until it can look again.

Called by `keeper_process.py`, each turn in which a job ended. Time limits are the machine's, not ours.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Sequence

from live import processes
from live.spool import OutputFile
from model.job import AttemptKey, JobSpec
from model.job_numbers import NUMBER_MARKS, number_marks

ROUNDS_MAX = 20
"""Times that one look goes through the list of children: what forks and exits without end is caught in the act."""
ENDING_LOOKS = 10 * ROUNDS_MAX
"""Looks at a stranger on its way out, until its end is no longer waited for: half a second or so."""
KILL_LIMIT_NS = 10_000_000_000
"""A process that is still there so long after KILL is called a survivor."""
_PAUSE_MIN_NS = 1_000_000
_PAUSE_MAX_NS = 100_000_000


class RunningJob:
    """A process tree that was started for an attempt, until its end is told."""

    __slots__ = (
        "ended_ns",
        "handle",
        "is_asked",
        "is_ours",
        "key",
        "killing",
        "limit_ns",
        "look_ns",
        "pause_ns",
        "pid",
        "spec",
        "stderr",
        "stdout",
        "survivors",
    )

    def __init__(self, key: AttemptKey, spec: JobSpec, stdout: OutputFile, stderr: OutputFile) -> None:
        self.key = key
        self.spec = spec
        self.stdout = stdout
        self.stderr = stderr
        self.pid = 0
        self.is_ours = True
        """its main process is our child; otherwise that of a worker"""
        self.handle = -1
        """pidfd of the main process while it runs"""
        self.is_asked = False
        """a worker was asked to start it"""
        self.ended_ns = 0
        """when its main process ended; 0: it runs"""
        self.killing = False
        self.limit_ns = 0
        """when to give up ending what is left"""
        self.look_ns = 0
        """when to look again"""
        self.pause_ns = _PAUSE_MIN_NS
        self.survivors: tuple[int, ...] = ()

    def begin_ending(self, now: int) -> None:
        """From now on what is left is killed, again and again up to a limit."""
        self.killing = True
        if not self.limit_ns:
            self.limit_ns = now + KILL_LIMIT_NS
        self.look_ns = now

    def look_later(self, now: int) -> None:
        self.look_ns = now + self.pause_ns
        self.pause_ns = min(2 * self.pause_ns, _PAUSE_MAX_NS)

    def files(self) -> set[str]:
        """Where its output files are now."""
        return {os.readlink(f"/proc/self/fd/{file.fd}") for file in (self.stdout, self.stderr)}


class _Orphan:
    """A child of the keeper that the keeper did not start."""

    __slots__ = ("candidates", "is_over", "killed", "owner")

    def __init__(self, owner: RunningJob | None, is_over: bool, candidates: set[RunningJob]) -> None:
        self.owner = owner
        self.is_over = is_over
        """its job is known, and over"""
        self.candidates = candidates
        self.killed = False

    @property
    def is_stranger(self) -> bool:
        return self.owner is None and not self.is_over


class Trees:
    """The jobs that run, and the orphans of them."""

    def __init__(self, identity: str) -> None:
        self.jobs: dict[int, RunningJob] = {}
        """by the pid of the main process, until its end was read"""
        self._identity = identity
        self._children = processes.Children()
        self._known: set[int] = set()
        self._survivors: set[int] = set()
        self._orphans: dict[int, _Orphan] = {}
        self._ending: dict[int, int] = {}
        """strangers that are on their way out, and how often they were found so"""

    def add(self, job: RunningJob) -> None:
        self.jobs[job.pid] = job
        self._known.add(job.pid)

    def remove(self, job: RunningJob) -> None:
        del self.jobs[job.pid]
        self._known.discard(job.pid)

    def add_worker(self, pid: int) -> None:
        self._known.add(pid)

    def remove_worker(self, pid: int) -> None:
        """It is leaving; it is reaped like an orphan."""
        self._known.discard(pid)

    @property
    def has_orphans(self) -> bool:
        return bool(self._orphans or self._survivors)

    def settle(self, ended: Sequence[RunningJob], now: int) -> list[RunningJob]:
        """Kill what the jobs in `ended` left behind; those of which nothing is left, or whose limit is over (then with
        `survivors`), are returned. The others are to be looked at again at their `look_ns`."""
        strange = self._children.read() - self._known
        if not strange and not self._orphans:
            return list(ended)
        for _ in range(ROUNDS_MAX):
            have_ended = self._refresh(strange)
            fresh = [pid for pid, orphan in self._orphans.items() if self._is_doomed(orphan) and not orphan.killed]
            for pid in fresh:
                self._kill(pid)
            if not fresh and not have_ended:
                break
            strange = self._children.read() - self._known
        else:  # it moves on all the time: what it is now was not in any list yet
            for job in ended:
                job.look_later(now)
            ended = [job for job in ended if now >= job.limit_ns]
        return [job for job in ended if self._is_settled(job, now)]

    def tidy(self) -> None:
        """Reap orphans that have ended, and end those that belong to no job any more."""
        self._survivors &= self._children.read()
        for pid in list(self._survivors):
            if processes.reap(pid) is not None:
                self._survivors.discard(pid)
        for orphan in self._orphans.values():
            orphan.killed = False
        self.settle((), 0)

    def signal(self, job: RunningJob, number: int) -> None:
        """Send a signal to the whole tree of a job whose main process was not reaped yet; TERM also wakes what is
        stopped."""
        self._refresh(self._children.read() - self._known)
        try:
            rows = processes.scan()
            for pid in self._members(job, rows):
                if pid not in self._known or pid == job.pid:
                    processes.send(pid, rows[pid].started, number)
                    if number == signal.SIGTERM:
                        processes.send(pid, rows[pid].started, signal.SIGCONT)
        except OSError as error:
            if error.errno not in processes.NO_DESCRIPTOR:
                raise
            self._signal_unseen(job, number)

    def _signal_unseen(self, job: RunningJob, number: int) -> None:
        """The same without a descriptor to look with: those that can be named without, as the main process, which leads
        a group of its own, is not reaped, and orphans are our children. The others are found at the end of the job."""
        for target in (-job.pid, *(pid for pid, orphan in self._orphans.items() if orphan.owner is job)):
            for one in (number, signal.SIGCONT) if number == signal.SIGTERM else (number,):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(target, one)

    def give_up(self, job: RunningJob) -> None:
        """Its main process cannot be ended: name what is left."""
        try:
            members = self._members(job, processes.scan())
        except OSError as error:
            if error.errno not in processes.NO_DESCRIPTOR:
                raise
            members = [job.pid]
        job.survivors = tuple(sorted(members))
        self._survivors.update(set(members) & self._children.read())

    def _members(self, job: RunningJob, rows: dict[int, processes.Row]) -> list[int]:
        roots = [job.pid, *(pid for pid, orphan in self._orphans.items() if orphan.owner is job)]
        return processes.tree(rows, roots, job.pid)

    # orphans

    def _refresh(self, strange: set[int]) -> bool:
        """Bring the orphans up to date with the list of unknown children; zombies are reaped. True: some have ended
        since the list was read, or are about to; what they had started is our child by now, or soon, and is not in it.
        """
        have_ended = False
        for pid in self._orphans.keys() - strange:
            del self._orphans[pid]
        for pid in strange - self._survivors:
            try:
                ended, session = processes.reap(pid) is not None, os.getsid(pid)
            except (ChildProcessError, ProcessLookupError):
                ended, session = True, 0
            if ended:
                have_ended = True
                self._orphans.pop(pid, None)
                continue
            orphan = self._orphans.get(pid)
            if orphan is None or orphan.is_stranger:  # in the instant of its exec a process has no environment
                found = self._identify(pid, session)
                if orphan is None or not found.is_stranger:
                    orphan = self._orphans[pid] = found
                have_ended |= orphan.is_stranger and self._is_about_to_end(pid)
        self._ending = {pid: looks for pid, looks in self._ending.items() if pid in strange}
        return have_ended

    def _is_about_to_end(self, pid: int) -> bool:
        """Its marks are gone already, and what it started is not our child yet, so who looks now sees neither. One that
        stays so for long hangs in the kernel, and is a stranger like others."""
        looks = self._ending.get(pid, 0)
        if looks >= ENDING_LOOKS or not processes.is_exiting(pid):
            return False
        self._ending[pid] = looks + 1
        return True

    def _identify(self, pid: int, session: int) -> _Orphan:
        owner = self.jobs.get(session)
        if owner is not None:
            return _Orphan(owner, False, set())
        marks = processes.environment_of(pid)
        if marks.get("LAULIMA_SPOOL") == self._identity and "LAULIMA_JOB" in marks:
            said = {name: marks[name] for name in NUMBER_MARKS if name in marks}
            owner = next((job for job in self.jobs.values() if number_marks(*job.key) == said), None)
            return _Orphan(owner, owner is None, set())
        files = processes.open_files_of(pid)
        owner = next((job for job in self.jobs.values() if files & job.files()), None)
        return _Orphan(owner, False, set() if owner else set(self.jobs.values()))

    def _is_doomed(self, orphan: _Orphan) -> bool:
        if orphan.owner is not None:
            return orphan.owner.killing or orphan.owner.pid not in self.jobs
        return orphan.is_over or all(job.ended_ns or job.pid not in self.jobs for job in orphan.candidates)

    def _kill(self, pid: int) -> None:
        """Our own child, not reaped: the pid is certain."""
        self._orphans[pid].killed = True
        try:
            os.kill(pid, signal.SIGKILL)
        except PermissionError:
            return  # another user's now; it is named as a survivor when the limit is over

    def _is_settled(self, job: RunningJob, now: int) -> bool:
        left = [pid for pid, orphan in self._orphans.items() if self._concerns(orphan, job)]
        if not left:
            return True
        if now >= job.limit_ns:
            job.survivors = tuple(sorted(left))
            self._survivors.update(left)
            for pid in left:
                del self._orphans[pid]
            return True
        for pid in left:
            self._orphans[pid].killed = False
        job.look_later(now)
        return False

    def _concerns(self, orphan: _Orphan, job: RunningJob) -> bool:
        if orphan.owner is not None:
            return orphan.owner is job
        return job in orphan.candidates and self._is_doomed(orphan)


def end_marked(identity: str, keeper: int, wait: Iterable[None]) -> tuple[int, ...]:
    """End every process that a dead keeper of this spool left, and return those that are still there after the last
    step of `wait`. Their environment names spool and keeper; what cleared it is found through its session or parent."""
    found: dict[int, int] = {}
    for _ in wait:
        rows = processes.scan()
        marked = [pid for pid in rows if _is_marked(pid, identity, keeper)]
        sessions = {rows[pid].session for pid in marked}
        members = {pid for session in sessions for pid in processes.tree(rows, marked, session)}
        found = {pid: rows[pid].started for pid in members if rows[pid].state != "Z" and pid != os.getpid()}
        if not found:
            return ()
        for pid, started in found.items():
            processes.send(pid, started, signal.SIGKILL)
    return tuple(sorted(found))


def _is_marked(pid: int, identity: str, keeper: int) -> bool:
    marks = processes.environment_of(pid)
    return marks.get("LAULIMA_SPOOL") == identity and marks.get("LAULIMA_KEEPER") == str(keeper)
