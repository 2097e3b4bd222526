"""Commands about the controller: `controller …` with all its verbs, and the historical controller's own commands
(`job`, `machines`, `parameters`, `check`, `jobstack`, `hoststack`, and outside a task `host`).

Hosts are changed by orders to the controller; the texts come from `stacks.py`. What has no meaning any more
(connection renewal, `pulse`) is accepted and says so. Not here: a task's `host` (`tasks.py`, which calls `host_order`
when no task is open), `stdout JOB` (`scheduling.py`).
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

from model.events import DefineTask, HostVerb, IntakeVerb, JobVerb, OrderHost, OrderIntake, Submit
from model.host import HostOrder
from model.job import LOCAL, SECOND, HostPolicy, HostWish, JobId, JobSpec, Wait
from model.view_rows import Machines
from shell.language.calls import Call, Command, Failure, Waiting
from shell.language.commands.scheduling import (
    choose,
    end_job,
    is_script,
    job_number,
    machines_of,
    obeyed,
    show_version,
    unwaited,
    verbose,
)
from shell.language.direct_jobs import DEFINITION, DIRECT, adopt, direct_jobs
from shell.language.stacks import (
    HOST_STACKS,
    JOB_STACKS,
    check_job,
    controller_jobs,
    host_entries,
    host_number,
    host_stack,
    host_state,
    host_word,
    job_stack,
    left_out,
    machine_lines,
    status_lines,
)
from shell.wording import nearest

THREADS_MOST = 100_000
SECONDS_MOST = 1e9
NICE_MOST = 20
_ANY = ("anyhost", "none")
_LOCAL = (LOCAL, "localhost")


def _number(word: str | None, what: str, most: float) -> float:
    """A number from 0 to `most`. Raises `Failure`."""
    try:
        value = float(word or "")
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise Failure(f"{what} {word}: not a number from 0 to {most:g}")
    return value


def _host(call: Call, machines: Machines, word: str) -> str:
    """The name of a host that is there, by name or number. Raises `Failure`."""
    hosts = list(machines.controller.hosts)
    if (known := call.language.known_host(word)) is not None:
        return known
    if word.isascii() and word.isdigit() and 1 <= int(word[:9]) <= len(hosts):
        return hosts[int(word[:9]) - 1]
    raise Failure(f"{call.words[0]}: there is no host {word}{nearest(word, hosts)}")


# hosts

_HOST_VERBS = ("add", "on", "off", "check", "retry", "delete")


def host_order(call: Call) -> Waiting:
    """`host add|on|off|check|retry|delete NAME [-threads N]`. `add` of a host that is there gives it one more slot."""
    threads = call.option("-threads")
    words = call.arguments(2, 2, HOST)
    verb, name = choose(call, words[0], _HOST_VERBS), words[1]
    machines = machines_of(call)
    if verb == "add":
        count = 0 if threads is None else int(_number(threads, "host add -threads", THREADS_MOST))
        answer = yield from call.order(
            "controller", lambda request: OrderHost(request, HostVerb.ADD, name, 1, "", more=True, threads=count)
        )
        obeyed(answer)
        if name in machines.controller.hosts:
            call.say(f"HostID: {host_number(machines, name)}")
        return True
    name = _host(call, machines, name)
    if verb != "check":
        yield from _change_host(call, HostVerb(verb), name)
    text = host_word(machines, name) if name in machines.controller.hosts else "deleted"
    call.say(f"host {name} is {text}")
    return True


def _change_host(call: Call, verb: HostVerb, name: str) -> Generator[Any, Any, None]:
    if verb is HostVerb.RETRY and machines_of(call).controller.hosts[name].order is HostOrder.OFF:
        raise Failure(f"host {name} is OFF: `host on {name}` connects it")
    obeyed((yield from call.order("controller", _host_event(call, verb, name, f"host {verb.value} at {call.at}"))))


def _host_event(call: Call, verb: HostVerb, name: str, reason: str) -> Any:
    """What a script orders is not kept for later lives: it says it again."""
    return lambda request: OrderHost(request, verb, name, 1, reason, more=is_script(call))


def machines(call: Call) -> bool:
    """`machines`: `name : slots : jobs there : jobs elsewhere that want it`."""
    call.arguments(0, 0, "machines")
    call.say("\n".join(machine_lines(machines_of(call))))
    return True


def hoststack(call: Call) -> bool:
    """`hoststack STACK`: the hosts' slots that are idle, busy, down, off; or all."""
    words = call.arguments(0, 1, HOST_STACK)
    stack = choose(call, words[0].lower() if words else "all", HOST_STACKS)
    call.say("\n".join(host_stack(machines_of(call), stack)))
    return True


