"""Which variables a script may set, which it uses, and whether the one covers the other.

Part of `laulima validate`. Macros may be given the *name* of a variable (`$$1 = …`) and files may be loaded by a name
that is known later only; so a name counts as set wherever it might be, and what is left is worth a look.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import pairwise

from shell.language.findings import VARIABLE, Finding, Severity, Word, words_of
from shell.language.tree import (
    Assignment,
    Body,
    For,
    ForEach,
    If,
    InlineIf,
    Line,
    ListBlock,
    Malformed,
    Position,
    Statement,
    TaskBlock,
    TaskExit,
    While,
)

FullName = Callable[[str], str]
"""The command or macro that a first word stands for; the word itself when there is none."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
START_VARIABLES = frozenset(
    {"HOME", "PID", "KAPA", "UNSIGN", "M_PI", "M_E", "M_c", "M_h", "M_kB", "SCRIPT", "SCRIPT_NAME", "HISTORY", "PROMPT"}
) | frozenset({"RCFILE", "HELPDIR", "STATUS", "EXECSTATUS"})
START_LISTS = frozenset({"argv", "MODULES"})
JOB_VARIABLES = frozenset(
    {"EXIT", "JOB_STATUS", "JOB_HOSTNAME", "JOB_DTIME", "JOBID", "JOB_ATTEMPT", "JOB_OUTCOME", "JOB_SIGNAL"}
) | frozenset({"stdout", "stderr"})
CHECK_VARIABLES = frozenset({"JOB_EXITST", "JOB_STDOUT_SIZE", "JOB_STDERR_SIZE", "JOB_REALHOST", "HOST_STATE"})
"""What `check … -save` sets besides."""
JOB_LISTS = frozenset({"taskarg", "options"})

# Commands whose words may name variables that they set, besides `-var NAME` (which every command may have).
_SET_FIRST = frozenset({"set", "sprintf", "for", "foreach", "strpop"})
_SET_ANY = frozenset(
    {"local", "getargs", "strlen", "substr", "strstr", "strpop", "strmatch", "strhash", "inthash", "getchr", "basename"}
) | frozenset({"dirname", "file", "scan", "scannext", "date", "pwd", "strsub"})
_SET_NONE = frozenset(
    {"echo", "exec", "fprintf", "command", "options", "option", "host", "periods", "queuepush", "input"}
)
_RESULT_OPTIONS = ("-var", "-current", "-join")


@dataclass(slots=True)
class Names:
    """What may be set. `lists` hold elements (`NAME:n`); `loose`: words that a macro may take for names of
    variables."""

    variables: set[str] = field(default_factory=lambda: set(START_VARIABLES | JOB_VARIABLES | CHECK_VARIABLES))
    lists: set[str] = field(default_factory=lambda: set(START_LISTS | JOB_LISTS))
    loose: set[str] = field(default_factory=set)
    guarded: set[str] = field(default_factory=set)
    """asked for by `$?NAME`"""
    indirect: bool = False
    """a variable is set whose name another one holds"""

    def may_be_set(self, name: str) -> bool:
        base, colon, key = name.partition(":")
        if name in self.variables or name in self.guarded or (self.indirect and base in self.loose):
            return True
        return bool(colon) and bool(key) and base in self.lists | self.guarded

    def near(self, name: str) -> str:
        base, colon, _ = name.partition(":")
        if colon and (base in self.variables or base.isdecimal()):
            return f"the name goes on over the colon; write ${base}\\: to end it"
        close = get_close_matches(name, sorted(self.variables), 1, 0.75)
        return f"did you mean ${close[0]}?" if close else ""


def texts(statement: Statement) -> list[tuple[str, int]]:
    """The texts of a statement that are expanded when it runs: (text, columns from the statement's start, as far as
    known)."""
    match statement:
        case Line(_, text):
            return [(text, 0)]
        case Assignment(_, target, _, value):
            return [(value, 0), *([(target[target.index("$") :], 1)] if "$" in target else [])]
        case InlineIf(_, condition, _) | If(_, condition, _, _):
            return [(condition, 3)]
        case While(_, condition, _):
            return [(condition, 6)]
        case For(_, arguments, _):
            return [(arguments, 4)]
        case ForEach(_, arguments, _):
            return [(arguments, 8)]
        case TaskBlock(_, arguments, _):
            return [(arguments, 5)]
        case TaskExit(_, arguments, _):
            return [(arguments, 10)]
    return []


def inside(statement: Statement) -> tuple[Body, ...]:
    """The bodies of a statement; the statement behind an inline condition is one."""
    match statement:
        case InlineIf(_, _, inner):
            return ((inner,),)
        case If(_, _, then, otherwise):
            return (then,) if otherwise is None else (then, otherwise)
        case Line() | Assignment() | ListBlock() | Malformed():
            return ()
        case _:
            return (statement.body,)


