"""How far the torture goes: a little of everything in every run of the tests, all of it by `make torture-live`, which
sets LAULIMA_TORTURE_LONG."""

from __future__ import annotations

import os
from typing import Final

LONG: Final = bool(os.environ.get("LAULIMA_TORTURE_LONG"))
SEEDS: Final = (1, 2, 3) if LONG else (1,)
JOBS: Final = 2000 if LONG else 300
"""Jobs that are submitted while everything is killed."""
POINTS: Final = 1000 if LONG else 3
"""Exact points of each kind at which a server dies, at most."""
FORKERS: Final = 500 if LONG else 20
BREAKS: Final = 100 if LONG else 8
"""How often one link breaks."""