def leave_hosts(call: Call) -> Waiting:
    """`exit TRUE`: all hosts are taken off and deleted; one with jobs takes nothing new, and goes off when they have
    ended."""
    words = call.arguments(1, 1, "controller exit TRUE")
    if words[0].lower() != "true":
        raise Failure("USAGE: controller exit TRUE (it takes all hosts off)")
    for name in list(machines_of(call).controller.hosts):
        obeyed((yield from call.order("controller", _host_event(call, HostVerb.OFF, name, "controller exit"))))
        answer = yield from call.order("controller", _host_event(call, HostVerb.DELETE, name, "controller exit"))
        if not answer.ok:
            call.say(f"host {name} stays until its jobs have ended: it takes nothing new")
    return True


# the run level: hosts that take nothing, with a reason that says by whom

_LEVELS = ("all", "reap", "hosts", "none")
_BY_LEVEL = "controller run level "


def run_level(machines: Machines) -> str:
    """`all`, or the level at which `controller run` and `controller stop` left the hosts."""
    reasons = [host.order_reason for host in machines.controller.hosts.values() if host.order is HostOrder.DRAIN]
    return next((reason.removeprefix(_BY_LEVEL) for reason in reasons if reason.startswith(_BY_LEVEL)), "all")


def _set_level(call: Call, level: str) -> Waiting:
    """Below `all` no job is started: what runs is watched and harvested at every level."""
    makes = []
    for name, host in machines_of(call).controller.hosts.items():
        ours = host.order is HostOrder.DRAIN and host.order_reason.startswith(_BY_LEVEL)
        if level == "all" and ours:
            makes.append(_host_event(call, HostVerb.ON, name, ""))
        elif level != "all" and (ours or host.order is HostOrder.ON):
            makes.append(_host_event(call, HostVerb.DRAIN, name, _BY_LEVEL + level))
    for make in makes[:-1]:
        unwaited(call, "controller", make)
    for make in makes[-1:]:  # orders are obeyed in turn: the last answer is that of all
        obeyed((yield from call.order("controller", make)))
    return True


def run_hosts(call: Call) -> Waiting:
    """`run [all|reap|hosts|none]`: whether jobs are started on hosts. Hosts that are added later are not asked."""
    words = call.arguments(0, 1, "controller run [all|reap|hosts|none]")
    return (yield from _set_level(call, choose(call, words[0].lower() if words else "all", _LEVELS)))


def stop_hosts(call: Call) -> Waiting:
    """`stop`: the same as `run none`."""
    call.arguments(0, 0, "controller stop")
    return (yield from _set_level(call, "none"))


# jobs


def job(call: Call) -> Waiting:
    """`job [-host H|+host H] [-timeout S] [-nice N] [-xhost H]… WORD…`: a job without a task; options count in front
    of the first word only. `-host`: wanted, `+host`: needed. No `-timeout`: no limit. `-xhost` (an input/output guard)
    is accepted, without effect."""
    spec = _specification(call)
    scheduler = machines_of(call).scheduler
    direct = direct_jobs(call.language)
    if DIRECT not in scheduler.spawning.tasks:
        yield from _begin_direct(call)
    answer = yield from call.order("scheduler", lambda request: Submit(request, spec))
    obeyed(answer)
    direct.made(answer.job, spec.options[0])
    call.say(f"JobID: {answer.job}")
    return True


