"""Runs AccaSim on a job log, with the Python that has it, and says how long it took, by the clock on the wall and in
processor time, its writing process included. Imports nothing of ours.

    python run_accasim.py LOG PROCESSORS FOLDER

First come, first served, first fit, one machine. AccaSim 1.1.3 was written for a Python that had the abstract classes
in `collections`: they are put back before it is imported.
"""

import collections
import collections.abc
import json
import os
import sys
import time

log, processors, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
for name in ("Mapping", "MutableMapping", "Sequence", "Iterable", "Callable"):
    setattr(collections, name, getattr(collections.abc, name))
os.chdir(folder)
with open("system.json", "w") as file:
    json.dump({"groups": {"machine": {"core": processors}}, "resources": {"machine": 1}}, file)

from accasim.base.allocator_class import FirstFit  # noqa: E402
from accasim.base.scheduler_class import FirstInFirstOut  # noqa: E402
from accasim.base.simulator_class import Simulator  # noqa: E402

begin, cpu = time.perf_counter(), sum(os.times()[:4])
Simulator(
    log,
    "system.json",
    FirstInFirstOut(FirstFit()),
    statistics_output=False,
    show_statistics=False,
    RESULTS_FOLDER_NAME=os.path.join(folder, "results"),  # else beside this file
).start_simulation()
print("seconds", time.perf_counter() - begin, sum(os.times()[:4]) - cpu, flush=True)
