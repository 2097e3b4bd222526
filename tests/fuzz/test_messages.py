"""Goal: an agent that is mad, and known, does nothing to what is not its own, nor to the machines that hear it; nor
does a mad server to an agent.

Method: a real scheduler and controller with a host `good`, on which a job runs, and a host `mad`, which says messages
in which any field is of any type; all through the codec. Whatever it says is refused, closes its link or is harmless;
what the machines record fits into a real journal; and the job on `good` ends as `good` says.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from live.hello import Hello, HelloError, Refused, Side, check, decode
from live.journal import Journal
from live.link import DownBatch, UpBatch, decode_batch
from live.wire import WireError
from model import controller
from model.agent import Agent
from model.channel import ChannelTimes, ProtocolError
from model.configuration import ClusterDefinition, HostDefinition
from model.controller import Controller
from model.effects import Commit, ToKeeper, Transmit
from model.events import Delivered, KeeperSaid, KeeperUp, LinkUp, Submit
from model.job import SECOND, HostWish, JobId, JobSpec, Outcome, Report
from model.keeper import Holding, Keeper, Order
from model.messages import (
    Accepted,
    Acknowledge,
    Assign,
    Batch,
    Cancel,
    Ended,
    Entry,
    Held,
    Inquire,
    Inventory,
    Parting,
    Ping,
    Pong,
    Started,
)
from model.records import AttemptEnded, Record
from model.scheduler import Scheduler
from tests.fuzz.anything import INTEGERS, PLAIN, damaged, said
from tests.fuzz.budget import fuzz
from tests.live.link_partners import agent_hello, superior_hello

MAD, GOOD = "mad", "good"
CLUSTER = ClusterDefinition(hosts=(HostDefinition(GOOD, 2), HostDefinition(MAD, 2)))
SPEC = JobSpec("t", command=("x",), host=HostWish(GOOD, required=True))
MAD_EPOCH = 9
GOOD_EPOCH = 7


def packed(plain: Any) -> bytes | None:
    """As bytes; None for what cannot be said at all."""
    try:
        return msgspec.msgpack.encode(plain)
    except (OverflowError, UnicodeEncodeError):
        return None


@functools.cache
def journal() -> Journal:
    """One journal for all examples; it goes with the process."""
    folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    made = Journal(Path(folder.name) / "journal.sqlite")
    atexit.register(folder.cleanup)
    atexit.register(made.close)
    return made


class World:
    """Scheduler and controller, joined as in a server; hosts are what a test says."""

    def __init__(self) -> None:
        self.now = SECOND
        self.scheduler = Scheduler(1, self.now, CLUSTER, ())
        self.controller = Controller(1, self.now, CLUSTER)
        self.records: list[tuple[str, Record]] = []
        self.sent: list[tuple[str, Any]] = []
        """(host, message)"""
        self.sequence = 0
        self.closed = False
        """the mad host's link was closed"""
        self.tell(self.scheduler, LinkUp("controller"))
        self.tell(self.controller, LinkUp("superior"))
        for host, epoch in ((GOOD, GOOD_EPOCH), (MAD, MAD_EPOCH)):
            self.tell(self.controller, LinkUp(host))
            inquiry = self.controller.hosts[host].link._inquiry
            self.say(host, epoch, (Inventory((), inquiry, epoch, 2),))
        self.tell(self.scheduler, Submit(1, SPEC))
        self.say(GOOD, GOOD_EPOCH, (Started(JobId(1), 1, GOOD),))

    def tell(self, machine: Any, event: Any) -> None:
        machine.receive(event, self.now)
        self.settle()

    def settle(self) -> None:
        for _ in range(20):
            busy = False
            for name, machine in (("scheduler", self.scheduler), ("controller", self.controller)):
                machine.advance(self.now)
                for effect in machine.drain():
                    busy = True
                    if isinstance(effect, Commit):
                        self.records.append((name, effect.record))
                    elif isinstance(effect, Transmit):
                        self.pass_on(name, effect)
            if not busy:
                return

    def pass_on(self, sender: str, effect: Transmit) -> None:
        if sender == "scheduler" and effect.peer == "controller":
            self.controller.receive(Delivered("superior", effect.batch), self.now)
        elif effect.peer == "superior":
            self.scheduler.receive(Delivered("controller", effect.batch), self.now)
        elif sender == "controller":
            self.sent += [(effect.peer, message) for message in effect.batch.messages]

    def say(self, host: str, epoch: int, messages: tuple[Any, ...]) -> None:
        self.sequence += 1
        self.tell(self.controller, Delivered(host, Batch(epoch, self.sequence, 1, messages)))

    def hear_mad(self, plain: Any) -> None:
        """What a link does with what a host said."""
        data = packed(plain)
        if data is None:
            return
        try:
            batch = decode_batch(data, Side.SUPERIOR)
            if batch.epoch != MAD_EPOCH:
                raise WireError("another life than its hello")
            self.tell(self.controller, Delivered(MAD, batch))
        except (WireError, ProtocolError):
            self.closed = True

    def check(self) -> None:
        """The job of the good host is as that host says, and all is fit to be recorded."""
        self.say(GOOD, GOOD_EPOCH, (Ended(JobId(1), 1, Report(Outcome.EXITED, 3, host=GOOD, started=True)),))
        ends = [record for _, record in self.records if isinstance(record, AttemptEnded) and record.job == 1]
        assert [(end.report.outcome, end.report.exit_code, end.report.host) for end in ends] == [
            (Outcome.EXITED, 3, GOOD)
        ]
        for end in (record for _, record in self.records if isinstance(record, AttemptEnded)):
            assert end.report.host in ("", GOOD, MAD), end
        assert self.controller.hosts[GOOD].free == 2
        journal().append(self.records)


