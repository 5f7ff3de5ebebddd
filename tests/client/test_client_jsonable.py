"""The JSON shape of records, as `--json` promises it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

from buildrunner_parallel import records
from buildrunner_parallel.records import record_to_json


def test_a_session_has_lower_case_status_utc_times_and_derived_totals():
    session = records.Session(
        "a3f2e1d9",
        status=records.SessionStatus.RUNNING,
        created_at=datetime(2026, 11, 23, 19, 0, tzinfo=timezone(timedelta(hours=1))),
        declared_tasks=4,
        counts=records.TaskCounts(succeeded=1),
        metadata={"n": 1},
    )
    document = json.loads(json.dumps(record_to_json(session)))
    assert document["status"] == "running"
    assert document["created_at"] == "2026-11-23T18:00:00Z"
    assert document["ended_at"] is None
    assert (document["total_tasks"], document["progress_percent"]) == (4, 25.0)
    assert document["counts"]["done"] == 1
    assert document["metadata"] == {"n": 1}
    assert document["on_failure"] == {"action": "continue", "limit": 0}


def test_a_task_has_its_summary_among_its_own_fields():
    task = records.Task(
        records.TaskSummary("a3f2e1d9", "t", records.TaskStatus.FAILED, exit_code=2),
        records.TaskSpec(argv=("false",)),
        (records.Attempt("b1", 1, result=records.Payload(b"\xff\xfe", "x/y")),),
    )
    document = record_to_json(task)
    assert (document["task_id"], document["status"], document["exit_code"]) == ("t", "failed", 2)
    assert document["spec"]["argv"] == ["false"]
    assert document["attempts"][0]["result"] == {"content_type": "x/y", "base64": "//4="}


def test_output_is_text_where_it_is_text():
    chunk = records.OutputChunk(3, records.OutputChannel.STDERR, "grüße".encode())
    output = record_to_json(records.TaskOutput("t", 1, chunk))
    assert output["chunk"] == {"offset": 3, "channel": "stderr", "dropped_bytes": 0, "text": "grüße"}


def test_fractions_of_seconds_are_kept_without_trailing_zeros():
    moment = datetime(2026, 1, 2, 3, 4, 5, 250000, tzinfo=UTC)
    assert record_to_json(records.Wait(records.WaitKind.BACKOFF, until=moment))["until"] == (
        "2026-01-02T03:04:05.25Z"
    )
