"""The parser: the text of a script as a tree, with a position on every node.

Called for script files, for what is typed at a prompt, and by `validate`. It never raises and takes time linear in the
text; what is wrong stands in `Script.problems`. A block that cannot be understood (an `elseif`, an `end` that is
missing) becomes one `Malformed` statement with its whole text, so everything before it still runs. Blocks are kept on
a stack, not on Python's: text nested a million deep is only refused. What one line means is in `statements.py`, where
it is cut in `lines.py`.
"""

from __future__ import annotations

from shell.language.lines import BLANKS, LINE_MOST, pieces, uncommented
from shell.language.statements import DEPTH_MOST, Opening, else_problem, is_else, is_end, read_piece, stray
from shell.language.tree import (
    Body,
    For,
    ForEach,
    If,
    ListBlock,
    MacroBlock,
    Malformed,
    Position,
    Problem,
    Script,
    Statement,
    TaskBlock,
    TaskExec,
    TaskExit,
    While,
)


def parse(text: str, name: str, *, first_line: int = 1, prompt: bool = False) -> Script:
    """Read a script. `name` and `first_line` say where positions count from; at a `prompt` a line may begin with `!`
    (a shell line), which is a comment in a file. A problem that is `unfinished` may be mended by more lines."""
    reader = _Reader(text.removeprefix("\ufeff"), name, first_line, "#" if prompt else "#!")
    reader.read()
    return Script(name, tuple(reader.body), tuple(sorted(reader.problems, key=lambda problem: problem.at[1:])))


class _Frame:
    """A block that is open. `problem`: it cannot run. `ignored`: a block around it cannot, so nothing is kept of it."""

    __slots__ = ("arguments", "at", "body", "elements", "hint", "ignored", "kind", "problem", "start", "then")

    def __init__(self, opening: Opening, at: Position, start: int, ignored: bool) -> None:
        self.kind = opening.kind
        self.arguments = opening.arguments
        self.problem = opening.problem
        self.hint = opening.hint
        self.at = at
        self.start = start
        self.ignored = ignored
        self.body: list[Statement] = []
        self.elements: list[str] = []
        """of a list"""
        self.then: list[Statement] | None = None
        """of an `if` whose `else` was read"""


