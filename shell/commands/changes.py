"""Verbs that change what the server does with jobs, tasks and hosts. Each prints what changed.

The server answers when the effect has happened, or is certain to; how long to wait for that is `--wait-at-most`.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence
from typing import Any

from model.errors import LaulimaError, NotReachableError, OperatorError, WaitedTooLongError
from model.views import HostRow
from shell.selections import UsageError, names_and_states, needed, offered, selection, task_or_jobs
from shell.session import Session

GONE_S = 20.0
"""How long a server that has ended everything may take to leave."""
HOSTS_MAX = 10_000
"""Hosts that one command may name."""


def _of_jobs(session: Session, words: Sequence[str], everything: bool, reason: str, wait_at_most: int | None) -> int:
    chosen = needed(selection(words, everything=everything), session.verb)
    return session.change({"selection": chosen, "reason": reason}, wait_at_most)


def kill(session: Session, *, jobs: Sequence[str], everything: bool, reason: str, wait_at_most: int | None) -> int:
    return _of_jobs(session, jobs, everything, reason, wait_at_most)


def retry(session: Session, *, jobs: Sequence[str], everything: bool, reason: str, wait_at_most: int | None) -> int:
    return _of_jobs(session, jobs, everything, reason, wait_at_most)


def delete(
    session: Session,
    *,
    jobs: Sequence[str],
    everything: bool,
    task: str | None,
    reason: str,
    wait_at_most: int | None,
) -> int:
    if task is None:
        return _of_jobs(session, jobs, everything, reason, wait_at_most)
    if jobs or everything:
        raise UsageError("delete takes jobs or --task, not both", "the jobs of a task: laulima delete task=NAME")
    return session.change({"task": task, "reason": reason}, wait_at_most, verb="delete_task")


def hold(
    session: Session,
    *,
    words: Sequence[str],
    reason: str,
    for_ns: int | None,
    until: str | None,
    wait_at_most: int | None,
) -> int:
    if for_ns is not None and until is not None:
        raise UsageError("--for and --until say the same thing in two ways: give one")
    if for_ns == 0:
        raise UsageError("a hold for no time at all holds nothing", "a longer one: --for 2h; for good: without --for")
    if until is not None:
        for_ns = until_time(until, time.time())
    arguments: dict[str, Any] = {**task_or_jobs(words, "hold"), "reason": reason, "for_ns": for_ns}
    return session.change(arguments, wait_at_most)


def until_time(text: str, now_s: float) -> int:
    """ns from `now_s` (Unix time, s) until the next time that the local clock shows `text` (`18:00`, `18:00:30`)."""
    for pattern in ("%H:%M", "%H:%M:%S"):
        try:
            wanted = time.strptime(text, pattern)
        except ValueError:
            continue
        now = time.localtime(now_s)
        for days in (0, 1):
            at = time.mktime(
                (now.tm_year, now.tm_mon, now.tm_mday + days, wanted.tm_hour, wanted.tm_min, wanted.tm_sec, 0, 0, -1)
            )
            if at > now_s:
                return int((at - now_s) * 1e9)
    raise UsageError(f"--until takes a time of day such as 18:00, not {text!r}", "a duration: --for 2h")


def release(session: Session, *, words: Sequence[str], reason: str, wait_at_most: int | None) -> int:
    return session.change({**task_or_jobs(words, "release"), "reason": reason}, wait_at_most)


def flush(session: Session, *, words: Sequence[str], reason: str, wait_at_most: int | None) -> int:
    return session.change({**task_or_jobs(words, "flush"), "reason": reason}, wait_at_most)


def host(
    session: Session,
    *,
    verb: str,
    names: Sequence[str],
    slots: int,
    resources: Sequence[str],
    labels: Sequence[str],
    file: str | None,
    reason: str,
    wait_at_most: int | None,
) -> int:
    """One order for each host. All are tried; the first refusal gives the exit code. `check` orders nothing."""
    if verb == "check":
        from shell.commands.host_check import check  # noqa: PLC0415 - the only one that needs no server

        return check(session, names=names, file=file)
    from shell.hostset import expand  # noqa: PLC0415

    named, states = names_and_states(names)
    hosts = list(dict.fromkeys(name for words in named for name in expand(words)))
    if states:
        rows = session.ask({}, list[HostRow], verb="hosts")
        hosts = [row.name for row in rows if row.state.lower() in states and (not named or row.name in hosts)]
        if not hosts:
            raise OperatorError("no host fits", "what there is: laulima hosts")
    if len(hosts) > HOSTS_MAX:
        raise UsageError(f"{len(hosts)} hosts are more than the {HOSTS_MAX} that one command may name")
    if verb != "add" and (resources or labels):
        raise UsageError("--resource and --label are for host add")
    offer = {key: said for key, said in zip(("resources", "labels"), offered(resources, labels), strict=True) if said}
    refused: LaulimaError | None = None
    for name in hosts:
        arguments = {"verb": verb, "name": name, "slots": slots, "reason": reason, **offer}
        try:
            session.change(arguments, wait_at_most)
        except LaulimaError as error:
            if len(hosts) == 1 or error.exit_code != 1:
                raise
            session.note(f"{name}: {error}")
            refused = refused or error
    if refused:
        raise LaulimaError(f"not every host could be changed ({verb})", refused.hint)
    return 0


def intake(session: Session, *, reason: str, wait_at_most: int | None) -> int:
    """stop, resume, halt."""
    return session.change({"reason": reason}, wait_at_most)


def _see_gone(pid: int | None) -> None:
    """Wait until the process has left, so that whoever comes next finds its place free."""
    if pid is None:
        return
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        gone, _, _ = select.select([process], [], [], GONE_S)
    finally:
        os.close(process)
    if not gone:
        raise WaitedTooLongError(f"the server (pid {pid}) has ended everything, and is still there", f"kill {pid}")


def shutdown(session: Session, *, kill: bool, wait_at_most: int | None) -> int:
    """End the server, and see it gone. With `--kill` and no server: end what an earlier one left running."""
    from live.state_directory import owner_pid  # noqa: PLC0415

    state = session.state()
    pid = owner_pid(state)
    try:
        code = session.change({"kill": kill}, wait_at_most)
    except NotReachableError:
        if not kill or pid is not None or not (state / "journal.sqlite").exists():
            raise
    else:
        _see_gone(pid)
        return code
    from live.server import end_leftovers  # noqa: PLC0415 - the server's machinery, for this once

    code = end_leftovers(state)
    session.say(f"no server was running; whatever an earlier one had left in {state} has ended")
    return code
