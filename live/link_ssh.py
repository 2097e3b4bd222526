"""A host with `link: ssh`: an agent on another machine, reached by the site's own ssh program; no port is opened.

A `HostLink` of `live/hosts.py`. Belongs here: what ssh is told, what is said over it before the frames, what a failure
is called. One run of ssh is `live/ssh_process.py`; what runs there is `live/first_stage.py`, then
`live/agent_stdio.py`.

    ssh there                                          here
      noise of login scripts, kept as a reason
      MARK {stage: python, abi, held}          ->
                                               <-        one line: BridgeRequest, then the agent's code if it isn't held
      MARK {stage: agent, agent: pid}          ->
      frames of the job channel               <->        frames
      exit status: GONE or STAYS

Where the command there is a forced one (authorized_keys), or `ship: false`, the first line says `stage: bridge`, and
the rest is the same.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import socket
from typing import Final

import msgspec

from live.agent_stdio import GONE, BridgeAnswer, BridgeRequest
from live.link_process import times_text
from live.shipping import agent_archive, first_words, own_python
from live.ssh_process import SshProcess
from model.channel import ChannelTimes
from model.configuration import HostDefinition
from model.errors import LaulimaError, NotReachableError
from model.messages import PROTOCOL

DIALS_MAX: Final = 8
"""Hosts that are dialled at one time: sshd on a gate refuses more than 10 that are not known yet (MaxStartups)."""
FAREWELL_SECONDS: Final = 5.0
"""How long an agent there gets to leave, and its bridge to say so."""
SPOOLS: Final = "~/.local/state/laulima"
"""Below it, a machine keeps a folder for each server and host name, unless the configuration names another place."""
SSH_FAILED: Final = 255
NOT_FOUND: Final = 127
UNKNOWN: Final = "one that this server did not reach"
PYTHON_LEAST: Final = (3, 11)
REASON_MAX: Final = 500
"""Characters of what the other end says that are told."""
_ANSWERS: Final = {"link": "agent", "end": "ended", "check": "checked"}
"""The stage at which what was asked for is done."""
SSH_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,254}")
"""What ssh may be given for a host: nothing that it could take for an option or a command."""

_ALWAYS: Final = ("BatchMode=yes", "RequestTTY=no", "RemoteCommand=none")
_UNLESS_SAID: Final = (
    "StrictHostKeyChecking=yes",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
    "ControlMaster=no",  # one that is there is used, but no other connection comes to depend on ours
)


_WAYS_OUT: Final = (
    ("Host key verification failed", "look at its key, and accept it, once by hand: ssh {}"),
    ("Permission denied", "it wants a key that asks for nothing: ssh-copy-id {}; or ssh: {{user: …, options: […]}}"),
    ("Too many authentication failures", "offer one key only: ssh: {{options: [IdentitiesOnly=yes, IdentityFile=…]}}"),
    ("Could not resolve hostname", "name an address, or an alias of ssh's configuration: ssh: {{host: NAME}}"),
    ("Connection refused", "no sshd listens there: another port: ssh: {{port: N}}; try it by hand: ssh -v {}"),
    ("No route to host", "is it switched on, and this the way to it? by hand: ssh -v {}"),
    ("timed out", "is it switched on, and does a firewall let ssh through? by hand: ssh -v {}"),
    ("Bad configuration option", "an option that this ssh does not know: man ssh_config"),
)
"""What ssh says -> what to do about it. Its sentences are in English whatever the locale."""


def way_out(words: str, address: str) -> str:
    """What to do about the last words of an ssh that failed."""
    found = next((hint for said, hint in _WAYS_OUT if said in words), "try it by hand: ssh -v {}")
    return found.format(address)


class SshError(NotReachableError):
    """The agent there is not reached. `step`: how far it came: `ssh`, `python`, or `version` (of our code there)."""

    def __init__(self, step: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.step = step


class SshHost:
    """Reaches, and if needed starts, the agent of one host behind ssh."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        definition: HostDefinition,
        *,
        server: str,
        directory: str,
        times: ChannelTimes,
        connect_seconds: float,
        perhaps: bool = False,
    ) -> None:
        """`server`: names this server's folder there. `directory`: where the jobs' relative paths start if the
        definition says nothing. `connect_seconds`: how long ssh itself may take to connect. `perhaps`: an agent of an
        earlier life of this server may be there."""
        self._loop = loop
        self._definition = definition
        self._server = server
        self._directory = directory
        self._times = times
        self._connect_seconds = connect_seconds
        self._runs: dict[SshProcess, None] = {}
        self._linked: SshProcess | None = None
        """the run that carries, or carried last, a link"""
        self.agent = UNKNOWN if perhaps else ""
        """see `HostLink`"""

    # for the server (`HostLink` of `live/hosts.py`)

    async def dial(self) -> socket.socket:
        """See `Dialer`. Raises NotReachableError with what ssh, the other end's shell, or its Python said."""
        process = self._start()
        try:
            answer = await self._ask(process, "link")
            connected = process.release()
        except BaseException:
            process.kill()
            raise
        self._linked, self.agent = process, f"pid {answer.agent} there"
        return connected

    def ended(self) -> str:
        """The link, or the attempt to make one, is over. What ssh said last, if it said something."""
        words = ""
        for process in self._runs:
            words = process.words() or words
            process.leave()
        return words

    async def wait_gone(self, limit_seconds: float) -> bool:
        """Wait until it is known what became of the agent; False: it stays, or is out of reach."""
        process = self._linked
        if process is None:
            return not self.agent
        try:
            async with asyncio.timeout(max(limit_seconds, FAREWELL_SECONDS)):
                status = await asyncio.shield(process.ended)
        except TimeoutError:
            return False
        if status == GONE:
            self.agent = ""
        return not self.agent

    async def end_by_force(self) -> None:
        """Kill agent and keepers there. Raises NotReachableError."""
        process = self._start()
        try:
            await self._ask(process, "end")
            self.agent = ""
        finally:
            process.leave()

    async def check(self) -> BridgeAnswer:
        """What the machine is like (`laulima host check`). Raises NotReachableError."""
        process = self._start()
        try:
            return await self._ask(process, "check")
        finally:
            process.leave()

    def close(self) -> None:
        """Let go: no ssh of ours is left. The agent stays as it is."""
        for process in list(self._runs):
            process.close()
        self._runs.clear()

    # ssh

    def ssh_words(self) -> list[str]:
        """ssh and its options, without the host."""
        settings = self._definition.ssh
        seconds = max(1, round(self._connect_seconds * 0.75))
        options = (*_ALWAYS, *settings.options, *_UNLESS_SAID, f"ConnectTimeout={seconds}")
        words = ["ssh", "-T"]
        if settings.config:
            words += ["-F", os.path.expanduser(settings.config)]
        if settings.port:
            words += ["-p", str(settings.port)]
        if settings.user:
            words += ["-l", settings.user]
        for option in options:  # ssh takes the first that it is told of each
            words += ["-o", option]
        return words

    @property
    def address(self) -> str:
        """Whom ssh calls. Raises NotReachableError for a name that it could misunderstand."""
        name = self._definition.ssh.host or self._definition.name
        if not SSH_NAME.fullmatch(name):
            raise NotReachableError(
                f"{name!r} cannot be given to ssh: letters, digits, . and - are allowed",
                "say under which name ssh knows the host: ssh: {host: NAME}",
            )
        return name

    def _start(self) -> SshProcess:
        words = [*self.ssh_words(), "--", self.address, self._command()]
        process = SshProcess(self._loop, words, os.environ)
        self._runs[process] = None
        process.ended.add_done_callback(lambda _: self._runs.pop(process, None))
        return process

    def _command(self) -> str:
        """What the shell there is given."""
        python = _quoted(self._definition.python)
        if self._definition.ship:
            return first_words(python, agent_archive().digest)
        return f"exec {python} -P -m live.agent_stdio"

    # the conversation

    async def _ask(self, process: SshProcess, what: str) -> BridgeAnswer:
        """Say what is wanted; the answer to it. Raises NotReachableError with the reason."""
        stage = "no word came"
        try:
            first = _decode(await process.marked_line())
            stage = f"Python {first.python} answered there"
            code = b"" if first.held else agent_archive().data
            if first.stage == "python":
                self._judge(first)
            elif first.stage != "bridge":
                raise _unexpected(first)
            request = BridgeRequest(
                what,
                self._definition.name,
                self._definition.slots,
                f"{self._definition.spool or SPOOLS}/{self._server}/{self._definition.name}",
                self._definition.directory or self._directory,
                times_text(self._times),
                len(code),
            )
            await process.send(msgspec.json.encode(request) + b"\n" + code)
            stage = "the agent's code was sent" if code else "the agent was called"
            answer = _decode(await process.marked_line())
        except EOFError:
            raise await self._failure(process, stage) from None
        if answer.stage != _ANSWERS[what]:
            raise _unexpected(answer)
        return answer

    def _judge(self, there: BridgeAnswer) -> None:
        """Whether code of ours can run in the Python there."""
        version, abi = own_python()
        hint = "name another one with `python:`, or install laulima there and say `ship: false`"
        found = f"{self._definition.python} there is Python {there.python} ({there.abi or 'unknown'}, {there.machine})"
        numbers = tuple(int(part) for part in there.python.split(".")[:2] if part.isdigit())
        if numbers < PYTHON_LEAST:
            raise SshError("python", f"{found}: 3.11 or later is needed; {hint}")
        if there.abi != abi:
            raise SshError("python", f"{found}; the code to send is for Python {version} ({abi}); {hint}")

    async def _failure(self, process: SshProcess, stage: str) -> LaulimaError:
        """Why the other end said no more."""
        status, words = await process.last_words()
        said = f": {words}" if words else ""
        if status == SSH_FAILED:
            text = f"ssh to {self.address} failed{said or f' ({stage})'}"
            return SshError("ssh", text, way_out(words, self.address))
        if status == NOT_FOUND and stage == "no word came":
            return SshError("python", f"{self._definition.python} was not found there{said}", "name one with `python:`")
        ended = "the connection ended" if status is None else f"it ended with status {status}"
        step = "python" if stage == "no word came" else "version"
        hint = "" if self._definition.ship else "`ship: false` wants a `python:` there that has laulima installed"
        return SshError(step, f"the agent there did not start ({stage}; {ended}){said}", hint)


def _unexpected(answer: BridgeAnswer) -> SshError:
    """What an answer says that is not the wanted one."""
    if answer.stage == "failed":
        return SshError("version", f"the agent there did not start: {answer.reason[:REASON_MAX]}", answer.hint)
    return SshError("version", f"what answers there says {answer.stage[:REASON_MAX]!r}, which is no answer here")


def _decode(line: bytes) -> BridgeAnswer:
    try:
        answer = msgspec.json.decode(line, type=BridgeAnswer)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise NotReachableError(f"what answers there is not of this version: {error}") from error
    if answer.protocol not in (0, PROTOCOL):
        raise NotReachableError(
            f"laulima {answer.laulima} there speaks protocol {answer.protocol}, this one {PROTOCOL}: "
            "install the same version at both ends"
        )
    return answer


def _quoted(python: str) -> str:
    """For the shell there, which may expand `~/`."""
    return f"~/{shlex.quote(python[2:])}" if python.startswith("~/") else shlex.quote(python)
