"""The one table of commands: their names, words, help and what the server calls them.

The command line is made from it (`main.py`), and the prompt uses it. It is data and imports
nothing but msgspec and texts; what a verb does stands in the function that `run` names, imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from importlib import import_module
from typing import Any

from msgspec import Struct

from shell.fault_words import GRAMMAR, PREFABS


class Kind(Enum):
    """What a verb does to the world. READ verbs have `--json`; CHANGE verbs are recorded by the server."""

    READ = "read"
    CHANGE = "change"
    LOCAL = "local"
    """needs no server"""


class Form(Enum):
    """What a parameter's text must be."""

    TEXT = "text"
    INTEGER = "integer"
    DURATION = "duration"
    """`10m`; arrives as ns"""
    FLAG = "flag"
    PATH = "path"
    CHOICE = "choice"
    COMMAND = "command"
    """a command and its arguments: from its first word on nothing is an option of ours"""


class Parameter(Struct, frozen=True):
    """`flags` empty: known by its position. `many`: any number of them (a tuple). `required`: at least one."""

    name: str
    help: str = ""
    form: Form = Form.TEXT
    flags: tuple[str, ...] = ()
    many: bool = False
    required: bool = False
    default: str | int | None = None
    choices: tuple[str, ...] = ()
    at_least: int | None = None


class Verb(Struct, frozen=True):
    """`server`: the verb of the control socket, empty if none. `run`: `module:function`, called with the session and
    the parameters by name; gives the exit code."""

    name: str
    section: str
    kind: Kind
    help: str
    run: str
    parameters: tuple[Parameter, ...] = ()
    server: str = ""
    example: str = ""

    def function(self) -> Callable[..., int]:
        module, _, name = self.run.partition(":")
        found: Callable[..., int] = getattr(import_module(module), name)
        return found


def option(name: str, help: str, *flags: str, form: Form = Form.TEXT, **more: Any) -> Parameter:  # noqa: A002 - the table's word
    return Parameter(name=name, help=help, flags=flags or ("--" + name.replace("_", "-"),), form=form, **more)


def flag(name: str, help: str, *flags: str) -> Parameter:  # noqa: A002 - the table's word
    return option(name, help, *flags, form=Form.FLAG)


FILE = Parameter("file", "the pipeline: a YAML file, or a script", Form.PATH, required=True)
ANOTHER = Parameter("file", "the pipeline (else the one that the server runs)", Form.PATH)
STATE = option("state", "the state directory (else LAULIMA_STATE, else .laulima here or further up)", form=Form.PATH)
JSON = flag("json", "the answer as JSON, with its schema's version")
WIDE = flag("wide", "do not cut lines to the terminal's width", "-W", "--wide")
REASON = option("reason", "why; shown wherever somebody asks", "-r", "--reason", default="")
WAIT = option(
    "wait_at_most", "how long to wait for the effect (exit code 4 after that)", form=Form.DURATION, default="2m"
)
RESOURCE = option("resources", "NAME=AMOUNT that it has beside slots: cpus=8, memory=32GiB", "--resource", many=True)
LABEL = option("labels", "a label that it has", "--label", many=True)
JOBS = Parameter("jobs", "numbers, ranges 12-20, last, or task=NAME state=NAME host=NAME", many=True)
CONTROL = flag("control", "with --page: a second link that may hold, release, kill, retry and drain")
ABOUT = Parameter("words", "[job|task|host] NAME, or last, task=NAME state=NAME", many=True, required=True)
JOBS_NEEDED = Parameter("jobs", JOBS.help, many=True, required=True)
ALL = flag("everything", "all jobs", "--all")
COMMAND = Parameter("command", "the command and its arguments", Form.COMMAND, many=True, required=True)

CONTROLLER_TIMEOUT = option(
    "controller_timeout", "ignore: `periods -timeout` of a script limits no job of the controller",
    form=Form.CHOICE, choices=("ignore", "limit"),
)  # fmt: skip

