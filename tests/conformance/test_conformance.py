"""Every scenario, for every language of this checkout that is built."""

from __future__ import annotations

import pytest

from tests.conformance.choosing import chosen_programs
from tests.conformance.programs import Programs
from tests.conformance.running import FAILED, OK, run
from tests.conformance.scenarios import Scenario, all_scenarios

READY = [programs for programs in chosen_programs() if not programs.missing]


@pytest.mark.e2e
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", all_scenarios().values(), ids=lambda one: one.name)
@pytest.mark.parametrize("programs", READY, ids=lambda one: one.language)
def test_scenario(programs: Programs, scenario: Scenario) -> None:
    result = run(programs, scenario)
    if result.state == FAILED:
        pytest.fail(f"{result.reason}\n{result.evidence}", pytrace=False)
    if result.state != OK:
        pytest.skip(f"{result.state}: {result.reason}")
