"""Builders of rows: the defaults that tests do not care about."""

from __future__ import annotations

from typing import Any

from model.views import ExecutorRow, ExplanationView, HistoryRow, HostRow, JobRow, PlanRow, Status, TaskRow

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


def task_row(name: str, **more: Any) -> TaskRow:
    fields: dict[str, Any] = {
        "state": "on", "pending": 0, "running": 0, "limit": 0, "done": 0, "failed": 0, "skipped": 0, "last_at": None,
        "next_at": None, "items": 0, "why": "", **more,
    }  # fmt: skip
    return TaskRow(name=name, **fields)


def host_row(name: str, **more: Any) -> HostRow:
    fields: dict[str, Any] = {
        "state": "up", "slots": 8, "busy": 0, "queued": 0, "done": 0, "failed": 0, "since_ns": 0, "why": "", **more,
    }  # fmt: skip
    return HostRow(name=name, **fields)


def job_row(job: int, **more: Any) -> JobRow:
    fields: dict[str, Any] = {
        "attempt": 1, "task": "warp", "item": None, "state": "pending", "host": "", "since_ns": SECOND,
        "command": "warp 1", "outcome": "", "why": "", **more,
    }  # fmt: skip
    return JobRow(job=job, **fields)


def history_row(job: int, **more: Any) -> HistoryRow:
    fields: dict[str, Any] = {
        "attempt": 1, "task": "warp", "item": None, "command": "warp 1", "host": "node1", "outcome": "EXITED",
        "exit_code": 0, "signal": None, "reason": "", "accepted_at": 0, "started_at": SECOND, "ended_at": 2 * SECOND,
        "waited_ns": SECOND, "ran_for_ns": SECOND, "final": True, "stdout_bytes": 0, "stderr_bytes": 0, **more,
    }  # fmt: skip
    return HistoryRow(job=job, **fields)


def plan_row(task: str, **more: Any) -> PlanRow:
    fields: dict[str, Any] = {
        "starts": 0, "more": False, "first_at": None, "last_at": None, "times": (), "items": 0, "why": "", **more,
    }  # fmt: skip
    return PlanRow(task=task, **fields)


def status_of(tasks: list[TaskRow], hosts: list[HostRow], **more: Any) -> Status:
    fields: dict[str, Any] = {
        "configuration": "/data/night/pipeline.yaml", "clock": "live", "intake": "running", "running_for_ns": 76 * HOUR,
        "executors": (ExecutorRow("controller", "up", 0, 0), ExecutorRow("local", "up", 0, 0)), "alarms": (),
        "pid": 4242, **more,
    }  # fmt: skip
    return Status(tasks=tuple(tasks), hosts=tuple(hosts), **fields)


def explanation(**more: Any) -> ExplanationView:
    fields: dict[str, Any] = {
        "about": "job 81231 (warp)", "state": "pending", "reasons": ("needs host node17, which is down",),
        "since_ns": 26 * MINUTE, "until_ns": 4 * MINUTE, "changes": ("node17 answers",), **more,
    }  # fmt: skip
    return ExplanationView(**fields)
