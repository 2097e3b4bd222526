"""Commands that steer what runs: `break`, `last`, `next`, `macro`, `input`, `module`, `sleep`, and the help about
commands.

Blocks (`if`, `for`, `macro … end`) are statements of the interpreter, not commands.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from pathlib import PurePosixPath
from typing import Any

from model.job import SECOND
from model.scripting import FileUsed, FileVerb
from shell.language.calls import Call, Command, Failure, Waiting
from shell.language.command_lines import look_up
from shell.language.compiling import compile_text
from shell.language.interpreter import check_depth, run_body
from shell.language.language import Macro
from shell.language.printing import print_script
from shell.language.runs import Signal
from shell.language.tree import Script

BREAK = "break [-auto [on|off]]"
MACRO = "macro NAME … end | macro create|delete|list NAME"
SECONDS_MOST = 1e9
COLUMNS = 100
"""Width of the list of commands."""


# failures and loops


def break_off(call: Call) -> bool | Signal:
    """Fails, and so does everything around up to the file; `-auto off`: other failures end nothing (in this
    session).
    """
    words = call.words
    if len(words) == 1:
        return Signal.BROKEN
    going_on = call.language.going_on
    if words[1] != "-auto" or len(words) > 3 or (len(words) == 3 and words[2].lower() not in ("on", "off")):
        raise Failure(f"USAGE: {BREAK}")
    session = call.run.session
    if len(words) == 2:
        call.say(f"auto break is {'off' if session in going_on else 'on'}")
    elif words[2].lower() == "off":
        going_on.add(session)
    else:
        going_on.discard(session)
    return True


def last(call: Call) -> Signal:
    call.arguments(0, 0, call.words[0])
    return Signal.LAST


def following(call: Call) -> Signal:
    call.arguments(0, 0, call.words[0])
    return Signal.NEXT


def nothing(_: Call) -> bool:
    return True


# macros


def macro(call: Call) -> bool:
    """`macro` and `macro list` name all macros; `macro list NAME` prints one."""
    words = call.words[1:]
    verb = words[0] if words else "list"
    if verb in ("edit", "read", "write"):
        raise Failure(f"macro {verb} is not possible here", hint="change the file and load it again")
    if verb not in ("delete", "list") or len(words) > 2 or (verb == "delete" and len(words) != 2):
        raise Failure(f"USAGE: {MACRO}")
    macros = call.language.macros
    if len(words) < 2:
        for name in sorted(macros):
            call.say(f"{name:<20} {macros[name].help}".rstrip())
        return True
    name = words[1]
    if name not in macros:
        raise Failure(f"macro {name} not found")
    if verb == "delete":
        call.language.undefine(name)
    else:
        call.say(print_script(Script(name, (macros[name].block,))).rstrip("\n"))
    return True


# files


def load_file(call: Call) -> Waiting:
    """`input FILE`: from the session's folder, or else the one of the file that loads it."""
    (name,) = call.arguments(1, 1, "input FILE")
    return (yield from _load(call, [call.path(name), call.language.beside(call.at.file, name)], name))


def load_module(call: Call) -> Waiting:
    """`module FILE`: from the folders `MODULES:0` …, or else as `input`. One that is being loaded already is not loaded
    again.
    """
    (name,) = call.arguments(1, 1, "module FILE")
    count = str(call.get("MODULES:n") or 0)
    folders = [call.get(f"MODULES:{place}") or "." for place in range(int(count) if count.isdecimal() else 0)]
    paths = [call.path(str(PurePosixPath(folder) / name)) for folder in folders]
    paths += [call.path(name), call.language.beside(call.at.file, name)]
    if any(path in call.run.loading for path in paths):
        return True
    return (yield from _load(call, paths, name))


def _load(call: Call, paths: list[str], name: str) -> Waiting:
    run = call.run
    check_depth(run, "files that load one another, nested")
    answer = yield from _read_first(call, paths)
    if not answer.ok:
        looked = [str(PurePosixPath(path).parent) for path in dict.fromkeys(paths)]
        hint = f"{name} was looked for in {', '.join(looked)}" if len(looked) > 1 else ""
        raise Failure(f"cannot read {answer.error}", hint=hint)
    path, text = answer.paths[0], answer.text
    run.depth += 1
    run.loading.append(path)
    signal = yield from run_body(call.language, run, compile_text(text, call.language.shown_path(path)))
    run.depth -= 1
    run.loading.pop()
    return signal is not Signal.FAILED


