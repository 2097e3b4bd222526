"""Goal: variables, queues and books of scripts are after a restart as if nothing had happened, wherever the server
crashed; an edited script acts all the same.

Method: the small world of `script_world.py`, whose server is killed at every transaction of a short night: before it is
durable, and after it with nothing carried out that waited for it. Then a new one is made from the records, the script
file runs again, and the night goes on. Macros wait in their middles and share a counter, so runs interleave.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest

from model.configuration import LanguageSettings
from model.controller import Controller
from model.effects import Commit, Notice
from model.events import IntakeVerb, LinkDown, OrderIntake, WallClock
from model.records import JobAccepted, Record, ScriptsBegun, ScriptsChanged
from model.restored import fold
from model.scheduler import Scheduler
from model.scripting import MAIN_SESSION, RunFile
from shell.language import recording
from shell.language.machine import Scripts
from tests.language.script_world import SCRIPT, WALL_NS, ScriptWorld

ITEMS = [f"item{number}" for number in range(8)]
NIGHT = """$limit = 3
$prepared = 0
$total = 0
foreach i item0 item1 item2 item3 item4 item5 item6 item7
  queuepush todo $i
end
queueinit done
book init log
task work
  periods -exec 0.2
  npending 2
  task.exec
    queuepop todo -var item
    if ("$item" == "NULL") break
    $prepared ++
    exec before $item
    book newpage log $item
    book setword log $item state RUN
    $mark = `what is $item`
    options $item
    command work $item
  end
  task.exit 0
    queuepush done $options:0
    exec after $options:0
    $total += $limit
    book setword log $options:0 state DONE
    queuepush seen $options:0
    queuepop seen -var last
    queuepush lines $stdout
  end
