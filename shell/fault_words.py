"""What may be written after `--fail`, in `faults:` and in `plans:`, as texts for `--help`, errors and `docs faults`.

Texts only, so that the command line starts quickly; `shell/config/scenario_faults.py` reads what is written.
"""

from __future__ import annotations

GRAMMAR = (
    "WHERE WHAT [WHEN] [KEY=VALUE], as in 'node3 down 02:00-04:00', 'rack2 down from 02:00 for 2h', "
    "'20% of hosts slow 10m+1h factor=3' or 'controller silent 03:00-03:10'"
)
PREFABS = "lanl-cluster, lanl-bigsmp, grid5000, 'exponential(MTBF, MTTR)' or none"

FAULTS = (
    """\
A fault is one line, after --fail or in a scenario's `faults:`
    WHERE WHAT [WHEN] [KEY=VALUE ...]

WHERE   node3, node[01-16], a,b     hosts, each of them
        hosts, rack2                all hosts; the hosts of a group (`groups:`)
        20% of hosts                a share of hosts (or of a group), drawn with the seed
        controller, scheduler       a server; of several schedulers scheduler/north, or schedulers: all of them
        local                       the scheduler's own computer; of several local/north
        controller node3            the link between two; one host: its link to the controller
WHAT    down        without power; known by its silence, boots when the fault ends; spool=lost: with an empty disk
        reboot, agent_restart       gone for WHEN's length (1s)
        flapping    down and up in turn                         every=10s
        silent      its agent is stuck; its jobs go on          (at a server: it stands still)
        suspended   the whole machine stands still
        slow        what starts takes longer                    factor=10
        hung        its jobs hang and end no more by themselves limit=N: at most so many
        failing     what starts ends at once with exit 1
        full        its disk is full
        overloaded  it can start no more than so many processes limit=N (none)
        keeper_crashed              the process that watches its jobs is gone
    at a server
        silent, frozen              it stands still
        restarted, crashed          gone for WHEN's length (1s), and reads its journal
        overloaded  each batch of messages takes so long        delay=100ms
        disk_full, disk_hangs, disk_broken      the disk of its journal: no room, syncs that do not end, errors
    at a link, or at a host (its link to the controller) or the controller (its link to the scheduler, or to all of
    them); at scheduler/north: its link to the controller
        split, lost nothing passes, and nobody is told
        lossy       messages are lost                           chance=0.5
        doubled, reordered          chance=0.5, delay=2s
        slow        of two ends: messages take longer           delay=2s
        broken      the connection breaks once
        one_way     nothing passes from the first of two ends to the second
    wall_step       every wall clock jumps                      delay=-1h
WHEN    02:00-04:00, 10m-20m        from and until: times of day, or since the start
        02:00+2h                    from, and for how long
        from 02:00 for 2h, from 02:00 until 04:00, at 10m; without: from the start, to the end
        A time of day that a change to summer time skips is when the clock jumps; of two it is the first.

Faults that come again and again stand in a scenario's `plans:`
    groups: {rack1: "node[01-16]", rack2: "node[17-32]"}
    plans:
      - lanl-cluster                                  a prefab, at each host by itself
      - {fault: slow factor=3, at: rack1, every: 1d, for: {uniform: [10m, 2h]}}
      - {fault: down, scope: group, gap: {weibull: {shape: 0.7, scale: 30d}}, for: {exponential: 4h}}
      - {fault: hung limit=1, scope: 20%, gap: {exponential: 6h}, for: 1m}
      - {trace: failures.csv.gz, system: 18, at: rack1, begin: 2003-06-01}
every: from the beginning of one to that of the next; gap: from its end. scope: host (each by itself), group (all
hosts of a group at once), N% (so many of them, drawn each time). Also first, from, until; for a trace system, begin,
repeat. Prefabs, also by --faults instead of what the scenario says:
"""
    + PREFABS
    + "."
)
