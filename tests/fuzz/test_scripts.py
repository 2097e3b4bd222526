"""Goal: whatever a script says, it ends in success or failure, in a bounded number of statements, and what it shows is
text; nothing else ever comes out of the interpreter.

Method: scripts of the language's own words, damaged scripts of the collection, and every command with any words, run
for some seconds of a virtual clock in the installation of the language's tests. (That the parser alone is total and
linear is `tests/language/test_parsing_properties.py`.)
"""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from shell.language.commands.table import COMMANDS
from tests.fuzz.anything import TEXTS
from tests.fuzz.budget import fuzz
from tests.language.script_world import ScriptWorld
from tests.language.test_parsing_properties import WORDS

FOLDER = Path(__file__).parents[1] / "language"
SOURCES = sorted((*FOLDER.glob("idioms/*.pro"), *FOLDER.glob("corpus/*.pro"), *FOLDER.glob("scripts/*.pro")))
TEXT = [path.read_text(encoding="utf-8", errors="replace").replace("\r", "") for path in SOURCES]
SECONDS = 0.3
"""Of the virtual clock: some 100,000 statements, after which the machine itself stops a loop."""


def run(text: str) -> None:
    world = ScriptWorld(
        text,
        job=lambda spec: (0.1, len(spec.command) % 3, "out", "err"),
        shell=lambda line: (len(line) % 3, line, 0.01),
        files={"a": "x y\nz\n", "b.txt": ""},
    )
    world.run(SECONDS)
    assert all(isinstance(shown, str) for shown in world.shown.values())


ARGUMENTS = [
    *("x", "$x", "$y", "{1/0}", "{x + 1}", "-var", "-1", "1e400", "0x", "NULL", "$x:n", "$x:0", "99999999999999999999"),
    *(
        "queuepush q",
        "queuepop q -var x",
        "book q",
        "bookprint",
        "list y",
        "strlen",
        "substr",
        "rnd",
        "date",
        "sprintf",
    ),
    *(
        "for i 0 3",
        "end",
        "if (1)",
        "echo",
        "set x =",
        "$x = $x + 1",
        "(((",
        "sqrt(",
        "**",
        "%d %s",
        "output a",
        "exec ls",
    ),
]
LINES = st.lists(st.lists(st.sampled_from(WORDS + ARGUMENTS), max_size=6).map(" ".join), max_size=15).map("\n".join)


@fuzz(100)
@given(LINES)
def test_scripts_of_known_words(text: str) -> None:
    run(text)


@fuzz(60)
@given(st.sampled_from(TEXT), st.data())
def test_damaged_scripts(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, max(0, len(text) - 1)))
    length = data.draw(st.integers(0, 12))
    inserted = data.draw(st.sampled_from(WORDS + ARGUMENTS) | TEXTS)
    run(text[:start] + inserted + text[start + length :])


NAMES = sorted(command.name for command in COMMANDS)


@fuzz(150)
@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.lists(st.sampled_from(ARGUMENTS) | TEXTS, max_size=4)).map(
            lambda pair: f"{pair[0]} {' '.join(pair[1])}"
        ),
        max_size=5,
    )
)
def test_every_command_with_any_words(lines: list[str]) -> None:
    run("\n".join(lines))
