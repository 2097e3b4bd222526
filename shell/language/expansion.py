"""Expansion of a line as text: variables, `{…}`, backslashes, words. What every line means; `templates.py` only does it
faster.

The order is the language's: all variables from the right, again and again until none is left (so values are expanded
again, and `$list:$i` becomes `$list:3` and then its value); then `{…}` is worked out; then backslashes go; then words
are split. What a job wrote (`Data`) takes part as one character that stands for it (`Marked`), so nothing in it can be
parsed.

Called by the interpreter where the fast way does not fit, and by commands and the task block with `expand_words`.
Nothing here runs a command.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from shell.language.calls import Data, Failure, Mixed
from shell.language.language import Language
from shell.language.lines import BLANKS, closing
from shell.language.mathematics import MathsError, NotPlainError, Slot, compile_template, evaluate, format_number
from shell.language.runs import Run, Value
from shell.language.tree import Position

TEXT_MOST = 16 * 1024 * 1024
"""Characters of an expanded line, and of a value."""
EXPANSIONS_MOST = 100_000
"""Variables in one line, those in values included; more means that a value holds its own name."""
MARKS_MOST = 1024
"""Values of jobs in one line."""

FIRST_MARK = 0xD800
"""Marks are high surrogates: no text that was read from anywhere can hold them."""
MARK = re.compile("[\ud800-\udbff]")
NAME = re.compile(r"[A-Za-z0-9_:]*")
SHORT_NAME = re.compile(r"[A-Za-z0-9_]*")
_PROTECTED = re.compile(r"\\(.?)", re.DOTALL)
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)
_BLANK_RUN = re.compile(rf"[{BLANKS}\n]+")
_BARE = re.compile(rf'[^{BLANKS}\n"]+')


class Marked(NamedTuple):
    """A text and the values that its marks stand for."""

    text: str
    values: list[Data]


def mark(place: int) -> str:
    """The character that stands for value number `place`."""
    return chr(FIRST_MARK + place)


# variables


def expand(run: Run, text: str) -> Marked:
    """Replace all variables. Raises Failure for one that there is not, or when it does not end."""
    if "$" not in text:
        return Marked(text, [])
    return _Expander(run).expand(text)


def expand_target(run: Run, target: str) -> str:
    """The name that `$target = …` sets: `target` is without its first `$`, which is not expanded."""
    if "$" not in target:
        return target
    marked = _Expander(run).expand(target, target_of="$")
    if marked.values or not marked.text or NAME.fullmatch(marked.text) is None:
        raise Failure(f"${target} is no variable: '{unmark(marked.text, marked.values)}' is no name")
    return marked.text


class _Expander:
    """`left` is still to be looked through, from its end; `right` is settled, as pieces, the nearest last."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.values: list[Data] = []
        self.right: list[str] = []
        self.size = 0

    def expand(self, text: str, target_of: str = "") -> Marked:
        left = target_of + text
        self.size = len(left)
        for _ in range(EXPANSIONS_MOST):
            place = left.rfind("$", len(target_of))
            if place < 0:
                return Marked(left[len(target_of) :] + "".join(reversed(self.right)), self.values)
            left, head = left[:place], left[place + 1 :]
            left += self._replace(head, doubled=left.endswith("$"))
        raise Failure(f"a line with more than {EXPANSIONS_MOST} variables", hint="does a value hold its own name?")

    def _replace(self, head: str, *, doubled: bool) -> str:
        """What the `$` before `head` becomes, to be looked through again; the rest is settled."""
        asked = head.startswith("?")
        first = head[1:] if asked else head
        name, rest = self._name(first, SHORT_NAME if doubled else NAME)
        if not name:
            self._settle(rest)
            self._settle("$?" if asked else "$")
            return ""
        self._settle(rest)
        if asked:
            return "1" if self.run.look_up(name) is not None else "0"
        return self._shown(self.run.value(name, glued=len(name) > len(first)), len(name))

    def _name(self, head: str, pattern: re.Pattern[str]) -> tuple[str, str]:
        """The name that begins here, which may go on in what is settled; and what of the pieces looked at is behind
        it.
        """
        found = pattern.match(head)
        assert found is not None
        name = found.group()
        rest = head[found.end() :]
        while not rest and self.right:
            piece = self.right.pop()
            found = pattern.match(piece)
            assert found is not None
            name += found.group()
            rest = piece[found.end() :]
        return name, rest

    def _settle(self, text: str) -> None:
        if text:
            self.right.append(text)

    def _shown(self, value: Value, instead_of: int) -> str:
        text = self._marked(value)
        self.size += len(text) - instead_of - 1
        if self.size > TEXT_MOST:
            raise Failure(f"an expanded line of more than {TEXT_MOST} characters")
        return text

    def _marked(self, value: Value) -> str:
        if isinstance(value, Mixed):
            return "".join([self._marked(part) for part in value.parts])
        if not isinstance(value, Data):
            return str(value)
        if len(self.values) == MARKS_MOST:
            raise Failure(f"more than {MARKS_MOST} outputs of jobs in one line")
        self.values.append(value)
        return mark(len(self.values) - 1)


# what marks stand for


