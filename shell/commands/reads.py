"""What there is, and why: status, tasks, jobs, hosts, explain, history. Nothing here changes anything.

Each function is a verb of `verbs.py`: it asks the server, and prints a table or JSON.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import Any, TypeVar

from model.errors import NotReachableError, OperatorError
from model.views import ExplanationView, HistoryRow, HostRow, JobRow, NoticeRow, PlanRow, ResourceRow, Status, TaskRow
from shell.client import Client
from shell.commands.choosing import jobs_meant, names_jobs
from shell.selections import UsageError, about, names_and_states, selection
from shell.session import Session, is_terminal, now_ns
from shell.tables import (
    CHANGES,
    HISTORY,
    JOBS,
    NOTICES,
    PLAN,
    SCHEDULERS,
    TASKS,
    TASKS_FULL,
    Column,
    Style,
    host_columns,
    resources_text,
    table,
    task_columns,
)
from shell.wording import clean, count, cut, duration, nearest, percent, thousands

T = TypeVar("T")

HOSTS_NOT_UP_MAX = 8
"""Hosts that are not up and that `status` names, one line each; the rest is counted."""
STARTING_NS = 10 * 1_000_000_000
"""How long a host may be connecting before `status` names it."""
WATCH_S = 1.0
HISTORY_DEFAULT = 40
PAST_FILTERS = ("task", "host", "outcome", "state")
JOBS_DEFAULT = 100
"""Jobs that `jobs` shows unless it is told to show more."""
STATISTICS_DEFAULT = 100_000
"""Attempts that `history --stats` looks at unless it is told to look at more: the last ones."""


def status(session: Session, *, task: str | None, watch: bool, wide: bool, json: bool) -> int:
    """One screen. With a task's name: only that task."""
    if not watch:
        shown = _of_task(session.ask({}, Status), task)
        if json:
            return session.say_json(shown)
        session.say("\n".join(status_lines(shown, session.style(wide=wide), now_ns())))
        return 0
    with session.client() as client:
        while True:
            shown = _of_task(client.ask("status", {}, Status), task)
            if json:
                session.say_json(shown)
                sys.stdout.flush()
            else:
                _repaint(status_lines(shown, session.style(wide=wide), now_ns()))
            if client.wait_closed(WATCH_S):
                raise NotReachableError("the server has ended", "what was done: laulima history")


