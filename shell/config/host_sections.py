"""The keys that say how a host is reached and where its agent lives: of one host, and of `cluster.defaults`.

Used by `sections.py` for the schema; `conversion.py` lays a host's keys over the defaults, key by key. What a dialer
does with them is `live/link_ssh.py`.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator

from model.configuration import BATCH_SYSTEMS, HostDefinition, Link, SshSettings
from shell.config.batch_sections import SlurmSection, batch_settings
from shell.config.fields import Checked, Choice, Flag, Whole
from shell.config.validation import Section
from shell.wording import clean, cut

SSH_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,254}")
"""What ssh may be given for a host: nothing that it could take for an option or a command."""
SSH_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
SSH_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9]*[= ][^\x00-\x1f]+")

BATCH_LINKS = tuple(link for link in Link if link in BATCH_SYSTEMS)
LINKS_OF_KEYS: dict[str, tuple[Link, ...]] = {
    "ssh": (Link.SSH,),
    "ship": (Link.SSH,),
    "python": (Link.SSH, *BATCH_LINKS),
    "spool": (Link.SSH, *BATCH_LINKS),
    "slurm": (Link.SLURM,),
}
"""Keys of a host that mean nothing without one of these links."""


def _check_ssh_name(text: str) -> str:
    if not SSH_NAME.fullmatch(text):
        raise ValueError(
            f'"{cut(clean(text), 60)}" cannot be given to ssh: letters, digits, . and -, a letter or digit first'
        )
    return text


def _check_user(text: str) -> str:
    if not SSH_USER.fullmatch(text):
        raise ValueError(f'"{cut(clean(text), 40)}" is not the name of a user: letters, digits, _ . and -')
    return text


def _check_option(text: str) -> str:
    if not SSH_OPTION.fullmatch(text):
        raise ValueError(f'expects an option as in ssh_config, such as ProxyJump=gate, not "{cut(clean(text), 60)}"')
    return text


def _check_word(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("expects a path or a name, without control characters")
    return text


def _check_folder(text: str) -> str:
    if not text.startswith(("/", "~/")) or not text.isprintable():
        raise ValueError(f'expects an absolute path, or one that begins with ~/, not "{cut(clean(text), 60)}"')
    return text


def _check_python(text: str) -> str:
    if text.startswith("-"):
        raise ValueError("expects a program such as python3.11 or /opt/laulima/bin/python")
    return _check_word(text)


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _address(value: object) -> object:
    """`user@name` where a mapping is expected."""
    if not isinstance(value, str):
        return value
    user, at, host = value.rpartition("@")
    return {"user": user, "host": host} if at else {"host": host}


Option = Annotated[str, Checked(_check_option, "an option such as ProxyJump=gate")]


class SshSection(Section):
    """What the site's ssh program is told; the rest says its own configuration."""

    host: Annotated[str | None, Checked(_check_ssh_name, "a host as ssh knows it")] = None
    """whom ssh calls: an alias of its configuration, or an address (default: the host's name)"""
    user: Annotated[str | None, Checked(_check_user, "a user")] = None
    """as whom (default: as ssh's configuration says)"""
    port: Annotated[int | None, Whole(1, 65535)] = None
    """at which port (default: as ssh's configuration says)"""
    options: Annotated[
        tuple[Option, ...] | None, BeforeValidator(_listed, json_schema_input_type=Option | tuple[Option, ...])
    ] = None
    """options as in ssh_config: [ProxyJump=gate, StrictHostKeyChecking=accept-new]"""
    config: Annotated[str | None, Checked(_check_word, "a path")] = None
    """another configuration file of ssh (default: the user's own)"""


class HostSettings(Section):
    """How a host is reached, and where its agent lives."""

    link: Annotated[
        str | None,
        Choice(tuple(link.value for link in Link)),
    ] = None
    """process (default): an agent on this machine; ssh: one on another machine, reached by the site's ssh program;
    tls: one that dials in to this server; slurm: a cluster under Slurm, whose commands are on this machine"""
    slurm: SlurmSection | None = None
    """with link slurm: how it is used"""
    ssh: Annotated[
        SshSection | None,
        BeforeValidator(_address, json_schema_input_type=Annotated[str, Checked(str, "a word")] | SshSection),
    ] = None
    """with link ssh: user@name, or a mapping with host, user, port, options, config"""
    python: Annotated[str | None, Checked(_check_python, "a program")] = None
    """with link ssh: the Python 3.11 or later that runs the agent there; with slurm: the Python 3.7 or later that runs
    beside each job (default python3)"""
    ship: Annotated[bool | None, Flag()] = None
    """with link ssh: true (default): the agent's code is sent there once; false: that Python has laulima installed"""
    spool: Annotated[str | None, Checked(_check_folder, "an absolute path")] = None
    """with link ssh: where agents keep their folders there, best on its own disk (default ~/.local/state/laulima);
    with slurm: a folder that all nodes and this machine share (default: in the state directory)"""
    directory: Annotated[str | None, Checked(_check_folder, "an absolute path")] = None
    """where relative paths of jobs start there (default: the folder of this file, under the same path)"""


def host_definition(name: str, slots: int, own: HostSettings, default: HostSettings, here: str) -> HostDefinition:
    """A host with its own keys laid over the defaults. `here`: where a relative `ssh.config` starts."""
    known = HostDefinition(name)
    link = Link(own.link or default.link or known.link.value)
    if link in BATCH_SYSTEMS:
        alike = default if default.link == link.value else HostSettings()  # a disk of each ssh host is not shared
        return HostDefinition(
            name,
            slots,
            link,
            python=own.python or alike.python or known.python,
            spool=own.spool or alike.spool or known.spool,
            directory=own.directory or default.directory or known.directory,
            batch=batch_settings(own.slurm or SlurmSection(), default.slurm or SlurmSection()),
        )
    if link is not Link.SSH:
        return HostDefinition(name, slots, link, directory=own.directory or default.directory or "")
    return HostDefinition(
        name,
        slots,
        link,
        _ssh(own.ssh or SshSection(), default.ssh or SshSection(), here),
        own.python or default.python or known.python,
        next((said for said in (own.ship, default.ship) if said is not None), known.ship),
        own.spool or default.spool or known.spool,
        own.directory or default.directory or known.directory,
    )


def _ssh(own: SshSection, default: SshSection, here: str) -> SshSettings:
    known = SshSettings()
    config = own.config or default.config or known.config
    if config and not config.startswith(("/", "~/")):
        config = f"{here}/{config}"
    return SshSettings(
        own.host or default.host or known.host,
        own.user or default.user or known.user,
        own.port or default.port or known.port,
        next((said for said in (own.options, default.options) if said is not None), known.options),
        config,
    )


def unlike_ssh(host: HostDefinition) -> str:
    """Why ssh cannot be given this host's name; empty: it can, or need not."""
    if host.link is not Link.SSH or host.ssh.host or SSH_NAME.fullmatch(host.name):
        return ""
    return (
        f'ssh cannot be given the name "{host.name}": letters, digits, . and - only; '
        "say under which name it knows the host: ssh: {host: NAME}"
    )
