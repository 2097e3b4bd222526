"""Goal: a message reaches a command or a webhook once, cleaned and bounded, or it is said why not; secrets are told to
nobody else; a notifier that hangs holds up nothing.

Method: real commands in a temporary folder, and an HTTP server of the test's own on a free port of this machine, which
writes down what it gets and answers as it is told.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from collections.abc import Coroutine, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from live.errands import Errands
from live.notifying import (
    BODY_MAX,
    ITEMS_TOLD,
    SECRET_MAX,
    TEXT_MAX,
    NotifierError,
    Notifying,
    body_of,
    deliver,
    post,
    try_here,
    url_trouble,
)
from model.alarm_kinds import ALARM, RECOVERED, SUMMARY, Item, Message
from model.configuration import Notifier, Secret, Webhook
from model.effects import Notify
from model.errors import LaulimaError
from model.events import Notified
from model.job import SECOND

ITEM = Item(ALARM, "host-down", "host node1", "host node1 is down", 7)
ONE = Message(ALARM, "host node1 is down", (ITEM,))
BODY = b"{}\n"
LIMIT = 20.0


class Hook:
    """An HTTP server: `got` has (method, path, headers, body); `answer` is what the next ones get."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, dict[str, str], bytes]] = []
        self.status, self.headers, self.body = 204, {}, b""  # type: ignore[var-annotated]
        self.wait = threading.Event()
        self.wait.set()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length", "0"))
                hook.got.append(("POST", self.path, dict(self.headers), self.rfile.read(size)))
                hook.wait.wait(LIMIT)
                self.send_response(hook.status)
                for name, value in hook.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(hook.body)))
                self.end_headers()
                self.wfile.write(hook.body)

            do_GET = do_POST  # noqa: N815 - the library's name

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def end(self) -> None:
        self.wait.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.end()


def to(url: str, **headers: Secret) -> Webhook:
    return Webhook(Secret(url), tuple((name.replace("_", "-"), value) for name, value in headers.items()))


def refusal(webhook: Webhook, folder: Path, limit: float = LIMIT) -> str:
    with pytest.raises(NotifierError) as caught:
        post(webhook, folder, BODY, limit)
    return str(caught.value)


# what a message is


def test_a_message_is_one_line_of_json() -> None:
    body = body_of(ONE, "/night/pipeline.yaml", 42)
    assert body.endswith(b"}\n") and body.count(b"\n") == 1
    assert json.loads(body) == {
        "schema": 1,
        "event": "alarm",
        "level": "alarm",
        "about": "host node1",
        "text": "host node1 is down",
        "at": 42,
        "pipeline": "/night/pipeline.yaml",
        "alarms": [
            {
                "event": "alarm",
                "kind": "host-down",
                "subject": "host node1",
                "text": "host node1 is down",
                "since": 7,
            }
        ],
        "left_out": 0,
        "unsaid": 0,
    }
    assert json.loads(body_of(Message(RECOVERED, "over"), "", 0))["level"] == "info"


def test_what_came_from_outside_is_cleaned_and_cut() -> None:
    bad = "a\x1b[2Jb\nc\u202ed" + "\udcff" + "x" * 5000
    items = tuple(Item(ALARM, "job-failed", f"task {number}{bad}", bad) for number in range(500))
    body = body_of(Message(SUMMARY, bad, items), bad, 0)
    assert len(body) <= BODY_MAX
    told = json.loads(body)
    assert told["text"].startswith(r"a\x1b[2Jb\nc\u202ed\xffxxx") and len(told["text"]) == TEXT_MAX + 1
    assert len(told["alarms"]) <= ITEMS_TOLD and told["left_out"] + len(told["alarms"]) == 500


# commands


