"""What differs between the configuration that runs and another one, and the orders that make it so.

Pure: called by `live/reloading.py`, which gives all orders in one turn, so that no job is ever made under half of a
change. What cannot be changed while a server runs is named, and waits for the next start.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct, structs

from model.alarm_kinds import AlarmSettings
from model.configuration import Configuration, HostDefinition
from model.events import DefineTask, HostVerb, OrderHost, OrderTask, SetAlarms, TaskVerb
from model.resources import amounts_text
from model.task import TaskDefinition

GONE = "not in the configuration any more"
AT_ONCE = frozenset(
    {
        "path",
        "directory",
        "tasks",
        "cluster",
        "notifiers",
        "backlog",
        "clear_ns",
        "look_ns",
        "on_exit",
        "keep_for_ns",
        "digest",
    }
)
"""Settings of a configuration of which a running server takes the new ones (of `cluster`: the hosts, and the terms of
schedulers)."""


class Changed(Struct, frozen=True):
    """One setting of something: `about` is `task NAME`, `host NAME` or `configuration`; `setting` its path, such as
    `limits.in_flight`, empty when all of it is new or gone."""

    about: str
    setting: str
    before: str
    after: str
    at_once: bool = True
    """False: it counts from the next start on"""


class Difference(Struct, frozen=True):
    """Everything that differs, for people, and what there is to do."""

    changes: tuple[Changed, ...]
    defined: tuple[TaskDefinition, ...]
    """new tasks, and changed ones"""
    gone: tuple[str, ...]
    """tasks"""
    hosts: tuple[HostDefinition, ...]
    """new hosts, and such with another number of slots, other resources or labels"""
    hosts_gone: tuple[str, ...]
    alarms: AlarmSettings | None = None
    """the new ones, if they are others"""


def difference(old: Configuration, new: Configuration) -> Difference:
    """What is to change so that `new` runs instead of `old`."""
    tasks = {task.name: task for task in old.tasks}
    wanted = {task.name: task for task in new.tasks}
    hosts = {host.name: host for host in old.cluster.hosts}
    wanted_hosts = {host.name: host for host in new.cluster.hosts}
    changes: list[Changed] = []
    for kind, before, after in (("task", tasks, wanted), ("host", hosts, wanted_hosts)):
        changes += [Changed(f"{kind} {name}", "", "defined", "") for name in before if name not in after]
        for name, thing in after.items():
            if name not in before:
                changes.append(Changed(f"{kind} {name}", "", "", "defined"))
            else:
                changes += [Changed(f"{kind} {name}", *each) for each in _settings(before[name], thing)]
    changes += _others(old, new)
    return Difference(
        tuple(changes),
        tuple(task for name, task in wanted.items() if tasks.get(name) != task),
        tuple(name for name in tasks if name not in wanted),
        tuple(host for name, host in wanted_hosts.items() if hosts.get(name) != host),
        tuple(name for name in hosts if name not in wanted_hosts),
        new.alarms if new.alarms != old.alarms else None,
    )


def task_orders(found: Difference) -> list[DefineTask | OrderTask | SetAlarms]:
    """For the scheduler; request 0, since nobody waits for each single answer. A task that is gone makes nothing more,
    and its last jobs end under its old definition."""
    orders: list[DefineTask | OrderTask | SetAlarms] = [DefineTask(0, task) for task in found.defined]
    if found.alarms is not None:
        orders.append(SetAlarms(found.alarms))
    return [*orders, *(OrderTask(0, TaskVerb.DELETE, name, GONE) for name in found.gone)]


def host_orders(old: Configuration, found: Difference, known: frozenset[str]) -> list[OrderHost]:
    """For the controller, which has the hosts `known`. A host that is gone finishes what it has and leaves then; one
    that is down leaves at once, and is nobody's trouble any more. Nothing is for later lives: they read the file."""
    before = {host.name for host in old.cluster.hosts}
    orders: list[OrderHost] = []
    for host in found.hosts:
        verb = HostVerb.SLOTS if host.name in known else HostVerb.ADD
        orders.append(
            OrderHost(0, verb, host.name, host.slots, lasting=False, resources=host.resources, labels=host.labels)
        )
        if host.name in known and host.name not in before:
            orders.append(OrderHost(0, HostVerb.ON, host.name, lasting=False))
    gone = [name for name in found.hosts_gone if name in known]
    return [*orders, *(OrderHost(0, HostVerb.OFF, name, reason=GONE, lasting=False, leaves=True) for name in gone)]


def _settings(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str, str]]:
    """(path, before, after) of the settings of two structs that differ."""
    for name in old.__struct_fields__:
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        if name == "resources":
            yield f"{path}{name}", amounts_text(before) or "none", amounts_text(after) or "none"
        elif isinstance(before, Struct) and type(before) is type(after):
            yield from _settings(before, after, f"{path}{name}.")
        else:
            yield f"{path}{name}", _shown(before), _shown(after)


def _others(old: Configuration, new: Configuration) -> Iterator[Changed]:
    cluster = structs.replace(old.cluster, hosts=new.cluster.hosts)
    for setting, before, after in _settings(cluster, new.cluster, "cluster."):
        yield Changed("configuration", setting, before, after, at_once=setting == "cluster.schedulers")
    for setting, before, after in _settings(old, new):
        name = setting.partition(".")[0]
        if name not in ("tasks", "cluster", "digest", "path"):
            yield Changed("configuration", setting, before, after, at_once=name in AT_ONCE)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(_shown(each) for each in value) or "none"
    if isinstance(value, Struct):
        parts = [f"{name}={_shown(getattr(value, name))}" for name in value.__struct_fields__]
        return f"({', '.join(parts)})"
    return "none" if value is None or value == "" else str(getattr(value, "value", value))
