"""--json: one document with its schema's version, the promised names, nothing else on standard output."""

from __future__ import annotations

import json

import pytest

from buildrunner_parallel.records import OutputChannel, OutputChunk, TaskOutput


def test_one_thing_stands_under_its_name(build, br_json):
    session = br_json("status", "a3f2")["session"]
    assert (session["session_id"], session["status"], session["name"]) == (
        "a3f2e1d9",
        "running",
        "Build v3.1",
    )
    assert session["created_at"] == "2026-11-23T11:57:50Z"
    assert session["counts"]["running"] == 2
    assert br_json("info")["coordinator"]["pid"] == 4711
    assert br_json("close", "a3f2")["session"]["session_id"] == "a3f2e1d9"
    assert br_json("cancel", "a3f2", "--task", "unit")["task"]["status"] == "cancelled"


def test_lists_stand_under_their_plural(build, br_json):
    assert [s["session_id"] for s in br_json("list")["sessions"]] == ["a3f2e1d9", "b7c8d9e0"]
    tasks = br_json("tasks")
    assert [t["task_id"] for t in tasks["tasks"]] == ["lint", "unit", "docs"]
    assert tasks["session_id"] == "a3f2e1d9"
    workers = br_json("workers")
    assert [w["worker_id"] for w in workers["workers"]] == ["d4e5f6a7", "e5f6a7b8"]
    assert workers["statistics"]["utilization_percent"] == 60.0


def test_a_task_has_its_attempts(build, br_json):
    task = br_json("show", "last", "unit")["task"]
    assert (task["task_id"], task["status"]) == ("unit", "failed")
    assert [attempt["outcome"] for attempt in task["attempts"]] == ["lost", "failed"]
    assert task["attempts"][1]["result"] == {"content_type": "application/json", "text": '{"failed": 3}'}


def test_the_option_counts_before_and_after_the_command(build, br):
    before = br("--json", "list").stdout
    assert json.loads(before) == json.loads(br("list", "--json").stdout)


def test_output_is_a_stream_of_objects(build, br):
    build.outputs = [
        TaskOutput("unit", 1, OutputChunk(0, OutputChannel.STDOUT, b"hello\n")),
        TaskOutput("unit", 1, OutputChunk(6, OutputChannel.STDERR, b"\xff", dropped_bytes=3)),
    ]
    first, second = map(json.loads, br("logs", "last", "unit", "--json").stdout.splitlines())
    assert first == {
        "schema_version": 1, "task_id": "unit", "attempt": 1, "offset": 0, "channel": "stdout",
        "text": "hello\n", "dropped_bytes": 0,
    }  # fmt: skip
    assert (second["channel"], second["base64"], second["dropped_bytes"]) == ("stderr", "/w==", 3)


@pytest.mark.parametrize(
    ("arguments", "document"),
    [
        (["list"], {"sessions": []}),
        (["status"], {"session": None}),
        (["workers"], {"workers": []}),
        (["tasks"], {"tasks": []}),
        (["info"], {"coordinator": None}),
        (["summary"], {"summary": {"sessions_total": 0}}),
    ],
)
def test_a_workspace_without_state_has_empty_documents(fake, br_json, arguments, document):
    fake.has_state = False
    found = br_json(*arguments)
    for key, value in document.items():
        part = found[key]
        assert part == value or {name: part[name] for name in value} == value


def test_every_command_that_shows_something_says_errors_apart_from_the_document(build, br):
    result = br("status", "ffff", "--json")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "No session ffff" in result.stderr
