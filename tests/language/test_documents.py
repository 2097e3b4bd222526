"""Goal: what the pages say about the language is what it does. Method: the generated page is made again; the scripts
that the pages show are read and validated.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.language_commands import PAGE, page
from shell.language.commands.table import COMMANDS
from shell.language.findings import Severity
from shell.language.parsing import parse
from shell.language.validation import check

DOCS = PAGE.parents[1]


def scripts() -> list[str]:
    """Blocks without a language that hold a task."""
    text = (DOCS / "language.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block for language, block in blocks if not language and "task " in block]


def test_the_page_of_commands_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run make docs"


def test_every_command_says_what_it_is_for() -> None:
    assert [command.name for command in COMMANDS if not command.usage or not command.summary] == []


@pytest.mark.parametrize("text", scripts())
def test_the_scripts_that_are_shown_are_right(text: str) -> None:
    script = parse(text, "language.md")
    findings = check(script, {command.name: command for command in COMMANDS}, known=("paused",))
    assert [str(finding) for finding in findings if finding.severity is not Severity.NOTE] == []


def test_there_is_a_script_to_look_at() -> None:
    assert scripts()


def test_the_page_names_every_task_setting() -> None:
    text = Path(DOCS / "language.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        if command.where == "task":
            assert re.search(rf"`{command.name}\b", text) or command.name == "option", command.name
