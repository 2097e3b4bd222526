"""The command list, and lists themselves: variables NAME:0 ... NAME:k-1 and their number in NAME:n.

`list NAME` alone opens a block, which the interpreter runs; it and other commands store what they found with
`set_list`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Sequence

from model.scripting import FileVerb
from shell.language.calls import Call, Command, Failure, Waiting
from shell.language.commands.formats import TEXT_MAX, derived
from shell.language.commands.shell_lines import failed_because, shell_line
from shell.language.commands.text import integer

_LIST = (
    "list NAME (-split WORD ... | -splitbychar CHARACTERS WORD ... | -join VAR [-start K] | -add WORD ... | -del WORD"
    ' | -copy OTHER | -x "LINE" | -exec "LINE" | -glob "PATTERN" | -file FILE) [-excel]'
)


def element_name(number: int, *, excel: bool) -> str:
    """The name of element `number` (from 0): the number itself, or a spreadsheet's column: A, B, ... Z, AA."""
    if not excel:
        return str(number)
    letters = ""
    number += 1
    while number:
        number, letter = divmod(number - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters


def set_list(call: Call, name: str, elements: Sequence[str], *, excel: bool = False) -> None:
    """Make `elements` the list `name`. Elements of an older, longer list of this name go."""
    before = _count(call, name)
    for number, element in enumerate(elements):
        call.set(f"{name}:{element_name(number, excel=excel)}", element)
    call.set(f"{name}:n", len(elements))
    unset = call.run.unset
    for number in range(len(elements), before):
        by_number = unset(f"{name}:{number}")
        by_letter = unset(f"{name}:{element_name(number, excel=True)}")
        if by_number is None and by_letter is None:
            break  # NAME:n said more than there was


def get_list(call: Call, name: str) -> list[str]:
    """The elements of a list; Failure when there is no such list, or one of them is missing."""
    if call.get(f"{name}:n") is None:
        raise Failure(f"list {name} not found")
    elements = []
    for number in range(_count(call, name)):
        element = call.get(f"{name}:{number}")
        if element is None:
            element = call.get(f"{name}:{element_name(number, excel=True)}")
        if element is None:
            raise Failure(f"list {name} has no element {number}, though {name}:n is {call.get(f'{name}:n')}")
        elements.append(element)
    return elements


def lines_of(text: str) -> list[str]:
    """The lines of an output or file; the end of the last one makes no further line."""
    lines = text.split("\n")
    if not lines[-1]:
        del lines[-1]
    return lines


def _count(call: Call, name: str) -> int:
    count = call.get(f"{name}:n") or "0"
    return int(count) if count.isdecimal() and len(count) < 10 else 0


# one function for each form: name of the list, words behind the form's word, `-excel`


def _split(call: Call, name: str, words: list[str], excel: bool) -> bool:
    set_list(call, name, [part for word in words for part in word.split()], excel=excel)
    return True


def _split_by_character(call: Call, name: str, words: list[str], excel: bool) -> bool:
    """Blanks round an element go; an empty element between two separators stays, so that columns keep their numbers."""
    if not words:
        raise Failure("list: -splitbychar wants the characters to split at")
    characters, text = words[0], " ".join(words[1:])
    for character in characters[1:]:
        text = text.replace(character, characters[0])
    parts = [part.strip() for part in text.split(characters[0])] if text else []
    set_list(call, name, parts, excel=excel)
    return True


def _join(call: Call, name: str, words: list[str], _excel: bool) -> bool:
    start = 0
    if len(words) == 3 and words[1] == "-start":
        start = max(0, integer(call, words[2], "-start"))
    elif len(words) != 1:
        raise Failure(f"USAGE: {_LIST}")
    elements = get_list(call, name)[start:]
    if sum(map(len, elements)) + len(elements) > TEXT_MAX:
        raise Failure(f"list: the elements of {name} make a text longer than {TEXT_MAX} characters")
    call.set(words[0], derived(" ".join(elements), *elements))
    return True


def _add(call: Call, name: str, words: list[str], excel: bool) -> bool:
    if not words:
        raise Failure("list: -add wants a word")
    first = _count(call, name)
    for number, word in enumerate(words, first):
        call.set(f"{name}:{element_name(number, excel=excel)}", word)
    call.set(f"{name}:n", first + len(words))
    return True


def _delete(call: Call, name: str, words: list[str], excel: bool) -> bool:
    if len(words) != 1:
        raise Failure("list: -del wants one word")
    elements = get_list(call, name)
    if words[0] not in elements:
        raise Failure(f"list {name} has no element {words[0]}")
    elements.remove(words[0])
    set_list(call, name, elements, excel=excel)
    return True


def _copy(call: Call, name: str, words: list[str], excel: bool) -> bool:
    if len(words) != 1:
        raise Failure("list: -copy wants the name of a list")
    set_list(call, name, get_list(call, words[0]), excel=excel)
    return True


def _refuse(_call: Call, _name: str, _words: list[str], _excel: bool) -> bool:
    raise Failure("list: there are no vectors and no image buffers here, so -vectors and -buffers cannot list them")


def _execute(call: Call, name: str, words: list[str], excel: bool) -> Waiting:
    """As with a backtick, a status other than 0 is a warning: what was printed is the list, `$EXECSTATUS` is set."""
    if len(words) != 1:
        raise Failure("list: -x wants one line for the shell", hint="put quotes round it")
    line = shell_line(words)
    reply = yield from call.execute(line, capture=True)
    complaint = failed_because(line, "", reply)
    if reply.error:
        raise Failure(f"list: {complaint}")
    if complaint:
        call.complain(f"list: {complaint}")
    call.set("EXECSTATUS", reply.status)
    set_list(call, name, lines_of(reply.output), excel=excel)
    return True


def _glob(call: Call, name: str, words: list[str], excel: bool) -> Waiting:
    if not words:
        raise Failure("list: -glob wants a pattern")
    paths: list[str] = []
    for pattern in words:
        reply = yield from call.use_file(FileVerb.GLOB, pattern)
        if not reply.ok:
            raise Failure(f"list: {reply.error}")
        # found paths are absolute; a relative pattern gives relative ones, as in a shell
        whole = call.path(pattern)
        folder = "" if pattern.startswith(("/", "~")) else whole[: len(whole) - len(_written(pattern))]
        paths.extend(path.removeprefix(folder) for path in reply.paths)
    set_list(call, name, paths, excel=excel)
    return True


def _written(pattern: str) -> str:
    """A relative pattern as it ends an absolute path (`./a//*` ends one as `a/*`)."""
    return str(posixpath.join(*[part for part in pattern.split("/") if part not in {"", "."}] or [""]))


def _read(call: Call, name: str, words: list[str], excel: bool) -> Waiting:
    if len(words) != 1:
        raise Failure("list: -file wants one file")
    reply = yield from call.use_file(FileVerb.READ, words[0])
    if not reply.ok:
        raise Failure(f"list: {reply.error}")
    set_list(call, name, lines_of(reply.text), excel=excel)
    return True


_AT_ONCE: dict[str, Callable[[Call, str, list[str], bool], bool]] = {
    "-split": _split,
    "-splitbychar": _split_by_character,
    "-join": _join,
    "-add": _add,
    "-del": _delete,
    "-copy": _copy,
    "-vectors": _refuse,
    "-buffers": _refuse,
}
_WAITING: dict[str, Callable[[Call, str, list[str], bool], Waiting]] = {
    "-x": _execute,
    "-exec": _execute,
    "-glob": _glob,
    "-file": _read,
}


def _list(call: Call) -> Waiting:
    excel = call.flag("-excel")
    name, form, *words = call.arguments(2, None, _LIST)
    if form in _AT_ONCE:
        return _AT_ONCE[form](call, name, words, excel)
    if form in _WAITING:
        return (yield from _WAITING[form](call, name, words, excel))
    raise Failure(f"list: unknown form {form}", hint=f"there are {' '.join(known_forms())}")


def known_forms() -> Iterable[str]:
    return sorted((*_AT_ONCE, *_WAITING))


COMMANDS = (
    Command(
        "list",
        _list,
        _LIST,
        "make or change the list NAME:0 ... NAME:n; without a form: a block, one element a line",
        waits=True,
        least=1,
    ),
)
