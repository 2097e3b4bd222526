"""Commands on texts: sprintf, strlen, strsub, substr, strstr, strpop, strmatch, strhash, inthash, getchr, basename,
dirname.

Each gives its result to a variable (`-var NAME`, or the last word where the usage shows `[NAME]`), or prints it.
Positions count from 0, negative ones from the end. None waits. What a job wrote stays such through them
(`formats.derived`).
"""

from __future__ import annotations

import posixpath
import re
from fnmatch import fnmatchcase

from shell.language.calls import Call, Command, Failure
from shell.language.commands.formats import TEXT_MAX, derived, fill

_INTEGER = re.compile(r"[-+]?[0-9]{1,4000}")


def answer(call: Call, variable: str | None, value: str | int) -> bool:
    """Give a result to `variable`, or print it as a line when there is none."""
    if variable is None:
        call.say(str(value))
    else:
        call.set(variable, value)
    return True


def named(call: Call, count: int, usage: str) -> tuple[list[str], str | None]:
    """The `count` arguments of a command, and the variable for its result: `-var NAME` or one word more."""
    variable = call.option("-var")
    arguments = call.arguments(count, count + (variable is None), usage)
    if len(arguments) > count:
        variable = arguments[count]
    return arguments[:count], variable


def integer(call: Call, word: str, what: str) -> int:
    """A whole number of the line; Failure with `what` it was for."""
    if _INTEGER.fullmatch(word) is None:
        raise Failure(f"{call.words[0]}: {what} is a whole number, not {word}")
    return int(word)


_SPRINTF = "sprintf VAR FORMAT [VALUE ...]"


def _sprintf(call: Call) -> bool:
    arguments = call.arguments(2, None, _SPRINTF)
    call.set(arguments[0], fill("sprintf", arguments[1], arguments[2:]))
    return True


_STRLEN = "strlen STRING [NAME | -var NAME]"


def _strlen(call: Call) -> bool:
    variable = call.option("-var")
    if variable is not None and len(call.words) == 1:
        return answer(call, variable, 0)  # an empty text has vanished from the line
    arguments = call.arguments(1, 1 + (variable is None), _STRLEN)
    return answer(call, arguments[1] if len(arguments) > 1 else variable, len(arguments[0]))


_STRSUB = "strsub STRING KEY VALUE [-var NAME]"


def _strsub(call: Call) -> bool:
    variable = call.option("-var")
    text, key, value = call.arguments(3, 3, _STRSUB)
    if len(text) + text.count(key) * (len(value) - len(key)) > TEXT_MAX:
        raise Failure(f"strsub: the text would be longer than {TEXT_MAX} characters")
    return answer(call, variable, derived(text.replace(key, value), text, value))


_SUBSTR = "substr STRING START COUNT [NAME | -var NAME]"


def _substr(call: Call) -> bool:
    (text, first, size), variable = named(call, 3, _SUBSTR)
    start = integer(call, first, "START")
    count = integer(call, size, "COUNT")
    if count < 0:
        raise Failure(f"substr: COUNT is at least 0, not {count}")
    if start < 0:
        start = max(0, len(text) + start)
    return answer(call, variable, derived(text[start : start + count], text))


_STRSTR = "strstr STRING KEY [NAME | -var NAME]"


def _strstr(call: Call) -> bool:
    (text, key), variable = named(call, 2, _STRSTR)
    return answer(call, variable, text.find(key))


_STRMATCH = "strmatch STRING PATTERN [NAME | -var NAME]"


def _strmatch(call: Call) -> bool:
    (text, pattern), variable = named(call, 2, _STRMATCH)
    return answer(call, variable, int(fnmatchcase(text, pattern)))


_STRPOP = "strpop VAR [NAME | -var NAME]"


def _strpop(call: Call) -> bool:
    (name,), variable = named(call, 1, _STRPOP)
    text = call.get(name)
    if text is None:
        raise Failure(f"variable {name} not found")
    words = text.split(maxsplit=1)
    if not words and variable is None:
        raise Failure(f"strpop: variable {name} has no words left")
    call.set(name, derived(words[1], text) if len(words) > 1 else "")
    return answer(call, variable, derived(words[0], text) if words else "NULL")


