"""Host sets. Method: examples by table; expanding and collapsing against each other."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shell.hostset import HOSTS_MAX, HostSetError, collapse, expand


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("spare", ["spare"]),
        ("node[01-03]", ["node01", "node02", "node03"]),
        ("node[8-11]", ["node8", "node9", "node10", "node11"]),
        ("node[1,4-5]", ["node1", "node4", "node5"]),
        ("a,b[1-2],c", ["a", "b1", "b2", "c"]),
        ("r[1-2]n[1-2].site", ["r1n1.site", "r1n2.site", "r2n1.site", "r2n2.site"]),
        (" a , b ", ["a", "b"]),
        ("n[3-3]", ["n3"]),
    ],
)
def test_a_set_stands_for_its_names_in_order(text: str, names: list[str]) -> None:
    assert list(expand(text)) == names


@pytest.mark.parametrize(
    ("text", "sentence", "offset"),
    [
        ("node[01-", "not closed", 4),
        ("node]", "without its [", 4),
        ("node[[1]]", "inside of", 5),
        ("node[a-b]", "not a number or a range", 5),
        ("node[]", "not a number or a range", 5),
        ("node[1-3,x]", "not a number or a range", 9),
        ("node[5-2]", "runs backwards", 5),
        ("node[01-100]", "different numbers of digits", 5),
        ("a,,b", "empty host name", 2),
        ("", "empty host name", 0),
        ("../x", "not a host name", 0),
        ("a..b", "not a host name", 0),
        ("n[1-2]/x", "not a host name", 0),
        ("a,a", "twice", 0),
        ("n[1-99999]", "more than", 2),
        ("n[1-200]m[1-200]", "more than", 0),
        ("n" * 65, "at most 64", 0),
    ],
)
def test_what_is_no_set_says_why_and_where(text: str, sentence: str, offset: int) -> None:
    with pytest.raises(HostSetError, match=sentence.replace("[", r"\[")) as caught:
        expand(text)
    assert caught.value.offset == offset
    assert "node[01-16]" in caught.value.hint


def test_the_largest_set_is_accepted_and_one_more_is_not() -> None:
    assert len(expand(f"n[1-{HOSTS_MAX}]")) == HOSTS_MAX
    with pytest.raises(HostSetError):
        expand(f"n[1-{HOSTS_MAX}],x")


def test_collapsing_is_short() -> None:
    assert collapse(["n03", "n01", "n02", "x", "n10"]) == "n[01-03,10],x"
    assert collapse(["node1", "node2", "node10"]) == "node[1-2,10]"
    assert collapse([]) == ""


NAMES = st.from_regex(r"[a-z]{1,3}[0-9]{0,4}(\.[a-z]{1,2})?", fullmatch=True)


@given(st.sets(NAMES, min_size=1, max_size=40))
def test_a_collapsed_set_expands_to_the_same_names(names: set[str]) -> None:
    assert set(expand(collapse(names))) == names


@given(st.text("node[]-,0123.", max_size=20))
def test_any_text_is_a_set_or_an_error_of_its_own(text: str) -> None:
    with contextlib.suppress(HostSetError):
        names = expand(text)
        assert len(names) == len(set(names)) > 0
