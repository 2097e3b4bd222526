"""`laulima host check NAME`: what works on the way to a host, step by step, each with its reason and a way out.

Needs no server. The steps that only the machine itself can answer are `live/host_facts.py`, asked through the same ssh
and the same bridge that a server uses; nothing is started there.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from live.clock import wall_ns
from live.host_facts import Fact, host_facts
from live.link_ssh import SshError, SshHost
from model.configuration import Configuration, HostDefinition, Link
from model.errors import LaulimaError, NotReachableError
from model.job import SECOND
from model.views import Status
from shell.hostset import expand
from shell.selections import UsageError
from shell.session import Session
from shell.wording import clean, duration, nearest

OFFSET_MAX_NS = 2 * SECOND
"""Difference of the clocks from which on times in history and in files mislead people. (Nothing that is decided hangs
on it.)"""
RESOLVE_SECONDS = 10
CHECKS_MAX = 100
"""Hosts that one command checks."""
STEPS = ("ssh", "python", "version")
"""What must work on the way to the machine, in this order."""


def check(session: Session, *, names: Sequence[str], file: str | None) -> int:
    """Check hosts of a pipeline one after the other. Returns 1 when a step failed."""
    configuration = _configuration(session, file)
    hosts = list(dict.fromkeys(name for words in names for name in expand(words)))
    if len(hosts) > CHECKS_MAX:
        raise UsageError(f"{len(hosts)} hosts are more than the {CHECKS_MAX} that one command checks")
    known = {host.name: host for host in configuration.cluster.hosts}
    failed = 0
    for name in hosts:
        session.say(name)
        definition = known.get(name)
        if definition is None:
            hint = nearest(name, list(known)) or "; hosts that are added by hand: laulima explain host NAME"
            facts = [Fact("host", False, f"is not in {configuration.path}{hint}")]
        elif definition.link is Link.SSH:
            facts = _ssh_host(session, configuration, definition)
        elif definition.link is Link.TLS:
            facts = [_dialling_host(configuration, name)]
        else:
            facts = _process_host(session, configuration, definition)
        failed += sum(not fact.ok for fact in facts)
        for fact in facts:
            _show(session, fact)
    return 1 if failed else 0


def _show(session: Session, fact: Fact) -> None:
    session.say(f"  {fact.step:<10} {'ok    ' if fact.ok else 'FAILED'}  {clean(fact.text)}")
    if not fact.ok and fact.hint:
        session.say(f"  {'':<10} {'':<6}  {clean(fact.hint)}")


def _configuration(session: Session, file: str | None) -> Configuration:
    from shell.config import load  # noqa: PLC0415 - ruamel and pydantic are slow to import

    if file is None:
        try:
            file = session.ask({}, Status, verb="status").configuration
        except NotReachableError:
            raise UsageError("say in which pipeline the host is: --file pipeline.yaml") from None
    if not Path(file).exists():
        raise UsageError(
            f"there is no file {file}", "the pipeline that has the hosts: laulima host check NAME --file FILE"
        )
    return load(Path(file)).configuration


def _dialling_host(configuration: Configuration, name: str) -> Fact:
    """Nothing can be asked of a host that makes the connection itself; its own log says what it is told."""
    listen = configuration.cluster.listen
    assert listen is not None  # the file was checked
    command = f"laulima agent --join SERVER:{listen.port} --name {name}"
    return Fact("link", True, f"its agent dials in ({command}); laulima explain host {name} says whether it has")


def _process_host(session: Session, configuration: Configuration, definition: HostDefinition) -> list[Fact]:
    spool = session.state_to_make() / "hosts" / definition.name
    directory = definition.directory or configuration.directory
    return [Fact("resolve", True, "it is this machine"), *host_facts(spool, Path(directory).expanduser())]


def _ssh_host(session: Session, configuration: Configuration, definition: HostDefinition) -> list[Fact]:
    identity = session.state_to_make() / "identity"
    seconds = configuration.cluster.connect_ns / SECOND
    server = identity.read_text(encoding="ascii").strip() if identity.exists() else "check"

    async def checked() -> list[Fact]:
        host = SshHost(
            asyncio.get_running_loop(),
            definition,
            server=server,
            directory=configuration.directory,
            times=configuration.cluster.times,
            connect_seconds=seconds,
        )
        try:
            return [await asyncio.to_thread(_resolve, host), *await _machine(host, seconds)]
        finally:
            host.close()

    return asyncio.run(checked())


def _resolve(host: SshHost) -> Fact:
    """Whom ssh will call, as its own configuration says, and whether that name has an address here."""
    try:
        words = [*host.ssh_words(), "-G", "--", host.address]
        done = subprocess.run(  # noqa: S603 - the words are the ones that the server uses
            words, capture_output=True, text=True, errors="replace", timeout=RESOLVE_SECONDS, check=False
        )
    except NotReachableError as error:
        return Fact("resolve", False, str(error), error.hint)
    except FileNotFoundError:
        return Fact("resolve", False, "there is no program ssh in PATH", "install OpenSSH's client")
    except subprocess.TimeoutExpired:
        return Fact(
            "resolve", False, f"ssh -G did not answer within {RESOLVE_SECONDS} s", "look at ssh's configuration"
        )
    if done.returncode != 0:
        return Fact("resolve", False, done.stderr.strip() or "ssh -G failed", "look at ssh's configuration")
    said = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    name, port, user = said.get("hostname", host.address), said.get("port", "22"), said.get("user", "")
    way = said.get("proxyjump") or said.get("proxycommand") or "none"
    if way != "none":
        return Fact("resolve", True, f"{user}@{name} port {port}, through {way}")
    try:
        found = socket.getaddrinfo(name, int(port), type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        hint = "name an address, an alias of ssh's configuration, or a gate: ssh: {options: [ProxyJump=gate]}"
        return Fact("resolve", False, f"{name}: {getattr(error, 'strerror', None) or error}", hint)
    addresses = ", ".join(dict.fromkeys(str(address[4][0]) for address in found))
    return Fact("resolve", True, f"{user}@{name} port {port} ({addresses})")


async def _machine(host: SshHost, seconds: float) -> list[Fact]:
    """From ssh to what the machine says of itself."""
    began_ns = wall_ns()
    try:
        async with asyncio.timeout(seconds):
            answer = await host.check()
    except TimeoutError:
        return [Fact("ssh", False, f"no answer within {seconds:g} s: {host.ended()}", "a longer wait: cluster.connect")]
    except LaulimaError as error:
        step = error.step if isinstance(error, SshError) else STEPS[-1]
        passed = [Fact(name, True, "answers") for name in STEPS[: STEPS.index(step)]]
        return [*passed, Fact(step, False, str(error), error.hint)]
    ended_ns = wall_ns()
    if answer.wall_ns < began_ns:
        offset_ns, word = began_ns - answer.wall_ns, "behind"
    else:
        offset_ns, word = max(0, answer.wall_ns - ended_ns), "ahead"
    clock = f"{duration(offset_ns)} {word}" if offset_ns else f"the same, to {duration(ended_ns - began_ns)}"
    return [
        Fact("ssh", True, "answers"),
        Fact("python", True, f"{answer.executable} is Python {answer.python} ({answer.abi})"),
        Fact("version", True, f"laulima {answer.laulima}, protocol {answer.protocol}"),
        Fact("clock", offset_ns <= OFFSET_MAX_NS, clock, "let both machines follow the same time server"),
        *answer.facts,
    ]
