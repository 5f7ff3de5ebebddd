"""What is left behind where nobody reads what `start` writes, and other commands that named too much."""

from __future__ import annotations

import pytest

from buildrunner_parallel.cli import command
from buildrunner_parallel.cli import start as start_module
from buildrunner_parallel.cli.lines import Lines


@pytest.fixture
def unread(monkeypatch):
    """Standard output, once the reader of the pipe has gone."""

    def broken(session, unknown=""):
        raise BrokenPipeError

    monkeypatch.setattr(start_module, "_phrase", broken)
    monkeypatch.setattr(command, "silence_stdout", lambda: None)  # Here it is no file.


def test_a_session_that_got_no_task_before_its_reader_went_is_cancelled(fake, br, unread, tmp_path):
    (tmp_path / "jobs.txt").write_text("true\n")
    result = br("start", "--commands", "jobs.txt")
    assert result.exit_code == 0
    assert result.stderr == "No task was submitted; session c0ffee01 (jobs) is cancelled.\n"
    assert "cancel_session" in [call[0] for call in fake.calls]


def test_lines_of_a_descriptor_are_a_session_by_the_name_of_commands():
    assert Lines("/dev/fd/63").name == "commands"
    assert Lines("device/fd.txt").name == "fd"


@pytest.mark.parametrize("place", [("--all",), ("last", "--all"), ()])
def test_cancelling_a_task_needs_its_session(build, br, place):
    result = br("cancel", *place, "--task", "unit", "-f")
    assert result.exit_code == 2
    assert "name the session of the task" in result.stderr
    assert "cancel_task" not in [call[0] for call in build.calls]