end
run
"""


class Killed(Exception):  # noqa: N818 - what a test does
    """The server is gone."""


class Night(ScriptWorld):
    """A world whose server may be killed at a transaction of its scheduler. `kill_at`: its number, from 1."""

    def __init__(self, text: str, *, kill_at: int = 0, durable: bool = True, **more: Any) -> None:
        self.transactions = 0
        self.kills = 0
        self.text = text
        self.cluster_hosts = more.get("hosts")
        self._kill_at = kill_at
        self._durable = durable
        more.setdefault("settings", LanguageSettings(scripts=(SCRIPT,) if text else ()))
        self.settings = more["settings"]
        try:
            super().__init__(text, **more)
        except Killed:
            self.restart()

    def _settle_once(self) -> bool:
        effects = self.scheduler.drain()
        commits = [effect for effect in effects if isinstance(effect, Commit)]
        self.transactions += bool(commits)
        killed = bool(commits) and self.transactions == self._kill_at
        if not killed or self._durable:
            self.records += [effect.record for effect in commits]
        if killed:
            raise Killed
        for effect in effects:
            if not isinstance(effect, Commit):
                self._scheduler_effect(effect)
        return super()._settle_once() or bool(effects)

    def run(self, seconds: float) -> None:
        end = self.now + int(seconds * 1e9)
        while True:
            try:
                return super().run((end - self.now) / 1e9)
            except Killed:
                self.restart()

    def restart(self, text: str | None = None) -> None:
        """The server is gone, and a new one starts from the records, with the script as it is now."""
        self.kills += 1
        self.epoch += 1
        self._later.clear()
        for host in self.hosts.values():
            host.connected = False
            host.agent.receive(LinkDown("superior", "closed"), self.now)
        folded = fold(through_bytes(self.records))
        self.behaviours.clear()
        self.scripts = None
        scripts = Scripts(
            self.now,
            directory="/home/user",
            seed=self.epoch,
            machines=self.machines,
            behaviours=self.behaviours,
            settings=self.settings,
            tasks=(),
            environment={"HOME": "/home/user"},
            restored=folded.scheduler.scripts if folded.scheduler.scripts.begun else None,
        )
        self.scheduler = Scheduler(self.epoch, self.now, self.cluster, (), folded.scheduler, behaviours=self.behaviours)
        self.controller = Controller(self.epoch, self.now, self.cluster, folded.controller)
        self.scripts = scripts
        for machine in (self.scheduler, self.scripts):
            machine.receive(WallClock(WALL_NS - self.now), self.now)
        self.link_up()
        self.text = self.text if text is None else text
        if self.text:
            self.files[SCRIPT] = self.text
            self.scheduler.receive(OrderIntake(0, IntakeVerb.HALT, "no run yet", lasting=False), self.now)
            self.give_scripts(RunFile(MAIN_SESSION, 1, SCRIPT))
        self.run(0)

    @property
    def data(self) -> tuple[dict[str, str], dict[str, list[str]], dict[str, Any]]:
        """Variables of the script, queues, books."""
        language = self.language
        names = [name for name in language.variables if name.isalpha() and name.islower()]
        variables = {name: str(language.variables[name]) for name in names}
        return variables, language.queues.dump(), language.books.dump()


def through_bytes(records: list[Record]) -> list[Record]:
    decode = msgspec.msgpack.Decoder(Record).decode
    return [decode(msgspec.msgpack.encode(record)) for record in records]


def slow_shell(line: str) -> Any:
    return 0, f"answer to {line}\n", 0.15


def work(_: Any) -> Any:
    return 0.3, 0, "a line\n"


def night(**more: Any) -> Night:
    made = Night(NIGHT, job=work, shell=slow_shell, **more)
    made.run(20)
    return made


def facts(made: Night) -> Any:
    """What must be the same however often the server was killed."""
    variables, queues, books = made.data
    kept = {name: variables.get(name) for name in ("prepared", "total", "limit")}
    jobs = Counter(record.spec.command for record in made.records if isinstance(record, JobAccepted))
    lines = {name: sorted(lines) for name, lines in queues.items() if name not in ("stdout", "stderr")}
    return kept, lines, {name: dict(sorted(pages.items())) for name, pages in books.items()}, jobs, made.outcomes()


def recorded(made: Night) -> Any:
    """The queues and books that a restart would bring back."""
    kept = fold(through_bytes(made.records)).scheduler.scripts
    queues = {name: [line for _, line in sorted(queue.lines.items())] for name, queue in kept.queues.items()}
    books = {
        name: {title: page.words for title, page in sorted(book.pages.items(), key=lambda pair: pair[1].order)}
        for name, book in kept.books.items()
    }
    return queues, books


def test_a_quiet_night_does_each_thing_once_and_all_of_it_is_recorded() -> None:
    quiet = night()
    kept, queues, books, jobs, outcomes = facts(quiet)
    assert kept == {"prepared": "8", "total": "24", "limit": "3"}
    assert queues == {"todo": [], "done": ITEMS, "seen": [], "lines": ["a line"] * 8}
    assert books == {"log": {item: {"state": "DONE"} for item in ITEMS}}
    assert jobs == {("work", item): 1 for item in ITEMS}
    assert outcomes == ["EXITED"] * 8
    _, dumped, pages = quiet.data
    assert recorded(quiet) == ({name: dumped[name] for name in ("todo", "done", "seen", "lines")}, pages)


TRANSACTIONS = night().transactions


@pytest.mark.parametrize("durable", [True, False], ids=["recorded", "not recorded"])
def test_wherever_the_server_is_killed_the_data_and_the_jobs_are_as_if_nothing_had_happened(durable: bool) -> None:
    assert TRANSACTIONS > 20
    expected = facts(night())
    for place in range(1, TRANSACTIONS + 1):
        killed = night(kill_at=place, durable=durable)
        assert killed.kills == 1, place
        assert facts(killed) == expected, f"killed at transaction {place}"
        lines = {name: sorted(lines) for name, lines in recorded(killed)[0].items()}
        assert lines == {name: expected[1][name] for name in lines}


def test_what_a_macro_does_outside_is_done_at_least_once() -> None:
    for place in range(1, TRANSACTIONS + 1, 3):
        killed = night(kill_at=place)
        done = Counter(effect.command for effect in killed.executed)
        assert all(done[f"{verb} {item}"] >= 1 for verb in ("before", "after") for item in ITEMS)
        assert sum(done.values()) <= 3 * len(ITEMS) + 2


def test_a_night_with_many_crashes_ends_as_a_quiet_one() -> None:
    expected = facts(night())
    stormy = Night(NIGHT, job=work, shell=slow_shell)
    for place in range(20):
        stormy._kill_at = stormy.transactions + 2
        stormy._durable = place % 2 == 0
        stormy.run(0.3)
    stormy.run(20)
    assert stormy.kills >= 8
    assert facts(stormy) == expected


# what counts when the script was edited

TABLE = """$constant = 1
$counter = 100
$both = 1
queuepush table "a b"
queuepush table c
queuepush work w1
queuepush work w2
book init cameras
book newpage cameras gpc1
book setword cameras gpc1 chips 60
task t
  periods -exec 1000
  task.exec
    $counter ++
    $both = 7
    $new = fresh
    queuepop work -var x
    break
    command x
  end
