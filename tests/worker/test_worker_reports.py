"""What a report says of a command that failed."""

from __future__ import annotations

import pytest

from buildrunner_parallel.v1 import worker_service_pb2
from buildrunner_parallel.worker import reports
from buildrunner_parallel.worker.attempt import Attempt
from buildrunner_parallel.worker.output_buffer import OutputBuffer
from buildrunner_parallel.worker.supervisor_messages import Ended

COMPILER = b"""src/add.c:3:12: error: 'rigth' undeclared
    3 |     return rigth;
      |            ^~~~~
"""


@pytest.mark.parametrize(
    ("written", "error"),
    [
        (b"one\nno such file\n\n", "exit code 1: no such file"),
        (COMPILER, "exit code 1: 3 | return rigth;"),
        (b"---\n", "exit code 1: ---"),
        (b"", "exit code 1"),
    ],
)
def test_the_error_is_the_last_line_that_says_something(written: bytes, error: str) -> None:
    output = OutputBuffer()
    output.append(2, written, 1.0)
    attempt = Attempt(worker_service_pb2.Assignment(), "a1", 7, 1, is_handler=False, output=output)
    report = reports.ended(attempt, Ended("ended", "a1", 1, 0, "", 5, 0, 0, 0, 0, None, ""))
    assert report.error == error
