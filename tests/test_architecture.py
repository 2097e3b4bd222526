"""Goal: the promises that docs/architecture.md makes about the code's structure are true of the code that is there.

Method: each rule is a function from one file's path and syntax tree to the sentences about what breaks it. One test
gives every rule to every file; another gives each rule a line that breaks it, so that no rule is blind. The documents
that are generated or that name files are compared with what is there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from docs.diagrams import PAGE, page, tables

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("model", "sim", "live", "shell")
LINES_MAX = 550

Rule = Callable[[str, ast.Module], Iterator[str]]

MAY_IMPORT = {
    "model": {"model"},
    "sim": {"model", "sim"},
    "live": {"model", "live"},
    "shell": {"model", "sim", "live", "shell"},
}
PURE = {
    "__future__",
    "abc",
    "bisect",
    "collections",
    "dataclasses",
    "datetime",
    "difflib",
    "enum",
    "fnmatch",
    "functools",
    "heapq",
    "itertools",
    "math",
    "msgspec",
    "operator",
    "re",
    "string",
    "types",
    "typing",
}
"""What `model` may import besides itself: nothing here has a clock, a file, a socket, a thread or chance."""
IMPURE_CALLS = {"open", "print", "input", "eval", "exec", "compile", "__import__", "hash", "id"}
"""`hash` and `id` differ from run to run, so nothing that is decided may depend on them."""
CLOCK_READS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "localtime"),
    ("time", "gmtime"),
    ("time", "ctime"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}
ONLY_IN = {
    "rpyc": "live/wire.py",
    "simpy": "sim/",
    "sqlite3": "live/",
    "pydantic": "shell/",
    "ruamel": "shell/",
    "click": "shell/",
    "rich": "shell/",
    "prompt_toolkit": "shell/",
    "starlette": "shell/page/",
    "uvicorn": "shell/page/",
}
NAMES_FOR_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc", "base"}
MARKER = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def calls(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Line, owner and name of every call: `a.b.c()` is ("b", "c"), `c()` is ("", "c")."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name):
                yield node.lineno, "", function.id
            elif isinstance(function, ast.Attribute):
                owner = function.value
                name = (
                    owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else "?"
                )
                yield node.lineno, name, function.attr


# the rules


def imports_point_downwards(path: str, tree: ast.Module) -> Iterator[str]:
    package = path.partition("/")[0]
    for line, name in imports(tree):
        top = name.partition(".")[0]
        if name.startswith("."):
            yield f"{line}: a relative import; packages are named in full"
        elif top in PACKAGES and top not in MAY_IMPORT.get(package, set(PACKAGES)):
            yield f"{line}: {package} must not import {top}"


def libraries_stay_in_their_room(path: str, tree: ast.Module) -> Iterator[str]:
    for line, name in imports(tree):
        room = ONLY_IN.get(name.partition(".")[0])
        if path.startswith(PACKAGES) and room is not None and not path.startswith(room):
            yield f"{line}: {name} belongs to {room} only"


def the_model_is_pure(path: str, tree: ast.Module) -> Iterator[str]:
    if not path.startswith("model/"):
        return
    for line, name in imports(tree):
        if name.partition(".")[0] not in PURE | set(PACKAGES):
            yield f"{line}: {name} is not in the list of what a pure module may import"
    for line, owner, name in calls(tree):
        if not owner and name in IMPURE_CALLS:
            yield f"{line}: {name}() in the pure model"


def the_model_iterates_over_no_set(path: str, tree: ast.Module) -> Iterator[str]:
    """A set's order differs between runs; one that is sorted, or only asked, is fine."""
    if not path.startswith("model/"):
        return
    for node in ast.walk(tree):
        sources: list[ast.expr] = []
        if isinstance(node, ast.For):
            sources = [node.iter]
        elif isinstance(node, ast.ListComp | ast.DictComp | ast.GeneratorExp):
            sources = [part.iter for part in node.generators]
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"list", "tuple", "iter"}
        ):
            sources = node.args[:1]
        for source in sources:
            if _is_set(source):
                yield f"{source.lineno}: iterates over a set; sort it, or keep a dict"


def _is_set(node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub):
        return _is_set(node.left) or _is_set(node.right)
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"set", "frozenset"}
    return called or isinstance(node, ast.Set | ast.SetComp)


def one_place_reads_the_wall_clock(path: str, tree: ast.Module) -> Iterator[str]:
    """`shell` may, to show ages; nothing that is decided hangs on it. A runner stands alone on a node."""
    if not path.startswith(("model/", "sim/", "live/")) or path in ("live/clock.py", "live/batch/runner.py"):
        return
    for line, owner, name in calls(tree):
        if (owner, name) in CLOCK_READS:
            yield f"{line}: {owner}.{name}() outside live/clock.py"
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            for alias in node.names:
                if ("time", alias.name) in CLOCK_READS:
                    yield f"{node.lineno}: imports time.{alias.name} outside live/clock.py"


