"""Files of `configs/` that are a part of laulima: inside the installed package, or beside it in a checkout.

Called by `shell/demo_folder.py` for the demo's pipeline, and by `shell/replay.py` for job logs.
"""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The file of this name."""
    installed = _HERE / "configs" / name
    return installed if installed.exists() else _HERE.parent / "configs" / name
