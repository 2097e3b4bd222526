"""Runs single commands on a language without interpreter: for tests of queues and books, and their benchmarks.

`CommandWorld().run('queuepush q "a b"')` cuts the line as the language does (quotes make one word and go, empty words
are dropped), runs the command and returns whether it succeeded; a `Failure` is raised. What it said is in `out` and
`errors`, variables in `variables`. Shell lines are answered from `shell` (line -> (status, output)); files are kept in
`files`.
"""

from __future__ import annotations

import shlex
from types import SimpleNamespace
from typing import Any

from model.scripting import Execute, Executed, FileUsed, FileVerb, Show, Stream, UseFile
from shell.language.calls import Call
from shell.language.commands import books, queues
from shell.language.language import Language
from shell.language.tree import Position

COMMANDS = {command.name: command for command in (*queues.COMMANDS, *books.COMMANDS)}


class CommandWorld:
    def __init__(self, seed: int = 1) -> None:
        self.language = Language(COMMANDS, "/there", seed, lambda: None)
        self.variables = self.language.variables
        self.shell: dict[str, tuple[int, str]] = {}
        self.files: dict[str, str] = {}
        self.unwritable: set[str] = set()
        self._run: Any = SimpleNamespace(number=1, session=0, get=self.variables.get, set=self.variables.__setitem__)

    @property
    def out(self) -> list[str]:
        """All answers so far, by lines."""
        return self._shown(Stream.OUT)

    @property
    def errors(self) -> list[str]:
        """All error lines so far."""
        return self._shown(Stream.ERROR)

    def run(self, *lines: str) -> bool:
        """Whether the last line succeeded."""
        done = False
        for line in lines:
            done = self.call(*[word for word in shlex.split(line) if word])
        return done

    def call(self, *words: str) -> bool:
        """Run one command, given by its words."""
        command = COMMANDS[words[0]]
        result = command.run(Call(self.language, self._run, Position("test.pro", 7, 3), list(words)))
        return self._finish(result) if command.waits else result

    def value(self, line: str) -> Any:
        """What `line -var answer` leaves in its variable."""
        assert self.run(f"{line} -var answer")
        return self.variables["answer"]

    def lines(self, queue: str) -> list[str]:
        return list(self.language.queues.find(queue))

    def pages(self, book: str) -> dict[str, dict[str, str]]:
        return self.language.books.dump()[book]

    def _shown(self, stream: Stream) -> list[str]:
        texts = [
            effect.text for effect in self.language.effects if isinstance(effect, Show) and effect.stream is stream
        ]
        return "".join(texts).splitlines()

    def _finish(self, waiting: Any) -> bool:
        answer: Any = None
        while True:
            try:
                effect = waiting.send(answer)
            except StopIteration as end:
                return bool(end.value)
            answer = self._answer(effect)

    def _answer(self, effect: Any) -> Any:
        if isinstance(effect, Execute):
            if effect.command not in self.shell:
                return Executed(effect.run, 127, error="there is no shell")
            status, output = self.shell[effect.command]
            return Executed(effect.run, status, output)
        assert isinstance(effect, UseFile) and effect.verb is FileVerb.APPEND
        if effect.path in self.unwritable:
            return FileUsed(effect.run, ok=False, error=f"{effect.path}: permission denied")
        self.files[effect.path] = self.files.get(effect.path, "") + effect.text
        return FileUsed(effect.run, ok=True)
