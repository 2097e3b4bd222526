"""Goal: whatever numbers a job is made with, every executor can read it. Method: specifications with any numbers are
made into jobs by a scheduler, whose words then pass the decoder of an agent's link."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from live.hello import Side
from live.link import decode_batch, encode_batch
from model.bounds import NUMBER_MAX
from model.configuration import ClusterDefinition
from model.effects import Commit
from model.job import Block, HostWish, JobId, JobSpec, within_bounds
from model.messages import Assign, Batch
from model.records import JobAccepted
from model.resources import Needs
from model.scheduler import Scheduler

NUMBERS = st.one_of(
    st.integers(-10, 10), st.integers(-(2**70), 2**70), st.sampled_from([2**63, 2**64 - 1, -(2**63), NUMBER_MAX + 1])
)
NAMES = ("slots", "nice", "timeout_ns", "pending_ns", "grace_ns", "poll_ns")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, NUMBERS)), NUMBERS, NUMBERS, NUMBERS)
def test_every_job_can_be_read_by_an_agent(numbers: dict[str, int], wait: int, limit: int, amount: int) -> None:
    wish = HostWish("n", wait_ns=wait)
    spec = JobSpec("t", ("x",), host=wish, block=Block(limit_ns=limit), needs=Needs((("gpus", amount),)), **numbers)  # type: ignore[arg-type]
    scheduler = Scheduler(1, 1, ClusterDefinition(), ())
    scheduler.accept(spec, 1)
    (record,) = [effect.record for effect in scheduler.drain() if isinstance(effect, Commit)]
    assert isinstance(record, JobAccepted)
    batch = Batch(1, 1, 1, (Assign(JobId(1), 1, record.spec),))
    assert decode_batch(encode_batch(batch), Side.AGENT) == batch


def test_what_fits_stays_as_it_is() -> None:
    spec = JobSpec("t", ("x",), timeout_ns=NUMBER_MAX, nice=-20, needs=Needs((("gpus", 1),)))
    assert within_bounds(spec) is spec
