"""What can be wrong with tasks and their settings before anything runs.

Part of `laulima validate`: the settings of `periods`, `nmax`, `npending`, `nice`, `active`, `trange`, the names of
exits, tasks that nothing gives a command, and globals that an exec macro leaves to an exit macro although another job
may come between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from shell.language.calls import Failure
from shell.language.checking_names import FullName, everything, set_by, used_by
from shell.language.commands.tasks import ANY_HOST, LOCAL_HOST, NICE_MOST, SWITCH
from shell.language.defining import TASK_WORDS
from shell.language.findings import Finding, Severity, Word, words_of
from shell.language.ranges import parse_range
from shell.language.task_settings import exit_name
from shell.language.tree import Body, InlineIf, Line, MacroBlock, Position, Statement, TaskBlock, TaskExec, TaskExit

_PERIODS = ("-exec", "-poll", "-timeout", "-pending")
_MACROS_FOLLOWED = 100


def place(at: Position, word: Word) -> Position:
    return Position(at.file, at.line, at.column + word.offset)


# settings


def check_setting(at: Position, name: str, arguments: Sequence[Word]) -> list[Finding]:
    """What is wrong with the words behind a setting of a task; words that hold variables are left alone."""
    match name:
        case "periods":
            return _check_periods(at, arguments)
        case "nmax" | "npending":
            return [_wrong(at, word, f"{name} {word.text}: not a number") for word in _not_counts(arguments, None)]
        case "nice":
            sentence = f"not a number from 0 to {NICE_MOST}"
            return [_wrong(at, word, f"nice {word.text}: {sentence}") for word in _not_counts(arguments, NICE_MOST)]
        case "active":
            unknown = [word for word in arguments[:1] if not word.dynamic and word.text.lower() not in SWITCH]
            return [_wrong(at, word, f"active {word.text}: neither true nor false") for word in unknown]
        case "trange":
            return _check_range(at, arguments)
    return []


def _wrong(at: Position, word: Word, text: str, hint: str = "") -> Finding:
    return Finding(place(at, word), Severity.ERROR, text, hint)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _not_counts(words: Sequence[Word], most: int | None) -> list[Word]:
    found = []
    for word in words[:1]:
        number = _number(word.text)
        if not word.dynamic and (number is None or not number >= 0 or (most is not None and number > most)):
            found.append(word)
    return found


def _check_periods(at: Position, arguments: Sequence[Word]) -> list[Finding]:
    found: list[Finding] = []
    rest = list(arguments)
    while rest:
        option = rest.pop(0)
        if option.dynamic:
            return found
        if option.text not in _PERIODS:
            near = get_close_matches(option.text, _PERIODS, 1)
            hint = f"did you mean {near[0]}?" if near else f"one of {' '.join(_PERIODS)}"
            found.append(_wrong(at, option, f"periods: unknown option {option.text}", hint))
            if rest and not rest[0].text.startswith("-"):
                del rest[0]
            continue
        if not rest:
            found.append(_wrong(at, option, f"periods: {option.text} needs a value"))
            continue
        value = rest.pop(0)
        number = _number(value.text)
        if not value.dynamic and (number is None or not 0 <= number < float("inf")):
            found.append(_wrong(at, value, f"periods {option.text} {value.text}: not a number of seconds"))
    return found


def _check_range(at: Position, arguments: Sequence[Word]) -> list[Finding]:
    if any(word.dynamic for word in arguments) or not arguments or arguments[0].text == "-reset":
        return []
    try:
        parse_range([word.text for word in arguments], 0)
    except ValueError as error:
        return [_wrong(at, arguments[0], str(error))]
    return []


# blocks of tasks


def check_task_line(line: Line) -> list[Finding]:
    """A line that stands directly in a task block: one of the settings, in full."""
    words = words_of(line.text)
    if not words or words[0].text.startswith("#"):
        return []
    name = words[0].text.lower()
    if words[0].dynamic or name in TASK_WORDS:
        return []
    near = get_close_matches(name, sorted(TASK_WORDS | {"task.exec", "task.exit"}), 1)
    hint = f"did you mean {near[0]}?" if near else "statements belong into task.exec or task.exit"
    return [_wrong(line.at, words[0], f"unknown task command {words[0].text}: the line is skipped", hint)]


def check_exit(block: TaskExit) -> list[Finding]:
    words = words_of(block.arguments)
    if len(words) != 1 or words[0].dynamic:
        many = len(words) > 1 and not any(word.dynamic for word in words)
        return [Finding(block.at, Severity.ERROR, "task.exit takes one name")] if many else []
    try:
        exit_name(words[0].text)
    except Failure as failure:
        return [Finding(block.at, Severity.ERROR, str(failure))]
    return []


class TaskChecks:
    """Checks that need to know all tasks and macros of the script and of the files that it loads."""

    def __init__(self, macros: Mapping[str, MacroBlock], full_name: FullName) -> None:
        self._macros = macros
        self._full_name = full_name
        self._blocks: dict[str, list[TaskBlock]] = {}
        self.periods_outside = False
        """`periods` outside of tasks sets what tasks start with"""

    def add(self, block: TaskBlock) -> None:
        words = words_of(block.arguments)
        if len(words) == 1 and not words[0].dynamic:
            self._blocks.setdefault(words[0].text, []).append(block)

    def findings(self, complete: bool) -> list[Finding]:
        """`complete`: every file that the script loads was read."""
        found = []
        for name, blocks in self._blocks.items():
            found += self._check_command(name, blocks, complete)
            found += self._check_shared(name, blocks)
            found += self._check_timeout(name, blocks)
        return found

    def _check_command(self, name: str, blocks: list[TaskBlock], complete: bool) -> list[Finding]:
        sources = [self._source(block.body) for block in blocks]
        if "plain" in sources or "unknown" in sources:
            return []
        at = blocks[0].at
        if "inline" in sources:
            text = f"task {name} gets its command only behind an inline if or from a macro"
            return [Finding(at, Severity.NOTE, text, "the historical system refused such a task")]
        severity = Severity.ERROR if complete else Severity.WARNING
        return [Finding(at, severity, f"task {name} has no command", "say command in it or in its task.exec")]

    def _source(self, body: Body) -> str:
        """Where the command of a task comes from: "plain", "inline", "unknown" (words known at run time only), ""
        (nowhere)."""
        found = ""
        for statement in body:
            if isinstance(statement, Line) and self._word(statement) == "command":
                return "plain"
            if isinstance(statement, TaskExec):
                found = self._source_in_macro(statement.body)
        return found

    def _source_in_macro(self, body: Body) -> str:
        inline = {id(each.statement) for each in everything(body) if isinstance(each, InlineIf)}
        found = ""
        left: list[Statement] = list(everything(body))
        own = len(left)
        followed: set[str] = set()
        for index, statement in enumerate(left):
            if not isinstance(statement, Line):
                continue
            word = self._word(statement)
            if word == "command":
                if id(statement) not in inline and index < own:
                    return "plain"
                found = found or "inline"
            elif "$" in word:
                found = "unknown"
            elif word in self._macros and word not in followed and len(followed) < _MACROS_FOLLOWED:
                followed.add(word)
                left.extend(everything(self._macros[word].body))
        return found

    def _word(self, line: Line) -> str:
        words = words_of(line.text)
        return "" if not words else words[0].text if words[0].dynamic else self._full_name(words[0].text)

    def _settings(self, blocks: list[TaskBlock], name: str) -> list[tuple[Line, list[Word]]]:
        """The lines of a setting, in the blocks and their exec macros."""
        lines = []
        for block in blocks:
            execs = [each.body for each in block.body if isinstance(each, TaskExec)]
            for statement in (*block.body, *(inner for body in execs for inner in everything(body))):
                if isinstance(statement, Line):
                    words = words_of(statement.text)
                    if words and words[0].text.lower() == name:
                        lines.append((statement, words[1:]))
        return lines

    def _check_shared(self, task: str, blocks: list[TaskBlock]) -> list[Finding]:
        for setting in ("npending", "nmax"):
            if any(words and words[0].text in {"1", "1.0"} for _, words in self._settings(blocks, setting)):
                return []
        parts = [each for block in blocks for each in block.body]
        written: dict[str, Position] = {}
        for part in parts:
            if isinstance(part, TaskExec):
                read = used_by(part.body)
                # What exec reads before it sets it is kept from job to job on purpose.
                own = set_by(part.body, self._full_name)
                written |= {name: at for name, at in own.items() if name not in read or at[1:] < read[name][1:]}
        found: list[Finding] = []
        for part in parts:
            if not isinstance(part, TaskExit):
                continue
            own = set_by(part.body, self._full_name)
            for variable, at in used_by(part.body).items():
                if variable in written and not (variable in own and own[variable][1:] <= at[1:]):
                    line = written.pop(variable).line
                    text = f"${variable} is set in the task.exec of {task} (line {line}) and read here"
                    hint = "with several jobs it is the latest one's; hand it over by options, or say npending 1"
                    found.append(Finding(at, Severity.WARNING, text, hint))
        return found

    def _unsaid_timeout(self, name: str, blocks: list[TaskBlock]) -> list[Finding]:
        """A local task that says nothing of a timeout has the historical one."""
        if self.periods_outside or any(
            word.text == "-timeout" or word.dynamic for _, words in self._settings(blocks, "periods") for word in words
        ):
            return []
        text = f"local jobs of {name} are ended after 1 s: no periods -timeout is said"
        return [Finding(blocks[0].at, Severity.NOTE, text, "say periods -timeout SECONDS, here or outside of tasks")]

    def _check_timeout(self, name: str, blocks: list[TaskBlock]) -> list[Finding]:
        hosts = [words[0].text for _, words in self._settings(blocks, "host") if words]
        away = [host for host in hosts if host.lower() not in LOCAL_HOST]
        if not away:
            return self._unsaid_timeout(name, blocks)
        for line, words in self._settings(blocks, "periods"):
            for word in words:
                if word.text == "-timeout":
                    where = "the controller" if away[0].lower() in ANY_HOST else f"host {away[0]}"
                    text = f"-timeout ends jobs of {name} that run longer on {where}"
                    hint = "the historical system never did; language: {controller_timeout: ignore} switches it off"
                    return [Finding(place(line.at, word), Severity.NOTE, text, hint)]
        return []
