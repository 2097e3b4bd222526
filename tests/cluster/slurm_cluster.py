"""A real Slurm on this machine for tests and benchmarks: munged, slurmctld and three slurmds of pretend nodes.

Everything is in one folder of its own, on free ports, and runs as the user of the test; every daemon is a child of the
test and is ended with it. Needs the Debian packages slurm-wlm and munge.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from tests.cluster.ports import free_ports
from tests.live.running_server import until

NODES = ("n1", "n2", "n3")
CPUS = 4
"""Of each node, whatever this machine has."""
START_SECONDS = 120.0
PARTING_SECONDS = 60.0

_CONFIGURATION = """
ClusterName=laulima
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,defer_batch,default_queue_depth=1000
MaxArraySize=20001
KillWait=2
ReturnToService=2
SlurmdTimeout=10
MailProg=/bin/true
SwitchType=switch/none
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class SlurmCluster:
    """Use as a context manager; `environment` has what Slurm's commands need."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="laulima-slurm-", dir="/tmp"))  # a socket's path must be short
        self.folder.chmod(0o755)
        self.configuration = self.folder / "slurm.conf"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.configuration)}

    def __enter__(self) -> Self:
        try:
            self._configure()
            self._begin_munge()
            self.begin_controller("-i", "-c")
            for node in NODES:
                self._begin(node, ["slurmd", "-D", "-N", node])
            until(self._all_idle, f"the nodes are up: {self.said()}", START_SECONDS)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _configure(self) -> None:
        host = socket.gethostname().partition(".")[0]
        ctld_port, *ports = free_ports(1 + len(NODES))
        nodes = "\n".join(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS}"
            for node, port in zip(NODES, ports, strict=True)
        )
        for name in ("state", *NODES):
            (self.folder / name).mkdir()
        values = {"host": host, "user": getpass.getuser(), "folder": self.folder, "ctld_port": ctld_port}
        self.configuration.write_text(_CONFIGURATION.format(nodes=nodes, **values))

    def _begin_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        words = [
            f"--{name}={self.folder}/munge.{name.partition('-')[0]}" for name in ("log-file", "seed-file", "pid-file")
        ]
        self._begin(
            "munged", ["munged", "--foreground", f"--key-file={key}", f"--socket={self.folder}/munge.socket", *words]
        )
        until((self.folder / "munge.socket").exists, f"munged listens: {self.said()}", START_SECONDS)

    def begin_controller(self, *options: str) -> None:
        self._begin("slurmctld", ["slurmctld", "-D", *options])

    def _begin(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.output").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self.environment
            )

    def end(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End one daemon."""
        daemon = self._daemons.pop(name)
        daemon.send_signal(number)
        try:
            daemon.wait(PARTING_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def restart_controller(self) -> None:
        """As an administrator does; the jobs are in its saved state."""
        self.end("slurmctld")
        self.begin_controller()

    def lose(self, node: str) -> None:
        """The machine of this node is gone, with its slurmd, its slurmstepds and its jobs."""
        self.end(node, signal.SIGKILL)
        for process in self._processes(f"SLURMD_NODENAME={node}\0"):
            with contextlib.suppress(OSError):
                parent = int((Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[1])
                if (Path("/proc") / str(parent) / "comm").read_text().strip() == "slurmstepd":
                    os.kill(parent, signal.SIGKILL)
                os.kill(process, signal.SIGKILL)

    def _processes(self, word: str) -> list[int]:
        """Processes of this cluster that have this in their environment."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    text = (entry / "environ").read_bytes().decode(errors="replace") + "\0"
                    if str(self.configuration) in text and word in text:
                        found.append(int(entry.name))
        return found

    def ask(self, *command: str) -> str:
        """What a command of Slurm says."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=START_SECONDS, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def _all_idle(self) -> bool:
        done = subprocess.run(
            ["sinfo", "--noheader", "--format=%T %D"], env=self.environment, capture_output=True, text=True, check=False
        )
        return done.stdout.split() == ["idle", str(len(NODES))]

    def said(self) -> str:
        """The last lines of each daemon."""
        return "\n".join(
            f"{path.name}: {path.read_text(errors='replace')[-300:]}" for path in sorted(self.folder.glob("*.output"))
        )

    def close(self) -> None:
        """End everything."""
        for name in [*NODES, "slurmctld", "munged"]:
            if name in self._daemons:
                self.end(name)
        for process in self._processes(""):  # jobs, and the slurmstepds that outlive their slurmd
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
