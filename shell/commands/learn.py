"""Verbs to learn with: short texts, and completion for the shell."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable

from model.errors import OperatorError
from model.explain import Reason
from model.job import JOB_MOVES, Outcome
from shell.fault_words import FAULTS
from shell.pages_of_docs import pages, title_of
from shell.session import Session
from shell.verbs import VERBS
from shell.wording import nearest

START = """\
laulima demo                      a real pipeline over real files, in ./demo
laulima init                      writes pipeline.yaml, a small pipeline to change
laulima validate pipeline.yaml    all mistakes at once, with line and column
laulima sim pipeline.yaml --for 24h --fail 'node3 down 02:00-04:00'
laulima run pipeline.yaml         in the foreground; --detach goes on in the background
laulima status                    what runs, what does not, and why
laulima explain host node3        why one job, task or host is where it is"""

SELECTIONS = """\
Jobs are named by numbers (12), ranges (12-20), last, or by what they are:
task=NAME state=NAME host=NAME. All conditions must hold:
    laulima kill task=warp host=node3
A change never takes all jobs unless --all is given. Hosts may be sets: node[01-16]."""

EXIT_CODES = """\
0  done
1  said no: invalid, not found, refused
2  usage: the command line makes no sense
3  the server is not reachable
4  timed out waiting (what was asked for may still happen)
submit --wait ends with the job's own code; 124 timed out, 127 command not found,
128+N ended by signal N, 125 ended in another way. Ctrl-C: 130."""

STATE = """\
Everything that a server knows lies in one directory, .laulima beside where it was
started. Commands find it upwards from the current directory, as git does; or it is
named by --state DIR or LAULIMA_STATE. It holds the journal (journal.sqlite), the
socket that commands speak to (control.sock, for this user only), the output of jobs,
and server.log. One server at a time may own it."""

LANGUAGE = """\
task NAME            a recipe that is asked for jobs again and again; `end` closes it
  command WORD...    what a job runs; also options, host, periods, npending, nmax,
  task.exec          trange, active, nice, stdout, stderr. task.exec runs before each
    ...              job (`break` declines it), task.exit when one has ended:
  end                a number, timeout, crash, lost, ..., default
  task.exit 0
    ...              $stdout $stderr $EXIT $JOBID $JOB_HOSTNAME $options:0 $taskarg:0
  end
end
run                  jobs start; before that a script starts nothing
Also if/else, for, foreach, while, macro, list, $x = mathematics, queues, books, exec.
laulima run x.pro, laulima sim x.pro, laulima validate x.pro, laulima shell;
every command: laulima docs language.commands, or `help NAME` at a prompt."""

OUTCOME_TEXTS = {
    Outcome.EXITED: "the process exited, with a code",
    Outcome.CRASHED: "ended by a signal that laulima did not send",
    Outcome.TIMED_OUT: "ran longer than periods.timeout, and was killed",
    Outcome.PENDING_TIMEOUT: "waited longer than periods.pending",
    Outcome.COMMAND_NOT_FOUND: "the host could not start it",
    Outcome.HOST_DOWN: "its required host is down, and when_down says not to wait",
    Outcome.HOST_UNKNOWN: "its required host is not defined, and when_unknown says not to wait",
    Outcome.OVERLOADED: "a queue is full, or a host had no room several times",
    Outcome.CONTROLLER_SILENT: "the controller did not answer for its grace period",
    Outcome.LOST: "its host vanished while it ran, and did not come back in time",
    Outcome.FILES_MISSING: "a block file was not visible within its limit",
    Outcome.KILLED: "a person asked for it",
}
SUBMIT_CODES = {
    Outcome.EXITED: "the job's own",
    Outcome.CRASHED: "128 + the signal",
    Outcome.TIMED_OUT: "124",
    Outcome.COMMAND_NOT_FOUND: "127",
}
"""What `submit --wait` ends with; 125 for all others (`commands/submit.py`)."""


def topics() -> dict[str, tuple[str, str]]:
    """Name of each topic -> its title and text."""
    return {
        "start": ("first steps", START),
        "commands": ("every command", "\n".join(f"{verb.name:<11} {verb.help}" for verb in VERBS)),
        "selections": ("how jobs and hosts are named", SELECTIONS),
        "state": ("the state directory", STATE),
        "states": (
            "the states of a job",
            "\n".join(f"{old.value:<11} -> {', '.join(sorted(new.value for new in row)) or '(the end)'}"
                      for old, row in JOB_MOVES.items()),
        ),
        "outcomes": (
            "how a job can end", "\n".join(f"{outcome.value:<18} {OUTCOME_TEXTS[outcome]}" for outcome in Outcome)
        ),
        "reasons": ("why something waits", "\n".join(reason.value for reason in Reason)),
        "faults": ("what can go wrong in a rehearsal, and how to say it", FAULTS),
        "exit-codes": ("what laulima's exit codes mean", EXIT_CODES),
    }  # fmt: skip


def docs(session: Session, *, topic: str | None, man: bool) -> int:
    if man:
        from shell.manual_page import manual_page  # noqa: PLC0415 - it is made from the whole command line

        sys.stdout.write(manual_page())
        return 0
    files = pages()
    if topic in files:
        session.say(files[topic].read_text(encoding="utf-8").rstrip("\n"))
        return 0
    from shell.config.topics import config_topics  # noqa: PLC0415 - made from the schema, which is slow to import

    known = {**topics(), **_language_topics(), **_rehearsal_topics(), **config_topics()}
    known.pop("config.$schema", None)
    if topic is None:
        titles = {name: title for name, (title, _) in known.items()} | {
            name: title_of(file) for name, file in files.items()
        }
        session.say("\n".join(f"{name:<18} {title}" for name, title in titles.items()))
        session.note("one of them: laulima docs TOPIC; all options of a command: laulima COMMAND --help")
        return 0
    if topic not in known:
        names = [*known, *files]
        raise OperatorError(f"no text about {topic}{nearest(topic, names)}", "which there are: laulima docs")
    session.say(known[topic][1])
    return 0


def _language_topics() -> dict[str, tuple[str, str]]:
    """Texts on the task language, made from its table of commands."""
    from shell.language.commands.table import COMMANDS  # noqa: PLC0415 - the language, for those who ask about it

    usages = "\n".join(f"{command.usage}\n    {command.summary}" for command in COMMANDS)
    return {
        "language": ("scripts of the task language", LANGUAGE),
        "language.commands": ("every command of the task language", usages),
    }


EXPECT = """\
In a scenario, `expect:` is a list of lines FIGURE COMPARISON LIMIT:
    expect: [p95_wait < 10min, lost == 0, tasks.warp.p95_wait < 5min, hosts.node3.mttr < 1h]
