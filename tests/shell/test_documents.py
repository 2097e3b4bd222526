"""Goal: what README and docs/ show is true: their pipelines are valid, their commands exist, what they run says what
stands below it, their links lead somewhere, and all of it can be read offline.

Method: every YAML block is loaded; every command line is parsed; pages with `console` blocks are run by
`docs/examples.py`, whose own rules are tried on small pages.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from difflib import ndiff
from pathlib import Path

import click
import pytest

from docs.examples import ExampleError, filled, matches, pages, without_times
from shell import pages_of_docs
from shell.config import load_text
from shell.main import command
from shell.verbs import BY_NAME, VERBS
from tests.shell.stub import Ran

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
GUIDE = DOCS / "guide.md"
MADE = DOCS / "reference"
DOCUMENTS = [ROOT / "README.md", *(page for page in sorted(DOCS.rglob("*.md")) if not page.is_relative_to(MADE))]
LINKING = [*DOCUMENTS, *sorted(MADE.glob("*.md")), *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md"))]

YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:    |       )(?:\$ )?(?:cd \S+; )?laulima (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")
OF_A_SCENARIO = re.compile(r"^pipeline:", re.MULTILINE)


def difference(text: str, made: str) -> list[str]:
    return [line for line in ndiff(text.splitlines(), made.splitlines()) if line[0] in "+-"]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def shown(document: Path) -> list[str]:
    """Its pipelines. A scenario is loaded where it is run, with the pipeline that it names."""
    return [block for block in YAML.findall(document.read_text()) if not OF_A_SCENARIO.search(block)]


def commands() -> list[str]:
    return list(dict.fromkeys(line for document in DOCUMENTS for line in COMMAND.findall(document.read_text())))


def variants(line: str) -> list[str]:
    """`tasks | jobs`, `[-w]` and the like, as the command lines that they mean."""
    line = re.sub(r"\s+(#|>\s|  ).*|\\$", "", line)
    parts = line.split(" | ") if "|" in line and "[" not in line else [line]
    plain = [re.sub(r"\[[^\]]*\|[^\]]*\]", "job", part) for part in parts]
    return [re.sub(r"(?<=\s)\[([^\]|]*)\]", r"\1", part) for part in plain]


@pytest.mark.parametrize("document", [page for page in DOCUMENTS if shown(page)], ids=name_of)
def test_every_pipeline_that_is_shown_is_valid(document: Path) -> None:
    for block in shown(document):
        load_text(block, Path("shown.yaml"))


def test_readme_and_guide_show_some() -> None:
    assert all(len(shown(page)) > 0 for page in (ROOT / "README.md", GUIDE))


@pytest.mark.parametrize("line", commands())
def test_every_command_that_is_shown_exists_with_its_options(line: str) -> None:
    for words in map(shlex.split, variants(line)):
        verb = BY_NAME[words[0]]
        try:
            command(verb).make_context(verb.name, words[1:])
        except click.exceptions.Exit:
            assert "--help" in words


def test_the_guide_names_every_verb() -> None:
    text = GUIDE.read_text()
    missing = [verb.name for verb in VERBS if f"laulima {verb.name}" not in text and f"| {verb.name}" not in text]
    assert missing == []


def test_the_readme_shows_the_template_of_init() -> None:
    template = (ROOT / "shell" / "pipeline_template.yaml").read_text().partition("\n")[2]
    assert template in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("document", LINKING, ids=name_of)
def test_every_link_leads_to_a_file_that_is_there(document: Path) -> None:
    links = [link for link, _ in LINK.findall(document.read_text()) if not link.startswith(("http://", "https://"))]
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_page_can_be_found_from_the_readme() -> None:
    """The readme names it, or a page that it names does."""
    seen, coming = set[Path](), [ROOT / "README.md"]
    while coming:
        page = coming.pop().resolve()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        coming += [page.parent / link for link, _ in LINK.findall(page.read_text()) if "://" not in link]
    assert [name_of(page) for page in DOCS.rglob("*.md") if page.resolve() not in seen] == []


# what is run


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_what_a_page_runs_says_what_stands_below_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert difference(text, filled(text)) == [], "run `make docs`, and read what has changed"


def test_the_pages_are_those_that_teach() -> None:
    assert {"tutorial.md", "rehearse.md", "night-schedule.md", "required-hosts.md", "from-cron.md"} <= {
        page.name for page in pages()
    }


SMALL = """\
`p.yaml`:

