"""The prompt: lines go to a session of the server, and what they show comes back.

`Talk` is one session over the control socket; `read_lines` reads from a pipe or a dumb terminal, plainly; a real
terminal gets history, completion and editing by prompt_toolkit (imported only then). Ctrl-C ends what runs, Ctrl-D
leaves. Called by `shell/commands/shell.py`; what lines mean is the server's business.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from model.errors import LaulimaError, NotReachableError
from shell.client import Client, WokenError
from shell.completing import completions
from shell.wording import clean_lines

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document

PROMPT = "laulima: "
CONTINUATION = "     ... "
TEXT_MAX = 1 << 17
"""Letters of one block: a request of the control socket has a limit, too. Longer ones belong in a file."""
CLOSING = "end"
"""Without it no line closes a block, so it is not tried again; the one word of the language that is known here."""
FAILED = 1
PRESSES = 3
"""Of Ctrl-C while the same lines run; then the prompt is left."""


class Item(Struct):
    """See `live/prompts.py`."""

    place: int
    stream: str = ""
    text: str = ""
    ran: int = 0
    ok: bool = True
    more: bool = False
    status: int | None = None


class Read(Struct):
    items: list[Item]
    closed: bool = False


class Given(Struct):
    number: int


class Ran(Struct):
    """How a text went. `more`: a block is not closed yet, nothing was run. `status`: it said `quit`."""

    ok: bool
    more: bool = False
    status: int | None = None


class Show(Protocol):
    def __call__(self, stream: str, text: str) -> None: ...


def show(stream: str, text: str) -> None:
    """On this process's own streams. A terminal obeys none of it."""
    file = sys.stderr if stream == "error" else sys.stdout
    file.write(clean_lines(text) if file.isatty() else text)
    file.flush()


class Talk:
    """One session of the server. Not for several threads."""

    def __init__(self, client: Client, show: Show = show) -> None:
        self._client = client
        self._show = show
        self._seen = 0
        client.ask("shell_open", {}, dict[str, Any])

    def run(self, text: str) -> Ran:
        """Run lines to their end, showing what they show. Ctrl-C meanwhile ends them, not this process.

        Raises KeyboardInterrupt when that does not help (a server on a full disk waits for room)."""
        if len(text) > TEXT_MAX:
            raise LaulimaError(f"more than {TEXT_MAX} letters at once", "put them in a file: input FILE")
        number = self._client.ask("shell_text", {"text": text}, Given).number
        presses = 0
        with _woken_by_interrupts() as wake:
            while True:
                try:
                    read = self._client.ask("shell_read", {"after": self._seen}, Read, wake=wake)
                except WokenError:
                    presses += len(os.read(wake, 4096))
                    if presses >= PRESSES:
                        raise KeyboardInterrupt from None
                    self._client.ask("shell_interrupt", {}, type(None))
                    continue
                for item in read.items:
                    self._seen = item.place
                    if item.stream:
                        self._show(item.stream, item.text)
                    elif item.ran == number:
                        return Ran(item.ok, item.more, item.status)
                if read.closed:
                    raise NotReachableError("the server closed this prompt", "see its log")

    def names(self) -> dict[str, list[str]]:
        """What exists in the server now."""
        return self._client.ask("shell_names", {}, dict[str, list[str]])


class Block:
    """Lines that belong together: run when the server says that they are whole."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self.lines: list[str] = []
        self._letters = 0

    def add(self, line: str) -> Ran:
        """One more line; how they went, or that there must be `more`."""
        self.lines.append(line.rstrip("\n") + "\n")
        self._letters += len(self.lines[-1])
        if len(self.lines) > 1 and CLOSING not in line.lower() and self._letters <= TEXT_MAX:
            return Ran(ok=True, more=True)
        ran = self._talk.run("".join(self.lines))
        if not ran.more:
            self.drop()
        return ran

    def drop(self) -> None:
        """Begin anew; what was not closed is not run."""
        self.lines.clear()
        self._letters = 0


@contextlib.contextmanager
def _woken_by_interrupts() -> Iterator[int]:
    """SIGINT makes the descriptor readable instead of raising anywhere: a request is never cut in its middle."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.signal(signal.SIGINT, lambda *_: _write(writing))
    try:
        yield reading
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(reading)
        os.close(writing)


def _write(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):  # it can be read already
        os.write(descriptor, b"!")


# lines from anywhere


def read_lines(talk: Talk, lines: Iterable[str], note: Callable[[str], None], invite: Show | None = None) -> int:
    """Run line after line, blocks when they are whole. Gives the exit code: `quit N`'s, else 1 when any line failed.
    A line that fails does not keep the next ones from being run, as at a prompt."""
    failed = False
    block = Block(talk)
    for line in lines:
        ran = block.add(line)
        failed = failed or not (ran.ok or ran.more)
        if ran.status is not None:
            return ran.status
        if invite is not None:
            invite("out", CONTINUATION if ran.more else PROMPT)
    if block.lines:
        note("the last block is not closed (a missing `end`?): it was not run")
    return FAILED if failed or block.lines else 0


def plain_prompt(talk: Talk, note: Callable[[str], None]) -> int:
    """Read standard input as it comes; a terminal is invited, a pipe is not. A line that is too long is refused as
    such when so much of it has come."""
    lines = iter(lambda: sys.stdin.readline(TEXT_MAX + 1), "")
    if not sys.stdin.isatty():
        return read_lines(talk, lines, note)
    show("out", PROMPT)
    code = read_lines(talk, lines, note, show)
    show("out", "\n")
    return code


# a real terminal


def history_file() -> Path:
    """Where lines are remembered: $XDG_STATE_HOME/laulima/history, else ~/.laulima_history."""
    named = os.environ.get("XDG_STATE_HOME")
    return Path(named) / "laulima" / "history" if named else Path.home() / ".laulima_history"


def is_for_editing() -> bool:
    """Both ends are a terminal that understands more than letters."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "")


def editing_prompt(talk: Talk, note: Callable[[str], None]) -> int:
    """Ask for lines until `quit` or Ctrl-D. Gives the exit code."""
    from prompt_toolkit.patch_stdout import patch_stdout  # noqa: PLC0415 - slow to import, and only terminals need it

    session = _session(talk, note)
    block = Block(talk)
    with patch_stdout(raw=True):
        while True:
            try:
                line = session.prompt(CONTINUATION if block.lines else PROMPT)
            except KeyboardInterrupt:  # the line, or the block, is dropped
                block.drop()
                continue
            except EOFError:
                return 0
            ran = block.add(line)  # KeyboardInterrupt: the server does not do what is asked, so the prompt is left
            if ran.status is not None:
                return ran.status


def _session(talk: Talk, note: Callable[[str], None]) -> PromptSession[str]:
    from prompt_toolkit import PromptSession  # noqa: PLC0415
    from prompt_toolkit.history import FileHistory, InMemoryHistory  # noqa: PLC0415

    path = history_file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        history: Any = FileHistory(str(path))
    except OSError as error:
        note(f"lines are not remembered: {path} cannot be written: {error.strerror}")
        history = InMemoryHistory()
    return PromptSession(history=history, completer=_completer(talk), complete_while_typing=False)


def _completer(talk: Talk) -> Completer:
    from prompt_toolkit.completion import Completer, Completion  # noqa: PLC0415

    class Live(Completer):
        """Asks the server each time: tasks and hosts come and go."""

        def get_completions(self, document: Document, event: CompleteEvent) -> Iterator[Completion]:
            letters, candidates = completions(document.current_line_before_cursor, talk.names())
            for candidate in candidates:
                yield Completion(candidate, start_position=-letters)

    return Live()
