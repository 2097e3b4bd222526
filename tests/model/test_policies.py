"""Goal: every policy and every outcome is what the configuration says. Method: the small world; hosts are cut off,
silenced, rebooted; each test shows one policy.
"""

from __future__ import annotations

import pytest

from model.events import (
    HostVerb,
    OrderHost,
    Submit,
)
from model.explain import Reason
from model.host import HostState
from model.job import LOCAL, SECOND, HostPolicy, HostWish, JobSpec, JobState, Wait
from tests.model.small_world import SmallWorld, cluster, task


def needs(name: str, **policies: HostPolicy) -> HostWish:
    return HostWish(name, required=True, **policies)


def submit(world: SmallWorld, *words: str, **fields: object) -> int:
    """An ad-hoc job; its number."""
    world.give(Submit(1, JobSpec("adhoc", words, **fields)))  # type: ignore[arg-type]
    return world.answers[-1].job


# outcomes


@pytest.mark.parametrize(
    ("words", "outcome", "code", "signal"),
    [
        (("run", "1", "0"), "EXITED", 0, None),
        (("run", "1", "255"), "EXITED", 255, None),
        (("signal", "1", "11"), "CRASHED", None, 11),
        (("run", "1000", "0"), "TIMED_OUT", None, None),
        (("deaf", "1000"), "TIMED_OUT", None, None),
        (("missing",), "COMMAND_NOT_FOUND", None, None),
    ],
)
def test_how_a_process_ends_is_its_outcome(
    words: tuple[str, ...], outcome: str, code: int | None, signal: int | None
) -> None:
    world = SmallWorld()
    submit(world, *words, timeout_ns=20 * SECOND)
    world.run(30)
    report = world.ends[0].report
    assert (report.outcome.name, report.exit_code) == (outcome, code)
    assert outcome == "TIMED_OUT" or report.signal == signal
    assert report.started == (outcome != "COMMAND_NOT_FOUND")


def test_an_end_at_the_instant_of_its_timeout_is_no_timeout() -> None:
    world = SmallWorld()
    submit(world, "run", "20", "0", timeout_ns=20 * SECOND)
    world.run(30)
    assert world.outcomes() == ["EXITED"]


def test_a_job_that_waits_too_long_ends_pending_timeout_and_never_runs() -> None:
    world = SmallWorld(definition=cluster(("node1", 1)))
    submit(world, "run", "100", "0")
    late = submit(world, "run", "1", "0", pending_ns=30 * SECOND)
    world.run(29.9)
    assert world.outcomes() == []
    world.run(0.2)
    assert world.outcomes() == ["PENDING_TIMEOUT"]
    world.run(100)
    assert world.hosts["node1"].ran == {(1, 1): 1} and late == 2


def test_a_local_job_that_waits_too_long_ends_pending_timeout() -> None:
    world = SmallWorld(definition=cluster(local_slots=1))
    for _ in range(2):
        submit(world, "run", "100", "0", host=needs(LOCAL), pending_ns=30 * SECOND)
    world.run(31)
    assert world.outcomes() == ["PENDING_TIMEOUT"]


def test_want_of_room_is_tried_again_with_growing_pauses_and_then_is_overloaded() -> None:
    world = SmallWorld(definition=cluster(("node1", 1), rooms_max=3))
    submit(world, "busy")
    world.run(0.5)
    assert world.outcomes() == [] and world.scheduler.jobs[1].state is JobState.RETRYING  # type: ignore[index]
    world.run(60)
    assert world.outcomes() == ["OVERLOADED"]
    assert [end.attempt for end in world.ends] == [1, 2, 3, 4]


def test_one_more_than_pending_max_is_refused() -> None:
    world = SmallWorld(definition=cluster(("node1", 1), pending_max=2))
    for _ in range(4):
        submit(world, "run", "10", "0")
    world.run(1)
    assert world.outcomes() == ["OVERLOADED"]
    assert "pending_max" in world.ends[0].report.reason


# required hosts


def test_a_required_host_that_is_down_is_waited_for() -> None:
    world = SmallWorld()
    world.cut("node2")
    submit(world, "run", "1", "0", host=needs("node2"))
    world.run(30)
    found = world.controller.explain_attempt((1, 1), world.now)  # type: ignore[arg-type]
    assert found is not None and found.reason in (Reason.HOST_DOWN, Reason.HOST_CONNECTING)
    world.mend("node2")
    world.run(120)
    assert world.outcomes() == ["EXITED"] and world.ends[0].report.host == "node2"


