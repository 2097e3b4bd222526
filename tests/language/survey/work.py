"""A work program of a survey: notes that it ran, takes its time, and exits with a code, or a signal, that follows from
what it works on.

`work.py STAGE --id ID.PART …`: entry 3 has bad data (5), entry 4 a bad system (2), entry 5 crashes.
"""

import os
import select
import signal
import sys

stage, number = sys.argv[1], sys.argv[sys.argv.index("--id") + 1].split(".")[0]
with open("runs.log", "a", encoding="utf-8") as log:
    log.write(f"{stage} {number} {' '.join(sys.argv[4:])}\n")
print('a "quoted" line; with $HOME, {1+1} and \\ in it')
select.select([], [], [], 0.1 + 0.03 * int(number))
if number == "5":
    os.kill(os.getpid(), signal.SIGSEGV)
sys.exit({"3": 5, "4": 2}.get(number, 0))
