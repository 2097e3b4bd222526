"""Goal: the minutes of `make fuzz` are divided among all that is fuzzed. Method: the targets are counted."""

from __future__ import annotations

import importlib
from pathlib import Path

from tests.fuzz.budget import TARGETS


def test_every_target_gets_its_share() -> None:
    names = [path.stem for path in sorted(Path(__file__).parent.glob("test_*.py"))]
    modules = [importlib.import_module(f"tests.fuzz.{name}") for name in names]
    found = [name for module in modules for name, value in vars(module).items() if hasattr(value, "is_fuzz_target")]
    assert len(found) == TARGETS, found
