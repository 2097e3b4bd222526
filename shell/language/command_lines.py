"""Command lines, ready to be run: words, which command or macro they name, its call.

A line whose words can be read once is run without expansion as text (`templates.py`). The command is looked up again
only when macros came or went. Made by `compiling.py`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

from shell.language.assigning import Assign, assignment
from shell.language.calls import Call, Command, Failure
from shell.language.expansion import NAME, words_of
from shell.language.interpreter import Result, Statement, Steps, call_macro
from shell.language.language import Language, Macro
from shell.language.runs import FirstFailure, Run, Signal
from shell.language.templates import TextualError, WordMaker, read_words
from shell.language.tree import Assignment, Line, Position

BLOCK_WORDS = frozenset({"if", "else", "end", "for", "foreach", "while", "task.exec", "task.exit"})
"""Words that the parser knows; as a command they can only come from a variable."""
_SET = re.compile(r"set\s+([A-Za-z0-9_:$]+)\s*=(?!=)\s*(.*)", re.DOTALL)


def command_line(node: Line) -> Statement:
    """What carries out a command line."""
    # `set` is an assignment whose words have lost their quotes: without any it is one.
    found = _SET.fullmatch(node.text)
    if found is not None and len(found[2]) > 1 and found[2][0] == found[2][-1] == "`":
        return assignment(Assignment(node.at, found[1], "=", found[2]))  # type: ignore[no-any-return]
    if found is not None and not any(mark in node.text for mark in '"{\\`') and not found[1].startswith("$"):
        return Assign(found[1], found[2]).execute
    return _CommandLine(node).execute


class _CommandLine:
    __slots__ = ("_at", "_found", "_name", "_rest", "_text", "_vocabulary", "_words")

    def __init__(self, node: Line) -> None:
        self._at = node.at
        self._text = node.text
        self._vocabulary: object = None
        self._found: Command | Macro | None = None
        self._words: list[str | WordMaker] | None = None
        with suppress(TextualError):  # then as text, each time
            self._words = read_words(node.text)

    def execute(self, run: Run) -> Result:
        at = self._at
        words: list[str]
        if self._words is None:
            words = words_of(run, at, self._text)
        else:
            try:
                words = [word if word.__class__ is str else word(run) for word in self._words]  # type: ignore[operator]
                if "" in words:
                    words = [word for word in words if word or word.__class__ is not str]
            except TextualError:
                words = words_of(run, at, self._text)
        if not words:
            return None
        run.at = at
        found = self._target(run.language, words)
        if found.__class__ is Macro:
            return call_macro(run, found, [found.name, *words[1:]], at)
        words[0] = found.name
        result = found.run(Call(run.language, run, at, words))  # type: ignore[union-attr]
        if result is True:
            run.variables["STATUS"] = 1
            return None
        if found.waits:  # type: ignore[union-attr]
            return waited_for(run, result, at)
        return done(run, result, at)

    def _target(self, language: Language, words: list[str]) -> Command | Macro:
        """What the first word names; looked up once for as long as nothing changes."""
        if self._found is not None and self._vocabulary is language.vocabulary:
            return self._found
        found = look_up(language, words[0], words[1] if len(words) > 1 else "")
        if self._words is not None and self._words[0].__class__ is str:
            self._found = found
            self._vocabulary = language.vocabulary
        return found


def waited_for(run: Run, steps: Any, at: Position) -> Steps:
    """Run a command that waits to its end."""
    result = yield from steps
    return done(run, result, at)


def done(run: Run, result: Any, at: Position) -> Signal | None:
    """What a command's answer means."""
    if isinstance(result, Signal):
        if result is Signal.BROKEN:
            run.variables["STATUS"] = 0
            run.failure = run.failure or FirstFailure(at, "")
            return result
        run.variables["STATUS"] = 1
        return None if result is Signal.OK else result
    if not result:
        return run.note_failure(at)
    run.variables["STATUS"] = 1
    return None


def look_up(language: Language, word: str, behind: str = "") -> Command | Macro:
    """The command or macro that a word names: exactly, or as the only one that begins so. Raises Failure. `behind`:
    the next word, for the hint."""
    found: Command | Macro | None = language.macros.get(word) or language.commands.get(word)
    if found is not None:
        return found
    names = sorted(name for name in {*language.commands, *language.macros} if name.startswith(word))
    targets = {_what(language, name) for name in names}
    if len(targets) == 1:
        return language.macros.get(names[0]) or language.commands[names[0]]
    shown = word if len(word) <= 60 else word[:57] + "..."
    if names:
        raise Failure(f"ambiguous command: {shown} ( {' '.join(names)} )")
    if word in BLOCK_WORDS:
        raise Failure(f"{word} must be written in the script: a variable cannot hold it")
    raise Failure(f"{shown}: Command not found.", hint=_way_out(language, word, behind))


def _way_out(language: Language, word: str, behind: str) -> str:
    """What may have been meant by a word that is no command, with the word `behind` it."""
    if behind.startswith(("=", "+=", "-=", "++", "--")) and NAME.fullmatch(word):
        return f"a variable is set by ${word} {behind[:2]} …"
    name, equals, _ = word.partition("=")
    if equals and NAME.fullmatch(name):
        return f"a variable is set by ${name} = …"
    known = [*language.commands, *language.macros]
    if word.lower() != word and (word.lower() in known or word.lower() in BLOCK_WORDS):
        return f"write {word.lower()}: case counts"
    near = get_close_matches(word[:60], known, 1)
    return f"did you mean {near[0]}?" if near else "`?` lists the commands and macros"


def _what(language: Language, name: str) -> Any:
    """Two names of one command are one."""
    command = None if name in language.macros else language.commands.get(name)
    return name if command is None else command.run