def test_a_command_gets_it_on_its_standard_input(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import sys; open('told', 'w').write(sys.stdin.read())")
    deliver(Notifier("ops", command), tmp_path, BODY, LIMIT)
    assert (tmp_path / "told").read_bytes() == BODY


def test_why_a_command_failed_is_said_with_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(NotifierError, match=r"`sh` ended with exit code 3: out err \\x1b\[2J"):
        deliver(Notifier("ops", ("sh", "-c", r"printf 'out err \033[2J' >&2; exit 3")), tmp_path, BODY, LIMIT)
    with pytest.raises(LaulimaError, match="cannot be started"):
        deliver(Notifier("ops", ("no-such-command",)), tmp_path, BODY, LIMIT)
    with pytest.raises(LaulimaError, match="was killed"):
        deliver(Notifier("ops", ("sleep", "1000")), tmp_path, BODY, 0.1)


# webhooks


def test_a_webhook_gets_it_as_a_post_with_secrets_from_elsewhere(
    hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_TOKEN", "s3cret")
    monkeypatch.setenv("HOOK_URL", hook.url)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # not for this machine
    (tmp_path / "key").write_text("fromfile\n")
    headers = (("Authorization", Secret(env="HOOK_TOKEN", prefix="Bearer ")), ("X-Key", Secret(file="key")))
    post(Webhook(Secret(env="HOOK_URL"), headers), tmp_path, BODY, LIMIT)
    ((method, path, got, body),) = hook.got
    assert (method, path, body) == ("POST", "/hook", BODY)
    assert got["Authorization"] == "Bearer s3cret" and got["X-Key"] == "fromfile"
    assert got["Content-Type"] == "application/json"


def test_why_a_webhook_did_not_take_it_is_said_without_secrets(hook: Hook, tmp_path: Path) -> None:
    hook.status, hook.body = 503, b"no\x1b[2Jroom"
    token = Secret("s3cret-token")
    text = refusal(to(hook.url + "?key=s3cret", X_Token=token), tmp_path)
    assert "http://127.0.0.1 answered 503" in text and r"no\x1b[2Jroom" in text and "s3cret" not in text
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert "refused" in refusal(to(f"http://127.0.0.1:{unused.getsockname()[1]}/s3cret"), tmp_path)
    assert "no.such.host.invalid" in refusal(to("https://no.such.host.invalid/s3cret"), tmp_path)
    hook.wait.clear()
    assert "timed out" in refusal(to(hook.url), tmp_path, 0.2)


def test_a_redirection_is_not_followed(hook: Hook, tmp_path: Path) -> None:
    hook.status, hook.headers = 302, {"Location": hook.url + "/elsewhere"}
    assert "answered 302" in refusal(to(hook.url), tmp_path)
    assert len(hook.got) == 1


def test_a_secret_that_is_not_there_or_is_no_line_is_said(hook: Hook, tmp_path: Path) -> None:
    (tmp_path / "two").write_text("a\nX-Other: b")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "long").write_text("a" * (SECRET_MAX + 1))
    for secret, word in (
        (Secret(env="LAULIMA_NO_SUCH_VARIABLE"), "LAULIMA_NO_SUCH_VARIABLE"),
        (Secret(file="none"), "No such file"),
        (Secret(file="two"), "more than one line"),
        (Secret(file="empty"), "is empty"),
        (Secret(file="long"), f"has more than {SECRET_MAX} bytes"),
    ):
        assert word in refusal(to(hook.url, X_Token=secret), tmp_path)
    assert hook.got == []


@pytest.mark.parametrize(
    ("url", "plain", "trouble"),
    [
        ("https://example.org/x", False, ""),
        ("http://localhost:8/x", False, ""),
        ("http://127.1.2.3/x", False, ""),
        ("http://[::1]:8/x", False, ""),
        ("http://example.org/x", False, "this machine only"),
        ("http://127.0.0.1.example.org/x", False, "this machine only"),
        ("http://example.org/x", True, ""),
        ("file:///etc/passwd", True, "expects a URL"),
        ("ftp://example.org/x", True, "expects a URL"),
        ("https://", False, "expects a URL"),
        ("https://a:99999/", False, "no URL"),
        ("https://user:pw@example.org/", False, "password"),
        ("https://example.org/a b", False, "no spaces"),
        ("https://example.org/\r\nX: y", False, "no spaces"),
    ],
)  # fmt: skip
def test_where_a_message_may_be_sent(url: str, plain: bool, trouble: str) -> None:
    found = url_trouble(url, plain_http=plain)
    assert trouble in found and bool(found) == bool(trouble)


# in the loop


def test_slow_notifiers_hold_up_nothing_and_each_is_answered(tmp_path: Path) -> None:
    answers: list[Notified] = []
    slow = [Notifier(f"slow{number}", ("sh", "-c", "until [ -e go ]; do sleep 0.05; done")) for number in range(8)]

    async def whole() -> None:
        errands = Errands(asyncio.get_running_loop())
        notifying = Notifying([*slow, Notifier("bad", ("false",))], tmp_path, "p", errands, answers.append)
        asked = [Notify(name, 3, ONE, int(LIMIT * SECOND)) for name in [*(each.name for each in slow), "bad", "nobody"]]
        work = [asyncio.ensure_future(notifying.notify(effect)) for effect in asked]
        try:
            async with asyncio.timeout(30):
                await work[-1]  # nobody of that name: at once
                assert [each.notifier for each in answers] == ["nobody"]
                (tmp_path / "go").touch()
                await asyncio.gather(*work)
        finally:
            errands.close()

    asyncio.run(whole())
    assert {each.notifier: each.error for each in answers if each.error} == {
        "bad": "`false` ended with exit code 1",
        "nobody": "it is not in the configuration any more",
    }
    assert len(answers) == 10


def test_a_test_message_says_what_came_back(tmp_path: Path, hook: Hook) -> None:
    notifiers = [
        Notifier("good", ("true",)),
        Notifier("bad", ("false",)),
        Notifier("hook", webhook=Webhook(Secret(hook.url))),
    ]
    found = try_here(notifiers, tmp_path, "p")
    assert [(each.name, each.how, bool(each.error)) for each in found] == [
        ("good", "true", False),
        ("bad", "false", True),
        ("hook", "webhook http://127.0.0.1", False),
    ]
    assert json.loads(hook.got[0][3])["event"] == "test"

    async def whole(body: Coroutine[Any, Any, Any]) -> Any:
        async with asyncio.timeout(30):
            return await body

    async def one() -> Any:
        errands = Errands(asyncio.get_running_loop())
        try:
            return await Notifying(notifiers, tmp_path, "p", errands, lambda _: None).test("bad")
        finally:
            errands.close()

    (tested,) = asyncio.run(whole(one()))
    assert tested.name == "bad" and "exit code 1" in tested.error
