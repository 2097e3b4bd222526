"""`laulima replay FILE`: what a server recorded with `--decisions` is decided again by the machines of this version.

Reading is `live/decisions.py`'s, deciding and comparing `model/replaying.py`'s; here is what a person reads.
"""

from __future__ import annotations

import time
from pathlib import Path

from live.decisions import DECODING, Recording
from model.errors import ConfigurationError
from model.replaying import Replayed
from model.replaying import replay as replay_entries
from shell.session import Session
from shell.wording import count, thousands


def replay(session: Session, *, file: str, json: bool) -> int:
    """Go through a recording; 0 when all that was decided live is decided now, 1 with the first difference."""
    recording = Recording(Path(file))
    began = time.perf_counter()
    try:
        done = replay_entries(recording.entries(), DECODING)
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be read: {error.strerror}", "laulima run FILE --decisions RECORDING makes one"
        ) from error
    took_s = time.perf_counter() - began
    if json:
        session.say_json(
            {"schema": 1, "file": file, "same": done.difference is None, "cut": recording.cut, **_told(done)}
        )
    else:
        for line in _lines(file, done, recording.cut, took_s):
            session.say(line)
    return 0 if done.difference is None else 1


def _told(done: Replayed) -> dict[str, object]:
    return {name: getattr(done, name) for name in done.__struct_fields__}


def _lines(file: str, done: Replayed, cut: int, took_s: float) -> list[str]:
    each = ", ".join(f"{name} {thousands(events)}" for name, events in done.machines.items())
    rate = f", {thousands(round(done.events / took_s))} events/s" if done.events and took_s > 0.0 else ""
    lines = [
        f"{file}: {count(done.lives, 'life', 'lives')}, {count(done.events, 'event')} ({each or 'no machine'}){rate}"
    ]
    lines += [f"the recording ended early: {why}" for why in done.ends]
    if cut:
        lines.append(f"the last {count(cut, 'byte')} are of a turn that was not finished: left out")
    if done.difference is None:
        return [*lines, f"all {count(done.effects, 'effect')} as they were decided live (100 %)"]
    return [*lines, f"{count(done.effects, 'effect')} are the same; then, in {done.difference}"]
