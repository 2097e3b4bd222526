"""Goal: what people install is whole: from a wheel, in an environment of its own, away from the source, the first five
minutes work, offline, at a terminal.

Method: the wheel is built and installed as pip does it, but for its dependencies, which are those of this environment
(nothing is fetched); the demo runs under a pseudo-terminal.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from shell import pages_of_docs
from shell.replay import SHIPPED
from tests.shell.leftovers import left_of

ROOT = Path(__file__).resolve().parents[2]
BUILD_S = 120
COMMAND_S = 90


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT, check=True, capture_output=True, timeout=BUILD_S,
    )  # fmt: skip
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`laulima` in an environment that has the wheel, and finds the dependencies here."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=BUILD_S)
    python = folder / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", str(python), "install",
         "--no-deps", "--no-index", str(wheel)],
        check=True, capture_output=True, timeout=BUILD_S,
    )  # fmt: skip
    ask = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(ask, check=True, capture_output=True, text=True, timeout=COMMAND_S).stdout.strip())
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "laulima"


def environment(program: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LAULIMA_", "PYTHON"))}
    return {**kept, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "TERM": "xterm"}


def said(program: Path, folder: Path, *words: str) -> str:
    return subprocess.run(
        [str(program), *words], cwd=folder, env=environment(program), check=True, capture_output=True, text=True,
        timeout=COMMAND_S,
    ).stdout  # fmt: skip


def test_every_page_and_example_is_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    missing = [
        topic
        for topic in pages_of_docs.pages()
        if not {f"shell/pages/{topic}.md", f"shell/pages/how-to/{topic}.md"} & names
    ]
    assert missing == [], "a page of docs/ is not among those of the wheel: pyproject.toml, force-include"
    assert {"shell/configs/schema.json", "shell/pipeline_template.yaml", "shell/configs/demo.yaml"} <= names
    assert {f"shell/configs/{file}" for file in SHIPPED.values()} <= names
    assert not any(name.startswith(("tests/", "docs/", "benchmarks/")) for name in names)


def test_the_first_commands_of_the_readme(program: Path, tmp_path: Path) -> None:
    assert "tutorial" in said(program, tmp_path, "docs")
    assert said(program, tmp_path, "docs", "slurm").startswith("# How to run jobs on a Slurm cluster\n")
    assert "laulima" in said(program, tmp_path, "--version")
    said(program, tmp_path, "init")
    schema = re.match(r"# yaml-language-server: \$schema=file://(\S+)\n", (tmp_path / "pipeline.yaml").read_text())
    assert schema is not None
    assert Path(schema[1]).is_relative_to(program.parent.parent), "the schema of this installation"
    assert Path(schema[1]).is_file()
    assert "is valid" in said(program, tmp_path, "validate", "pipeline.yaml")
    assert " ended well, 0 otherwise, 0 are open" in said(program, tmp_path, "sim", "pipeline.yaml", "--for", "17m")


def test_the_demo_at_a_terminal(program: Path, tmp_path: Path) -> None:
    terminal, theirs = pty.openpty()
    child = subprocess.Popen(
        [str(program), "demo", "--files", "40"], cwd=tmp_path, env=environment(program), stdin=theirs, stdout=theirs,
        stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(terminal, 1 << 16):
            shown += piece
    except OSError:  # how a terminal tells that nobody is at its other end
        pass
    finally:
        os.close(terminal)
        code = child.wait(COMMAND_S)
    text = shown.decode()
    assert code == 0, text
    assert "demo done in" in text
    assert re.search(r"lost\s+0", text)
    assert "\x1b[" in text, "there is progress to see at a terminal"
    assert left_of(tmp_path) == []
