"""Names, errors and output that try to take the terminal over."""

from __future__ import annotations

import json

import pytest

from buildrunner_parallel.errors import NotFoundError
from buildrunner_parallel.records import (
    OutputChunk,
    Session,
    SessionStatus,
    Task,
    TaskOutput,
    TaskSpec,
    TaskStatus,
    TaskSummary,
    Worker,
)

EVIL = "\x1b]0;owned\x07 [red]x[/red] \u202etxt.exe\nsecond\tline \x9b2J"


@pytest.fixture
def evil(build):
    build.sessions = [Session("a3f2e1d9", EVIL, status=SessionStatus.FAILED, reason=EVIL)]
    summary = TaskSummary("a3f2e1d9", EVIL, TaskStatus.FAILED, EVIL, 1, EVIL, error=EVIL, reason=EVIL)
    build.tasks = [summary]
    build.full_tasks["t"] = Task(
        summary, TaskSpec(task_id=EVIL, argv=(EVIL,), labels=(EVIL,), env={EVIL: EVIL})
    )
    build.workers = [Worker(EVIL, host=EVIL)]
    build.outputs = [TaskOutput(EVIL, 1, OutputChunk(0, data=EVIL.encode()))]
    return build


def is_harmless(text: str) -> bool:
    bad = {chr(code) for code in (*range(32), *range(0x7F, 0xA0), *range(0x202A, 0x202F))} - {"\n", "\t"}
    return not bad & set(text)


COMMANDS = [
    ["list"],
    ["status"],
    ["status", "-v"],
    ["tasks"],
    ["show", "last", "t"],
    ["workers"],
    ["wait", "last"],
    ["close", "last"],
    ["logs", "last", "--tag"],
]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_nothing_hostile_reaches_a_pipe_and_a_record_stays_one_line(evil, br, arguments):
    result = br(*arguments)
    assert is_harmless(result.output), result.output
    assert "Traceback" not in result.output
    assert (
        not [line for line in result.stdout.splitlines() if line.startswith("second")]
        or arguments[0] == "logs"
    )


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("arguments", [*COMMANDS, ["logs", "last"]])
def test_nothing_hostile_reaches_a_terminal_and_markup_is_text(evil, terminal, arguments, columns):
    result = terminal(*arguments, columns=columns)
    assert is_harmless(result.output), result.output
    if columns == 200 and arguments[0] in ("list", "status", "logs"):
        assert "[red]x[/red]" in result.output


def test_errors_of_the_coordinator_are_made_harmless(build, br):
    build.failing["list_sessions"] = NotFoundError(EVIL)
    result = br("list")
    assert is_harmless(result.stderr)
    assert len(result.stderr.splitlines()) == 1


def test_json_keeps_the_text_and_escapes_it(evil, br):
    text = br("list", "--json").stdout
    assert text.isascii() and "\x1b" not in text
    assert json.loads(text)["sessions"][0]["name"] == EVIL


def test_raw_output_in_a_pipe_is_as_it_was_written(evil, br):
    assert br("logs", "last").stdout_bytes == EVIL.encode()