class _Reader:
    def __init__(self, text: str, name: str, first_line: int, comments: str) -> None:
        self.text = text
        self.name = name
        self.line = first_line
        self.comments = tuple(comments)
        self.body: list[Statement] = []
        self.problems: list[Problem] = []
        self.frames: list[_Frame] = []
        self.crooked: tuple[_Frame, Position] | None = None
        """the first block whose `end` is not indented like its first line: there an `end` may be missing"""

    def read(self) -> None:
        start = 0
        size = len(self.text)
        while start < size:
            stop = self.text.find("\n", start)
            stop = size if stop < 0 else stop
            self._take_line(start, stop)
            start = stop + 1
            self.line += 1
        if self.frames:
            self._unfinished()

    def _take_line(self, start: int, stop: int) -> None:
        raw = self.text[start:stop]
        line = raw.strip(BLANKS)
        if not line or line.startswith(self.comments):
            return
        if len(line) > LINE_MOST:
            self._too_long(line, raw.index(line[0]) + 1)
            return
        if self.frames and self.frames[-1].kind == "list" and not is_end(line):
            self._element(line)
            return
        for offset, piece in pieces(raw):
            if piece.startswith("#") or self._take_piece(piece, offset + 1, start + offset):
                break

    def _take_piece(self, text: str, column: int, start: int) -> bool:
        """One piece of a line, which stands at `start` of the whole text; whether a comment ends it."""
        at = Position(self.name, self.line, column)
        frame = self.frames[-1] if self.frames else None
        if frame is not None:
            if is_end(text):
                self._close(at, start + len(text))
                return _is_commented(text)
            if frame.kind == "list":
                self._element(text)
                return False
            if frame.kind == "if" and is_else(text):
                self._otherwise(frame, at, text)
                return _is_commented(text)
        problem = stray(text)
        if problem:
            self._wrong(Malformed(at, text, problem, self._suspicion()))
            return _is_commented(text)
        piece = read_piece(text, at, len(self.frames))
        if isinstance(piece.what, Opening):
            self._open(piece.what, at, start)
        else:
            if piece.wrong is not None:
                self.problems.append(Problem(piece.wrong.at, piece.wrong.problem, piece.hint))
            self._keep(piece.what)
        return piece.commented

    def _keep(self, statement: Statement) -> None:
        if not self.frames:
            self.body.append(statement)
        elif not (self.frames[-1].problem or self.frames[-1].ignored):
            self.frames[-1].body.append(statement)

    def _wrong(self, statement: Malformed) -> None:
        self.problems.append(Problem(statement.at, statement.problem, statement.hint))
        self._keep(statement)

    def _element(self, text: str) -> None:
        frame = self.frames[-1]
        if not (frame.problem or frame.ignored or text.startswith(("#", "!"))):
            frame.elements.append(text.rstrip(BLANKS))

    def _too_long(self, line: str, column: int) -> None:
        at = Position(self.name, self.line, column)
        problem = f"a line of {len(line)} characters; at most {LINE_MOST} are read"
        if self.frames and self.frames[-1].kind == "list":
            self.frames[-1].problem = problem
        self._wrong(Malformed(at, line, problem))

    def _open(self, opening: Opening, at: Position, start: int) -> None:
        around = self.frames[-1] if self.frames else None
        ignored = around is not None and bool(around.problem or around.ignored)
        frame = _Frame(opening, at, start, ignored)
        hint = opening.hint
        if not frame.problem and not ignored:
            if len(self.frames) >= DEPTH_MOST:
                frame.problem = f"blocks nested deeper than {DEPTH_MOST}"
            elif opening.kind in {"task.exec", "task.exit"} and (around is None or around.kind != "task"):
                frame.problem, hint = f"{opening.kind} outside of a task", self._suspicion()
        if frame.problem:
            frame.hint = hint
            self.problems.append(Problem(at, frame.problem, hint))
        self.frames.append(frame)

    def _otherwise(self, frame: _Frame, at: Position, text: str) -> None:
        problem, hint = else_problem(text)
        if not problem and frame.then is not None:
            problem, hint = "a second else in one if block", self._suspicion()
        if problem:
            if not frame.problem:
                frame.problem, frame.hint = problem, f"line {at.line}: {hint}" if hint else f"in line {at.line}"
            self.problems.append(Problem(at, problem, hint))
        if frame.then is None:
            frame.then, frame.body = frame.body, []

    def _close(self, at: Position, stop: int) -> None:
        frame = self.frames.pop()
        if self.crooked is None and frame.at.column != at.column and frame.at.line != at.line:
            self.crooked = (frame, at)
        if frame.ignored:
            return
        if frame.problem:
            self._keep(Malformed(frame.at, self.text[frame.start : stop], frame.problem, frame.hint))
        else:
            self._keep(_node(frame))

    def _suspicion(self) -> str:
        """Where an `end` may be missing or too many, by the indentation."""
        if self.crooked is None:
            return ""
        frame, at = self.crooked
        return f"the end of line {at.line} closes the {frame.kind} of line {frame.at.line}, but is not indented like it"

    def _unfinished(self) -> None:
        outermost = self.frames[0]
        problem = f"missing 'end': this {outermost.kind} is not closed"
        self.problems.append(Problem(outermost.at, problem, self._suspicion(), unfinished=True))
        self.frames.clear()
        text = self.text[outermost.start :].rstrip(BLANKS + "\n")
        hint = outermost.hint if outermost.problem else self._suspicion()
        self._keep(Malformed(outermost.at, text, outermost.problem or problem, hint))


def _is_commented(text: str) -> bool:
    return len(uncommented(text)) < len(text)


def _node(frame: _Frame) -> Statement:
    at, arguments = frame.at, frame.arguments
    body: Body = tuple(frame.body)
    match frame.kind:
        case "if":
            return If(at, arguments, body, None) if frame.then is None else If(at, arguments, tuple(frame.then), body)
        case "for":
            return For(at, arguments, body)
        case "foreach":
            return ForEach(at, arguments, body)
        case "while":
            return While(at, arguments, body)
        case "list":
            return ListBlock(at, arguments, tuple(frame.elements))
        case "macro":
            return MacroBlock(at, arguments, body)
        case "task":
            return TaskBlock(at, arguments, body)
        case "task.exec":
            return TaskExec(at, body)
    return TaskExit(at, arguments, body)
