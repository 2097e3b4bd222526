"""Goal: what is said of a job counts only within the journals in which its number means something. A scheduler or a
controller that has lost its journal is another one, and is never taken for the former; what people are told at a shared
controller is recorded by its schedulers.

Method: the shared world of the small-world tests, and a scheduler alone; messages in, drained lists out.
"""

from __future__ import annotations

from model.effects import Answer, Commit, Disconnect, Notice, Transmit
from model.events import Delivered, LinkDown, LinkUp, Submit
from model.job import HostWish, JobId, JobSpec
from model.job_numbers import JOBS_BITS, number_marks, number_text, own_number
from model.messages import Batch, Heard, Inventory, Notices, Pong, Started, Told
from model.records import AttemptEnded, ControllerKnown, NoticeHeard, SuperiorForgotten, SuperiorKnown
from model.restored import RestoredScheduler, fold
from model.scheduler import CONTROLLER, Scheduler
from model.sharing import Terms
from model.snapshot import say
from model.superiors import peer_of
from model.view_rows import Machines, explain_job
from tests.model.shared_world import SharedWorld
from tests.model.small_world import cluster

NIGHT = "night"
SPEC = JobSpec("t", command=("x",), host=HostWish())


def world_of_one() -> SharedWorld:
    world = SharedWorld(cluster(("node1", 2)))
    world.run(1)
    return world


def link_up(world: SharedWorld, identity: str, terms: Terms | None = None) -> list[object]:
    world.controller.receive(LinkUp(peer_of(NIGHT), terms, identity), world.now)
    return [effect for effect in world.controller.drain() if not isinstance(effect, Transmit)]


def test_a_scheduler_of_the_same_name_with_another_journal_is_refused() -> None:
    world = world_of_one()
    assert link_up(world, "first") == [Commit(SuperiorKnown(1, NIGHT, Terms(), "first"))]
    assert link_up(world, "first") == []
    notice, disconnect = link_up(world, "second")
    assert isinstance(notice, Notice) and "another scheduler is called night" in notice.text
    assert disconnect == Disconnect(peer_of(NIGHT))
    superiors = world.controller.superiors
    assert superiors.refusal(NIGHT, "first") == "" and superiors.refusal(NIGHT, "second")
    assert superiors.refusal("noon", "second") == ""


def test_who_it_is_survives_a_restart_and_a_snapshot() -> None:
    known = SuperiorKnown(1, NIGHT, Terms(), "first")
    folded = fold([known, ControllerKnown("abc")])
    again = fold(say(folded.scheduler, folded.controller))
    assert again.controller.superiors == {1: known}
    assert again.scheduler.controller == "abc"


def test_one_that_was_known_without_a_journal_gets_the_first_that_it_names() -> None:
    world = world_of_one()
    link_up(world, "")
    assert link_up(world, "first") == [Commit(SuperiorKnown(1, NIGHT, Terms(), "first"))]
    assert link_up(world, "first", Terms(share=2)) == [Commit(SuperiorKnown(1, NIGHT, Terms(share=2), "first"))]


def test_ends_that_nobody_will_fetch_go_with_the_scheduler_that_is_forgotten() -> None:
    world = SharedWorld(cluster(("node1", 2)), night=Terms())
    world.run(1)
    world.submit(NIGHT, 3)
    world.crash(NIGHT)
    assert not world.forget(NIGHT).ok
    world.run(10)
    assert world.superior(NIGHT).held == 1, "its end waits to be acknowledged"
    assert world.forget(NIGHT).ok
    assert world.records[-1] == SuperiorForgotten(1)
    assert not world.controller.jobs and not fold(world.records).controller.given


class Alone:
    """A scheduler, and what it does; the controller is whatever the test says."""

    def __init__(self, restored: RestoredScheduler | None = None) -> None:
        self.scheduler = Scheduler(1, 0, cluster(), (), restored)
        self.records: list[object] = []
        self.notices: list[Notice] = []
        self.sent: list[object] = []
        self._sequence: dict[int, int] = {}

    def give(self, event: object) -> None:
        self.scheduler.receive(event, 0)  # type: ignore[arg-type]
        for effect in self.scheduler.drain():
            if isinstance(effect, Commit):
                self.records.append(effect.record)
            elif isinstance(effect, Notice):
                self.notices.append(effect)
            elif isinstance(effect, Transmit):
                self.sent += effect.batch.messages
            else:
                assert isinstance(effect, Answer)

    def say(self, life: int, *messages: object) -> None:
        """A word of the controller in this life of it."""
        self._sequence[life] = self._sequence.get(life, 0) + 1
        self.give(Delivered(CONTROLLER, Batch(life, self._sequence[life], 1, messages)))  # type: ignore[arg-type]

    def answer(self, life: int) -> None:
        """It has nothing."""
        inquiry = [each for each in self.sent if type(each).__name__ == "Inquire"][-1]
        self.say(life, Inventory((), inquiry.number, 0, 0))  # type: ignore[attr-defined]

    def ends(self) -> dict[int, str]:
        return {each.job: each.report.outcome.name for each in self.records if isinstance(each, AttemptEnded)}


