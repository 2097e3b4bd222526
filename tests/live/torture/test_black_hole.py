"""Goal: a host that swallows everything in the middle of a frame delays no other host's dispatch (P8).

Method: twenty real agents, one behind a proxy. Times from submission to end are taken on the other nineteen in pairs of
runs, with and without the black hole, one after the other so that the machine's own moods meet both; judged is the
median of the pairs' ratios of p99. By `make torture-live` only: a ratio of times needs a machine that is not busy.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest

from model.channel import ChannelTimes
from model.configuration import ClusterDefinition, HostDefinition
from model.job import SECOND
from tests.live.running_server import Client, RunningServer, until
from tests.live.torture import extent
from tests.live.torture.proxy import proxied

HOSTS = tuple(f"node{number:02d}" for number in range(1, 21))
HOLE, OTHERS = HOSTS[0], HOSTS[1:]
PAIRS = 5
JOBS = 300
"""Jobs of one run: its p99 is its third longest time."""
RATIO_MAX = 1.5


def times_of(client: Client) -> list[float]:
    """Seconds that each of `JOBS` jobs takes, one after the other, around the nineteen hosts."""
    found = []
    for number in range(JOBS):
        begin = time.monotonic()
        host = OTHERS[number % len(OTHERS)]
        done = client.ask("submit", command=["true"], host=host, required=True, wait=True)
        found.append(time.monotonic() - begin)
        assert (done["report"]["outcome"], done["report"]["host"]) == ("EXITED", host)
    return sorted(found)


def p99(times: list[float]) -> float:
    return times[len(times) * 99 // 100]


@pytest.mark.skipif(not extent.LONG, reason="compares times; by `make torture-live`")
@pytest.mark.timeout(900)
def test_a_black_hole_does_not_delay_the_dispatch_of_the_others(tmp_path: Path) -> None:
    server = RunningServer(tmp_path)
    times = ChannelTimes(ping_ns=SECOND // 2, silent_ns=3 * SECOND // 2)
    hosts = tuple(HostDefinition(name, 2) for name in HOSTS)
    cluster = ClusterDefinition(hosts=hosts, times=times, backoff_ns=SECOND // 10, backoff_cap_ns=SECOND)
    configuration = server.configuration(cluster=cluster)
    ratios = []
    try:
        are_up(server.start(configuration))
        server.crash()  # so that the next server calls the proxy
        with proxied(server.state / "hosts" / HOLE) as proxy:
            client = server.start(configuration)
            are_up(client)
            times_of(client)
            for _ in range(PAIRS):
                proxy.order("hold down after 7")
                proxy.order("hold up")
                for _ in range(10):
                    client.ask("submit", command=["true"], host=HOLE, required=True)
                with_hole = times_of(client)
                proxy.order("pass down")
                proxy.order("pass up")
                are_up(client)
                without = times_of(client)
                ratios.append(p99(with_hole) / p99(without))
                print(f"p99 with a black hole {p99(with_hole) * 1e3:.1f} ms, without {p99(without) * 1e3:.1f} ms")
        client.ask("shutdown", kill=True)
        assert server.ended(60) == 0
        assert server.nothing_left()
    finally:
        server.clean()
    print(f"median ratio {statistics.median(ratios):.2f}")
    assert statistics.median(ratios) <= RATIO_MAX, ratios


def are_up(client: Client) -> None:
    until(lambda: {row["state"] for row in client.ask("hosts")} <= {"up"}, "all hosts are up", 120.0)
