"""dashboard: on a terminal for a while, once, in a pipe, as JSON; what it refuses."""

from __future__ import annotations

import itertools
import json

import pytest

from buildrunner_parallel.cli import dashboard
from buildrunner_parallel.records import TaskStatus, TaskSummary


@pytest.fixture
def busy(build, events):
    """The coordinator made of lists, with a feed that tells of its sessions and workers."""
    build.events = [events.snapshot(*build.sessions, *build.workers)]
    return build


def test_it_is_shown_for_as_long_as_was_asked_and_leaves_the_screen(busy, terminal, screen):
    result = terminal("dashboard", "--duration", "0.3", "--refresh", "0.1")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    drawn = screen()
    assert drawn.startswith("\x1b[?1049h") and drawn.endswith("\x1b[?25h\x1b[?1049l")
    assert "Build v3.1" in drawn and "e5f6a7b8" in drawn


def test_it_makes_one_watch_call_for_everything_while_the_feed_lasts(busy, terminal, screen):
    terminal("dashboard", "-d", "0.2s")
    assert busy.watches == 1
    (options,) = [options for name, *_, options in busy.calls if name == "watch"]
    assert "session_ids" not in options


def test_it_begins_with_the_session_that_is_named(busy, terminal, screen):
    assert terminal("dashboard", "a3f2", "-d", "0.3").exit_code == 0
    assert "Build v3.1 a3f2e1d9" in screen()


def test_once_is_one_picture_among_the_lines(busy, terminal):
    result = terminal("dashboard", "--once", columns=100)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert any(line.startswith("─ Sessions") for line in lines)
    assert "\x1b[?1049h" not in result.stdout and "q quit" not in result.stdout


def test_compact_leaves_the_workers_to_a_line(busy, terminal):
    result = terminal("dashboard", "--once", "-c")
    assert "workers 1 idle, 1 draining" in result.stdout
    assert "─ Workers" not in result.stdout


def test_in_a_pipe_it_is_tables_with_tabs(busy, br):
    busy.tasks.append(TaskSummary("a3f2e1d9", "x" * 300, TaskStatus.RUNNING, "make", 1))
    result = br("dashboard")
    assert result.exit_code == 0
    headings = [table.split("\t")[0] for table in result.stdout.split("\n\n")]
    assert headings == ["STATISTIC", "SESSION", "WORKER", "TASK", "FAILED"]
    assert "x" * 300 in result.stdout


def test_in_a_pipe_no_name_is_an_escape_or_a_line(busy, br):
    busy.tasks.append(TaskSummary("a3f2e1d9", "x\x1b[2J\n\ty", TaskStatus.RUNNING, "make", 1))
    assert "x␛[2J y\trunning" in br("dashboard").stdout


def test_in_a_pipe_a_session_that_is_named_is_shown_alone(busy, br, br_json):
    busy.tasks += [
        TaskSummary("a3f2e1d9", "mine", TaskStatus.RUNNING, "make", 1),
        TaskSummary("b7c8d9e0", "other", TaskStatus.RUNNING, "make", 1),
    ]
    lines = br("dashboard", "a3f2").stdout.splitlines()
    assert any(line.startswith("mine\t") for line in lines)
    assert not any("b7c8d9e0" in line for line in lines)
    document = br_json("dashboard", "b7c8")["dashboard"]
    assert [one["session_id"] for one in document["sessions"]] == ["b7c8d9e0"]
    assert [one["task_id"] for one in document["tasks"]] == ["other"]
    assert br("dashboard", "b7c8", "--quiet").stdout == "b7c8d9e0\n"


def test_once_with_a_session_is_its_page_with_its_tasks(busy, terminal):
    lines = terminal("dashboard", "a3f2", "--once").stdout.splitlines()
    assert lines[1].startswith("─ Build v3.1 a3f2e1d9")
    assert any("✗ failed     unit" in line for line in lines)
    assert not any("Sessions" in line or "q back" in line for line in lines)


def test_compact_in_a_pipe_leaves_out_workers_and_tasks(busy, br):
    busy.tasks.append(TaskSummary("a3f2e1d9", "mine", TaskStatus.RUNNING, "make", 1))
    headings = [table.split("\t")[0] for table in br("dashboard", "-c").stdout.split("\n\n")]
    assert headings == ["STATISTIC", "SESSION", "FAILED"]


def test_quietly_it_is_the_ids(busy, br):
    assert br("dashboard", "--quiet").stdout == "a3f2e1d9\nb7c8d9e0\n"


def test_with_json_it_is_one_document(busy, br_json):
    document = br_json("dashboard")["dashboard"]
    assert [one["session_id"] for one in document["sessions"]] == ["a3f2e1d9", "b7c8d9e0"]
    assert document["statistics"]["workers_busy"] == 1
    assert document["failures"][0]["task_id"] == "unit"


def test_with_a_duration_a_pipe_gets_one_every_so_often(busy, br, monkeypatch):
    monkeypatch.setattr(dashboard, "monotonic", itertools.count(0, 0.1).__next__)
    result = br("dashboard", "--json", "-d", "0.3", "-r", "0.1")
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(documents) >= 2
    assert {document["schema_version"] for document in documents} == {1}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--refresh", "0"), "from 0.05 to 60 seconds"),
        (("--refresh", "-1"), "a number of seconds, found '-1'"),
        (("--refresh", "61"), "from 0.05 to 60 seconds"),
        (("--refresh", "soon"), "expected a duration"),
        (("--duration", "-3"), "expected a duration"),
        (("--duration", "0"), "of at least 0.05 seconds"),
        (("--once", "-d", "5"), "leave it out"),
        (("--fast",), "--fast"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(busy, br, arguments, told):
    result = br("dashboard", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr


def test_where_nothing_was_ever_started_there_is_nothing_to_see(fake, br):
    fake.has_state = False
    result = br("dashboard")
    assert (result.exit_code, result.stdout) == (0, "No sessions\n")
    assert json.loads(br("dashboard", "--json").stdout)["dashboard"]["sessions"] == []
    assert br("dashboard", "a3f2").exit_code == 4


def test_a_fault_of_the_program_gives_the_terminal_back_and_is_one_line(busy, terminal, screen, monkeypatch):
    def broken(scene):
        raise ZeroDivisionError("no such frame")

    monkeypatch.setattr("buildrunner_parallel.dashboard.live.frame", broken)
    result = terminal("dashboard", "-d", "5")
    assert result.exit_code == 1
    assert result.stderr == ("Internal error, ZeroDivisionError: no such frame (BR_DEBUG=1 shows where)\n")
    assert screen().endswith("\x1b[?25h\x1b[?1049l")
