"""Running compiled statements: bodies, macro calls, what failures and `last` end, slices.

A compiled statement (`compiling.py`) is called with the run. It answers None (done), a `Signal`, or, when it has to
wait or may take long, a generator of effects that ends with one of these. So statements that need no time cost no
generator. The script machine runs everything with `run_body`. What single statements do does not belong here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from types import GeneratorType
from typing import Any

from shell.language.calls import Failure
from shell.language.language import Language, Macro
from shell.language.runs import MACROS_DEEP, SLICE, Run, Signal
from shell.language.tree import Line, Position
from shell.language.tree import Statement as Node

Steps = Generator[Any, Any, Signal | None]
Result = Signal | Steps | None
Statement = Callable[[Run], Result]

RECURSION_LEAST = 6_000
"""Python frames: macros nest `MACROS_DEEP` times, with some blocks in each; the Python default of 1000 is less than
that needs.
"""

if sys.getrecursionlimit() < RECURSION_LEAST:
    sys.setrecursionlimit(RECURSION_LEAST)


class Compiled:
    """A body, ready to be run. `nodes[i]` is what `statements[i]` was made of."""

    __slots__ = ("nodes", "statements")

    def __init__(self, statements: Sequence[Statement], nodes: Sequence[Node]) -> None:
        self.statements = tuple(statements)
        self.nodes = tuple(nodes)


def run_body(language: Language, run: Run, body: Compiled) -> Generator[Any, Any, Signal]:
    """Run statements: yields effects (and is sent their answers), and SLICE now and then.

    Returns how they ended: OK, LAST and NEXT are success, FAILED is not (what was wrong has been told, and is
    `run.failure`). Raises BudgetSpent, and SessionEnds when the session wants to leave.
    """
    assert run.language is language
    result = run_statements(run, body)
    if result.__class__ is GeneratorType:
        result = yield from result
    return closed(result)  # type: ignore[arg-type]


def closed(signal: Signal | None) -> Signal:
    """How a macro or file ended whose statements ended with `signal`."""
    if signal is None:
        return Signal.OK
    return Signal.FAILED if signal is Signal.BROKEN else signal


def run_statements(run: Run, body: Compiled, *, deferring: bool = False) -> Result:
    """Run statements as long as none has to wait; then answer with the generator of all the rest.

    `deferring`: `last` and `next` take effect behind the last statement only (the rule of `if` blocks).
    """
    pending: Signal | None = None
    result: Result
    for place, statement in enumerate(body.statements, 1):
        run.statements += 1
        try:
            result = statement(run)
        except Failure as failure:
            result = failed(run, body.nodes[place - 1], failure)
        except RecursionError:
            result = failed(run, body.nodes[place - 1], _too_deep())
        if result is not None:
            if result.__class__ is GeneratorType:
                return _go_on(run, body, place, deferring, pending, result)
            if deferring and (result is Signal.LAST or result is Signal.NEXT):
                pending = result
            else:
                return result
        if run.statements >= run.pause_at:
            return _go_on(run, body, place, deferring, pending, _pause(run, body.nodes[place - 1].at))
    return pending


def _go_on(run: Run, body: Compiled, place: int, deferring: bool, pending: Signal | None, steps: Steps) -> Steps:
    """The rest of a body, from `steps` of the statement before `place`."""
    result: Result = steps
    while True:
        if result.__class__ is GeneratorType:
            try:
                result = yield from result
            except Failure as failure:
                result = failed(run, body.nodes[place - 1], failure)
            except RecursionError:
                result = failed(run, body.nodes[place - 1], _too_deep())
        if result is not None:
            if not deferring or (result is not Signal.LAST and result is not Signal.NEXT):
                return result  # type: ignore[return-value]
            pending = result
        if run.statements >= run.pause_at:
            run.begin_slice(body.nodes[place - 1].at)
            yield SLICE
        if place == len(body.statements):
            return pending
        statement = body.statements[place]
        place += 1
        run.statements += 1
        try:
            result = statement(run)
        except Failure as failure:
            result = failed(run, body.nodes[place - 1], failure)
        except RecursionError:
            result = failed(run, body.nodes[place - 1], _too_deep())


def _pause(run: Run, at: Position) -> Steps:
    run.begin_slice(at)
    yield SLICE
    return None


def failed(run: Run, node: Node, failure: Failure) -> Signal | None:
    """A statement failed with a sentence; the signal for what is around it, None to go on."""
    signal = run.fail(node.at, failure)
    if run.language.show_failing and isinstance(node, Line):
        run.language.complain(run, f"error on line: {node.text}")
    return signal


def _too_deep() -> Failure:
    return Failure("macros and blocks are nested too deep")


# macros


def call_macro(run: Run, macro: Macro, words: list[str], at: Position) -> Result:
    """Call a macro with its words (its name first)."""
    check_depth(run, "macro recursion")
    around = (run.locals, run.arguments, run.macro)
    run.locals, run.arguments, run.macro = {}, words, macro
    run.depth += 1
    result = run_statements(run, macro.body)
    if result.__class__ is GeneratorType:
        return _macro_steps(run, around, result, at)
    return _leave(run, around, result, at)  # type: ignore[arg-type]


def check_depth(run: Run, what: str) -> None:
    """Raises Failure when macros and files are nested as deep as they may be."""
    if run.depth >= MACROS_DEEP:
        raise Failure(f"{what} deeper than {MACROS_DEEP}")


def _macro_steps(run: Run, around: Any, steps: Steps, at: Position) -> Steps:
    result = yield from steps
    return _leave(run, around, result, at)


def _leave(run: Run, around: Any, result: Signal | None, at: Position) -> Signal | None:
    run.locals, run.arguments, run.macro = around
    run.depth -= 1
    return settled(run, result, at)


def settled(run: Run, result: Signal | None, at: Position) -> Signal | None:
    """How the statement ended that called a macro or loaded a file whose statements ended with `result`."""
    if result is Signal.FAILED or result is Signal.BROKEN:
        return run.note_failure(at)
    run.variables["STATUS"] = 1
    return None


# loops


def run_passes(run: Run, passes: Callable[[Run], bool], body: Compiled, at: Position) -> Steps:
    """Run a body as long as `passes` says that there is another pass."""
    while passes(run):
        result = run_statements(run, body)
        if result.__class__ is GeneratorType:
            result = yield from result
        if result is not None and result is not Signal.NEXT:
            if result is Signal.LAST:
                break
            return result  # type: ignore[return-value]
        run.statements += 1
        if run.statements >= run.pause_at:
            run.begin_slice(at)
            yield SLICE
    run.variables["STATUS"] = 1
    return None
