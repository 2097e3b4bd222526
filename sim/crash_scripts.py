"""The world for crash points whose tasks are a script: counters, a book and a queue that its macros change, and whether
each change counted once.

What a macro changes is in the transaction of the job that it made or reacted to; so whoever dies and whenever, the
data must agree with the jobs in the journal, to the last one. Used by `sim/crash_points.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec.structs import replace

from model.configuration import LanguageSettings
from model.records import AttemptEnded, JobAccepted
from model.restored import fold
from sim.crash_worlds import EXITS, Pair, made_world
from sim.distributions import Uniform
from sim.scenario import TaskWeather
from sim.world import World

TITLE = "task scripts"
JOBS = {"work": 24, "local": 12}
"""by the first word of their commands"""
_FILE = "/crash.pro"
_SCRIPT = f"""
$made = 0
$done = 0
$failed = 0
$local = 0
$ended = 0
book init work
queueinit ends
task any
  host anyhost
  nmax {JOBS["work"]}
  task.exec
    periods -exec 1 -timeout 60
    $made ++
    book newpage work p$made
    book setword work p$made state RUN
    options $made
    command work $made
  end
  task.exit 0
    $done ++
    book setword work p$options:0 state DONE
    queuepush ends $options:0
  end
  task.exit default
    $failed ++
    book setword work p$options:0 state FAILED
    queuepush ends $options:0
  end
end
task here
  host local
  nmax {JOBS["local"]}
  task.exec
    periods -exec 2 -timeout 60
    $local ++
    command local $local
  end
  task.exit default
    $ended ++
  end
end
run
"""


def scripted_world() -> Pair:
    """Each job's macro counts it, and gives it its number and a page; its end is counted, and pushed to a queue."""
    configuration, scenario = made_world(TITLE, {})
    run = Uniform(10**9, 5 * 10**9)
    tasks = {"any": TaskWeather(run=run, exits=EXITS), "here": TaskWeather(run=run)}
    return (
        replace(configuration, language=LanguageSettings(scripts=(_FILE,))),
        replace(scenario, files={_FILE: _SCRIPT}, tasks=tasks),
    )


def misremembered(world: World) -> Iterator[str]:
    """Where the data of the script does not agree with the jobs, in sentences: all of them have ended."""
    journal = world.nodes["scheduler"].journal or []
    for word, count in JOBS.items():
        commands = [record.spec.command for record in journal if isinstance(record, JobAccepted)]
        numbers = [command[1] for command in commands if command[0] == word]
        if numbers != [str(number) for number in range(1, count + 1)]:
            yield f"the macro of `{word}` has numbered its jobs {' '.join(numbers)}"
    finals = [record for record in journal if isinstance(record, AttemptEnded) and record.final]
    data = fold(journal).scheduler.scripts
    value = {name: int(str(variable.value)) for name, variable in data.variables.items()}
    told = {"made": JOBS["work"], "local": JOBS["local"], "ended": JOBS["local"]}
    for name, count in told.items():
        if value.get(name) != count:
            yield f"${name} is {value.get(name)}, {count} would be right"
    counted = value.get("done", 0) + value.get("failed", 0) + value.get("ended", 0)
    if counted != len(finals):
        yield f"{counted} ends were counted, {len(finals)} are recorded"
    ends = Counter(int(line) for line in data.queues["ends"].lines.values()) if "ends" in data.queues else Counter()
    if ends != Counter(range(1, JOBS["work"] + 1)):
        yield f"the queue of ends holds {sorted(ends.elements())}"
    states = Counter(page.words.get("state") for page in data.books["work"].pages.values()) if data.books else Counter()
    if states != Counter({"DONE": value.get("done", 0), "FAILED": value.get("failed", 0)}):
        yield f"the pages of the book are {dict(states)}"
