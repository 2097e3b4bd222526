"""Goal: what README and guide show is true: their pipelines are valid, their commands exist, with these options.

Method: every YAML block is loaded, every command line is parsed (not run).
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from shell.config import load_text
from shell.main import command
from shell.verbs import BY_NAME, VERBS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "docs" / "guide.md"]

YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^    (?:\$ )?(?:cd \S+; )?laulima (.+)$", re.MULTILINE)


def commands() -> list[str]:
    return [line for document in DOCUMENTS for line in COMMAND.findall(document.read_text())]


def variants(line: str) -> list[str]:
    """`tasks | jobs`, `[-w]` and the like, as the command lines that they mean."""
    line = re.sub(r"\s+#.*", "", line)
    parts = line.split(" | ") if "|" in line and "[" not in line else [line]
    plain = [re.sub(r"\[[^\]]*\|[^\]]*\]", "job", part) for part in parts]
    return [re.sub(r"(?<=\s)\[([^\]|]*)\]", r"\1", part) for part in plain]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_pipeline_that_is_shown_is_valid(document: Path) -> None:
    blocks = YAML.findall(document.read_text())
    assert blocks
    for block in blocks:
        load_text(block, Path("shown.yaml"))


@pytest.mark.parametrize("line", commands())
def test_every_command_that_is_shown_exists_with_its_options(line: str) -> None:
    for words in map(shlex.split, variants(line)):
        verb = BY_NAME[words[0]]
        try:
            command(verb).make_context(verb.name, words[1:])
        except click.exceptions.Exit:
            assert "--help" in words


def test_the_guide_names_every_verb() -> None:
    text = DOCUMENTS[1].read_text()
    missing = [verb.name for verb in VERBS if f"laulima {verb.name}" not in text and f"| {verb.name}" not in text]
    assert missing == []


def test_the_readme_shows_the_template_of_init() -> None:
    template = (ROOT / "shell" / "pipeline_template.yaml").read_text().partition("\n")[2]
    assert template in DOCUMENTS[0].read_text()
