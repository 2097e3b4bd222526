"""The schema for editors, the examples and the texts for people, against the loader.

Method: what is committed is compared with what is made; every example is validated by the schema and by the loader.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from shell.config import load, load_text
from shell.config.schema import json_schema, schema_text
from shell.config.template import pipeline_text, schema_path
from shell.config.topics import config_topics

CONFIGS = Path(__file__).parents[3] / "configs"
EXAMPLES = sorted(CONFIGS.glob("*.yaml"))


def as_an_editor_reads(text: str) -> Any:
    """YAML 1.2 with numbers and booleans, and dates as text."""
    return _plain(YAML(typ="safe", pure=True).load(text))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def says_valid(text: str) -> bool:
    """Whether the schema accepts the text."""
    return jsonschema.Draft202012Validator(json_schema()).is_valid(as_an_editor_reads(text))


def test_the_committed_schema_is_current() -> None:
    committed = (CONFIGS / "schema.json").read_text(encoding="utf-8")
    assert committed == schema_text(), "run: python -m shell.config.schema > configs/schema.json"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.name for path in EXAMPLES])
def test_every_example_is_right_for_the_editor_and_for_the_loader(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=schema.json\n")
    jsonschema.validate(as_an_editor_reads(text), json_schema())
    assert load(path).warnings == ()


def written() -> list[tuple[str, str]]:
    """The whole configurations that the pages for people show (not scenarios), each with the page's name."""
    root = CONFIGS.parent
    pages = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    return [
        (page.name, block)
        for page in pages
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        if re.search(r"^tasks:", block, re.MULTILINE) and not re.search(r"^pipeline:", block, re.MULTILINE)
    ]


@pytest.mark.parametrize(("page", "text"), written())
def test_every_configuration_in_the_pages_is_right(page: str, text: str) -> None:
    jsonschema.validate(as_an_editor_reads(text), json_schema())
    assert load_text(text, Path(page)).configuration.tasks


def test_the_first_file_that_people_get_is_right_and_short() -> None:
    text = pipeline_text()
    assert len(text.splitlines()) <= 15
    loaded = load_text(text)
    assert loaded.warnings == ()
    assert says_valid(text)
    assert "node3" in [host.name for host in loaded.configuration.cluster.hosts], "the README lets node3 fail"
    place = schema_path()
    assert place is not None
    assert text.startswith(f"# yaml-language-server: $schema={place.as_uri()}\n")


@pytest.mark.parametrize(
    "text",
    [
        "tasks: {t: {command: [x], pol: 1s}}",
        "tasks: {t: {command: x}}",
        "tasks: {t: {command: [x], periods: {exec: 5}}}",
        "tasks: {t: {command: [x], periods: {exec: 5 minutes}}}",
        "tasks: {t: {command: [x], slots: 0}}",
        "tasks: {t: {command: [x], host: {when_down: {tri: 3}}}}",
        "tasks: {t: {command: [x], on: {'1..3': {}}}}",
        "cluster: {order: fil}\ntasks: {t: {command: [x]}}",
        "cluster: {hosts: [{name: a, link: telnet}]}\ntasks: {t: {command: [x]}}",
        "tasks: {../x: {command: [x]}}",
        "{}",
    ],
)
def test_an_editor_marks_common_mistakes(text: str) -> None:
    assert not says_valid(text)


def test_an_editor_accepts_what_the_loader_accepts() -> None:
    text = (
        "zone: UTC\n"
        "tasks:\n  1: {command: [sleep, 5, true, ''], host: n1, environment: {A: 1}, block: {before: x},\n"
        "      on: {0: {}, 1-3: {}, timeout: {}}, retry: {on: 75}, limits: {total: none}, when_lost: {rerun: 1},\n"
        "      windows: [{days: mon, dates: 2026-01-05}]}\n"
    )
    load_text(text)
    assert says_valid(text)


def test_the_texts_for_people_name_every_key() -> None:
    topics = config_topics()
    assert {"config", "config.tasks", "config.cluster", "config.defaults", "config.shutdown"} <= set(topics)
    definitions = json_schema()["$defs"]
    everything = "\n".join(text for _, text in topics.values())
    for name, section in definitions.items():
        for key in section["properties"]:
            assert f"{key} " in everything or f"{key}\n" in everything, f"{name}.{key}"
