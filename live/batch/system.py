"""What one file must say of one batch system, so that the driver can use it: commands, and how to read their answers.

`slurm.py` is one; a second system is one more file beside it, and one line in SYSTEMS of `driver.py`. Nothing here or
there runs a command, keeps a state or decides anything: text in, text out. Each `read_` raises ValueError for text that
it does not understand; then nothing is concluded from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from model.batch_attempt import Wishes
from model.batch_words import Refusal, Row


@dataclass(frozen=True, slots=True)
class Order:
    """One submission, for the command that makes it."""

    name: str
    """of the host's jobs, so that a list of them can leave out all others"""
    mark: str
    """what is found again in the list: the name, and the number of the submission"""
    count: int
    """elements; their indices are 0 .. count - 1"""
    wishes: Wishes
    options: tuple[str, ...]
    """words of the user"""
    script: Path
    log: Path
    """where what the script prints is appended"""


class BatchSystem(Protocol):
    """One batch system."""

    @property
    def title(self) -> str:
        """Its name, for people."""

    @property
    def variables(self) -> tuple[str, ...]:
        """Variables of our environment that its commands need."""

    @property
    def index_variable(self) -> str:
        """In which variable the script finds its index."""

    @property
    def passed_on(self) -> tuple[str, ...]:
        """Beginnings of the names of variables that a job keeps of those that the batch system sets."""

    def submit_command(self, order: Order) -> list[str]: ...

    def read_submitted(self, output: str) -> str:
        """The batch system's name for what was submitted."""

    def judge(self, complaint: str) -> Refusal:
        """What a submission that failed with this complaint has come to."""

    def poll_command(self, name: str) -> list[str]: ...

    def read_poll(self, output: str, mark_of: str) -> list[Row]:
        """The elements whose mark begins with `mark_of`; others are left out."""

    def cancel_command(self, identities: tuple[str, ...]) -> list[str]: ...
