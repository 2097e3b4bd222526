"""Goal: a host whose agent makes the connection is not dialled again and again; it is tried when it has come.

Method: the controller alone, with the events of a driver.
"""

from __future__ import annotations

from model.configuration import ClusterDefinition, HostDefinition, Link
from model.controller import Controller
from model.effects import Connect
from model.events import HostVerb, LinkDown, OrderHost
from model.host import HostState
from model.job import SECOND


def controller() -> Controller:
    made = Controller(1, 0, ClusterDefinition(hosts=(HostDefinition("n1", 2, Link.TLS),)))
    assert Connect("n1") in made.drain()
    return made


def test_nothing_is_tried_until_it_has_come() -> None:
    machine = controller()
    machine.receive(LinkDown("n1", "has not dialled in", 0.5, calls=True), SECOND)
    assert machine.hosts["n1"].state is HostState.DOWN
    machine.advance(3600 * SECOND)
    assert Connect("n1") not in machine.drain()
    machine.receive(OrderHost(1, HostVerb.RETRY, "n1", lasting=False), 3601 * SECOND)
    assert Connect("n1") in machine.drain()
    assert machine.hosts["n1"].state is HostState.CONNECTING


def test_one_that_is_dialled_is_tried_again() -> None:
    machine = controller()
    machine.receive(LinkDown("n1", "refused", 0.5), SECOND)
    machine.advance(3600 * SECOND)
    assert Connect("n1") in machine.drain()
