"""Runs single commands, given by their words, or whole lines: for the tests of ordinary commands.

`world.call("strlen", "abc")` runs a command as the interpreter would after it has made words, and returns whether
it succeeded; a `Failure` is raised. `out` and `errors` are what was shown, `variables` what was set. Files are a
dictionary of absolute paths, folders a set; shell lines are answered from `shell` (line -> status, output), or by a
real `sh` in the folder `really_in`.
"""

from __future__ import annotations

import os
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from model.scripting import MAIN_SESSION, AppendText, Execute, Executed, FileUsed, FileVerb, Show, Stream, UseFile
from shell.language.calls import Call
from shell.language.commands import dates, files, lists, output, shell_lines, text
from shell.language.compiling import compile_text
from shell.language.interpreter import run_body
from shell.language.language import Language
from shell.language.runs import SLICE, Run, RunKind, Signal
from shell.language.tree import Position

COMMANDS = {
    command.name: command for module in (text, lists, files, output, shell_lines, dates) for command in module.COMMANDS
}
HOME = "/home/user"
_FACTS = {"size": "12", "mtime": "1000", "atime": "1001", "ctime": "1002", "mode": "644", "uid": "7", "gid": "8"}


class World:
    def __init__(self, really_in: Path | None = None) -> None:
        self.language = Language(COMMANDS, str(really_in or HOME), 1, lambda: None)
        self.variables: dict[str, Any] = self.language.variables
        self.variables["HOME"] = HOME
        self.files: dict[str, str] = {}
        self.folders = {"/", HOME, HOME + "/data"}
        self.locked: set[str] = set()
        """files that cannot be read or written"""
        self.shell: dict[str, tuple[int, str]] = {}
        self.slow: set[str] = set()
        """lines that are not done before any limit"""
        self.executed: list[Execute] = []
        self.reads: list[str] = []
        self.really_in = really_in
        self._run = Run(self.language, 1, MAIN_SESSION, RunKind.SESSION)

    def call(self, *words: str) -> bool:
        command = COMMANDS[words[0]]
        given = len(words) - 1
        assert command.least <= given and (command.most is None or given <= command.most), (
            "validate would refuse this call"
        )
        result = command.run(Call(self.language, self._run, Position("test.pro", 7, 3), list(words)))
        if command.waits:
            result = self._finish(result)
        self._write_texts()
        assert isinstance(result, bool)
        return result

    def enter(self, session: int) -> None:
        """Give what follows in another session."""
        self._run = Run(self.language, 1 + session, session, RunKind.SESSION)

    def script(self, text: str) -> bool:
        """Run whole lines of the language; whether they succeeded."""
        steps = run_body(self.language, self._run, compile_text(text, "test.pro"))
        signal = self._finish(steps)
        self._write_texts()
        return signal is not Signal.FAILED

    def value(self, *words: str) -> Any:
        """What a command leaves in the variable that `-var` names."""
        assert self.call(*words, "-var", "answer")
        return self.variables["answer"]

    def list(self, name: str) -> list[str]:
        return [str(self.variables[f"{name}:{number}"]) for number in range(int(self.variables[f"{name}:n"]))]

    @property
    def out(self) -> str:
        return self._shown(Stream.OUT)

    @property
    def errors(self) -> str:
        return self._shown(Stream.ERROR)

    def _shown(self, stream: Stream) -> str:
        return "".join(
            effect.text for effect in self.language.effects if isinstance(effect, Show) and effect.stream is stream
        )

    def _write_texts(self) -> None:
        """What a driver does before any later effect: texts for files are written."""
        for effect in [effect for effect in self.language.effects if isinstance(effect, AppendText)]:
            self.language.effects.remove(effect)
            self._append(effect.path, effect.text)

    def _append(self, path: str, added: str) -> None:
        if self.really_in is None:
            self.files[path] = self.files.get(path, "") + added
        else:
            with open(path, "a", encoding="utf-8") as file:
                file.write(added)

    def _finish(self, waiting: Any) -> Any:
        answer: Any = None
        while True:
            try:
                effect = waiting.send(answer)
            except StopIteration as end:
                return end.value
            self._write_texts()
            if effect is not SLICE:
                answer = self._executed(effect) if isinstance(effect, Execute) else self._used(effect)

    def _executed(self, effect: Execute) -> Executed:
        self.executed.append(effect)
        if self.really_in is not None:
            done = subprocess.run(
                ["sh", "-c", effect.command],
                cwd=effect.directory,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            return Executed(effect.run, done.returncode, done.stdout)
        if effect.command in self.slow:
            return Executed(effect.run, -15, timed_out=True)
        if effect.command not in self.shell:
            return Executed(effect.run, 0, error="there is no shell")
        status, printed = self.shell[effect.command]
        return Executed(effect.run, status, printed)

    def _used(self, effect: UseFile) -> FileUsed:
        path = os.path.normpath(effect.path)
        if effect.verb is FileVerb.STAT:
            return self._looked_at(effect.run, path)
        if path in self.locked:
            return FileUsed(effect.run, ok=False, error=f"{path}: Permission denied")
        if effect.verb is FileVerb.APPEND:
            self._append(path, effect.text)
            return FileUsed(effect.run, ok=True)
        if effect.verb is FileVerb.GLOB:
            found = sorted(known for known in self.files if fnmatchcase(known, path))
            return FileUsed(effect.run, ok=True, paths=tuple(found))
        if effect.verb is FileVerb.MAKE_DIRECTORY:
            return self._made(effect.run, path)
        assert effect.verb is FileVerb.READ
        self.reads.append(path)
        if path not in self.files:
            return FileUsed(effect.run, ok=False, error=f"{path}: No such file or directory")
        return FileUsed(effect.run, ok=True, text=self.files[path])

    def _looked_at(self, run: int, path: str) -> FileUsed:
        if path not in self.files and path not in self.folders:
            return FileUsed(run, ok=False)
        free = "0" if path in self.locked else "1"
        kind = "file" if path in self.files else "directory"
        facts = {**_FACTS, "kind": kind, "can-read": free, "can-write": free}
        return FileUsed(run, ok=True, facts=tuple(facts.items()))

    def _made(self, run: int, path: str) -> FileUsed:
        if path in self.files or path in self.folders:
            return FileUsed(run, ok=False, error=f"{path}: File exists")
        if os.path.dirname(path) not in self.folders:
            return FileUsed(run, ok=False, error=f"{path}: No such file or directory")
        self.folders.add(path)
        return FileUsed(run, ok=True)
