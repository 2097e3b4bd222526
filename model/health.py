"""The black hole guard: whether the ends on a host say that the host is broken, and not the jobs.

A broken host (a full scratch disk, a lost mount) ends whatever it gets at once, is free again first, and eats the
queue. So a host on which jobs of several different tasks fail in a row, while these tasks work elsewhere, is set aside:
it gets nothing for a pause, then one job; when that goes well it is as any other, else the pause is longer.

What counts: COMMAND_NOT_FOUND, and CRASHED or a bad exit within `QUICK_NS`. What says nothing: a long run that fails,
TIMED_OUT, KILLED, LOST, and everything that never reached the host. Owned by the controller's host table, which carries
out what is decided here; no clock, no host's state.
"""

from __future__ import annotations

from msgspec import Struct

from model.job import SECOND, AttemptKey, Outcome, Report

QUICK_NS = 10 * SECOND
"""A job that fails after this has found out more about itself than about its host."""
PAUSE_CAP_NS = 3600 * SECOND
"""No pause grows beyond this (one that was configured longer stays as it is)."""
ENDS_KEPT = 4
"""How many times `failures` of the last bad ends in a row are remembered: some may turn out to be the tasks' fault."""
HOSTS_KEPT = 8
"""Hosts on which a task went well, and on which it did not: so many of each are remembered."""
TASKS_MAX = 10_000
"""Tasks of which that is remembered; the one that is known for longest goes first."""


_EXITED = Outcome.EXITED


class HealthPolicy(Struct, frozen=True):
    """When a host is set aside: `failures` bad ends in a row, of `tasks` different tasks, within `window_ns`, while at
    most half of the hosts are (`failures` 0: never). `pause_ns`: the first pause; each further one is twice as long."""

    failures: int = 5
    tasks: int = 3
    window_ns: int = 600 * SECOND
    pause_ns: int = 300 * SECOND


class HostHealth:
    """What the guard knows of one host."""

    __slots__ = ("aside", "bad", "closed", "pause_ns", "probe", "recovered_ns", "until_ns", "why")

    def __init__(self) -> None:
        self.bad: list[tuple[int, str]] = []
        """(when, task) of the bad ends since the last good one, the newest last"""
        self.why = ""
        """why it was set aside; empty: it is as any other"""
        self.aside = False
        """it gets nothing; with `why` and not aside: it gets one job at a time until one goes well"""
        self.probe: AttemptKey | None = None
        """the one job that is to show how it is"""
        self.closed = False
        """nothing may be given to it: it is set aside, or has its one job"""
        self.until_ns = 0
        self.pause_ns = 0
        self.recovered_ns: int | None = None

    def set_aside(self, why: str, first_pause_ns: int, now: int) -> None:
        """From now on it gets nothing, for longer than last time unless it was well for as long as that pause."""
        was_well = self.recovered_ns is not None and now - self.recovered_ns >= self.pause_ns
        if was_well or not self.pause_ns:
            self.pause_ns = first_pause_ns
        else:
            self.pause_ns = max(first_pause_ns, min(PAUSE_CAP_NS, 2 * self.pause_ns))
        self.why, self.aside, self.probe, self.closed = why, True, None, True
        self.until_ns = now + self.pause_ns
        self.bad.clear()

    def try_with(self, key: AttemptKey | None) -> None:
        """It is not aside any more, but on trial, and this job is to show how it is; None: the next one."""
        self.aside, self.probe, self.closed = False, key, key is not None

    def recover(self, now: int) -> None:
        """It is as any other again."""
        self.why, self.aside, self.probe, self.closed = "", False, None, False
        self.recovered_ns = now
        self.bad.clear()


class _TaskEnds:
    """On which hosts a task went well at its last end there, and on which not; some of them, the last ones."""

    __slots__ = ("bad", "good")

    def __init__(self) -> None:
        self.good: dict[str, None] = {}
        self.bad: dict[str, None] = {}

    def note_good(self, host: str) -> None:
        """It went well there."""
        self.bad.pop(host, None)
        if len(self.good) < HOSTS_KEPT:
            self.good[host] = None

    def note_bad(self, host: str) -> None:
        """It did not."""
        self.bad.pop(host, None)
        self.bad[host] = None
        if len(self.bad) > HOSTS_KEPT:
            del self.bad[next(iter(self.bad))]

    def blames(self, host: str) -> bool:
        """Whether a bad end on this host is the host's: the task has worked, and on at least as many other hosts as it
        fails on."""
        good = sum(1 for name in self.good if name != host and name not in self.bad)
        bad = sum(1 for name in self.bad if name != host)
        return bool(self.good) and good >= bad


def verdict(report: Report) -> bool | None:
    """True: the host did what it should; False: it may be broken; None: the end says nothing about it."""
    if report.outcome is _EXITED and report.exit_code == 0:
        return True
    if report.outcome is Outcome.COMMAND_NOT_FOUND:
        return False
    if report.outcome in (Outcome.EXITED, Outcome.CRASHED) and report.ran_for_ns <= QUICK_NS:
        return False
    return None


class Guard:
    """Takes every end at a host, in order, and says when a host is to be set aside."""

    def __init__(self, policy: HealthPolicy) -> None:
        self.policy = policy
        self._tasks: dict[str, _TaskEnds] = {}

    def note(self, host: str, health: HostHealth, task: str, well: bool, now: int) -> str:
        """An end that says something (`verdict`). The answer: why the host is to be set aside; empty: it is not."""
        ends = self._tasks.get(task)
        if ends is None:
            if len(self._tasks) >= TASKS_MAX:
                del self._tasks[next(iter(self._tasks))]
            ends = self._tasks[task] = _TaskEnds()
        if well:
            if ends.bad or (len(ends.good) < HOSTS_KEPT and host not in ends.good):
                ends.note_good(host)
            if health.bad:
                health.bad.clear()
            return ""
        ends.note_bad(host)
        health.bad.append((now, task))
        if len(health.bad) < self.policy.failures:
            return ""
        del health.bad[: -ENDS_KEPT * self.policy.failures]
        return self._judge(host, health, now)

    def _judge(self, host: str, health: HostHealth, now: int) -> str:
        since = now - self.policy.window_ns
        blamed = [task for when, task in health.bad if when >= since and self.blames(task, host)]
        tasks = list(dict.fromkeys(blamed))
        if len(blamed) < self.policy.failures or len(tasks) < self.policy.tasks:
            return ""
        return f"{len(blamed)} jobs of {len(tasks)} tasks failed there in a row, and otherwise these tasks work"

    def blames(self, task: str, host: str) -> bool:
        """Whether a bad end of this task there is the host's fault."""
        ends = self._tasks.get(task)
        return ends is not None and ends.blames(host)


def may_set_aside(aside: int, hosts: int) -> bool:
    """At most half of the hosts may be set aside: when more fail, it is not the hosts."""
    return 2 * (aside + 1) <= hosts
