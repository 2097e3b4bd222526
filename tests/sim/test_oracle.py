"""Goal: each promise that the oracle checks can be seen broken, and what is right is not called broken.

Method: short event logs made by hand: a good life of a job, and the same life with one thing wrong.
"""

from __future__ import annotations

from model.job import HostWish, JobId, JobSpec, Outcome, Report
from model.messages import Accepted, Acknowledge, Assign, Batch, Ended, Inventory, Message
from model.records import (
    AttemptAssigned,
    AttemptEnded,
    AttemptGiven,
    AttemptReturned,
    AttemptStarted,
    HostChanged,
    JobAccepted,
    TaskChanged,
)
from sim.log import (
    Committed,
    FaultChanged,
    Finished,
    Header,
    Healed,
    Life,
    Line,
    LinkChanged,
    ProcessEnded,
    ProcessStarted,
    Sent,
)
from sim.oracle import Oracle

SPEC = JobSpec(task="warp", command=("true",), host=HostWish("node1"))
DONE = Report(Outcome.EXITED, exit_code=0, started=True, host="node1")
ONE = JobId(1)


class Log:
    """Builds a log; each line comes a second after the one before."""

    def __init__(self) -> None:
        self.lines: list[Line] = [Header(1, "", "", {"local": 2, "node1": 1, "node2": 1})]
        self._sequences: dict[tuple[str, str], int] = {}

    @property
    def t(self) -> int:
        return len(self.lines) * 10**9

    def commit(self, node: str, *records: object) -> Log:
        for record in records:
            self.lines.append(Committed(self.t, node, record))  # type: ignore[arg-type]
        return self

    def send(self, node: str, to: str, *messages: Message, sequence: int = 0) -> Log:
        number = sequence or self._sequences.get((node, to), 0) + 1
        self._sequences[node, to] = number
        self.lines.append(Sent(self.t, node, to, (self.t,), Batch(1, number, 1, messages)))
        return self

    def start(self, node: str, job: JobId = ONE, attempt: int = 1) -> Log:
        self.lines.append(ProcessStarted(self.t, node, job, attempt, 100, 1))
        return self

    def end(self, node: str, job: JobId = ONE, attempt: int = 1, exit_code: int = 0) -> Log:
        self.lines.append(ProcessEnded(self.t, node, job, attempt, 1, exit_code, None))
        return self

    def accept(self, job: JobId = ONE, item: str | None = None) -> Log:
        spec = SPEC if item is None else JobSpec(task="warp", command=("true",), item=item)
        return self.commit("scheduler", JobAccepted(job, spec))

    def give(self, job: JobId = ONE, attempt: int = 1, host: str = "node1") -> Log:
        self.commit("scheduler", AttemptAssigned(job, attempt, "controller"))
        self.send("scheduler", "controller", Assign(job, attempt, SPEC))
        return self.commit("controller", AttemptGiven(job, attempt, host, 1, SPEC))

    def verdict(self) -> list[str]:
        """The promises that were broken, in order."""
        oracle = Oracle()
        oracle.read([*self.lines, Finished(self.t)])
        return [violation.promise for violation in oracle.violations]


def ended(job: JobId = ONE, attempt: int = 1, report: Report = DONE, final: bool = True) -> AttemptEnded:
    return AttemptEnded(job, attempt, report, final)


def whole_life() -> Log:
    log = Log().accept().give().start("node1").commit("scheduler", AttemptStarted(ONE, 1, "node1")).end("node1")
    log.send("node1", "controller", Ended(ONE, 1, DONE)).send("controller", "scheduler", Ended(ONE, 1, DONE))
    return log.commit("scheduler", ended()).send("scheduler", "controller", Acknowledge(ONE, 1))


def test_a_good_life_breaks_nothing() -> None:
    assert whole_life().verdict() == []


def test_a_job_number_is_never_used_again() -> None:
    assert whole_life().accept().verdict() == ["P1"]


def test_an_item_is_given_out_once() -> None:
    assert Log().accept(ONE, "a").accept(JobId(2), "b").verdict() == []
    assert Log().accept(ONE, "a").accept(JobId(2), "a").verdict() == ["P1"]


def test_an_end_is_recorded_once() -> None:
    assert whole_life().commit("scheduler", ended()).verdict() == ["P2"]


