"""Assignments (`$x = …`, `$x ++`, `$x += …`, `` $x = `…` ``) and conditions, ready to be run.

The right side is tried as mathematics; what is none is a text, quotes included. With backslashes it is always a text:
they go. `{…}` in a text is worked out when it can be, and else left. Made by `compiling.py`.
"""

from __future__ import annotations

import re
from typing import Any

from model.scripting import Execute, Executed
from shell.language.calls import Failure, Mixed, shell_text
from shell.language.expansion import (
    MARK,
    TEXT_MOST,
    expand,
    expand_target,
    find_braces,
    shortened,
    split_words,
    unmark,
    without_backslashes,
    work_out_braces,
    worth,
    worth_or_failure,
)
from shell.language.interpreter import Result, Steps
from shell.language.mathematics import (
    MathsError,
    NotPlainError,
    Slot,
    compile_template,
    evaluate_text,
    format_number,
    truth,
)
from shell.language.runs import Run, Value
from shell.language.templates import (
    Parts,
    TextualError,
    expression_of,
    opaque,
    read_expression,
    read_template,
    target_of,
)
from shell.language.tree import Assignment, Position

PLAIN_IN_VALUE = re.compile(r"[$\\{\0]").search
"""What makes a value more than a text on a right side."""
STEP_MOST = 2**31 - 2
"""Up to here `++` needs no mathematics."""

_SUM = compile_template([Slot(0), " + ", Slot(1)])
_DIFFERENCE = compile_template([Slot(0), " - ", Slot(1)])


