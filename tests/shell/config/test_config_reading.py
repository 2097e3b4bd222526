"""The strict reader: plain data with places, and a located sentence for everything that it refuses.

Method: small texts; the message is compared with what a person would see.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from shell.config import InvalidConfiguration, Spot, read_document
from shell.config.reading import BYTES_MAX, DEPTH_MAX, parse_bytes


def refused(text: str) -> str:
    """What is said about a text that must be refused."""
    with pytest.raises(InvalidConfiguration) as caught:
        read_document(text, "f.yaml")
    return str(caught.value)


def test_every_scalar_stays_text() -> None:
    document = read_document("a: [08:30, no, 010, 1e3, 2026-01-01, 0x10, true, 1_000, .inf, '~']\n")
    assert document.data == {
        "a": ["08:30", "no", "010", "1e3", "2026-01-01", "0x10", "true", "1_000", ".inf", "~"]
    }  # fmt: skip


def test_nothing_is_none_and_keys_are_text() -> None:
    assert read_document("on:\n0: {a: ~, b: null}\n").data == {"on": None, "0": {"a": None, "b": None}}
    assert read_document("").data == {}
    assert read_document("# only a comment\n").data == {}


def test_pairs_of_surrogates_as_json_writes_them_are_one_character() -> None:
    assert read_document('{"\\ud83c\\udf0a": "\\ud83c\\udf0a"}').data == {"\U0001f30a": "\U0001f30a"}
    assert "surrogate" in refused('a: {"\\ud83c": 1}')


def test_places_are_those_of_keys_and_values() -> None:
    document = read_document("tasks:\n  warp:\n    command: [a, b]\n    host: {name: x}\n    list:\n    - one\n")
    assert document.position(("tasks", "warp", "command", 1)) == Spot(3, 18)
    assert document.position(("tasks", "warp", "host", "name")) == Spot(4, 18)
    assert document.position(("tasks", "warp", "host", "name"), key=True) == Spot(4, 12)
    assert document.position(("tasks", "warp")) == Spot(2, 3), "a block below its key is found at its key"
    assert document.position(("tasks", "warp", "list")) == Spot(5, 5)
    assert document.position(("tasks", "nothing")) is None
    assert document.nearest(("tasks", "warp", "host", "required")) == Spot(4, 11)


@pytest.mark.parametrize(
    ("text", "place", "sentence"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1   a", "there twice; the first is on line 1"),
        ("a: &x 1\n", "f.yaml:1:4   a", "anchors"),
        ("a: *x\n", "f.yaml:1:4   a", "aliases"),
        ("a:\n  <<: {b: 1}\n", "f.yaml:2:3   a.<<", "merge keys"),
        ("a: !!python/name:os.system x\n", "f.yaml:1:4   a", "tags"),
        ("a: !mine [1]\n", "f.yaml:1:4   a", "tags"),
        ("? [a, b]\n: 1\n", "f.yaml:1:3", "a key must be a word"),
        ("{a: 1}: 2\n", "f.yaml:1:1", "a key must be a word"),
        ("a: 1\n--- \nb: 2\n", "f.yaml:2:1", "second document"),
        ("%YAML 1.1\n---\na: 1\n", "f.yaml:2:1", "directives"),
        ("- a\n", "f.yaml:1:1", "keys such as"),
        ("word\n", "f.yaml:1:1", "keys such as"),
        ("a:\n\tb: 1\n", "f.yaml:2:1", "a tab"),
        ("a:\n  b: 1\n \tc: 1\n", "f.yaml:3:2", "a tab"),
        ("a: [1, 2\n", "f.yaml:2:1", "not YAML"),
        ("a: b: c\n", "f.yaml:1:5", "not YAML"),
        ("a: 'x\n", "f.yaml:2:1", "not YAML"),
        ('a: "\\UFFFFFFFF"\n', "f.yaml:1:1", "not YAML"),
        ('a: "x\\0y"\n', "f.yaml:1:4   a", "NUL"),
        ('a: "\\ud800"\n', "f.yaml:1:4   a", "surrogate"),
        ("a: \x1b[31m\n", "f.yaml:1:4", "\\x1b is not allowed"),
        ("a: \x00\n", "f.yaml:1:4", "\\x00 is not allowed"),
    ],
)
def test_what_is_refused_is_named_with_its_place(text: str, place: str, sentence: str) -> None:
    message = refused(text)
    assert message.startswith(place)
    assert sentence in message
    assert message.endswith("1 error. Nothing was started.")


def test_all_refusals_come_at_once_sorted_by_line() -> None:
    message = refused("a: &x 1\nb: *x\nc: !t 1\na: 2\n")
    assert [line.partition("   ")[0] for line in message.splitlines() if line.startswith("f.yaml")] == [
        "f.yaml:1:4",
        "f.yaml:2:4",
        "f.yaml:3:4",
        "f.yaml:4:1",
    ]
    assert message.endswith("4 errors. Nothing was started.")


def test_the_caret_stands_under_the_place_whatever_comes_before_it() -> None:
    head, line, caret, _ = refused("漢字: &x 1\n").splitlines()
    assert head.startswith("f.yaml:1:5")
    assert line.strip() == "漢字: &x 1"
    assert caret.index("^") == 4 + len("漢字: ") + 2, "two wide characters take two columns more"


def test_a_long_line_is_cut_around_the_place() -> None:
    _, line, caret, _ = refused("a: [" + "x, " * 500 + "&y z, " + "x, " * 500 + "]\n").splitlines()
    assert len(line) < 120
    assert line[caret.index("^") :].startswith("&y z")


def test_depth_is_limited_and_never_a_recursion_error() -> None:
    deepest = "a: " + "[" * (DEPTH_MAX - 1) + "]" * (DEPTH_MAX - 1)
    assert read_document(deepest).data
    for text in ("a: [" + deepest[3:] + "]", "[" * 3000, "- " * 3000, "? " * 3000, "{a: " * 3000, "? " + "[" * 50):
        assert "levels deep" in refused(text) or "not YAML" in refused(text)


def test_an_alias_bomb_is_refused_at_once() -> None:
    levels = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    message = refused("\n".join(levels))
    assert "anchors" in message
    assert "aliases" in message


def test_size_is_limited() -> None:
    with pytest.raises(InvalidConfiguration, match="larger than 1 MiB"):
        parse_bytes(b"#" * (BYTES_MAX + 1), "f.yaml")
    assert parse_bytes(b"#" * BYTES_MAX, "f.yaml").data == {}


def test_the_encoding_is_utf_8_with_or_without_a_mark() -> None:
    assert parse_bytes(b"\xef\xbb\xbfa: \xc3\xa4\n", "f.yaml").data == {"a": "ä"}
    with pytest.raises(InvalidConfiguration, match=r"f\.yaml:2:4   byte 0xff is not UTF-8"):
        parse_bytes(b"a: \xc3\xa4\nb: \xff\n", "f.yaml")
    with pytest.raises(InvalidConfiguration, match="UTF-16"):
        parse_bytes("a: 1".encode("utf-16"), "f.yaml")


def test_windows_line_ends_count_as_one() -> None:
    assert read_document("a: 1\r\nb: 2\r\n").position(("b",)) == Spot(2, 4)


def test_a_file_that_cannot_be_read_is_an_error_of_the_same_kind(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="no such file"):
        read_document(tmp_path / "missing.yaml")
    with pytest.raises(InvalidConfiguration, match="cannot be read"):
        read_document(tmp_path)
    good = tmp_path / "good.yaml"
    good.write_text("a: 1\n")
    assert read_document(good).data == {"a": "1"}
    assert read_document(good, "shown").name == "shown"


def test_the_digest_is_that_of_the_bytes() -> None:
    first, second = read_document("a: 1\n"), read_document("a: 2\n")
    assert first.digest != second.digest
    assert first.digest == read_document("a: 1\n").digest
