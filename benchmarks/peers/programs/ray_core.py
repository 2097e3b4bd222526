"""Ray with two processors, each task of which runs one program: `python ray_core.py JOBS FOLDER`."""

import os
import subprocess
import sys
import time

os.environ["RAY_AUTH_MODE"] = "disabled"  # else it writes a token into the home folder

import ray

jobs = int(sys.argv[1])
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1", _temp_dir=sys.argv[2])


@ray.remote
def one(_number: int) -> int:
    return subprocess.run(["/bin/true"], check=False).returncode


assert sum(ray.get([one.remote(number) for number in range(10)])) == 0
begin = time.monotonic()
assert sum(ray.get([one.remote(number) for number in range(jobs)])) == 0
print("seconds", time.monotonic() - begin, ray.__version__, flush=True)
ray.shutdown()
