"""Goal: schedulers that share a controller know nothing of each other: whatever becomes of one, the others' jobs run as
if it were not there, and its own are neither lost nor run twice.

Method: the shared world (real schedulers, controller, agents, keepers); at its end a property: what a controller says
to one scheduler is the same to the word, whatever another one does with hosts of its own.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.channel import ProtocolError
from model.controller import Controller
from model.effects import Disconnect, Notice
from model.events import Delivered, IntakeVerb, JobVerb, LinkUp, OrderIntake, OrderJob, PartFromHosts, SetTerms
from model.job import SECOND, HostWish, JobId, JobSpec, Outcome, Report
from model.job_numbers import JOBS_MAX
from model.messages import (
    NOTICES_MAX,
    Acknowledge,
    Assign,
    Batch,
    Cancel,
    CancelReason,
    Ended,
    Heard,
    Inquire,
    Inventory,
    Notices,
    Parting,
    Ping,
    Told,
)
from model.notices import Hearing, Telling
from model.records import SnapshotSuperiors, SuperiorForgotten, SuperiorKnown
from model.restored import fold
from model.sharing import SHARE_MAX, Terms, TermsError
from model.snapshot import say
from model.superiors import SUPERIORS_MAX, peer_of
from model.view_rows import superior_rows
from model.views import SuperiorRow
from tests.model.shared_world import SharedWorld, below, on
from tests.model.small_world import SmallWorld, cluster, task

TWO_HOSTS = cluster(("node1", 2), ("node2", 2))
EVENING, NIGHT = "evening", "night"


USUAL = Terms()


def world_of_two(evening: Terms = USUAL, night: Terms = USUAL) -> SharedWorld:
    return SharedWorld(TWO_HOSTS, evening=evening, night=night)


# numbers


def test_jobs_of_the_same_number_are_two_jobs() -> None:
    world = world_of_two()
    world.submit(EVENING)
    world.submit(NIGHT)
    assert len(world.controller.jobs) == 2
    world.run(10)
    assert world.ran() == {(1, 1, 1): 1, (2, 1, 1): 1}
    assert [world.members[name].outcomes() for name in (EVENING, NIGHT)] == [{1: "EXITED"}, {1: "EXITED"}]
    assert world.controller.jobs == {}


def test_the_scheduler_of_the_same_process_has_the_same_numbers_on_both_sides_and_no_record() -> None:
    world = SmallWorld((task(),))
    world.run(1)
    assert list(world.controller.jobs) == [(1, 1)]
    assert not [record for record in world.records if isinstance(record, SuperiorKnown)]
    snapshot = list(say(fold(world.records).scheduler, fold(world.records).controller))
    assert not [part for part in snapshot if isinstance(part, SnapshotSuperiors)]


def test_a_job_number_that_is_too_large_is_refused() -> None:
    world = world_of_two()
    message = Assign(JobId(JOBS_MAX), 1, JobSpec("work", ("run", "1")))
    with pytest.raises(ProtocolError, match=f"superior/night speaks of job {JOBS_MAX}"):
        world.controller.receive(Delivered(peer_of(NIGHT), Batch(1, 100, 1, (message,))), world.now)


def test_a_cancel_is_for_the_job_of_its_own_scheduler() -> None:
    world = world_of_two()
    world.submit(EVENING)
    world.submit(NIGHT)
    world.order(NIGHT, OrderJob(1, JobVerb.KILL, 1))
    world.run(10)
    assert world.members[EVENING].outcomes() == {1: "EXITED"}
    assert world.members[NIGHT].outcomes() == {1: "KILLED"}


def test_an_inventory_has_the_jobs_of_the_one_who_asks() -> None:
    world = world_of_two()
    world.submit(EVENING, 50, count=3)
    world.submit(NIGHT, 50)
    world.cut_off(NIGHT)
    world.connect(NIGHT)
    (*_, last) = [message for message in world.members[NIGHT].heard if isinstance(message, Inventory)]
    assert [(entry.job, entry.attempt) for entry in last.entries] == [(1, 1)]


def test_what_a_host_claims_for_nobody_ends_there() -> None:
    world = world_of_two()
    stranger = JobId(9 << 40 | 1)
    host = world.controller.hosts["node1"].link
    for sequence, message in enumerate((Ended(stranger, 1, Report(Outcome.EXITED, 0)),), 1000):
        batch = Batch(host.peer_epoch, sequence, host.epoch, (message,))
        world.controller.receive(Delivered("node1", batch), world.now)
    world.settle()
    said = [message for peer, message in world.to_hosts if peer == "node1" and not isinstance(message, Ping | Inquire)]
    assert said == [Cancel(stranger, 1, CancelReason.ORPHAN), Acknowledge(stranger, 1)]
    assert world.controller.jobs == {}


# lives of schedulers


def test_when_one_is_killed_the_other_is_not_affected() -> None:
    world = world_of_two()
    world.submit(EVENING, 30, count=4)
    world.submit(NIGHT, 30, count=4)
    world.crash(EVENING)
    world.run(1000)
    assert world.members[NIGHT].outcomes() == dict.fromkeys(range(1, 5), "EXITED")


def test_the_one_that_was_killed_comes_back_and_harvests_its_own() -> None:
    world = world_of_two()
    world.submit(EVENING, 30)
    world.submit(NIGHT, 30)
    world.crash(EVENING)
    world.run(100)
    assert world.members[NIGHT].outcomes() == {1: "EXITED"}
    assert list(world.controller.jobs) == [(below(world.superior(EVENING), 1), 1)], "its end waits for it"
    world.start(EVENING)
    world.run(1)
    assert world.members[EVENING].outcomes() == {1: "EXITED"}
    assert world.ran() == {(1, 1, 1): 1, (2, 1, 1): 1}
    assert world.controller.jobs == {}


def test_jobs_of_one_that_stays_away_end_with_its_lease_and_no_others() -> None:
    world = world_of_two()
    world.submit(EVENING, 5000)
    world.submit(NIGHT, 5000)
    world.crash(EVENING)
    world.run(world.cluster.times.lease_ns / SECOND + 20)
    assert world.ran() == {(1, 1, 1): 1, (2, 1, 1): 1}
    running = [key for host in world.hosts.values() for key in host.processes]
    assert running == [(below(world.superior(NIGHT), 1), 1)]
    world.start(EVENING)
    world.run(5)
    assert world.members[EVENING].outcomes() == {1: "LOST"}, "nobody has killed it, so the policy for lost jobs holds"


def test_what_waits_longer_than_the_lease_for_its_scheduler_is_not_lost() -> None:
    """It never began, so it may be tried again, whatever the policy for lost jobs says."""
    world = world_of_two()
    world.submit(NIGHT, 400, count=4)
    world.submit(EVENING, 1, count=2)
    world.crash(EVENING)
    world.run(world.cluster.times.lease_ns / SECOND + 20)
    evening = world.superior(EVENING).number
    assert not any(number == evening for number, _, _ in world.ran()), "there was no room for them"
    world.start(EVENING)
    world.run(200)
    assert world.members[EVENING].outcomes() == {1: "EXITED", 2: "EXITED"}
    ran = {key: count for key, count in world.ran().items() if key[0] == evening}
    assert ran == {(evening, 1, 2): 1, (evening, 2, 2): 1}
    assert world.controller.jobs == {}


def test_the_parting_of_one_says_nothing_to_hosts() -> None:
    world = world_of_two()
    world.submit(EVENING, 2000)
    world.submit(NIGHT, 2000)
    world.order(EVENING, OrderIntake(1, IntakeVerb.SHUTDOWN, keep_ns=1500 * SECOND))
    assert not [message for _, message in world.to_hosts if isinstance(message, Parting)]
    world.crash(EVENING)
    world.run(1400)
    assert len([key for host in world.hosts.values() for key in host.processes]) == 2, "what it granted holds"
    world.run(200)
    assert len([key for host in world.hosts.values() for key in host.processes]) == 1


def test_a_controller_that_is_stopped_parts_from_its_hosts() -> None:
    world = world_of_two()
    world.controller.receive(PartFromHosts(77 * SECOND), world.now)
    world.settle()
    assert [(peer, message) for peer, message in world.to_hosts if isinstance(message, Parting)] == [
        ("node1", Parting(77 * SECOND)),
        ("node2", Parting(77 * SECOND)),
    ]


# lives of the controller


def test_after_a_restart_of_the_controller_nothing_is_lost_and_nothing_runs_twice() -> None:
    world = world_of_two()
    for name in (EVENING, NIGHT):
        world.submit(name, 20, count=5)
    world.run(5)
    world.restart_controller()
    world.run(200)
    for name in (EVENING, NIGHT):
        assert world.members[name].outcomes() == dict.fromkeys(range(1, 6), "EXITED")
    assert set(world.ran().values()) == {1}


def test_one_that_does_not_come_back_after_it_has_a_lease_from_then_on() -> None:
    world = world_of_two()
    world.submit(EVENING, 5000)
    world.run(1)
    world.crash(EVENING)
    world.restart_controller()
    world.run(world.cluster.times.lease_ns / SECOND + 20)
    assert not [key for host in world.hosts.values() for key in host.processes]


def test_superiors_are_remembered_with_their_terms_also_in_a_snapshot() -> None:
    terms = Terms(3, 50, 7)
    world = world_of_two(night=terms)
    for name in (EVENING, NIGHT):
        world.submit(name, 100)
    folded = fold(world.records)
    again = fold(say(folded.scheduler, folded.controller))
    assert again.controller == folded.controller
    found = Controller(2, world.now, world.cluster, again.controller).superiors
    assert [(each.number, each.name, each.terms) for each in found.all.values()][1:] == [
        (1, EVENING, Terms()),
        (2, NIGHT, terms),
    ]


def test_new_terms_are_recorded_and_hold() -> None:
    world = world_of_two()
    world.submit(NIGHT, 100, count=3)
    world.cut_off(NIGHT)
    world.members[NIGHT].terms = Terms(5, 10, 2)
    world.connect(NIGHT)
    assert fold(world.records).controller.superiors[2] == SuperiorKnown(2, NIGHT, Terms(5, 10, 2))
    world.submit(NIGHT, 100)
    assert world.superior(NIGHT).queued == 1 and world.superior(NIGHT).is_full


@pytest.mark.parametrize("wish", [HostWish(), on("node2")])
def test_better_terms_count_at_once(wish: HostWish) -> None:
    world = world_of_two(night=Terms(in_flight_max=1))
    world.submit(NIGHT, 100, host=on("node1"))
    world.submit(NIGHT, 100, host=wish)
    world.cut_off(NIGHT)
    world.members[NIGHT].terms = Terms(in_flight_max=2)
    world.connect(NIGHT)
    assert world.superior(NIGHT).in_flight == 2


@pytest.mark.parametrize("wish", [HostWish(), on("node2")])
def test_terms_are_changed_while_a_scheduler_is_here(wish: HostWish) -> None:
    world = world_of_two(night=Terms(in_flight_max=1))
    world.submit(NIGHT, 100, host=on("node1"))
    world.submit(NIGHT, 100, host=wish)
    assert world.superior(NIGHT).in_flight == 1
    terms = Terms(in_flight_max=2)
    world.tell_controller(SetTerms(NIGHT, terms))
    assert world.superior(NIGHT).in_flight == 2
    assert fold(world.records).controller.superiors[2] == SuperiorKnown(2, NIGHT, terms)
    records = len(world.records)
    world.tell_controller(SetTerms(NIGHT, terms))
    world.tell_controller(SetTerms("nobody", terms))
    world.tell_controller(SetTerms("", terms))
    assert len(world.records) == records


# coming and going


def test_one_that_is_forgotten_leaves_its_number_unused_for_ever() -> None:
    world = world_of_two()
    assert world.forget(NIGHT).text == "scheduler night is connected"
    world.submit(NIGHT, 3)
    world.crash(NIGHT)
    assert world.forget(NIGHT).text == "1 jobs of scheduler night have not ended; they end with its lease"
    world.start(NIGHT)
    world.run(10)
    world.crash(NIGHT)
    assert world.forget(NIGHT).ok
    assert not world.forget(NIGHT).ok and not world.forget("").ok
    assert world.records[-1] == SuperiorForgotten(2)
    world.restart_controller()
    world.join("noon")
    folded = fold(world.records).controller
    assert {number: known.name for number, known in folded.superiors.items()} == {1: EVENING, 3: "noon"}
    again = fold(say(fold(world.records).scheduler, folded)).controller
    assert again == folded and again.following == 4


def test_there_is_an_end_to_superiors() -> None:
    world = SharedWorld(TWO_HOSTS)
    for number in range(SUPERIORS_MAX):
        world.controller.receive(LinkUp(peer_of(f"s{number}")), world.now)
    world.controller.drain()
    world.controller.receive(LinkUp(peer_of("late")), world.now)
    effects = world.controller.drain()
    assert Disconnect(peer_of("late")) in effects
    assert [effect.text for effect in effects if isinstance(effect, Notice)] == [
        f"refused: {SUPERIORS_MAX} schedulers are known here already, forget one that does not come back"
    ]
    assert len(world.controller.superiors.all) == SUPERIORS_MAX + 1


def test_each_has_its_own_limit_of_waiting_jobs() -> None:
    world = world_of_two(evening=Terms(pending_max=2))
    world.submit(NIGHT, 5, count=10)
    for _ in range(10):
        world.submit(EVENING, 5)
    world.run(100)
    assert sorted(world.members[EVENING].outcomes().values()) == ["EXITED"] * 2 + ["OVERLOADED"] * 8
    assert set(world.members[NIGHT].outcomes().values()) == {"EXITED"}


@pytest.mark.parametrize("terms", [(0,), (SHARE_MAX + 1,), (1, -1), (1, 1, -1)])
def test_terms_that_make_no_sense_are_refused(terms: tuple[int, ...]) -> None:
    with pytest.raises(TermsError):
        Terms(*terms)


def test_people_are_shown_who_uses_the_controller() -> None:
    world = world_of_two(night=Terms(3, 50, 1))
    world.submit(NIGHT, 100, count=3)
    world.crash(EVENING)
    assert superior_rows(world.controller) == [
        SuperiorRow(EVENING, False, 1, 0, 100_000, 0, 0),
        SuperiorRow(NIGHT, True, 3, 2, 50, 1, 1),
    ]


# notices


def test_what_the_controller_tells_people_reaches_every_journal_once() -> None:
    world = world_of_two()
    world.cut("node1")
    found = [("warning", "host node1", "down: Connection reset")]
    for name in (EVENING, NIGHT):
        notices = world.members[name].told()
        assert [(each.level, each.about, each.text) for each in notices] == found
    world.run(60)
    said = [notice for notice in world.notices if notice.about == "host node1"]
    assert len(said) > 5
    for name in (EVENING, NIGHT):
        assert world.members[name].told() == said


def test_notices_that_were_lost_on_the_way_are_said_again_and_heard_once() -> None:
    world = world_of_two()
    world.lose_up = True
    world.cut("node1")
    world.lose_up = False
    assert world.members[NIGHT].told() == []
    assert world.superior(NIGHT).telling.say_at == world.now + world.cluster.times.resend_ns
    world.run(world.cluster.times.resend_ns / SECOND + 1)
    said = [notice for notice in world.notices if notice.about == "host node1"]
    assert len(said) > 1
    assert world.members[NIGHT].told() == said
    assert not len(world.superior(NIGHT).telling)


def test_one_that_is_away_is_told_when_it_comes_back() -> None:
    world = world_of_two()
    world.crash(NIGHT)
    world.cut("node1")
    world.start(NIGHT)
    assert [each.text for each in world.members[NIGHT].told()] == ["down: Connection reset"]


def test_what_was_lost_with_a_connection_is_said_at_once_in_the_next_one() -> None:
    world = world_of_two()
    world.lose_up = True
    world.cut("node1")
    world.cut_off(NIGHT)
    world.lose_up = False
    world.connect(NIGHT)
    assert [each.text for each in world.members[NIGHT].told()] == ["down: Connection reset"]


def test_notices_are_bounded_and_what_is_dropped_is_counted() -> None:
    telling, hearing = Telling(), Hearing()
    for number in range(NOTICES_MAX + 5):
        telling.add(Notice("info", "", str(number)))
    window = telling.take(0, 10)
    assert window is not None and telling.take(5, 10) is None, "one window is under way"
    heard = hearing.take(window, 1, "controller")
    assert [each.text for each in heard[:2]] == ["5 notices of the controller were not heard: it keeps 100", "5"]
    assert len(heard) == NOTICES_MAX + 1
    assert telling.take(10, 10) == window, "it was not acknowledged"
    assert hearing.take(window, 1, "controller") == []
    telling.heard(window.number)
    assert telling.take(11, 10) is None and not len(telling)
    assert hearing.take(Notices(1, (Told("info", "", "anew"),)), 2, "controller") == [Notice("info", "", "anew")]


def test_a_host_may_not_say_notices() -> None:
    world = world_of_two()
    link = world.controller.hosts["node1"].link
    batch = Batch(link.peer_epoch, 1000, link.epoch, (Notices(1, (Told("alarm", "", "fire"),)),))
    with pytest.raises(ProtocolError, match="only a controller"):
        world.controller.receive(Delivered("node1", batch), world.now)


def test_heard_of_an_earlier_life_means_nothing() -> None:
    world = world_of_two()
    world.lose_up = True
    world.cut("node1")
    stale = Batch(1, 500, 99, (Heard(1),))
    world.controller.receive(Delivered(peer_of(NIGHT), stale), world.now)
    assert len(world.superior(NIGHT).telling) == 1


# independence

DEEDS = st.sampled_from(["submit", "run", "crash", "start", "cut off", "connect", "kill", "part", "freeze"])


def night_does(world: SharedWorld, deed: str) -> None:
    member = world.members[NIGHT]
    if deed == "start" and member.scheduler is None:
        world.start(NIGHT)
    elif deed == "crash":
        world.crash(NIGHT)
    elif deed == "cut off":
        world.cut_off(NIGHT)
    elif member.scheduler is None:
        return
    elif deed == "connect" and not member.connected:
        world.connect(NIGHT)
    elif deed == "submit":
        world.submit(NIGHT, 7, count=3, host=on("node2"))
    elif deed == "kill" and member.scheduler.jobs:
        world.order(NIGHT, OrderJob(1, JobVerb.KILL, next(iter(member.scheduler.jobs))))
    elif deed == "part":
        world.order(NIGHT, OrderIntake(1, IntakeVerb.SHUTDOWN, keep_ns=20 * SECOND))
    elif deed == "freeze":
        member.connected = False  # nothing arrives, and nobody is told


def history(deeds: list[str]) -> tuple[object, ...]:
    """What the evening's scheduler is told and records, while the night's does this."""
    world = world_of_two()
    for deed in deeds:
        night_does(world, deed)
        world.submit(EVENING, 5, host=on("node1"))
        world.run(37 if deed == "run" else 3)
    world.run(500)
    member = world.members[EVENING]
    return tuple(member.heard), tuple(member.records)


@settings(max_examples=60, deadline=None)
@given(st.lists(DEEDS, min_size=1, max_size=12))
def test_the_history_of_one_does_not_depend_on_what_another_does(deeds: list[str]) -> None:
    quiet = ["run" if deed == "run" else "nothing" for deed in deeds]
    assert history(deeds) == history(quiet)