A time has a unit, a share is 5 % or 0.05, a rate (throughput) is 60/h, the rest are numbers;
== >= <= > <. What is undefined (p95_wait of no job) does not hold. Each figure is that of
`laulima sim --metrics`; pending is wait.
With one of mean_, p50_, p95_, p99_, max_ before it, of a run and of tasks.NAME.:
    {spreads}
Of a run and of tasks.NAME. (the last ones count jobs that ended so; also exit_0 to exit_255):
    {counts}
Of a run (also at_least_N_up: the share of time in which N hosts or more had power):
    {figures}
Of hosts.NAME.:
    {hosts}
Of schedulers.NAME., where several use one controller (share_ratio: what it got by what it had to get),
and all those of tasks.NAME.; its tasks are tasks.SCHEDULER.TASK:
    {schedulers}"""


def _rehearsal_topics() -> dict[str, tuple[str, str]]:
    """Texts made from the tables of the simulator and the sections of its files."""
    from shell.config.topics import scenario_text  # noqa: PLC0415 - made from the schema, which is slow to import

    return {
        "scenario": ("the keys of a scenario", scenario_text()),
        "expect": ("what a scenario can expect of a rehearsal", figures_text()),
    }


def figures_text() -> str:
    """Every figure of a rehearsal, by name."""
    from sim.figures import (  # noqa: PLC0415 - for those who ask
        HOST_FIGURES,
        RUN_FIGURES,
        SCHEDULER_FIGURES,
        STATISTICS,
        TASK_FIGURES,
    )

    spreads = dict.fromkeys(name[4:].lstrip("_") for name in TASK_FIGURES if name.startswith("p50_"))
    starts = tuple(f"{statistic}_" for statistic in STATISTICS)
    counts = [name for name in TASK_FIGURES if not name.startswith(starts)]
    return EXPECT.format(
        spreads=_wrapped(spreads), counts=_wrapped(counts), figures=_wrapped(RUN_FIGURES),
        hosts=_wrapped(HOST_FIGURES), schedulers=_wrapped(SCHEDULER_FIGURES),
    )  # fmt: skip


def _wrapped(names: Iterable[str]) -> str:
    return textwrap.fill(" ".join(names), 76, break_on_hyphens=False).replace("\n", "\n    ")


def completion(session: Session, *, shell: str) -> int:
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    from shell.main import program  # noqa: PLC0415

    kind = get_completion_class(shell)
    assert kind is not None, "the table's choices are click's"
    session.say(kind(program(), {}, "laulima", "_LAULIMA_COMPLETE").source())
    session.note(
        {
            "bash": "use it:  laulima completion bash > ~/.local/share/bash-completion/completions/laulima",
            "zsh": 'use it:  laulima completion zsh > "${fpath[1]}/_laulima"',
            "fish": "use it:  laulima completion fish > ~/.config/fish/completions/laulima.fish",
        }[shell]
    )
    return 0
