"""What can stand where the cursor is, at a prompt: a pure function of the line and of the names that exist.

Called by `shell/prompt.py`. Which names exist is asked of the server; which kind a command wants is the table here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Names = Mapping[str, Sequence[str]]
"""`commands`, `macros`, `tasks`, `hosts`, `variables`, `queues`, `books`"""

_WORD = re.compile(r"[^\s;(){}\"`=]*$")
_VARIABLE = re.compile(r"\$\??([A-Za-z0-9_:]*)$")

WANTED: Mapping[str, tuple[str, ...]] = {
    "task": ("tasks",),
    "showtask": ("tasks",),
    "delete": ("tasks",),
    "status": ("tasks",),
    "host": ("hosts",),
    "controller": ("hosts",),
    "machines": ("hosts",),
    "help": ("commands", "macros"),
    "which": ("commands", "macros"),
    "macro": ("macros",),
    "set": ("variables",),
    "local": ("variables",),
    "list": ("variables",),
    "foreach": ("variables",),
    "for": ("variables",),
    "book": ("books",),
    "queue2book": ("queues", "books"),
    "ipptool2book": ("queues", "books"),
}
"""What the arguments of a command name; those not here (and macros) may name anything."""
SUBCOMMANDS: Mapping[str, tuple[str, ...]] = {
    "book": (
        "create", "delete", "delpage", "getbook", "getpage", "getword", "init", "list", "listbook", "listpage",
        "newpage", "npages", "setword", "shuffle",
    ),
    "controller": (
        "check", "exit", "host", "hoststack", "jobstack", "machines", "output", "parameters", "pulse", "run", "status",
        "stop", "verbose", "version",
    ),
    "host": ("add", "check", "delete", "off", "on", "retry"),
    "macro": ("create", "delete", "list"),
    "delete": ("job", "task"),
    "flush": ("jobs",),
    "task": ("delete",),
    "server": ("cd", "exit", "halt", "input", "module", "output", "pwd", "quit", "run", "stop"),
}  # fmt: skip
_ANYTHING = ("tasks", "hosts", "queues", "books", "macros")


def completions(before: str, names: Names) -> tuple[int, list[str]]:
    """What could be there instead of the last letters of `before` (the line up to the cursor): how many letters, and
    the candidates in order."""
    variable = _VARIABLE.search(before)
    if variable is not None:
        return _fitting(variable.group(1), names.get("variables", ()))
    found = _WORD.search(before)
    word = found.group() if found is not None else ""
    statement = re.split(r";", before[: len(before) - len(word)])[-1].split()
    if not statement:
        return _fitting(word, [*names.get("commands", ()), *names.get("macros", ())])
    return _fitting(word, _arguments(statement, names))


def _arguments(statement: Sequence[str], names: Names) -> list[str]:
    command = statement[0]
    if command == "controller" and statement[1:2] == ["host"]:
        command, statement = "host", statement[1:]
    kinds = ("queues",) if command.startswith("queue") and command not in WANTED else WANTED.get(command, _ANYTHING)
    candidates = [name for kind in kinds for name in names.get(kind, ())]
    if len(statement) == 1 and command in SUBCOMMANDS:
        candidates += SUBCOMMANDS[command]
    return candidates


def _fitting(word: str, candidates: Sequence[str]) -> tuple[int, list[str]]:
    return len(word), sorted({name for name in candidates if name.startswith(word)})
