"""What all tests share, whatever they are about: how Hypothesis runs, and programs that a machine may not have.

Does not belong here: builders and fakes of one package; they live beside the tests that use them.
"""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import HealthCheck, settings

TOLD = "told"
"""The property of a test (`record_property`) that is shown at the end of the run, whatever came of it."""

# No example is judged by the speed of the machine. A test run tries the same examples each time, so that it judges the
# change; new ones are looked for by `make fuzz` and, on a quiet evening, with `--hypothesis-profile=thorough`.
settings.register_profile(
    "laulima", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True, derandomize=True
)
settings.register_profile("thorough", settings.get_profile("laulima"), max_examples=5_000, derandomize=False)
settings.load_profile("laulima")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `needs` is skipped where its program is missing; under `make test-all` it fails instead."""
    for mark in item.iter_markers("needs"):
        program, package = mark.args
        if shutil.which(program) is not None:
            continue
        reason = f"needs the program {program}, of Debian package {package}"
        if os.environ.get("LAULIMA_TEST_ALL"):
            pytest.fail(f"{reason}; add it to DEBIAN_PACKAGES in the Makefile", pytrace=False)
        pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Sentences of tests for the person who runs them. (What a test prints is not seen when workers run it.)"""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    for report in reports:
        for name, text in report.user_properties:
            if name == TOLD:
                terminalreporter.write_line(str(text))