```yaml
tasks:
  a: {command: [a], host: local}
```

```console 2-2
$ laulima sim p.yaml --for 1m
6 ended well, 0 otherwise, 0 are open; 0 faults
```

```console
$ laulima validate p.yaml
p.yaml is valid: ... task, 0 hosts
$ laulima validate q.yaml
there is no file q.yaml
  ...
# exit code 1
$ echo one; echo two >&2
one
two
```
"""


def test_an_answer_that_is_out_of_date_is_seen_and_one_that_is_right_stays() -> None:
    made = filled(SMALL)
    assert made == filled(made)
    assert made.count("2 ended well, 0 otherwise") == 1
    for right, wrong in (
        ("ended well", "ended badly"),
        ("1 task", "7 tasks"),
        ("two\n", "three\n"),
        ("code 1", "code 2"),
    ):
        exact = made.replace("... task", "1 task").replace("  ...", "  a small one to start from: laulima init")
        assert filled(exact.replace(right, wrong)) == exact


def test_a_command_that_is_refused_is_no_excerpt() -> None:
    with pytest.raises(ExampleError, match=r"(?s)exit code 2: .*no-such-option"):
        filled(SMALL.replace("--for 1m", "--no-such-option"))


def test_what_is_not_shown_must_succeed() -> None:
    with pytest.raises(ExampleError, match="false: exit code 1"):
        filled("<!-- $ false -->\n")
    assert filled("<!-- until true -->\n") == "<!-- until true -->\n"


@pytest.mark.parametrize(
    ("page", "said", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n...\nz\n", "a\nb\nc\nz\n", True),
        ("a\n...\nz\n", "a\nz\n", True),
        ("...\n", "", True),
        ("", "a\n", False),
        ("NAME   STATE\n", "NAME STATE\n", True),
        ("ended on ...: exit 1\n", "ended on node2: exit 1\n", True),
        ("ended on ...: exit 1\n", "ended on node2: exit 2\n", False),
        ("up 3.7 s  pid 1  12:00:01  now\n", "up 12 min  pid 77  01:02:03  2 s ago\n", True),
        ("5 jobs\n", "6 jobs\n", False),
        ("(a|b) [c] .*\n", "(a|b) [c] .*\n", True),
    ],
)
def test_dots_stand_for_anything_and_times_for_any_time(page: str, said: str, same: bool) -> None:
    assert matches(page, said) == same


def test_only_times_are_left_out_of_an_excerpt() -> None:
    line = "12 h 00 simulated in 0.5 s, seed 1: 792 jobs, 1520 jobs/s"
    assert without_times(line) == without_times("12 h 00 simulated in 10.5 s, seed 1: 792 jobs, 12 520 jobs/s")
    assert without_times(line) != without_times(line.replace("792", "793"))
    worlds = "6 worlds of bad-night.yaml: 12 h 00 each, 4.6 s"
    assert without_times(worlds) == without_times(worlds.replace("4.6", "31.0"))
    assert without_times("mean_wait   63 s   -62.9 s   better") != without_times("mean_wait   64 s   -62.9 s   better")


# offline


def test_every_page_is_a_topic(laulima: Callable[..., Ran]) -> None:
    listed = laulima("docs").out
    for topic, file in pages_of_docs.pages().items():
        assert f"\n{topic} " in listed
        assert laulima("docs", topic).out == file.read_text(encoding="utf-8").rstrip("\n") + "\n"
    assert {"tutorial", "guide", "slurm", "from-cron", "systemd", "architecture"} <= set(pages_of_docs.pages())
