"""What is wrong with resources, labels and avoided hosts, where several parts of the file must be looked at together.

Called by `checks.py`, which brings the way to complain. A job that no host could ever take is an error that names the
host which comes nearest; where scripts may add hosts it is a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from model.job import LOCAL, HostWish
from model.resources import Needs, Stock, lacking, needed_text, shortfall
from shell.config.conversion import needs_of_task
from shell.config.problems import KeyPath
from shell.config.resource_sections import BUILT_IN, amount, amounts
from shell.config.sections import ConfigurationSection, TaskSection
from shell.hostset import expand
from shell.wording import nearest

Complain = Callable[[KeyPath, str], None]


class _Offered(Struct):
    """A host of the file, or the most that one may have which comes by itself."""

    slots: int
    stock: Stock
    labels: tuple[str, ...]


class ResourceChecks:
    """One pass over one file."""

    def __init__(
        self, sections: ConfigurationSection, wrong: Complain, warn: Complain, known: Callable[..., bool]
    ) -> None:
        self._sections = sections
        self._wrong = wrong
        self._warn = warn
        self._known = known
        self._hosts: dict[str, _Offered] = {}
        self._shared: dict[str, int] = {}
        self._good = True
        """whether all amounts can be read"""

    def run(self) -> None:
        """Amounts, and the hosts. What tasks need is looked at by `task`."""
        cluster = self._sections.cluster
        self._amounts(("cluster", "resources"), cluster.resources)
        for name in cluster.resources:
            if name in BUILT_IN:
                self._wrong(("cluster", "resources", name), f"{name} belong to hosts; the cluster has counters only")
        for index, entry in enumerate(cluster.hosts):
            self._offered(("cluster", "hosts", index, "resources"), entry.resources)
        if cluster.join is not None:
            self._offered(("cluster", "join", "resources"), cluster.join.resources)
        self._amounts(("defaults", "resources"), self._sections.defaults.resources)
        for name, task in self._sections.tasks.items():
            self._amounts(("tasks", name, "resources"), task.resources)
        if not self._good:
            return
        self._shared = dict(amounts(cluster.resources))
        for entry in cluster.hosts:
            offered = _Offered(entry.slots, Stock(amounts(entry.resources)), entry.labels)
            self._hosts.update(dict.fromkeys(expand(entry.name), offered))
        if (join := cluster.join) is not None:
            offered = _Offered(join.slots_max, Stock(amounts(join.resources)), join.labels)
            self._hosts = {**dict.fromkeys(expand(join.names), offered), **self._hosts}

    def _offered(self, path: KeyPath, texts: Mapping[str, str]) -> None:
        """What hosts have, or may have."""
        self._amounts(path, texts)
        for name in texts:
            if name in self._sections.cluster.resources:
                self._wrong((*path, name), f"{name} is what all hosts share (`cluster.resources`); one of the two")
            close = nearest(name, BUILT_IN)
            if close and name not in BUILT_IN:
                self._warn((*path, name), f"{name} is counted as something of its own{close}?")

    def _amounts(self, path: KeyPath, texts: Mapping[str, str]) -> None:
        for name, text in texts.items():
            try:
                amount(name, text)
            except ValueError as error:
                self._good = False
                self._wrong((*path, name), str(error))

    # tasks

    def task(self, name: str, task: TaskSection, wish: HostWish, slots: int) -> None:
        """What one task needs, against what there is."""
        path: KeyPath = ("tasks", name)
        here = [(*path, key) for key in ("resources", "needs", "host", "place")]
        if not self._good or not self._known(*here, ("defaults",), ("cluster", "hosts"), ("cluster", "resources")):
            return
        if wish.name == LOCAL:
            self._local(path, task)
            return
        needs = needs_of_task(task, self._sections.defaults)
        if needs is None or not self._hosts:
            return
        self._avoided(path, task, needs, wish)
        missing = [resource for resource, number in needs.resources if not self._exists(path, resource, number)]
        if missing:
            return
        self._could(path, needs, wish, slots)

    def _local(self, path: KeyPath, task: TaskSection) -> None:
        for key in ("resources", "needs"):
            if getattr(task, key):
                self._wrong((*path, key), "local counts slots and nothing else; name a host of the cluster, or any")

    def _avoided(self, path: KeyPath, task: TaskSection, needs: Needs, wish: HostWish) -> None:
        place: KeyPath = (*path, "host", "avoid") if task.host is not None and task.host.avoid else path
        for host in needs.avoid:
            if host not in self._hosts and not self._sections.scripts:
                self._warn(place, f"host {host} is not defined{nearest(host, list(self._hosts))}")
        if wish.name in needs.avoid and wish.required:
            self._wrong(place, f"host {wish.name} is required and avoided at once")

    def _exists(self, path: KeyPath, resource: str, number: int) -> bool:
        """Whether somebody has the resource at all, and the cluster as much as one job takes."""
        place = self._place(path, resource)
        total = self._shared.get(resource)
        if total is not None:
            if number <= total:
                return True
            self._wrong(place, f"a job takes {number} {resource}, but the cluster has {total}")
            return False
        if any(resource in host.stock.total for host in self._hosts.values()):
            return True
        names = sorted({*self._shared, *(each for host in self._hosts.values() for each in host.stock.total)})
        hint = nearest(resource, names) or "; declare it under `cluster.hosts` or `cluster.resources`"
        self._complain(place, f"no host has {resource}{hint}")
        return False

    def _could(self, path: KeyPath, needs: Needs, wish: HostWish, slots: int) -> None:
        own = tuple(each for each in needs.resources if each[0] not in self._shared)
        lacks = {
            name: [
                *_too_few_slots(host, slots),
                *lacking(own, needs.labels, needs.avoid, name, host.stock, host.labels),
            ]
            for name, host in self._hosts.items()
        }
        place = self._place(path, *(name for name, _ in own))
        wanted = ", ".join([*(needed_text(*each) for each in own), *(f"label {label}" for label in needs.labels)])
        if wish.required and wish.name in lacks:
            if lacks[wish.name]:
                self._complain(place, f"a job needs {wanted}, but its host {wish.name} {', '.join(lacks[wish.name])}")
            return
        if all(lacks.values()):
            closest = min(lacks, key=lambda name: (len(lacks[name]), shortfall(own, self._hosts[name].stock)))
            text = f"no host has what a job needs: {wanted or 'one that is not avoided'}"
            self._complain(place, f"{text}; the nearest, {closest}, {', '.join(lacks[closest])}")
        elif preferred := lacks.get(wish.name or ""):
            self._warn(place, f"it never runs on its preferred host {wish.name}, which {', '.join(preferred)}")

    def _place(self, path: KeyPath, *resources: str) -> KeyPath:
        """Where the task or the defaults say it."""
        task = self._sections.tasks[str(path[-1])]
        for resource in resources:
            if resource in task.resources:
                return (*path, "resources", resource)
        if task.needs:
            return (*path, "needs")
        if any(resource in self._sections.defaults.resources for resource in resources):
            return ("defaults", "resources")
        return path

    def _complain(self, place: KeyPath, message: str) -> None:
        (self._warn if self._sections.scripts else self._wrong)(place, message)


def _too_few_slots(host: _Offered, slots: int) -> Iterator[str]:
    if host.slots < slots:
        yield f"has {host.slots} slots"
