"""The program of one batch system: `python -m live.batch_program --definition JSON --spool DIR ...`.

To its server it is the agent of one host with many slots: the same door, the same life, the same leaving
(`live/agent_program.py`). Instead of keepers it has a batch system. Started by `live/batch/link.py`; outlives its
server.
What is decided about jobs is in `model/batch.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from live.agent_program import Household, Settings, run_program
from live.batch.driver import SYSTEMS
from live.batch.host import BatchHost
from live.link_process import times_from_text
from model.channel import ChannelTimes
from model.configuration import HostDefinition
from model.effects import Notice


def _definition(text: str) -> HostDefinition:
    definition = msgspec.json.decode(text, type=HostDefinition)
    if definition.link not in SYSTEMS:
        raise ValueError(f"{definition.link.value} is no batch system")
    return definition


def read_arguments(arguments: list[str]) -> tuple[Settings, HostDefinition]:
    """Raises SystemExit with a sentence on stderr for wrong arguments."""
    parser = argparse.ArgumentParser(prog="laulima batch", description="One batch system.", allow_abbrev=False)
    parser.add_argument("--definition", required=True, type=_definition)
    parser.add_argument("--spool", required=True, type=Path)
    parser.add_argument("--directory", required=True, type=Path)
    parser.add_argument("--times", type=times_from_text, default=ChannelTimes())
    parser.add_argument("--ready-fd", type=int)
    found = parser.parse_args(arguments)
    host: HostDefinition = found.definition
    spool, directory = found.spool.absolute(), found.directory.absolute()
    return Settings(host.name, host.slots, spool, directory, found.times, found.ready_fd), host


def main(arguments: list[str] | None = None) -> int:
    """The program; its exit status: 0 left as it should, 1 could not start or failed."""
    settings, host = read_arguments(sys.argv[1:] if arguments is None else arguments)

    def household(
        loop: asyncio.AbstractEventLoop,
        settings: Settings,
        post: Callable[[Any], None],
        notice: Callable[[Notice], None],
        failed: Callable[[BaseException], None],
    ) -> Household:
        return BatchHost(
            loop,
            host,
            spool=settings.spool,
            directory=settings.directory,
            times=settings.times,
            post=post,
            notice=notice,
            failed=failed,
        )

    return run_program(settings, household)


if __name__ == "__main__":
    sys.exit(main())