def test_an_end_is_acknowledged_after_its_record() -> None:
    log = Log().accept().give().start("node1").end("node1").send("scheduler", "controller", Acknowledge(ONE, 1))
    assert log.verdict() == ["P2"]


def test_an_attempt_is_handed_down_after_its_record() -> None:
    assert Log().accept().send("scheduler", "controller", Assign(ONE, 1, SPEC)).verdict() == ["P1"]


def test_a_new_attempt_follows_the_end_of_the_one_before() -> None:
    assert Log().accept().give().commit("scheduler", AttemptAssigned(ONE, 2, "controller")).verdict() == ["P1"]


def test_an_exit_code_is_the_true_one() -> None:
    log = Log().accept().give().start("node1").end("node1", exit_code=3).commit("scheduler", ended())
    assert log.verdict() == ["P2"]


def test_who_says_that_nothing_ran_must_be_right() -> None:
    never = Report(Outcome.KILLED, reason="it was not here")
    assert Log().accept().give().commit("scheduler", ended(report=never)).verdict() == []
    assert Log().accept().give().start("node1").commit("scheduler", ended(report=never)).verdict() == ["P2"]


def second_attempt(*, suspended: bool) -> Log:
    """Attempt 1 was called lost while it lives; attempt 2 starts elsewhere."""
    lost = Report(Outcome.LOST, started=True)
    log = Log().accept().give().start("node1")
    if suspended:
        log.lines.append(FaultChanged(log.t, "suspended", ("node1",), True))
    log.commit("scheduler", ended(report=lost, final=False)).give(attempt=2, host="node2")
    return log.start("node2", attempt=2)


def test_two_attempts_never_overlap() -> None:
    assert second_attempt(suspended=False).verdict() == ["P3"]


def test_an_overlap_with_a_machine_that_stood_still_is_counted_and_excused() -> None:
    oracle = Oracle()
    oracle.read(second_attempt(suspended=True).lines)
    assert (oracle.count, oracle.excused) == (0, 1)


def test_an_attempt_is_given_to_one_host() -> None:
    log = Log().accept().give().commit("controller", AttemptGiven(ONE, 1, "node2", 1, SPEC))
    assert log.verdict() == ["P3"]


def test_a_process_is_of_an_attempt_that_its_host_was_given() -> None:
    assert Log().accept().give(host="node1").start("node2").verdict() == ["P3"]


def test_no_more_is_given_to_a_host_than_it_has_slots() -> None:
    log = Log().accept().accept(JobId(2)).give().give(JobId(2))
    assert log.verdict() == ["capacity"]


def test_a_slot_may_be_given_again_when_its_host_has_told_the_end() -> None:
    log = Log().accept().accept(JobId(2)).give().start("node1").end("node1")
    assert log.send("node1", "controller", Ended(ONE, 1, DONE)).give(JobId(2)).verdict() == []


def test_no_more_runs_on_a_host_than_it_has_slots() -> None:
    log = Log().accept().accept(JobId(2)).give().start("node1")
    log.commit("controller", AttemptGiven(JobId(2), 1, "node1", 1, SPEC)).start("node1", JobId(2))
    assert "capacity" in log.verdict()


# after all faults, and what people and limits say


def lived(*more: Line, healed: bool = True) -> list[str]:
    """An accepted, started job that nobody ends, in a world that is healed at 20 s and looked at 100 s later."""
    log = Log().accept().give().start("node1")
    log.lines += [*([Healed(20 * 10**9, 100 * 10**9)] if healed else []), *more, Finished(120 * 10**9)]
    oracle = Oracle()
    oracle.read(log.lines)
    return [violation.promise for violation in oracle.violations]


def test_what_is_not_final_long_after_all_faults_is_told() -> None:
    assert lived() == ["P16"]
    assert lived(healed=False) == []


def test_a_process_of_a_final_job_that_still_runs_is_told() -> None:
    end = Committed(30 * 10**9, "scheduler", AttemptEnded(ONE, 1, Report(Outcome.LOST, started=True), final=True))
    assert lived(end) == ["P6"]