def test_a_required_host_that_is_down_fails_the_job_at_once_if_so_ordered() -> None:
    world = SmallWorld()
    world.cut("node2")
    submit(world, "run", "1", "0", host=needs("node2", when_down=HostPolicy(Wait.FAIL)))
    assert world.outcomes() == ["HOST_DOWN"]
    assert "Connection reset" in world.ends[0].report.reason


def test_a_required_host_that_goes_down_fails_the_jobs_that_wait_for_it() -> None:
    world = SmallWorld(definition=cluster(("node1", 1)))
    submit(world, "run", "100", "0")
    submit(world, "run", "1", "0", host=needs("node1", when_down=HostPolicy(Wait.FAIL)))
    world.cut("node1")
    assert world.outcomes() == ["HOST_DOWN"]


def test_a_required_host_is_tried_so_often_and_no_more() -> None:
    world = SmallWorld()
    world.cut("node2")
    submit(world, "run", "1", "0", host=needs("node2", when_down=HostPolicy(Wait.TRY, 3)))
    assert world.outcomes() == []
    world.run(60)
    assert world.outcomes() == ["HOST_DOWN"]
    assert "3 times" in world.ends[0].report.reason


def test_elsewhere_takes_any_host_when_the_required_one_is_down() -> None:
    world = SmallWorld()
    world.cut("node2")
    submit(world, "run", "1", "0", host=needs("node2", when_down=HostPolicy(Wait.ELSEWHERE)))
    world.run(2)
    assert world.ends[0].report.host == "node1"


def test_elsewhere_leaves_a_host_that_goes_down_while_the_job_waits() -> None:
    world = SmallWorld(definition=cluster(("node1", 1), ("node2", 1)))
    wish = needs("node2", when_down=HostPolicy(Wait.ELSEWHERE))
    submit(world, "run", "50", "0", host=wish)
    submit(world, "run", "1", "0", host=wish)
    world.run(5)
    assert world.outcomes() == []
    world.cut("node2")
    world.run(2)
    assert [end.report.host for end in world.ends] == ["node1"]


def test_an_unknown_host_is_refused_by_default_and_waited_for_if_so_ordered() -> None:
    world = SmallWorld()
    submit(world, "run", "1", "0", host=needs("node9"))
    assert world.outcomes() == ["HOST_UNKNOWN"]
    submit(world, "run", "1", "0", host=needs("node2", when_unknown=HostPolicy(Wait.WAIT)))
    submit(world, "run", "1", "0", host=needs("node8", when_unknown=HostPolicy(Wait.WAIT)))
    world.run(5)
    assert world.outcomes() == ["HOST_UNKNOWN", "EXITED"]
    from tests.model.small_world import SmallHost

    world.hosts["node8"] = SmallHost("node8", 1, world.cluster, world.now)
    world.order_host(OrderHost(7, HostVerb.ADD, "node8", slots=1))
    world.run(5)
    assert world.ends[-1].report.host == "node8"


def test_a_silent_host_gets_nothing_and_the_silent_policy_applies() -> None:
    world = SmallWorld()
    world.hosts["node2"].frozen = True
    world.run(25)
    assert world.controller.hosts["node2"].state is HostState.SILENT
    submit(world, "run", "1", "0", host=needs("node2", when_silent=HostPolicy(Wait.FAIL)))
    assert world.outcomes() == ["HOST_DOWN"]
    submit(world, "run", "1", "0", host=needs("node2"))
    world.run(5)
    assert world.outcomes() == ["HOST_DOWN"]
    world.hosts["node2"].frozen = False
    world.run(10)
    assert world.outcomes() == ["HOST_DOWN", "EXITED"]


def test_a_preferred_host_is_waited_for_and_then_any_will_do() -> None:
    world = SmallWorld(definition=cluster(("node1", 1), ("node2", 1)))
    submit(world, "run", "100", "0", host=needs("node2"))
    submit(world, "run", "1", "0", host=HostWish("node2", wait_ns=20 * SECOND))
    world.run(19)
    assert world.outcomes() == []
    world.run(3)
    assert [end.report.host for end in world.ends] == ["node1"]


def test_a_preferred_host_that_is_free_is_taken() -> None:
    world = SmallWorld()
    for _ in range(2):
        submit(world, "run", "5", "0", host=HostWish("node2"))
    world.run(6)
    assert [end.report.host for end in world.ends] == ["node2", "node2"]


