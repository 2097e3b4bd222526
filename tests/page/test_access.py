"""Goal: who has no token learns nothing and changes nothing, and no foreign page can use somebody's token or address.

Method: HTTP requests as browsers and others would send them, to a page on a port of its own over a stub of the server.
"""

from __future__ import annotations

import http.client
import re

import pytest

from tests.page.site import Site
from tests.shell.stub import Stub

DATA = ["/api/access", "/api/watch", "/api/jobs", "/api/explain?about=task&name=warp", "/api/output?job=1", "/metrics"]
HOLD = {"do": "hold", "about": "task", "name": "warp", "reason": "mail loop"}


def test_every_path_with_data_needs_the_token(looking: Site) -> None:
    for path in DATA:
        for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer wrong"}, {"Cookie": "token=x"}):
            answer = looking.client.get(path, headers=headers)
            assert answer.status_code == 401, path
            assert "warp" not in answer.text


def test_no_data_path_is_outside_of_the_guard(looking: Site) -> None:
    routes = [route.path for route in looking.page.routes()]
    open_to_all = {"/", "/static"}
    assert {path.partition("?")[0] for path in DATA} | {"/api/do"} == {*routes} - open_to_all
    assert {*routes} > open_to_all


def test_the_token_opens(looking: Site) -> None:
    assert looking.get("/api/access").json() == {"control": False, "simulated": False}


@pytest.mark.parametrize("host", ["evil.example.org", "127.0.0.1.evil.example.org", "127.0.0.2", "", "[", "0.0.0.0"])
def test_a_foreign_name_for_this_address_is_refused(looking: Site, host: str) -> None:
    for path in ("/", "/api/access"):
        answer = looking.get(path, Host=host)
        assert answer.status_code in (400, 421)
        assert "laulima-token" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost:8080", "localhost", "[::1]:5"])
def test_a_tunnel_may_end_at_another_port(looking: Site, host: str) -> None:
    assert looking.get("/api/access", Host=host).status_code == 200


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/api/access", "/api/nothing", "/static/../app.py"])
def test_each_answer_forbids_what_the_page_does_not_use(looking: Site, path: str) -> None:
    for answer in (looking.get(path), looking.client.get(path)):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


def test_no_file_but_those_of_the_page_is_served(looking: Site) -> None:
    for path in ("/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/app.py"):
        connection = http.client.HTTPConnection("127.0.0.1", looking.port)  # sends the path as it is
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 404
        assert b"root:" not in answer.read()
        connection.close()


def test_a_request_that_another_page_makes_is_refused(acting: Site) -> None:
    for site in ("cross-site", "same-site"):
        assert acting.get("/api/access", **{"Sec-Fetch-Site": site}).status_code == 403


def test_a_page_for_looking_changes_nothing(looking: Site, server: Stub) -> None:
    answer = looking.order(HOLD)
    assert (answer.status_code, server.requests) == (403, [])
    assert "--control" in answer.json()["error"]


def test_an_order_needs_the_token_for_control(acting: Site, server: Stub) -> None:
    answer = acting.order(HOLD, Authorization=f"Bearer {acting.tokens.look}")
    assert (answer.status_code, server.requests) == (403, [])
    assert acting.order(HOLD, Authorization="Bearer x").status_code == 401


@pytest.mark.parametrize("origin", ["http://evil.example.org", "null", "", "http://127.0.0.1:1", "https://localhost"])
def test_an_order_needs_the_page_s_own_origin(acting: Site, server: Stub, origin: str) -> None:
    answer = acting.order(HOLD, Origin=origin)
    assert (answer.status_code, server.requests) == (403, [])


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_an_order_is_of_a_kind_that_no_form_can_send(acting: Site, server: Stub, kind: str) -> None:
    answer = acting.order(HOLD, **{"Content-Type": kind})
    assert (answer.status_code, server.requests) == (400, [])


def test_the_static_files_name_no_other_site(looking: Site) -> None:
    index = looking.get("/").text
    assert re.findall(r"(?:src|href)=\"([^\"]*)\"", index)
    assert not re.findall(r"(?:src|href)=\"(?!/static/)", index)
    assert not re.findall(r"<script>|<style|style=| on[a-z]+=", index)
