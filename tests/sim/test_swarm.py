"""Goal: whatever goes wrong, no promise is broken, and once nothing goes wrong any more every job becomes final.

Method: small random worlds with mixed faults (`sim/swarm.py`), a hundred seeds; the oracle reads every event of each.
A failing seed is its own reproduction: `simulate(*swarm(seed))`.
"""

from __future__ import annotations

import pytest

from sim.simulation import simulate
from sim.swarm import swarm

SEEDS = 100
BLOCK = 10


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_no_promise_is_broken_and_every_job_becomes_final(first: int) -> None:
    for seed in range(first, first + BLOCK):
        result = simulate(*swarm(seed))
        assert [str(violation) for violation in result.violations] == [], f"seed {seed}"
        assert result.open == 0, f"seed {seed}"
        assert result.jobs > 0, f"seed {seed}"
        assert result.checked == result.lines


def test_the_swarm_meets_every_kind_of_fault() -> None:
    kinds = {fault.kind for seed in range(SEEDS) for fault in swarm(seed)[1].faults}
    assert {kind.value for kind in kinds} >= {
        "down", "silent", "suspended", "flapping", "reboot", "agent_restart", "full", "slow", "overloaded", "frozen",
        "restarted", "lost", "one_way", "lossy", "doubled", "reordered", "broken",
    }  # fmt: skip
