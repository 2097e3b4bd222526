"""Commands on texts: formats as C prints them, searching, cutting, hashing; results go to a variable or are printed.

Method: single commands are run by their words (`ordinary_world.py`); `sprintf` is also compared with the `printf` of
the system's shell over many formats, so that "as C does" is not our own opinion.
"""

from __future__ import annotations

import contextlib
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shell.language.calls import Data, Failure, Mixed
from shell.language.commands.formats import TEXT_MAX
from shell.language.commands.text import string_hash
from tests.language.ordinary_world import World


def formatted(form: str, *values: str) -> str:
    world = World()
    assert world.call("sprintf", "x", form, *values)
    return str(world.variables["x"])


@pytest.mark.parametrize(
    ("form", "values", "text"),
    [
        ("%s-%03d", ("skycell", "7"), "skycell-007"),
        ("%d", ("3.99",), "3"),
        ("%d", ("-3.99",), "-3"),
        ("%d", ("007",), "7"),
        ("%d", ("0x1f",), "31"),
        ("%i|%5i|%-5i|", ("1", "2", "3"), "1|    2|3    |"),
        ("%+d % d", ("4", "4"), "+4  4"),
        ("%x %X %#x %#X", ("255", "255", "255", "255"), "ff FF 0xff 0XFF"),
        ("%#x", ("0",), "0"),
        ("%o %#o %#o", ("8", "8", "0"), "10 010 0"),
        ("%x", ("-1",), "ffffffff"),
        ("%u", ("-1",), "4294967295"),
        ("%x", ("-3000000000",), "ffffffff4d2fa200"),
        ("%8.3d|", ("5",), "     005|"),
        ("%08.3d|", ("5",), "     005|"),
        ("%5.2f|%-8.1e|%g", ("3.14159", "12345", "0.0001"), " 3.14|1.2e+04 |0.0001"),
        ("%.f", ("2.5",), "2"),
        ("%f", ("nan",), "nan"),
        ("%G", ("1e-10",), "1E-10"),
        ("%10.3s|", ("abcdef",), "       abc|"),
        ("%c%c%c", ("65", "xyz", "5"), "Ax5"),
        ("%ld %lld %hd", ("1", "2", "3"), "1 2 3"),
        ("100%% of %s", ("it",), "100% of it"),
        ("nothing", (), "nothing"),
    ],
)
def test_a_format_is_filled_as_c_does(form: str, values: tuple[str, ...], text: str) -> None:
    assert formatted(form, *values) == text


def test_formats_agree_with_the_printf_of_the_system() -> None:
    numbers = ["0", "7", "-42", "123456"]
    forms = [
        f"%{flags}{width}{precision}{letter}"
        for flags in ("", "-", "0", "+", " ", "#", "-+", "0+")
        for width in ("", "8")
        for precision in ("", ".0", ".3")
        for letter in "dioxXufeg"
    ]
    # the shell's integers have 64 bits, ours shows a negative one with 32; C prints nothing for zero with precision 0
    pairs = [
        (form, number)
        for form in forms
        for number in numbers
        if not (number[0] == "-" and form[-1] in "oxXu")
        and not (number == "0" and ".0" in form and form[-1] in "dioxXu")
    ]
    script = "\n".join(f"LC_ALL=C printf '{form}\\n' '{number}'" for form, number in pairs)
    theirs = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, timeout=60).stdout.split(
        "\n"
    )
    assert len(theirs) == len(pairs) + 1
    differing = [
        (*pair, formatted(*pair), text) for pair, text in zip(pairs, theirs, strict=False) if formatted(*pair) != text
    ]
    assert differing == []


