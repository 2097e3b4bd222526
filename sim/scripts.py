"""The driver of the script machine in a simulated world: shell lines, files and outputs as the scenario tells them.

A shell line is answered by the first of the scenario's `commands` whose pattern it matches; a few words that every
script uses (`sleep`, `echo`, `true`, `cat`, `touch` …) are understood without; anything else succeeds and prints
nothing, and a notice says so once. Files are those of the scenario, then what the script itself wrote, then, for
reading only, the real ones that `read_file` gives (a script that is loaded, a table). Nothing is written to a disk and
no process is started.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from model.effects import Answer, Notice
from model.errors import LaulimaError
from model.events import HostVerb, OrderHost
from model.job import SECOND, JobId
from model.scripting import (
    Abandon,
    AppendText,
    Execute,
    Executed,
    FetchOutput,
    FileUsed,
    FileVerb,
    Give,
    Leave,
    OutputFetched,
    ScriptMachine,
    SessionRan,
    Show,
    Stream,
    UseFile,
)
from sim.calendar import REPLY
from sim.keyed import Draws
from sim.log import Shown
from sim.scenario import ShellStub, node_of

if TYPE_CHECKING:
    from sim.scheduler_side import SchedulerSide
    from sim.world import World

SCRIPTS = "scripts"
"""The node of the script machine."""
SLICE_NS = SECOND // 1000
"""What a slice of statements (500) takes."""
SLICES_MAX = 20_000
NOT_ITS_OWN = "the hosts are those of a controller that others use as well: scripts do not change them in a rehearsal"
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+=:,@%> '\"\n\t#")
"""Characters of a line that the few built-in words understand; a line with others needs the scenario."""

ReadFile = Callable[[str], str | None]
"""The text of a real file, or None; must not change anything."""


EFFECTS = (Execute, UseFile, FetchOutput, Abandon, Show, AppendText, SessionRan, Give, Leave)
"""What a script machine asks for."""


class PacedScripts:
    """The script machine, whose statements take time: each slice that does not end what it began costs `SLICE_NS`, as
    it would live. So a macro without an end lets the others go on here, too."""

    def __init__(self, machine: ScriptMachine) -> None:
        self._machine = machine
        self._busy_until_ns = 0
        self._slices = 0
        """in a row, without a wait"""
        self.receive = machine.receive
        self.drain = machine.drain

    def advance(self, now: int) -> None:
        """Run a slice. Raises LaulimaError when statements go on and on without ever waiting."""
        self._machine.advance(now)
        due = self._machine.next_due()
        if due is None or due > now:
            self._slices = 0
            return
        self._busy_until_ns = now + SLICE_NS
        self._slices += 1
        if self._slices > SLICES_MAX:
            raise LaulimaError(
                f"a script ran {SLICES_MAX} slices of statements without ever waiting: it has no end",
                "a loop at file level needs a `sleep`, or a condition that becomes false",
            )

    @property
    def at_rest(self) -> bool:
        """Whether no run is under way."""
        return self._machine.at_rest

    def next_due(self) -> int | None:
        """When it wants to go on."""
        due = self._machine.next_due()
        return None if due is None else max(due, self._busy_until_ns)


class ScriptDriver:
    """Carries out the effects of the script machine."""

    def __init__(
        self, world: World, side: SchedulerSide, show: Callable[[Stream, str], None], read_file: ReadFile
    ) -> None:
        """`side`: the scheduler whose scripts these are. `show` gets what they print."""
        self._world = world
        self._side = side
        self._show = show
        self._read_file = read_file
        self._stubs = world.scenario.commands
        self._calls = [0] * len(self._stubs)
        self._draws = Draws(world.scenario.seed, node_of("shell", side.name))
        self._unknown: dict[str, None] = {}
        self._files = {
            str(PurePosixPath(side.configuration.directory) / name): text for name, text in world.scenario.files.items()
        }
        self._executing: dict[int, int] = {}
        """run -> which of its executions is under way"""
        self._count = 0
        self.status: int | None = None
        """how the script left, if it did"""
        self.failed = False
        """a script file did not run to its end"""
        self.effects: dict[type, Callable[[Any, Any], None]] = {
            Execute: self._execute,
            UseFile: self._use_file,
            FetchOutput: self._fetch_output,
            Abandon: self._abandon,
            Show: self._shown,
            AppendText: self._append,
            SessionRan: self._session_ran,
            Give: self._give,
            Leave: self._leave,
        }

    # shell lines

    def _execute(self, node: Any, effect: Execute) -> None:
        takes_ns, answer = self._answer_of(effect)
        if effect.timeout_ns and takes_ns > effect.timeout_ns:
            takes_ns = effect.timeout_ns
            answer = Executed(effect.run, -15, "", f"not ended within {effect.timeout_ns / SECOND:g} s", True)
        self._count += 1
        number = self._executing[effect.run] = self._count
        life = node.epoch

        def ended() -> None:
            if self._executing.get(effect.run) != number or node.epoch != life:
                return
            del self._executing[effect.run]
            if answer.output and not effect.capture:
                self._shown(node, Show(effect.session, Stream.OUT, answer.output))
                node.receive(Executed(effect.run, answer.status))
            else:
                node.receive(answer)

        self._world.calendar.call_after(takes_ns, REPLY, ended)

    def _abandon(self, _: Any, effect: Abandon) -> None:
        self._executing.pop(effect.run, None)

    def _answer_of(self, effect: Execute) -> tuple[int, Executed]:
        """How long the line takes, and what it answers."""
        line = effect.command
        for place, stub in enumerate(self._stubs):
            if fnmatchcase(line, stub.pattern):
                return self._stubbed(place, stub, effect)
        built_in = self._built_in(effect) if PLAIN.issuperset(line) else None
        if built_in is not None:
            return built_in
        if line not in self._unknown:
            self._unknown[line] = None
            text = f"no command of the scenario matches `{line}`: it succeeds and prints nothing"
            self._world.notice(self._side.scripts_node, Notice("warning", "", text))
            self._show(Stream.ERROR, f"warning: {text}\n")
        return 0, Executed(effect.run, 0)

    def _stubbed(self, place: int, stub: ShellStub, effect: Execute) -> tuple[int, Executed]:
        number = self._calls[place]
        self._calls[place] += 1
        takes, ends, _, _ = self._draws.four(f"{stub.pattern}/{number}")
        output = stub.outputs[min(number, len(stub.outputs) - 1)] if stub.outputs else ""
        status = stub.status if ends >= stub.failing else stub.failing_status
        return stub.takes.sample(takes), Executed(effect.run, status, output)

    def _built_in(self, effect: Execute) -> tuple[int, Executed] | None:
        """What the commonest words do; None: it is not one of them."""
        try:
            words = shlex.split(effect.command, comments=True)
        except ValueError:
            return None
        if not words or any(">" in word and word not in (">", ">>") for word in words):
            return None
        arguments = words[1:]
        if words[0] == "sleep" and len(arguments) == 1 and _is_number(arguments[0]):
            return int(float(arguments[0]) * SECOND), Executed(effect.run, 0)
        if words[0] in ("true", ":"):
            return 0, Executed(effect.run, 0)
        if words[0] == "false":
            return 0, Executed(effect.run, 1)
        if words[0] == "echo":
            return 0, self._echo(effect, arguments)
        if words[0] in ("cat", "touch", "rm", "mkdir") and ">" not in arguments and ">>" not in arguments:
            return 0, self._on_files(effect, words[0], [word for word in arguments if not word.startswith("-")])
        return None

    def _echo(self, effect: Execute, words: Sequence[str]) -> Executed:
        text, target, mode = list(words), "", ""
        for sign in (">>", ">"):
            if sign in text:
                place = text.index(sign)
                if len(text) != place + 2:
                    return Executed(effect.run, 2, "", f"{effect.command}: syntax error")
                target, mode = text[-1], sign
                text = text[:place]
                break
        line = " ".join(text) + "\n"
        if not mode:
            return Executed(effect.run, 0, line)
        path = str(PurePosixPath(effect.directory) / target)
        before = self._files.get(path, "") if mode == ">>" else ""
        self._files[path] = before + line
        return Executed(effect.run, 0)

    def _on_files(self, effect: Execute, word: str, names: Sequence[str]) -> Executed:
        printed = ""
        for name in names:
            path = str(PurePosixPath(effect.directory) / name)
            if word == "touch":
                self._files.setdefault(path, "")
            elif word == "rm":
                self._files.pop(path, None)
            elif word == "cat":
                text = self._text_of(path)
                if text is None:
                    return Executed(effect.run, 1, printed, f"cat: {name}: No such file or directory")
                printed += text
        return Executed(effect.run, 0, printed)

    # files

    def _text_of(self, path: str) -> str | None:
        text = self._files.get(path)
        return self._read_file(path) if text is None else text

    def _use_file(self, node: Any, effect: UseFile) -> None:
        answer = self._used(effect)
        life = node.epoch
        self._world.calendar.call_after(0, REPLY, lambda: node.epoch == life and node.receive(answer))

    def _used(self, effect: UseFile) -> FileUsed:
        run, path, verb = effect.run, effect.path, effect.verb
        if verb is FileVerb.APPEND:
            self._files[path] = self._files.get(path, "") + effect.text
            return FileUsed(run, True)
        if verb is FileVerb.WRITE:
            self._files[path] = effect.text
            return FileUsed(run, True)
        if verb is FileVerb.MAKE_DIRECTORY:
            return FileUsed(run, True)
        if verb is FileVerb.GLOB:
            return FileUsed(run, True, paths=tuple(sorted(name for name in self._files if fnmatchcase(name, path))))
        text = self._text_of(path)
        if text is None:
            return FileUsed(run, False, error=f"{path}: No such file or directory")
        if verb is FileVerb.READ:
            return FileUsed(run, True, text)
        now = str(self._world.wall_ns(self._world.calendar.now) // SECOND)
        facts = [("size", str(len(text.encode()))), ("kind", "file"), ("can-read", "1"), ("can-write", "1")]
        facts += [(name, now) for name in ("mtime", "atime", "ctime")]
        facts += [("mode", "644"), ("uid", "0"), ("gid", "0")]
        return FileUsed(run, True, facts=tuple(facts))

    def _append(self, _: Any, effect: AppendText) -> None:
        self._files[effect.path] = self._files.get(effect.path, "") + effect.text

    @property
    def files(self) -> dict[str, str]:
        """What the scenario's and the script's own files hold, by absolute path."""
        return self._files

    # jobs, people, other machines

    def _fetch_output(self, node: Any, effect: FetchOutput) -> None:
        stdout, stderr = self._side.weather.texts(effect.task, JobId(effect.job))
        answer = OutputFetched(effect.run, stdout, stderr)
        life = node.epoch
        self._world.calendar.call_after(0, REPLY, lambda: node.epoch == life and node.receive(answer))

    def _shown(self, node: Any, effect: Show) -> None:
        self._world.log.add(Shown(self._world.calendar.now, effect.stream.value, effect.text))
        self._show(effect.stream, effect.text)

    def _session_ran(self, _: Any, effect: SessionRan) -> None:
        self.failed = self.failed or not effect.ok

    def _give(self, node: Any, effect: Give) -> None:
        event = effect.event
        if isinstance(event, OrderHost) and self._side.name:
            refusal = Answer(event.request, False, NOT_ITS_OWN)
            self._world.calendar.call_after(0, REPLY, lambda: node.receive(refusal))
            return
        if isinstance(event, OrderHost) and event.verb is HostVerb.ADD:
            self._world.size_host(event.host, event.slots, event.more)
        receiver = self._world.nodes[node_of(effect.to, self._side.name)]
        self._world.calendar.call_after(0, REPLY, lambda: receiver.receive(event))

    def _leave(self, _: Any, effect: Leave) -> None:
        self.status = effect.status
        self._world.calendar.end()


def _is_number(word: str) -> bool:
    try:
        return 0 <= float(word) < 1e9
    except ValueError:
        return False
