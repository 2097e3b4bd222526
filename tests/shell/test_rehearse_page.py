"""Goal: docs/rehearse.md shows what its commands say today, when they are run in its order on its files.

Method: the page's own filler, compared less the times that simulating took; a page that is out of date must not pass.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.rehearsing import PAGE, filled, without_times

SMALL = """\
`p.yaml`:

```yaml
tasks:
  a: {command: [a], host: local}
```

```console 2-2
$ laulima sim p.yaml --for 1m
6 ended well, 0 otherwise, 0 are open; 0 faults
```
"""


def test_the_page_shows_what_its_commands_say() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("```console") == 4
    assert without_times(filled(text)) == without_times(text), "run `make docs`"


def test_an_answer_that_is_out_of_date_is_seen(tmp_path: Path) -> None:
    made = filled(SMALL)
    assert filled(made) == made
    assert filled(made.replace(" ended well", " ended badly")) == made


def test_a_command_that_is_refused_is_no_answer() -> None:
    with pytest.raises(ValueError, match=r"(?s)exit code 2: .*no-such-option"):
        filled(SMALL.replace("--for 1m", "--no-such-option"))


def test_only_times_are_left_out_of_the_comparison() -> None:
    line = "12 h 00 simulated in 0.5 s, seed 1: 792 jobs, 1520 jobs/s"
    assert without_times(line) == without_times("12 h 00 simulated in 10.5 s, seed 1: 792 jobs, 12 520 jobs/s")
    assert without_times(line) != without_times(line.replace("792", "793"))
    worlds = "6 worlds of bad-night.yaml: 12 h 00 each, 4.6 s"
    assert without_times(worlds) == without_times(worlds.replace("4.6", "31.0"))
    assert without_times("mean_wait   63 s   -62.9 s   better") != without_times("mean_wait   64 s   -62.9 s   better")
