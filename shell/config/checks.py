"""What needs several parts of the file to judge: names that refer to each other, slots, windows, circles.

Works on the sections that are right. Where a part is wrong or missing from them (`unknown`), nothing is concluded from
its absence, so that one mistake is complained about once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from model.configuration import Link
from model.job import LOCAL, SECOND, HostWish, Wait
from model.windows import Window, contradiction, never_opens
from shell.config.controller_sections import is_shared
from shell.config.conversion import TASK_GRACE_NS, calendars_of, channel_times, has_hosts, make_wish, said, window_parts
from shell.config.ends import parse_end
from shell.config.host_sections import LINKS_OF_KEYS, host_definition, unlike_ssh
from shell.config.problems import KeyPath, Problem, Spot, dotted
from shell.config.reading import Document
from shell.config.resource_checks import ResourceChecks
from shell.config.sections import ConfigurationSection, HandlerSection, HostEntry, TaskSection, TaskSettings
from shell.durations import format_duration
from shell.hostset import HOSTS_MAX, expand
from shell.language.parsing import parse
from shell.wording import nearest

LOCAL_SLOTS = 2
"""`cluster.local.slots` when it is not said."""
ENDING_NS = 2 * SECOND
"""What the end of a lease takes beside the grace of a job: until its keeper notices (at most a second), and until
everything is gone after KILL."""
VARIABLES = ("item", "job", "task")
"""What `$name` stands for in words of a task."""

_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|([A-Za-z0-9_]+)|\$)")


class Checks:
    """One pass over one file. `problems` and `warnings` are complete after `run`."""

    def __init__(self, document: Document, sections: ConfigurationSection, unknown: frozenset[KeyPath]) -> None:
        self.document = document
        self.sections = sections
        self.unknown = unknown
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.hosts: dict[str, int] = {}
        """slots of each defined host"""
        self._resources = ResourceChecks(sections, self._wrong, self._warn, self._known)

    def run(self) -> None:
        """Check everything."""
        cluster = self.sections.cluster
        makes_jobs = self.sections.tasks or self.sections.scripts
        is_cluster = cluster.hosts or cluster.join or cluster.schedulers
        if not makes_jobs and not is_cluster and self._known(("tasks",), ("scripts",), ("cluster",)):
            self._wrong(("tasks",), "expects at least one task, or `scripts:` that define some")
        self._hosts()
        self._resources.run()
        self._times()
        self._margins()
        self._windows(("defaults",), self.sections.defaults)
        self._settings(("defaults",), self.sections.defaults)
        for name, task in self.sections.tasks.items():
            path: KeyPath = ("tasks", name)
            self._windows(path, task)
            self._settings(path, task)
            self._command(path, task)
            self._variables(path, task)
            self._wish(path, task)
            if task.prepare is not None:
                self._script((*path, "prepare"), task.prepare)
        self._sources()
        self._notifiers()

    def _wrong(self, path: KeyPath, message: str, *, key: bool = False) -> None:
        self.problems.append(self.document.problem(path, message, key=key))

    def _warn(self, path: KeyPath, message: str, *, key: bool = False) -> None:
        self.warnings.append(self.document.problem(path, message, key=key))

    def _known(self, *paths: KeyPath) -> bool:
        """Whether nothing at, under or around these paths was left out."""
        return not any(
            path[: len(left_out)] == left_out or left_out[: len(path)] == path
            for left_out in self.unknown
            for path in paths
        )

    # cluster

    def _hosts(self) -> None:
        for index, entry in enumerate(self.sections.cluster.hosts):
            path: KeyPath = ("cluster", "hosts", index, "name")
            for name in expand(entry.name):
                if name in self.hosts:
                    self._wrong(path, f"host {name} is defined twice")
                    break
                self.hosts[name] = entry.slots
            self._reached(("cluster", "hosts", index), entry)
        if len(self.hosts) > HOSTS_MAX:
            self._wrong(("cluster", "hosts"), f"{len(self.hosts)} hosts; at most {HOSTS_MAX}")
        self._joining()
        if is_shared(self.sections.controller):
            self._of_the_controller()

    def _of_the_controller(self) -> None:
        """What a pipeline says in vain when its controller is another process, with a file of its own."""
        cluster = self.sections.cluster
        where = "say this in its own file (laulima controller FILE)"
        for key in ("hosts", "join", "listen", "schedulers"):
            if getattr(cluster, key):
                self._wrong(("cluster", key), f"the hosts are those of the controller: {where}")
        for key in ("order", "place", "passed_max", "pending_max", "health", "connect"):
            if key in cluster.model_fields_set:
                self._wrong(("cluster", key), f"the controller decides this, for all its schedulers: {where}")

    def _joining(self) -> None:
        """Who dials in needs somewhere to dial."""
        cluster = self.sections.cluster
        if cluster.join is not None and cluster.listen is None and self._known(("cluster", "listen")):
            self._wrong(("cluster", "join"), "hosts can only join where the server listens: say cluster.listen")

    def _joining_names(self) -> tuple[str, ...]:
        """Hosts that may come by themselves."""
        join = self.sections.cluster.join
        return () if join is None else expand(join.names)

    def _reached(self, path: KeyPath, entry: HostEntry) -> None:
        """How a host is reached: keys that belong to ssh, and names that ssh can be given."""
        if not self._known(path, ("cluster", "defaults")):
            return
        defaults = self.sections.cluster.defaults
        hosts = [host_definition(name, entry.slots, entry, defaults, "") for name in expand(entry.name)]
        for key, links in LINKS_OF_KEYS.items():
            if hosts[0].link not in links and getattr(entry, key) is not None:
                wanted = " or ".join(link.value for link in links)
                self._wrong((*path, key), f"{key} belongs to a host with link: {wanted}", key=True)
        if hosts[0].link is Link.TLS and self.sections.cluster.listen is None and self._known(("cluster", "listen")):
            place: KeyPath = (*path, "link") if entry.link is not None else path
            self._wrong(place, "hosts with link: tls can only dial in where the server listens: say cluster.listen")
        for host in hosts:
            problem = unlike_ssh(host)
            if problem:
                self._wrong((*path, "name"), problem)
                return

    def _times(self) -> None:
        cluster = self.sections.cluster
        times, local = channel_times(cluster), channel_times(cluster.local, local=True)
        for path, link in ((("cluster",), times), (("cluster", "local"), local)):
            if not self._known(*((*path, key) for key in ("ping", "silent", "lease"))):
                continue
            if link.silent_ns <= link.ping_ns:
                self._wrong((*path, self._said(path, "silent", "ping")), "silent must be longer than ping")
            if link.lease_ns <= link.silent_ns:
                self._wrong((*path, self._said(path, "lease", "silent")), "lease must be longer than silent")
        if cluster.backoff and cluster.backoff_cap and cluster.backoff_cap < cluster.backoff:
            self._wrong(("cluster", "backoff_cap"), "backoff_cap must not be shorter than backoff")

    def _margins(self) -> None:
        """At the end of a lease what runs gets TERM, its grace, and KILL; after the margin it may run elsewhere."""
        tasks = dict(self.sections.tasks)
        if self.sections.scripts:
            tasks["a script"] = TaskSection()  # what the tasks of scripts say of it is not known here
        complained: set[KeyPath] = set()
        for name, task in tasks.items():
            place, message = self._margin(name, task)
            if message and place not in complained:
                complained.add(place)
                self._wrong(place, message)

    def _margin(self, name: str, task: TaskSection) -> tuple[KeyPath, str]:
        """Where it was said that attempts of this task may overlap, and what is wrong; no words: nothing is."""
        cluster, defaults = self.sections.cluster, self.sections.defaults
        link: KeyPath = ("cluster",)
        times = channel_times(cluster)
        if make_wish(task, defaults, has_hosts=has_hosts(self.sections)).name == LOCAL:
            link, times = ("cluster", "local"), channel_times(cluster.local, local=True)
        places: tuple[KeyPath, ...] = (("tasks", name, "grace"), ("defaults", "grace"), (*link, "margin"))
        if not self._known(*places, ("tasks", name, "host"), ("defaults", "host"), ("cluster", "hosts")):
            return (), ""
        grace_ns = said(task.grace, defaults.grace, otherwise=TASK_GRACE_NS)
        least_ns = grace_ns + ENDING_NS
        if times.margin_ns >= least_ns:
            return (), ""
        place = next((path for path in places if self.document.position(path) is not None), places[-1])
        return place, (
            f"when the lease of its host ends, a job of {name} gets {format_duration(grace_ns)} (grace), but after "
            f"{format_duration(times.margin_ns)} (margin) it may run elsewhere, so twice at once; "
            f"{dotted(places[-1])} must be at least {format_duration(least_ns)}, or the grace shorter"
        )

    def _said(self, path: KeyPath, *keys: str) -> str:
        return next((key for key in keys if self.document.position((*path, key)) is not None), keys[0])

    # windows

    def _windows(self, path: KeyPath, settings: TaskSettings) -> None:
        base: KeyPath = (*path, "windows")
        if settings.windows is None or not self._known(base, ("calendars",), ("zone",)):
            return
        calendars = calendars_of(self.sections)
        windows: list[Window] = []
        before = len(self.problems)
        for index, section in enumerate(settings.windows):
            here: KeyPath = (*base, index)
            if section.calendar is not None and section.calendar not in calendars:
                hint = nearest(section.calendar, list(calendars)) or "; define it under `calendars:`"
                self._wrong((*here, "calendar"), f"calendar {section.calendar} is not defined{hint}")
                continue
            if section.zone is None and self.sections.zone is None:
                self._warn(here, "no zone is named, so this window is read in UTC; say `zone: Area/City`")
            parts = window_parts(section, self.sections.zone, calendars)
            clauses = [contradiction(part) for part in parts]
            if all(clauses):
                self._wrong(here, f"this window never opens: {clauses[0]}", key=True)
            windows += parts
        if len(self.problems) == before:
            reason = never_opens(tuple(windows))
            if reason:
                self._wrong(base, f"the task could never start: {reason}", key=True)

    # what defaults and tasks have in common

    def _settings(self, path: KeyPath, settings: TaskSettings) -> None:
        seen: dict[str, str] = {}
        for key, handler in settings.on.items():
            here: KeyPath = (*path, "on", key)
            end = parse_end(key)
            if end in seen:
                self._wrong(here, f"says the same as {seen[end]}", key=True)
            seen[end] = key
            self._handler(here, handler)

    def _notifiers(self) -> None:
        """The tasks that they are for; scripts may define others."""
        tasks = self.sections.tasks
        if self.sections.scripts or not self._known(("tasks",)):
            return
        for name, notifier in self.sections.notify.items():
            for index, task in enumerate(notifier.tasks):
                if task not in tasks:
                    hint = nearest(task, list(tasks))
                    self._wrong(("notify", name, "tasks", index), f"task {task} is not defined{hint}")

    def _handler(self, path: KeyPath, handler: HandlerSection) -> None:
        notifiers = self.sections.notify
        if handler.notify is not None and handler.notify not in notifiers and self._known(("notify",)):
            hint = nearest(handler.notify, list(notifiers)) or "; define it under `notify:`"
            self._wrong((*path, "notify"), f"notifier {handler.notify} is not defined{hint}")
        if handler.run is not None and not (handler.run and handler.run[0]):
            self._wrong((*path, "run"), "the command is empty")
        if handler.script is not None:
            said = (*path, "script")
            self._script(said if self.document.position(said) is not None else path, handler.script)

    def _script(self, path: KeyPath, text: str) -> None:
        """Statements of the task language: their blocks must close."""
        first_line = script_line(self.document, path, text)
        line = self.document.lines[first_line - 1] if "\n" in text else ""
        indentation = len(line) - len(line.lstrip())
        for problem in parse(text, self.document.name, first_line=first_line).problems:
            hint = f"; {problem.hint}" if problem.hint else ""
            spot = Spot(problem.at.line, problem.at.column + indentation)
            self.problems.append(Problem(spot, dotted(path), f"{problem.text}{hint}"))

    # tasks

    def _command(self, path: KeyPath, task: TaskSection) -> None:
        if not self._known((*path, "command"), (*path, "call")):
            return
        if task.command is None and task.call is None and task.prepare is None:
            self._wrong(path, "has neither command nor call", key=True)
        elif task.command is not None and task.call is not None:
            self._wrong((*path, "call"), "has both command and call; one of them", key=True)
        if task.command is not None and not (task.command and task.command[0]):
            self._wrong((*path, "command"), "the command is empty")
        if task.arguments and task.call is None:
            self._wrong((*path, "arguments"), "arguments belong to call; a command has them in its own list", key=True)

    def _variables(self, path: KeyPath, task: TaskSection) -> None:
        if task.prepare is not None:
            return  # any variable of the scripts may stand there
        block = () if task.block is None else (*task.block.before, *task.block.after)
        places = {
            "command": task.command or (),
            "arguments": task.arguments,
            "environment": tuple(task.environment.values()),
            "block": block,
            "stdout": (task.stdout or "",),
            "stderr": (task.stderr or "",),
        }
        for key, words in places.items():
            for name in _variables(words):
                if name == "item" and task.each is None and self._known((*path, "each")):
                    self._warn((*path, key), "$item is empty, for the task has no `each`")
                close = nearest(name, list(VARIABLES))
                if close and name not in VARIABLES and len(name) > 2:
                    self._warn((*path, key), f"${name} stays as it is{close.replace('mean ', 'mean $')}")

    def _wish(self, path: KeyPath, task: TaskSection) -> None:
        here: KeyPath = (*path, "host")
        if not self._known(here, ("defaults", "host"), ("defaults", "when_unknown"), ("cluster", "hosts")):
            return
        wish = make_wish(task, self.sections.defaults, has_hosts=has_hosts(self.sections))
        name, required = wish.name or "any", wish.required
        if name == "any" and required:
            self._wrong((*here, "required"), "a host must be named to be required; `any` names none")
        elif not self._may_be(name):
            self._undefined_host(here, name, wish)
        self._slots(path, name, task, required=required)
        self._resources.task(str(path[-1]), task, wish, task.slots or self.sections.defaults.slots or 1)

    def _may_be(self, name: str) -> bool:
        """Whether there may be such a host. Those of a shared controller are not known here."""
        if name in ("any", "local") or is_shared(self.sections.controller):
            return True
        return name in self.hosts or name in self._joining_names()

    def _undefined_host(self, here: KeyPath, name: str, wish: HostWish) -> None:
        place = next(
            (path for path in ((*here, "name"), here, ("defaults", "host")) if self.document.position(path)), here
        )
        hint = nearest(name, list(self.hosts))
        if not wish.required:
            self._warn(place, f"host {name} is not defined{hint or ', so any host will do until it is'}")
        elif wish.when_unknown.action is Wait.FAIL:
            rest = hint or "; define it under `cluster.hosts`, or say `when_unknown: wait`"
            self._wrong(place, f"the required host {name} is not defined{rest}")
        elif wish.when_unknown.action is Wait.WAIT:
            self._warn(place, f"the required host {name} is not defined{hint}; jobs wait until it is (`host add`)")

    def _slots(self, path: KeyPath, name: str, task: TaskSection, *, required: bool) -> None:
        slots = task.slots or self.sections.defaults.slots or 1
        place: KeyPath = (*path, "slots")
        if not self._known(place, ("cluster", "hosts"), ("cluster", "local"), ("defaults", "slots")):
            return
        local = self.sections.cluster.local.slots or LOCAL_SLOTS
        biggest = max(self.hosts.values(), default=0)
        if name == "local" and slots > local:
            self._wrong(place, f"a job takes {slots} slots, but local has {local} (`cluster.local.slots`)")
        elif name in self.hosts and required and slots > self.hosts[name]:
            self._wrong(place, f"a job takes {slots} slots, but its host {name} has {self.hosts[name]}")
        elif name != "local" and not required and self.hosts and slots > biggest:
            self._wrong(place, f"a job takes {slots} slots, but the biggest host has {biggest}")
        elif name in self.hosts and slots > self.hosts[name]:
            self._warn(place, f"a job takes {slots} slots, so it never runs on its preferred host {name}")

    # sources

    def _sources(self) -> None:
        tasks = self.sections.tasks
        written = self.document.data.get("tasks")
        names = set(tasks) | (set(written) if isinstance(written, dict) else set())
        upstream = {name: task.each.done for name, task in tasks.items() if task.each is not None and task.each.done}
        for name, source in upstream.items():
            path: KeyPath = ("tasks", name, "each", "done")
            circle = _circle(upstream, name)
            if source not in names:
                self._wrong(path, f"there is no task {source}{nearest(source, sorted(tasks))}")
            elif circle and name == min(circle):  # once for each circle
                self._wrong(path, f"the tasks wait for each other in a circle: {' <- '.join(circle)}")


def script_line(document: Document, path: KeyPath, text: str) -> int:
    """The line of the file on which the script at `path` begins: a block scalar begins below its key."""
    spot = document.nearest(path)
    return spot.line + 1 if "\n" in text else spot.line


def _circle(upstream: dict[str, str], start: str) -> list[str]:
    """The tasks from `start` around and back to it; empty when the way does not come back."""
    way = [start]
    while way[-1] in upstream and len(way) <= len(upstream):
        way.append(upstream[way[-1]])
        if way[-1] == start:
            return way
    return []


def _variables(words: tuple[str, ...]) -> Iterator[str]:
    """The names behind `$` in the words, each once."""
    seen: set[str] = set()
    for word in words:
        for found in _VARIABLE.finditer(word):
            name = found[1] or found[2]
            if name and name not in seen:
                seen.add(name)
                yield name
