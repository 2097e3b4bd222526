"""Runs the text of a script through parser and interpreter, with a driver that is a few dictionaries: the small world
of tests of the language.

`Script(text)` runs the text to its end; `.out` and `.errors` are the lines that it showed, `.variables` what it left,
`.ok` whether nothing failed. `.more(text)` runs another text in the same language, as a prompt would. Shell lines are
answered by `shell` (a dictionary of lines, or a function): a text, or `(status, text)`. Files are in `files` (absolute
names, or names in `/home/user`); time passes only in `sleep`. `kind=RunKind.TASK` runs the text as a task's macro. No
tasks and no scheduler: those have `script_world.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model.scripting import AppendText, Execute, Executed, FileUsed, FileVerb, Show, Stream, UseFile
from shell.language.calls import Pause
from shell.language.commands.table import COMMANDS
from shell.language.compiling import compile_body
from shell.language.interpreter import run_body
from shell.language.language import Language
from shell.language.parsing import parse
from shell.language.runs import SLICE, Run, RunKind, Signal

HOME = "/home/user"
NAME = "test.pro"

Shell = Mapping[str, Any] | Callable[[str], Any]


class Script:
    def __init__(
        self,
        text: str = "",
        *,
        shell: Shell | None = None,
        files: Mapping[str, str] | None = None,
        kind: RunKind = RunKind.SESSION,
        session: int = 0,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        self.language = Language({command.name: command for command in COMMANDS}, HOME, 1, lambda: None)
        self.language.set_start_variables({"HOME": HOME, "PID": "4711", "MODULES": f"{HOME}/modules"})
        self.language.variables.update(variables or {})
        self.files = {name if name[0] == "/" else f"{HOME}/{name}": content for name, content in (files or {}).items()}
        self.shell: Shell = shell or {}
        self.executed: list[str] = []
        self.shown: dict[Stream, str] = {Stream.OUT: "", Stream.ERROR: ""}
        self.slices = 0
        self.signal = Signal.OK
        self.kind = kind
        self.session = session
        self._runs = 0
        self.more(text)

    # what a test looks at

    @property
    def out(self) -> list[str]:
        """The lines of answers."""
        return self.shown[Stream.OUT].splitlines()

    @property
    def errors(self) -> list[str]:
        """The lines on the error stream, each with its position."""
        return self.shown[Stream.ERROR].splitlines()

    @property
    def variables(self) -> dict[str, Any]:
        return self.language.variables

    @property
    def ok(self) -> bool:
        """Whether the last text ended well."""
        return self.signal is not Signal.FAILED

    def __getitem__(self, name: str) -> str:
        """A variable as text."""
        return str(self.variables[name])

    def lines(self, queue: str) -> list[str]:
        return list(self.language.queues.find(queue))

    # what a test does

    def more(self, text: str, name: str = NAME) -> Script:
        """Run another text, in a run of its own."""
        self._runs += 1
        self.run = Run(self.language, self._runs, self.session, self.kind)
        self.signal = self.finish(run_body(self.language, self.run, compile_body(parse(text, name).body)))
        return self

    def finish(self, steps: Any) -> Any:
        """Drive steps to their end, answering what they ask for; what they return."""
        answer: Any = None
        while True:
            try:
                asked = steps.send(answer)
            except StopIteration as end:
                return end.value
            finally:
                self._drain()
            answer = self.answer(asked)

    def answer(self, asked: Any) -> Any:
        """What a driver would answer."""
        if asked is SLICE:
            self.slices += 1
            return None
        if isinstance(asked, Pause):
            self.language.now_ns += asked.duration_ns
            return None
        if isinstance(asked, Execute):
            return self._execute(asked)
        assert isinstance(asked, UseFile), asked
        return self._use_file(asked)

    def _drain(self) -> None:
        effects, self.language.effects = self.language.effects, []
        for effect in effects:
            if isinstance(effect, Show):
                self.shown[effect.stream] += effect.text
            else:
                assert isinstance(effect, AppendText), effect
                self.files[effect.path] = self.files.get(effect.path, "") + effect.text

    def _execute(self, asked: Execute) -> Executed:
        self.executed.append(asked.command)
        reply = self.shell(asked.command) if callable(self.shell) else self.shell.get(asked.command, (127, ""))
        status, text = (0, reply) if isinstance(reply, str) else reply
        if not asked.capture:
            self.shown[Stream.OUT] += text
        return Executed(asked.run, status, text if asked.capture else "")

    def _use_file(self, asked: UseFile) -> FileUsed:
        if asked.verb is FileVerb.APPEND:
            self.files[asked.path] = self.files.get(asked.path, "") + asked.text
        elif asked.verb is FileVerb.WRITE:
            self.files[asked.path] = asked.text
        elif asked.verb in (FileVerb.READ, FileVerb.STAT):
            text = self.files.get(asked.path)
            if text is None:
                return FileUsed(asked.run, ok=False, error=f"{asked.path}: No such file or directory")
            return FileUsed(asked.run, ok=True, text=text, facts=(("size", str(len(text))), ("kind", "file")))
        elif asked.verb is FileVerb.GLOB:
            return FileUsed(asked.run, ok=True, paths=tuple(sorted(self.files)))
        return FileUsed(asked.run, ok=True)
