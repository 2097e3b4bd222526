"""Goal: a real server that is killed with -9 in the middle of macros and jobs goes on with the variables, queues and
books of its scripts as if nothing had happened; an edited constant acts; and the simulator says the same of the same
script.

Method: a script of a dozen jobs whose macros wait in their middles and tell a file what they do. The server is killed
four times, when that file has grown by a few lines, and cannot go on for many more. What is there at the end is what a
task of the script finds and writes down, and what recovery reads from the journal. The same script runs in a simulated
world whose scheduler is restarted.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from live.journal import Journal
from live.recovery import recover
from model.configuration import ClusterDefinition, Configuration, LanguageSettings
from model.remembered import RestoredData
from model.restored import fold
from shell.config.scenario import load_scenario_text
from shell.language.machine import Scripts
from sim.simulation import simulate
from sim.world import Scripting, World
from tests.live.running_server import RunningServer, until

SCRIPTED = """
import sys
from pathlib import Path
import msgspec
from live.server import serve
from model.configuration import Configuration
from shell.language.machine import Scripts
configuration = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Configuration)
sys.exit(serve(configuration, Path(sys.argv[2]), scripts=Scripts, new_data={new_data}))
"""
NOTE = """echo $1 $2 >> told
while [ $(wc -l < told) -ge $(cat most) ]; do sleep 0.02; done
"""
"""The shell that a macro waits for: it stands still while the file has so many lines as the test allows. So a life is
over before the night is, however late the test looks at it."""
UNLIMITED = 10_000
KILLS, LINES_OF_A_LIFE = 4, 5
"""A life tells so many lines and a few more, of macros that run at the same time. The night has 24, without those that
are told twice, of what a kill undid."""
JOBS = 12
ITEMS = [f"item{number}" for number in range(JOBS)]
NIGHT = f"""$step = 2
$prepared = 0
$total = 0
for i 0 {JOBS}
  queuepush todo item$i
end
queueinit done
book init log
macro note
  exec sh note.sh $1 $2
end
task work
  periods -exec 0.05 -timeout 60
  npending 3
  task.exec
    queuepop todo -var item
    if ("$item" == "NULL") break
    $prepared ++
    note before $item
    book newpage log $item
    book setword log $item state RUN
    options $item
    command true
  end
  task.exit 0
    queuepush done $options:0
    $total += $step
    note after $options:0
    book setword log $options:0 state DONE
  end
end
task report
  periods -exec 0.1
  nmax 1
  task.exec
    queuesize done -var n
    if ($n < {JOBS}) break
    exec echo $total $prepared $step > result
    command true
  end
end
run
"""


class Installation:
    """A folder with the script, and the servers that run it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = RunningServer(folder)
        self.script = NIGHT

    def start(self, *, new_data: bool = False, lines: int = UNLIMITED) -> None:
        """Start a server whose macros can tell so many lines more."""
        (self.folder / "night.pro").write_text(self.script)
        (self.folder / "note.sh").write_text(NOTE)
        (self.folder / "fresh").write_text(f"{len(self.told()) + lines}\n")
        (self.folder / "fresh").rename(self.folder / "most")
        configuration = self.server.configuration(
            language=LanguageSettings(scripts=("night.pro",)), cluster=ClusterDefinition(local_slots=4)
        )
        self.server.begin(configuration, before=SCRIPTED.format(new_data=new_data))

    def told(self) -> list[str]:
        path = self.folder / "told"
        return path.read_text().splitlines() if path.exists() else []

    def result(self) -> list[str]:
        path = self.folder / "result"
        return path.read_text().split() if path.exists() else []

    def kept(self) -> RestoredData:
        """What the journal says, when no server runs."""
        with closing(Journal(self.server.state / "journal.sqlite")) as journal:
            return recover(journal).scheduler.scripts

    def jobs(self) -> Counter[str]:
        """Attempts of the task by how they ended."""
        return Counter(row.outcome for row in self.server.history() if row.task == "work")


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    yield made
    made.server.clean()


def content(kept: RestoredData) -> Any:
    """Queues in sorted lines, books, and the variables that count."""
    queues = {name: sorted(queue.lines.values()) for name, queue in kept.queues.items() if queue.lines}
    books = {name: {title: page.words for title, page in book.pages.items()} for name, book in kept.books.items()}
    return queues, books, {name: kept.variables[name].value for name in ("total", "prepared")}


