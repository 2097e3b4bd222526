"""Writes docs/reference/: every key, command, outcome, state, reason, message, metric, exit code and scenario word.

`make docs` runs it; `tests/shell/test_reference.py` says when a page is older than the code that it is made of. Texts
come from docstrings, tables and the schema; only what leads from one to the next stands here.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import click
import msgspec

from docs.schema_tables import tables
from model import messages
from model.explain import Reason
from model.host import HostState
from model.job import Outcome
from model.resources import CPUS, MEMORY
from model.views import ResourceRow, Status
from shell.commands.learn import EXIT_CODES, OUTCOME_TEXTS, SUBMIT_CODES, figures_text
from shell.config.schema import json_schema, scenario_schema
from shell.config.topics import RULES
from shell.exposition import families
from shell.fault_words import FAULTS
from shell.main import command
from shell.verbs import VERBS, Verb

FOLDER = Path(__file__).with_name("reference")
MADE = "`make docs` makes this page of the code; change that, not this."

CONFIGURATION = """\
Which keys belong together, and examples: [the guide](../guide.md), the how-tos. Your editor knows them as well: the
first line that `laulima init` writes names the schema. Offline: `laulima docs config`.
"""
SCENARIO = """\
A scenario says what happens to a pipeline in a rehearsal, and what must come out. `laulima sim FILE` takes one. Lengths
and sizes may be drawn: `30s`, `{uniform: [1s, 5s]}`, `{exponential: 30s}`, `{lognormal: {median: 30s, sigma: 0.5}}`,
`{weibull: {shape: 0.7, scale: 1h}}`, `{choice: {10s: 0.9, 1h: 0.1}}`, or by quantiles:
`{quantiles: {0: 1s, 0.5: 20s, 0.95: 10m, 1: 1h}}`. A walk through: [rehearse.md](../rehearse.md).
"""


def pages() -> dict[str, str]:
    """Name of each page -> its text."""
    return {
        "configuration.md": _page(
            "Keys of the pipeline file", f"{CONFIGURATION}\n{RULES}\n", tables(json_schema(), "At the top")
        ),
        "scenario.md": _page(
            "Keys and words of a scenario",
            SCENARIO,
            tables(scenario_schema(), "At the top"),
            f"## Faults\n\n```text\n{FAULTS.rstrip()}\n```\n",
            f"## Figures\n\n```text\n{figures_text()}\n```\n",
        ),
        "commands.md": _page("Commands", "", *map(_command, VERBS)),
        "outcomes.md": _page("Outcomes", OUTCOMES, _outcomes()),
        "reasons.md": _page("Reasons", REASONS, "".join(f"- {reason.value}\n" for reason in Reason)),
        "messages.md": _page("Messages of the job channel", _about(messages), *map(_message, _messages())),
        "metrics.md": _page("Metrics", METRICS, _metrics()),
        "exit-codes.md": _page("Exit codes", "", f"```text\n{EXIT_CODES}\n```\n"),
    }


OUTCOMES = """\
How an attempt can end, as `history` shows it and `on:`, `retry:` and scripts name it, and what `submit --wait` makes of
it. In a file the names may be in small letters (`timed_out`).
"""
REASONS = (
    "Why something waits or is off: each WHY of `status` and each line of `explain` is one of these, with its names.\n"
)
METRICS = """\
What `laulima metrics` prints, and the page answers at `/metrics`; a name without a sample is left out. Labels and
examples of alerts: [the guide](../guide.md), part 19.
"""


def _page(title: str, *parts: str) -> str:
    return "\n".join([f"# {title}\n", f"{MADE}\n", *(part for part in parts if part)])


def _command(verb: Verb) -> str:
    made = command(verb)
    context = click.Context(made, info_name=verb.name)
    usage = " ".join(["laulima", verb.name, *made.collect_usage_pieces(context)])
    rows = []
    helps = {parameter.name: parameter.help for parameter in verb.parameters}
    for parameter in made.params:
        if isinstance(parameter, click.Argument):
            name, about = parameter.make_metavar(context), helps.get(parameter.name or "", "")
        else:
            name, about = parameter.get_help_record(context) or ("", "")
        if about:
            rows.append(f"| `{_cell(name)}` | {_cell(about)} |\n")
    table = f"\n| | |\n|---|---|\n{''.join(rows)}" if rows else ""
    example = f"\nExample: `{verb.example}`\n" if verb.example else ""
    return f"## {verb.name}\n\n`{usage}`\n\n{verb.help}\n{example}{table}"


def _outcomes() -> str:
    lines = ["| outcome | | `submit --wait` |", "|---|---|---|"]
    lines += [
        f"| `{outcome.value}` | {_cell(OUTCOME_TEXTS[outcome])} | {SUBMIT_CODES.get(outcome, '125')} |"
        for outcome in Outcome
    ]
    return "\n".join(lines) + "\n"


def _messages() -> list[type[msgspec.Struct]]:
    return [
        value for value in vars(messages).values()
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ == messages.__name__
    ]  # fmt: skip


def _message(kind: type[msgspec.Struct]) -> str:
    helps = _field_helps(kind)
    about = f"{inspect.getdoc(kind)}\n\n" if kind.__doc__ else ""
    rows = "".join(
        f"| `{field.name}` | {_cell(_type(field.type))} | {_cell(helps.get(field.name, ''))} |\n"
        for field in msgspec.structs.fields(kind)
    )
    return f"## {kind.__name__}\n\n{about}| field | | |\n|---|---|---|\n{rows}"


def _field_helps(kind: type) -> dict[str, str]:
    """The docstring below each field."""
    (body,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(body, ast.ClassDef)
    found, last = {}, ""
    for statement in body.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            last = statement.target.id
        elif last and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            found[last] = str(statement.value.value)
    return found


def _type(kind: Any) -> str:
    """A type as its name, without what only bounds it."""
    if hasattr(kind, "__metadata__"):
        return _type(get_args(kind)[0])
    if get_origin(kind) is UnionType:
        return " or ".join("nothing" if one is NoneType else _type(one) for one in get_args(kind))
    if get_origin(kind) is tuple:
        return f"list of {_type(get_args(kind)[0])}"
    return {"int": "number", "str": "text", "bool": "yes or no"}.get(name := getattr(kind, "__name__", str(kind)), name)


def _metrics() -> str:
    rows = [f"| `{one.name}` | {one.kind} | {_cell(one.help)} |" for one in families(_full(Status))]
    return "\n".join(["| name | | |", "|---|---|---|", *rows]) + "\n"


WORDS: Mapping[str, object] = {
    "state": HostState.UP.value,
    "resources": tuple(ResourceRow(name, 1, 1) for name in (CPUS, MEMORY, "gpus")),
}
"""What a row must hold for each of its samples to be there."""


def _full(kind: Any, name: str = "") -> Any:
    """A value of that type in which nothing is absent."""
    if name in WORDS:
        return WORDS[name]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind)
        return kind(**{field.name: _full(hints[field.name], field.name) for field in msgspec.structs.fields(kind)})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    if get_origin(kind) is tuple:
        return (_full(get_args(kind)[0]),)
    if get_origin(kind) is UnionType:
        return _full(get_args(kind)[0])
    made: Callable[[int], Any] = kind
    return made(1)


def _about(module: Any) -> str:
    return f"```text\n{inspect.getdoc(module)}\n```\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for page_name, page_text in pages().items():
        (FOLDER / page_name).write_text(page_text, encoding="utf-8")
    sys.stderr.write(f"wrote {len(pages())} pages of {FOLDER.name}/\n")
