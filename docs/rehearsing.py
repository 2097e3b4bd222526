"""Writes the answers into docs/rehearse.md: its files are made, its commands run, and what they say stands below them.

`make docs` runs it; `tests/shell/test_rehearse_page.py` compares. A command is in a block that begins with three
backticks, `console`, and which lines of the answer are shown: `1-6`, or `compared+20` (so many from the first one that
begins so). A file is in a `yaml` block below its name.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from shell.main import main

PAGE = Path(__file__).with_name("rehearse.md")
COLUMNS = "110"

_BLOCK = re.compile(
    r"^`(?P<file>[\w.-]+)`[^\n]*:\n\n```yaml\n(?P<text>.*?)^```"
    r"|^```console (?P<first>[a-z]+\+|[0-9]+-)(?P<last>[0-9]+)\n\$ laulima (?P<command>[^\n]+)\n(?P<answer>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
_TIMES = re.compile(r"[0-9.]+ s\b(?= in| *$|, seed)|(?<=simulated in )[0-9.]+ s|[0-9 ]+ jobs/s", re.MULTILINE)


def filled(text: str) -> str:
    """The page with the answers of today."""
    here, columns = Path.cwd(), os.environ.get("COLUMNS")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["COLUMNS"] = COLUMNS
        try:
            return _BLOCK.sub(_answer, text)
        finally:
            os.chdir(here)
            if columns is None:
                del os.environ["COLUMNS"]
            else:
                os.environ["COLUMNS"] = columns


def _answer(block: re.Match[str]) -> str:
    if block["file"]:
        Path(block["file"]).write_text(block["text"], encoding="utf-8")
        return block[0]
    out, errors = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        code = main(shlex.split(block["command"]))
    lines = out.getvalue().splitlines()
    if code not in (0, 1) or not lines:
        raise ValueError(f"laulima {block['command']}: exit code {code}: {errors.getvalue()}")
    word, last = block["first"], int(block["last"])
    begin = int(word[:-1]) - 1 if word.endswith("-") else [line.startswith(word[:-1]) for line in lines].index(True)
    shown = "\n".join(lines[begin : last if word.endswith("-") else begin + last])
    return f"```console {word}{last}\n$ laulima {block['command']}\n{shown}\n```"


def without_times(text: str) -> str:
    """The page less how long simulating took, which is no part of an answer."""
    return _TIMES.sub("#", text)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stderr.write(f"wrote {PAGE.name}\n")
