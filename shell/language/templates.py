"""Lines read once: texts with references to variables, for statements that run often.

A template is a shortcut for `expansion.py` and means the same: where a value is more than plain text in its place (it
holds `$`, quotes, a backslash, braces; blanks or parentheses outside of quotes), or the text is too clever to be read
once, `TextualError` sends the caller there. Made by `compiling.py`. A reference is a function of the run; it raises
Failure for a variable that there is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from shell.language.calls import Data, Failure, Mixed
from shell.language.expansion import (
    FIRST_MARK,
    MARK,
    MARKS_MOST,
    NAME,
    SHORT_NAME,
    find_braces,
    mark,
    split_words,
    without_backslashes,
)
from shell.language.mathematics import (
    CompiledExpression,
    MathsError,
    NotPlainError,
    Slot,
    compile_template,
    format_number,
)
from shell.language.runs import Run, Value

Reference = Callable[[Run], Value]
Parts = list[str | Reference]
WordMaker = Callable[[Run], str]

PLAIN_IN_WORD = re.compile(r'[\s"$\\{()]')
PLAIN_IN_QUOTES = re.compile(r'["$\\{]')


class TextualError(Exception):
    """The line must be expanded as text."""


# references


def read_template(text: str) -> Parts:
    """A text as literal pieces and references. Raises TextualError."""
    parts: Parts = []
    start = 0
    while (place := text.find("$", start)) >= 0:
        if place > start:
            parts.append(text[start:place])
        reference, start = _reference(text, place, NAME)
        if reference is None:
            parts.append(text[place:start])
        else:
            parts.append(reference)
    if start < len(text):
        parts.append(text[start:])
    return parts


def target_of(target: str) -> str | Callable[[Run], str]:
    """What `$target = …` sets: a name, or a function that gives it. Raises TextualError."""
    if "$" not in target:
        return target
    name, stop = _name(f"${target}", 0, NAME)
    if stop <= len(target) or isinstance(name, str):
        raise TextualError
    return name


def _reference(text: str, place: int, pattern: re.Pattern[str]) -> tuple[Reference | None, int]:
    """The reference at a `$`, and the place behind it; None: it is ordinary text."""
    asked = text.startswith("?", place + 1)
    name, stop = _name(text, place + asked, pattern)
    if not name:
        if text.startswith("$", stop):
            raise TextualError
        return None, stop
    if asked:
        return (_exists(name) if isinstance(name, str) else _named_exists(name)), stop
    return (_variable(name) if isinstance(name, str) else _named(name)), stop


def _name(text: str, place: int, pattern: re.Pattern[str]) -> tuple[str | Callable[[Run], str], int]:
    """The name that begins behind `place`; a variable glued to its end belongs to it."""
    found = pattern.match(text, place + 1)
    assert found is not None
    name, stop = found.group(), found.end()
    if not text.startswith("$", stop):
        return name, stop
    if pattern is SHORT_NAME or text.startswith(("$$", "$?"), stop):
        raise TextualError
    # behind $$ a name stops at a colon, and what follows belongs to the outer one
    inner, stop = _reference(text, stop, SHORT_NAME if text[stop - 1] == "$" else NAME)
    if inner is None:
        raise TextualError
    rest = pattern.match(text, stop)
    assert rest is not None
    if text.startswith("$", rest.end()):
        raise TextualError
    return _glued(name, inner, rest.group()), rest.end()


def _glued(before: str, inner: Reference, behind: str) -> Callable[[Run], str]:
    def name_of(run: Run) -> str:
        value = inner(run)
        if value.__class__ is int:
            if value < 0:
                raise TextualError
            return f"{before}{value}{behind}"
        if value.__class__ is not str or not value or NAME.fullmatch(value) is None:
            raise TextualError
        return f"{before}{value}{behind}"

    return name_of


def _variable(name: str) -> Reference:
    if name.isdecimal():
        return lambda run: run.value(name)

    def value_of(run: Run) -> Value:
        if run.locals and name in run.locals:
            return run.locals[name]
        try:
            return run.variables[name]
        except KeyError:
            raise run.missing(name) from None

    return value_of


def _named(name_of: Callable[[Run], str]) -> Reference:
    return lambda run: run.value(name_of(run), glued=True)


def _exists(name: str) -> Reference:
    return lambda run: 1 if run.look_up(name) is not None else 0


def _named_exists(name_of: Callable[[Run], str]) -> Reference:
    return lambda run: 1 if run.look_up(name_of(run)) is not None else 0


# mathematics


class Expression:
    """A compiled expression and the references that are its values."""

    __slots__ = ("compiled", "references", "text")

    def __init__(self, compiled: CompiledExpression, references: Sequence[Reference], text: str) -> None:
        self.compiled = compiled
        self.references = references
        self.text = text

    def values(self, run: Run) -> list[Value]:
        """What the slots stand for. Raises TextualError where a value has parts, of which each is read by itself."""
        values = [reference(run) for reference in self.references]
        for value in values:
            if value.__class__ is Mixed:
                raise TextualError
        return values


def read_expression(text: str) -> Expression | None:
    """A text with variables as an expression; None: it is none, or only its expansion can tell."""
    if "\\" in text or "{" in text or "\0" in text:
        return None
    try:
        parts = read_template(text)
    except TextualError:
        return None
    return expression_of(parts, text)


def expression_of(parts: Parts, text: str) -> Expression | None:
    """As `read_expression`, of a template."""
    references = [part for part in parts if not isinstance(part, str)]
    places = iter(range(len(references)))
    compiled = compile_template([part if isinstance(part, str) else Slot(next(places)) for part in parts])
    return None if compiled is None else Expression(compiled, references, text)


def _braces(expression: Expression) -> Reference:
    def value_of(run: Run) -> str:
        try:
            value = expression.compiled.evaluate(expression.values(run), run.language.random)
        except (NotPlainError, MathsError):
            raise TextualError from None  # what is wrong is said there
        if isinstance(value, str):
            raise TextualError
        return format_number(value)

    return value_of


# words


def read_words(text: str) -> list[str | WordMaker]:
    """A line as its words, each a text or a function that makes it (an empty answer: the word vanishes).

    Raises TextualError when only the expansion can tell where words begin.
    """
    if MARK.search(text) is not None:
        raise TextualError
    parts = read_template(text)
    references = [part for part in parts if not isinstance(part, str)]
    if len(references) > MARKS_MOST // 2:
        raise TextualError
    places = iter(range(len(references)))
    marked = "".join([part if isinstance(part, str) else mark(next(places)) for part in parts])
    if "{" in marked:
        marked = _read_braces(marked, references)
    marked = without_backslashes(marked)
    words, wrong = split_words(marked)
    if wrong:
        raise TextualError
    # In a line with parentheses or quotes a value might be in or outside of them: be strict about all of its values.
    quoted = '"' in marked and "(" not in marked and _only_in_quotes(marked)
    special = PLAIN_IN_QUOTES if quoted else PLAIN_IN_WORD
    return [_word(word, references, special) for word in words]


def _only_in_quotes(marked: str) -> bool:
    """Whether every value of a line stands inside of quotes."""
    return all(MARK.search(piece) is None for piece in marked.split('"')[::2])


def _read_braces(marked: str, references: list[Reference]) -> str:
    """Put a reference in place of each `{…}`; the references inside of it belong to that one."""
    try:
        braces = find_braces(marked)
    except Failure:
        raise TextualError from None
    pieces: list[str] = []
    start = 0
    for begin, stop in braces:
        expression = expression_of(_unmarked(marked[begin + 1 : stop - 1], references), marked[begin + 1 : stop - 1])
        if expression is None or "\\" in expression.text or "\0" in expression.text:
            raise TextualError
        references.append(_braces(expression))
        pieces += (marked[start:begin], mark(len(references) - 1))
        start = stop
    return "".join(pieces) + marked[start:]


def _unmarked(text: str, references: Sequence[Reference]) -> Parts:
    parts: Parts = []
    start = 0
    for found in MARK.finditer(text):
        if found.start() > start:
            parts.append(text[start : found.start()])
        parts.append(references[ord(found.group()) - FIRST_MARK])
        start = found.end()
    if start < len(text):
        parts.append(text[start:])
    return parts


def _word(text: str, references: Sequence[Reference], special: re.Pattern[str]) -> str | WordMaker:
    parts = _unmarked(text, references)
    if all(isinstance(part, str) for part in parts):
        return text
    if len(parts) == 1:
        return _single(parts[0], special.search)
    return _joined(parts, special.search)


def _single(reference: Any, special: Callable[[str], Any]) -> WordMaker:
    def word_of(run: Run) -> str:
        value = reference(run)
        if value.__class__ is int:
            return str(value)
        if value.__class__ is str:
            if value.isalnum() or not special(value):
                return value
            raise TextualError
        return opaque(value)

    return word_of


def _joined(parts: Parts, special: Callable[[str], Any]) -> WordMaker:
    def word_of(run: Run) -> str:
        texts: list[str] = []
        plain = True
        for part in parts:
            if part.__class__ is str:
                texts.append(part)
                continue
            value = part(run)  # type: ignore[operator]
            if value.__class__ is int:
                texts.append(str(value))
            elif value.__class__ is not str:
                texts.append(opaque(value))
                plain = False
            elif value.isalnum() or not special(value):
                texts.append(value)
            else:
                raise TextualError
        return "".join(texts) if plain else Mixed(texts)

    return word_of


def opaque(value: Any) -> str:
    """What a job wrote, as a word of its own. The author's parts of a mixed text must be looked at again."""
    if isinstance(value, Mixed):
        raise TextualError
    return value if isinstance(value, Data) else str(int(value))
