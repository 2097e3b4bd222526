"""Goal: whole scripts in the manner of the survey's operators, with their spacing and their idioms, print what their
authors meant: answers made into pages, names of variables as arguments, dispatch by value, guarded defaults, files of
an old PC.

Method: each file of `idioms/` that ends with lines `#> …` is run on the dictionary world, and must print these, in
order, and the error lines `#! …`. The other files are loaded by them. Tasks are in `test_whole_scripts.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.language.world import HOME, Script

FOLDER = Path(__file__).parent / "idioms"
TEXTS = {path.name: path.read_bytes().decode() for path in sorted(FOLDER.glob("*.pro"))}
JUDGED = [name for name, text in TEXTS.items() if "\n#> " in text]


def expected(text: str, mark: str) -> list[str]:
    return [line.removeprefix(mark) for line in text.splitlines() if line.startswith(mark)]


@pytest.mark.parametrize("name", JUDGED)
def test_a_script_prints_what_its_author_meant(name: str) -> None:
    files = {f"{HOME}/{other}": text for other, text in TEXTS.items()}
    script = Script(files=files)
    script.more(TEXTS[name], name)
    assert script.out == expected(TEXTS[name], "#> ")
    assert script.errors == expected(TEXTS[name], "#! ")
