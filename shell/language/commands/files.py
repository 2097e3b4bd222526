"""Commands on files and folders: file, mkdir, cd, pwd, scan, scannext. All through the driver: nothing here touches a
file."""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Generator
from typing import Any

from model.scripting import FileVerb
from shell.language.calls import Call, Command, Failure, Waiting
from shell.language.commands.lists import lines_of
from shell.language.commands.text import answer, integer

_FACTS = ("size", "mtime", "atime", "ctime", "mode", "uid", "gid", "kind", "can-read", "can-write")

_FILE = "file NAME [VAR | -var VAR] [-can-read] [-can-write] [-stats]"


def _file(call: Call) -> Waiting:
    variable = call.option("-var")
    stats = call.flag("-stats")
    wanted = [name for name in ("can-read", "can-write") if call.flag(f"-{name}")]
    arguments = call.arguments(1, 1 + (variable is None), _FILE)
    if len(arguments) > 1:
        variable = arguments[1]
    if stats and variable is None:
        raise Failure("file: -stats wants a variable", hint=f"USAGE: {_FILE}")
    reply = yield from call.use_file(FileVerb.STAT, arguments[0])
    facts = dict(reply.facts)
    if stats:
        for name in _FACTS:  # of a missing file, too: an older file's facts must not stay
            call.set(f"{variable}:{name.replace('-', '_')}", facts.get(name, "NULL"))
    return answer(call, variable, int(reply.ok and all(facts.get(name) == "1" for name in wanted)))


_MKDIR = "mkdir FOLDER"


def _mkdir(call: Call) -> Waiting:
    (name,) = call.arguments(1, 1, _MKDIR)
    made = yield from call.use_file(FileVerb.MAKE_DIRECTORY, name)
    if not made.ok and not (yield from _is_folder(call, name)):
        raise Failure(f"mkdir: {made.error}")
    return True


def _is_folder(call: Call, name: str) -> Waiting:
    found = yield from call.use_file(FileVerb.STAT, name)
    return found.ok and ("kind", "directory") in found.facts


_CD = "cd [FOLDER]"


def _cd(call: Call) -> Waiting:
    (name,) = call.arguments(0, 1, _CD) or ["~"]
    if not (yield from _is_folder(call, name)):
        raise Failure(f"cd: {call.path(name)} is not a folder")
    call.language.directory = posixpath.normpath(call.path(name))
    return True


_WHERE = "pwd [-var NAME]"


def _pwd(call: Call) -> bool:
    variable = call.option("-var")
    call.arguments(0, 0, _WHERE)
    return answer(call, variable, call.language.directory)


_SCAN = "scan FILE [VAR | -var VAR] [LINE]"


def _scan(call: Call) -> Waiting:
    """Line LINE of a file (from 0; negative: from the end; left out: the first). With VAR and no such line: NULL."""
    variable = call.option("-var")
    name, *rest = call.arguments(1, 3 - (variable is not None), _SCAN)
    if variable is None and rest:
        variable = rest.pop(0)
    number = integer(call, rest[0], "LINE") if rest else 0
    lines = yield from _lines(call, name)
    found = lines[number] if -len(lines) <= number < len(lines) else None
    if found is None and variable is None:
        raise Failure(f"scan: {call.path(name)} has no line {number}")
    return answer(call, variable, "NULL" if found is None else found)


_UNREAD = "scannext"
"""The name under which is remembered, for each file, which of its lines `scannext` has not given yet."""

_SCANNEXT = "scannext FILE [VAR | -var VAR | -close]"


def _scannext(call: Call) -> Waiting:
    """The next line of a file. With VAR and no line left: NULL, and the next call begins again.

    The file is read whole when its first line is asked for; what is written to it meanwhile is seen at the next
    beginning.
    """
    closes = call.flag("-close")
    variable = call.option("-var")
    name, *rest = call.arguments(1, 2 - (variable is not None), _SCANNEXT)
    variable = rest[0] if rest else variable
    files: dict[str, deque[str]] = call.language.kept.setdefault(_UNREAD, {})
    path = call.path(name)
    if closes:
        files.pop(path, None)
        return True
    if path not in files:
        files[path] = deque((yield from _lines(call, name)))
    if files[path]:
        return answer(call, variable, files[path].popleft())
    del files[path]
    if variable is None:
        raise Failure(f"scannext: {path} has no line left")
    return answer(call, variable, "NULL")


def _lines(call: Call, name: str) -> Generator[Any, Any, list[str]]:
    reply = yield from call.use_file(FileVerb.READ, name)
    if not reply.ok:
        raise Failure(f"{call.words[0]}: {reply.error}")
    return lines_of(reply.text)


COMMANDS = (
    Command(
        "file",
        _file,
        _FILE,
        "1 if a file exists (and can be read or written), else 0; -stats: VAR:size VAR:mtime VAR:atime VAR:ctime"
        " VAR:mode VAR:uid VAR:gid VAR:kind VAR:can_read VAR:can_write",
        waits=True,
        least=1,
        most=6,
    ),
    Command("mkdir", _mkdir, _MKDIR, "make a folder (one level); one that exists is fine", waits=True, least=1, most=1),
    Command("cd", _cd, _CD, "go to a folder (the home folder)", waits=True, most=1),
    Command("pwd", _pwd, _WHERE, "the folder where commands run", most=2),
    Command(
        "scan",
        _scan,
        _SCAN,
        "line LINE of a file, from 0 (0 if left out); with VAR and no such line: NULL",
        waits=True,
        least=1,
        most=4,
    ),
    Command(
        "scannext",
        _scannext,
        _SCANNEXT,
        "the next line of a file; with VAR and no line left: NULL",
        waits=True,
        least=1,
        most=3,
    ),
)
