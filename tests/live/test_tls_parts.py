"""Goal: what a certificate says is read rightly, changed files are taken up, and agents do not call all at once.

Method: certificates of our own authority, compared with what openssl says of them; the pauses by themselves; the door
with nobody behind it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live import tls_door
from live.agent_joining import Pauses
from live.certificates import SERVER_NAME, CertificateError, certificate_of, read_certificate
from live.joining_words import JOIN, JoinAnswer, JoinReady, JoinRequest, line, read_word
from live.tls import Credentials, send_all, settle
from live.tls_door import Caller, TlsDoor, listen
from model.errors import NotReachableError
from model.job import SECOND
from model.messages import PROTOCOL
from shell.certificate_authority import Authority, days_left
from tests.live.link_partners import PATIENCE_SECONDS, run

needs_openssl = pytest.mark.needs("openssl", "openssl")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "tls")
    made.begin()
    made.issue("n1", days=40)
    return made


def openssl(certificate: Path, *words: str) -> str:
    command = ["openssl", "x509", "-noout", "-in", str(certificate), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@needs_openssl
@pytest.mark.parametrize(("name", "purpose"), [("n1", "Client"), (SERVER_NAME, "Server")])
def test_what_is_read_is_what_openssl_reads(authority: Authority, name: str, purpose: str) -> None:
    path = authority.certificate(name)
    found = read_certificate(path)
    assert found.name == name
    told = openssl(path, "-fingerprint", "-sha256").partition("=")[2]
    assert found.fingerprint == told.replace(":", "").lower()
    until = datetime.strptime(openssl(path, "-enddate"), "notAfter=%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
    assert found.not_after_ns == int(until.timestamp()) * SECOND
    usage = openssl(path, "-ext", "extendedKeyUsage")
    assert f"TLS Web {purpose} Authentication" in usage
    assert usage.count("TLS Web") == 1


@needs_openssl
def test_a_certificate_that_is_cut_short_is_none(authority: Authority) -> None:
    der = ssl.PEM_cert_to_DER_cert(authority.certificate("n1").read_text())
    for length in range(len(der)):
        try:
            found = certificate_of(der[:length])
        except ValueError:
            continue
        raise AssertionError(f"{length} of {len(der)} bytes were taken for {found}")


@needs_openssl
def test_files_are_for_their_owner_only(authority: Authority) -> None:
    for path in authority.folder.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


@needs_openssl
def test_what_is_there_is_not_replaced_by_accident(authority: Authority) -> None:
    before = authority.certificate("n1").read_bytes()
    with pytest.raises(CertificateError, match="already"):
        authority.begin()
    with pytest.raises(CertificateError, match="already"):
        authority.issue("n1")
    assert authority.certificate("n1").read_bytes() == before
    authority.renew("n1", days=10)
    assert days_left(authority.find("n1")) in (9, 10)


def credentials(authority: Authority, said: list[str], name: str = "n1", *, is_server: bool = True) -> Credentials:
    return Credentials(
        ca=authority.folder / "ca.pem",
        certificate=authority.certificate(name),
        key=authority.key(name),
        denied=authority.folder / "denied",
        is_server=is_server,
        complain=said.append,
    )


@needs_openssl
def test_changed_files_are_taken_up_and_broken_ones_are_told_once(authority: Authority) -> None:
    said: list[str] = []
    held = credentials(authority, said)
    first = held.context()
    assert held.context() is first
    assert not held.warning(), "40 days are left"
    authority.renew("n1", days=10)
    renewed = held.context()
    assert renewed is not first
    assert "laulima cert renew n1" in held.warning()
    authority.certificate("n1").write_text("nothing")
    assert held.context() is renewed
    assert held.context() is renewed
    assert len(said) == 1
    fingerprint = authority.renew("n1").fingerprint
    authority.revoke("n1")
    held.context()
    assert held.denied == {fingerprint}


@needs_openssl
def test_a_key_that_others_can_read_is_refused(authority: Authority) -> None:
    authority.key("n1").chmod(0o604)
    with pytest.raises(CertificateError, match="others than its owner"):
        credentials(authority, [])


def test_pauses_double_up_to_the_longest_and_differ_from_host_to_host() -> None:
    hosts = [Pauses(30.0, Random(number)) for number in range(200)]
    rounds = [[pauses.next() for pauses in hosts] for _ in range(8)]
    for number, waits in enumerate(rounds):
        highest = min(30.0, 2.0**number)
        lowest = highest / 2 if number else 0.0
        assert all(lowest <= wait <= highest for wait in waits)
        assert len({round(wait / highest, 2) for wait in waits}) > 30, "they are spread"
    hosts[0].begin_anew()
    assert hosts[0].next() <= 1.0


@needs_openssl
def test_who_finds_no_place_at_the_door_waits_for_one_and_need_not_come_again(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_door, "STRANGERS_MAX", 2)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        complaints: list[str] = []
        came: asyncio.Future[Caller] = loop.create_future()
        listening = listen("127.0.0.1", 0)
        server = credentials(authority, complaints, SERVER_NAME)
        door = TlsDoor(loop, listening, server, came.set_result, complaints.append)
        counts: list[int] = []
        context = server.context
        monkeypatch.setattr(server, "context", lambda: counts.append(len(door._strangers)) or context())
        silent = [socket.create_connection(listening.getsockname()) for _ in range(2)]
        calling = loop.create_task(_call(authority, listening.getsockname()))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(door._strangers) < 2:  # noqa: ASYNC110 - nothing announces it
                    await asyncio.sleep(0)
                silent[0].close()  # its place is free
                caller = await came
                (await calling).close()
            caller.connected.close()
            assert caller.request.name == "n1"
            assert (len(counts), max(counts)) == (3, 2), "one was not taken before another one had gone"
            assert not any("not known yet" in words for words in complaints), complaints
        finally:
            silent[1].close()
            await door.close()

    run(scenario())


async def _call(authority: Authority, address: tuple[str, int]) -> ssl.SSLSocket:
    connected = socket.create_connection(address)
    connected.setblocking(False)
    context = credentials(authority, [], is_server=False).context()
    secure = context.wrap_socket(connected, server_hostname=SERVER_NAME, do_handshake_on_connect=False)
    await settle(secure, secure.do_handshake)
    await send_all(secure, line(JoinRequest(PROTOCOL, JOIN, "n1")))
    return secure


@given(data=st.binary(max_size=400))
def test_whatever_is_said_first_is_a_word_or_an_error_of_the_peer(data: bytes) -> None:
    for kind in (JoinRequest, JoinAnswer, JoinReady):
        try:
            word = read_word(data, kind)
        except NotReachableError:
            continue
        assert read_word(line(word), kind) == word
    with suppress(ValueError):
        certificate_of(data)


@needs_openssl
def test_a_certificate_with_a_wrong_byte_is_read_or_refused(authority: Authority) -> None:
    der = ssl.PEM_cert_to_DER_cert(authority.certificate("n1").read_text())
    for at in range(len(der)):
        for value in (0x00, 0x7F, 0x80, 0x84, 0xFF):
            with suppress(ValueError):
                certificate_of(der[:at] + bytes([value]) + der[at + 1 :])
