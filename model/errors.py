"""Errors of laulima: one base class, and one child for each party whose fault it can be.

Who catches: the command line, in one place, prints `str(error)`, the hint, and ends with `exit_code`.
"""

from __future__ import annotations


class LaulimaError(Exception):
    """Base of all errors that a person may see.

    `hint` says a way out. `exit_code` is the exit status of the command line: 1 said no, 2 usage, 3 not reachable,
    4 timed out waiting.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigurationError(LaulimaError):
    """The configuration or scenario is wrong; nothing was started."""


class OperatorError(LaulimaError):
    """A person asked for something that cannot be done."""


class NotReachableError(LaulimaError):
    """The server or host does not answer."""

    exit_code = 3


class WaitedTooLongError(LaulimaError):
    """The wait that the person asked for ended before the thing happened."""

    exit_code = 4


class ImpossibleMoveError(LaulimaError):
    """A bug of ours: a state machine was asked for a move that its table does not hold."""
