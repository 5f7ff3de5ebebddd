"""logs --tag of a task that draws on one line for ever, such as a progress bar."""

from __future__ import annotations

import time

from buildrunner_parallel.records import OutputChannel, OutputChunk, TaskOutput

PIECES = 100_000
DATA = b"step 12345 of 99999, and some words on what it is about "


def test_a_line_in_a_hundred_thousand_pieces_is_one_line(build, br):
    chunk = OutputChunk(0, OutputChannel.STDOUT, DATA, 0)
    build.outputs = [TaskOutput("unit", 1, chunk)] * PIECES
    began_s = time.process_time()
    (line,) = br("logs", "last", "unit", "--tag").stdout.splitlines()
    # Copied for each piece it would be many minutes.
    assert time.process_time() - began_s < 20
    assert line.startswith("unit\tstep 12345 of 99999")
    assert line.count("step") == PIECES