def spawned(count: int, *orders: Committed, limits: tuple[int, int] = (0, 0)) -> list[str]:
    """A task makes so many jobs, after these orders."""
    header = Header(1, "", "", {"local": 2}, limits={"warp": limits})
    jobs = [Committed(10**9, "scheduler", JobAccepted(JobId(number), SPEC, 1)) for number in range(1, count + 1)]
    oracle = Oracle()
    oracle.read([header, *orders, *jobs, Finished(2 * 10**9)])
    return [violation.promise for violation in oracle.violations]


def test_limits_of_a_task_hold() -> None:
    assert spawned(3, limits=(3, 3)) == []
    assert spawned(3, limits=(2, 0)) == ["limits"]
    assert spawned(3, limits=(0, 2)) == ["limits"]


def test_a_task_that_a_person_holds_or_has_deleted_makes_nothing() -> None:
    held = Committed(0, "scheduler", TaskChanged("warp", held="wait"))
    assert spawned(1, held) == ["orders"]
    assert spawned(1, Committed(0, "scheduler", TaskChanged("warp", deleted=True))) == ["orders"]
    assert spawned(1, held, Committed(0, "scheduler", TaskChanged("warp"))) == []


def test_a_drained_host_is_given_nothing() -> None:
    drained = Log().commit("controller", HostChanged("node1", "drain"))
    assert drained.accept().give().verdict() == ["orders"]
    back = Log().commit("controller", HostChanged("node1", "drain"), HostChanged("node1", "on"))
    assert back.accept().give().verdict() == []


def test_a_process_that_starts_before_its_record_is_told() -> None:
    assert Log().start("node1").verdict()[0] == "P1"
    assert "P1" in Log().accept().start("node1").verdict()


# what is not done although it could be

S = 10**9
BACKOFF_NS = 5 * S


def at(seconds: float, node: str, record: object) -> Line:
    return Committed(int(seconds * S), node, record)  # type: ignore[arg-type]


def vouched(seconds: float, node: str, peer: str, vouched: bool = True) -> Line:
    return LinkChanged(int(seconds * S), node, peer, "vouched" if vouched else "not vouched")


def judged(*lines: Line, strict: bool = False) -> list[str]:
    """The promises that are broken in a world of two hosts, both of which are reached since the beginning."""
    header = Header(1, "", "", {"local": 2, "node1": 1, "node2": 1}, strict=strict, backoff_ns=BACKOFF_NS)
    ways = (
        vouched(0, "scheduler", "controller"),
        vouched(0, "controller", "node1"),
        vouched(0, "controller", "node2"),
    )
    oracle = Oracle()
    oracle.read([header, *ways, *lines])
    return [violation.promise for violation in oracle.violations]


def queued(*between: Line, wish: HostWish, given_s: float = 60) -> tuple[Line, ...]:
    """Job 1 has waited in the controller's queue since 1 s, and is given to node2 at last."""
    spec = JobSpec("warp", ("true",), host=wish)
    return (
        at(1, "scheduler", JobAccepted(ONE, spec)),
        at(1, "scheduler", AttemptAssigned(ONE, 1, "controller")),
        Sent(S, "controller", "scheduler", (S,), Batch(1, 1, 1, (Accepted(ONE, 1),))),
        *between,
        at(given_s, "controller", AttemptGiven(ONE, 1, "node2", 1, spec)),
        Finished(int(given_s * S)),
    )


ANY = HostWish()
RATHER = HostWish("node1", wait_ns=20 * S)
NODE1_IS_FULL = at(0.5, "controller", AttemptGiven(JobId(9), 1, "node1", 1, SPEC))


def test_nobody_waits_where_there_is_room() -> None:
    assert judged(*queued(wish=ANY)) == ["room"]
    assert judged(*queued(wish=ANY, given_s=15)) == [], "the back-off, and time for words"
    assert judged(*queued(wish=ANY), strict=True) == [], "one that waits keeps back all behind it"


def test_a_preferred_host_is_waited_for_as_long_as_the_job_says() -> None:
    assert judged(NODE1_IS_FULL, *queued(wish=RATHER, given_s=30)) == []
    assert judged(NODE1_IS_FULL, *queued(wish=RATHER, given_s=60)) == ["room"]