def _begin_direct(call: Call) -> Generator[Any, Any, None]:
    """Define the task of these jobs. A script that has defined no other task needs no `run`: there is nothing else to
    start."""
    scheduler = machines_of(call).scheduler
    none_defined = not scheduler.spawning.tasks and not len(call.language.tasks)
    alone = is_script(call) and none_defined and scheduler.orders.verb is IntakeVerb.HALT
    adopt(call.language)
    obeyed((yield from call.order("scheduler", lambda request: DefineTask(request, DEFINITION))))
    if alone:
        obeyed((yield from call.order("scheduler", lambda request: OrderIntake(request, IntakeVerb.RESUME))))


def _specification(call: Call) -> JobSpec:
    words = [str(word) for word in call.words[1:]]
    tasks = call.language.tasks
    wish, timeout_ns, nice = HostWish(), 0, 0
    while words and words[0] in ("-host", "+host", "-timeout", "-nice", "-xhost"):
        if len(words) < 2:
            raise Failure(f"job: {words[0]} needs a value")
        option, value = words[:2]
        del words[:2]
        if option == "-timeout":
            timeout_ns = round(_number(value, "job -timeout", SECONDS_MOST) * SECOND)
        elif option == "-nice":
            nice = int(_number(value, "job -nice", NICE_MOST))
        elif option != "-xhost":
            wish = host_wish(call.language.known_host(value) or value, tasks.wanted_wait_ns, required=option == "+host")
    if not words:
        raise Failure(f"USAGE: {JOB}")
    if wish.name != LOCAL and tasks.controller_timeout_ignored:
        timeout_ns = 0
    word = direct_jobs(call.language).word()
    return JobSpec(
        DIRECT, tuple(words), directory=tasks.directory, nice=nice, host=wish, timeout_ns=timeout_ns, options=(word,)
    )


def host_wish(name: str, wanted_wait_ns: int, *, required: bool) -> HostWish:
    """`local`, any host, or one host: needed, or wanted for so long."""
    if name.lower() in _ANY:
        return HostWish()
    if name.lower() in _LOCAL:
        return HostWish(LOCAL)
    if required:
        return HostWish(name, True, when_unknown=HostPolicy(Wait.WAIT))
    return HostWish(name, False, wanted_wait_ns, when_unknown=HostPolicy(Wait.ELSEWHERE))


def reset(call: Call) -> Waiting:
    """`reset`: ends and forgets all jobs of the command `job`. (The historical client had one job at a time.)"""
    call.arguments(0, 0, "reset")
    direct, machines = direct_jobs(call.language), machines_of(call)
    living = [int(number) for number, job in machines.scheduler.jobs.items() if job.common.task == DIRECT]
    known = bool(living) or bool(direct.ends())
    for number in living:
        yield from end_job(call, JobVerb.DELETE, number)
    for end in direct.ends():
        direct.drop(end.number)
    call.say(f"RESET_RESULT: {1 if known else 2}")
    return True


def jobstack(call: Call) -> bool:
    """`jobstack STACK`: the controller's jobs that are pending, busy, exit, crash; or all."""
    words = call.arguments(0, 1, JOB_STACK)
    stack = choose(call, words[0].lower() if words else "all", JOB_STACKS)
    ends = direct_jobs(call.language).ends()
    machines = machines_of(call)
    call.say("\n".join(job_stack(controller_jobs(machines, ends), stack) + left_out(machines)))
    return True


def check(call: Call) -> bool:
    """`check job ID [-save]`, `check host NAME [-save]`: the state; `-save` sets `JOB_STATUS`, `JOB_EXITST`, … or
    `HOST_STATE` too."""
    save = call.flag("-save")
    what, word = call.arguments(2, 2, CHECK)
    machines = machines_of(call)
    if choose(call, what, ("job", "host")) == "host":
        name = _host(call, machines, word)
        call.say(f"host {host_word(machines, name)}")
        if save:
            host = machines.controller.hosts[name]
            call.set("HOST_STATE", host_state(host, host.free < host.slots))
        return True
    number = job_number(word)
    living = machines.scheduler.jobs.get(JobId(number))
    end = direct_jobs(call.language).end(number)
    if living is None and end is None:
        call.say("job not found")
        raise Failure(f"check: job {number} not found (`laulima history --job {number}` knows more)")
    found = check_job(machines, living, end)
    call.say("\n".join(f"{name} {value}" for name, value in found.items()))
    if save:
        saved = {"STDOUT": "STDOUT_SIZE", "STDERR": "STDERR_SIZE"}
        for name, value in found.items():
            call.set(f"JOB_{saved.get(name, name)}", value)
        call.set("JOB_REALHOST", found["HOSTNAME"])
    return True


