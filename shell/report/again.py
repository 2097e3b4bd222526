"""The end of a page: the command that makes it again, and which laulima made it: version, and commit of a checkout.

Called by the pages here. What a simulation comes to is decided by its inputs and by the code: this names the code.
"""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import shell
from shell.report.html import safe

CHECKOUT = Path(str(shell.__file__)).parent.parent
"""Where the code is that runs; a checkout when it has a `.git`, and not when it was installed."""
GIT_S = 20
"""git is waited for so long."""


def again(command: str, promise: str = "") -> list[str]:
    """The last part of a page. `promise`: what the same command gives."""
    told = f"With {made_by()}. {promise}".strip()
    return ["<h2>Again</h2>", f"<pre>{safe(command)}</pre><p>{safe(told)}</p>"]


def made_by(checkout: Path = CHECKOUT) -> str:
    """`laulima 0.1.0, commit 0a1b2c3d4e5f`; of a checkout with changes that are not in it: with that word."""
    try:
        name = f"laulima {version('laulima')}"
    except PackageNotFoundError:
        name = "laulima"
    if not (checkout / ".git").exists():
        return name
    commit = _git(checkout, "rev-parse", "--short=12", "HEAD")
    if not commit:
        return f"{name}, of a checkout whose commit git does not tell"
    changed = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    return f"{name}, commit {commit}" + (" with changes" if changed or changed is None else "")


def _git(checkout: Path, *words: str) -> str | None:
    """What git says of this checkout and no other; None: nothing."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment["GIT_OPTIONAL_LOCKS"] = "0"  # it is only asked, and must not write into the checkout
    command = ["git", "--git-dir", str(checkout / ".git"), "--work-tree", str(checkout), *words]
    try:
        found = subprocess.run(  # noqa: S603 - words of our own, and no shell
            command, env=environment, capture_output=True, text=True, check=False, timeout=GIT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() if found.returncode == 0 else None