DONE = ({"done": sorted(ITEMS)}, {"log": {item: {"state": "DONE"} for item in ITEMS}}, {"total": 24, "prepared": 12})


def test_a_server_that_is_killed_again_and_again_has_its_data_as_if_nothing_had_happened(
    installation: Installation,
) -> None:
    for _ in range(KILLS):
        had = len(installation.told())
        installation.start(lines=LINES_OF_A_LIFE)
        until(lambda had=had: len(installation.told()) >= had + 4, "the macros go on")  # type: ignore[misc]
        installation.server.crash()
    assert not installation.result()
    installation.start()
    until(installation.result, "all jobs end")
    until(lambda: installation.server.history() and installation.jobs()["EXITED"] >= JOBS, "the jobs end")
    assert installation.result() == ["24", "12", "2"], installation.server.said()
    installation.server.crash()
    assert content(installation.kept()) == DONE
    told = Counter(installation.told())
    assert all(told[f"{verb} {item}"] >= 1 for verb in ("before", "after") for item in ITEMS)


def test_an_edited_constant_acts_at_the_next_start_and_the_rest_goes_on(installation: Installation) -> None:
    installation.start(lines=16)
    until(lambda: sum(line.startswith("after") for line in installation.told()) >= 3, "some jobs end")
    installation.server.crash()
    before = content(installation.kept())[2]
    installation.script = NIGHT.replace("$step = 2", "$step = 100")
    installation.start()
    until(installation.result, "all jobs end")
    installation.server.crash()
    total, prepared, step = map(int, installation.result())
    assert (prepared, step) == (JOBS, 100)
    left = JOBS - before["total"] // 2
    assert 0 < left < JOBS
    assert total == before["total"] + 100 * left


def test_new_data_begins_afresh(installation: Installation) -> None:
    installation.start()
    until(installation.result, "all jobs end")
    installation.server.crash()
    (installation.folder / "result").unlink()
    installation.script = NIGHT.replace("nmax 1", "nmax 2").replace(f"0 {JOBS}\n", "0 3\n").replace(f"< {JOBS}", "< 3")
    installation.start(new_data=True)
    until(installation.result, "all jobs end again")
    installation.server.crash()
    assert installation.result() == ["6", "3", "2"]
    assert content(installation.kept())[0] == {"done": ITEMS[:3]}


def test_a_journal_without_data_of_scripts_is_taken_up(installation: Installation) -> None:
    installation.start()
    until(lambda: len(installation.told()) >= 6, "the macros go on")
    installation.server.crash()
    with closing(sqlite3.connect(installation.server.state / "journal.sqlite")) as journal, journal:
        assert journal.execute("DELETE FROM record WHERE kind LIKE 'scripts %'").rowcount > 3
    installation.start()
    until(lambda: sum(line.startswith("before") for line in installation.told()) >= JOBS + 3, "it begins at the start")
    installation.server.crash()
    assert content(installation.kept())[0]["done"]


def test_a_simulated_server_that_is_restarted_ends_with_the_same_data(tmp_path: Path) -> None:
    (tmp_path / "night.pro").write_text(NIGHT)
    faults = [f"scheduler restarted 00:00:{second:02}" for second in range(1, 20, 2)]
    text = "pipeline: night.pro\nfor: 5m\ntasks:\n  work: {run: 2s}\ncommands:\n  '*': {takes: 0.6s}\n"
    loaded = load_scenario_text(f"{text}faults: {faults}\n", tmp_path / "scenario.yaml")
    assert isinstance(loaded.configuration, Configuration)
    worlds: list[World] = []
    result = simulate(
        loaded.configuration,
        loaded.scenario,
        scripting=Scripting(Scripts, lambda *_: None, lambda path: Path(path).read_text()),
        prepare=worlds.append,
    )
    assert result.good, result.violations
    (world,) = worlds
    assert world.nodes["scheduler"].epoch == len(faults) + 1
    journal = world.nodes["scheduler"].journal
    assert journal is not None
    assert content(fold(journal).scheduler.scripts) == DONE
