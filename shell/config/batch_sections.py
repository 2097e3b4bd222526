"""The keys of a host that is a batch system (`link: slurm`): how its jobs are submitted and asked for.

Used by `host_sections.py`. What they mean is `model.configuration.BatchSettings`; which options are not
taken is said by the file of the batch system.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BeforeValidator

from live.batch.slurm import Slurm
from model.configuration import BatchSettings
from model.job import SECOND
from shell.config.fields import Checked, Duration, Whole
from shell.config.validation import Section
from shell.wording import clean, cut

T = TypeVar("T")

ARRAY_MAX = 100_000
"""Most elements of one submission that can be asked for; the batch system's own limit is lower as a rule."""


def _check_option(text: str) -> str:
    name = text.partition("=")[0]
    if not text.startswith("--") or not text.isprintable() or len(name) < 4:
        raise ValueError(
            f'expects a long option of sbatch with its value, such as --partition=night, not "{cut(clean(text), 60)}"'
        )
    if name in Slurm.reserved:
        raise ValueError(f"{name} is said by laulima itself and cannot be changed")
    return text


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Option = Annotated[str, Checked(_check_option, "an option such as --partition=night")]


class SlurmSection(Section):
    """How a cluster under Slurm is used."""

    options: Annotated[
        tuple[Option, ...] | None, BeforeValidator(_listed, json_schema_input_type=Option | tuple[Option, ...])
    ] = None
    """more options for sbatch: [--partition=night, --account=survey]"""
    poll: Annotated[int | None, Duration(SECOND // 10)] = None
    """how often squeue is asked, once for all jobs (default 5s)"""
    window: Annotated[int | None, Duration(0)] = None
    """jobs that come within it are submitted together, as one array (default 250ms)"""
    array_max: Annotated[int | None, Whole(1, ARRAY_MAX)] = None
    """how many together at most; less than Slurm's MaxArraySize (default 1000)"""
    lease: Annotated[int | None, Duration(60 * SECOND)] = None
    """how long jobs there run on when no server is heard; only then they are lost (default 24h)"""


def batch_settings(own: SlurmSection, default: SlurmSection) -> BatchSettings:
    """A host's own keys laid over the defaults."""
    known = BatchSettings()
    return BatchSettings(
        options=_said(own.options, default.options, known.options),
        poll_ns=_said(own.poll, default.poll, known.poll_ns),
        window_ns=_said(own.window, default.window, known.window_ns),
        array_max=_said(own.array_max, default.array_max, known.array_max),
        lease_ns=_said(own.lease, default.lease, known.lease_ns),
    )


def _said(own: T | None, default: T | None, known: T) -> T:
    if own is not None:
        return own
    return known if default is None else default
