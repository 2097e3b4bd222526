"""How many seeds it takes to find each planted bug: `python -m tests.sim.count_seeds PAGE FOLDER`.

Counts, writes the table of the page (docs/reliability.md), and keeps in the folder (tests/regress) for each bug that
was found the smallest world that shows it; tests replay those. Bugs that only a kernel shows have a live test instead.
Called by `make torture`.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from shell.commands.many_worlds import write_section
from shell.worlds import WrittenWorld, write_world
from sim.shrinking import shrink
from sim.swarm import swarm
from sim.torture import torture
from tests.live.planted import LIVE_MUTANTS
from tests.sim.mutants import MUTANTS, Mutant

SEEDS_MAX = 1000
PROCESSES = 2
_MISFITS = ("AttributeError", "TypeError", "NameError")
"""Errors of a bug that was planted in what is not as it was; they are no finding."""


def search(mutant: Mutant) -> tuple[int, str, WrittenWorld | None]:
    """(seeds that it took, the promise that was seen broken, a small world that shows it); (0, "", None): not found."""
    with pytest.MonkeyPatch.context() as patch:
        mutant.plant(patch)
        for seed in range(SEEDS_MAX):
            problems = torture(seed).problems
            if problems:
                promise, text = problems[0]
                if promise == "error" and text.startswith(_MISFITS):
                    raise RuntimeError(f"planted bug {mutant.number} does not fit the code any more: {text}")
                small = shrink(*swarm(seed), promise)
                return seed + 1, promise, WrittenWorld(mutant.text, promise, small[0], small[1], mutant.number)
    return 0, "", None


def main(page: Path, folder: Path) -> None:
    """Look for each; write the table and the worlds."""
    rows = {mutant.number: f"| {mutant.number} | {mutant.text} | | {mutant.promise} | yes |" for mutant in LIVE_MUTANTS}
    with ProcessPoolExecutor(PROCESSES) as workers:
        for mutant, (seeds, promise, world) in zip(MUTANTS, workers.map(search, MUTANTS), strict=True):
            if world is not None:
                write_world(world, folder / f"planted-{mutant.number:02d}-{mutant.name.replace('_', '-')}.yaml")
            found = f"{seeds} seed{'s' if seeds > 1 else ''}" if seeds else f"not in {SEEDS_MAX}"
            rows[mutant.number] = f"| {mutant.number} | {mutant.text} | {found} | {promise} | |"
            sys.stdout.write(rows[mutant.number] + "\n")
            sys.stdout.flush()
    head = ["| | planted bug | found after | by | by a live test |", "|---:|---|---:|---|---|"]
    write_section(page, "planted", [*head, *(rows[number] for number in sorted(rows))])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
