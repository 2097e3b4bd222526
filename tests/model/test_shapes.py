"""Goal: which hosts fit a shape, and which of them is the next one, does not depend on how changes are kept: it is as
if each change of a host were a mark in each shape, looked at when a job of the shape looks. Method: any sequence of
changes and looks, more changes than the list of them holds included, given to `Shapes` and to such marks.
"""

from __future__ import annotations

import sys

from hypothesis import example, given, settings
from hypothesis import strategies as st

from model.channel import ChannelTimes
from model.configuration import ClusterDefinition
from model.host import Host
from model.matching import FreeHosts
from model.resources import Needs, Place, Stock
from model.shapes import CHANGES_KEPT, SHAPES_MAX, Shape, Shapes

HOSTS = 6
SLOTS = 3
NEEDS = [Needs((("cpus", amount),), place=place) for amount in (1, 2, 3) for place in (Place.SPREAD, Place.PACK)]

CHANGE = st.tuples(st.just("change"), st.integers(0, HOSTS - 1), st.integers(0, SLOTS), st.integers(0, 3))
LOOK = st.tuples(st.just("look"), st.integers(0, len(NEEDS) - 1))
MANY = st.tuples(st.just("many"), st.integers(1, 2 * CHANGES_KEPT), st.integers(1, 50))
STEPS = st.lists(st.one_of(CHANGE, CHANGE, LOOK, LOOK, MANY), max_size=60)


class Marks:
    """What the indexes are to be like: a mark for each change in each shape."""

    def __init__(self, shapes: Shapes, hosts: dict[str, Host]) -> None:
        self._shapes = shapes
        self._hosts = hosts
        self._marked: dict[int, dict[str, None]] = {}
        self._fitting: dict[int, FreeHosts] = {}

    def change(self, host: str) -> None:
        for marked in self._marked.values():
            marked[host] = None

    def look(self, number: int, shape: Shape) -> FreeHosts:
        """The hosts that fit now."""
        if number not in self._marked:
            self._marked[number] = dict.fromkeys(self._shapes.free.names())
            self._fitting[number] = FreeHosts()
        fitting, free = self._fitting[number], self._shapes.free
        for name in self._marked[number]:
            fitting.set(name, free.free(name) if shape.fits(self._hosts[name]) else 0)
        self._marked[number].clear()
        return fitting


class World:
    """Hosts, the shapes, and the marks."""

    def __init__(self) -> None:
        names = [f"node{number}" for number in range(HOSTS)]
        self.hosts = {name: Host(name, SLOTS, 1, ChannelTimes(), 0) for name in names}
        self.shapes = Shapes(self.hosts, Stock(), ClusterDefinition().place)
        self.marks = Marks(self.shapes, self.hosts)
        for number in range(HOSTS):
            self.change(number, SLOTS, 3)

    def change(self, number: int, free: int, cpus: int) -> None:
        host = self.hosts[f"node{number}"]
        host.free = free
        host.declare((("cpus", cpus),), ())
        self.shapes.changed(host.name, free)
        self.marks.change(host.name)

    def many(self, count: int, stride: int) -> None:
        """So many changes of hosts in turns, most of them to full."""
        for number in range(count):
            self.change(number * stride % HOSTS, max(0, number % 7 - 4), number % 4)

    def look(self, number: int) -> None:
        shape = self.shapes.of(1, NEEDS[number])
        assert shape is not None
        fitting = self.marks.look(number, shape)
        assert self.shapes.able(shape) == (fitting.most > 0)
        if fitting.most:
            chosen = fitting.fullest(1) if shape.pack else fitting.freest()
            assert self.shapes.choose(shape) == chosen


@settings(max_examples=200, deadline=None)
@given(STEPS)
@example([("look", 0), ("many", CHANGES_KEPT, 1), ("look", 0), ("change", 1, 1, 3), ("look", 0)])
@example([("look", 0), ("change", 0, 2, 3), ("change", 1, 2, 3), ("change", 0, 0, 3), ("change", 0, 2, 3), ("look", 0)])
def test_a_list_of_changes_says_what_marks_in_each_shape_would_say(steps: list[tuple[str, ...]]) -> None:
    world = World()
    for verb, *numbers in steps:
        getattr(world, verb)(*numbers)
    for number in range(len(NEEDS)):
        world.look(number)


def test_a_change_costs_the_same_whatever_shapes_there_are() -> None:
    """No mark in each: what is kept of a change does not grow with the shapes, and is bounded."""
    world = World()
    for number in range(SHAPES_MAX):
        assert world.shapes.of(1, Needs((("cpus", 1 + number),))) is not None
    for _ in range(3):
        world.many(CHANGES_KEPT, 1)
        assert len(world.shapes._changes) <= CHANGES_KEPT
        assert all(len(shape.stale) <= HOSTS for shape in world.shapes._special.values())


def test_an_index_that_many_have_left_is_as_small_as_what_is_left() -> None:
    """Else whoever goes through it goes through the places of all that were ever in it."""
    index, small = FreeHosts(), FreeHosts()
    for number in range(5_000):
        index.set(f"node{number}", 1)
    for number in range(4_990):
        index.set(f"node{number}", 0)
    for number in range(4_990, 5_000):
        small.set(f"node{number}", 1)
    assert index.names() == small.names()
    assert sys.getsizeof(index._free) <= 10 * sys.getsizeof(small._free)