_GETCHR = "getchr STRING N [NAME | -var NAME]"


def _getchr(call: Call) -> bool:
    (text, number), variable = named(call, 2, _GETCHR)
    place = integer(call, number, "N")
    if not -len(text) <= place < len(text):
        raise Failure(f"getchr: there is no character {place} in a text of {len(text)}")
    return answer(call, variable, derived(text[place], text))


def string_hash(text: str) -> int:
    """FNV-1a, 32 bits, of the text's UTF-8 bytes (http://www.isthe.com/chongo/tech/comp/fnv/): the same on every
    machine, for ever."""
    value = 0x811C9DC5
    for byte in text.encode("utf-8", "surrogateescape"):
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def _bin(call: Call, value: int, bins: str | None) -> int:
    if bins is None:
        return value
    count = integer(call, bins, "the number of bins")
    if count < 1:
        raise Failure(f"{call.words[0]}: the number of bins is at least 1, not {count}")
    return value % count


_STRHASH = "strhash STRING [BINS] [-var NAME]"


def _strhash(call: Call) -> bool:
    variable = call.option("-var")
    text, *bins = call.arguments(1, 2, _STRHASH)
    return answer(call, variable, _bin(call, string_hash(text), bins[0] if bins else None))


_INTHASH = "inthash WORD [BINS] [-var NAME]"


def _inthash(call: Call) -> bool:
    """A whole number is its own hash, so that numbers in a row fill the bins evenly; others are hashed like texts."""
    variable = call.option("-var")
    word, *bins = call.arguments(1, 2, _INTHASH)
    value = int(word) if _INTEGER.fullmatch(word) else string_hash(word)
    return answer(call, variable, _bin(call, value, bins[0] if bins else None))


_BASENAME = "basename PATH [NAME | -var NAME]"


def _basename(call: Call) -> bool:
    (path,), variable = named(call, 1, _BASENAME)
    return answer(call, variable, derived(posixpath.basename(path.rstrip("/")) or "/", path))


_DIRNAME = "dirname PATH [NAME | -var NAME]"


def _dirname(call: Call) -> bool:
    (path,), variable = named(call, 1, _DIRNAME)
    folder = posixpath.dirname(path.rstrip("/")).rstrip("/")
    return answer(call, variable, derived(folder or ("/" if path.startswith("/") else "."), path))


COMMANDS = (
    Command(
        "sprintf",
        _sprintf,
        _SPRINTF,
        "set VAR to values in a format (%d i u o x X e f g c s, flags, width, precision)",
        least=2,
    ),
    Command("strlen", _strlen, _STRLEN, "the number of characters of a text", least=1, most=3),
    Command("strsub", _strsub, _STRSUB, "a text with every KEY replaced by VALUE", least=3, most=5),
    Command(
        "substr", _substr, _SUBSTR, "COUNT characters from START on (from 0; negative: from the end)", least=3, most=5
    ),
    Command("strstr", _strstr, _STRSTR, "where KEY first occurs in a text, from 0; -1: nowhere", least=2, most=4),
    Command(
        "strmatch",
        _strmatch,
        _STRMATCH,
        "1 if the whole text matches a file pattern (* ? [a-z]), else 0",
        least=2,
        most=4,
    ),
    Command(
        "strpop",
        _strpop,
        _STRPOP,
        "take the first word off the variable VAR; with NAME and no word left: NULL",
        least=1,
        most=3,
    ),
    Command("strhash", _strhash, _STRHASH, "hash of a text (FNV-1a, 32 bits), modulo BINS", least=1, most=4),
    Command("inthash", _inthash, _INTHASH, "a whole number modulo BINS; another word: as strhash", least=1, most=4),
    Command("getchr", _getchr, _GETCHR, "character N of a text (from 0; negative: from the end)", least=2, most=4),
    Command("basename", _basename, _BASENAME, "the last part of a path", least=1, most=3),
    Command("dirname", _dirname, _DIRNAME, "a path without its last part", least=1, most=3),
)
