"""Parsl's high throughput executor with two workers on this machine, each task a command:
`python parsl_htex.py JOBS FOLDER`."""

import os
import sys
import time

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

os.environ["PATH"] = os.path.dirname(sys.executable) + ":" + os.environ["PATH"]  # its workers are a program there


@parsl.bash_app
def one(_number: int) -> str:
    return "/bin/true"


if __name__ == "__main__":
    jobs = int(sys.argv[1])
    provider = LocalProvider(init_blocks=1, max_blocks=1)
    executor = HighThroughputExecutor(address="127.0.0.1", max_workers_per_node=2, provider=provider)
    parsl.load(Config(run_dir=sys.argv[2], executors=[executor], usage_tracking=0))
    assert sum(future.result() for future in [one(number) for number in range(10)]) == 0
    begin = time.monotonic()
    assert sum(future.result() for future in [one(number) for number in range(jobs)]) == 0
    print("seconds", time.monotonic() - begin, parsl.__version__, flush=True)
    parsl.dfk().cleanup()
