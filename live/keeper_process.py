"""The process of a keeper: a single-threaded loop that drives `model.keeper.Keeper` and carries out what it asks for.

One turn: ends of processes, then orders, then what is due; then the log is written, signals and starts are carried out,
and when nothing more is ready the ends are made durable together (by one thread that does nothing else, so that a slow
disk delays no start) and told. It outlives the agent that started it: own
session, deaf to SIGINT and SIGHUP, child subreaper, nothing inherited but its lock and its listening socket.

It goes away when it was told to, and by itself when no agent has come for `UNATTENDED_NS` and nothing runs (ends that
were not forgotten are in its log; the next keeper of the same number holds them). Started by `keepers.py`. Which
processes belong to a job is `trees.py`'s; how output files are kept, `spool.py`'s; the socket, `keeper_link.py`'s; what
must be on the disk before it is told, `keeper_ledger.py`'s; Python callables, `keeper_calls.py`'s.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import socket
from collections import deque
from pathlib import Path

import msgspec
from msgspec import Struct

from live import processes
from live.clock import boottime_ns, wall_ns
from live.keeper_calls import Calls
from live.keeper_ledger import Ledger, held_records
from live.keeper_link import AgentLink, Readiness
from live.keeper_recovery import recover
from live.spool import Begun, OutputPool, StatusLog
from live.trees import RunningJob, Trees
from live.user_output import Appending
from model.job import SECOND, AttemptKey, JobId, JobSpec
from model.job_numbers import number_marks
from model.keeper import (
    KILL,
    Died,
    Exited,
    Forget,
    Keeper,
    KeeperMessage,
    Log,
    Renew,
    Running,
    SignalTree,
    Spawn,
    Spawned,
    SpawnFailed,
)

TICK_NS = SECOND
"""While something runs the loop turns at least so often: zombies of orphans are reaped, and a machine that was
suspended notices that time has passed."""
IDLE_TICK_NS = 60 * SECOND
UNATTENDED_NS = 10 * SECOND
NAME_AFTER_NS = SECOND // 5
"""The output of a job that runs longer gets its name, so that it can be followed."""
RUNNING_PATIENCE_NS = 20_000_000
"""That a job runs is told so much later: one that is over by then makes one turn of everybody above, one commit and
one record, instead of two."""
STARTS_PER_TURN = 8
APPEND_PAUSE_NS = 10_000_000


class Settings(Struct, frozen=True):
    """What a keeper is told when it is started; plain values."""

    spool: str
    identity: str
    host: str
    """LAULIMA_HOST of its jobs"""
    directory: str
    """working directory of jobs that name none"""
    environment: dict[str, str]
    """the small environment that every job gets"""


class _Output:
    """The appending of a finished job's output to its user's files."""

    __slots__ = ("died", "job", "steps")

    def __init__(self, job: RunningJob, died: Died, steps: list[Appending]) -> None:
        self.job = job
        self.died = died
        self.steps = steps

    @property
    def waits(self) -> bool:
        """For another attempt that writes to the same file."""
        return bool(self.steps) and self.steps[0].waits


class KeeperProcess:
    """See the head of this file."""

    def __init__(self, number: int, settings: Settings, listener: socket.socket) -> None:
        self._number = number
        self._settings = settings
        spool = Path(settings.spool)
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._readiness = Readiness()
        self._pool = OutputPool(spool, number)
        self._trees = Trees(settings.identity)
        self._machine = Keeper(boottime_ns())
        self._jobs: dict[AttemptKey, RunningJob] = {}
        """started, and their end not told"""
        self._watched: dict[int, RunningJob] = {}
        """by the pidfd of the main process, while it runs"""
        self._lent: dict[AttemptKey, RunningJob] = {}
        """logged as begun, not started yet"""
        self._to_start: deque[Spawn] = deque()
        self._killing: list[RunningJob] = []
        """to be sent KILL again and again until the main process has ended"""
        self._ended: list[RunningJob] = []
        """main process ended; the rest of its tree is being ended"""
        self._outputs: list[_Output] = []
        self._unnamed: deque[tuple[int, RunningJob]] = deque()
        """in the order in which their output is to get its name"""
        self._runs: dict[AttemptKey, tuple[int, Running]] = {}
        """not told yet, and when each is; the oldest first"""
        self._tick_ns = 0
        self._oom = processes.OomKills()
        self._oom_kills = self._oom.read()
        marks = {"LAULIMA_SPOOL": settings.identity, "LAULIMA_KEEPER": str(number)}
        self._environment = {**settings.environment, **marks}
        path = spool / f"keeper-{number}.log"
        self._machine.restore(recover(path, self._pool, settings.identity, number))
        log = StatusLog(path, held_records(self._machine, {}))
        self._link = AgentLink(listener, self._readiness)
        self._ledger = Ledger(log, self._machine, self._readiness, self._link.say)
        self._calls = Calls(
            self._environment,
            self._readiness,
            self._trees,
            forked=self._started,
            refused=self._refused,
            ended=self._finish,
        )

    # the loop

    def run(self) -> None:
        """Until there is nothing to stay for."""
        while not self._may_leave():
            self._turn()
        self._ledger.close()

    def _may_leave(self) -> bool:
        if self._jobs or self._lent or self._to_start or self._machine.alive or self._link.orders:
            return False
        if self._link.is_open:
            return self._machine.may_leave and not (self._link.has_unsent or self._ledger.has_unsaid)
        return self._machine.leaving or boottime_ns() >= self._link.unattended_ns + UNATTENDED_NS

    def _turn(self) -> None:
        poll = self._readiness.epoll.poll
        events = poll(0)
        self._ledger.advance(is_idle=not events and not self._to_start)
        if not events and not self._may_leave():
            events = poll(self._timeout())
        now = boottime_ns()
        for descriptor, mask in events:
            job = self._watched.get(descriptor)
            if job is None:
                self._readiness.handle(descriptor, mask)
            else:
                self._main_ended(job, now)
        self._link.advance(now)
        if now >= self._tick_ns:
            self._tick(now)
        if self._ended:
            self._settle(now)
        if self._outputs:
            self._append_outputs()
        self._deliver_orders(now)
        self._machine.advance(now)
        self._carry_out()
        if self._killing:
            self._kill_again(now)
        for _ in range(min(STARTS_PER_TURN, len(self._to_start))):
            self._start(self._to_start.popleft())
        self._carry_out()
        if self._runs:
            self._tell_runs(now)
        if self._unnamed:
            self._name_outputs(now)

    def _timeout(self) -> float:
        """Seconds until something is due; 0 when something is to be done."""
        if self._to_start or self._link.orders:
            return 0
        now = boottime_ns()
        looks = self._jobs or self._calls.is_waiting or not self._link.is_open
        dues = [now + (TICK_NS if looks else IDLE_TICK_NS)]
        others = (self._machine.next_due(), self._ledger.next_due(), self._link.next_due())
        dues += [due for due in others if due is not None]
        dues += [job.look_ns for job in self._killing]
        dues += [job.look_ns for job in self._ended]
        if self._outputs:
            dues.append(now + APPEND_PAUSE_NS if all(output.waits for output in self._outputs) else now)
        if self._unnamed:
            dues.append(self._unnamed[0][0])
        if self._runs:
            dues.append(next(iter(self._runs.values()))[0])
        return max(0, min(dues) - now) / SECOND

    def _tick(self, now: int) -> None:
        """What is looked at now and then while something runs."""
        self._tick_ns = now + TICK_NS
        if self._trees.has_orphans or self._jobs:
            self._trees.tidy()
        self._oom_kills = self._oom.read()
        self._calls.end_hanging(now)
        self._ledger.tidy()

    # the machine

    def _deliver_orders(self, now: int) -> None:
        """Leases first: they were said at the same instant as the rest. A word that lay unread has aged meanwhile."""
        orders, self._link.orders = self._link.orders, []
        for sent_ns, order in orders:
            if type(order) is Renew:
                self._machine.receive(Renew(order.lease_ns - max(0, now - sent_ns)), now)
        for _, order in orders:
            kind = type(order)
            if kind is Forget:
                self._ledger.forget(order)  # type: ignore[arg-type]
            if kind is not Renew:
                self._machine.receive(order, now)

    def _carry_out(self) -> None:
        """All that the machine asks for; the log first."""
        effects = self._machine.drain()
        if not effects:
            return
        for effect in effects:
            if type(effect) is Log:
                if effect.report is None:
                    self._lend(effect)
                else:
                    self._ledger.end(effect)
        try:
            self._ledger.write()
        except OSError as error:
            self._log_failed(error)
        for effect in effects:
            kind = type(effect)
            if kind is Spawn:
                self._to_start.append(effect)  # type: ignore[arg-type]
            elif kind is SignalTree:
                self._signal(effect)  # type: ignore[arg-type]
            elif kind is not Log:
                self._tell(effect)  # type: ignore[arg-type]

    def _tell(self, message: KeeperMessage) -> None:
        """That something runs waits for a moment, and is left out when it is over by then: its end says so, too."""
        if type(message) is Running:
            self._runs[message.job, message.attempt] = (boottime_ns() + RUNNING_PATIENCE_NS, message)
            return
        if type(message) is Exited:
            self._runs.pop((message.job, message.attempt), None)
        self._ledger.tell(message)

    def _tell_runs(self, now: int) -> None:
        """When one is due, with it those that have waited for half of their time: fewer words, each with company."""
        if now < next(iter(self._runs.values()))[0]:
            return
        for key, (due_ns, message) in list(self._runs.items()):
            if due_ns - now > RUNNING_PATIENCE_NS // 2:
                return
            del self._runs[key]
            self._ledger.tell(message)

    def _lend(self, log: Log) -> None:
        """Output files for an attempt, whose names the log must know before it starts. Without room for them nothing is
        lent; its start finds that out."""
        assert log.spec is not None
        key = (log.job, log.attempt)
        try:
            stdout = self._pool.lend()
            try:
                stderr = self._pool.lend()
            except OSError:
                self._pool.take_back(stdout, *key, "stdout", reusable=True)
                raise
        except OSError:
            return
        self._lent[key] = RunningJob(key, log.spec, stdout, stderr)
        self._ledger.begin(Begun(log.job, log.attempt, log.spec, stdout.name, stderr.name))

    def _log_failed(self, error: OSError) -> None:
        """The disk is full: what is not in the log is not started; ends wait until the log takes them."""
        for job in list(self._lent.values()):
            if not job.is_asked:
                self._refused(job, True, f"status log of the host: {error.strerror}")

    def _take_back(self, job: RunningJob) -> tuple[int, int]:
        """Bytes of its two outputs. Raises OSError."""
        self._lent.pop(job.key, None)
        reusable = not job.survivors
        return (
            self._pool.take_back(job.stdout, *job.key, "stdout", reusable),
            self._pool.take_back(job.stderr, *job.key, "stderr", reusable),
        )

    # starting

    def _start(self, spawn: Spawn) -> None:
        key = (spawn.job, spawn.attempt)
        attempt = self._machine.attempts.get(key)
        if attempt is None or attempt.report is not None:
            return  # refused meanwhile, because the log could not be written
        job = self._lent.get(key)
        if job is None:
            text = "no room for its output files in the spool"
            self._machine.receive(SpawnFailed(spawn.job, spawn.attempt, True, text), boottime_ns())
            return
        spec = spawn.spec
        environment = self._environment_of(key, spec)
        try:
            if spec.call is not None:
                self._calls.start(job, environment, self._directory_of(spec))
                job.is_asked = True
                return
            descriptors = (self._null, job.stdout.fd, job.stderr.fd)
            job.pid = processes.start(spec.command, environment, self._directory_of(spec), descriptors, spec.nice)
            job.handle = _watch_or_kill(job.pid)
        except processes.StartError as error:
            self._refused(job, error.again, str(error))
            return
        self._started(job)

    def _refused(self, job: RunningJob, again: bool, text: str) -> None:
        """It never ran."""
        try:
            self._take_back(job)
        except OSError as error:
            text = f"{text}; {error}"
        self._machine.receive(SpawnFailed(JobId(job.key[0]), job.key[1], again, text), boottime_ns())

    def _started(self, job: RunningJob) -> None:
        now = boottime_ns()
        self._lent.pop(job.key, None)
        self._jobs[job.key] = job
        self._trees.add(job)
        self._watched[job.handle] = job
        self._readiness.epoll.register(job.handle, select.EPOLLIN)
        self._unnamed.append((now + NAME_AFTER_NS, job))
        self._machine.receive(Spawned(JobId(job.key[0]), job.key[1], job.pid, wall_ns()), now)

    def _environment_of(self, key: AttemptKey, spec: JobSpec) -> dict[str, str]:
        """Built, not inherited; what is ours wins."""
        return {
            **self._environment,
            **dict(spec.environment),
            **number_marks(*key),
            "LAULIMA_TASK": spec.task,
            "LAULIMA_HOST": self._settings.host,
            "LAULIMA_SPOOL": self._settings.identity,
            "LAULIMA_KEEPER": str(self._number),
        }

    def _directory_of(self, spec: JobSpec) -> str:
        base = self._settings.directory
        return base if spec.directory is None else os.path.join(base, spec.directory)

    def _name_outputs(self, now: int) -> None:
        """Of those that are due; who is over by then needs none, and nobody is woken for it."""
        unnamed = self._unnamed
        while unnamed and (unnamed[0][0] <= now or unnamed[0][1].ended_ns):
            self._name_output(unnamed.popleft()[1])

    def _name_output(self, job: RunningJob) -> None:
        if job.key in self._jobs and not job.ended_ns:
            try:
                self._pool.give_name(job.stdout, *job.key, "stdout")
                self._pool.give_name(job.stderr, *job.key, "stderr")
            except OSError:
                return  # a full disk: tried again at the end, where it is reported

    # ending

    def _signal(self, effect: SignalTree) -> None:
        job = self._jobs.get((effect.job, effect.attempt))
        if job is None or job.ended_ns:
            return  # its main process ended already, and the rest is being ended
        if effect.number == KILL:
            job.begin_ending(boottime_ns())
            if job not in self._killing:
                self._killing.append(job)
        else:
            self._trees.signal(job, effect.number)

    def _kill_again(self, now: int) -> None:
        """KILL, until the main process of the job has ended or the limit is reached."""
        self._killing = [job for job in self._killing if not job.ended_ns]
        for job in [job for job in self._killing if job.look_ns <= now]:
            if now < job.limit_ns:
                self._trees.signal(job, KILL)
                job.look_later(now)
                continue
            self._trees.give_up(job)
            self._stop_watching(job)
            job.ended_ns = now
            self._over(job, _died(job))

    def _main_ended(self, job: RunningJob, now: int) -> None:
        self._stop_watching(job)
        job.ended_ns = now
        job.limit_ns = 0
        job.begin_ending(now)
        self._ended.append(job)

    def _stop_watching(self, job: RunningJob) -> None:
        del self._watched[job.handle]
        self._readiness.epoll.unregister(job.handle)
        os.close(job.handle)

    def _settle(self, now: int) -> None:
        """Of each job whose main process ended: end what it left, then read how it ended."""
        due = [job for job in self._ended if job.look_ns <= now]
        settled = self._trees.settle(due, now)
        if len(settled) == len(self._ended):
            self._ended.clear()
        else:
            self._ended = [job for job in self._ended if job not in settled]
        for job in settled:
            try:
                result = processes.reap(job.pid)
            except ChildProcessError:
                job.look_ns = now + IDLE_TICK_NS  # its worker is asked, and answers
                if not self._calls.reap(job, self._directory_of(job.spec)):
                    self._over(job, _died(job))
                continue
            assert result is not None, "a process that has ended can be reaped"
            self._finish(job, result.si_code, result.si_status)

    def _finish(self, job: RunningJob, code: int, status: int) -> None:
        """Its tree is gone, and this is what `waitid` said."""
        if code == os.CLD_EXITED:
            self._over(job, _died(job, exit_code=status))
            return
        is_oom = status == signal.SIGKILL and self._oom.read() > self._oom_kills
        self._over(job, _died(job, signal=status, core=code == os.CLD_DUMPED, oom=is_oom))

    def _over(self, job: RunningJob, died: Died) -> None:
        self._trees.remove(job)
        spec = job.spec
        if spec.stdout is None and spec.stderr is None:
            self._told(job, died)
            return
        directory = self._directory_of(spec)
        steps = [
            Appending(file.fd, os.path.join(directory, path))
            for file, path in ((job.stdout, spec.stdout), (job.stderr, spec.stderr))
            if path is not None and os.fstat(file.fd).st_size
        ]
        self._outputs.append(_Output(job, died, steps))

    def _append_outputs(self) -> None:
        """One step of each output that is appended to its user's file."""
        for output in list(self._outputs):
            if output.steps and output.steps[0].step():
                output.died = _noted(output.died, output.steps.pop(0).note)
            if not output.steps:
                self._outputs.remove(output)
                self._told(output.job, output.died)

    def _told(self, job: RunningJob, died: Died) -> None:
        """The job is over for us: its files are named or lent again, and the machine is told."""
        del self._jobs[job.key]
        try:
            stdout, stderr = self._take_back(job)
        except OSError as error:
            stdout = stderr = 0
            died = _noted(died, f"its output has no name in the spool: {error.strerror}")
        died = msgspec.structs.replace(died, stdout_bytes=stdout, stderr_bytes=stderr)
        self._machine.receive(died, boottime_ns())


def _watch_or_kill(pid: int) -> int:
    """A pidfd of our new child. Raises StartError when there is no room for one; the child is gone then."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED)
        raise processes.StartError(f"pidfd: {error.strerror}", again=True) from error


def _died(
    job: RunningJob,
    *,
    exit_code: int | None = None,
    signal: int | None = None,
    core: bool = False,
    oom: bool = False,
) -> Died:
    return Died(
        JobId(job.key[0]),
        job.key[1],
        exit_code,
        signal,
        core,
        oom,
        survivors=job.survivors,
        ended_ns=job.ended_ns,
    )


def _noted(died: Died, note: str) -> Died:
    if not note:
        return died
    return msgspec.structs.replace(died, note=f"{died.note}; {note}" if died.note else note)


def main(number: int, settings: Settings, listener: socket.socket, lock: int) -> None:
    """The life of a keeper process, which ignores SIGINT and SIGHUP already; `lock` is held until its end."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.umask(0o027)
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    processes.become_subreaper()
    gc.freeze()  # what was imported is never garbage; a job leaves no cycles behind
    gc.set_threshold(50_000)
    os.set_inheritable(lock, False)
    KeeperProcess(number, settings, listener).run()
