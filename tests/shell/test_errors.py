"""Goal: whatever a person can get wrong is answered with its cause, its place and a way out, in these very words.

Method: `errors/*.md` are snapshots, pages of the form of `docs/examples.py`: files, commands, what they say. After a
change of a message run this file with LAULIMA_UPDATE=1 and read the difference. That no error of the code lacks a way
out is looked up in the code itself.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from difflib import ndiff
from pathlib import Path

import pytest
from msgspec.structs import replace

from docs.examples import filled
from live.hello import HelloError, Side, check, own_hello
from live.link_ssh import way_out
from shell.file_errors import unreadable, unwritable

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOTS = sorted((Path(__file__).parent / "errors").glob("*.md"))
NEEDS = {"ssh": ("ssh", "openssh-server"), "certificates": ("openssl", "openssl")}
DISTINCT_MIN = 80
UPDATE = bool(os.environ.get("LAULIMA_UPDATE"))

ANSWER = re.compile(
    r"^\$ (?P<command>[^\n]+)\n(?P<said>(?:(?!\$ |```)[^\n]*\n)*?)# exit code (?P<code>[0-9]+)\n", re.MULTILINE
)
WITHOUT_SERVER = "LaulimaError OperatorError ConfigurationError NotReachableError WaitedTooLongError CertificateError"


def _marked(page: Path) -> object:
    marks = [pytest.mark.needs(*NEEDS[page.stem])] if page.stem in NEEDS else []
    return pytest.param(page, id=page.stem, marks=marks)


@pytest.mark.parametrize("page", [_marked(page) for page in SNAPSHOTS])
def test_each_mistake_is_answered_in_these_words(page: Path) -> None:
    before = page.read_text(encoding="utf-8")
    after = filled(before)
    if UPDATE:
        page.write_text(after, encoding="utf-8")
    changes = [line for line in ndiff(before.splitlines(), after.splitlines()) if line[0] in "+-"]
    assert changes == [], "if the change is meant: LAULIMA_UPDATE=1 pytest tests/shell/test_errors.py"


def answers() -> Iterator[re.Match[str]]:
    for page in SNAPSHOTS:
        yield from ANSWER.finditer(page.read_text(encoding="utf-8"))


def test_each_answer_has_a_way_out_and_no_traceback() -> None:
    for answer in answers():
        assert "Traceback" not in answer["said"], answer[0]
        lines = answer["said"].splitlines()
        assert len(lines) > 1, answer[0]
        assert lines[-1].startswith("  "), answer[0]


def test_there_are_many_of_them() -> None:
    said = {
        answer["said"].splitlines()[0].partition("   ")[2] or answer["said"].splitlines()[0] for answer in answers()
    }
    assert len(said) >= DISTINCT_MIN


def test_no_error_of_a_command_is_without_a_way_out() -> None:
    """UsageError has one by rule (`shell/main.py`), others by their class."""
    classes = set(WITHOUT_SERVER.split())
    bare = []
    for file in sorted((ROOT / "shell").rglob("*.py")):
        if file.is_relative_to(ROOT / "shell" / "language") or file.name in ("app.py", "playback.py"):
            continue  # the language says statement and line, and `help`; the page has buttons
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in classes:
                words = [*node.args, *node.keywords]
                if len(words) < 2 or (isinstance(words[1], ast.Constant) and not words[1].value):
                    bare.append(f"{file.relative_to(ROOT)}:{node.lineno}")
    assert bare == []


@pytest.mark.parametrize(
    ("error", "way_out"),
    [
        (FileNotFoundError(2, "No such file or directory"), "mkdir -p there"),
        (OSError(28, "No space left on device"), "df -h there"),
        (PermissionError(13, "Permission denied"), "ls -ld there"),
        (OSError(5, "Input/output error"), "ls -ld there"),
    ],
)
def test_what_cannot_be_written_says_what_to_type(error: OSError, way_out: str) -> None:
    made = unwritable(Path("there/run.jsonl"), error)
    assert str(made) == f"there/run.jsonl cannot be written: {error.strerror}"
    assert way_out in made.hint


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("ann@node1: Permission denied (publickey,password).", "ssh-copy-id ann@node1"),
        ("Host key verification failed.", "once by hand: ssh ann@node1"),
        ("ssh: Could not resolve hostname node1: Name or service not known", "ssh: {host: NAME}"),
        ("ssh: connect to host node1 port 22: Connection timed out", "does a firewall let ssh through"),
        ("ssh: connect to host node1 port 22: No route to host", "is it switched on"),
        ("Received disconnect: Too many authentication failures", "IdentitiesOnly=yes"),
        ("something new", "try it by hand: ssh -v ann@node1"),
    ],
)
def test_what_ssh_says_is_answered_with_what_to_do(said: str, hint: str) -> None:
    assert hint in way_out(said, "ann@node1")


def test_an_agent_of_another_version_is_named_with_both_versions() -> None:
    own = own_hello(Side.SUPERIOR, "node1", 1)
    with pytest.raises(HelloError) as caught:
        check(own, replace(own_hello(Side.AGENT, "node1", 1), protocol=99, laulima="9.9"))
    assert f"laulima {own.laulima} (protocol {own.protocol}), the agent has laulima 9.9 (protocol 99)" in str(
        caught.value
    )
    assert "install the same version" in str(caught.value)
    assert "stop the older one" in caught.value.hint


def test_what_may_not_be_read_says_who_may() -> None:
    assert unreadable("a.yaml", PermissionError(13, "Permission denied"), "").hint == "who may read it: ls -l a.yaml"
    assert unreadable("a.yaml", OSError(5, "Input/output error"), "another disk").hint == "another disk"
