"""One piece of a line: which statement it is, or which block it opens.

Called by `parsing.py`, which knows the blocks that are open. Whatever the text is, the answer is a statement, an
`Opening` or a `Malformed`; nothing is raised. The words of a command are not looked at: they are split when it runs,
behind the expansion. What stands inside of a condition or a value does not belong here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from shell.language.lines import BLANKS, closing, uncommented
from shell.language.tree import Assignment, InlineIf, Line, Malformed, Position, Statement

DEPTH_MOST = 200
"""Blocks and inline conditions inside of one another."""
MACRO_VERBS = frozenset({"create", "delete", "list", "edit", "read", "write"})
"""What may stand behind `macro` instead of a name."""

_BLANK = r"[ \t\r\f\v]"
_NAME_ENDS = r"(?![A-Za-z0-9_.:])"
_WORD = re.compile(rf"[A-Za-z.]+(?={_BLANK}|\(|\Z)")
_FIRST = re.compile(r"[^ \t\r\f\v]*")
_BLANKS = re.compile(rf"{_BLANK}*")
_ASSIGNMENT = re.compile(rf"\$(\$*[A-Za-z0-9_:][A-Za-z0-9_:$]*){_BLANK}*(\+\+|--|\+=|-=|=(?!=))")
_BARE_CONDITION = re.compile(rf"[^ \t\r\f\v\"`()]+(?={_BLANK}|\Z)")
_OPERATOR = re.compile(r"==|!=|<=|>=|&&|\|\||<<|>>|[<>&|+*/%^@=]")
_END = re.compile(rf"end(?:if|for|foreach|while|macro|task|list)?{_NAME_ENDS}", re.IGNORECASE)
_ELSE = re.compile(rf"(?:else?if|else){_NAME_ENDS}", re.IGNORECASE)
_ELSE_IF = re.compile(rf"(?:else?if|else{_BLANK}+if){_NAME_ENDS}", re.IGNORECASE)

# Block words may be abbreviated where no command begins alike. (`whi` may be `which`, but that has no parenthesis
# behind it.)
_OPENERS = {
    **{word: word for word in ("if", "for", "foreach", "while", "list", "macro", "task", "task.exec", "task.exit")},
    **dict.fromkeys(("whi", "whil"), "while"),
    **dict.fromkeys(("fore", "forea", "foreac"), "foreach"),
    **dict.fromkeys(("mac", "macr"), "macro"),
    "lis": "list",
}
# Commands where ` # …` behind the words is a comment: their words never begin with `#`.
_COMMENTED = frozenset({"set", "periods", "nmax", "npending", "trange", "active", "nice", "host"}) | frozenset(
    {"break", "last", "next", "return", "continue", "local", "run", "stop", "halt", "input", "module"}
)


@dataclass(frozen=True, slots=True)
class Opening:
    """A piece that opens a block. `problem`: the block cannot run, and this is why (its `end` is waited for all the
    same)."""

    kind: str
    arguments: str
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """What a piece is. `commented`: a comment ended it, and what follows a `;` on its line belongs to the comment.
    `wrong`: the Malformed that it is or holds, with a hint."""

    what: Statement | Opening
    commented: bool = False
    wrong: Malformed | None = None
    hint: str = ""


class _Condition(NamedTuple):
    """A condition, and where the text behind it begins. With a problem, and the rest at the end: it was meant as a
    block."""

    text: str
    rest: int
    problem: str = ""
    hint: str = ""


def is_end(text: str) -> bool:
    """Whether a line closes the block that is open: three letters count, as in the original (`endif`, `END`)."""
    return text[:3].lower() == "end"


def is_else(text: str) -> bool:
    """Whether a line is the `else` of the `if` block that is open: four letters count."""
    return text[:4].lower() == "else" or _ELSE.match(text) is not None


def else_problem(text: str) -> tuple[str, str]:
    """What is wrong with the `else` line of an if block, and a hint; empty: nothing."""
    if _ELSE_IF.match(text):
        return "there is no elseif", "write else, and an if block of its own inside"
    if text[4:5] in BLANKS and uncommented(text)[4:].strip(BLANKS):
        return "nothing may stand behind else", "put it on the next line"
    return "", ""


def stray(text: str) -> str:
    """What is wrong with a line that would close or split a block where none is open; empty: it is no such line."""
    if _END.match(text):
        return "end without a block"
    return "else outside of an if block" if _ELSE.match(text) else ""


def read_piece(text: str, at: Position, depth: int) -> Piece:
    """`text` (not empty, no blanks around it) as a statement or opening. `depth`: blocks around it."""
    return _conditions(text, at, depth) if text.startswith("if") else _simple(text, at)


def _conditions(text: str, at: Position, depth: int) -> Piece:
    """`if (a) if (b) statement`; a loop, since one line may hold a hundred thousand of them."""
    found: list[tuple[Position, str]] = []
    start = 0
    while True:
        here = Position(at.file, at.line, at.column + start)
        word = _WORD.match(text, start)
        if word is None or word.group() != "if":
            inner = _behind_condition(text[start:], here) if found else _simple(text, here)
            break
        condition = _condition(text, word.end())
        if condition.rest == len(text) or text[condition.rest] == "#":
            opening = Opening("if", condition.text, condition.problem, condition.hint)
            inner = Piece(opening, condition.rest < len(text))
            break
        if condition.problem:
            inner = _wrong(here, text[start:], condition.problem, condition.hint)
            break
        found.append((here, condition.text))
        start = condition.rest
        if len(found) + depth > DEPTH_MOST:
            return _wrong(at, text, f"conditions and blocks nested deeper than {DEPTH_MOST}")
    return _wrapped(found, inner)


def _wrapped(conditions: list[tuple[Position, str]], inner: Piece) -> Piece:
    """What stands behind the conditions, with them around it."""
    if not conditions:
        return inner
    if isinstance(inner.what, Opening):
        problem = inner.what.problem or f"a block ({inner.what.kind}) cannot stand behind a condition"
        hint = inner.what.hint or "put it on a line of its own, inside of an if block"
        return Piece(Opening(inner.what.kind, "", problem, hint), inner.commented)
    statement: Statement = inner.what
    for at, condition in reversed(conditions):
        statement = InlineIf(at, condition, statement)
    return Piece(statement, inner.commented, inner.wrong, inner.hint)


def _wrong(at: Position, text: str, problem: str, hint: str = "") -> Piece:
    malformed = Malformed(at, text, problem, hint)
    return Piece(malformed, wrong=malformed, hint=hint)


def _behind_condition(text: str, at: Position) -> Piece:
    if _END.match(text) or _ELSE.match(text):
        return _wrong(at, text, "end and else cannot stand behind a condition", "put it on a line of its own")
    return _simple(text, at)


def _condition(text: str, start: int) -> _Condition:
    """The condition that begins at `start` or behind blanks there: `( … )`, or one plain word such as `$dry`."""
    size = len(text)
    start = _past_blanks(text, start)
    if start == size or text[start] == "#":
        return _Condition("", size, "the condition is missing", "write it in parentheses")
    if text[start] == "(":
        stop = closing(text, start) + 1
        if not stop:
            behind = uncommented(text).rpartition(")")
            rest = start if behind[1] and behind[2].strip(BLANKS) else size
            return _Condition("", rest, "the parentheses of the condition are not balanced", "a ) is missing")
    else:
        word = _BARE_CONDITION.match(text, start)
        if word is None:
            return _Condition("", start, "the condition is not in parentheses", "write it in parentheses")
        stop = word.end()
    rest = _past_blanks(text, stop)
    if text.startswith(")", rest):
        rest = rest if uncommented(text[rest:]).strip(BLANKS + ")") else size
        return _Condition("", rest, "the parentheses of the condition are not balanced", "a ) is too many")
    operator = _OPERATOR.match(text, rest)
    if operator is not None:
        rest = size if _is_one_operand(uncommented(text[operator.end() :]).strip(BLANKS)) else rest
        return _Condition("", rest, f"the condition ends before {operator.group()}", "put all of it in parentheses")
    return _Condition(text[start:stop], rest)


def _is_one_operand(text: str) -> bool:
    if text.startswith("("):
        return closing(text, 0) == len(text) - 1
    return _FIRST.match(text, 0).end() == len(text)  # type: ignore[union-attr]  # it matches the empty text, too


def _past_blanks(text: str, start: int) -> int:
    return _BLANKS.match(text, start).end()  # type: ignore[union-attr]  # the same


def _simple(text: str, at: Position) -> Piece:
    """Everything that is no condition."""
    if text.startswith("$"):
        assignment = _assignment(text, at)
        if assignment is not None:
            return assignment
    if text.startswith("!"):
        return Piece(Line(at, f"exec {text[1:].lstrip(BLANKS)}".rstrip(BLANKS)))
    match = _WORD.match(text)
    if match is None:
        return Piece(Line(at, text))
    word = match.group()
    kind = _block_kind(word, text)
    if kind:
        bare = uncommented(text)
        opening = _opening(kind, bare[len(word) :].strip(BLANKS))
        return Piece(Line(at, text)) if opening is None else Piece(opening, len(bare) < len(text))
    if word.lower() in _COMMENTED:
        bare = uncommented(text)
        return Piece(Line(at, bare), len(bare) < len(text))
    return Piece(Line(at, text))


def _assignment(text: str, at: Position) -> Piece | None:
    match = _ASSIGNMENT.match(text)
    if match is None:
        return None
    bare = uncommented(text)
    target, operator = match.groups()
    value = bare[match.end() :].strip(BLANKS)
    if operator in {"++", "--"} and value:
        return None  # `$tool --verbose`: the variable holds a command
    return Piece(Assignment(at, target, operator, value), len(bare) < len(text))


def _block_kind(word: str, text: str) -> str:
    kind = _OPENERS.get(word) or (_OPENERS.get(word.lower(), "") if word[:5].lower() == "task." else "")
    if not kind:
        return ""
    parenthesis = text.startswith("(", _past_blanks(text, len(word)))
    if kind == "while":
        return kind if parenthesis or word == kind else ""
    return "" if text.startswith("(", len(word)) else kind


def _opening(kind: str, arguments: str) -> Opening | None:
    """The block that `kind arguments` opens; None: it is a command (`list x -split …`, `macro delete x`)."""
    first = _FIRST.match(arguments).group()  # type: ignore[union-attr]  # it matches the empty text, too
    behind = arguments[len(first) :].strip(BLANKS)
    match kind:
        case "while":
            return _while(arguments)
        case "list":
            return Opening(kind, arguments) if first and behind in {"", "-excel"} else None
        case "macro":
            return _macro(arguments, first, behind)
        case "task" if not first or first.startswith("-") or (first == "delete" and behind):
            return None
        case "task.exec" if first:
            return Opening(kind, "", "nothing may stand behind task.exec")
        case "task.exit" if not first:
            return Opening(kind, "", "task.exit needs a number, default, crash or timeout")
    return Opening(kind, arguments)


def _while(arguments: str) -> Opening:
    condition = _condition(arguments, 0)
    if condition.problem:
        return Opening("while", "", condition.problem, condition.hint)
    if condition.rest < len(arguments):
        return Opening("while", "", "nothing may stand behind the condition of while", "put it on the next line")
    return Opening("while", condition.text)


def _macro(arguments: str, first: str, behind: str) -> Opening | None:
    if not first or first.startswith("-"):
        return None
    if first not in MACRO_VERBS:
        return Opening("macro", arguments)
    if first != "create":
        return None
    return Opening("macro", behind) if behind else Opening("macro", "", "macro create needs a name")
