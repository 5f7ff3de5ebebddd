"""logs: bytes in a pipe, harmless lines on a terminal."""

from __future__ import annotations

import pytest

from buildrunner_parallel.records import OutputChannel, OutputChunk, TaskOutput


@pytest.fixture
def outputs(build):
    build.outputs = [
        TaskOutput("unit", 1, OutputChunk(0, data=b"\x1b[31mred\x1b[0m li")),
        TaskOutput("unit", 1, OutputChunk(10, data=b"ne\nrest")),
        TaskOutput("docs", 2, OutputChunk(0, OutputChannel.STDERR, b"\xffx\n", dropped_bytes=5)),
    ]
    return build


def test_a_pipe_gets_the_bytes(outputs, br):
    assert br("logs", "last").stdout_bytes == (
        b"\x1b[31mred\x1b[0m line\nrest\n[... 5 bytes left out here ...]\n\xffx\n"
    )


def test_a_terminal_gets_lines_under_headings(outputs, terminal):
    assert terminal("logs", "last").stdout.splitlines() == [
        "==> unit (attempt 1) <==",
        "red line",
        "rest",
        "==> docs (attempt 2) <==",
        "[... 5 bytes left out here ...]",
        "\ufffdx",
    ]


def test_tags_begin_every_line(outputs, br):
    assert br("logs", "last", "--tag").stdout.splitlines() == [
        "unit\tred line",
        "unit\trest",
        "docs\t[... 5 bytes left out here ...]",
        "docs\t\ufffdx",
    ]


def test_options_go_to_the_coordinator(outputs, br):
    br("logs", "a3f2", "unit", "-f", "--attempt", "2", "--stderr", "--tail", "7")
    assert outputs.calls[-1] == (
        "read_output",
        "a3f2",
        "unit",
        {"attempt": 2, "channel": OutputChannel.STDERR, "follow": True, "tail_lines": 7},
    )
