"""The live driver of the script machine: its effects carried out on this machine, its answers brought back.

What a run waits for (a shell line, a file, a job's output) is done beside the loop and answered by an event. Texts
leave in their order, and a shell line or work on a file begins only when the texts before it are written, so a script
that writes a line and then runs `cat` finds it.

Called by `live/outward.py` after the commit, as all effects; made by `live/server.py`. Nothing of the language is known
here, and nothing is decided about jobs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import structs

from live.errands import ErrandError, Errands
from live.loop import Inward
from live.outputs import Outputs
from live.prompts import Prompts
from live.script_files import use_file
from live.shell_lines import ShellLines
from live.shell_lines import Show as ShowText
from live.spool import Stream as OutputStream
from live.spool import output_name
from live.texts import Texts
from model.effects import Answer, Notice, Prepare, React
from model.errors import OperatorError
from model.events import OrderHost
from model.scripting import (
    MAIN_SESSION,
    Abandon,
    AppendText,
    Execute,
    FetchOutput,
    FileUsed,
    Give,
    Leave,
    OpenSession,
    OutputFetched,
    RunFile,
    SessionRan,
    Show,
    Stream,
    UseFile,
)

SCRIPTS = "scripts"
"""The script machine's name among the machines of the loop."""
FILE_SECONDS = 60.0
"""How long work on a file may take; the script is told then that it failed."""
TEXT_SECONDS = 5.0
"""How long a shell line or work on a file waits for earlier texts; a reader that has stopped reading, or a dead disk,
does not hold scripts for longer."""
OUTPUT_MAX = 16 << 20
"""Bytes of one stream of a job that a script gets."""
CLOSE_SECONDS = 2.0
"""How long the last texts may take when the server ends."""

Post = Callable[[str, object], None]
_STREAM_NAMES = {Stream.OUT: "standard output", Stream.ERROR: "standard error"}


