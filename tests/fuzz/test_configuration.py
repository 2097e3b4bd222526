"""Goal: whatever stands in a configuration or a scenario, it is loaded or refused in one way; nothing else ever comes
out of the loader.

Method: Hypothesis, with random text, random bytes, YAML-like text, damaged examples, and right structure with wrong
values. Every refusal must be sorted, located inside of the text and safe to print.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from model.errors import ConfigurationError
from shell.config import InvalidConfiguration, load_text
from shell.config.loading import LoadedConfiguration
from shell.config.reading import parse_bytes
from shell.config.scenario import load_scenario_text
from shell.wording import clean
from tests.fuzz.budget import fuzz

ROOT = Path(__file__).parents[2]
SURVEY = (ROOT / "configs" / "survey.yaml").read_text(encoding="utf-8")


def load_or_refuse(text: str) -> LoadedConfiguration | None:
    """The configuration, or None after a look at the refusal."""
    try:
        return load_text(text)
    except InvalidConfiguration as error:
        lines = str(error).splitlines()
        assert all(clean(line) == line for line in lines)
        assert lines[-1].endswith("Nothing was started.")
        spots = [problem.spot for problem in error.problems if problem.spot is not None]
        assert spots == sorted(spots)
        assert all(
            1 <= spot.line <= text.count("\n") + text.count("\r") + 2 + text.count("\x85") for spot in spots
        ) or ("\u2028" in text or "\u2029" in text)
        return None


@fuzz(100)
@given(st.text(max_size=200))
@example("a: \ud800")
@example("a: 'x\x85\u2028")
@example("%YAML 9.9\n---\n")
@example("%TAG ! x\n---\na: !y 1")
@example("? \n")
@example("!<")
@example("a: !<x")
@example("&")
@example("a: |99\n x")
@example('"\\x')
@example("tasks: {a: {environment: {? : 1}}}")
def test_any_text(text: str) -> None:
    load_or_refuse(text)


@fuzz(100)
@given(st.text("ab:-?!&*|>%@`'\"{}[],#\n \t\\x0\r<~.", max_size=60))
def test_text_of_yamls_own_characters(text: str) -> None:
    load_or_refuse(text)


@fuzz(100)
@given(st.binary(max_size=100))
def test_any_bytes(content: bytes) -> None:
    with contextlib.suppress(InvalidConfiguration):
        assert isinstance(parse_bytes(content, "f.yaml").data, dict)


@fuzz(100)
@given(st.integers(0, len(SURVEY) - 1), st.integers(0, 8), st.text(":-{}[] \n\t#&*!'\"ax01.", max_size=4))
def test_a_damaged_file(start: int, length: int, inserted: str) -> None:
    load_or_refuse(SURVEY[:start] + inserted + SURVEY[start + length :])


WORDS = st.sampled_from(
    """
    tasks t command call host any local n1 name required true false wait when_down try periods exec timeout none 10m 1h
    5 -1 windows days mon-fri from to 18:00 zone UTC dates calendar exclude each files lines done on 0 1-3 crash default
    retry notify me run cluster hosts slots link process ssh defaults calendars shutdown on_exit limits in_flight block
    before 2026-01-01..2026-02-01 environment A n[1-3] n[ ../x $item
    """.split()  # noqa: SIM905 - 70 quoted words are harder to read
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | WORDS | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=20,
)


@fuzz(100)
@given(
    st.dictionaries(
        st.sampled_from(["tasks", "cluster", "defaults", "calendars", "notify", "zone", "shutdown"]), VALUES, max_size=5
    )
)
@example({"tasks": {"t": {"call": "\ud800"}, "\ud800": {}}})
def test_known_words_in_any_order(data: dict[str, Any]) -> None:
    load_or_refuse(json.dumps(data, ensure_ascii=True))


TASK_KEYS = st.fixed_dictionaries(
    {"command": st.just(["x", "$item"])},
    optional={
        "host": VALUES,
        "each": st.sampled_from([{"done": "a"}, {"done": "b"}, {"files": "x"}, {"lines": ["x"]}, {}]),
        "windows": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "days": st.sampled_from(["mon-fri", "sat", ["sun", "mon"], "x"]),
                    "from": st.sampled_from(["18:00", "00:00", "24:00"]),
                    "to": st.sampled_from(["18:00", "06:00", "24:00", "00:00"]),
                    "dates": st.sampled_from(["2026-01-01..2026-01-09", "2026-02-01", ["1900-01-01", "2200-12-31"]]),
                    "calendar": st.sampled_from(["h", "x"]),
                    "zone": st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
                    "exclude": st.sampled_from(["true", "false"]),
                },
            ),
            max_size=3,
        ),
        "slots": st.integers(0, 9).map(str),
        "periods": st.dictionaries(
            st.sampled_from(["exec", "poll", "timeout", "pending"]), st.sampled_from(["1s", "none", "0s", "5"])
        ),
        "on": st.dictionaries(st.sampled_from(["0", "1-3", "crash", "timeout", "timed-out"]), VALUES, max_size=2),
    },
)


@fuzz(100)
@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), TASK_KEYS, max_size=3))
def test_nearly_right_tasks(tasks: dict[str, Any]) -> None:
    data = {
        "tasks": tasks,
        "cluster": {"hosts": [{"name": "n[1-3]", "slots": "4"}]},
        "calendars": {"h": ["2026-12-25"]},
    }
    loaded = load_or_refuse(json.dumps(data))
    if loaded is not None:
        assert [task.name for task in loaded.configuration.tasks] == list(tasks)


# scenarios

SCENARIO = (ROOT / "configs" / "scenarios").glob("*.yaml")
SCENARIOS = sorted(path.read_text(encoding="utf-8") for path in SCENARIO)


def play_or_refuse(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        load_scenario_text(text, ROOT / "configs" / "scenarios" / "x.yaml")


@fuzz(60)
@given(st.sampled_from(SCENARIOS), st.data())
def test_a_damaged_scenario(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(0, 8))
    inserted = data.draw(st.text(":-{}[] \n\t#&*!'\"ax01.", max_size=4))
    play_or_refuse(text[:start] + inserted + text[start + length :])


FAULT_WORDS = ["controller", "node3", "frozen", "down", "10m+5m", "02:00-04:00", "x", "n1", "lossy", "0.5", "5s"]
FAULTS = st.lists(st.lists(st.sampled_from(FAULT_WORDS), max_size=4).map(" ".join), max_size=3)
TASKS = st.dictionaries(
    WORDS,
    st.dictionaries(
        st.sampled_from(["run", "exit", "crash", "never_ends", "stdout", "not_found", "items"]),
        VALUES | st.dictionaries(st.sampled_from(["uniform", "lognormal", "every", "SEGV", "3"]), VALUES, max_size=2),
        max_size=3,
    ),
    max_size=2,
)


@fuzz(60)
@given(
    st.fixed_dictionaries(
        {"pipeline": st.just("../survey.yaml")},
        optional={
            "seed": VALUES,
            "for": VALUES,
            "faults": FAULTS | VALUES,
            "tasks": TASKS,
            "network": VALUES,
            "x": VALUES,
        },
    )
)
def test_known_words_of_scenarios_in_any_order(data: dict[str, Any]) -> None:
    play_or_refuse(json.dumps(data))