# parameters


PARAMETERS = {"connect_time": 36_000.0, "wanthost_wait": 10.0, "unwanted_host_jobs": 5.0}
"""Names and historical values; seconds, seconds, jobs."""
_NO_EFFECT = {
    "connect_time": "no effect: connections need no renewal here",
    "unwanted_host_jobs": "no effect: no host is kept from jobs because others want it",
}
_SET = "controller parameters"
"""The name under which those that have no effect are remembered."""


def parameters(call: Call) -> bool:
    """`parameters [NAME [= VALUE]]`. `wanthost_wait`: how long (s) jobs that are made from now on wait for the host
    that they want."""
    words = " ".join(call.words[1:]).replace("=", " = ", 1).split()
    if words and words[1:2] not in ([], ["="]):
        raise Failure(f"USAGE: {PARAMETER}")
    chosen = [choose(call, words[0].lower(), tuple(PARAMETERS))] if words else list(PARAMETERS)
    if len(words) > 1:
        if len(words) != 3:
            raise Failure(f"USAGE: {PARAMETER}")
        _set_parameter(call, chosen[0], _number(words[2], f"parameters {chosen[0]} =", SECONDS_MOST))
        if chosen[0] not in _NO_EFFECT:
            return True
    kept = (
        PARAMETERS | call.language.kept.get(_SET, {}) | {"wanthost_wait": call.language.tasks.wanted_wait_ns / SECOND}
    )
    for name in chosen:
        why = f"   ({_NO_EFFECT[name]})" if name in _NO_EFFECT else ""
        call.say(f"{name} = {kept[name]:.12g}{why}")
    return True


def _set_parameter(call: Call, name: str, value: float) -> None:
    if name == "wanthost_wait":
        call.language.tasks.wanted_wait_ns = round(value * SECOND)
    else:
        call.language.kept.setdefault(_SET, {})[name] = value


# what people look at


def status(call: Call) -> bool:
    """`status [-cmd TEXT] [-host TEXT] [-state S] [-age SECONDS] [-nohost|+jobs] [-nojobs|+host]`: the controller's
    jobs and hosts. `-age`: only jobs whose seconds are more."""
    command, name, state, age = (call.option(option) for option in ("-cmd", "-host", "-state", "-age"))
    no_hosts, no_jobs = call.flag("-nohost", "-nohosts", "+jobs"), call.flag("-nojobs", "-nojob", "+host", "+hosts")
    call.arguments(0, 0, STATUS)
    oldest = 0.0 if age is None else _number(age, "controller status -age", SECONDS_MOST)
    machines = machines_of(call)
    jobs = [
        each
        for each in controller_jobs(machines, direct_jobs(call.language).ends())
        if (command is None or command in each.command)
        and (name is None or name in (each.host or each.wanted or "anyhost"))
        and (state is None or each.state == state.upper())
        and (age is None or each.seconds > oldest)
    ]
    hosts = [
        entry
        for entry in host_entries(machines)
        if (name is None or name in entry[1].name) and (state is None or entry[2] == state.upper())
    ]
    lines = status_lines(machines, None if no_jobs else jobs, None if no_hosts else hosts)
    call.say("\n".join(lines + left_out(machines)))
    return True


def pulse(call: Call) -> bool:
    """`pulse`: the controller acts by itself."""
    call.arguments(0, 1, "controller pulse")
    call.say("the controller acts by itself, there is nothing to pulse")
    return True


