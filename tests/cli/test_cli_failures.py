"""What is said of failed tasks after a wait: the error, and the end of what they wrote."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildrunner_parallel.errors import UnreachableError
from buildrunner_parallel.records import (
    OutputChunk,
    Session,
    SessionStatus,
    Task,
    TaskCounts,
    TaskOutput,
    TaskSpec,
    TaskStatus,
    TaskSummary,
)


@pytest.fixture
def failed(fake, monkeypatch):
    """A session of five failed tasks, and what each of them wrote: by task and channel."""
    fake.sessions = [Session("a3f2e1d9", "Build", status=SessionStatus.FAILED, counts=TaskCounts(failed=5))]
    fake.tasks = [
        TaskSummary("a3f2e1d9", f"t{number}", TaskStatus.FAILED, attempt=1, error="exit code 1")
        for number in range(5)
    ]
    written: dict[tuple[str, str | None], bytes | Exception] = {}

    def read_output(self, session_id, task_id="", *, channel=None, tail_lines=0, **_):
        self.calls.append(("read_output", task_id, channel, tail_lines))
        found = written.get((task_id, channel), b"")
        if isinstance(found, Exception):
            raise found
        pieces = [TaskOutput(task_id, 1, OutputChunk(data=found))] if found else []
        return iter(pieces)

    monkeypatch.setattr(type(fake), "read_output", read_output)
    fake.written = written
    return fake


def test_standard_error_is_preferred_and_its_last_lines_are_told(failed, br):
    failed.written["t0", "stderr"] = b"".join(b"line %d\n" % number for number in range(9)) + b"\n"
    failed.written["t0", "stdout"] = b"all is well\n"
    failed.written["t1", "stdout"] = b"FAILED tests/x.py\n1 failed\n"
    lines = br("wait", "a3f2").stderr.splitlines()
    assert lines[:9] == [
        "t0: exit code 1", "  line 4", "  line 5", "  line 6", "  line 7", "  line 8",
        "t1: exit code 1", "  FAILED tests/x.py", "  1 failed",
    ]  # fmt: skip


def test_only_the_first_three_tell_their_output_and_all_their_error(failed, br):
    for number in range(5):
        failed.written[f"t{number}", "stderr"] = b"oops\nagain\n"
    lines = br("wait", "a3f2").stderr.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [f"t{n}: exit code 1" for n in range(5)]
    assert lines.count("  oops") == 3


def test_a_single_line_that_the_error_has_already_is_not_repeated(failed, br):
    failed.tasks = [replace(failed.tasks[0], error="exit code 1: no such file")]
    failed.written["t0", "stderr"] = b"no such file\n"
    assert br("wait", "a3f2").stderr.splitlines()[0] == "t0: exit code 1: no such file"
    assert "\n  no such file" not in br("wait", "a3f2").stderr


def test_output_is_made_harmless(failed, br):
    failed.written["t0", "stderr"] = b"\x1b[31mred\x1b[0m\n\x1b]0;title\x07\xff\n"
    text = br("wait", "a3f2").stderr
    assert "  red\n" in text
    assert "\x1b" not in text and "\x07" not in text


def test_output_that_cannot_be_read_does_not_hide_the_rest(failed, br):
    failed.written["t0", "stderr"] = UnreachableError("the coordinator is gone")
    result = br("wait", "a3f2")
    assert result.exit_code == 6
    assert "  (its output cannot be read: the coordinator is gone)" in result.stderr
    assert "t4: exit code 1" in result.stderr


def test_a_task_that_never_ran_has_no_output_to_ask_for(failed, br):
    failed.tasks = [replace(failed.tasks[0], attempt=0, error="no such directory")]
    assert br("wait", "a3f2").stderr.splitlines()[0] == "t0: no such directory"
    assert not [call for call in failed.calls if call[0] == "read_output"]


def test_an_awaited_task_tells_its_output_too(failed, br):
    failed.full_tasks["t0"] = Task(failed.tasks[0], TaskSpec(task_id="t0"))
    failed.written["t0", "stderr"] = b"one\ntwo\n"
    result = br("wait", "a3f2", "t0")
    assert (result.exit_code, result.stderr) == (6, "t0: exit code 1\n  one\n  two\n")


def test_with_json_nothing_but_the_session_is_said(failed, br):
    failed.written["t0", "stderr"] = b"one\ntwo\n"
    result = br("wait", "a3f2", "--json")
    assert (result.exit_code, result.stderr) == (6, "")


def test_in_a_pipe_there_is_no_bar(failed, br):
    failed.sessions = [replace(failed.sessions[0], status=SessionStatus.RUNNING)]
    result = br("wait", "a3f2")
    assert result.exit_code == 124
    assert result.stdout == ""


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_on_a_terminal_the_bar_fits_and_goes_away(build, terminal, columns):
    result = terminal("wait", "a3f2", columns=columns)
    assert result.exit_code == 124
    drawn = [line for line in result.stdout.replace("\r", "\n").split("\n") if "7/12" in line]
    assert drawn
