"""How far the benchmarks go: what takes minutes for one figure runs by `make bench-long`, which sets
LAULIMA_BENCH_LONG."""

from __future__ import annotations

import os
from typing import Final

import pytest

LONG: Final = bool(os.environ.get("LAULIMA_BENCH_LONG"))
only_long = pytest.mark.skipif(not LONG, reason="takes minutes; by `make bench-long`")