WORDS = damaged(said(Accepted, Started, Ended, Inventory, Pong))
NUMBERS = st.sampled_from([1, 1, 1, 1, 0, 2])


@fuzz(250)
@given(st.lists(st.lists(WORDS, max_size=4), min_size=1, max_size=4))
def test_a_mad_agent(batches: list[list[Any]]) -> None:
    world = World()
    for number, messages in enumerate(batches):
        world.hear_mad([MAD_EPOCH, 100 + number, 1, messages])
    world.check()


@fuzz(100)
@given(damaged(st.tuples(INTEGERS, INTEGERS, INTEGERS, st.lists(WORDS, max_size=3)).map(list)))
def test_a_batch_of_which_any_part_is_anything(batch: Any) -> None:
    world = World()
    world.hear_mad(batch)
    world.check()


ENTRIES = st.lists(damaged(said(Entry)), max_size=3)


@fuzz(150)
@given(ENTRIES, INTEGERS, INTEGERS)
def test_a_mad_inventory_that_was_asked_for(entries: list[Any], remembers: int, slots: int) -> None:
    world = World()
    link = world.controller.hosts[MAD].link
    link.resize(2, world.now)
    world.controller.table.talking[MAD] = world.controller.hosts[MAD]
    world.settle()
    world.hear_mad([MAD_EPOCH, 100, 1, [["inventory", entries, link._inquiry, remembers, slots]]])
    world.check()


def test_every_integer_that_a_peer_can_say_is_bounded() -> None:
    """So a field that is added later cannot bring what no table and no sum takes."""
    unbounded: list[str] = []

    def look(info: Any, place: str) -> None:
        if isinstance(info, msgspec.inspect.IntType) and (info.ge is None or info.le is None):
            unbounded.append(place)
        if isinstance(info, msgspec.inspect.StructType):
            for field in info.fields:
                look(field.type, f"{info.cls.__name__}.{field.name}")
        for each in (*getattr(info, "types", ()), *getattr(info, "item_types", ()), getattr(info, "item_type", None)):
            if each is not None:
                look(each, place)

    for batch in (DownBatch, UpBatch):
        look(msgspec.inspect.type_info(batch), batch.__name__)
    assert not unbounded


def test_a_mad_agent_that_claims_another_ones_attempt_is_not_believed() -> None:
    """The plain cases, by name: each kind of word about the attempt that runs on the good host."""
    report = msgspec.to_builtins(Report(Outcome.EXITED, 0, host=GOOD, started=True))
    spec = msgspec.to_builtins(SPEC)
    for word in (
        ["accepted", 1, 1],
        ["started", 1, 1, GOOD],
        ["ended", 1, 1, report],
        ["ended", 1, 2, report],
        ["ended", 2**63, 1, report],
        ["ended", 5, 1, msgspec.to_builtins(Report(Outcome.EXITED, 0, host="../../x", started=True))],
    ):
        world = World()
        world.hear_mad([MAD_EPOCH, 100, 1, [word]])
        world.check()
    for held in (Held.RUNNING, Held.ENDED, Held.WAITING):
        for told in (report, None):
            world = World()
            link = world.controller.hosts[MAD].link
            link.resize(2, world.now)
            world.settle()
            entry = [1, 1, held.value, spec, MAD, told]
            world.hear_mad([MAD_EPOCH, 100, 1, [["inventory", [entry], link._inquiry, 0, 2]]])
            world.check()


def test_a_mad_agent_that_claims_an_attempt_before_there_is_one_does_not_get_it() -> None:
    for words in ([["started", 2, 1, MAD]], [["accepted", 2, 1]]):
        world = World()
        world.hear_mad([MAD_EPOCH, 100, 1, words])
        world.tell(world.scheduler, Submit(2, SPEC))
        given = [host for host, message in world.sent if isinstance(message, Assign) and message.job == 2]
        assert given == [GOOD]
        world.hear_mad([MAD_EPOCH, 101, 1, [["ended", 2, 1, msgspec.to_builtins(Report(Outcome.KILLED))]]])
        world.say(GOOD, GOOD_EPOCH, (Ended(JobId(2), 1, Report(Outcome.EXITED, 5, started=True)),))
        ends = [record for _, record in world.records if isinstance(record, AttemptEnded) and record.job == 2]
        assert [end.report.exit_code for end in ends] == [5]
        assert world.controller.hosts[MAD].free == 2
        world.check()