@pytest.mark.parametrize(
    ("form", "values", "sentence"),
    [
        ("%s %s", ("one",), "wants 2 values, there are 1"),
        ("%s", ("one", "two"), "wants 1 values, there are 2"),
        ("%d", ("abc",), "%d wants a number, not abc"),
        ("%d", ("1_0",), "wants a number"),
        ("%d", ("inf",), "cannot show inf"),
        ("%d", ("9" * 5000,), "cannot show"),
        ("%*d", ("3",), "unknown conversion"),
        ("%y", ("3",), "unknown conversion %y"),
        ("50%", (), "unknown conversion %"),
        ("%9999999d", ("1",), "above 1000000"),
        ("%" + "9" * 5000 + "d", ("1",), "above 1000000"),
    ],
)
def test_a_format_that_cannot_be_filled_fails_with_a_sentence(
    form: str, values: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(Failure, match="sprintf: ") as failure:
        formatted(form, *values)
    assert sentence in str(failure.value)


@given(st.text(), st.lists(st.text(min_size=1), max_size=3))
def test_no_format_and_no_value_does_more_than_fail(form: str, values: list[str]) -> None:
    with contextlib.suppress(Failure):
        formatted(form, *values)


def test_texts_longer_than_the_limit_are_refused() -> None:
    world = World()
    half = "x" * (TEXT_MAX // 2 + 1)
    with pytest.raises(Failure, match="longer than"):
        world.call("sprintf", "x", "%s%s", half, half)
    with pytest.raises(Failure, match="would be longer than"):
        world.call("sprintf", "x", "%900000d" * 20, *["1"] * 20)
    with pytest.raises(Failure, match="longer than"):
        world.call("strsub", half, "x", "yy")


def test_the_old_limit_of_1024_characters_is_gone() -> None:
    assert formatted("%s", "y" * 5000) == "y" * 5000


def test_results_are_printed_when_no_variable_is_named() -> None:
    world = World()
    assert world.call("strlen", "four")
    assert world.call("basename", "/a/b.c")
    assert world.out == "4\nb.c\n"


def test_a_variable_may_be_the_last_word_or_follow_var() -> None:
    world = World()
    assert world.call("strlen", "four", "n")
    assert world.call("substr", "abcdef", "0", "3", "head")
    assert world.call("dirname", "/a/b.c", "-var", "folder")
    assert (world.variables["n"], world.variables["head"], world.variables["folder"]) == (4, "abc", "/a")
    assert world.out == ""


def test_a_result_with_two_variables_is_refused() -> None:
    with pytest.raises(Failure, match="USAGE: strlen STRING"):
        World().call("strlen", "four", "n", "m")


def test_an_empty_text_that_vanished_from_the_line_has_no_characters() -> None:
    assert World().value("strlen") == 0


def test_strsub_replaces_every_key_once() -> None:
    world = World()
    assert world.value("strsub", "/data/@D@/x/@D@", "@D@", "d4") == "/data/d4/x/d4"
    assert world.value("strsub", "aaa", "a", "aa") == "aaaaaa"
    assert world.value("strsub", "abc", "x", "y") == "abc"


@pytest.mark.parametrize(
    ("start", "count", "part"),
    [("0", "3", "abc"), ("4", "9", "ef"), ("-2", "2", "ef"), ("-9", "2", "ab"), ("9", "1", ""), ("0", "0", "")],
)
def test_substr_counts_from_zero_and_from_the_end(start: str, count: str, part: str) -> None:
    assert World().value("substr", "abcdef", start, count) == part


def test_substr_wants_whole_numbers() -> None:
    with pytest.raises(Failure, match="substr: START is a whole number, not a"):
        World().call("substr", "abc", "a", "1")
    with pytest.raises(Failure, match="COUNT is at least 0"):
        World().call("substr", "abc", "0", "-1")


def test_strstr_says_where_or_minus_one() -> None:
    assert World().value("strstr", "abcabc", "ca") == 2
    assert World().value("strstr", "abcabc", "x") == -1


def test_strmatch_is_a_file_pattern_for_the_whole_text() -> None:
    world = World()
    assert world.value("strmatch", "gpc1.ota07", "gpc1.ota[0-9]?") == 1
    assert world.value("strmatch", "gpc1.ota07", "ota*") == 0
    assert world.value("strmatch", "ABC", "abc") == 0


def test_strpop_takes_words_off_a_variable() -> None:
    world = World()
    world.variables["line"] = "  one two   three "
    assert world.value("strpop", "line") == "one"
    assert world.variables["line"] == "two   three "
    assert world.call("strpop", "line", "second")
    assert world.call("strpop", "line")
    assert (world.variables["second"], world.out, world.variables["line"]) == ("two", "three\n", "")
    assert world.value("strpop", "line") == "NULL"
    with pytest.raises(Failure, match="no words left"):
        world.call("strpop", "line")
    with pytest.raises(Failure, match="variable lines not found"):
        world.call("strpop", "lines")


def test_getchr_gives_one_character() -> None:
    assert World().value("getchr", "abc", "0") == "a"
    assert World().value("getchr", "abc", "-1") == "c"
    with pytest.raises(Failure, match="no character 3 in a text of 3"):
        World().call("getchr", "abc", "3")


def test_hashes_are_the_published_ones() -> None:
    """FNV-1a test vectors (draft-eastlake-fnv, appendix C)."""
    assert string_hash("") == 0x811C9DC5
    assert string_hash("a") == 0xE40C292C
    assert string_hash("foobar") == 0xBF9CF968
    assert World().value("strhash", "foobar") == 0xBF9CF968
    assert World().value("strhash", "foobar", "16") == 0xBF9CF968 % 16


def test_inthash_of_numbers_in_a_row_fills_the_bins_evenly() -> None:
    world = World()
    bins = [world.value("inthash", f"{number:04d}", "16") for number in range(160)]
    assert sorted(bins) == sorted(list(range(16)) * 10)


def test_inthash_takes_names_too() -> None:
    world = World()
    assert world.value("inthash", "skycell.012", "16") == world.value("strhash", "skycell.012", "16")
    assert world.value("inthash", "-5", "16") == 11
    with pytest.raises(Failure, match="number of bins is at least 1"):
        world.call("inthash", "7", "0")


@pytest.mark.parametrize(
    ("path", "base", "folder"),
    [
        ("/a/b.fits", "b.fits", "/a"),
        ("b", "b", "."),
        ("/b", "b", "/"),
        ("a/b/", "b", "a"),
        ("/", "/", "/"),
        ("a//b", "b", "a"),
    ],
)
def test_basename_and_dirname_cut_paths_as_posix_does(path: str, base: str, folder: str) -> None:
    assert World().value("basename", path) == base
    assert World().value("dirname", path) == folder


def test_what_a_job_wrote_stays_data_in_every_text_made_from_it() -> None:
    world = World()
    written = Data("a b\n$(id); {x}")
    made = [
        world.value("strsub", written, "a", "c"),
        world.value("substr", written, "0", "9"),
    ]
    world.call("sprintf", "made", "<%s>", written)
    made += [world.variables["made"], world.value("strsub", "x @ y", "@", Mixed(["<", written, ">"]))]
    assert all(isinstance(text, Data) for text in made)


def test_one_ordinary_word_of_a_jobs_output_can_be_calculated_with() -> None:
    answer = World().value("substr", Data("17.5 and more"), "0", "4")
    assert answer == "17.5" and not isinstance(answer, Data)


def test_a_script_makes_names_and_keys_of_texts() -> None:
    world = World()
    assert world.script(
        "$a = sky ; $n = 7\n"
        'sprintf name "%s-%03d" $a $n\n'
        "strsub @DISK@/$name/$a @DISK@ d4 -var path\n"
        "basename $path -var leaf\n"
        "strlen $leaf size\n"
        "if ($size != 3) break\n"
        "inthash $n 4 -var bin\n"
        'substr "$path" 0 {$bin-1} head\n'
        'echo "$path $leaf $bin $head"\n'
    ), world.errors
    assert world.out == "d4/sky-007/sky sky 3 d4\n"


def test_a_text_that_cannot_be_made_fails_its_line_with_its_place() -> None:
    world = World()
    assert not world.script('sprintf x "%d" NULL\necho not reached\n')
    assert world.errors == "test.pro:1:1: sprintf: %d wants a number, not NULL\n" and world.out == ""
