"""Goal: `laulima bisect` finds the first event in which two event logs differ, and says what led to it.

Method: logs of real rehearsals; one of them changed by hand at a known line.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from shell.main import main

PIPELINE = """\
cluster:
  hosts: [{name: "node[1-2]", slots: 1}]
tasks:
  warp: {command: [warp], periods: {exec: 1m}}
"""


@pytest.fixture
def logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Path, Path]:
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text(PIPELINE)
    paths = (tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    for path in paths:
        assert main(["sim", str(pipeline), "--for", "10m", "--log", str(path)]) == 0
    capsys.readouterr()
    return paths


def bisect(logs: tuple[Path, Path], capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str, str]:
    code = main(["bisect", str(logs[0]), str(logs[1]), *more])
    said = capsys.readouterr()
    return code, said.out, said.err


def line_with(path: Path, words: str, which: int) -> int:
    """The number (from 1) of the `which`-th line that has these words."""
    return [at for at, line in enumerate(path.read_text().splitlines(), 1) if words in line][which]


def test_the_same_run(logs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = bisect(logs, capsys)
    assert code == 0
    assert out.startswith("the same: ")


def test_the_first_event_that_differs_with_its_job(logs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    lines = logs[1].read_text().splitlines()
    at = line_with(logs[1], '"process end"', 3)
    changed = json.loads(lines[at - 1])
    changed["exit_code"] = 3
    lines[at - 1] = json.dumps(changed, separators=(",", ":"))
    lines[at + 5] = lines[at + 5].replace("0", "1")  # later differences do not matter
    logs[1].write_text("\n".join(lines) + "\n")
    code, out, _ = bisect(logs, capsys)
    assert code == 1
    assert f"the same for {at - 2} events, then they part" in out
    assert out.count(f"line {at} ") == 2
    assert "they differ in exit_code: 0 and 3" in out
    story = out.partition("the job's last events, in both:")[2]
    assert f"job={changed['job']}" in story
    assert "process start" in story
    assert "attempt given" in story


def test_one_log_ends_before_the_other(logs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    lines = logs[1].read_text().splitlines()
    logs[1].write_text("\n".join(lines[:50]) + "\n")
    code, out, _ = bisect(logs, capsys)
    assert code == 1
    assert "b.jsonl:\n  has ended" in out
    assert "line 51 " in out


def test_headers_are_compared_and_passed(
    logs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sim", str(tmp_path / "pipeline.yaml"), "--for", "10m", "--seed", "2", "--log", str(logs[1])]) == 0
    capsys.readouterr()
    code, out, _ = bisect(logs, capsys)
    assert code == 1
    assert "their headers differ: seed 1 and 2" in out
    assert "the same: " in out  # runs of 5 s each: no chance decides anything


def test_packed_logs_and_json(logs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    packed = logs[0].with_suffix(".jsonl.gz")
    packed.write_bytes(gzip.compress(logs[0].read_bytes()))
    code, out, _ = bisect((packed, logs[1]), capsys, "--json")
    assert (code, json.loads(out)["differ"]) == (0, False)


@pytest.mark.parametrize("damaged", [lambda packed: packed[:-20], lambda packed: packed[:200] + b"x" * 100])
def test_a_damaged_packed_log_is_said_to_be_damaged(
    logs: tuple[Path, Path], capsys: pytest.CaptureFixture[str], damaged: Callable[[bytes], bytes]
) -> None:
    packed = logs[1].with_suffix(".jsonl.gz")
    packed.write_bytes(damaged(gzip.compress(logs[1].read_bytes())))
    code, _, err = bisect((logs[0], packed), capsys)
    assert code == 1
    assert f"{packed}: the compressed file is damaged" in err


@pytest.mark.parametrize("text", ["", "not a log\n", '{"event":"life","t":0,"node":"a","epoch":1}\n'])
def test_what_is_no_log_is_said_to_be_none(
    logs: tuple[Path, Path], capsys: pytest.CaptureFixture[str], text: str
) -> None:
    logs[1].write_text(text)
    code, _, err = bisect(logs, capsys)
    assert code == 1
    assert f"{logs[1]}" in err
    assert "laulima sim FILE --log" in err


def test_a_file_that_is_not_there(logs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    logs[1].unlink()
    code, _, err = bisect(logs, capsys)
    assert code == 1
    assert "there is no file" in err


def test_of_a_long_specification_only_what_differs_is_named(
    logs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole of it is cut before its end."""
    words = ["--for", "10m", "--set", "tasks.warp.nice=7", "--log", str(logs[1])]
    assert main(["sim", str(tmp_path / "pipeline.yaml"), *words]) == 0
    capsys.readouterr()
    code, out, _ = bisect(logs, capsys)
    assert code == 1
    assert "they differ in spec.nice: 0 and 7\n" in out
