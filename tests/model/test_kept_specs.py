"""Goal: a job that waits takes little, and nothing of it is lost: what is kept small comes out as it went in.

Method: Hypothesis draws specifications of a few tasks that differ in any field; sizes are counted in bytes that Python
allocates, which depend on no load.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from model.behaviour import declared_job
from model.configuration import ClusterDefinition
from model.job import SECOND, Block, HostWish, JobId, JobSpec, Outcome, Report
from model.kept_specs import OWN, TASKS_MAX, KeptSpec, SpecKeeper, common_of, spec_of
from model.records import AttemptAssigned, AttemptEnded, AttemptStarted, JobAccepted
from model.remembered import RestoredJob
from model.resources import Needs
from model.restored import fold
from model.restored_jobs import RestoredJobs
from model.snapshot import say
from model.task import TaskDefinition
from tests.model.waiting_jobs import Server

GOOD = Report(Outcome.EXITED, 0, started=True)

words = st.lists(st.sampled_from(("reduce", "--quick", "a.fits", "b.fits")), max_size=3).map(tuple)
specs = st.builds(
    JobSpec,
    st.sampled_from(("warp", "stack")),
    words,
    arguments=words,
    environment=st.sampled_from(((), (("A", "1"),))),
    item=st.sampled_from((None, "a", "b", "c")),
    stdout=st.sampled_from((None, "a.log", "b.log")),
    block=st.sampled_from((None, Block(("a",)))),
    slots=st.sampled_from((1, 1, 1, 2)),
    host=st.sampled_from((HostWish(), HostWish(), HostWish("node1", True))),
    needs=st.sampled_from((None, None, Needs((("cpus", 1000),)))),
    pending_ns=st.sampled_from((0, 0, SECOND)),
)


@given(st.lists(specs, max_size=30))
def test_what_is_kept_is_what_was_given(given_specs: list[JobSpec]) -> None:
    keeper = SpecKeeper()
    kept = [keeper.keep(spec) for spec in given_specs]
    for spec, one in zip(given_specs, kept, strict=True):
        assert spec_of(one) == spec
        common = common_of(one)
        assert replace(common, **{name: getattr(spec, name) for name in OWN}) == spec


def test_jobs_of_one_task_share_all_but_what_is_their_own() -> None:
    task = TaskDefinition("warp", command=("warp", "--in", "$item"), stdout="log/$item")
    keeper = SpecKeeper()
    kept = [keeper.keep(declared_job(task, number, f"file{number}", {})) for number in range(10)]
    assert all(type(one) is KeptSpec for one in kept[1:])
    assert len({id(one.shared) for one in kept[1:] if isinstance(one, KeptSpec)}) == 1
    assert isinstance(kept[9], KeptSpec) and kept[9].shared.own == ("command", "item", "stdout")


def test_equal_ones_are_one_and_tasks_do_not_disturb_each_other() -> None:
    keeper = SpecKeeper()
    first = keeper.keep(JobSpec("a", ("run",)))
    keeper.keep(JobSpec("b", ("walk",), slots=2))
    assert keeper.keep(JobSpec("a", ("run",))) is first
    for number in range(TASKS_MAX + 10):
        keeper.keep(JobSpec(f"task{number}"))
    assert len(keeper._last) <= TASKS_MAX


def test_one_that_is_like_no_other_is_kept_as_it_is() -> None:
    keeper = SpecKeeper()
    keeper.keep(JobSpec("a", ("run",)))
    other = JobSpec("a", ("run",), slots=3)
    assert keeper.keep(other) is other


records = st.lists(
    st.one_of(
        st.builds(JobAccepted, st.integers(1, 8), specs, parent=st.sampled_from((0, 0, 0, 1)), plain=st.booleans()),
        st.builds(AttemptAssigned, st.integers(1, 8), st.just(1), st.just("controller")),
        st.builds(AttemptStarted, st.integers(1, 8), st.just(1), st.just("node1")),
        st.builds(AttemptEnded, st.integers(1, 8), st.just(1), st.just(GOOD), st.booleans(), wait_ns=st.just(5)),
    ),
    max_size=30,
)


@given(records)
def test_recovery_remembers_jobs_as_a_plain_dictionary_would(told: list[JobAccepted | AttemptEnded]) -> None:
    plain: dict[int, RestoredJob] = {}
    for record in told:
        job = plain.get(record.job)
        if isinstance(record, JobAccepted):
            plain[record.job] = RestoredJob(record.spec, record.parent, record.plain)
        elif job is not None and isinstance(record, AttemptAssigned):
            job.attempt, job.executor, job.assigned, job.running = 1, "controller", True, False
        elif job is not None and isinstance(record, AttemptStarted) and job.attempt == 1:
            job.running, job.host = True, "node1"
        elif job is not None and isinstance(record, AttemptEnded) and record.final:
            del plain[record.job]
        elif job is not None and isinstance(record, AttemptEnded):
            job.assigned, job.running, job.wait_ns = False, False, 5
    folded = fold(told)
    assert dict(folded.scheduler.jobs.items()) == plain
    assert list(folded.scheduler.jobs) == list(plain)
    again = fold(say(folded.scheduler, folded.controller))
    assert again.scheduler.jobs == folded.scheduler.jobs
    for number, job in plain.items():
        assert folded.scheduler.jobs.get(JobId(number)) == folded.scheduler.jobs[JobId(number)] == job


def test_a_job_that_recovery_gives_may_be_changed() -> None:
    jobs = RestoredJobs({JobId(1): RestoredJob(JobSpec("a", ("run",)), JobId(0), False)})
    jobs[JobId(1)].held = "look at it"
    assert jobs[JobId(1)].held == "look at it" and len(jobs) == 1 and JobId(1) in jobs
    assert jobs.get(JobId(2)) is None


# sizes

WAITING = 8_000
FRONT = 100


def bytes_of(make: Callable[[], object], count: int) -> float:
    """What each of so many takes that `make` makes and keeps."""
    gc.collect()
    tracemalloc.start()
    try:
        made = make()
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made is not None
    return taken / count


@pytest.mark.parametrize(("item", "most"), [(False, 270), (True, 390)])
def test_bytes_of_a_job_that_stands_in_a_line(item: bool, most: int) -> None:
    """They were 235 and 339: one structure, its number, its place in a dictionary and two queues; then its item, and
    what of its specification is its own."""
    server = Server(ClusterDefinition(pending_max=1 << 40, front_max=FRONT))

    def submit() -> Server:
        server.submit(WAITING, item)
        return server

    taken = bytes_of(submit, WAITING)
    assert taken <= most


def test_bytes_of_a_job_that_recovery_remembers() -> None:
    task = TaskDefinition("warp", command=("warp", "$item"))
    accepted = [JobAccepted(JobId(n), declared_job(task, n, f"f{n}", {})) for n in range(1, WAITING + 1)]
    taken = bytes_of(lambda: fold(accepted), WAITING)  # 151
    assert taken <= 180, "two dictionaries, and what is its own: without a specification, and the 120 bytes of a job"