def _read_first(call: Call, paths: list[str]) -> Generator[Any, Any, FileUsed]:
    """The first of some files that can be read, with its path; else what was wrong with the first one."""
    wrong: FileUsed | None = None
    for path in dict.fromkeys(paths):
        answer = yield from call.use_file(FileVerb.READ, path)
        if answer.ok:
            return FileUsed(answer.run, ok=True, text=answer.text, paths=(path,))
        wrong = wrong or answer
    assert wrong is not None
    return wrong


# time


def sleep(call: Call) -> Waiting:
    yield from call.pause(_duration_ns(call, "sleep SECONDS", SECOND))
    return True


def usleep(call: Call) -> Waiting:
    yield from call.pause(_duration_ns(call, "usleep MICROSECONDS", SECOND // 1_000_000))
    return True


def _duration_ns(call: Call, usage: str, unit_ns: int) -> int:
    (word,) = call.arguments(1, 1, usage)
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 0 <= value <= SECONDS_MOST * SECOND / unit_ns:
        raise Failure(f"{call.words[0]}: {word} is no time")
    return round(value * unit_ns)


# help


def help_about(call: Call) -> bool:
    """`help NAME`: how a command or macro is used; `help` and `?` name all."""
    words = call.arguments(0, 1, "help [NAME]")
    if not words:
        return list_commands(call)
    found = look_up(call.language, words[0])
    if isinstance(found, Macro):
        call.say(f"{found.name}: {found.help or 'a macro'} ({found.block.at})")
    else:
        call.say(f"{found.usage}\n    {found.summary}")
    return True


def list_commands(call: Call) -> bool:
    for title, names in (("commands", call.language.commands), ("macros", call.language.macros)):
        if names:
            call.say(f"{title}:")
            call.say("\n".join(_columns(sorted(names))))
    return True


def _columns(names: list[str]) -> list[str]:
    width = max(map(len, names)) + 2
    count = max(1, COLUMNS // width)
    rows = [names[start : start + count] for start in range(0, len(names), count)]
    return ["".join([f"{name:<{width}}" for name in row]).rstrip() for row in rows]


def which(call: Call) -> bool:
    """What a word would run."""
    (word,) = call.arguments(1, 1, "which NAME")
    found = look_up(call.language, word)
    call.say(f"{found.name}: macro ({found.block.at})" if isinstance(found, Macro) else f"{found.name}: command")
    return True


def opihi(call: Call) -> bool:
    """`opihi verbose on|off`: whether the text of a failing line is shown with the error."""
    words = [word.lower() for word in call.words[1:]]
    if words[:1] == ["verbose"]:
        del words[0]
    if len(words) > 1 or (words and words[0] not in ("on", "off", "toggle")):
        raise Failure("USAGE: opihi [verbose] [on|off|toggle]")
    language = call.language
    if words:
        language.show_failing = not language.show_failing if words[0] == "toggle" else words[0] == "on"
    else:
        call.say(f"opihi verbose is {'on' if language.show_failing else 'off'}")
    return True


COMMANDS: tuple[Command, ...] = (
    Command("break", break_off, BREAK, "fail, with all blocks, macros and files around", most=2),
    Command("last", last, "last", "leave the loop, or else the macro or file", most=0),
    Command("return", last, "return", "the same as last", most=0),
    Command("next", following, "next", "go to the next pass of the loop, or else leave the macro", most=0),
    Command("continue", following, "continue", "the same as next", most=0),
    Command("macro", macro, MACRO, "define, show or delete a macro", most=2),
    Command("input", load_file, "input FILE", "run a file of lines", waits=True, least=1, most=1),
    Command("module", load_module, "module FILE", "run a file of the module folders", waits=True, least=1, most=1),
    Command("sleep", sleep, "sleep SECONDS", "wait", waits=True, least=1, most=1),
    Command("usleep", usleep, "usleep MICROSECONDS", "wait", waits=True, least=1, most=1),
    Command("wait", nothing, "wait", "nothing: the original waited for a key, and here is no keyboard"),
    Command("help", help_about, "help [NAME]", "how a command or macro is used", most=1),
    Command("?", list_commands, "?", "show all commands and macros", most=0),
    Command("which", which, "which NAME", "what a word would run", least=1, most=1),
    Command("opihi", opihi, "opihi [verbose] [on|off|toggle]", "whether failing lines are shown", most=2),
    *(Command(sign, nothing, sign, "nothing: a comment") for sign in ("#", "##", "###")),
)
