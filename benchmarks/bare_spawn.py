"""The ceiling that dispatch is measured against: processes that do nothing but start `/bin/true` and wait for it.

Called by the dispatch benchmarks, in the same run as what they measure: absolute rates of a machine drift by a third
within the hour, the ratio of two neighbouring runs doesn't. Starts as a keeper does (own session, small environment).
With files, each job's standard output and error are two fresh files of its own, as whoever wants to read them later
has to make them; without, they are the starter's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

PROGRAM = """
import os, sys, time
jobs, folder = int(sys.argv[1]), sys.argv[2]
environment = {"PATH": "/usr/bin:/bin"}
flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
print("ready", flush=True)
sys.stdin.readline()
begin = time.monotonic_ns()
for job in range(jobs):
    actions = files = ()
    if folder:
        files = [os.open(f"{folder}/{job}.{stream}", flags, 0o600) for stream in ("stdout", "stderr")]
        actions = [(os.POSIX_SPAWN_DUP2, file, number) for number, file in enumerate(files, 1)]
    pid = os.posix_spawn("/bin/true", ["true"], environment, file_actions=actions, setsid=True)
    for file in files:
        os.close(file)
    _, status = os.waitpid(pid, 0)
    assert status == 0
print(begin, time.monotonic_ns(), flush=True)
"""


def spawn_rate(processes: int, jobs: int, files: bool = False) -> float:
    """Jobs a second of `processes` at work at the same time, `jobs` in all, from the first start to the last end.
    `files`: each job's output goes to files of its own."""
    with tempfile.TemporaryDirectory(prefix="bare-") as folder:
        return _spawn_rate(processes, jobs, folder if files else "")


def _spawn_rate(processes: int, jobs: int, folder: str) -> float:
    starters = []
    for number in range(processes):
        own = ""
        if folder:
            own = f"{folder}/{number}"
            os.mkdir(own)
        words = [sys.executable, "-S", "-c", PROGRAM, str(jobs // processes), own]
        starters.append(subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for starter in starters:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "ready\n"
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("go\n")
        starter.stdin.flush()
    times = [starter.communicate()[0].split() for starter in starters]
    assert all(starter.returncode == 0 for starter in starters)
    begin = min(int(first) for first, _ in times)
    end = max(int(last) for _, last in times)
    return jobs // processes * processes * 1e9 / (end - begin)