class _Target:
    """What is assigned to."""

    __slots__ = ("_name", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        try:
            self._name = target_of(text)
        except TextualError:
            self._name = self._expanded

    def name(self, run: Run) -> str:
        if isinstance(self._name, str):
            return self._name
        try:
            return self._name(run)
        except TextualError:
            return self._expanded(run)

    def _expanded(self, run: Run) -> str:
        return expand_target(run, self._text)


class Assign:
    """`$target = value`."""

    __slots__ = ("_constant", "_expression", "_name", "_parts", "_target", "_text")

    def __init__(self, target: str, text: str) -> None:
        self._target = _Target(target)
        self._name = target if "$" not in target and not target.isdecimal() else None
        self._text = text
        self._parts: Parts | None = None
        self._expression = None
        self._constant: str | None = None
        if "\\" in text or "{" in text or "\0" in text or MARK.search(text) is not None:
            return
        try:
            self._parts = read_template(text)
        except TextualError:
            return
        self._expression = expression_of(self._parts, text)
        if self._expression is None and all(isinstance(part, str) for part in self._parts):
            self._constant = text

    def execute(self, run: Run) -> Result:
        value = self._constant
        if value is None:
            value = self._value(run)  # type: ignore[assignment]
        name = self._name
        if name is not None and not run.locals:
            run.variables[name] = run.changed[name] = value  # type: ignore[assignment]
        else:
            run.set(self._target.name(run), value)  # type: ignore[arg-type]
        run.variables["STATUS"] = 1
        return None

    def _value(self, run: Run) -> Value:
        expression = self._expression
        if expression is not None:
            try:
                values = expression.values(run)
                return expression.compiled.evaluate_text(values, run.language.random)
            except (NotPlainError, TextualError, MathsError):
                pass  # as text, then
        elif self._parts is not None:
            try:
                return stored(run, _joined(run, self._parts))
            except TextualError:
                pass
        return assigned(run, self._text)


def _joined(run: Run, parts: Parts) -> str:
    """A template with its values put in. Raises TextualError when one must be looked at again."""
    texts: list[str] = []
    plain = True
    for part in parts:
        value = part if isinstance(part, str) else part(run)
        if value.__class__ is int:
            texts.append(str(value))
        elif value.__class__ is not str:
            plain = False
            texts.append(opaque(value))
        elif part is value or PLAIN_IN_VALUE(value) is None:
            texts.append(value)
        else:
            raise TextualError
    if not plain:
        raise TextualError
    text = "".join(texts)
    if len(text) > TEXT_MOST:
        raise TextualError
    return text


def stored(run: Run, text: str) -> Value:
    """What an assignment of a text stores that has no variables, marks, backslashes or braces."""
    try:
        return evaluate_text(text, run.language.random)
    except MathsError:
        return text


def assigned(run: Run, text: str) -> Value:
    """The value of a right side, all steps."""
    marked = expand(run, text)
    text = marked.text
    if not marked.values and "\\" not in text:
        value = stored(run, text)
        if value is not text and value != text:
            return value
    elif "\\" not in text:
        whole = unmark(text, marked.values)
        if not isinstance(whole, Mixed):
            return whole
        try:
            worked_out = worth(run, text, marked.values)
        except MathsError:
            pass
        else:
            return worked_out if isinstance(worked_out, str | int) else format_number(worked_out)
    if "{" in text:
        try:
            find_braces(text)
            text = work_out_braces(run, marked)
        except Failure:
            pass  # braces of a text, such as a pattern of the shell
    return unmark(without_backslashes(text), marked.values)


class Step:
    """`$x ++`, `$x --`, `$x += value`, `$x -= value`. A variable that there is not counts as 0."""

    __slots__ = ("_direction", "_target", "_text")

    def __init__(self, target: str, operator: str, text: str) -> None:
        self._target = _Target(target)
        self._direction = 1 if operator[0] == "+" else -1
        self._text = None if operator in ("++", "--") else text

    def execute(self, run: Run) -> Result:
        name = self._target.name(run)
        before = run.look_up(name)
        if before.__class__ is int and self._text is None and -STEP_MOST < before < STEP_MOST:
            value: Value = before + self._direction
        else:
            value = self._worked_out(run, name, 0 if before is None else before)
        run.set(name, value)
        run.variables["STATUS"] = 1
        return None

    def _worked_out(self, run: Run, name: str, before: Value) -> Value:
        step: int | float | str = 1
        if self._text is not None:
            marked = expand(run, self._text)
            if not marked.text:
                raise Failure(f"there is nothing to add to ${name}", hint="$x ++ adds 1")
            step = worth_or_failure(run, marked.text, marked.values)
            if isinstance(step, str):
                raise Failure(f"{shortened(step)} is no number, and cannot be added to ${name}")
        template = _SUM if self._direction > 0 else _DIFFERENCE
        assert template is not None
        try:
            return template.evaluate_text([before, step], run.language.random)
        except (MathsError, NotPlainError):
            raise Failure(f"${name} is no number: {shortened(str(before))}") from None


class Backtick:
    """`` $x = `shell line` ``: the output with blanks for newlines, the last one dropped."""

    __slots__ = ("_at", "_target", "_text")

    def __init__(self, target: str, text: str, at: Position) -> None:
        self._target = _Target(target)
        self._text = text
        self._at = at

    def execute(self, run: Run) -> Result:
        marked = expand(run, self._text)
        return self._steps(run, shell_text(unmark(marked.text, marked.values)))

    def _steps(self, run: Run, line: str) -> Steps:
        run.at = self._at
        answer: Any = yield Execute(run.number, run.session, line, run.language.directory, 0, capture=True)
        assert isinstance(answer, Executed)
        run.set(self._target.name(run), answer.output.removesuffix("\n").replace("\n", " "))
        run.variables["EXECSTATUS"] = answer.status
        if answer.status or answer.error:
            how = answer.error or (f"exit status {answer.status}" if answer.status > 0 else f"signal {-answer.status}")
            run.language.complain(run, f"{self._at}: warning: {how}: {shortened(line)}")
        run.variables["STATUS"] = 1
        return None


def _unclosed(_: Run) -> Result:
    raise Failure("the backtick of the shell line is not closed", hint="a ` is missing at the end")


def assignment(node: Assignment) -> Any:
    """What carries out an assignment: its `execute`."""
    if node.operator != "=":
        return Step(node.target, node.operator, node.value).execute
    text = node.value
    if len(text) > 1 and text[0] == text[-1] == "`" and "`" not in text[1:-1]:
        return Backtick(node.target, text[1:-1], node.at).execute
    if text.startswith("`") and "`" not in text[1:]:
        return _unclosed
    return Assign(node.target, text).execute


class Condition:
    """The condition of an `if` or `while`."""

    __slots__ = ("_expression", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._expression = read_expression(text)

    def holds(self, run: Run) -> bool:
        """Whether it holds. Raises Failure when it is no condition."""
        expression = self._expression
        if expression is not None:
            try:
                values = expression.values(run)
                return expression.compiled.test(values, run.language.random)
            except (NotPlainError, TextualError, MathsError):
                pass  # said with the values in place
        return self._textually(run)

    def _textually(self, run: Run) -> bool:
        marked = expand(run, self._text)
        text = work_out_braces(run, marked) if "{" in marked.text else marked.text
        text = without_backslashes(text)
        words, wrong = split_words(text)
        if wrong or not words:
            raise Failure(f"the condition {shortened(self._text)} has {wrong or 'no value'}")
        try:
            return truth(worth(run, text, marked.values))
        except MathsError as error:
            shown = shortened(unmark(text, marked.values))
            hint = _condition_hint(self._text) or error.hint
            raise Failure(f"cannot tell whether {shown} holds: {error}", hint=hint) from None


_SINGLE_EQUALS = re.compile(r"(?<![<>=!])=(?!=)")
_EQUALITY = re.compile(r"[=!]=")
_NOT_MARK = re.compile(r"!(?!=)")
_BARE_VARIABLE = re.compile(r"\$[A-Za-z0-9_:$]")


def _condition_hint(text: str) -> str:
    """What is probably wrong with a condition that is no mathematics once its variables are replaced."""
    quoted = text.split('"')
    if len(quoted) % 2 == 0:
        return "a quote is not closed"
    unquoted = "".join(quoted[::2])
    if _SINGLE_EQUALS.search(unquoted):
        return "write == to compare"
    if _NOT_MARK.search(unquoted):
        return "write not(…)"
    if _BARE_VARIABLE.search(unquoted):
        if _EQUALITY.search(unquoted):
            return "put quotes round what may be a text or empty, on both sides"
        return "a variable in it is empty, or no number"
    return "a value with quotes of its own needs none around it" if "$" in text else ""
