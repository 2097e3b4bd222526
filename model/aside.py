"""Hosts that are set aside: what the guard (`health.py`) finds is carried out here. Owned by the host table.

A host that is set aside is connected and gets nothing (`HostState.ASIDE`). When its pause is over it is up again and
gets one job at a time, until one goes well or fails. A person's `host on` ends it at once. It is recorded, so a
restart does not feed a broken host again; its pause then begins anew.
"""

from __future__ import annotations

from collections.abc import Callable

from model.effects import Commit, Effect, Notice
from model.health import Guard, HealthPolicy, may_set_aside, verdict
from model.host import Host
from model.job import AttemptKey, Report
from model.job_numbers import number_text
from model.records import SET_ASIDE, WELL, HostChanged
from model.timers import Timers


class Asides:
    """Which hosts are set aside, and until when."""

    def __init__(
        self,
        policy: HealthPolicy,
        hosts: dict[str, Host],
        effects: list[Effect],
        changed: Callable[[Host, int], None],
    ) -> None:
        """`changed`: let the host's state follow, and offer it work again if it may have some."""
        self._guard = Guard(policy)
        self._policy = policy
        self._hosts = hosts
        self._effects = effects
        self._changed = changed
        self.pauses: Timers[str] = Timers()
        """when hosts are tried again"""
        self._names: dict[str, None] = {}
        """hosts that are set aside or on trial"""
        self._complained = False
        """said that more hosts fail than may be set aside"""

    def advance(self, now: int) -> None:
        """Hosts whose pause is over are tried again."""
        for name in self.pauses.take(now):
            host = self._hosts[name]
            host.health.try_with(None)
            self._changed(host, now)

    def given(self, host: Host, key: AttemptKey) -> None:
        """A job was given to the host; on trial it is the only one."""
        if host.health.why:
            host.health.try_with(key)

    def ended(self, host: Host, key: AttemptKey, task: str, report: Report, now: int) -> None:
        """A job ended there."""
        if not self._policy.failures:
            return
        health = host.health
        probed = health.why != "" and health.probe == key
        if probed:
            health.try_with(None)
        well = verdict(report)
        if well is None or health.aside:
            return
        why = self._guard.note(host.name, health, task, well, now)
        if health.why:
            if well:
                self.recover(host, f"job {number_text(key[0])} of {task} went well there", now)
            elif probed and self._guard.blames(task, host.name):
                self._set_aside(host, health.why, now)
        elif why:
            if may_set_aside(len(self._names), len(self._hosts)):
                self._effects.append(Commit(HostChanged(host.name, SET_ASIDE, 0, why)))
                self._set_aside(host, why, now)
            elif not self._complained:
                self._complained = True
                text = f"not set aside, though {why}: half of the hosts are already; look at the tasks"
                self._effects.append(Notice("alarm", f"host {host.name}", text))

    def _set_aside(self, host: Host, why: str, now: int) -> None:
        host.health.set_aside(why, self._policy.pause_ns, now)
        self._names[host.name] = None
        self.pauses.set(host.name, host.health.until_ns)
        self._effects.append(Notice("warning", f"host {host.name}", f"set aside: {why}"))
        self._changed(host, now)

    def recover(self, host: Host, why: str, now: int) -> None:
        """The host is as any other again; nothing happens if it is so already."""
        if not host.health.why:
            return
        host.health.recover(now)
        self.forget(host.name)
        self._effects.append(Commit(HostChanged(host.name, WELL, 0, why)))
        self._effects.append(Notice("info", f"host {host.name}", f"not set aside any more: {why}"))
        self._changed(host, now)

    def forget(self, name: str) -> None:
        """The host is gone, or is as any other."""
        self.pauses.cancel(name)
        self._names.pop(name, None)
        self._complained = False

    def restore(self, host: Host, why: str, now: int) -> None:
        """It was set aside in an earlier life."""
        host.health.set_aside(why, self._policy.pause_ns, now)
        self._names[host.name] = None
        self.pauses.set(host.name, host.health.until_ns)
