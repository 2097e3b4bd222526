"""The lines of a simulated run, as its event log has them, for tests that read what happened."""

from __future__ import annotations

from io import BytesIO

import msgspec

from model.configuration import Configuration
from sim.log import Line
from sim.scenario import Scenario
from sim.simulation import simulate

_DECODER = msgspec.json.Decoder(Line)


def event_lines(configuration: Configuration, scenario: Scenario) -> list[Line]:
    """All lines, in order. No promise may be broken in it."""
    file = BytesIO()
    result = simulate(configuration, scenario, file=file)
    assert [str(violation) for violation in result.violations] == []
    return [_DECODER.decode(text) for text in file.getvalue().splitlines()]
