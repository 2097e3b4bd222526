"""Writes docs/laulima.1, the manual page, from the table of commands (`shell/manual_page.py`).

`make docs` runs it; `tests/shell/test_manual_page.py` compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

from shell.manual_page import manual_page

PAGE = Path(__file__).with_name("laulima.1")

if __name__ == "__main__":
    PAGE.write_text(manual_page(), encoding="utf-8")
    sys.stderr.write(f"wrote {PAGE.name}\n")
