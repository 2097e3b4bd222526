"""Commands about variables: `set`, `local`, `getargs`, `??`. What variables are is in `runs.py`, assignments in
`assigning.py`.
"""

from __future__ import annotations

from shell.language.assigning import stored
from shell.language.calls import Call, Command, Data, Failure, Mixed
from shell.language.expansion import NAME
from shell.language.runs import Value

SET = "set NAME = EXPRESSION"
LOCAL = "local [-static] NAME…"
GETARGS = "getargs KEY bool|value [-var NAME]"


def checked_name(word: str) -> str:
    """A word that can be the name of a variable. Raises Failure."""
    if not word or NAME.fullmatch(word) is None:
        hint = f"write {word[1:]}, without $" if word.startswith("$") else "letters, digits, _ and :"
        raise Failure(f"{word} is no name of a variable", hint=hint)
    return word


def set_variable(call: Call) -> bool:
    """As `$NAME = EXPRESSION`, behind the words: quotes are gone."""
    words = call.words
    if len(words) > 1 and "=" in words[1][1:] and words[1][-2:] != "==":
        name, _, value = words[1].partition("=")
        words[1:2] = [name, "=", value] if value else [name, "="]
    if len(words) < 3 or words[2][:1] != "=":
        raise Failure(f"USAGE: {SET}")
    first = [words[2][1:]] if len(words[2]) > 1 else []
    call.set(checked_name(words[1]), _value(call, first + words[3:]))
    return True


def _value(call: Call, words: list[str]) -> Value:
    if any(isinstance(word, Data) for word in words):
        if len(words) == 1:
            return words[0]
        parts: list[str] = []
        for word in words:
            parts += [" ", *(word.parts if isinstance(word, Mixed) else (word,))]
        return Mixed(parts[1:])
    return stored(call.run, " ".join(words))


def local(call: Call) -> bool:
    """Variables of this call of the macro only, `NULL` at first; static ones keep their value from call to call."""
    static = call.flag("-static")
    names = call.arguments(1, None, LOCAL)
    for name in names:
        if checked_name(name).isdecimal():
            raise Failure(f"{name} is an argument, and cannot be local")
        if static:
            call.run.make_static(name)
        else:
            call.run.make_local(name)
    return True


def getargs(call: Call) -> bool:
    """Takes an option out of the macro's arguments: `bool` gives 1 or 0, `value` the word behind it; where the option
    is missing, a value's variable stays as it is, or becomes NULL if there is none. Without -var the variable is called
    as the option."""
    words = call.words
    if len(words) not in (3, 5) or words[2] not in ("bool", "value") or (len(words) == 5 and words[3] != "-var"):
        raise Failure(f"USAGE: {GETARGS}")
    key = words[1]
    name = checked_name(words[4] if len(words) == 5 else key.lstrip("-"))
    given = call.run.arguments
    if given is None:
        raise Failure("getargs: not in a macro")
    place = next((index for index, word in enumerate(given) if index and word == key), 0)
    if words[2] == "bool":
        call.set(name, 1 if place else 0)
    elif place:
        if place + 1 == len(given):
            raise Failure(f"{key} needs a value")
        call.set(name, given.pop(place + 1))
    elif call.get(name) is None:
        call.set(name, "NULL")
    if place:
        del given[place]
    return True


def show_variables(call: Call) -> bool:
    """All of them, or those whose names begin with a word; locals of the macro first."""
    beginning = (call.arguments(0, 1, "?? [BEGINNING]") or [""])[0]
    for variables in (call.run.locals, call.language.variables):
        for name in sorted(variables):
            if name.startswith(beginning):
                call.say(f"{name} = {variables[name]}")
    return True


COMMANDS: tuple[Command, ...] = (
    Command("set", set_variable, SET, "give a variable a value; as $NAME = EXPRESSION", least=2),
    Command("local", local, LOCAL, "variables of this call of the macro only", least=1),
    Command("getargs", getargs, GETARGS, "take an option out of the macro's arguments", least=2, most=4),
    Command("??", show_variables, "?? [BEGINNING]", "show all variables", most=1),
)
