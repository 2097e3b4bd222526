"""A graph of live objects as bytes and back: a world in the middle of its run, for checkpoints.

Python's own pickle follows references in depth and builds every object from its parts, which a world allows neither:
it is deep (a job knows its host, that its link, that the next node) and full of cycles (what is to happen knows whom it
happens to, who knows the calendar). So every object with an identity gets a number here; its state is written by
itself, with numbers for the objects it refers to. To read, all objects are made empty first, then each is filled.

Functions are named, with what they have closed over, never stored: bytes are good for the very code that wrote them
only. As with any pickle, who reads bytes lets them do what they like: only one's own are read. (`sim/checkpoints.py`
sees to both.) Generators, open files and hashes in
the middle of their text cannot be written: who has one leaves it out in `__getstate__`, and makes it anew in
`__setstate__`.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import pickle
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from enum import Enum
from types import CellType, CodeType, FunctionType, GeneratorType, ModuleType
from typing import IO, Any

from msgspec import Struct
from msgspec.structs import force_setattr

from model.errors import LaulimaError

OURS = ("model", "sim", "shell")
"""Packages whose objects have an identity."""
CONTAINERS = (list, dict, set, deque, Counter, OrderedDict, defaultdict)
ATOMS = frozenset({int, float, str, bytes, bool, type(None), complex})
SEGMENT = 20_000
"""Objects that are written with one memory of what was written before (texts, frozen parts), which is then forgotten:
it would become larger than the world."""
HEADS = 8
"""bytes at the end: where the kinds begin"""


class UnwritableError(LaulimaError):
    """Something in the graph cannot be written: a bug of ours, for whoever made it an attribute."""


class _Kind(Struct, frozen=True):
    """How an object is made empty. `code`: where a function's code is in its module; `cells`: what it closes over."""

    cls: type | None = None
    module: str = ""
    code: int = 0
    name: str = ""
    cells: tuple[int, ...] = ()


_CELL = _Kind()
"""What functions close over; its class has no name."""

# writing


class _Writer(pickle.Pickler):
    """Writes states; numbers whatever it meets."""

    def __init__(self, file: IO[bytes], roots: Sequence[object]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.things: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._known = dict(_constants())
        self._by_number: dict[type, bool] = {}
        for root in roots:
            self.number_of(root)

    def number_of(self, thing: object) -> int:
        number = self._numbers.get(id(thing))
        if number is None:
            number = self._numbers[id(thing)] = len(self.things)
            self.things.append(thing)
        return number

    def persistent_id(self, thing: Any) -> int | tuple[str, str] | None:  # called for everything that is written
        kind = type(thing)
        if kind in ATOMS:
            return None
        known = self._known.get(id(thing))
        if known is not None:
            return known
        by_number = self._by_number.get(kind)
        if by_number is None:
            by_number = self._by_number[kind] = _has_identity(kind)
        if not by_number or (kind is FunctionType and _is_named(thing)):
            return None
        return self.number_of(thing)


def _has_identity(kind: type) -> bool:
    if kind in CONTAINERS or kind in (FunctionType, CellType):
        return True
    if kind is GeneratorType or issubclass(kind, io.IOBase):
        raise UnwritableError(f"a {kind.__name__} stands in the way of a checkpoint")
    if kind.__module__.partition(".")[0] not in OURS or issubclass(kind, (Enum, tuple, type, BaseException)):
        return False
    return not (issubclass(kind, Struct) and kind.__struct_config__.frozen)


def _is_named(function: FunctionType) -> bool:
    found: Any = sys.modules.get(function.__module__)
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is function


def _constants() -> Iterator[tuple[int, tuple[str, str]]]:
    """Things at the top of our modules: they are named, so that what is asked for by identity is found again."""
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] not in OURS or not isinstance(module, ModuleType):
            continue
        for key, value in vars(module).items():
            kind = type(value)
            if kind in CONTAINERS or (kind.__module__.partition(".")[0] in OURS and not isinstance(value, type)):
                yield id(value), (name, key)


def write_graph(file: IO[bytes], roots: Sequence[object]) -> int:
    """Write everything that is reached from `roots`; gives the number of objects. Raises `UnwritableError`."""
    begin = file.tell()
    writer = _Writer(file, roots)
    codes: dict[str, list[CodeType]] = {}
    written = 0
    while written < len(writer.things):
        thing = writer.things[written]
        try:
            if written % SEGMENT == 0:
                writer.clear_memo()
            writer.dump(_state(thing))
        except (TypeError, AttributeError, pickle.PicklingError, UnwritableError) as error:
            raise UnwritableError(f"a {type(thing).__name__} cannot be kept in a checkpoint: {error}") from error
        written += 1
    at = file.tell() - begin
    kinds = [_kind(thing, writer, codes) for thing in writer.things]
    distinct = {kind: at for at, kind in enumerate(dict.fromkeys(kinds))}
    pickle.dump(([*distinct], [distinct[kind] for kind in kinds]), file, pickle.HIGHEST_PROTOCOL)
    file.write(at.to_bytes(HEADS, "little"))
    return written


