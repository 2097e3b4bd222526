"""Runs one element of a submission on a node of the batch system: `main(FOLDER, INDEX)`, alone in a process.

A copy in the host's spool is what runs. It needs Python 3.7 or later and nothing else, and the spool on a file system
that the nodes share. What it leaves there is what the batch system's word is checked against (`marks.py` reads it):

1. FOLDER/INDEX.begun is made first, and can be made once only: if it is there, or the folder is gone, the job was
   claimed or started before, and this process ends itself with SIGUSR2 without starting it.
2. The job runs in a process group of its own. Its exec timeout and the lease (SPOOL/lease, wall time in ns) are held
   here: TERM, its grace, KILL. So both hold when everything else is gone.
3. FOLDER/INDEX.finished says how it ended, and is whole when its last line is; it is on the disk before this process
   ends.

Then this process ends as the job did, so that the batch system's own word is right as well.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # the same without enums: they are a third of the time until the job starts

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGXCPU)
"""Signals from outside that mean: end. They are passed on to the job, and so are the others."""
PASSED_ON = (signal.SIGUSR1, signal.SIGHUP)
WATCHED = {signal.SIGCHLD, *ENDING, *PASSED_ON}
SHORT_S = 0.2
"""Pause between looks while the lease file cannot be read."""
PIECE = 1 << 20
LAST = "whole\n"
"""The last line of a second mark."""
CLAIMED = signal.SIGUSR2
RESET = [number for number in range(1, 65) if number not in (9, 19, 32, 33)]
"""A job gets the default of every signal, whatever Python or the batch system ignores (KILL and STOP have no other, 32
and 33 are the C library's)."""


class Spec:
    """What this element is to do; see `marks.spec_bytes`."""

    def __init__(self, folder: str, index: int) -> None:
        with open(os.path.join(folder, "specs"), "rb") as file:
            places = file.readline().split()
            file.seek(int(places[0]) + int(places[1 + index]))
            fields = file.read(int(places[2 + index]) - int(places[1 + index])).split(b"\0")
        self.timeout_s = int(fields[0]) / 1e9
        self.grace_s = int(fields[1]) / 1e9
        self.nice = int(fields[2])
        self.directory = fields[3]
        self.outputs = (fields[4], fields[5])
        self.copies = (fields[6], fields[7])
        """files of the user, to which the outputs are appended at the end"""
        passed = tuple(fields[8].split())
        count = int(fields[9])
        own = os.environb
        self.environment = {name: own[name] for name in own if name.startswith(passed)} if passed else {}
        for pair in fields[10 : 10 + count]:
            name, _, value = pair.partition(b"=")
            self.environment[name] = value
        self.command = fields[10 + count :]


def leave(path: str, text: str, once: bool) -> None:
    """Make a small file, on the disk when this returns (its name as well: it is new). `once`: raises FileExistsError if
    it is there."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if once else os.O_TRUNC)
    descriptor = os.open(path, flags, 0o600)
    try:
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Job:
    """The job's process, from its start to its end."""

    def __init__(self, spec: Spec, lease: str) -> None:
        self._spec = spec
        self._lease = lease
        self._pid = 0
        self._kill_at = 0.0
        self.stopped = "-"
        self.status = 0
        self.fault = ""

    def run(self) -> float:
        """Start it and wait for its end; how long it ran, in seconds. `fault`: why it could not be started."""
        lease_end = self._lease_end()
        if time.time() >= lease_end:
            self.stopped = "lease"
            self.fault = "the lease was over before it started"
            return 0.0
        self._start()
        if self.fault:
            return 0.0
        began = time.monotonic()
        timeout_at = began + self._spec.timeout_s if self._spec.timeout_s else 0.0
        while not self._has_ended():
            now = time.monotonic()
            waits = [lease_end - time.time()] if self.stopped == "-" else []
            waits += [at - now for at in (timeout_at if self.stopped == "-" else 0.0, self._kill_at) if at]
            got = signal.sigtimedwait(WATCHED, max(0.0, min(waits))) if waits else signal.sigwaitinfo(WATCHED)
            now = time.monotonic()
            if got is not None and got.si_signo != signal.SIGCHLD:
                self._told(got.si_signo)
            elif timeout_at and now >= timeout_at and self.stopped == "-":
                self._stop("timeout", now)
            elif self._kill_at and now >= self._kill_at:
                self._kill_at = 0.0
                self._send(signal.SIGKILL)
            elif time.time() >= lease_end and self.stopped == "-":
                lease_end = self._lease_end()
                if time.time() >= lease_end:
                    self._stop("lease", now)
        ran = time.monotonic() - began
        self._send(signal.SIGKILL)  # what the job left behind in its group; the batch system ends the rest
        return ran

    def _lease_end(self) -> float:
        """Wall time in seconds. A file that is missing, for it is being replaced, is looked for once more."""
        for _ in range(10):
            try:
                with open(self._lease, "rb") as file:
                    return int(file.read()) / 1e9
            except (OSError, ValueError):
                time.sleep(SHORT_S)
        return 0.0

    def _start(self) -> None:
        spec = self._spec
        try:
            os.chdir(spec.directory)
        except OSError as error:
            self.fault = f"working directory {os.fsdecode(spec.directory)}: {error.strerror}"
            return
        program = self._program()
        if not program:
            return
        actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        for number, path in enumerate(spec.outputs, 1):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            actions.append((os.POSIX_SPAWN_OPEN, number, os.fsdecode(path), flags, 0o600))
        if spec.nice:
            os.nice(spec.nice)
        try:
            self._pid = os.posix_spawn(
                program,
                spec.command,
                spec.environment,
                file_actions=actions,
                setpgroup=0,
                setsigmask=(),
                setsigdef=RESET,
            )
        except (OSError, ValueError) as error:
            self.fault = "{}: {}".format(os.fsdecode(program), getattr(error, "strerror", None) or error)

    def _program(self) -> bytes:
        """The program that a shell would run; nothing, and `fault`, when there is none."""
        name = self._spec.command[0]
        path = self._spec.environment.get(b"PATH", b"/usr/bin:/bin")
        candidates = [name] if b"/" in name else [folder + b"/" + name for folder in path.split(b":")]
        fault = "not found" if b"/" in name else "not found in PATH " + os.fsdecode(path)
        for candidate in candidates:
            if os.path.isdir(candidate):
                fault = f"{os.fsdecode(candidate)} is a directory"
            elif os.access(candidate, os.X_OK):
                return candidate
            elif os.path.exists(candidate):
                fault = f"{os.fsdecode(candidate)} is not executable"
        self.fault = f"{os.fsdecode(name)}: {fault}"
        return b""

    def _has_ended(self) -> bool:
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        self.status = status
        return pid == self._pid

    def _told(self, number: int) -> None:
        if number in ENDING and self.stopped == "-":
            self.stopped = "told"
        self._send(number)

    def _stop(self, why: str, now: float) -> None:
        self.stopped = why
        self._send(signal.SIGTERM)
        self._kill_at = now + self._spec.grace_s

    def _send(self, number: int) -> None:
        try:
            os.killpg(self._pid, number)
        except ProcessLookupError:
            return


def append(own: bytes, target: bytes) -> str:
    """Add an output to the file that its user named; what went wrong, for people."""
    try:
        source = os.open(own, os.O_RDONLY)
    except OSError as error:
        return f"its output could not be read: {error.strerror}"
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        sink = os.open(target, flags, 0o666)
        try:
            while True:
                piece = os.read(source, PIECE)
                if not piece:
                    return ""
                while piece:
                    piece = piece[os.write(sink, piece) :]
        finally:
            os.close(sink)
    except OSError as error:
        return f"its output was not appended to {os.fsdecode(target)}: {error.strerror}"
    finally:
        os.close(source)


def finish_output(own: bytes, target: bytes) -> tuple[int, str]:
    """Its size in bytes, and what went wrong. An empty output leaves no file."""
    try:
        size = os.stat(own).st_size
        if not size:
            os.unlink(own)
    except FileNotFoundError:
        return 0, ""
    return size, append(own, target) if size and target else ""


def finished_text(job: Job, ran_s: float, sizes: list[int], notes: list[str], node: str) -> str:
    """The second mark: a line `name value` for each fact, and LAST."""
    facts = [("node", node), ("stopped", job.stopped), ("ran", str(int(ran_s * 1e9)))]
    if job.fault:
        facts.append(("fault", job.fault))
    elif os.WIFSIGNALED(job.status):
        facts.append(("signal", str(os.WTERMSIG(job.status))))
        facts.append(("core", str(int(os.WCOREDUMP(job.status)))))
    else:
        facts.append(("exit", str(os.WEXITSTATUS(job.status))))
    facts += [("stdout", str(sizes[0])), ("stderr", str(sizes[1]))]
    facts += [("note", note) for note in notes if note]
    return "".join("{} {}\n".format(name, " ".join(value.split())) for name, value in facts) + LAST


def end_by(number: int) -> None:
    """End this process by a signal, without a core."""
    import resource  # noqa: PLC0415 - only here, to keep the usual way short

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.kill(os.getpid(), number)


def main(folder: str, index: int) -> int:
    """The exit status."""
    os.umask(0o077)
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    node = os.environ.get("SLURMD_NODENAME") or os.uname().nodename
    mark = os.path.join(folder, str(index))
    try:
        spec = Spec(folder, index)
        leave(mark + ".begun", f"{node} {time.time_ns()}\n", True)
    except (FileExistsError, FileNotFoundError):
        end_by(CLAIMED)
        return 1
    job = Job(spec, os.path.join(os.path.dirname(os.path.dirname(folder)), "lease"))
    ran_s = job.run()
    done = [finish_output(spec.outputs[stream], spec.copies[stream]) for stream in (0, 1)]
    text = finished_text(job, ran_s, [size for size, _ in done], [note for _, note in done], node)
    leave(mark + ".finished", text, False)
    if job.fault:
        return 127
    if os.WIFSIGNALED(job.status):
        end_by(os.WTERMSIG(job.status))
        return 128 + os.WTERMSIG(job.status)
    return os.WEXITSTATUS(job.status)
