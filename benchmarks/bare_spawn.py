"""The ceiling that dispatch is measured against: processes that do nothing but start `/bin/true` and wait for it.

Called by the dispatch benchmarks, in the same run as what they measure: absolute rates of a machine drift by a third
within the hour, the ratio of two neighbouring runs doesn't. Starts as a keeper does (own session, small environment),
and does nothing else that a keeper does.
"""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, sys, time
jobs = int(sys.argv[1])
environment = {"PATH": "/usr/bin:/bin"}
print("ready", flush=True)
sys.stdin.readline()
begin = time.monotonic_ns()
for _ in range(jobs):
    pid = os.posix_spawn("/bin/true", ["true"], environment, setsid=True)
    _, status = os.waitpid(pid, 0)
    assert status == 0
print(begin, time.monotonic_ns(), flush=True)
"""


def spawn_rate(processes: int, jobs: int) -> float:
    """Jobs a second of `processes` at work at the same time, `jobs` in all, from the first start to the last end."""
    starters = [
        subprocess.Popen(
            [sys.executable, "-S", "-c", PROGRAM, str(jobs // processes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
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
