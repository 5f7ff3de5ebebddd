"""show: everything that is kept of one task, on terminals of every width and in a pipe."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildrunner_parallel.records import (
    Attempt,
    Outcome,
    PathRequest,
    Payload,
    ResourceUsage,
    Task,
    TaskSpec,
    TaskStatus,
    TaskSummary,
    Wait,
    WaitKind,
)


@pytest.fixture
def task(build, events):
    """A task with every kind of fact, under the id `full`."""
    spec = TaskSpec(
        task_id="full", argv=("make", "a b", "x\ny"), worktree="/repo", cwd="sub", timeout_s=300, grace_s=20,
        needs=("lint", "unit"), files=(PathRequest("src/"), PathRequest("lib/", "shared")), retries=2,
        labels=("linux", "gpu"), worker_id="d4e5f6a7", slots=2, priority=10, env={"TOKEN": "secret"},
        passed_env={"API_KEY": "secret"},
    )  # fmt: skip
    attempts = (
        Attempt("f1", 1, 100, "e5f6a7b8", "box", 4000, Outcome.FAILED, signal=9, error="killed by SIGKILL",
                usage=ResourceUsage(1_500_000, 40_000, 15 << 20), started_at=events.at(-95),
                ended_at=events.at(-91), output_bytes=5 << 20, output_dropped_bytes=1 << 20),
        Attempt("f2", 2, 101, "d4e5f6a7", "box", 4001, started_at=events.at(-30), assigned_at=events.at(-31)),
    )  # fmt: skip
    summary = TaskSummary("a3f2e1d9", "full", TaskStatus.RUNNING, "make", 2, "d4e5f6a7",
                          submitted_at=events.at(-100), started_at=events.at(-30), progress_percent=40,
                          progress_message="linking")  # fmt: skip
    build.full_tasks["full"] = Task(summary, spec, attempts, failures=1)
    return build


def change(build, **changes):
    build.full_tasks["full"] = replace(build.full_tasks["full"], **changes)


def facts(text):
    return dict(line.split("\t", 1) for line in text.split("\n\n")[0].splitlines())


def test_every_condition_is_told(task, br):
    told = facts(br("show", "last", "full").stdout)
    assert told == {
        "task": "full",
        "session": "a3f2e1d9",
        "status": "running",
        "command": "make 'a b' $'x\\ny'",
        "directory": "/repo/sub",
        "needs": "lint, unit",
        "locks": "src/, lib/ (shared)",
        "labels": "linux, gpu",
        "wanted worker": "d4e5f6a7",
        "slots": "2",
        "priority": "10",
        "environment": "API_KEY, TOKEN",
        "timeout": "5m00s",
        "grace": "20s",
        "retries": "2, 1 used",
        "submitted": "2026-11-23 11:58:20",
        "started": "2026-11-23 11:59:30",
        "progress": "40% linking",
    }


def test_values_of_the_environment_are_not_shown(task, br, terminal):
    assert "secret" not in br("show", "last", "full").stdout + terminal("show", "last", "full").stdout


def test_a_pipe_gets_a_row_an_attempt(task, br):
    rows = [line.split("\t") for line in br("show", "last", "full").stdout.splitlines() if "\t" in line][-3:]
    heading, first, second = rows
    assert dict(zip(heading, first, strict=False)) == {
        "TRY": "1", "OUTCOME": "failed", "EXIT": "signal 9", "TOOK": "4.0s", "USER CPU": "1.5s",
        "SYSTEM CPU": "40ms", "MEMORY": "15.0 MiB", "OUTPUT": "5242880", "LEFT OUT": "1048576",
        "STARTED": "2026-11-23 11:58:25", "WORKER": "e5f6a7b8", "HOST": "box", "PID": "4000",
    }  # fmt: skip
    assert second[:4] == ["2", "running", "", "30s"]


def test_a_terminal_gets_sentences(task, terminal):
    text = terminal("show", "last", "full", columns=120).stdout
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "attempt 1 failed (signal 9) after 4.0s, started 2026-11-23 11:58:25" in lines
    assert "where worker e5f6a7b8 on box, pid 4000" in lines
    assert "used CPU 1.5s user, 40ms system; peak memory 15.0 MiB" in lines
    assert "output 5.0 MiB, 1.0 MiB of it left out of the middle" in lines
    assert "error killed by SIGKILL" in lines
    assert "attempt 2 running for 30s, started 2026-11-23 11:59:30" in lines


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_nothing_is_cut_off_however_narrow(task, terminal, columns):
    text = terminal("show", "last", "full", columns=columns).stdout
    body = text.split("Its output:")[0]
    assert max(map(len, body.splitlines())) <= columns
    joined = "".join(body.split())
    for fact in ("5.0MiB,1.0MiBofitleftoutofthemiddle", "workere5f6a7b8onbox,pid4000", "API_KEY,TOKEN"):
        assert fact in joined


def test_what_it_waits_for_is_told(task, br, events):
    wait = Wait(WaitKind.BACKOFF, "failed once: it is tried again in 42 s", until=events.at(42))
    old = task.full_tasks["full"].summary
    change(task, summary=replace(old, status=TaskStatus.QUEUED, wait=wait))
    assert facts(br("show", "last", "full").stdout)["waiting"] == "failed once: it is tried again in 42 s"


def test_many_names_are_counted(task, br):
    spec = replace(task.full_tasks["full"].spec, needs=[f"n{number}" for number in range(500)])
    change(task, spec=spec)
    assert facts(br("show", "last", "full").stdout)["needs"].endswith("n18, n19 and 480 more")


# ---------------------------------------------------------------- the result


def give_result(build, *data):
    attempts = [
        Attempt(f"f{number}", number, outcome=Outcome.SUCCEEDED, result=Payload(one) if one else None)
        for number, one in enumerate(data, start=1)
    ]
    change(build, attempts=tuple(attempts))


BYTES = bytes(range(256)) * 3


def test_the_result_comes_byte_for_byte(task, br):
    give_result(task, b"old", BYTES)
    result = br("show", "last", "full", "--result")
    assert (result.exit_code, result.stdout_bytes, result.stderr) == (0, BYTES, "")


def test_the_last_result_that_there_is_is_meant(task, br):
    give_result(task, b"kept", b"")
    assert br("show", "last", "full", "--result").stdout_bytes == b"kept"


def test_no_result_is_not_an_empty_one(task, br):
    result = br("show", "last", "full", "--result")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == "Task full has no result; it is running.\n"


def test_an_empty_result_is_one(task, br):
    change(task, attempts=(Attempt("f1", 1, outcome=Outcome.SUCCEEDED, result=Payload(b"")),))
    result = br("show", "last", "full", "--result")
    assert (result.exit_code, result.stdout_bytes) == (0, b"")


def test_a_terminal_is_kept_from_bytes(task, terminal):
    give_result(task, BYTES)
    text = terminal("show", "last", "full", "--result").stdout
    assert text == "not text: 768 B; let it go into a file or a pipe\n"
    give_result(task, b"\x1b[2Jhello\n")
    assert terminal("show", "last", "full", "--result").stdout == "␛[2Jhello\n"


def test_a_long_result_is_shown_in_part(task, br):
    give_result(task, b"".join(b"line %d\n" % number for number in range(1000)))
    lines = br("show", "last", "full").stdout.splitlines()
    assert "  line 49" in lines
    assert "  line 50" not in lines
    assert lines[-1] == "  all of it: br parallel show a3f2e1d9 full --result > FILE"


def test_a_result_and_a_document_at_once_are_wrong_usage(task, br):
    assert br("show", "last", "full", "--result", "--json").exit_code == 2