def unmark(text: str, values: list[Data]) -> str:
    """A text with its values put back: `Data` if it is nothing else, `Mixed` if it holds some."""
    if not values or MARK.search(text) is None:
        return text
    parts: list[str] = []
    start = 0
    for found in MARK.finditer(text):
        parts.append(text[start : found.start()])
        parts.append(values[ord(found.group()) - FIRST_MARK])
        start = found.end()
    parts = [part for part in (*parts, text[start:]) if part or isinstance(part, Data)]
    return parts[0] if len(parts) == 1 else Mixed(parts)


def worth(run: Run, text: str, values: list[Data]) -> int | float | str:
    """The value of an expression in which every variable was replaced. Raises MathsError."""
    if not values or MARK.search(text) is None:
        return evaluate(text, run.language.random)
    if "\0" in text:
        raise MathsError("a NUL character is no mathematics")
    cut = MARK.split(text)
    slots = MARK.findall(text)
    parts: list[str | Slot] = [cut[0]]
    for index, piece in enumerate(cut[1:]):
        parts += (Slot(index), piece)
    template = compile_template(parts)
    if template is None:
        raise MathsError("the output of a job stands where it cannot be a value")
    try:
        return template.evaluate([values[ord(slot) - FIRST_MARK] for slot in slots], run.language.random)
    except NotPlainError:
        raise MathsError("the output of a job stands where it cannot be a value") from None


# braces and backslashes


def find_braces(text: str) -> list[tuple[int, int]]:
    """Where `{…}` stands: (place of `{`, place behind `}`), from left to right. Raises Failure for a `{` that is not
    closed.
    """
    found: list[tuple[int, int]] = []
    start = -1
    for match in _BRACES.finditer(text):
        brace = match.group()
        if brace == "{":
            if start >= 0:
                raise Failure("{ inside of {…}", hint="write \\{ for a brace that is text")
            start = match.start()
        elif brace == "}" and start >= 0:
            found.append((start, match.end()))
            start = -1
    if start >= 0:
        raise Failure("{ without }", hint="write \\{ for a brace that is text")
    return found


def work_out_braces(run: Run, marked: Marked) -> str:
    """Replace each `{expression}` by its value. Raises Failure for what is no mathematics."""
    text = marked.text
    pieces: list[str] = []
    start = 0
    for begin, stop in find_braces(text):
        expression = text[begin + 1 : stop - 1]
        pieces += (text[start:begin], braces_text(expression, worth_or_failure(run, expression, marked.values)))
        start = stop
    return "".join(pieces) + text[start:]


def worth_or_failure(run: Run, expression: str, values: list[Data]) -> int | float | str:
    """As `worth`, with the failure of a statement."""
    try:
        return worth(run, expression, values)
    except MathsError as error:
        raise Failure(f"cannot work out {shortened(unmark(expression, values))}: {error}", hint=error.hint) from None


def braces_text(expression: str, value: float | str) -> str:
    """What stands for `{expression}`: its value, which must be a number."""
    if isinstance(value, str):
        hint = (
            "there is no ${name}: write $name" if NAME.fullmatch(expression) else "write \\{ for a brace that is text"
        )
        raise Failure(f"{{{shortened(expression)}}} is no number", hint=hint)
    return format_number(value)


def shortened(text: str) -> str:
    """A text as an error sentence repeats it."""
    return text if len(text) <= 60 else text[:57] + "..."


def without_backslashes(text: str) -> str:
    """Backslashes go, the character behind each stays."""
    return _PROTECTED.sub(r"\1", text) if "\\" in text else text


# words


def split_words(text: str) -> tuple[list[str], str]:
    """The words of a line, and what was wrong with it (empty: nothing).

    Words are split at blanks. `"…"` is one word without its quotes, and vanishes when it is empty; `( … )` at the start
    of a word is one word with its parentheses; what follows either at once is the next word. A quote inside a word
    begins quoted text up to the next quote, which belongs to the word and ends it. A word with a quote that is not
    closed is dropped.
    """
    if '"' not in text and "(" not in text:
        return [word for word in _BLANK_RUN.split(text) if word], ""
    words: list[str] = []
    place, size = 0, len(text)
    wrong = ""
    while True:
        blanks = _BLANK_RUN.match(text, place)
        place = blanks.end() if blanks is not None else place
        if place >= size:
            return words, wrong
        if text[place] == "(" and (stop := closing(text, place)) >= 0:
            words.append(text[place : stop + 1])
            place = stop + 1
            continue
        bare = _BARE.match(text, place)
        word = "" if bare is None else bare.group()
        place += len(word)
        if text.startswith('"', place):
            stop = text.find('"', place + 1)
            if stop < 0:
                return words, "misbalanced quotes"
            word += text[place + 1 : stop]
            place = stop + 1
        if word:
            words.append(word)


def words_of(run: Run, at: Position, text: str) -> list[str]:
    """All steps: a line as words. Tells of misbalanced quotes; raises Failure for what cannot be expanded."""
    marked = expand(run, text)
    text = work_out_braces(run, marked) if "{" in marked.text else marked.text
    words, wrong = split_words(without_backslashes(text))
    if wrong:
        run.language.complain(run, f"{at}: {wrong}")
    if not marked.values:
        return words
    return [unmark(word, marked.values) for word in words]


def expand_words(language: Language, run: Run, at: Position, text: str) -> list[str]:
    """As `words_of`, for the lines of a task block and of commands."""
    assert run.language is language
    return words_of(run, at, text)
