"""How many seeds it takes to find each planted bug: `python -m tests.sim.count_seeds PAGE FOLDER`.

Counts, writes the table of the page (docs/reliability.md), and keeps in the folder (tests/regress) for each bug that
was found the smallest world that shows it; tests replay those. Called by `make torture`.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from shell.commands.torture import write_section
from shell.worlds import WrittenWorld, write_world
from sim.shrinking import shrink
from sim.swarm import swarm
from sim.torture import torture
from tests.sim.mutants import MUTANTS, Mutant

SEEDS_MAX = 1000
PROCESSES = 2


def search(mutant: Mutant) -> tuple[int, str, WrittenWorld | None]:
    """(seeds that it took, the promise that was seen broken, a small world that shows it); (0, "", None): not found."""
    with pytest.MonkeyPatch.context() as patch:
        mutant.plant(patch)
        for seed in range(SEEDS_MAX):
            problems = torture(seed).problems
            if problems:
                promise = problems[0][0]
                small = shrink(*swarm(seed), promise)
                return seed + 1, promise, WrittenWorld(mutant.text, promise, small[0], small[1], mutant.number)
    return 0, "", None


def main(page: Path, folder: Path) -> None:
    lines = ["| | planted bug | found after | by |", "|---:|---|---:|---|"]
    with ProcessPoolExecutor(PROCESSES) as workers:
        for mutant, (seeds, promise, world) in zip(MUTANTS, workers.map(search, MUTANTS), strict=True):
            if world is not None:
                write_world(world, folder / f"planted-{mutant.number:02d}-{mutant.name.replace('_', '-')}.yaml")
            found = f"{seeds} seed{'s' if seeds > 1 else ''}" if seeds else f"not in {SEEDS_MAX}"
            lines.append(f"| {mutant.number} | {mutant.text} | {found} | {promise} |")
            sys.stdout.write(lines[-1] + "\n")
            sys.stdout.flush()
    write_section(page, "planted", lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
