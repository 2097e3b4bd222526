"""`laulima validate script.pro`: what can be found wrong with a script, and with the files that it loads, without
running it.

What is known only when a line runs (a word that holds a variable) is left alone, so a finding is worth reading. Called
by the command line. Checks of tasks are in `checking_tasks.py`, of variables in `checking_names.py`; how findings look
in `findings.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import NamedTuple

from shell.language.calls import Command
from shell.language.checking_names import Names, collect, everything, inside, texts, unknown_variables
from shell.language.checking_tasks import TaskChecks, check_exit, check_setting, check_task_line, place
from shell.language.commands.books import PARTS as BOOK_FORMS
from shell.language.findings import VARIABLE, Finding, Severity, Word, braces, maths_problem, words_of
from shell.language.tree import (
    Assignment,
    Body,
    For,
    ForEach,
    If,
    InlineIf,
    Line,
    MacroBlock,
    Position,
    Script,
    Statement,
    TaskBlock,
    TaskExec,
    TaskExit,
    While,
)
from shell.wording import count

Load = Callable[[str, str], Script | None]
"""`load("input" or "module", file as it is written)`: the file, parsed; None: it cannot be read."""

_BLOCK_WORDS = ("list", "macro", "task", "if", "for", "foreach", "while")
_LOADS = ("input", "module")
_LOADS_MOST = 1_000
"""Files that are followed."""
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}")


class _Place(NamedTuple):
    """Where a statement stands: "file", "macro", "task", "exec" or "exit"; whether `$1` means something there."""

    kind: str = "file"
    has_arguments: bool = False


def check(
    script: Script, commands: Mapping[str, Command], *, load: Load | None = None, known: Collection[str] = ()
) -> list[Finding]:
    """All findings, by file and place. `commands`: the language's, by name; `load` reads the files that the script
    loads by constant names; `known`: variables that are set elsewhere (by an earlier file)."""
    validation = _Validation(commands)
    validation.take(script, load)
    return validation.findings(known)


class _Validation:
    def __init__(self, commands: Mapping[str, Command]) -> None:
        self.commands = commands
        self.scripts: dict[str, Script] = {}
        self.macros: dict[str, MacroBlock] = {}
        self.complete = True
        """every file that is loaded was read"""
        self.found: list[Finding] = []
        self.tasks = TaskChecks(self.macros, self.full_name)

    # what there is

    def take(self, script: Script, load: Load | None) -> None:
        """The script and all files that it loads."""
        left = [script]
        while left and len(self.scripts) < _LOADS_MOST:
            script = left.pop()
            if script.name in self.scripts:
                continue
            self.scripts[script.name] = script
            for statement in everything(script.body):
                if isinstance(statement, MacroBlock):
                    words = words_of(statement.arguments)
                    if words and not words[0].dynamic:
                        self.macros[words[0].text] = statement
                elif isinstance(statement, TaskBlock):
                    self.tasks.add(statement)
                elif isinstance(statement, Line):
                    left.extend(self._loaded(statement, load))

    def _loaded(self, line: Line, load: Load | None) -> list[Script]:
        words = words_of(line.text)
        if len(words) < 2 or words[0].text not in _LOADS:
            return []
        if load is None or words[1].dynamic:
            self.complete = False
            return []
        script = load(words[0].text, words[1].text)
        if script is not None:
            return [script]
        self.complete = False
        text = f"{words[1].text} cannot be read: what it defines is not known"
        self.found.append(Finding(place(line.at, words[1]), Severity.WARNING, text))
        return []

    def full_name(self, word: str) -> str:
        """The command or macro that a first word means; the word itself when that is none or not clear."""
        names = self._meant(word)
        return names[0] if len(names) == 1 else word

    def _meant(self, word: str) -> list[str]:
        if word in self.commands or word in self.macros or word in _BLOCK_WORDS:
            return [word]
        return sorted({name for name in (*self.commands, *self.macros) if name.startswith(word)}) if word else []

    # what is wrong with it

    def findings(self, known: Collection[str]) -> list[Finding]:
        names = Names()
        for script in self.scripts.values():
            collect(script.body, names, self.full_name)
        for script in self.scripts.values():
            self.found += [Finding(it.at, Severity.ERROR, it.text, it.hint) for it in script.problems]
            self._check_body(script.body, _Place())
            self.found += unknown_variables(script.body, names, known)
        self.found += self.tasks.findings(self.complete)
        order = {name: index for index, name in enumerate(self.scripts)}
        return sorted(self.found, key=lambda found: (order.get(found.at.file, 0), found.at.line, found.at.column))

    def _taken(self, name: str) -> bool:
        """Whether no macro can have this name."""
        command = self.commands.get(name)
        return name in _BLOCK_WORDS or (command is not None and not command.yields)

    def _say(self, at: Position, text: str, hint: str = "", severity: Severity = Severity.ERROR) -> None:
        self.found.append(Finding(at, severity, text, hint))

    def _check_body(self, body: Body, where: _Place) -> None:
        for statement in body:
            self._check(statement, where)

    def _check(self, statement: Statement, where: _Place) -> None:
        self._check_arguments(statement, where)
        at = statement.at
        match statement:
            case Line():
                self._check_line(statement, where)
            case Assignment(_, _, operator, value):
                self._check_value(at, operator, value)
            case InlineIf(_, condition, _) | If(_, condition, _, _) | While(_, condition, _):
                self._check_maths(at, condition, "condition")
            case For(_, arguments, _):
                words = words_of(arguments)
                if not any(not word.fixed for word in words) and not 3 <= len(words) <= 5:
                    self._say(at, "for needs a variable, a start and a stop", "for NAME START STOP [STEP] [-incl]")
            case ForEach(_, "", _):
                self._say(at, "foreach needs a variable", "foreach NAME WORD…")
            case MacroBlock(_, arguments, _):
                words = words_of(arguments)
                if words and self._taken(words[0].text):
                    self._say(at, f"{words[0].text} is a command: no macro can have its name")
            case TaskExit():
                self.found += check_exit(statement)
        if where.kind == "task" and not isinstance(statement, Line | TaskExec | TaskExit):
            self._say(at, "only settings may stand directly in a task", "statements belong into task.exec or task.exit")
        for body in inside(statement):
            self._check_body(body, _inner_place(statement, where))

    def _check_arguments(self, statement: Statement, where: _Place) -> None:
        """`$1` outside of a macro."""
        if where.has_arguments:
            return
        at = statement.at
        for text, columns in texts(statement):
            for match in VARIABLE.finditer(text):
                more, ask, name = match.groups()
                if name.isdigit() and not (more or ask):
                    here = Position(at.file, at.line, at.column + columns + match.start())
                    self._say(here, f"${name} is an argument of a macro, and this is none")

    def _check_maths(self, at: Position, text: str, what: str) -> None:
        problem = maths_problem(text)
        if problem:
            severity = Severity.WARNING if "$" in text else Severity.ERROR
            self._say(at, f"the {what} {text} cannot be computed: {problem}", severity=severity)

    def _check_value(self, at: Position, operator: str, value: str) -> None:
        if operator in {"+=", "-="}:
            self._check_maths(at, value, "value")
        elif _DATE.fullmatch(value):
            text = f"{value} is computed: the dashes are taken for minus"
            self._say(at, text, "put it in double quotes", Severity.WARNING)

    def _check_line(self, line: Line, where: _Place) -> None:
        for offset, expression in braces(line.text):
            here = Position(line.at.file, line.at.line, line.at.column + offset)
            self._check_maths(here, expression, "expression")
        words = words_of(line.text)
        if not words or words[0].dynamic or words[0].text.startswith("#"):
            return
        if where.kind == "task":
            wrong = check_task_line(line)
            self.found += wrong
            name = "" if wrong else words[0].text.lower()
        else:
            name = self._command(line.at, words[0])
        command = self.commands.get(name)
        if command is None or (name in self.macros and where.kind != "task"):
            return
        self._check_count(line.at, command, words)
        self.found += check_setting(line.at, name, words[1:])
        if name == "periods" and where.kind in ("file", "macro"):
            self.tasks.periods_outside = True
        if command.where == "task" and where.kind in {"file", "exit"}:
            self._say(line.at, f"{name}: not defining or running a task here")
        if name == "book":
            self._check_book(line.at, words[1:2])

    def _command(self, at: Position, word: Word) -> str:
        names = self._meant(word.text)
        if len(names) == 1:
            return names[0]
        if names:
            self._say(at, f"ambiguous command: {word.text} ( {' '.join(names)} )")
            return ""
        close = get_close_matches(word.text, [*self.commands, *self.macros, *_BLOCK_WORDS], 1)
        hint = f"did you mean {close[0]}?" if close else ""
        if self.complete:
            self._say(at, f"{word.text}: Command not found.", hint)
        else:
            hint = hint or "a file that could not be looked at may define it"
            self._say(at, f"{word.text}: Command not found.", hint, Severity.WARNING)
        return ""

    def _check_count(self, at: Position, command: Command, words: list[Word]) -> None:
        """Too many words are too many whatever the others hold; too few only where each is one word."""
        given = words[1:]
        certain = sum(1 for word in given if word.fixed)
        usage = f"USAGE: {command.usage}"
        if command.most is not None and certain > command.most:
            self._say(
                place(at, given[-1]),
                f"{command.name} takes at most {count(command.most, 'word')}, not {certain}",
                usage,
            )
        elif certain == len(given) < command.least:
            self._say(at, f"{command.name} needs at least {count(command.least, 'word')}, not {certain}", usage)

    def _check_book(self, at: Position, words: list[Word]) -> None:
        for word in words:
            if not word.dynamic and word.text not in BOOK_FORMS:
                close = get_close_matches(word.text, BOOK_FORMS, 1)
                hint = f"did you mean {close[0]}?" if close else f"one of {' '.join(BOOK_FORMS)}"
                self._say(place(at, word), f"book: unknown form {word.text}", hint)


def _inner_place(statement: Statement, where: _Place) -> _Place:
    match statement:
        case MacroBlock():
            return _Place("macro", True)
        case TaskBlock():
            return _Place("task", where.has_arguments)
        case TaskExec():
            return _Place("exec")
        case TaskExit():
            return _Place("exit")
    return _Place("block" if where.kind == "task" else where.kind, where.has_arguments)
