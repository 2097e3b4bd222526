"""The keys of `cluster` that let agents dial in: where the server listens, and which hosts may come by themselves.

Used by `sections.py` for the schema, by `conversion.py` and by `checks.py`. What they mean is `live/joining.py`.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import Field

from model.configuration import JoinSettings, ListenSettings
from shell.config.fields import Checked, Whole
from shell.config.resource_sections import Labels, Resources, amounts
from shell.config.validation import Section
from shell.hostset import HostSetError, expand
from shell.wording import clean, cut

PORT = 7433
"""Where a server listens unless it is said."""
CERTIFICATES = "tls"
"""The folder of certificates, beside the pipeline, unless it is said."""
JOINED_MAX = 10_000
SLOTS_MAX = 1_000_000


def _check_address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(
            f'expects an address of this machine, or 0.0.0.0 for all of them, not "{cut(clean(text), 60)}"'
        ) from None
    return text


def _check_names(text: str) -> str:
    try:
        expand(text)
    except HostSetError as error:
        raise ValueError(f"{error}; {error.hint}") from None
    return text


def _check_folder(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("expects a folder")
    return text


class ListenSection(Section):
    """Where the server waits for agents that dial in (link: tls)."""

    address: Annotated[str, Checked(_check_address, "an address such as 0.0.0.0")]
    """an address of this machine, or 0.0.0.0 for all of them"""
    port: Annotated[int, Whole(1, 65535)] = PORT
    """TCP port (default 7433)"""
    certificates: Annotated[str | None, Checked(_check_folder, "a folder")] = None
    """the folder that `laulima cert init` has made (default tls, beside this file)"""


class JoinSection(Section):
    """Hosts that may come and go by themselves."""

    names: Annotated[str, Checked(_check_names, "a host set such as gpu[01-64]")]
    """a host set: gpu[01-64]"""
    hosts_max: Annotated[int | None, Whole(1, JOINED_MAX)] = None
    """how many at one time at most (default: all of the names)"""
    slots_max: Annotated[int, Whole(1, SLOTS_MAX)]
    """how many slots they may have together"""
    resources: Resources = Field(default_factory=dict)
    """how much of each resource they may have together (default: none)"""
    labels: Labels = ()
    """labels that they may have (default: none)"""


def listen_settings(section: ListenSection | None, here: str) -> ListenSettings | None:
    """`here`: where a relative folder starts."""
    if section is None:
        return None
    folder = section.certificates or CERTIFICATES
    return ListenSettings(section.address, section.port, folder if folder.startswith("/") else f"{here}/{folder}")


def join_settings(section: JoinSection | None) -> JoinSettings | None:
    """The names, each once."""
    if section is None:
        return None
    names = expand(section.names)
    hosts_max = section.hosts_max or len(names)
    return JoinSettings(names, hosts_max, section.slots_max, amounts(section.resources), section.labels)
