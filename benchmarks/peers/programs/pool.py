"""A pool of two Python processes, each of which runs one program after the other: `python pool.py JOBS FOLDER`. Says
how long JOBS took from the first order to the last result."""

import platform
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor


def one(_number: int) -> int:
    return subprocess.run(["/bin/true"], check=False).returncode


if __name__ == "__main__":
    jobs = int(sys.argv[1])
    with ProcessPoolExecutor(2) as pool:
        assert sum(pool.map(one, range(10))) == 0
        begin = time.monotonic()
        assert sum(pool.map(one, range(jobs))) == 0
        print("seconds", time.monotonic() - begin, platform.python_version(), flush=True)
