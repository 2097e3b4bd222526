"""HyperQueue's server and one worker of two cores, from its Python package: `python hyperqueue.py JOBS FOLDER`.
Each task's stdout and stderr go to files in FOLDER, as is its default. Its client looks once a second whether all is
over."""

import os
import sys
import time
from importlib.metadata import version

sys.path.remove(os.path.dirname(os.path.abspath(__file__)))  # this file has the package's name

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

jobs, folder = int(sys.argv[1]), sys.argv[2]
os.chdir(folder)
with LocalCluster() as cluster:
    cluster.start_worker(WorkerConfig(cores=2))
    client = cluster.client()

    def run(count: int) -> float:
        job = Job(max_fails=0)
        for number in range(count):
            files = {"stdout": f"{folder}/{number}.out", "stderr": f"{folder}/{number}.err"}
            job.program(["/bin/true"], **files)
        begin = time.monotonic()
        submitted = client.submit(job)
        client.wait_for_jobs([submitted])
        return time.monotonic() - begin

    run(10)
    print("\nseconds", run(jobs), version("hyperqueue"), flush=True)
