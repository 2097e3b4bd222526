"""Slurm: its commands, the format of its list, its states. Tried with 22.05; needs squeue --me (20.11).

Sources: the manual pages of sbatch, squeue ("JOB STATE CODES") and scancel, and the texts of slurm_errno.c. Everything
that is specific to Slurm is in this file, and nothing else is.
"""

from __future__ import annotations

import re
from typing import Final

from live.batch.system import Order
from model.batch_words import REST, BatchStatus, Refusal, Row
from model.resources import CPU, CPUS, GPUS, MEMORY

_FIELDS: Final = ("ArrayJobID", "ArrayTaskID", "State", "Reason", "exit_code", "NodeList", "Comment")
_FORMAT: Final = ",".join(f"{field}:|" for field in _FIELDS)

_STATES: Final[dict[str, BatchStatus]] = {
    "PENDING": BatchStatus.WAITING,
    "CONFIGURING": BatchStatus.WAITING,
    "REQUEUED": BatchStatus.WAITING,
    "REQUEUE_FED": BatchStatus.WAITING,
    "REQUEUE_HOLD": BatchStatus.WAITING,
    "RESV_DEL_HOLD": BatchStatus.WAITING,
    "SPECIAL_EXIT": BatchStatus.WAITING,
    "RUNNING": BatchStatus.RUNNING,
    "RESIZING": BatchStatus.RUNNING,
    "SIGNALING": BatchStatus.RUNNING,
    "STOPPED": BatchStatus.RUNNING,
    "SUSPENDED": BatchStatus.RUNNING,
    "COMPLETING": BatchStatus.ENDING,
    "STAGE_OUT": BatchStatus.ENDING,
    "COMPLETED": BatchStatus.EXITED,
    "FAILED": BatchStatus.EXITED,
    "TIMEOUT": BatchStatus.TIMED_OUT,
    "OUT_OF_MEMORY": BatchStatus.OUT_OF_MEMORY,
    "NODE_FAIL": BatchStatus.NODE_FAILED,
    "CANCELLED": BatchStatus.CANCELLED,
    "PREEMPTED": BatchStatus.PREEMPTED,
    "DEADLINE": BatchStatus.DEADLINE,
    "BOOT_FAIL": BatchStatus.NOT_STARTED,
    "REVOKED": BatchStatus.NOT_STARTED,
}

_UNCLEAR: Final = re.compile(
    r"timed out|unable to contact|connect failure|zero bytes|communication|unexpected message|protocol|"
    r"invalid auth|munge|backup controller",
    re.IGNORECASE,
)
"""Complaints after which the submission may have been taken, or was never heard."""
_LATER: Final = re.compile(
    r"temporarily unable|submit limit|maxsubmit|max_?jobs|try again|resource temporarily|too many", re.IGNORECASE
)


class Slurm:
    """See `BatchSystem`."""

    title = "slurm"
    variables = ("SLURM_CONF", "SLURM_CLUSTERS", "LD_LIBRARY_PATH")
    reserved = frozenset(
        {
            *("--parsable", "--array", "--job-name", "--comment", "--output", "--error", "--input", "--open-mode"),
            *("--chdir", "--ntasks", "--cpus-per-task", "--requeue", "--no-requeue", "--wrap", "--wait", "--export"),
            *("--export-file", "--test-only", "--help", "--version", "--quiet", "--time", "--time-min", "--dependency"),
            *("--kill-on-invalid-dep", "--hold", "--signal", "--get-user-env", "--uid", "--gid"),
        }
    )
    """options of sbatch that users may not give: they are ours, or would keep a job from being what we take it for"""
    index_variable = "SLURM_ARRAY_TASK_ID"
    passed_on = ("SLURM", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "TMPDIR")

    def submit_command(self, order: Order) -> list[str]:
        """`--no-requeue`: what becomes of a job whose node failed is decided by our policies."""
        wishes = order.wishes
        words = [
            "sbatch",
            "--parsable",
            "--no-requeue",
            f"--array=0-{order.count - 1}",
            f"--job-name={order.name}",
            f"--comment={order.mark}",
            f"--output={order.log}",
            "--open-mode=append",
            f"--chdir={order.script.parents[2]}",
            "--ntasks=1",
        ]
        resources = dict(wishes.resources)
        cpus = -(-resources.pop(CPUS, 0) // CPU)
        words.append(f"--cpus-per-task={max(cpus, wishes.slots)}")
        if memory := resources.pop(MEMORY, 0):
            words.append(f"--mem={-(-memory // (1 << 20))}M")
        if gpus := resources.pop(GPUS, 0):
            words.append(f"--gres=gpu:{gpus}")
        if wishes.limit_s:
            words.append(f"--time={wishes.limit_s // 60}")
        return [*words, *order.options, str(order.script)]

    def read_submitted(self, output: str) -> str:
        """`123` or `123;cluster`."""
        found = re.fullmatch(r"([0-9]{1,18})(;[\w.-]{1,64})?\s*", output)
        if found is None:
            raise ValueError(f"sbatch answered {output[:100]!r}, which is no job id")
        return found[1]

    def judge(self, complaint: str) -> Refusal:
        if _LATER.search(complaint):
            return Refusal.LATER
        return Refusal.UNCLEAR if _UNCLEAR.search(complaint) else Refusal.REFUSED

    def poll_command(self, name: str) -> list[str]:
        return ["squeue", "--me", "--noheader", "--array", "--states=all", f"--name={name}", f"--Format={_FORMAT}"]

    def read_poll(self, output: str, mark_of: str) -> list[Row]:
        return [row for line in output.splitlines() if (row := self._row(line, mark_of)) is not None]

    @staticmethod
    def _row(line: str, mark_of: str) -> Row | None:
        fields = line.split("|", len(_FIELDS) - 1)
        if len(fields) != len(_FIELDS) or not line.endswith("|"):
            raise ValueError(f"squeue wrote {line[:100]!r}, which is no line of its list")
        array, index, word, reason, status, node, mark = fields
        mark = mark[:-1]
        if not mark.startswith(mark_of):
            return None
        number = mark.removeprefix(mark_of)
        if index == "N/A":  # elements that were cancelled together before they started are one line
            index = str(REST)
        elif not index.isdecimal():
            raise ValueError(f"squeue wrote {line[:100]!r}: {index!r} is no index")
        if not (number.isdecimal() and array.isdecimal() and status.isdecimal()):
            raise ValueError(f"squeue wrote {line[:100]!r}: a number is missing")
        return Row(
            int(number),
            int(index),
            _STATES.get(word, BatchStatus.UNKNOWN),
            word,
            array if int(index) == REST else f"{array}_{index}",
            "" if reason == "None" else reason,
            node,
            int(status) >> 8 & 0xFF,
            int(status) & 0x7F or None,
        )

    def cancel_command(self, identities: tuple[str, ...]) -> list[str]:
        return ["scancel", "--quiet", *identities]
