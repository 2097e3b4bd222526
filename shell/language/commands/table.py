"""All commands of the language. Read by the script machine, by completion and by `validate`."""

from __future__ import annotations

from shell.language.calls import Command
from shell.language.commands import (
    books,
    control,
    controller,
    dates,
    files,
    lists,
    looking,
    output,
    queues,
    scheduling,
    shell_lines,
    tasks,
    text,
    variables,
)

_MODULES = (
    control,
    variables,
    queues,
    books,
    text,
    lists,
    files,
    output,
    shell_lines,
    dates,
    tasks,
    scheduling,
    controller,
    looking,
)

COMMANDS: tuple[Command, ...] = tuple(command for module in _MODULES for command in module.COMMANDS)

assert len({command.name for command in COMMANDS}) == len(COMMANDS), "two commands have one name"