def output(call: Call) -> bool:
    """`output [flush]`: the historical controller's own text. Here there is none."""
    words = call.arguments(0, 1, "controller output [flush]")
    if words:
        choose(call, words[0].lower(), ("flush",))
    else:
        call.say("the controller has no text of its own; what it has to say is in `status` and in the server's notices")
    return True


def show_help(call: Call) -> bool:
    """`help`: the verbs of `controller`."""
    for verb in VERBS.values():
        call.say(f"  {verb.usage:<64} {verb.summary}")
    return True


# controller …

_REFUSED = {
    "job": "say `job …` without `controller`",
    "kill": "say `kill JOB` without `controller`",
    "delete": "say `delete job JOB` without `controller`",
}


def controller(call: Call) -> Waiting:
    """`controller VERB …`; verbs may be abbreviated."""
    words = call.words[1:]
    if not words:
        return show_help(call)
    if words[0] in _REFUSED:
        raise Failure(f"controller {words[0]}: not offered, {_REFUSED[words[0]]}")
    verb = VERBS[choose(call, words[0], tuple(VERBS))]
    result = verb.run(Call(call.language, call.run, call.at, [f"controller {verb.name}", *words[1:]]))
    return bool((yield from result)) if verb.waits else bool(result)


HOST = "host add|on|off|check|retry|delete NAME [-threads N]"
JOB = "job [-host H|+host H] [-timeout S] [-nice N] [-xhost H]… WORD…"
CHECK = "check job ID [-save] | check host NAME [-save]"
PARAMETER = "parameters [NAME [= VALUE]]"
HOST_STACK = "hoststack all|idle|busy|down|off"
JOB_STACK = "jobstack all|pending|busy|done|kill|exit|crash"
STATUS = "status [-cmd TEXT] [-host TEXT] [-state S] [-age S] [-nohost|+jobs] [-nojobs|+host]"
_CHECK = Command("check", check, CHECK, "the state of a job or host", least=2, most=3, yields=True)
_HOST_STACK = Command("hoststack", hoststack, HOST_STACK, "the hosts' slots in one state", most=1, yields=True)
_JOB_STACK = Command("jobstack", jobstack, JOB_STACK, "the controller's jobs in one state", most=1, yields=True)
_MACHINES = Command("machines", machines, "machines", "hosts, their slots and jobs", most=0, yields=True)
_PARAMETERS = Command("parameters", parameters, PARAMETER, "show or set the historical parameters", most=3, yields=True)
VERBS: dict[str, Command] = {
    verb.name: verb
    for verb in (
        _CHECK,
        Command("exit", leave_hosts, "exit TRUE", "take all hosts off and delete them", waits=True),
        Command("help", show_help, "help", "this list"),
        Command("host", host_order, HOST, "add and switch hosts", waits=True),
        _HOST_STACK,
        _JOB_STACK,
        _MACHINES,
        Command("output", output, "output [flush]", "nothing: the controller has no text of its own"),
        _PARAMETERS,
        Command("pulse", pulse, "pulse", "nothing: the controller acts by itself"),
        Command("run", run_hosts, "run [all|reap|hosts|none]", "whether jobs are started on hosts", waits=True),
        Command("status", status, STATUS, "jobs and hosts"),
        Command("stop", stop_hosts, "stop", "start no job on any host", waits=True),
        Command("verbose", verbose, "verbose [on|off|toggle]", "say more, or less"),
        Command("version", show_version, "version", "the version of the program"),
    )
}
"""What may stand behind `controller`."""
COMMANDS: tuple[Command, ...] = (
    Command(
        "controller", controller, "controller VERB …", "about hosts; `controller help` lists the verbs", waits=True
    ),
    Command("job", job, JOB, "run a job without a task, on the controller's hosts", waits=True, least=1, yields=True),
    _CHECK,
    _HOST_STACK,
    _JOB_STACK,
    _MACHINES,
    _PARAMETERS,
    Command("reset", reset, "reset", "end and forget all jobs of the command job", waits=True, most=0, yields=True),
)
"""What `table.py` joins to the language's commands."""
