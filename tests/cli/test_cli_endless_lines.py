"""logs --tag of a task that draws on one line for ever, such as a progress bar."""

from __future__ import annotations

from buildrunner_parallel.cli.logs import LineWriter
from buildrunner_parallel.records import OutputChannel, OutputChunk, TaskOutput

PIECES = 100_000
DATA = b"step 12345 of 99999, and some words on what it is about "


def test_a_line_in_a_hundred_thousand_pieces_is_one_line_and_grows_in_place(build, br, monkeypatch):
    chunk = OutputChunk(0, OutputChannel.STDOUT, DATA, 0)
    build.outputs = [TaskOutput("unit", 1, chunk)] * PIECES
    begun: list[bytearray] = []

    def write(writer, piece, _original=LineWriter._write):
        _original(writer, piece)
        begun.append(writer._begun[OutputChannel.STDOUT])

    monkeypatch.setattr(LineWriter, "_write", write)
    (line,) = br("logs", "last", "unit", "--tag").stdout.splitlines()
    assert line.startswith("unit\tstep 12345 of 99999")
    assert line.count("step") == PIECES
    # Copied for each piece it would take many minutes.
    assert len(begun) == PIECES
    assert all(one is begun[0] for one in begun)