end
run
"""


def edited(before: str, after: str, text: str = TABLE) -> Night:
    """The script runs once; then it is edited, and the server restarted."""
    made = Night(text)
    made.run(1)
    assert before in text
    made.restart(text.replace(before, after))
    return made


def warnings(made: Night) -> list[Notice]:
    return [notice for notice in made.notices if notice.level == "warning"]


def test_without_an_edit_everything_goes_on() -> None:
    variables, queues, books = edited("run", "run").data
    assert variables | {"counter": "102", "both": "7", "new": "fresh", "constant": "1"} == variables
    assert queues == {"table": ["a b", "c"], "work": []}
    assert books == {"cameras": {"gpc1": {"chips": "60"}}}


def test_an_edited_constant_acts_and_a_counter_goes_on() -> None:
    made = edited("$constant = 1\n", "$constant = 2\n")
    assert made.data[0] | {"constant": "2", "counter": "102"} == made.data[0]


def test_an_edited_first_value_counts_more_than_what_tasks_made_of_it_and_does_not_come_back() -> None:
    made = edited("$both = 1\n", "$both = 5\n")
    assert made.data[0]["both"] == "7"  # the task ran again, and has set it
    made = edited("$counter = 100\n", "$counter = 500\n")
    assert made.data[0]["counter"] == "501"
    made.restart()
    assert made.data[0]["counter"] == "502"
    made.restart(TABLE)
    assert made.data[0]["counter"] == "101"


def test_what_was_kept_under_an_earlier_first_value_does_not_come_back_with_that_value() -> None:
    quiet = TABLE.replace("    $both = 7\n", "")
    made = edited("$both = 1\n", "$both = 5\n")
    made.restart(quiet.replace("$both = 1\n", "$both = 6\n"))
    assert made.data[0]["both"] == "6"
    made.restart(quiet.replace("$both = 1\n", "$both = 5\n"))
    assert made.data[0]["both"] == "5"


def test_a_first_value_that_is_gone_from_the_script_leaves_what_tasks_made_of_it() -> None:
    assert edited("$both = 1\n", "").data[0]["both"] == "7"


def test_an_edited_table_that_no_task_has_changed_acts() -> None:
    made = edited("queuepush table c", "queuepush table d")
    assert made.data[1]["table"] == ["a b", "d"]
    made.restart()
    assert made.data[1]["table"] == ["a b", "d"]
    made = edited("chips 60", "chips 64")
    assert made.data[2] == {"cameras": {"gpc1": {"chips": "64"}}}
    assert warnings(made) == []


def test_a_queue_that_tasks_have_changed_stays_and_the_new_content_is_told_of_once() -> None:
    made = edited("w2\n", "w2\nqueuepush work w3\n")
    assert made.data[1]["work"] == []
    (notice,) = warnings(made)
    assert notice.about == "queue work"
    assert "stays as tasks left it" in notice.text and "--new-data" in notice.text
    made.restart()
    assert len(warnings(made)) == 1


def test_what_tasks_have_deleted_is_not_filled_in_again() -> None:
    text = TABLE.replace("queuepop work -var x", "queuedelete work\n    book delete cameras")
    made = Night(text)
    made.run(1)
    assert made.data[1:] == ({"table": ["a b", "c"]}, {})
    made.restart(text.replace("queuedelete", "queuelist").replace("book delete", "book list"))
    assert made.data[1:] == ({"table": ["a b", "c"]}, {})


def test_a_list_that_has_become_shorter_stays_shorter() -> None:
    exec_macro = "task.exec\n    list words -split x\n    break\n    command x\n  end"
    text = f"list words -split a b c d\ntask t\n  {exec_macro}\nend\nrun\n"
    made = Night(text)
    made.run(0.5)
    made.restart(text.replace("list words -split x", "$y = 1"))
    made.run(0.5)
    kept = {name: value for name, value in made.language.variables.items() if name.startswith("words")}
    assert kept == {"words:0": "x", "words:n": 1}


def test_what_a_job_wrote_is_data_after_the_restart_too() -> None:
    exit_macro = 'task.exit 0\n    $kept = $stdout\n    $text = "so: $stdout"\n  end'
    text = f"task t\n  periods -exec 100\n  command x\n  {exit_macro}\nend\n"
    made = Night(text + "run\n", job=lambda _: (0.1, 0, "$5 {1+1} ; rm *\n"))
    made.run(1)
    before = [made.language.variables[name] for name in ("kept", "text")]
    made.restart(text + "run\n")
    assert [made.language.variables[name] for name in ("kept", "text")] == before
    assert [type(made.language.variables[name]) for name in ("kept", "text")] == [type(one) for one in before]
    made.run(1)
    made.say("exec echo $kept")
    assert made.executed[-1].command == "echo '$5 {1+1} ; rm *\n'"


# when the data is laid over


def test_until_the_data_is_there_no_task_runs_and_then_those_that_were_asked_do() -> None:
    task = "task t\n  periods -exec 2\n  task.exec\n    $n ++\n    command work $n\n  end\nend\n"
    made = Night(f"$n = 0\nexec slow\n$m = 1\n{task}run\n", shell=lambda _: (0, "", 3.0))
    made.run(4)
    assert [spec.command for spec in made.specs] == [("work", "1")]
    made.restart()
    made.open(7)
    made.say(task, session=7)
    made.give(OrderIntake(0, IntakeVerb.RESUME))  # a person, too early
    made.run(2.5)
    assert len(made.specs) == 1
    made.run(5)
    assert ("work", "2") in [spec.command for spec in made.specs]


def test_where_a_script_file_has_failed_no_other_one_is_waited_for() -> None:
    task = "task t\n  periods -exec 2\n  task.exec\n    $n ++\n    command work $n\n  end\nend\n"
    made = Night(f"$n = 0\n{task}run\n", settings=LanguageSettings(scripts=(SCRIPT, "more.pro")))
    made.run(1)
    made.restart("$n = 0\nbreak\n")
    made.open(7)
    made.say(task, session=7)
    made.give(OrderIntake(0, IntakeVerb.RESUME))
    made.run(4)
    assert [spec.command for spec in made.specs][:2] == [("work", "1"), ("work", "2")]


def test_a_script_without_run_has_its_data_when_it_has_ended() -> None:
    text = "$n = 0\n"
    made = Night(text)
    made.say("$n = 5\nqueuepush q line\n")
    made.restart()
    assert made.data[:2] == ({"n": "5"}, {"q": ["line"]})
    made.restart("$n = 0\nbreak\n")  # it fails: nothing is laid over what was half made
    assert made.data[0] == {"n": "0"}
    made.restart(text)
    assert made.data[:2] == ({"n": "5"}, {"q": ["line"]})


def test_without_script_files_the_data_is_there_at_once() -> None:
    made = Night("")
    made.say("$n = 5\nqueuepush q line\n")
    made.restart()
    assert made.data[:2] == ({"n": "5"}, {"q": ["line"]})


def test_what_a_session_has_changed_is_recorded_when_it_waits_and_when_it_ends() -> None:
    made = Night("", shell=lambda _: (0, "", 10.0))
    made.say("$n = 5\nqueuepush q line\nexec slow\n$n = 6\n")
    made.restart()
    assert made.data[:2] == ({"n": "5"}, {"q": ["line"]})
    made.say("$n = 7\n")
    made.restart()
    assert made.data[0] == {"n": "7"}


def test_a_run_that_was_ended_leaves_its_variables_only() -> None:
    exec_macro = "task.exec\n    $n ++\n    queuepush q line\n    while (1)\n    end\n    command x\n  end"
    text = f"$n = 0\ntask bad\n  {exec_macro}\nend\nrun\n"
    made = Night(text)
    made.run(2)
    assert made.task("bad").faulted
    made.restart(text.replace("while (1)\n    end\n", "break\n"))
    assert made.data[:2] == ({"n": "1"}, {})


def test_a_journal_of_a_server_that_knew_no_data_is_taken_up() -> None:
    made = Night(TABLE)
    made.run(1)
    made.records = [record for record in made.records if not isinstance(record, ScriptsChanged | ScriptsBegun)]
    made.restart()
    assert made.data[0]["counter"] == "101"
    assert made.data[1] == {"table": ["a b", "c"], "work": ["w2"]}


def test_to_begin_afresh_forgets_what_was_kept() -> None:
    made = Night(TABLE)
    made.run(1)
    kept = fold(made.records).scheduler.scripts
    assert kept.begun and kept.variables
    language = Night(TABLE)  # a machine that is given nothing
    made.records += language.records
    fresh = fold(made.records).scheduler.scripts
    assert {name: queue.lines for name, queue in fresh.queues.items()} == {
        "table": {0: "a b", 1: "c"},
        "work": {1: "w2"},
    }


# size


@pytest.mark.parametrize(
    "push",
    [
        "for i 0 100000\n queuepush q $i\nend\n",
        "book init b\nfor i 0 50000\n book newpage b p.$i\n book setword b p.$i w $i\nend\n",
    ],
)
def test_a_large_change_is_many_records_of_a_bounded_size(push: str) -> None:
    made = Night("")
    before = len(made.records)
    made.say(push)
    made.run(5)
    records = [record for record in made.records[before:] if isinstance(record, ScriptsChanged)]
    assert len(records) <= 2 * 100_000 / recording.PART_ENTRIES + 20
    sizes = [
        len(record.variables)
        + sum(len(queue.put) + len(queue.taken) for queue in record.queues)
        + sum(1 + len(page.words) for book in record.books for page in book.pages)
        for record in records
    ]
    assert max(sizes) <= recording.PART_ENTRIES + 1
    assert sum(sizes) <= 100_000 + 100
    made.restart()
    _, queues, books = made.data
    assert len(queues.get("q", ())) == 100_000 or len(books.get("b", ())) == 50_000


def test_long_texts_are_cut_into_records_by_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "PART_CHARACTERS", 1000)
    made = Night("")
    before = len(made.records)
    made.say("for i 0 10\n queuepush q " + "x" * 400 + "\nend\n")
    lines = [
        len(queue.put)
        for record in made.records[before:]
        if isinstance(record, ScriptsChanged)
        for queue in record.queues
    ]
    assert lines == [3, 3, 3, 1]


def test_a_half_of_a_surrogate_does_not_stop_the_server() -> None:
    made = Night("")
    made.say("$n = a\ud800b\nqueuepush q \udfff\nbook init b\nbook newpage b p\nbook setword b p w \ud800\n")
    made.restart()
    assert made.data == ({"n": "a?b"}, {"q": ["?"]}, {"b": {"p": {"w": "?"}}})