def everything(body: Body) -> Iterator[Statement]:
    """All statements at any depth, in order."""
    left = list(reversed(body))
    while left:
        statement = left.pop()
        yield statement
        for part in reversed(inside(statement)):
            left.extend(reversed(part))


def collect(body: Body, names: Names, full_name: FullName) -> None:
    """Add what a script may set."""
    for statement in everything(body):
        for text, _ in texts(statement):
            names.guarded.update(name.partition(":")[0] for _, ask, name in VARIABLE.findall(text) if ask)
            names.guarded.update(name for _, ask, name in VARIABLE.findall(text) if ask)
        match statement:
            case Assignment(_, target, operator, value):
                _set(names, target)
                if operator == "=" and _NAME.fullmatch(value):
                    names.loose.add(value)
            case Line(_, text):
                _line(words_of(text), names, full_name)
            case For(_, arguments, _):
                _set(names, arguments.partition(" ")[0])
            case ForEach(_, arguments, _):
                _set(names, arguments.partition(" ")[0])
                names.loose.update(word.text for word in words_of(arguments) if _NAME.fullmatch(word.text))
            case ListBlock(_, arguments, elements):
                names.lists.add(arguments.partition(" ")[0])
                names.loose.update(element for element in elements if _NAME.fullmatch(element))


def _set(names: Names, target: str) -> None:
    """`target` is what is written on the left, without its first `$`."""
    if target.startswith("$"):
        names.indirect = True
        return
    base, colon, _ = target.partition(":")
    if colon:
        names.lists.add(base)
    names.variables.add(target)


def _line(words: list[Word], names: Names, full_name: FullName) -> None:
    plain = [word.text for word in words]
    for option, name in pairwise(plain):
        if option in _RESULT_OPTIONS:
            _set(names, name)
    if not plain:
        return
    command = full_name(plain[0])
    if command == "list" and len(plain) > 1:
        names.lists.add(plain[1])
        names.indirect |= "$" in plain[1]
    elif command in _SET_FIRST and len(plain) > 1:
        _set(names, plain[1])
    if command in _SET_ANY:
        for name in plain[1:]:
            _set(names, name)
            names.lists.add(name)
    elif command not in _SET_NONE:
        names.loose.update(name for name in plain[1:] if _NAME.fullmatch(name))


def unknown_variables(body: Body, names: Names, known: Collection[str]) -> list[Finding]:
    """One finding for each name that nothing may set, at its first use. `known`: names set elsewhere."""
    first: dict[str, Position] = {}
    uses: dict[str, int] = {}
    for statement in everything(body):
        for text, columns in texts(statement):
            for match in VARIABLE.finditer(text):
                more, ask, name = match.groups()
                # `$$ref:n`: what is looked up first is `ref`; `$list:$i`: the list.
                name = name.partition(":")[0] if more else name
                followed = text[match.end() : match.end() + 1] == "$" and name.endswith(":")
                name = name + "0" if followed else name
                if ask or name.isdigit() or name in known or names.may_be_set(name):
                    continue
                at = statement.at
                first.setdefault(name, Position(at.file, at.line, at.column + columns + match.start()))
                uses[name] = uses.get(name, 0) + 1
    return [Finding(at, Severity.WARNING, _sentence(name, uses[name]), names.near(name)) for name, at in first.items()]


def _sentence(name: str, count: int) -> str:
    more = f", used {count} times" if count > 1 else ""
    return f"variable {name} is never set here{more}: such a line fails"


def set_by(body: Body, full_name: FullName) -> dict[str, Position]:
    """Globals that a body sets to something new (counters are not), with the first place."""
    found: dict[str, Position] = {}
    local: set[str] = set()
    for statement in everything(body):
        match statement:
            case Assignment(_, target, "=", value):
                if "$" not in target and not re.search(rf"\${re.escape(target)}\b", value):
                    found.setdefault(target, statement.at)
            case Line(_, text):
                plain = [word.text for word in words_of(text)]
                command = full_name(plain[0]) if plain else ""
                if command == "local":
                    local.update(plain[1:])
                named = [
                    name
                    for option, name in pairwise(plain)
                    if option == "-var" or (option, command) == (plain[0], "set")
                ]
                for name in named:
                    if _NAME.fullmatch(name):
                        found.setdefault(name, statement.at)
    return {name: at for name, at in found.items() if name not in local}


def used_by(body: Body) -> dict[str, Position]:
    """Variables that a body reads, with the first place."""
    found: dict[str, Position] = {}
    for statement in everything(body):
        for text, columns in texts(statement):
            for match in VARIABLE.finditer(text):
                if not match.group(2):
                    at = Position(statement.at.file, statement.at.line, statement.at.column + columns + match.start())
                    found.setdefault(match.group(3), at)
    return found
