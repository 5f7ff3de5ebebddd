"""What holds for all tests: hypothesis repeats its examples, a slow machine is no failure, Ctrl+C works."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

# A shell starts what it puts into the background with these ignored, and so does nohup; programs under test
# would inherit that, and could not be interrupted.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

settings.register_profile("project", deadline=None, derandomize=True, database=None)
settings.load_profile("project")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """At the end of a run of the conformance kit: which languages it left out, and why."""
    reports = [report for group in terminalreporter.stats.values() for report in group]
    if not any(
        "tests/conformance/test_conformance.py" in getattr(report, "nodeid", "") for report in reports
    ):
        return
    from tests.conformance.leftout import left_out

    lines = left_out()
    if lines:
        terminalreporter.section("conformance: left out")
        for line in lines:
            terminalreporter.line(line)
