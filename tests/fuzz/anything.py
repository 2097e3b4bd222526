"""Values that a program of another kind could say: strategies for plain data, and for messages in which any field is of
any type."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

INTEGERS = st.one_of(
    st.integers(-3, 10),
    st.sampled_from([2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -(2**31), -(2**62) - 1, -(2**63)]),
)
TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", "local", "mad", "good", "../x", "a\0b", "-o", "$(x)", "\x1b[2J", "\u202e", "x" * 5000, "²"]),
)
PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | TEXTS | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def said(*kinds: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Messages of these kinds as plain data: correct ones, whose fields hold any number, text or member."""
    return st.one_of([_instance(msgspec.inspect.type_info(kind)) for kind in kinds])


def _instance(info: Any) -> st.SearchStrategy[Any]:
    inspect = msgspec.inspect
    if isinstance(info, inspect.StructType):
        fields = [_instance(field.type) for field in info.fields]
        head = [] if info.tag is None else [info.tag]
        return st.tuples(*fields).map(lambda values: [*head, *values])
    if isinstance(info, inspect.UnionType):
        return st.one_of([_instance(each) for each in info.types])
    if isinstance(info, inspect.EnumType):
        return st.sampled_from([member.value for member in info.cls])
    if isinstance(info, inspect.VarTupleType | inspect.ListType):
        return st.lists(_instance(info.item_type), max_size=3)
    if isinstance(info, inspect.TupleType):
        return st.tuples(*[_instance(each) for each in info.item_types]).map(list)
    if isinstance(info, inspect.DictType):
        return st.dictionaries(_instance(info.key_type), _instance(info.value_type), max_size=3)
    simple: dict[Any, st.SearchStrategy[Any]] = {
        inspect.IntType: INTEGERS,
        inspect.StrType: TEXTS,
        inspect.BoolType: st.booleans(),
        inspect.NoneType: st.none(),
        inspect.FloatType: st.floats(),
        inspect.BytesType: st.binary(max_size=16),
    }
    return simple.get(type(info), PLAIN)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[Any]) -> Any:
    """The same with up to three of its parts replaced by anything."""
    value = draw(whole)
    for _ in range(draw(st.integers(0, 3))):
        value = _replaced(draw, value)
    return value


def _replaced(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], _replaced(draw, value[place]), *value[place + 1 :]]
    return draw(PLAIN)


@st.composite
def mutated(draw: st.DrawFn, whole: bytes, changes: int = 4) -> bytes:
    """Recorded bytes, some of them cut out, replaced or doubled."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(0, changes))):
        start = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from([0, 1, 1, 2, 4, 9, 40]))
        inserted = draw(st.one_of(st.binary(max_size=9), st.just(bytes(data[start : start + length]) * 2)))
        data[start : start + length] = inserted
    return bytes(data)