def test_a_host_cannot_say_that_another_one_ran_its_job() -> None:
    """Its name is a folder's, too."""
    for named in (GOOD, "../../x"):
        world = World()
        world.tell(world.scheduler, Submit(2, JobSpec("t", command=("x",), host=HostWish(MAD, required=True))))
        world.say(MAD, MAD_EPOCH, (Ended(JobId(2), 1, Report(Outcome.EXITED, 0, host=named, started=True)),))
        ends = [record for _, record in world.records if isinstance(record, AttemptEnded) and record.job == 2]
        assert [end.report.host for end in ends] == [MAD]
        world.check()


def test_an_answer_to_a_question_that_was_not_asked_does_not_make_later_ones_look_old() -> None:
    world = World()
    link = world.controller.hosts[MAD].link
    world.hear_mad([MAD_EPOCH, 100, 1, [["pong", 2**61]]])
    assert link.last_pong <= link._number
    world.check()


def test_what_a_host_claims_takes_nothing_that_others_share_and_has_an_end() -> None:
    world = World()
    spec = msgspec.to_builtins(JobSpec("t", command=("x",), slots=10**9))
    link = world.controller.hosts[MAD].link
    link.resize(2, world.now)
    world.settle()
    world.hear_mad([MAD_EPOCH, 100, 1, [["inventory", [[9, 1, "running", spec, MAD]], link._inquiry, 0, 2]]])
    assert world.controller.hosts[MAD].free == 0
    world.controller.hosts[MAD].holding = controller.HELD_MAX
    world.hear_mad([MAD_EPOCH, 101, 1, [["started", 77, 1, MAD]]])
    assert world.closed
    world.controller.hosts[MAD].holding = 1
    world.check()


# downwards


TIMES = ChannelTimes()


class Host:
    """An agent machine and its keeper, both pure."""

    def __init__(self) -> None:
        self.now = SECOND
        self.agent = Agent("n", 5, self.now, 2, TIMES, (0,), 5)
        self.keeper = Keeper(self.now)
        self.orders: list[Order] = []
        self.agent.receive(KeeperUp(0), self.now)
        self.agent.receive(KeeperSaid(0, Holding(())), self.now)
        self.agent.receive(LinkUp("superior"), self.now)
        self.hear([1, 1, 0, [["inquire", 1], ["ping", 2, 10 * SECOND, 1]]])

    def hear(self, plain: Any) -> None:
        data = packed(plain)
        if data is None:
            return
        with contextlib.suppress(WireError, ProtocolError):
            batch = decode_batch(data, Side.AGENT)
            self.agent.receive(Delivered("superior", batch), self.now)
        self.agent.advance(self.now)
        for effect in self.agent.drain():
            if isinstance(effect, ToKeeper):
                self.keeper.receive(effect.order, self.now)
                self.orders.append(effect.order)
            elif isinstance(effect, Transmit):
                msgspec.msgpack.encode(effect.batch)
        self.keeper.advance(self.now)
        self.keeper.drain()


DOWN = damaged(said(Assign, Cancel, Acknowledge, Inquire, Ping, Parting))


@fuzz(250)
@given(st.lists(st.lists(DOWN, max_size=4), min_size=1, max_size=4))
def test_a_mad_server(batches: list[list[Any]]) -> None:
    host = Host()
    for number, messages in enumerate(batches):
        host.hear([1, 100 + number, 5, messages])
        host.now += 30 * SECOND
    due = host.agent.next_due()
    assert due is None or isinstance(due, int)


# hellos


@fuzz(200)
@given(damaged(said(Hello, Refused)) | PLAIN)
def test_a_hello_of_anything(plain: Any) -> None:
    data = packed(plain)
    for own in (agent_hello("n"), superior_hello("n")):
        with contextlib.suppress(HelloError):
            word = decode(data or b"")
            if isinstance(word, Hello):
                check(own, word)


HELLOS = st.dictionaries(st.sampled_from(list(Hello.__struct_fields__)), PLAIN).map(
    lambda words: {**msgspec.to_builtins(superior_hello("n")), **words}
)


@fuzz(200)
@given(HELLOS)
def test_a_hello_of_which_any_field_is_anything(words: dict[str, Any]) -> None:
    with contextlib.suppress(HelloError):
        word = decode(packed(words) or b"")
        if isinstance(word, Hello):
            check(agent_hello("n"), word)
