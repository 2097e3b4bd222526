"""The pages of docs/ that `laulima docs TOPIC` shows offline: tutorial, how-tos, explanations.

They are in the package (`shell/pages`, put there when a wheel is built), or beside it in a checkout. Called by
`commands/learn.py`.
"""

from __future__ import annotations

from pathlib import Path

FOLDERS = ("", "how-to")
"""Below docs/. The reference is left out: its texts are topics of their own, made from the running code."""


def folder() -> Path | None:
    """Where the pages of this installation are; None when there are none."""
    package = Path(__file__).parent
    return next(
        (place for place in (package / "pages", package.parent / "docs") if (place / "guide.md").is_file()), None
    )


def pages() -> dict[str, Path]:
    """Topic -> file: each page's own name."""
    place = folder()
    if place is None:
        return {}
    files = [file for name in FOLDERS for file in sorted((place / name).glob("*.md"))]
    return {file.stem: file for file in files}


def title_of(file: Path) -> str:
    """Its first line."""
    with file.open(encoding="utf-8") as lines:
        return next(lines, "").lstrip("# ").strip()
