"""Goal: `laulima serve` and `laulima run --page` give a link that opens, say what is missing or wrong in words, and
leave nothing behind.

Method: the commands as processes of their own, as a person would start them; their link is read from what they print.
"""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from model.errors import LaulimaError
from shell.commands import page as command_module
from shell.detaching import command_line
from shell.page.serving import LINKS_NAME, TOKEN_NAME, bound
from tests.live.running_server import until
from tests.page.site import DEADLINE
from tests.shell.stub import Stub

PIPELINE = """
cluster: {local: {slots: 1}}
tasks:
  tick: {command: ["true"], host: local, periods: {exec: 1s}}
"""


class Command:
    """A `laulima` that runs, and the lines that it has printed."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command_line(words), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            self.lines.extend(line for line in iter(self.process.stdout.readline, "") if line)

    def link(self, word: str) -> str:
        """The link of the line that begins so."""
        found: str = until(
            lambda: next((line.rsplit(maxsplit=1)[-1] for line in list(self.lines) if line.startswith(word)), ""),
            f"a line that begins with {word!r}: {self.lines}",
        )
        return found

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code


@pytest.fixture
def laulima(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    started: list[Command] = []

    def start(*words: str) -> Command:
        started.append(Command(list(words), tmp_path))
        return started[-1]

    yield start
    for command in started:
        if command.process.poll() is None:
            command.process.kill()
        command.wait()


def asked(link: str, path: str = "/api/access") -> httpx.Response:
    address, _, token = link.partition("/#token=")
    return httpx.get(address + path, headers={"Authorization": f"Bearer {token}"}, timeout=DEADLINE, trust_env=False)


def test_serve_prints_a_link_for_looking_and_one_for_acting(
    laulima: Callable[..., Command], tmp_path: Path, stub: Stub
) -> None:
    running = laulima("serve", "--state", ".", "--control")
    looking, acting = running.link("page (looking)"), running.link("page (acting)")
    assert looking.startswith("http://127.0.0.1:")
    assert [asked(link).json()["control"] for link in (looking, acting)] == [False, True]
    links = tmp_path / LINKS_NAME
    assert stat.S_IMODE(links.stat().st_mode) == 0o600
    assert json.loads(links.read_text())["look"] == looking
    token = tmp_path / TOKEN_NAME  # for a program that reads it before each call
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert token.read_text() == looking.partition("#token=")[2]
    assert running.end() == 0
    assert not links.exists()
    assert not token.exists()


def test_ctrl_c_ends_a_page_that_somebody_looks_at(laulima: Callable[..., Command], stub: Stub) -> None:
    running = laulima("serve", "--state", ".")
    address, _, token = running.link("page").partition("/#token=")
    with httpx.stream(
        "GET", f"{address}/api/watch", headers={"Authorization": f"Bearer {token}"}, timeout=DEADLINE, trust_env=False
    ) as stream:
        assert next(stream.iter_lines()).startswith("data: ")
        assert running.end(signal.SIGINT) == 0


def test_run_with_a_page_ends_it_with_the_run(laulima: Callable[..., Command], tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    running = laulima("run", "pipeline.yaml", "--page", "--control")
    looking, acting = running.link("page (looking)"), running.link("page (acting)")
    assert [asked(link).json()["control"] for link in (looking, acting)] == [False, True]
    links = tmp_path / ".laulima" / LINKS_NAME
    pid = json.loads(links.read_text())["pid"]
    assert running.end() == 0
    assert not links.exists()
    assert not Path(f"/proc/{pid}").exists()


def test_a_demo_with_a_page_stays_until_ctrl_c(laulima: Callable[..., Command], tmp_path: Path) -> None:
    running = laulima("demo", "--files", "2", "--page", "--control")
    link = running.link("page (looking)")
    assert running.link("page (acting)")
    assert asked(link).status_code == 200
    until(lambda: any("stays until Ctrl-C" in line for line in list(running.lines)), f"it ends: {running.lines}")
    assert asked(link).status_code == 200, "when the server has ended, too"
    assert running.end(signal.SIGINT) == 0
    assert not (tmp_path / "demo" / ".laulima" / LINKS_NAME).exists()


def test_a_detached_run_says_where_its_page_is_and_ends_it(laulima: Callable[..., Command], tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    started = laulima("run", "pipeline.yaml", "--detach", "--page")
    try:
        link = started.link("page")
        assert started.wait() == 0
        assert asked(link).status_code == 200
    finally:
        assert laulima("shutdown", "--kill").wait() == 0
    until(lambda: not (tmp_path / ".laulima" / LINKS_NAME).exists(), "the page has gone")


@pytest.mark.parametrize(
    ("listen", "why"),
    [
        ("0.0.0.0:0", "would cross the network"),
        ("192.168.1.1:80", "ssh -L"),
        ("[::]:0", "would cross the network"),
        ("example.org:80", "no ADDRESS:PORT"),
        ("127.0.0.1", "no ADDRESS:PORT"),
        ("127.0.0.1:99999", "cannot listen"),
    ],
)
def test_an_address_that_others_reach_is_refused(listen: str, why: str) -> None:
    with pytest.raises(LaulimaError) as refused:
        bound(listen)
    assert why in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:0", "[::1]:0", ":0"])
def test_an_address_of_this_machine_is_taken(listen: str) -> None:
    with bound(listen) as listener:
        assert listener.getsockname()[0] in ("127.0.0.1", "::1")


def test_what_is_missing_is_said_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_module, "find_spec", lambda name: None if name == "uvicorn" else object())
    with pytest.raises(LaulimaError) as refused:
        command_module.refuse_without_extra()
    assert str(refused.value) == "the page needs uvicorn"
    assert refused.value.hint == "pip install 'laulima[web]'"
