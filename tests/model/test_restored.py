"""Goal: recovery gives the same state from all records as from a snapshot and the records after it, wherever the
snapshot was taken, whatever of the older records is left, and wherever a crash cut it short.

Method: random sequences of records, also such as no scheduler would write; a snapshot is put into them at every place,
with other records between its parts, and goes through bytes as on a disk.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import snapshot
from model.job import JobId, JobSpec, Outcome, Report
from model.records import (
    AttemptAssigned,
    AttemptEnded,
    AttemptGiven,
    AttemptReturned,
    AttemptStarted,
    BookChange,
    ConfigurationTaken,
    HostChanged,
    HostsParted,
    IntakeChanged,
    ItemsFound,
    ItemsGone,
    JobAccepted,
    JobDoomed,
    JobHeld,
    PageChange,
    PersonOrdered,
    QueueChange,
    Record,
    ScriptsBegun,
    ScriptsChanged,
    ScriptsForgotten,
    SnapshotEnded,
    TaskChanged,
    WindowCounted,
)
from model.remembered import Setting
from model.restored import Fold, fold

REPORT = Report(Outcome.EXITED, exit_code=0, host="north", started=True)

jobs = st.integers(1, 6).map(JobId)
attempts = st.integers(1, 3)
tasks = st.sampled_from(["reduce", "check", "publish"])
items = st.sampled_from([f"night{number}.fits" for number in range(8)])
several_items = st.lists(items, max_size=4).map(tuple)
words = st.sampled_from(["", "by a person"])
settings = st.builds(Setting, words, words, words, st.integers(0, 3), words)
hosts = st.sampled_from(["north", "south"])
specs = st.builds(JobSpec, tasks, st.just(("true",)), item=st.none() | items, slots=st.integers(1, 2))
names = st.sampled_from(["x", "y"])
values = st.sampled_from([None, 1, "text", (("so: ", False), ("what a job wrote", True))])
digests = st.dictionaries(names, st.just("a digest"), max_size=2)
numbers = st.integers(0, 5)
floors = st.integers(-1, 5)
queue_changes = st.builds(
    QueueChange,
    names,
    numbers,
    floors,
    st.booleans(),
    st.dictionaries(numbers, st.sampled_from(["a", "b"]), max_size=5),
    st.lists(numbers, max_size=2).map(tuple),
)
page_words = st.dictionaries(st.sampled_from(["state", "host", "x", "y"]), st.none() | st.just("INIT"))
page_changes = st.builds(PageChange, numbers, st.sampled_from(["p", "q", "r"]), floors, st.booleans(), page_words)
book_changes = st.builds(
    BookChange, names, numbers, floors, st.booleans(), st.lists(page_changes, max_size=3).map(tuple)
)
whatever: st.SearchStrategy[Record] = st.one_of(
    st.builds(JobAccepted, jobs, specs, st.integers(0, 5), st.just(JobId(0)), st.booleans()),
    st.builds(AttemptAssigned, jobs, attempts, st.sampled_from(["controller", "local"])),
    st.builds(AttemptGiven, jobs, attempts, hosts, st.integers(1, 3), specs),
    st.builds(AttemptReturned, jobs, attempts),
    st.builds(AttemptStarted, jobs, attempts, hosts),
    st.builds(
        AttemptEnded,
        jobs,
        attempts,
        st.just(REPORT),
        st.booleans(),
        st.booleans(),
        attempts,
        wait_ns=attempts,
        held=words,
    ),
    st.builds(JobHeld, jobs, words),
    st.builds(JobDoomed, jobs, st.sampled_from(["killed", "deleted"])),
    st.builds(ItemsFound, tasks, several_items),
    st.builds(ItemsGone, tasks, several_items),
    st.builds(TaskChanged, tasks, words, words, st.booleans()),
    st.builds(WindowCounted, tasks, st.sampled_from(["night", "noon"]), st.integers(1, 2), st.integers(1, 9)),
    st.builds(
        HostChanged,
        hosts,
        st.sampled_from(["add", "slots", "on", "off", "drain", "delete", "retry"]),
        st.integers(1, 4),
        words,
        st.sampled_from([None, (), (("gpus", 2),)]),
        st.sampled_from([None, ("ssd",)]),
    ),
    st.builds(ConfigurationTaken, words, words, st.lists(settings, max_size=2).map(tuple)),
    st.builds(PersonOrdered, words, words, words),
    st.builds(IntakeChanged, st.sampled_from(["running", "stopped"]), words, st.integers(0, 3)),
    st.builds(HostsParted, st.integers(1, 3)),
    st.builds(
        ScriptsChanged,
        st.dictionaries(names, values, max_size=2),
        st.dictionaries(names, values, max_size=2),
        st.lists(queue_changes, max_size=2).map(tuple),
        st.lists(book_changes, max_size=2).map(tuple),
    ),
    st.builds(ScriptsBegun, st.just(("x",)), digests, digests, digests, digests),
    st.builds(ScriptsForgotten),
)
journals = st.lists(whatever, max_size=40)


def state(folded: Fold) -> Any:
    """Everything that a fold knows, with the orders that mean something: of jobs, tasks and items."""
    known = folded.scheduler
    order = [list(known.jobs), list(known.tasks), [list(task.items) for task in known.tasks.values()]]
    return msgspec.structs.asdict(known), msgspec.structs.asdict(folded.controller), order


def through_bytes(records: list[Record]) -> list[Record]:
    """As they come back from a disk."""
    decode = msgspec.msgpack.Decoder(Record).decode
    return [decode(msgspec.msgpack.encode(record)) for record in records]


def said(prefix: list[Record]) -> list[Record]:
    """The snapshot of what these records come to."""
    folded = fold(prefix)
    return through_bytes(list(snapshot.say(folded.scheduler, folded.controller)))


def mixed(parts: list[Record], others: list[Record], places: list[int]) -> list[Record]:
    """The parts of a snapshot in their order, after its begin, with the others in theirs between and behind them."""
    after: list[list[Record]] = [[] for _ in parts]
    for place, record in zip(sorted(place % len(parts) for place in places), others, strict=False):
        after[place].append(record)
    woven = [record for part, some in zip(parts, after, strict=True) for record in (part, *some)]
    return woven + others[len(places) :]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "PART_ENTRIES", 2)


@given(journals)
def test_a_snapshot_of_any_beginning_and_the_rest_come_to_the_same_as_all(records: list[Record]) -> None:
    whole = state(fold(records))
    for place in range(len(records) + 1):
        folded = fold(said(records[:place]) + records[place:])
        assert state(folded) == whole
        assert (folded.snapshots, folded.since) == (1, len(records) - place)


@given(journals, st.lists(st.integers(0, 50), max_size=10), st.data())
def test_older_records_may_be_there_in_part_and_later_ones_between_the_parts(
    records: list[Record], places: list[int], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(records)))
    gone = data.draw(st.sets(st.integers(0, place)))
    left = [record for number, record in enumerate(records[:place]) if number not in gone]
    tail = mixed(said(records[:place]), records[place:], places[: len(records) - place])
    assert state(fold(left + tail)) == state(fold(records))


@given(journals, st.data())
def test_a_snapshot_that_was_cut_short_means_nothing(records: list[Record], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(records)))
    parts = said(records[:place])
    cut = parts[: data.draw(st.integers(0, len(parts) - 1))]
    again = said(records)
    whole = state(fold(records))
    assert state(fold(records[:place] + cut + records[place:])) == whole
    assert state(fold(records[:place] + cut + records[place:] + again)) == whole
    assert state(fold(cut + records[place:] + again)) == whole


@given(journals)
def test_records_are_left_as_they_are(records: list[Record]) -> None:
    stream = said(records) + records
    before = msgspec.msgpack.encode(stream)
    fold(stream)
    assert msgspec.msgpack.encode(stream) == before


def test_a_snapshot_with_a_part_missing_is_not_taken_up() -> None:
    records: list[Record] = [JobAccepted(JobId(number), JobSpec("reduce", ("true",))) for number in range(1, 8)]
    parts = said(records)
    folded = fold([*records, *parts[:2], *parts[3:]])
    assert isinstance(parts[-1], SnapshotEnded)
    assert folded.snapshots == 0
    assert list(folded.scheduler.jobs) == list(range(1, 8))


def test_finished_jobs_leave_nothing_but_counts_and_items_that_are_still_shown() -> None:
    def lives(first: int, count: int) -> list[Record]:
        records: list[Record] = []
        for number in range(first, first + count):
            job, spec = JobId(number), JobSpec("reduce", ("true",), item=f"{number}")
            records += [
                ItemsFound("reduce", (f"{number}",)),
                JobAccepted(job, spec),
                AttemptAssigned(job, 1, "controller"),
                AttemptGiven(job, 1, "north", 1, spec),
                AttemptEnded(job, 1, REPORT, final=True, good=True),
                AttemptReturned(job, 1),
                ItemsGone("reduce", (f"{number}",)),
            ]
        return records

    sizes = [len(msgspec.msgpack.encode(said(lives(1000, count)))) for count in (1, 200)]
    assert sizes[1] - sizes[0] < 10, "only numbers got longer"


def test_orders_about_a_host_do_not_grow_with_the_journal() -> None:
    verbs = ["off", "delete", "add", "drain", "retry", "on", "delete", "add", "off", "on", "off", "retry"]
    folded = fold(HostChanged("north", verb, 2) for verb in verbs)
    assert [change.verb for change in folded.controller.hosts] == ["delete", "add", "off"]


def test_more_slots_leave_the_resources_of_a_host_as_they_were_said() -> None:
    gpus = (("gpus", 2),)
    folded = fold(
        [
            HostChanged("north", "slots", 2, "", gpus, ("ssd",)),
            HostChanged("north", "slots", 3),
            HostChanged("north", "slots", 4, "", None, ()),
        ]
    )
    assert folded.controller.hosts == [HostChanged("north", "slots", 4, "", gpus, ())]


@pytest.mark.parametrize(
    ("records", "is_open"),
    [
        ([], False),  # the journal of a controller alone
        ([JobAccepted(JobId(1), JobSpec("t")), AttemptAssigned(JobId(1), 1, "controller")], True),
        ([JobAccepted(JobId(1), JobSpec("t")), AttemptAssigned(JobId(1), 2, "controller")], False),
    ],
)
def test_whether_a_given_attempt_has_ended_is_known_where_its_scheduler_writes_to_the_same_journal(
    records: list[Record], is_open: bool
) -> None:
    given = AttemptGiven(JobId(1), 1, "north", 1, JobSpec("t"))
    assert fold([*records, given]).controller.given[JobId(1), 1].open_above is is_open


@pytest.mark.parametrize("final", [True, False])
def test_a_given_attempt_is_not_open_when_its_end_is_recorded(final: bool) -> None:
    begun = [
        JobAccepted(JobId(1), JobSpec("t")),
        AttemptAssigned(JobId(1), 1, "controller"),
        AttemptGiven(JobId(1), 1, "north", 1, JobSpec("t")),
    ]
    ended = AttemptEnded(JobId(1), 1, REPORT, final=final)
    assert not fold([*begun, ended]).controller.given[JobId(1), 1].open_above