def _kind(thing: Any, writer: _Writer, codes: dict[str, list[CodeType]]) -> _Kind:
    if isinstance(thing, CellType):
        return _CELL
    if not isinstance(thing, FunctionType):
        return _Kind(type(thing))
    module = thing.__module__
    if module.partition(".")[0] not in OURS:
        raise UnwritableError(f"a function of {module} cannot be kept in a checkpoint")
    if module not in codes:
        codes[module] = _codes(module)
    if thing.__code__ not in codes[module]:
        raise UnwritableError(f"the code of {module} was changed since it runs: no checkpoint can be written any more")
    cells = tuple(writer.number_of(cell) for cell in thing.__closure__ or ())
    return _Kind(None, module, codes[module].index(thing.__code__), thing.__name__, cells)


def _codes(module: str) -> list[CodeType]:
    """Every code object of a module, in an order that its text decides."""
    spec = importlib.util.find_spec(module)
    code = None if spec is None or spec.loader is None else spec.loader.get_code(module)  # type: ignore[attr-defined]
    if code is None:
        raise UnwritableError(f"the code of {module} is not found")
    found = [code]
    for each in found:  # grows meanwhile
        found += [constant for constant in each.co_consts if isinstance(constant, CodeType)]
    return found


def _state(thing: Any) -> Any:
    """What `_fill` puts into an empty one of its kind."""
    kind = type(thing)
    if kind is FunctionType:
        return thing.__defaults__, thing.__kwdefaults__, thing.__closure__
    if kind is CellType:
        return (thing.cell_contents,)
    if isinstance(thing, dict):
        factory = thing.default_factory if isinstance(thing, defaultdict) else None
        return tuple(thing.items()), factory
    if isinstance(thing, deque):
        return tuple(thing), thing.maxlen
    if isinstance(thing, (list, set)):
        return tuple(thing)
    if isinstance(thing, Struct):
        return tuple([getattr(thing, name) for name in kind.__struct_fields__])
    if _tells_itself(kind):
        return thing.__getstate__()
    return tuple([(name, getattr(thing, name)) for name in _attributes(thing)])


def _tells_itself(kind: type) -> bool:
    """Its `__getstate__` gives a tuple, in which its `__setstate__` finds objects that may not be filled yet."""
    return hasattr(kind, "__setstate__") and not is_dataclass(kind)  # whose own are made for what is filled at once


def _attributes(thing: Any) -> Iterator[str]:
    yield from getattr(thing, "__dict__", ())
    for kind in type(thing).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(thing, name):
                yield name


# reading


class _Reader(pickle.Unpickler):
    """Reads what `_Writer` wrote."""

    def __init__(self, file: IO[bytes], things: Sequence[Any]) -> None:
        super().__init__(file)
        self._things = things

    def persistent_load(self, number: Any) -> Any:
        if isinstance(number, int):
            return self._things[number]
        module, name = number
        return getattr(importlib.import_module(module), name)


def read_graph(data: bytes, roots: Sequence[object]) -> None:
    """Fill `roots`, as many and of the same kinds as were written, and make all that is reached from them.

    Raises `pickle.UnpicklingError`, `EOFError`, `ValueError` for bytes that are none of `write_graph`.
    """
    at = int.from_bytes(data[-HEADS:], "little")
    if at >= len(data):
        raise pickle.UnpicklingError("it is cut off")
    distinct, kinds = _Reader(io.BytesIO(data[at:-HEADS]), ()).load()
    if [type(root) for root in roots] != [distinct[kind].cls for kind in kinds[: len(roots)]]:
        raise pickle.UnpicklingError("it holds something else")
    things: list[Any] = [*roots]
    functions: list[int] = []
    for number in range(len(roots), len(kinds)):
        kind: _Kind = distinct[kinds[number]]
        if kind.module:
            functions.append(number)
        things.append(None if kind.module else CellType() if kind.cls is None else _empty(kind.cls))
    codes: dict[str, list[CodeType]] = {}
    for number in functions:
        kind = distinct[kinds[number]]
        if kind.module not in codes:
            codes[kind.module] = _codes(kind.module)
        cells = tuple(things[cell] for cell in kind.cells)
        names = vars(importlib.import_module(kind.module))
        things[number] = FunctionType(codes[kind.module][kind.code], names, kind.name, None, cells)
    file = io.BytesIO(data)
    for begin in range(0, len(things), SEGMENT):
        states = _Reader(file, things)
        for thing in things[begin : begin + SEGMENT]:
            _fill(thing, states.load())


def _empty(kind: type) -> Any:
    if issubclass(kind, Struct):
        return kind(**dict.fromkeys(kind.__struct_fields__))
    return kind.__new__(kind)


def _fill(thing: Any, state: Any) -> None:
    kind = type(thing)
    if kind in CONTAINERS:
        _fill_container(thing, state)
    elif kind is FunctionType:
        thing.__defaults__, thing.__kwdefaults__, _ = state
    elif kind is CellType:
        (thing.cell_contents,) = state
    elif isinstance(thing, Struct):
        for name, value in zip(kind.__struct_fields__, state, strict=True):
            force_setattr(thing, name, value)
    elif _tells_itself(kind):
        thing.__setstate__(state)
    else:
        for name, value in state:
            object.__setattr__(thing, name, value)


def _fill_container(thing: Any, state: Any) -> None:
    if isinstance(thing, dict):
        items, factory = state
        for key, value in items:
            thing[key] = value
        if isinstance(thing, defaultdict):
            thing.default_factory = factory
    elif isinstance(thing, deque):
        thing.__init__(*state)  # type: ignore[misc]
    elif isinstance(thing, list):
        thing.extend(state)
    else:
        thing.update(state)