def _repaint(lines: list[str]) -> None:
    """The screen anew, without flicker: home, each line with its rest cleared, then everything below cleared."""
    if is_terminal():
        room = max(1, get_terminal_size().lines - 1)
        if len(lines) > room:  # a longer screen would scroll, and flicker
            lines = [*lines[: room - 1], f"… {count(len(lines) - room + 1, 'more line')}: a larger window shows them"]
        sys.stdout.write("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
    else:
        sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.flush()


def _of_task(whole: Status, name: str | None) -> Status:
    if name is None:
        return whole
    from msgspec.structs import replace  # noqa: PLC0415

    found = tuple(row for row in whole.tasks if row.name == name)
    if not found:
        known = [row.name for row in whole.tasks]
        raise OperatorError(f"no task is called {name}{nearest(name, known)}", f"tasks: {', '.join(known)}")
    return replace(whole, tasks=found)


def status_lines(shown: Status, style: Style, now: int) -> list[str]:
    """The screen of `status`, line by line."""
    head = [clean(Path(shown.configuration).name), f"{_state_word(shown.intake)} {duration(shown.running_for_ns)}"]
    head.append(f"clock {shown.clock}")
    if shown.pid:
        head.append(f"pid {shown.pid}")
    lines = [_cut("  ".join(head), style), *_executors(shown, style)]
    if shown.hosts:
        lines.append(_cut(_hosts_line(shown.hosts), style))
    resources = _resources(shown)
    if resources:
        lines.append(_cut(f"RESOURCES {resources_text(resources)}", style))
    if shown.schedulers:
        lines.extend(table(SCHEDULERS, shown.schedulers, now, style))
    if shown.tasks:
        lines.extend(table(task_columns(shown.tasks, TASKS), shown.tasks, now, style))
    lines.extend(_alarms(shown, style))
    return lines


def _state_word(intake: str) -> str:
    """How the server's intake is told: what a person expects in the first line."""
    return {"resume": "running", "": "running"}.get(intake, intake)


def _executors(shown: Status, style: Style) -> list[str]:
    """Executors that are not up: everything given to them waits for that."""
    return [
        _cut(f"{executor.name} is {executor.state}: {executor.pending} pending, {executor.running} running", style)
        for executor in shown.executors
        if executor.state not in {"up", "UP"}
    ]


def _hosts_line(hosts: Sequence[HostRow]) -> str:
    up = [host for host in hosts if host.state.lower() == "up"]
    busy = sum(host.busy > 0 for host in up)
    states = Counter(host.state for host in hosts if host.state.lower() != "up")
    parts = [f"busy {busy}", f"idle {len(up) - busy}", *(f"{clean(state)} {states[state]}" for state in sorted(states))]
    used, slots = sum(host.busy for host in up), sum(host.slots for host in up)
    return f"HOSTS {len(hosts)}   {'  '.join(parts)}     slots {used}/{slots} ({percent(used, slots)})"


def _resources(shown: Status) -> list[ResourceRow]:
    """What is declared on hosts that are up, together, and what all hosts share."""
    together: dict[str, tuple[int, int]] = {}
    for row in [each for host in shown.hosts if host.state.lower() == "up" for each in host.resources]:
        used, total = together.get(row.name, (0, 0))
        together[row.name] = used + row.used, total + row.total
    return [*(ResourceRow(name, *amounts) for name, amounts in together.items()), *shown.resources]


def _alarms(shown: Status, style: Style) -> list[str]:
    """Alarms, and each host that is not up with its reason: whatever is not running says why."""
    said = [clean(alarm) for alarm in shown.alarms]
    away = [host for host in shown.hosts if host.state.lower() != "up" and not _is_starting(host)]
    for host in away[:HOSTS_NOT_UP_MAX]:
        if not any(alarm.startswith((f"{host.name}:", f"host {host.name} is")) for alarm in said):
            told = host.why.removeprefix(f"{host.state}: ")
            why = f", {told}" if told not in {"", host.state} else ""
            said.append(clean(f"{host.name}: {host.state} {duration(host.since_ns)}{why}"))
    if len(away) > HOSTS_NOT_UP_MAX:
        said.append(f"and {count(len(away) - HOSTS_NOT_UP_MAX, 'more host')} not up: laulima hosts")
    return [_cut(("ALARMS    " if at == 0 else "          ") + text, style) for at, text in enumerate(said)]


def _is_starting(host: HostRow) -> bool:
    """Just being connected: nothing to raise an alarm for yet."""
    return host.state.lower() == "connecting" and host.since_ns < STARTING_NS


def _cut(line: str, style: Style) -> str:
    return cut(line, style.columns, style.ellipsis) if style.columns else line


def metrics(session: Session, *, json: bool) -> int:
    """The status for Prometheus, node_exporter's textfile collector, and the like."""
    from shell import exposition  # noqa: PLC0415 - for this verb alone

    found = exposition.families(session.ask({}, Status, verb="status"))
    if json:
        return session.say_json(found, "metrics")
    sys.stdout.write(exposition.text(found))
    return 0


def tasks(session: Session, *, words: Sequence[str], wide: bool, json: bool) -> int:
    names, states = names_and_states(words)
    rows = session.ask({}, list[TaskRow])
    for name in names:
        if name not in (known := [row.name for row in rows]):
            raise OperatorError(f"no task is called {name}{nearest(name, known)}", "see laulima tasks")
    rows = [row for row in rows if (not names or row.name in names) and (not states or row.state in states)]
    if json:
        return session.say_json(rows, "tasks")
    session.say("\n".join(table(TASKS_FULL, rows, now_ns(), session.style(wide=wide))))
    return 0


def jobs(session: Session, *, jobs: Sequence[str], limit: int | None, everything: bool, wide: bool, json: bool) -> int:
    """Those of the smallest numbers, and how many more there are. As JSON all of them, unless `limit` is said."""
    if everything and limit is not None:
        raise UsageError("--all and --limit say different things")
    chosen = {"selection": selection(jobs)}
    if json:
        return session.say_json(session.ask({**chosen, "limit": limit}, list[JobRow]), "jobs")
    most = None if everything else limit or JOBS_DEFAULT
    rows = session.ask({**chosen, "limit": None if most is None else most + 1}, list[JobRow])
    if not rows:
        session.note("no such jobs; what ended: laulima history" if jobs else "no jobs; what ended: laulima history")
        return 0
    more = ""
    if most is not None and len(rows) > most:
        if any(row.outcome for row in rows):  # jobs that ended are not counted: there may be a million
            rows, more = rows[-most:], "more"
        else:
            there = session.ask(chosen, dict[str, int], verb="count_jobs")["jobs"]
            rows, more = rows[:most], f"{thousands(max(1, there - most))} more"
    session.say("\n".join(table(JOBS, rows, now_ns(), session.style(wide=wide))))
    if more:
        session.say(f"and {more}: --all shows all, -n {10 * len(rows)} so many, task=NAME state=NAME some of them")
    return 0


def hosts(session: Session, *, names: Sequence[str], wide: bool, json: bool) -> int:
    named, states = names_and_states(names)
    rows = session.ask({}, list[HostRow])
    if named:
        rows = _chosen_hosts(rows, named)
    rows = [row for row in rows if not states or row.state.lower() in states]
    if json:
        return session.say_json(rows, "hosts")
    if not rows and states:
        session.note("no such hosts: laulima hosts shows all")
        return 0
    if not rows:
        session.note("no hosts: jobs run on this machine (cluster.local); add one: laulima host add NAME")
        return 0
    session.say("\n".join(table(host_columns(rows), rows, now_ns(), session.style(wide=wide))))
    return 0


def _chosen_hosts(rows: list[HostRow], names: Sequence[str]) -> list[HostRow]:
    from shell.hostset import expand  # noqa: PLC0415

    wanted = {host for name in names for host in expand(name)}
    known = [row.name for row in rows]
    for name in sorted(wanted - set(known)):
        raise OperatorError(f"no host is called {name}{nearest(name, known)}", "see laulima hosts")
    return [row for row in rows if row.name in wanted]


def explain(session: Session, *, words: Sequence[str], json: bool) -> int:
    found = about_each(session, words, ExplanationView)
    if json:
        return session.say_json(found[0]) if len(found) == 1 else session.say_json(found, "explain")
    session.say("\n\n".join("\n".join(explanation_lines(shown)) for shown in found))
    return 0


def about_each(session: Session, words: Sequence[str], answer: type[T]) -> list[T]:
    """What the server says of a job, task or host, or of each job that a selection means."""
    if len(words) == 2 and words[0] == "job":
        words = words[1:]
    if not names_jobs(words):
        return [session.ask(about(words, session.verb), answer)]
    with session.client() as client:
        return [
            client.ask(session.verb, {"about": "job", "name": str(number)}, answer)
            for number in jobs_meant(client, words)
        ]


def explanation_lines(shown: ExplanationView, *, story: bool = True) -> list[str]:
    """The chain of reasons, nearest first; then what would change it, when, and (`story`) what happened to it."""
    lines = [f"{clean(shown.about)}: {clean(shown.state)} for {duration(shown.since_ns)}"]
    lines += [f"  {number}. {clean(reason)}" for number, reason in enumerate(shown.reasons, 1)]
    if shown.changes:
        lines.append(f"it would change if:  {clean(shown.changes[0])}")
        lines += [f"                     {clean(change)}" for change in shown.changes[1:]]
    if shown.until_ns is not None:
        lines.append(f"by itself:  in {duration(max(0, shown.until_ns))} at the earliest")
    elif shown.changes:
        lines.append("by itself:  not; it waits for one of these")
    if shown.story and story:
        lines += ["what happened:", *(f"  {clean(line)}" for line in shown.story)]
    return lines


def history(
    session: Session,
    *,
    words: Sequence[str],
    task: str | None,
    host: str | None,
    outcome: str | None,
    since: int | None,
    limit: int | None,
    stats: bool,
    notices: bool,
    changes: bool,
    wide: bool,
    json: bool,
) -> int:
    """What ended. It is read from the journal itself when no server runs."""
    if changes:
        return _changes(session, words, since, limit or HISTORY_DEFAULT, wide=wide, json=json)
    if notices:
        return _notices(session, limit or HISTORY_DEFAULT, wide=wide, json=json)
    named = {"task": task, "host": host, "outcome": outcome}
    questions = _questions(words, {key: value for key, value in named.items() if value is not None})
    if stats:
        most = limit or STATISTICS_DEFAULT
        return _statistics(session, [{**each, "since_ns": since} for each in questions], most, wide=wide, json=json)
    limits = {"since_ns": since, "limit": limit or HISTORY_DEFAULT}
    rows = [row for question in questions for row in _past(session, {**limits, **question})]
    return _say_rows(session, "history", rows, HISTORY, none="nothing that ended fits", wide=wide, json=json)


def _say_rows(
    session: Session, name: str, rows: Sequence[T], columns: Sequence[Column[T]], *, none: str, wide: bool, json: bool
) -> int:
    """A list, as JSON by its name or as a table. `none`: what is said instead of an empty table."""
    if json:
        return session.say_json(rows, name)
    if rows:
        session.say("\n".join(table(columns, rows, now_ns(), session.style(wide=wide))))
    else:
        session.note(none)
    return 0


def _statistics(session: Session, questions: list[dict[str, Any]], most: int, *, wide: bool, json: bool) -> int:
    """From the journal itself, also while a server runs: a million attempts are nothing to hand through its socket."""
    from live.history import History, HistoryQuestion  # noqa: PLC0415 - SQLite only for those who read the file
    from shell.commands.statistics import Tally, statistics_lines  # noqa: PLC0415

    history, tally = History(session.state() / "journal.sqlite"), Tally()
    for question in questions:
        tally.count(history.ends(HistoryQuestion(**{"limit": most, **question})))
    rows = tally.rows()
    if json:
        return session.say_json(rows, "statistics")
    if not rows:
        session.note("nothing that ended fits")
        return 0
    session.say("\n".join(statistics_lines(rows, session.style(wide=wide), now_ns())))
    if tally.attempts >= most:
        session.note(f"of the last {thousands(most)} attempts; of more: --limit {10 * most}; of a time: --since 7d")
    return 0


def plan(session: Session, *, for_ns: int, wide: bool, json: bool) -> int:
    """What would start when."""
    rows = session.ask({"for_ns": for_ns}, list[PlanRow])
    return _say_rows(session, "plan", rows, PLAN, none="no tasks are defined", wide=wide, json=json)


def _changes(session: Session, words: Sequence[str], since: int | None, limit: int, *, wide: bool, json: bool) -> int:
    """What people have ordered; read from the journal itself, so also without a server, and of a controller."""
    from live.history import ChangeQuestion, History  # noqa: PLC0415

    about, name = change_words(words)
    rows = History(session.state() / "journal.sqlite").changes(ChangeQuestion(about, name, limit, since))
    return _say_rows(session, "changes", rows, CHANGES, none="nobody has changed anything", wide=wide, json=json)


def change_words(words: Sequence[str]) -> tuple[str, str]:
    """Of one job, task or host, or of everything: (about, name)."""
    if not words:
        return "", ""
    key, equals, value = words[0].partition("=")
    if len(words) > 1 or not ((equals and value and key in ("job", "task", "host")) or words[0].isdigit()):
        raise UsageError("--changes takes one of task=NAME, host=NAME and a job's number")
    return (key, value) if equals else ("job", words[0])


def _notices(session: Session, limit: int, *, wide: bool, json: bool) -> int:
    rows = session.ask({"limit": limit}, list[NoticeRow], verb="notices")
    none = "no shared controller has told anything"
    return _say_rows(session, "notices", rows, NOTICES, none=none, wide=wide, json=json)


def _questions(words: Sequence[str], filters: dict[str, Any]) -> list[dict[str, Any]]:
    """One question for each job that is named, or one for all of them."""
    numbers: list[int] = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            named = selection([word])  # raises for what is neither a number nor a range nor `last`
            numbers += named.get("jobs", [])
            if "last" in named:
                filters["limit"] = 1
        elif key not in PAST_FILTERS:
            raise UsageError(f"{key}= is no filter{nearest(key, PAST_FILTERS)}", f"filters: {', '.join(PAST_FILTERS)}")
        elif not value:
            raise UsageError(f"{key}= needs a value")
        elif key == "state":
            filters.update(_ended_as(value))
        else:
            filters[key] = value
    return [{**filters, "job": number} for number in numbers] or [filters]


def _ended_as(state: str) -> dict[str, Any]:
    """What `state=` of a selection means among attempts that ended."""
    word = state.lower()
    if word in ("final", "ended"):
        return {"final": True}
    return {"outcome": "exit 0" if word == "done" else state}


def _past(session: Session, question: dict[str, Any]) -> list[HistoryRow]:
    state = session.state()
    try:
        with Client(state) as client:
            return client.ask("history", question, list[HistoryRow])
    except NotReachableError:
        journal = state / "journal.sqlite"
        if not journal.exists():
            raise
        from live.history import History, HistoryQuestion  # noqa: PLC0415 - SQLite only without a server

        return History(journal).attempts(HistoryQuestion(**question))