def test_what_another_controller_had_is_lost_and_the_new_one_is_heard() -> None:
    alone = Alone()
    alone.give(LinkUp(CONTROLLER, identity="old"))
    assert ControllerKnown("old") in alone.records
    alone.answer(7)
    for request in (1, 2):
        alone.give(Submit(request, SPEC))
    alone.say(7, Started(JobId(1), 1, "node1"))
    alone.give(LinkDown(CONTROLLER, "gone"))
    alone.give(LinkUp(CONTROLLER, identity="new"))
    assert alone.ends() == {1: "LOST", 2: "LOST"}
    assert [each.text for each in alone.notices if each.level == "alarm"] == [
        "another controller is there, or it has lost its journal: 2 attempts are lost"
    ]
    alone.answer(1)  # its first life: not an earlier one of the other
    alone.give(Submit(3, SPEC))
    alone.say(1, Started(JobId(3), 1, "node1"))
    assert alone.scheduler.jobs[JobId(3)].state.value == "running"


def test_the_same_controller_keeps_what_it_has() -> None:
    alone = Alone()
    alone.give(LinkUp(CONTROLLER, identity="old"))
    alone.answer(7)
    alone.give(Submit(1, SPEC))
    alone.give(LinkDown(CONTROLLER, "gone"))
    alone.give(LinkUp(CONTROLLER, identity="old"))
    assert alone.ends() == {} and alone.records.count(ControllerKnown("old")) == 1


def test_a_scheduler_that_restarts_knows_which_controller_it_had() -> None:
    first = Alone()
    first.give(LinkUp(CONTROLLER, identity="old"))
    first.answer(7)
    first.give(Submit(1, SPEC))
    again = Alone(fold(first.records).scheduler)  # type: ignore[arg-type]
    again.give(LinkUp(CONTROLLER, identity="new"))
    assert again.ends() == {1: "LOST"}


def test_what_people_are_told_at_the_controller_is_recorded_before_it_is_acknowledged() -> None:
    alone = Alone()
    alone.give(LinkUp(CONTROLLER, identity="old"))
    alone.answer(7)
    told = Told("warning", "host node1", "it is down")
    alone.say(7, Pong(99), Notices(1, (told,)))
    assert NoticeHeard("warning", "host node1", "it is down") in alone.records
    assert Heard(1) in alone.sent
    alone.say(7, Notices(1, (told,)))
    assert sum(isinstance(each, NoticeHeard) for each in alone.records) == 1


def test_a_job_is_told_its_schedulers_own_number() -> None:
    number = 5 << JOBS_BITS | 17
    assert own_number(number) == 17 and number_text(number) == "17 (of superior 5)" and number_text(17) == "17"
    assert number_marks(number, 2) == {"LAULIMA_JOB": "17", "LAULIMA_ATTEMPT": "2", "LAULIMA_SUPERIOR": "5"}
    assert number_marks(17, 2) == {"LAULIMA_JOB": "17", "LAULIMA_ATTEMPT": "2"}


def test_what_a_host_says_of_where_a_job_is_reaches_a_scheduler_elsewhere() -> None:
    """A batch system knows more than that there is no room."""
    world = SharedWorld(cluster(("node1", 2)), night=Terms())
    world.run(1)
    world.submit(NIGHT, 50)
    superior, link = world.superior(NIGHT), world.controller.hosts["node1"].link
    job, attempt = superior.key_of(1, 1)
    said = Started(job, attempt, "node1", why="array 7 on c3")
    world.controller.receive(
        Delivered("node1", Batch(link.peer_epoch, link.heard_sequence + 1, link.epoch, (said,))), world.now
    )
    told = [
        message
        for effect in world.controller.drain()
        if isinstance(effect, Transmit) and effect.peer == superior.peer
        for message in effect.batch.messages
    ]
    assert Started(JobId(1), 1, "node1", why="array 7 on c3") in told
    scheduler = world.members[NIGHT].machine
    scheduler.executors[CONTROLLER].link.given[JobId(1), 1].why = "array 7 on c3"
    machines = Machines(scheduler, world.controller, None, world.now, 0, elsewhere=True)
    found = explain_job(machines, 1)
    assert found is not None and found.reasons == ("running (node1: array 7 on c3)",)