def test_a_host_that_takes_nothing_has_no_room() -> None:
    lines = queued(wish=ANY)
    for closes in (
        at(0.1, "controller", HostChanged("node2", "off")),
        FaultChanged(S // 10, "full", ("node2",), True),
        vouched(0.1, "controller", "node2", vouched=False),
        at(0.1, "controller", AttemptGiven(JobId(8), 1, "node2", 1, SPEC)),
    ):
        found = judged(NODE1_IS_FULL, closes, *lines)
        assert "room" not in found, closes


def test_a_new_life_of_the_controller_has_an_empty_queue() -> None:
    assert judged(*queued(Life(2 * S, "controller", 2), wish=ANY)) == []


def test_what_its_scheduler_has_given_up_unheard_waits_no_more() -> None:
    """The controller had given it to a host, and says once more that it has it."""
    spec = JobSpec("warp", ("true",))
    given_up = Report(Outcome.CONTROLLER_SILENT, reason="controller did not answer")
    lines = (
        at(1, "scheduler", JobAccepted(ONE, spec)),
        at(1, "scheduler", AttemptAssigned(ONE, 1, "controller")),
        at(2, "controller", AttemptGiven(ONE, 1, "node2", 1, spec)),
        at(10, "scheduler", AttemptEnded(ONE, 1, given_up, final=False, good=False)),
        Sent(11 * S, "controller", "scheduler", (11 * S,), Batch(1, 1, 1, (Accepted(ONE, 1),))),
        at(12, "controller", AttemptReturned(ONE, 1)),
        Finished(90 * S),
    )
    assert "room" not in judged(NODE1_IS_FULL, *lines)


def test_what_was_handed_down_again_may_take_a_room() -> None:
    spec = JobSpec("warp", ("true",))
    held = (
        at(0.1, "scheduler", JobAccepted(ONE, spec)),
        at(0.2, "scheduler", AttemptAssigned(ONE, 1, "controller")),
        at(0.3, "controller", AttemptGiven(ONE, 1, "node2", 1, spec)),
        Sent(S // 2, "node2", "controller", (S,), Batch(1, 1, 1, (Inventory((), 1, 1, 1),))),
    )
    again = Sent(S // 2, "controller", "node2", (S,), Batch(1, 1, 1, (Assign(ONE, 1, spec),)))
    second = JobId(2)
    waits = (
        at(1, "scheduler", JobAccepted(second, spec)),
        at(1, "scheduler", AttemptAssigned(second, 1, "controller")),
        Sent(S, "controller", "scheduler", (S,), Batch(1, 1, 1, (Accepted(second, 1),))),
        Finished(60 * S),
    )
    full = at(0.05, "controller", AttemptGiven(JobId(9), 1, "node1", 1, SPEC))
    assert judged(full, *held, *waits) == ["room"]
    assert judged(full, *held, again, *waits) == []


def given_up(outcome: Outcome, *more: Line) -> list[str]:
    """Job 1 was given to node1 at 2 s, its end is recorded at 10 s though no host has told it."""
    return judged(
        at(1, "scheduler", JobAccepted(ONE, SPEC)),
        at(1, "scheduler", AttemptAssigned(ONE, 1, "controller")),
        at(2, "controller", AttemptGiven(ONE, 1, "node1", 1, SPEC)),
        at(10, "scheduler", ended(report=Report(outcome))),
        *more,
        Finished(100 * S),
    )


def begins(seconds: float) -> Line:
    return ProcessStarted(int(seconds * S), "node1", ONE, 1, 100, 1)


def ends(seconds: float) -> Line:
    return ProcessEnded(int(seconds * S), "node1", ONE, 1, 1, 0, None)


def test_nothing_begins_after_its_end_was_recorded() -> None:
    assert given_up(Outcome.KILLED, begins(11), ends(12)) == ["P3"]


def test_what_was_given_up_unheard_may_begin_but_is_ended_soon() -> None:
    assert given_up(Outcome.CONTROLLER_SILENT, begins(11), ends(30)) == []
    assert given_up(Outcome.CONTROLLER_SILENT, begins(11), ends(60)) == ["P6"]
    cut = vouched(12, "scheduler", "controller", vouched=False)
    assert given_up(Outcome.CONTROLLER_SILENT, begins(11), cut, ends(60)) == [], "nobody could end it"
    back = vouched(50, "scheduler", "controller")
    assert given_up(Outcome.CONTROLLER_SILENT, begins(11), cut, back, ends(60)) == []
    assert given_up(Outcome.CONTROLLER_SILENT, begins(11), cut, back, ends(90)) == ["P6"]
