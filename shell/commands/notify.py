"""`laulima notify`: who is told of alarms, and whether that works; `--test` sends each a message, and says what came of
it.

With a running server it is the server that sends, so what is tried is what will happen; with a FILE the messages are
sent from here, and no server is needed. Sending is `live/notifying.py`'s.
"""

from __future__ import annotations

from pathlib import Path

from live.notifying import Tried, try_here
from model.configuration import Notifier
from model.errors import ConfigurationError
from model.views import NotifierRow
from shell.selections import UsageError
from shell.session import Session, now_ns
from shell.tables import NOTIFIERS, table
from shell.wording import clean, duration, nearest

TEST_LIMIT_NS = 120 * 1_000_000_000
"""How long all notifiers together may take: each has 30 s, four at one time."""


def notify(session: Session, *, file: str | None, only: str | None, test: bool, json: bool) -> int:
    """Returns 0, or 1 when a test message could not be delivered, or a notifier fails."""
    if not test:
        if file is not None:
            raise UsageError("a file says who would be told; to try it: laulima notify --test FILE")
        rows = session.ask({"notifier": only}, list[NotifierRow])
        if json:
            session.say_json(rows, "notifiers")
        elif rows:
            session.say("\n".join(table(NOTIFIERS, rows, now_ns(), session.style())))
        else:
            session.say("nobody is told of anything; how: laulima docs config.notify")
        return int(any(row.error for row in rows))
    if file is None:
        arguments = {"notifier": only, "test": True}
        found = session.ask(arguments, list[Tried], limit_ns=TEST_LIMIT_NS)
    else:
        found = _test_file(Path(file), only)
    if json:
        session.say_json(found, "tested")
    else:
        for each in found:
            session.say(_line(each))
        if not found:
            session.say("there is no notifier; how: laulima docs config.notify")
    return int(any(each.error for each in found))


def _line(tested: Tried) -> str:
    came = f"FAILED: {clean(tested.error)}" if tested.error else f"took it in {duration(tested.took_ns)}"
    return f"{tested.name} ({clean(tested.how)})  {came}"


def _test_file(file: Path, only: str | None) -> list[Tried]:
    from shell.config.loading import load  # noqa: PLC0415 - pydantic is for whoever reads a file

    configuration = load(file).configuration
    chosen = _chosen(configuration.notifiers, only, file)
    return try_here(chosen, Path(configuration.directory), configuration.path)


def _chosen(notifiers: tuple[Notifier, ...], only: str | None, file: Path) -> list[Notifier]:
    names = [notifier.name for notifier in notifiers]
    if only is not None and only not in names:
        raise ConfigurationError(
            f"{file} has no notifier {only}{nearest(only, names)}", "notifiers stand under notify:"
        )
    return [notifier for notifier in notifiers if only in (None, notifier.name)]
