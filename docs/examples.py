"""Runs what the pages of docs/ show: files are made, commands run in their order, and their answers compared.

`make docs` calls it and writes answers that have changed into the pages; `tests/shell/test_documents.py` compares, and
the snapshots of error messages (`tests/shell/test_errors.py`) are pages of the same form. Of a page it reads

- a file: a fenced block below a line with a colon at its end, which the file's name in backquotes begins or ends;
- a `console` block: lines that begin with `$ ` are commands (`> ` goes on with one), below each stands its answer,
  stdout and stderr as a terminal would have them, and `# exit code N` where that is not 0. In an answer, `...` in a
  line stands for any characters, a line `...` for any lines; runs of blanks are one blank, and times are not compared;
- `console 1-8`, `console compared+20`: one command, and these lines of its answer (so many from the first that begins
  so). How long simulating took is no part of an answer;
- comments for what a reader need not see: `<!-- $ COMMAND -->` runs it, `<!-- until COMMAND -->` does so until it
  succeeds.

Each page has a folder of its own, which is taken away with whatever still runs there.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path

from shell.detaching import command_line
from shell.main import main

DOCS = Path(__file__).parent
SURROUNDINGS = {"COLUMNS": "110", "TZ": "UTC", "NO_COLOR": "1", "USER": "ann", "LOGNAME": "ann"}
LEFT_OUT = ("LAULIMA_STATE", "LAULIMA_TEST_ALL", "PYTHONPATH")
COMMAND_S = 90.0
"""How long one command, or one wait, may take on a loaded machine."""
LOOK_S = 0.1

ELSEWHERE = ("run", "demo", "controller", "agent", "shell", "serve")
"""Verbs that change the process they run in: each has one of its own. The others run here, which is quicker."""

_BLOCK = re.compile(
    r"^(?:`(?P<file>[\w./-]+)`[^\n]*|[^\n]* `(?P<name>[\w./-]+)`):\n\n```\w*\n(?P<text>.*?)^```\n"
    r"|^```console(?: (?P<first>[a-z]+\+|[0-9]+-)(?P<last>[0-9]+))?\n(?P<console>.*?)^```\n"
    r"|^<!-- (?P<hidden>\$|until) (?P<command>[^\n]+) -->\n",
    re.MULTILINE | re.DOTALL,
)
_COMMAND = re.compile(r"^\$ (?P<command>[^\n]*(?:\n> [^\n]*)*)\n(?P<answer>(?:(?!\$ )[^\n]*\n)*)", re.MULTILINE)
_TIMES = re.compile(r"[0-9.]+ s\b(?= in| *$|, seed)|(?<=simulated in )[0-9.]+ s|[0-9 ]+ jobs/s", re.MULTILINE)
_VARYING = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+|\b\d\d:\d\d:\d\d\b|\bpid \d+|[0-9 ]+ jobs/s|\bnow\b"
    r"|\b(?:in )?\d+(?:\.\d+)? (?:ms|s|min|h \d\d)\b(?: ago\b)?"
)
_PROGRESS = re.compile(r"\d+ of \d+ worlds, about .* left")
"""How far many worlds are: said on a slow machine only."""
_SHELL = re.compile(r"[|&;<>$`*]")


class ExampleError(Exception):
    """A page shows something that cannot be run; `str()` has the command and what it said."""


def pages() -> list[Path]:
    """The readme and the pages that have something to run."""
    files = [DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md"))]
    return [file for file in files if "\n```console" in file.read_text(encoding="utf-8")]


def filled(text: str) -> str:
    """The page with the answers of today; an answer that is right stays as it is written."""
    with _folder() as run:
        return _BLOCK.sub(lambda block: _block(block, run), text)


def without_times(text: str) -> str:
    """An answer less how long simulating took."""
    return _TIMES.sub("#", text)


def matches(shown: str, said: str) -> bool:
    """Whether an answer is the one that is shown."""
    shown, said = _VARYING.sub("#", shown), _VARYING.sub("#", said)
    parts = []
    for line in shown.splitlines():
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*?".join(re.escape(" ".join(piece.split())) for piece in line.split("...")) + r"\n")
    flat = "".join(" ".join(line.split()) + "\n" for line in said.splitlines())
    pattern = "".join(parts).replace(r".*?\n", r".*\n")
    return re.fullmatch(pattern, flat) is not None


Run = Callable[[str], tuple[int, str]]


def _block(block: re.Match[str], run: Run) -> str:
    if name := block["file"] or block["name"]:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block["text"], encoding="utf-8")
        path.chmod(0o755 if block["text"].startswith("#!") else 0o644)
        return block[0]
    if block["hidden"] == "until":
        _until(block["command"], run)
        return block[0]
    if block["hidden"]:
        code, said = run(block["command"])
        if code:
            raise ExampleError(f"{block['command']}: exit code {code}:\n{said}")
        return block[0]
    if block["first"]:
        return _excerpt(block, run)
    answered = _COMMAND.sub(lambda shown: _command(shown, run), block["console"])
    return f"```console\n{answered}```\n"


def _command(shown: re.Match[str], run: Run) -> str:
    code, said = run(shown["command"].replace("\n> ", "\n"))
    if code:
        said += f"# exit code {code}\n"
    return f"$ {shown['command']}\n{shown['answer'] if matches(shown['answer'], said) else said}"


def _excerpt(block: re.Match[str], run: Run) -> str:
    """A block that shows some lines of one answer."""
    found = _COMMAND.match(block["console"])
    if found is None:
        raise ExampleError(f"no command in:\n{block[0]}")
    code, said = run(found["command"])
    lines = [line for line in said.splitlines() if _PROGRESS.fullmatch(line) is None]
    word, last = block["first"], int(block["last"])
    if code not in (0, 1) or not lines:
        raise ExampleError(f"{found['command']}: exit code {code}: {said}")
    begin = int(word[:-1]) - 1 if word.endswith("-") else [line.startswith(word[:-1]) for line in lines].index(True)
    shown = "".join(f"{line}\n" for line in lines[begin : last if word.endswith("-") else begin + last])
    if without_times(shown) == without_times(found["answer"]):
        return block[0]
    return f"```console {word}{last}\n$ {found['command']}\n{shown}```\n"


def _until(command: str, run: Run) -> None:
    deadline = time.monotonic() + COMMAND_S
    while True:
        code, said = run(command)
        if code == 0:
            return
        if time.monotonic() > deadline:
            raise ExampleError(f"not within {COMMAND_S:.0f} s: {command}: exit code {code}:\n{said}")
        time.sleep(LOOK_S)


@contextmanager
def _folder() -> Iterator[Run]:
    """A new folder to be in, and what runs a command line there."""
    here, before = Path.cwd(), dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="laulima-page-") as place, tempfile.TemporaryDirectory() as programs:
        for name, words in (("laulima", command_line([])), ("python3", [sys.executable])):
            program = Path(programs, name)
            program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
            program.chmod(0o755)
        os.chdir(place)
        for name in LEFT_OUT:
            os.environ.pop(name, None)
        os.environ.update(SURROUNDINGS, PATH=f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
        time.tzset()
        try:
            yield lambda command: _clean(*_ran(command), Path(place))
        finally:
            os.chdir(place)
            for socket in Path(place).rglob("control.sock"):
                _ran(f"laulima shutdown --kill --state {shlex.quote(str(socket.parent))}")
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)
            time.tzset()


def _ran(command: str) -> tuple[int, str]:
    """Exit code, and what it said."""
    if command.startswith("cd "):
        os.chdir(command[3:])
        return 0, ""
    words = shlex.split(command)
    if words[0] == "laulima" and words[1:2] and words[1] not in ELSEWHERE and not _SHELL.search(_unquoted(command)):
        out = TextIOWrapper(BytesIO(), encoding="utf-8", write_through=True)
        with redirect_stdout(out), redirect_stderr(out):
            code = main(words[1:])
        out.flush()
        return code, out.buffer.getvalue().decode(errors="replace") if isinstance(out.buffer, BytesIO) else ""
    done = subprocess.run(  # noqa: S603 - the commands of our own pages
        ["/bin/bash", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=COMMAND_S,
        check=False,
    )
    return done.returncode, done.stdout.decode(errors="replace")


def _unquoted(command: str) -> str:
    return re.sub(r"'[^']*'|\"[^\"$`]*\"", "", command)


def _clean(code: int, said: str, folder: Path) -> tuple[int, str]:
    """The folder has a shorter name in answers: that of a person's."""
    return code, said.replace(str(folder.resolve()), "/home/ann/night").replace(str(folder), "/home/ann/night")


if __name__ == "__main__":
    for page in [Path(name) for name in sys.argv[1:]] or pages():
        before = page.read_text(encoding="utf-8")
        after = filled(before)
        page.write_text(after, encoding="utf-8")
        sys.stderr.write(f"{'kept' if after == before else 'WROTE'} {page}\n")
