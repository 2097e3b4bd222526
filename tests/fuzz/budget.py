"""How long the fuzzers look: a number of examples with the tests, minutes by command (`make fuzz MINUTES=60`).

Each test here is one promise about everything that can be read from outside: only the named errors come out, in bounded
time and memory, and nothing else has changed. What fails is kept in `.hypothesis/` (Hypothesis tries it first next
time) and printed with a `@reproduce_failure` line; put it beside the test as an `@example` with its repair.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings

MINUTES = float(os.environ.get("LAULIMA_FUZZ_MINUTES", "0"))
"""For all targets together; 0: the small number of examples that belongs to every test run."""
TARGETS = 32
"""Among which the minutes are divided (`test_budget.py` counts them)."""
RUN: dict[str, int] = {}
"""Examples that were tried, by target."""


def fuzz(examples: int) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """A test from a function under `@given` (or under several examples and one `@given`), which takes nothing else."""

    def made(tested: Callable[..., None]) -> Callable[[], None]:
        name = f"{tested.__module__.rpartition('.')[2]}.{tested.__name__}"
        body: Any = tested.hypothesis.inner_test  # type: ignore[attr-defined]

        def counted(*words: Any, **named: Any) -> None:
            RUN[name] = RUN.get(name, 0) + 1
            body(*words, **named)

        counted.__name__, counted.__module__, counted.__doc__ = tested.__name__, tested.__module__, tested.__doc__
        tested.hypothesis.inner_test = counted  # type: ignore[attr-defined]

        phases = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
        checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
        limited: Any = settings(
            max_examples=examples,
            deadline=None,
            phases=phases,
            suppress_health_check=checks,
            print_blob=True,
            derandomize=not MINUTES,
        )(tested)

        def run() -> None:
            limited()
            end = time.monotonic() + MINUTES * 60 / TARGETS
            while MINUTES and time.monotonic() < end:
                limited()  # each time other examples
            if MINUTES:
                print(f"\n{name}: {RUN[name]} examples")  # with -s, for whoever waits

        run.__name__, run.__module__, run.__doc__ = tested.__name__, tested.__module__, tested.__doc__
        run.is_fuzz_target = True  # type: ignore[attr-defined]
        return run

    return made
