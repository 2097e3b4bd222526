"""Goal: an attempt that its host does not end in time is cancelled by the controller, at the very moment.

Method: a controller with one host, which says what starts and what ends, and never ends anything when its time is over.
Whatever it says, the attempts that are cancelled, and when, must be those that a look at all of them says.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model.channel import ChannelTimes
from model.configuration import ClusterDefinition, HostDefinition
from model.controller import Controller
from model.effects import Effect, Transmit
from model.events import Delivered, LinkUp, Vouched
from model.job import SECOND, JobId, JobSpec, Outcome, Report
from model.messages import (
    Acknowledge,
    Assign,
    Batch,
    Cancel,
    CancelReason,
    Ended,
    Inquire,
    Inventory,
    Message,
    Ping,
    Started,
)
from model.superiors import SUPERIOR

LONG_NS = 1000 * 3600 * SECOND
GRACE_NS, OVERTIME_NS = 5 * SECOND, 30 * SECOND
GOOD = Report(Outcome.EXITED, 0, started=True)


class Scene:
    """A controller, its scheduler and its host."""

    def __init__(self, slots: int) -> None:
        cluster = ClusterDefinition(
            hosts=(HostDefinition("north", slots),), times=ChannelTimes(lease_ns=LONG_NS), overtime_ns=OVERTIME_NS
        )
        self.now = SECOND
        self.controller = Controller(1, self.now, cluster)
        self.cancelled: dict[int, int] = {}
        """when each job was first cancelled because of its timeout"""
        self._sequences = {SUPERIOR: 0, "north": 0}
        self._inquiry = 0
        self._hear(self.controller.drain())
        self.say(SUPERIOR, Inquire(1), Ping(1, LONG_NS, 1))
        self.controller.receive(LinkUp("north"), self.now)
        self.controller.receive(Vouched("north", True), self.now)
        self._hear(self.controller.drain())
        self.say("north", Inventory((), self._inquiry, 1, slots))

    def say(self, peer: str, *messages: Message) -> None:
        self._sequences[peer] += 1
        self.controller.receive(Delivered(peer, Batch(1, self._sequences[peer], 1, messages)), self.now)
        self._hear(self.controller.drain())

    def _hear(self, effects: list[Effect]) -> None:
        for effect in effects:
            if type(effect) is Transmit:
                for message in effect.batch.messages:
                    if type(message) is Inquire:
                        self._inquiry = message.number
                    elif type(message) is Cancel:
                        assert (effect.peer, message.why) == ("north", CancelReason.TIMED_OUT)
                        self.cancelled.setdefault(message.job, self.now)

    def start(self, job: int, timeout_ns: int) -> None:
        spec = JobSpec("t", ("x",), timeout_ns=timeout_ns, grace_ns=GRACE_NS)
        self.say(SUPERIOR, Assign(JobId(job), 1, spec))
        self.say("north", Started(JobId(job), 1, "north"))

    def end(self, job: int) -> None:
        self.say("north", Ended(JobId(job), 1, GOOD))
        self.say(SUPERIOR, Acknowledge(JobId(job), 1))

    def until(self, when_ns: int) -> None:
        while (due := self.controller.next_due()) is not None and due <= when_ns:
            self.now = max(self.now, due)
            self.controller.advance(self.now)
            self._hear(self.controller.drain())
        self.now = when_ns


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.sampled_from([0, 5, 10, 60])),
        st.tuples(st.just("end"), st.integers(0, 20)),
        st.tuples(st.just("wait"), st.integers(1, 40)),
    ),
    max_size=40,
)


@given(STEPS)
def test_what_runs_too_long_is_cancelled_at_the_very_moment(steps: list[tuple[str, int]]) -> None:
    scene = Scene(slots=64)
    due: dict[int, int] = {}
    running: list[int] = []
    for job, (what, number) in enumerate(steps, 1):
        if what == "start":
            running.append(job)
            scene.start(job, number * SECOND)
            if number:
                due[job] = scene.now + number * SECOND + GRACE_NS + OVERTIME_NS
        elif what == "end" and running:
            ended = running.pop(number % len(running))
            scene.end(ended)
            if due.get(ended, 0) > scene.now:
                del due[ended]
        else:
            scene.until(scene.now + number * SECOND)
        assert scene.cancelled == {job: when for job, when in due.items() if when <= scene.now}
    scene.until(scene.now + 200 * SECOND)
    assert scene.cancelled == due


def test_a_host_has_one_timer_for_all_its_attempts() -> None:
    scene = Scene(slots=64)
    for job in range(1, 50):
        scene.start(job, 600 * SECOND)
        scene.until(scene.now + SECOND)
    assert len(scene.controller._overtime) == 1
