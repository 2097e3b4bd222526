"""Goal: patterns of sources mean what they mean to `glob`, and a folder that cannot be read is never an empty one.

Method: random trees of files, folders and dead links, each pattern asked of both.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path
from random import Random

import pytest

from live.file_patterns import matching

NAMES = ("a", "b.x", ".h", "c d", "z*", "[1]", "é")
PATTERNS = (
    "*", "a", "?", "*.x", "[az]*", ".*", "[[]1]", "a/b.x", "a/*", "*/a", "*/*", "*/", "./*", "a/../*", "a//*", ".h/*",
    "**", "**/", "**/*", "**/a", "**/*.x", "a/**", "*/**", "**/**", "**/a/**", "*/**/", "x/**/*", "nowhere/**",
)  # fmt: skip


def grow(folder: Path, random: Random) -> None:
    """A random tree."""
    folders = [folder]
    for _ in range(random.randrange(1, 25)):
        path = random.choice(folders) / random.choice(NAMES)
        what = random.random()
        if os.path.lexists(path):
            continue
        if what < 0.5:
            path.mkdir()
            folders.append(path)
        elif what < 0.9:
            path.touch()
        else:
            path.symlink_to("nowhere")


@pytest.mark.parametrize("seed", range(20))
def test_the_same_paths_match_as_for_glob(tmp_path: Path, seed: int) -> None:
    grow(tmp_path, Random(seed))
    for base in ("", f"{tmp_path}/"):
        for pattern in PATTERNS:
            wanted = sorted(glob.glob(base + pattern, root_dir=tmp_path, recursive=True))
            assert sorted(matching(base + pattern, tmp_path)) == wanted, pattern


def test_what_a_wildcard_has_found_may_be_forbidden_and_what_is_named_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    (tmp_path / "theirs").mkdir()
    scan = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("theirs"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr("os.scandir", scandir)
    assert matching("*/*", tmp_path) == ["mine/file"]
    assert matching("**/file", tmp_path) == ["mine/file"]
    with pytest.raises(PermissionError):
        matching("theirs/*", tmp_path)