# lost hosts and leases


def test_a_host_that_vanishes_is_lost_after_lease_and_margin_and_reported_by_default() -> None:
    world = SmallWorld((task("t", "run", "1000", "0", every=10_000, timeout=5000),))
    world.run(1)
    host = world.controller.jobs[1, 1].host  # type: ignore[index]
    assert host is not None
    world.cut(host.name)
    times = world.cluster.times
    world.run((times.lease_ns + times.margin_ns) / SECOND - 10)
    assert world.outcomes() == []
    world.run(20)
    assert world.outcomes() == ["LOST"]
    assert not world.hosts[host.name].processes, "its keeper ended it when the lease ended"


def test_two_attempts_of_a_lost_job_do_not_overlap() -> None:
    world = SmallWorld((task("t", "run", "1000", "0", every=10_000, timeout=5000, lost_reruns=1),))
    world.run(1)
    host = world.controller.jobs[1, 1].host  # type: ignore[index]
    assert host is not None
    world.cut(host.name)
    overlap = 0
    for _ in range(400):
        world.run(1)
        alive = [key for each in world.hosts.values() for key in each.processes]
        overlap = max(overlap, len(alive))
    assert overlap == 1
    assert [(end.attempt, end.report.outcome.name) for end in world.ends] == [(1, "LOST")]
    assert world.scheduler.jobs[1].attempt == 2  # type: ignore[index]


def test_a_host_that_comes_back_in_time_delivers_what_ended_meanwhile() -> None:
    world = SmallWorld((task("t", "run", "60", "3", every=10_000, timeout=5000),))
    world.run(1)
    host = world.controller.jobs[1, 1].host  # type: ignore[index]
    assert host is not None
    world.cut(host.name)
    world.run(100)
    assert world.outcomes() == []
    world.mend(host.name)
    world.run(100)
    assert world.ends[0].report.exit_code == 3


def test_a_rebooted_host_loses_its_jobs_at_once() -> None:
    world = SmallWorld((task("t", "run", "60", "0", every=10_000, timeout=5000),))
    world.run(1)
    host = world.controller.jobs[1, 1].host  # type: ignore[index]
    assert host is not None
    world.reboot(host.name)
    world.run(10)
    assert world.outcomes() == ["LOST"]


def test_a_replaced_agent_adopts_the_running_job() -> None:
    world = SmallWorld((task("t", "run", "60", "0", every=10_000, timeout=5000),))
    world.run(1)
    host = world.controller.jobs[1, 1].host  # type: ignore[index]
    assert host is not None
    world.restart_agent(host.name)
    world.run(61)
    assert world.outcomes() == ["EXITED"]
    assert world.hosts[host.name].ran == {(1, 1): 1}


def test_a_silent_controller_lets_jobs_wait_for_their_grace() -> None:
    world = SmallWorld((task("t", "run", "5", "0", every=1000, silent_grace_ns=100 * SECOND),))
    world.run(10)
    world.controller_frozen = True
    world.run(995)
    assert world.outcomes() == ["EXITED"]
    found = world.scheduler.explain_job(2, world.now)
    assert found is not None and found.reason is Reason.EXECUTOR_SILENT
    assert found.until_ns is not None
    world.run((found.until_ns - world.now) / SECOND)
    assert world.outcomes() == ["EXITED", "CONTROLLER_SILENT"]


def test_local_jobs_go_on_while_the_controller_is_silent() -> None:
    world = SmallWorld((task("here", host=needs(LOCAL), every=10), task("there", every=10)))
    world.controller_frozen = True
    world.run(104)
    hosts = {end.report.host for end in world.ends if end.report.outcome.name == "EXITED"}
    assert hosts == {"local"} and world.outcomes().count("EXITED") == 10


def test_an_attempt_given_up_for_silence_is_cancelled_when_the_controller_is_back() -> None:
    world = SmallWorld((task("t", "run", "50", "0", every=10_000, silent_grace_ns=30 * SECOND),), cluster(("node1", 1)))
    submit(world, "run", "20", "0")
    world.run(0.5)
    assert world.scheduler.jobs[1].state in (JobState.PENDING, JobState.RUNNING)  # type: ignore[index]
    world.controller_frozen = True
    world.run(80)
    assert "CONTROLLER_SILENT" in world.outcomes()
    world.controller_frozen = False
    world.run(120)
    assert world.controller.jobs == {}
    assert sum(world.hosts["node1"].ran.values()) <= 2