HOST_VERBS = ("add", "delete", "drain", "lost", "off", "on", "retry", "slots")
"""The values of `model.events.HostVerb`; not imported, so that a read starts quickly (a test compares them)."""

START, LOOK, CHANGE, LEARN = "Start and rehearse", "Look", "Change", "Learn"

VERBS: tuple[Verb, ...] = (
    Verb(
        "run", START, Kind.LOCAL, "Run a pipeline in the foreground, or detached.", "shell.commands.start:run",
        (
            FILE,
            option("for_ns", "end after so long", "--for", form=Form.DURATION),
            flag("until_idle", "end when nothing is left to do"),
            flag("detach", "go on in the background; returns when the server answers", "-d", "--detach"),
            flag("page", "with the web page beside it: laulima serve"),
            CONTROL,
            Parameter("arguments", "argv of the script", many=True),
            flag("leave", "end when the scripts have ended", "--exit"),
            flag("new_data", "forget the variables, queues and books that scripts had in earlier lives"),
            option("decisions", "record all that the server decides in this file, for laulima replay", form=Form.PATH),
            CONTROLLER_TIMEOUT,
        ),
        example="laulima run pipeline.yaml --detach",
    ),
    Verb(
        "controller", START, Kind.LOCAL, "Reach hosts for several schedulers, which share them fairly.",
        "shell.commands.controller:controller",
        (Parameter("file", "whose `cluster` it is; state in ./.laulima-controller unless --state", Form.PATH),),
        example="laulima controller shared.yaml",
    ),
    Verb(
        "shell", START, Kind.LOCAL, "A prompt of the running server; with a script, of a server of its own.",
        "shell.commands.shell:shell",
        (
            Parameter("file", "start a server with this pipeline, and end it with the prompt", Form.PATH),
            Parameter("arguments", "argv of the script", many=True),
            flag("new", "start a server without a pipeline, and end it with the prompt"),
            CONTROLLER_TIMEOUT,
        ),
        example="laulima shell",
    ),
    Verb(
        "sim", START, Kind.LOCAL, "Rehearse a pipeline, or replay a job log, on a virtual clock, with failures.",
        "shell.commands.rehearse:sim",
        (
            Parameter("file", "the pipeline: a YAML file, or a script", Form.PATH),
            option("for_ns", "how much time to simulate (else the scenario's, else 24h; a job log alone: all of it)",
                   "--for", form=Form.DURATION),
            option("fail", f"a fault: {GRAMMAR}; all of it: laulima docs faults", many=True),
            option("faults", f"these faults at every host, instead of the scenario's: {PREFABS}"),
            option("scenario", "a scenario file", form=Form.PATH),
            option("seed", "decides everything that chance decides", form=Form.INTEGER, at_least=0),
            option("log", "write the event log (JSON lines) to this file", form=Form.PATH),
            option("workload", "replay this job log (Standard Workload Format, .swf or .swf.gz); lublin: the one that "
                   "comes with laulima", form=Form.PATH),
            option("first", "with --workload: only the first so many jobs of it", form=Form.INTEGER, at_least=1),
            option("hosts", "with --workload: these hosts instead of the log's, 'node[01-16]:8' (again for more)",
                   many=True),
            option("order", "with --workload: first come, first served (strict, the default), or first fit (fill)",
                   form=Form.CHOICE, choices=("strict", "fill")),
            option("by", "with --workload: one task for the whole log, or for each of these", form=Form.CHOICE,
                   choices=("log", "user", "group", "queue", "partition")),
            option("shake", "with --workload: its gaps and run times longer or shorter by up to this share, 10%"),
            option("resample", "with --workload: its days or its users drawn again", form=Form.CHOICE,
                   choices=("days", "users")),
            option("scheduler", "with --workload: which of several schedulers gets its jobs"),
            flag("metrics", "measure waits, slowdowns, utilization and more (with --workload always)"),
            option("jobs_csv", "write a line for each job to this file, Batsim's columns first", "--jobs-csv",
                   form=Form.PATH),
            option("warm_up", "measure only what ends later than this", "--warm-up", form=Form.DURATION),
            option("changes", "change a key of the pipeline: tasks.warp.limits.in_flight=80, hosts.node3=off", "--set",
                   many=True),
            option("seeds", "a world for each of these seeds, 1-1000: median, range, confidence, the worst"),
            option("jobs", "with --seeds: worker processes", "--jobs", form=Form.INTEGER, default=1, at_least=1),
            option("against", "compare with this pipeline or scenario, seed by seed", form=Form.PATH),
            option("until", "with --seeds: end with the first world in which something is not as expected",
                   form=Form.CHOICE, choices=("expect",)),
            option("sweep", "a world for each value and seed: load=0.5..1.2, down=0%..50%, when_down, or KEY=10..80"),
            option("shrink", "write a small world that fails alike to this file", form=Form.PATH),
            option("checkpoint", "keep what is done in this file now and then; the same command goes on from it",
                   form=Form.PATH),
            option("html", "write a page with tables and pictures to this file, report.html", "--report",
                   form=Form.PATH),
            option("csv", "write the numbers behind the pictures into this folder", form=Form.PATH),
            JSON,
        ),
        example="laulima sim pipeline.yaml --for 24h --fail 'node3 down 02:00-04:00'",
    ),
    Verb(
        "fit", START, Kind.LOCAL, "Fit run times, exits and arrivals to the own history, for rehearsals.",
        "shell.commands.past:fit",
        (
            Parameter("file", "the pipeline that the scenario is to name", Form.PATH),
            option("since", "only what was not over so long ago", "--from", form=Form.DURATION, default="90d"),
            option("write", "write it as a scenario to this file, which must not be there", form=Form.PATH),
            JSON,
        ),
        example="laulima fit pipeline.yaml --write measured.yaml",
    ),
    Verb(
        "whatif", START, Kind.LOCAL, "The own past once more under a changed configuration, beside what it was.",
        "shell.commands.past:whatif",
        (
            Parameter("file", "the pipeline (else what the running server runs)", Form.PATH),
            option("since", "7d: what was in the last 7 days; now: what is not finished, and what will come", "--from",
                   default="7d"),
            option("changes", "a key with another value: tasks.warp.limits.in_flight=80, hosts.node3=off", "--set",
                   many=True),
            option("fail", "a fault in the changed world: 'node3 down 02:00-04:00' (laulima docs faults)", many=True),
            option("faults", f"in the changed world these, instead of those that there really were: {PREFABS}"),
            option("recording", "the past from what laulima run --decisions wrote, instead of the journal",
                   form=Form.PATH),
            option("for_ns", "only so long (--from now: how far ahead; else 24h)", "--for", form=Form.DURATION),
            option("shake", "gaps and run times longer or shorter by up to this share, otherwise for each seed, 10%"),
            option("resample", "the days drawn again, for each seed", form=Form.CHOICE, choices=("days",)),
            option("seeds", "for what has to be drawn", default="1-5"),
            option("html", "write a page with tables, and live and simulated in a picture, to this file", "--report",
                   form=Form.PATH),
            option("jobs_csv", "write what became of each job, really and simulated, to this file", "--jobs-csv",
                   form=Form.PATH),
            JSON,
        ),
        example="laulima whatif --from 7d --set hosts.node3=off",
    ),
    Verb(
        "replay", START, Kind.LOCAL, "Let this version decide what a server has recorded, and compare.",
        "shell.commands.decisions:replay",
        (Parameter("file", "what laulima run --decisions wrote", Form.PATH, required=True), JSON),
        example="laulima replay night.decisions",
    ),
    Verb(
        "bisect", START, Kind.LOCAL, "Find the first event in which two rehearsals differ.",
        "shell.commands.bisect:bisect",
        (
            Parameter("first", "an event log: laulima sim FILE --log a.jsonl", Form.PATH, required=True),
            Parameter("second", "another one", Form.PATH, required=True),
            JSON,
        ),
        example="laulima bisect a.jsonl b.jsonl",
    ),
    Verb(
        "validate", START, Kind.LOCAL, "Check a pipeline file; nothing is started.", "shell.commands.start:validate",
        (FILE, flag("strict", "warnings are errors, too"), JSON),
    ),
    Verb(
        "convert", START, Kind.LOCAL, "Write the tasks of a script as YAML.", "shell.commands.start:convert",
        (
            Parameter("file", "the script", Form.PATH, required=True),
            option("rest", "a new script for what stands outside of tasks; the YAML names it", form=Form.PATH),
        ),
        example="laulima convert pipeline.pro --rest rest.pro > pipeline.yaml",
    ),
    Verb(
        "init", START, Kind.LOCAL, "Write a small pipeline to start from.", "shell.commands.start:init",
        (Parameter("file", "where to write it", Form.PATH, default="pipeline.yaml"),),
    ),
    Verb(
        "demo", START, Kind.LOCAL, "Run a real pipeline over real files, in a folder of its own.",
        "shell.commands.start:demo",
        (
            option("directory", "the folder (made, or used again)", form=Form.PATH, default="demo"),
            option("files", "how many files arrive", form=Form.INTEGER, default=320, at_least=1),
            flag("page", "with the web page, which stays until Ctrl-C"),
            CONTROL,
        ),
    ),
    Verb(
        "torture", START, Kind.LOCAL, "Search small simulated worlds with faults and crashes for broken promises.",
        "shell.commands.torture:torture_command",
        (
            Parameter("files", "replay worlds that were saved", Form.PATH, many=True),
            option("seeds", "how many worlds", form=Form.INTEGER, default=200, at_least=1),
            option("first", "the first seed", form=Form.INTEGER, default=0, at_least=0),
            option("jobs", "worker processes", "--jobs", form=Form.INTEGER, default=1, at_least=1),
            flag("points", "crash at each boundary of what each process does, instead", "--crash-points"),
            flag("pairs", "all pairs of crashes in one small world, instead", "--crash-pairs"),
            option("worlds", "with --crash-points: only this world (again for another)", "--world", many=True),
            option("every", "with --crash-points and --crash-pairs: only each so-many-th", form=Form.INTEGER, default=1,
                   at_least=1),
            option("save", "make failing worlds small and keep them in this folder", form=Form.PATH),
            option("write", "write the counters into this page", form=Form.PATH),
        ),
        example="laulima torture --seeds 1000 --jobs 2",
    ),
    Verb(
        "status", LOOK, Kind.READ, "One screen: tasks, hosts, alarms, and why what is not running is not.",
        "shell.commands.reads:status",
        (
            Parameter("task", "only this task"),
            flag("watch", "again every second, until Ctrl-C", "-w", "--watch"),
            WIDE,
        ),
        "status",
    ),
    Verb(
        "metrics", LOOK, Kind.READ, "The same as numbers, in the text format of Prometheus.",
        "shell.commands.reads:metrics", (), "status", "laulima metrics > /var/lib/node_exporter/laulima.prom",
    ),
    Verb(
        "notify", LOOK, Kind.READ, "Who is told of alarms, and whether that works; --test sends each a message.",
        "shell.commands.notify:notify",
        (
            Parameter("file", "with --test: the notifiers of this pipeline, without a server", Form.PATH),
            option("only", "only this notifier"),
            flag("test", "send a test message, and say what came back"),
        ),
        "notify", "laulima notify --test",
    ),
    Verb("tasks", LOOK, Kind.READ, "The tasks.", "shell.commands.reads:tasks",
         (Parameter("words", "names, or state=NAME", many=True), WIDE), "tasks"),
    Verb(
        "jobs", LOOK, Kind.READ, "The jobs that are not final, and why they wait.", "shell.commands.reads:jobs",
        (
            JOBS,
            option("limit", "how many, those of the smallest numbers (else 100; with --json all)", "-n", "--limit",
                   form=Form.INTEGER, at_least=1),
            ALL,
            WIDE,
        ),
        "jobs", "laulima jobs task=warp state=pending",
    ),
    Verb(
        "hosts", LOOK, Kind.READ, "The hosts.", "shell.commands.reads:hosts",
        (Parameter("names", "host names or sets: node[01-16], or state=NAME", many=True), WIDE), "hosts",
    ),
    Verb(
        "explain", LOOK, Kind.READ, "Why a job, task or host is where it is, and what would change it.",
        "shell.commands.reads:explain",
        (ABOUT,), "explain",
        "laulima explain host node3",
    ),
    Verb(
        "check", LOOK, Kind.READ, "All about one job, task or host: state, why, file and line, last events.",
        "shell.commands.check:check",
        (ABOUT, WIDE), "check",
        "laulima check task warp",
    ),
    Verb(
        "history", LOOK, Kind.READ, "What ended: who ran what, when, where, and how it ended.",
        "shell.commands.reads:history",
        (
            Parameter("words", "job numbers, last, or task=NAME host=NAME state=NAME outcome=NAME", many=True),
            option("task", "of this task"),
            option("host", "on this host"),
            option("outcome", "with this outcome: 'exit 3', TIMED_OUT, failed"),
            option("since", "ended within so long", form=Form.DURATION),
            option("limit", "how many attempts, the last ones", "-n", "--limit", form=Form.INTEGER, at_least=1),
            flag("stats", "instead: counts, run times and waits of each task, of the last 100,000 attempts unless -n"),
            flag("changes", "instead: who ordered what and when; of one: task=NAME, host=NAME, a job's number"),
            flag("notices", "instead: what a shared controller has told its schedulers"),
            WIDE,
        ),
        "history", "laulima history outcome=failed --since 2h",
    ),
    Verb(
        "plan", LOOK, Kind.READ, "What would start when, were it left alone: by periods, windows, holds, limits.",
        "shell.commands.reads:plan",
        (option("for_ns", "how far ahead", "--for", form=Form.DURATION, default="2h"), WIDE), "plan",
        "laulima plan --for 1d",
    ),
    Verb(
        "logs", LOOK, Kind.READ, "What a job wrote, while it runs or afterwards.", "shell.commands.logs:logs",
        (
            JOBS_NEEDED,
            flag("follow", "go on until the jobs have ended; one that waits is waited for", "-f", "--follow"),
            flag("stderr", "its errors instead of its output"),
            flag("both", "its errors, too: on stderr"),
            option("lines", "begin with the last so many lines", "-n", "--lines", form=Form.INTEGER, at_least=0),
            option("attempt", "an earlier attempt", form=Form.INTEGER, at_least=1),
            flag("raw", "every byte as it is, also to a terminal"),
        ),
        "logs", "laulima logs task=warp state=running -f -n 20",
    ),
    Verb(
        "serve", LOOK, Kind.LOCAL, "The web page: tasks, hosts, charts, events, and why, for browsers on this machine.",
        "shell.commands.page:serve",
        (
            option("listen", "ADDRESS:PORT, of this machine only (else a port that is free)"),
            flag("control", "a second link that may hold, release, kill, retry and drain"),
            option("log", "play a simulated run back: the file of laulima sim --log", form=Form.PATH),
        ),
        example="laulima serve --listen 127.0.0.1:8642",
    ),
    Verb(
        "kill", CHANGE, Kind.CHANGE, "End jobs: TERM, grace, KILL, the whole tree.", "shell.commands.changes:kill",
        (JOBS, ALL, REASON, WAIT), "kill", "laulima kill task=warp host=node3",
    ),
    Verb(
        "delete", CHANGE, Kind.CHANGE, "Forget jobs (no handler runs), or a whole task.",
        "shell.commands.changes:delete",
        (
            JOBS,
            ALL,
            option("task", "delete this task: it spawns nothing more, and goes with its last job"),
            REASON,
            WAIT,
        ),
        "delete",
    ),
    Verb(
        "hold", CHANGE, Kind.CHANGE, "Keep a task from spawning, or jobs from starting.", "shell.commands.changes:hold",
        (
            Parameter("words", "a task, or jobs", many=True, required=True),
            REASON,
            option("for_ns", "released by itself after so long", "--for", form=Form.DURATION),
            option("until", "released by itself at this time of day, 18:00"),
            WAIT,
        ),
        "hold", 'laulima hold warp --reason "mail loop" --until 18:00',
    ),
    Verb(
        "release", CHANGE, Kind.CHANGE, "Let a held or faulted task, or held jobs, go on.",
        "shell.commands.changes:release",
        (Parameter("words", "a task, or jobs", many=True, required=True), REASON, WAIT), "release",
    ),
    Verb(
        "retry", CHANGE, Kind.CHANGE, "Run ended jobs again, as new jobs that name the old ones.",
        "shell.commands.changes:retry", (JOBS, ALL, REASON, WAIT), "retry",
    ),
    Verb(
        "flush", CHANGE, Kind.CHANGE, "Drop a task's jobs that do not run yet.", "shell.commands.changes:flush",
        (Parameter("words", "a task, or jobs", many=True, required=True), REASON, WAIT), "flush",
    ),
    Verb(
        "host", CHANGE, Kind.CHANGE, "Switch hosts on or off, drain, add, delete, try again, call lost, or check them.",
        "shell.commands.changes:host",
        (
            Parameter("verb", form=Form.CHOICE, choices=(*HOST_VERBS, "check"), required=True),
            Parameter("names", "host names or sets: node[01-16], or state=NAME", many=True, required=True),
            option("slots", "for add and slots: how many slots", form=Form.INTEGER, default=1, at_least=1),
            RESOURCE,
            LABEL,
            option("file", "for check: the pipeline (else that of the running server)", form=Form.PATH),
            REASON,
            WAIT,
        ),
        "host", 'laulima host drain node3 --reason "new disk"',
    ),
    Verb(
        "forget", CHANGE, Kind.CHANGE, "At a controller: a scheduler does not come back.",
        "shell.commands.controller:forget",
        (Parameter("name", "the scheduler: laulima status --state DIR names them", required=True), WAIT), "forget",
        "laulima forget night --state .laulima-controller",
    ),
    Verb(
        "cert", CHANGE, Kind.LOCAL, "Certificates of hosts that dial in: a private authority, made, renewed, revoked.",
        "shell.commands.cert:cert",
        (
            Parameter("verb", form=Form.CHOICE, choices=("init", "host", "list", "renew", "revoke"), required=True),
            Parameter("names", "host names or sets: node[01-16]; for renew also server", many=True),
            option("folder", "where the authority is", form=Form.PATH, default="tls"),
            option("days", "how long a new certificate is valid", form=Form.INTEGER, default=365, at_least=1),
        ),
        example="laulima cert host node[01-16]",
    ),
    Verb(
        "agent", CHANGE, Kind.LOCAL, "Let this machine dial in to a server as one of its hosts; TERM: drain, leave.",
        "shell.commands.agent:agent",
        (
            option("join_at", "the server's HOST:PORT", "--join"),
            flag("stdio", "instead: the server has called, and this is the forced command of its ssh key"),
            option("name", "which host this is: the name in its certificate; with --stdio: no other may be called"),
            option("slots", "jobs at once, if the server has no host of this name", form=Form.INTEGER, default=1,
                   at_least=1),
            RESOURCE,
            LABEL,
            option("cert", "its certificate (default NAME.pem)", form=Form.PATH),
            option("key", "its key (default NAME.key)", form=Form.PATH),
            option("ca", "the authority's certificate", form=Form.PATH, default="ca.pem"),
            option("spool", "the agent's folder, best on its own disk (default ~/.local/state/laulima/joined/...)",
                   form=Form.PATH),
            option("retry_max", "longest pause between two calls", form=Form.DURATION, default="30s"),
            flag("keep_jobs", "on TERM leave at once: what runs goes on under the lease"),
        ),
        example="laulima agent --join server:7433 --name gpu07 --slots 8",
    ),
    Verb(
        "submit", CHANGE, Kind.CHANGE, "Run a command as a job of its own.", "shell.commands.submit:submit",
        (
            COMMAND,
            option("like", "with this task's handlers and limits on time"),
            option("host", "run it there if possible", "--host"),
            flag("required", "nowhere but on --host"),
            option("slots", "how many slots it takes (default 1, or as --like)", form=Form.INTEGER, at_least=1),
            option("timeout_ns", "end it after so long", "--timeout", form=Form.DURATION),
            option("pending_ns", "give up if it does not start within so long", "--pending", form=Form.DURATION),
            option("environment", "NAME=VALUE for its environment", "-e", "--env", many=True),
            option("directory", "its working directory", "-C", "--directory"),
            flag("wait", "print its output and end with its exit code"),
            option("wait_at_most", "with --wait: give up waiting after so long", form=Form.DURATION),
        ),
        "submit", "laulima submit --host node3 --wait -- uname -a",
    ),
    Verb(
        "diff", LOOK, Kind.READ, "What another pipeline file would change, and what is set over it.",
        "shell.commands.reload:diff", (ANOTHER,), "reload", "laulima diff pipeline.yaml",
    ),
    Verb(
        "reload", CHANGE, Kind.CHANGE, "Take another pipeline file, or the same one anew: all of it, or nothing.",
        "shell.commands.reload:reload", (ANOTHER, WAIT), "reload",
    ),
    Verb(
        "set", CHANGE, Kind.CHANGE, "Lay a value over the pipeline file, until it is unset or a file is loaded again.",
        "shell.commands.reload:set_values",
        (
            Parameter("settings", "KEY=VALUE, as the file has it; none: what is set", many=True),
            option("unset", "let the file's value of this key count again", many=True),
            REASON,
            WAIT,
        ),
        "set", "laulima set tasks.warp.limits.in_flight=4",
    ),
    Verb("stop", CHANGE, Kind.CHANGE, "No new jobs; what runs goes on and is harvested.",
         "shell.commands.changes:intake", (REASON, WAIT), "stop"),
    Verb("resume", CHANGE, Kind.CHANGE, "Start new jobs again.", "shell.commands.changes:intake",
         (REASON, WAIT), "resume"),
    Verb("halt", CHANGE, Kind.CHANGE, "No new jobs, and no reaction to ends either.", "shell.commands.changes:intake",
         (REASON, WAIT), "halt"),
    Verb(
        "shutdown", CHANGE, Kind.CHANGE, "End the server; jobs go on, unless --kill.",
        "shell.commands.changes:shutdown",
        (flag("kill", "end all jobs, too"), WAIT), "shutdown",
    ),
    Verb("docs", LEARN, Kind.LOCAL, "Short texts on what there is to know.", "shell.commands.learn:docs",
         (Parameter("topic", "which text; none lists them"),
          flag("man", "instead: the manual page, for man -l"))),
    Verb("completion", LEARN, Kind.LOCAL, "A script that makes the shell complete commands.",
         "shell.commands.learn:completion",
         (Parameter("shell", form=Form.CHOICE, choices=("bash", "zsh", "fish"), required=True),)),
)  # fmt: skip

BY_NAME: Mapping[str, Verb] = {verb.name: verb for verb in VERBS}

NEEDS_STATE = ("run", "controller", "shell", "fit", "whatif", "serve")
"""Verbs without a server that know `--state` all the same."""


def parameters(verb: Verb) -> tuple[Parameter, ...]:
    """The verb's own parameters, and those that its kind brings."""
    own = verb.parameters
    if verb.kind is Kind.READ:
        own = (*own, JSON)
    if verb.kind is not Kind.LOCAL or verb.name in NEEDS_STATE:
        own = (*own, STATE)
    return own
