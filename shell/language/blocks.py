"""The loops `for`, `foreach` and `while`, and the block `list NAME … end`. Made by `compiling.py`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from shell.language.assigning import Condition
from shell.language.calls import Call, Failure
from shell.language.commands.lists import set_list
from shell.language.expansion import NAME, words_of
from shell.language.interpreter import Compiled, Result, run_passes
from shell.language.mathematics import MathsError, evaluate, format_number, number_of
from shell.language.runs import Run, Value
from shell.language.tree import For, ForEach, ListBlock, While

FOR = "for NAME START STOP [STEP] [-incl]"
FOREACH = "foreach NAME WORD…"


class WhileLoop:
    """Its condition is expanded anew before each pass. That it does not hold at first is no failure."""

    __slots__ = ("_at", "_body", "_holds")

    def __init__(self, node: While, body: Compiled) -> None:
        self._at = node.at
        self._body = body
        self._holds = Condition(node.condition).holds

    def execute(self, run: Run) -> Result:
        return run_passes(run, self._holds, self._body, self._at)


class ForLoop:
    """Counts from START while less than STOP (more, where STEP is negative); `-incl` with STOP. The body may change the
    variable, and the next value follows from what it is then. Afterwards it holds what it had in the last pass."""

    __slots__ = ("_body", "_node")

    def __init__(self, node: For, body: Compiled) -> None:
        self._node = node
        self._body = body

    def execute(self, run: Run) -> Result:
        words = words_of(run, self._node.at, self._node.arguments)
        inclusive = "-incl" in words
        words = [word for word in words if word != "-incl"]
        if len(words) not in (3, 4):
            raise Failure(f"USAGE: {FOR}")
        start, stop, step = (_number(run, word) for word in (*words[1:], "1")[:3])
        if step == 0:
            raise Failure("for: a step of 0 never ends")
        passes = _counter(_variable(words[0]), start, stop, step, inclusive)
        return run_passes(run, passes, self._body, self._node.at)


def _counter(name: str, start: float, stop: float, step: float, inclusive: bool) -> Callable[[Run], bool]:
    """What sets the variable for each pass, and says whether there is one."""
    value: Any = start
    written: Value | None = None

    def passes(run: Run) -> bool:
        nonlocal value, written
        if written is not None:
            found = run.look_up(name)
            value = (value if found is written else _counted(name, found)) + step
        if value.__class__ is int:
            shown: Value = value
        else:
            shown = format_number(value)
            value = float(shown)  # so that tenths add up to what they are shown as
        if not (value < stop if step > 0 else value > stop) and not (inclusive and value == stop):
            return False
        written = shown
        run.set(name, shown)
        return True

    return passes


def _counted(name: str, found: Value | None) -> float:
    number = found if isinstance(found, int) else number_of(found or "")
    if number is None:
        raise Failure(f"for: ${name} is no number any more")
    return number


def _number(run: Run, word: str) -> float:
    try:
        value = evaluate(word, run.language.random)
    except MathsError:
        value = word
    if isinstance(value, str) or not math.isfinite(value):
        raise Failure(f"for: {word} is no number")
    return value


def _variable(word: str) -> str:
    if NAME.fullmatch(word) is None:
        hint = f"write {word[1:]}, without $" if word.startswith("$") else ""
        raise Failure(f"{word} is no name of a variable", hint=hint)
    return word


class ForEachLoop:
    """One pass for each word."""

    __slots__ = ("_body", "_node")

    def __init__(self, node: ForEach, body: Compiled) -> None:
        self._node = node
        self._body = body

    def execute(self, run: Run) -> Result:
        words = words_of(run, self._node.at, self._node.arguments)
        if not words:
            raise Failure(f"USAGE: {FOREACH}")
        name = _variable(words[0])
        left: Iterator[str] = iter(words[1:])

        def passes(run: Run) -> bool:
            word = next(left, None)
            if word is None:
                return False
            run.set(name, word)
            return True

        return run_passes(run, passes, self._body, self._node.at)


class ListNode:
    """`list NAME … end`: the elements as they are written."""

    __slots__ = ("_node",)

    def __init__(self, node: ListBlock) -> None:
        self._node = node

    def execute(self, run: Run) -> Result:
        node = self._node
        call = Call(run.language, run, node.at, ["list", *words_of(run, node.at, node.arguments)])
        excel = call.flag("-excel")
        (name,) = call.arguments(1, 1, "list NAME [-excel] … end")
        set_list(call, name, node.elements, excel=excel)
        run.variables["STATUS"] = 1
        return None
