"""Writes docs/reference/language-commands.md: every command of the task language, from the command table itself.

`make docs` runs it; `tests/language/test_documents.py` compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

from shell.language.calls import Command
from shell.language.commands.table import COMMANDS

PAGE = Path(__file__).parent / "reference" / "language-commands.md"

HEAD = """# Commands of the task language

`python -m docs.language_commands` makes this page from the command table; `help NAME` shows the same at a prompt. What
statements are, and what the words in a task mean: [language.md](../language.md). A name may be shortened to what is
unique.
"""


def page() -> str:
    """The whole text of docs/reference/language-commands.md."""
    groups: dict[str, list[Command]] = {}
    for command in COMMANDS:
        groups.setdefault(command.run.__module__.rpartition(".")[2].replace("_", " "), []).append(command)
    parts = [HEAD]
    for title in sorted(groups):
        parts.append(f"## {title.capitalize()}\n")
        parts.append("| usage | |\n|---|---|")
        parts += [f"| `{_cell(command.usage)}` | {_cell(command.summary)} |" for command in groups[title]]
        parts.append("")
    return "\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stderr.write(f"wrote {PAGE.name}: {len(COMMANDS)} commands\n")
