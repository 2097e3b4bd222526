"""dask.distributed with two worker processes, each of which runs one program after the other:
`python dask_distributed.py JOBS FOLDER`."""

import subprocess
import sys
import time

import distributed


def one(_number: int) -> int:
    return subprocess.run(["/bin/true"], check=False).returncode


if __name__ == "__main__":
    jobs = int(sys.argv[1])
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", local_directory=sys.argv[2]
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert sum(client.gather(client.map(one, range(10), pure=False))) == 0
        begin = time.monotonic()
        assert sum(client.gather(client.map(one, range(jobs), pure=False))) == 0
        print("seconds", time.monotonic() - begin, distributed.__version__, flush=True)
