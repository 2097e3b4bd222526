"""A query tool of a survey: prints metadata blocks on its first calls, and none later.

`query.py STAGE -pending --limit N`: N entries each time, `CALLS` times in all; each entry is listed once. How often it
was called is kept in the working directory. `-revert` does nothing, well.
"""

import sys
from pathlib import Path

CALLS = 2
stage, words = sys.argv[1], sys.argv[2:]
if "-revert" in words:
    sys.exit(0)
limit = int(words[words.index("--limit") + 1])
counter = Path(f"{stage}.calls")
calls = int(counter.read_text()) if counter.exists() else 0
counter.write_text(str(calls + 1))
if calls < CALLS:
    print(f"{stage} MULTI\n")
    for number in range(calls * limit, (calls + 1) * limit):
        print(f"# entry {number}\n{stage} METADATA\n  {stage}_id  S64  {number}\n  part  STR  {number % 2}")
        print(f'  camera  STR  cam1\n  ccd  STR  ccd{number % 3}\n  label  STR  "deep field {number}"')
        print(f"  path  STR  path://@DISK@/{stage}/{number}\nEND\n")