def nothing_is_swallowed(path: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f"{node.lineno}: a bare except"


def a_test_waits_for_conditions(path: str, tree: ast.Module) -> Iterator[str]:
    if not path.startswith("tests/"):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        nap = node.args[0] if node.args else None
        if name == "sleep" and not (isinstance(nap, ast.Constant) and nap.value == 0):
            yield f"{node.lineno}: sleeps; wait for a condition with a deadline, or use a virtual clock"
        if name == "importorskip":
            yield f"{node.lineno}: importorskip; what a test imports is installed, and a program is marked `needs`"


def a_file_says_what_belongs_in_it(path: str, tree: ast.Module) -> Iterator[str]:
    if not path.endswith("__init__.py") and not ast.get_docstring(tree):
        yield "1: no docstring at its head"


def a_file_is_one_idea(path: str, tree: ast.Module) -> Iterator[str]:
    name = Path(path).stem
    if NAMES_FOR_NOTHING & set(name.split("_")):
        yield f"1: {name} is a name for anything, so anything will be put there"


RULES: tuple[Rule, ...] = (
    imports_point_downwards,
    libraries_stay_in_their_room,
    the_model_is_pure,
    the_model_iterates_over_no_set,
    one_place_reads_the_wall_clock,
    nothing_is_swallowed,
    a_test_waits_for_conditions,
    a_file_says_what_belongs_in_it,
    a_file_is_one_idea,
)


def files() -> list[Path]:
    folders = [ROOT / name for name in (*PACKAGES, "tests", "benchmarks", "docs")]
    return sorted(path for folder in folders for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps_the_rule(rule: Rule) -> None:
    broken = [
        f"{path.relative_to(ROOT)}:{sentence}"
        for path in files()
        for sentence in rule(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"), str(path)))
    ]
    assert not broken, "\n" + "\n".join(broken)


BREAKING = [
    (imports_point_downwards, "model/task.py", "from live.wire import Wire"),
    (imports_point_downwards, "sim/world.py", "import live"),
    (imports_point_downwards, "live/server.py", "def f():\n    from shell import main"),
    (imports_point_downwards, "live/server.py", "from . import wire"),
    (libraries_stay_in_their_room, "live/server.py", "from rpyc.core import Connection"),
    (libraries_stay_in_their_room, "live/server.py", "import simpy"),
    (the_model_is_pure, "model/task.py", "import time"),
    (the_model_is_pure, "model/task.py", "from os import path"),
    (the_model_is_pure, "model/task.py", "open('x')"),
    (the_model_is_pure, "model/task.py", "hash('x')"),
    (the_model_iterates_over_no_set, "model/task.py", "for a in {1, 2}: pass"),
    (the_model_iterates_over_no_set, "model/task.py", "[a for a in set(b)]"),
    (the_model_iterates_over_no_set, "model/task.py", "tuple(frozenset(b) | c)"),
    (one_place_reads_the_wall_clock, "live/server.py", "time.time()"),
    (one_place_reads_the_wall_clock, "sim/world.py", "datetime.datetime.now(UTC)"),
    (one_place_reads_the_wall_clock, "live/server.py", "from time import time_ns"),
    (nothing_is_swallowed, "live/server.py", "try:\n    f()\nexcept:\n    raise"),
    (a_test_waits_for_conditions, "tests/live/test_wire.py", "time.sleep(1)"),
    (a_test_waits_for_conditions, "tests/live/test_wire.py", "async def f(): await asyncio.sleep(0.1)"),
    (a_test_waits_for_conditions, "tests/live/test_wire.py", "pytest.importorskip('x')"),
    (a_file_says_what_belongs_in_it, "model/task.py", "import re"),
    (a_file_is_one_idea, "live/socket_utils.py", ""),
]


@pytest.mark.parametrize(("rule", "path", "source"), BREAKING, ids=lambda value: getattr(value, "__name__", None))
def test_each_rule_finds_what_breaks_it(rule: Rule, path: str, source: str) -> None:
    assert list(rule(path, ast.parse(source)))


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (imports_point_downwards, "shell/main.py", "import live.server"),
        (libraries_stay_in_their_room, "live/wire.py", "import rpyc"),
        (the_model_iterates_over_no_set, "model/task.py", "[a for a in sorted({1, 2})]"),
        (one_place_reads_the_wall_clock, "live/clock.py", "time.time_ns()"),
        (one_place_reads_the_wall_clock, "live/server.py", "time.monotonic_ns()"),
        (a_test_waits_for_conditions, "tests/live/test_wire.py", "async def f(): await asyncio.sleep(0)"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_no_rule_forbids_what_is_right(rule: Rule, path: str, source: str) -> None:
    assert not list(rule(path, ast.parse(source)))


def test_no_file_is_too_long_to_be_one_idea() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in files()
    }
    too_long = {path: lines for path, lines in lengths.items() if lines > LINES_MAX}
    assert not too_long, f"more than {LINES_MAX} lines: make two ideas of each of {too_long}"


def test_nothing_is_left_for_later() -> None:
    left = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if MARKER.search(line)
    ]
    assert not left, "\n" + "\n".join(left)


# the documents


def test_the_diagrams_are_those_of_the_tables() -> None:
    assert tables(), "no table of moves was found in model/"
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_a_table_speaks_of_each_state_and_leads_to_each() -> None:
    for path, name, table in tables():
        states = list(type(next(iter(table))))
        assert list(table) == states, f"{path}: {name} has a row for each state, in the order of the enum"
        reached = {states[0]}
        frontier = [states[0]]
        while frontier:
            following = table[frontier.pop()] - reached
            reached |= following
            frontier.extend(following)
        never = [state.name for state in states if state not in reached]
        assert not never, f"{path}: {name} leads from {states[0].name} to none of {never}"


def test_the_architecture_names_only_files_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:model|sim|live|shell|docs|configs|tests|benchmarks)/[\w./-]*)`", text))
    missing = sorted(path for path in named if not (ROOT / path).exists())
    assert named
    assert not missing, f"docs/architecture.md names what is not there: {missing}"