class ScriptDriver:
    """Everything is called in the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        errands: Errands,
        outputs: Outputs,
        mask: int,
        directory: str,
        *,
        post: Post,
        say: Callable[[Notice], None],
        failed: Callable[[BaseException], None],
        leave: Callable[[bool | None, int], None],
        order_host: Callable[[OrderHost], None],
    ) -> None:
        """`mask`: the user's umask, for files and shell lines of scripts. `directory`: where relative paths of files
        start. `post(machine, event)`: see `Turns.post`. `failed` gets the exception of a bug of ours; `leave(kill,
        status)` ends the server soon. `order_host` gives an order to the controller; raises OperatorError."""
        self._loop = loop
        self._errands = errands
        self._outputs = outputs
        self._mask = mask
        self._directory = directory
        self._post = post
        self._say = say
        self._failed = failed
        self._leave = leave
        self._order_host = order_host
        self._lines = ShellLines(loop, errands, mask)
        self._texts = Texts(loop, mask, lambda text: say(Notice("warning", "", text)))
        self._waits: dict[int, asyncio.Task[None]] = {}
        """by run: what it waits for"""
        self._tasks: set[asyncio.Task[None]] = set()
        """the same, and what nobody waits for any more"""
        self._ends: dict[int, asyncio.Future[SessionRan]] = {}
        self._files_run = 0
        self._prompts: Prompts | None = None

    def join(self, prompts: Prompts) -> None:
        """Where what prompts are shown goes."""
        self._prompts = prompts

    def handlers(self) -> dict[type, Callable[[str, Any], None]]:
        """What is carried out here, by kind of effect."""
        return {
            Execute: self._execute,
            UseFile: self._use_file,
            FetchOutput: self._fetch_output,
            Abandon: self._abandon,
            Show: self._show,
            AppendText: self._append_text,
            SessionRan: self._session_ran,
            Give: self._give,
            Leave: self._leave_by_script,
        }

    # script files of the server

    def open_main(self, name: str, directory: str) -> None:
        """Before the first `run_file`."""
        self._post(SCRIPTS, OpenSession(MAIN_SESSION, name, directory))

    def run_file(self, path: str, arguments: tuple[str, ...]) -> asyncio.Future[SessionRan]:
        """Run a script file in the main session; the future gets its end."""
        self._files_run += 1
        future: asyncio.Future[SessionRan] = self._loop.create_future()
        self._ends[self._files_run] = future
        self._post(SCRIPTS, RunFile(MAIN_SESSION, self._files_run, path, arguments))
        return future

    async def shown(self) -> None:
        """What scripts have said until now is with its readers, so what is said next comes after it."""
        await self._texts.written(TEXT_SECONDS)

    async def close(self) -> None:
        """End shell lines by force, write the last texts, give up the rest."""
        self._lines.kill()
        for future in self._ends.values():
            future.cancel()
        self._waits.clear()
        if self._tasks:  # a line that was killed is reaped within a moment
            _, late = await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._texts.close(CLOSE_SECONDS)

    # what a run waits for

    def _execute(self, machine: str, effect: Execute) -> None:
        show = None if effect.session == MAIN_SESSION else self._shower(effect.session)
        self._start(effect.run, self._lines_after_texts(effect, show))

    async def _lines_after_texts(self, effect: Execute, show: ShowText | None) -> object | None:
        await self._texts.written(TEXT_SECONDS)
        return await self._lines.run(effect, show)

    def _shower(self, session: int) -> ShowText:
        return lambda stream, text: self._show(SCRIPTS, Show(session, stream, text))

    def _use_file(self, machine: str, effect: UseFile) -> None:
        self._start(effect.run, self._file_used(effect))

    async def _file_used(self, effect: UseFile) -> FileUsed:
        await self._texts.written(TEXT_SECONDS)
        effect = structs.replace(effect, path=os.path.join(self._directory, effect.path))
        try:
            used: FileUsed = await self._errands.run(lambda: use_file(effect, self._mask), FILE_SECONDS)
        except ErrandError as error:
            return FileUsed(effect.run, ok=False, error=f"{effect.path}: {error}")
        return used

    def _fetch_output(self, machine: str, effect: FetchOutput) -> None:
        self._start(effect.run, self._output_fetched(effect))

    async def _output_fetched(self, effect: FetchOutput) -> OutputFetched:
        spool = self._outputs.spool(effect.host)
        try:
            if spool is None:
                outputs = await self._outputs_elsewhere(effect)
            else:
                paths = [f"{spool}/{output_name(effect.job, effect.attempt, stream)}" for stream in _OUTPUTS]
                outputs = await self._errands.run(lambda: [_output(path) for path in paths], FILE_SECONDS)
        except (OSError, ErrandError, OperatorError) as error:
            return OutputFetched(effect.run, "", "", f"its output cannot be read: {error}")
        notes = [
            f"{left_out} bytes of its {stream} are left out, {OUTPUT_MAX >> 20} MiB are given"
            for stream, (_, left_out) in zip(_OUTPUTS, outputs, strict=True)
            if left_out
        ]
        return OutputFetched(effect.run, outputs[0][0], outputs[1][0], "; ".join(notes))

    async def _outputs_elsewhere(self, effect: FetchOutput) -> list[tuple[str, int]]:
        """The same of a host that is another machine; one that is away gets the time that a dead disk would get."""
        found = []
        try:
            async with asyncio.timeout(FILE_SECONDS):
                for stream in _OUTPUTS:
                    text, left_out = await self._outputs.text(
                        effect.host, effect.job, effect.attempt, stream, OUTPUT_MAX
                    )
                    found.append((text.decode(errors="replace"), left_out))
        except TimeoutError:
            raise OperatorError(f"host {effect.host} did not send it within {FILE_SECONDS:g} s") from None
        return found

    def _start(self, run: int, work: Awaitable[object | None]) -> None:
        """Do the work beside the loop; its result is the run's answer."""
        self._waits[run] = task = self._loop.create_task(self._answered(run, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answered(self, run: int, work: Awaitable[object | None]) -> None:
        task = asyncio.current_task()
        try:
            answer = await work
        except Exception as error:  # noqa: BLE001 - a bug of ours: handed to the server, which leaves
            self._failed(error)
            return
        finally:
            wanted = self._waits.get(run) is task
            if wanted:
                del self._waits[run]
        if wanted and answer is not None:
            self._post(SCRIPTS, answer)

    def _abandon(self, machine: str, effect: Abandon) -> None:
        """What the run waits for is ended by itself, or is of no interest: its answer is dropped."""
        self._lines.abandon(effect.run)
        self._waits.pop(effect.run, None)

    # texts

    def _show(self, machine: str, effect: Show) -> None:
        if effect.session == MAIN_SESSION:
            self._texts.show(_STREAM_NAMES[effect.stream], effect.text)
        elif self._prompts is not None:
            self._prompts.show(effect.session, effect.stream, effect.text)

    def _append_text(self, machine: str, effect: AppendText) -> None:
        self._texts.append(effect.path, effect.text)

    def _session_ran(self, machine: str, effect: SessionRan) -> None:
        if effect.session == MAIN_SESSION:
            future = self._ends.pop(effect.number, None)
            if future is not None and not future.done():
                future.set_result(effect)
        elif self._prompts is not None:
            self._prompts.ran(effect)

    # to other machines, and out

    def _give(self, machine: str, effect: Give) -> None:
        event = effect.event
        if not isinstance(event, OrderHost):
            self._post(effect.to, event)
            return
        try:
            self._order_host(event)
        except OperatorError as error:
            self._post(SCRIPTS, Answer(event.request, False, f"{error} ({error.hint})" if error.hint else str(error)))

    def _leave_by_script(self, machine: str, effect: Leave) -> None:
        self._leave(effect.kill, effect.status)


def inward() -> dict[type, Inward]:
    """What the scheduler and the script machine say to each other passes within a turn, so what follows from it is in
    the same transaction. A host is made known to the driver first, so an order about one leaves the ordinary way."""
    return {
        Prepare: lambda effect: (SCRIPTS, effect),
        React: lambda effect: (SCRIPTS, effect),
        Answer: lambda effect: (SCRIPTS, effect) if effect.request < 0 else None,
        Give: lambda effect: None if isinstance(effect.event, OrderHost) else (effect.to, effect.event),
    }


_OUTPUTS: tuple[OutputStream, OutputStream] = ("stdout", "stderr")


def _output(path: str) -> tuple[str, int]:
    """What a job wrote, and how many bytes are left out. A job that wrote nothing has no file. Raises OSError."""
    try:
        with open(path, "rb") as file:
            text = file.read(OUTPUT_MAX)
            file.seek(0, 2)
            return text.decode(errors="replace"), max(0, file.tell() - len(text))
    except FileNotFoundError:
        return "", 0
