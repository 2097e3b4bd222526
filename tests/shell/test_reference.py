"""Goal: docs/reference/ says what the code says, all of it.

Method: each page is made anew and compared; that nothing is missing is counted against the enums and tables.
"""

from __future__ import annotations

import pytest

from docs.reference import FOLDER, pages
from docs.schema_tables import tables
from model.explain import Reason
from model.job import Outcome
from shell.verbs import VERBS, parameters

PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_old_as_its_code(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name], "run `make docs`"


def test_no_page_is_of_another_time() -> None:
    by_others = {"states.md", "language-commands.md"}
    assert {page.name for page in FOLDER.glob("*.md")} == {*PAGES, *by_others}


def test_nothing_is_missing() -> None:
    assert all(f"`{outcome.value}`" in PAGES["outcomes.md"] for outcome in Outcome)
    assert all(f"- {reason.value}\n" in PAGES["reasons.md"] for reason in Reason)
    for verb in VERBS:
        part = PAGES["commands.md"].partition(f"## {verb.name}\n")[2].partition("\n## ")[0]
        assert verb.help in part
        assert all(flag in part for parameter in parameters(verb) for flag in parameter.flags), verb.name
    assert "`tasks.NAME.windows[]`" in PAGES["configuration.md"]
    assert "| `p95_" not in PAGES["scenario.md"]
    for word in ("`plans[]`", "lognormal", "Figures", "WHERE WHAT"):
        assert word in PAGES["scenario.md"]
    assert "`laulima_host_memory_bytes_used`" in PAGES["metrics.md"]
    assert "## Assign" in PAGES["messages.md"]


SCHEMA = {
    "properties": {
        "hosts": {"anyOf": [{"type": "string", "$comment": "a host"}, {"items": {"$ref": "#/$defs/Host"}}]},
        "length": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3, "description": "how\nlong | wide"},
        "word": {"enum": ["a", "b"]},
        "names": {"type": "array", "items": {"type": "string", "$comment": "a name"}},
    },
    "required": ["word"],
    "$defs": {"Host": {"description": "one host", "properties": {"name": {"const": "x"}}}},
}


def test_a_table_says_value_default_and_need() -> None:
    text = tables(SCHEMA, "Top")
    assert "| `length` | whole number from 1 to 9 | how long \\| wide (default `3`) |" in text
    assert "| `word` | `a` or `b` | **needed**;  |" in text
    assert "| `names` | list of a name |" in text
    assert "## `hosts[]`\n\nOne host\n" in text
    assert "| `name` | `x` |" in text
