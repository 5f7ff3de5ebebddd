"""explain, retry, story, joblog, show, cleanup: hostile names, interruptions, errors, closed pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from buildrunner_parallel.errors import NoStateError, UnreachableError
from buildrunner_parallel.records import (
    Attempt,
    EndedAttempt,
    HistoryEvent,
    LockHolder,
    Outcome,
    PathRequest,
    Payload,
    Session,
    SessionStatus,
    Task,
    TaskCounts,
    TaskExplanation,
    TaskSpec,
    TaskStatus,
    TaskSummary,
    Wait,
    WaitKind,
)

EVIL = "\x1b]0;owned\x07 [red]x[/red] \u202etxt.exe\nsecond\tline \x9b2J"
COMMANDS = {
    "get_session": [["explain", "last"], ["explain", "last", "t"], ["retry", "last"], ["story", "last"]],
    "get_task": [["show", "last", "t"], ["show", "last", "t", "--result"]],
    "delete_sessions": [["cleanup", "-y"], ["cleanup", "--dry-run"]],
    "iter_attempts": [["joblog", "last"]],
    "iter_history": [["story", "last"], ["story", "last", "t"]],
    "retry_tasks": [["retry", "last"], ["retry", "last", "t", "--wait"]],
    "explain_tasks": [["explain", "last"], ["explain", "last", "t"]],
}
CALLS = [(call, arguments) for call, every in COMMANDS.items() for arguments in every]


@pytest.fixture
def evil(build, events):
    """Everything that can carry a text carries the hostile one."""
    counts = TaskCounts(queued=1, failed=1)
    build.sessions = [
        Session("a3f2e1d9", EVIL, status=SessionStatus.RUNNING, counts=counts, reason=EVIL),
        Session("b7c8d9e0", EVIL, status=SessionStatus.COMPLETED, ended_at=events.at(-9)),
    ]
    wait = Wait(WaitKind.LOCKS, EVIL, (EVIL,), (LockHolder("b7c8d9e0", EVIL, EVIL, EVIL, EVIL, EVIL),))
    spec = TaskSpec(
        task_id=EVIL, argv=(EVIL, EVIL), env={EVIL: EVIL}, needs=(EVIL,), labels=(EVIL,), cwd=EVIL,
        files=(PathRequest(EVIL),), worker_id=EVIL,
    )  # fmt: skip
    summary = TaskSummary("a3f2e1d9", EVIL, TaskStatus.QUEUED, EVIL, 1, EVIL, error=EVIL, wait=wait)
    attempt = Attempt(EVIL, 1, 1, EVIL, EVIL, 1, Outcome.FAILED, 1, error=EVIL, warnings=(EVIL, EVIL),
                      modified_files=(EVIL,), result=Payload(EVIL.encode(), EVIL))  # fmt: skip
    build.full_tasks = {name: Task(summary, spec, (attempt,)) for name in ("t", EVIL)}
    build.explanations = [TaskExplanation(name, TaskStatus.QUEUED, (wait,)) for name in ("t", EVIL)]
    build.ended_attempts = [EndedAttempt(EVIL, 1, attempt, spec)]
    build.history = [HistoryEvent(1, events.at(0), EVIL, EVIL, EVIL, 1, EVIL, EVIL)]
    return build


def is_harmless(text: str) -> bool:
    bad = {chr(code) for code in (*range(32), *range(0x7F, 0xA0), *range(0x202A, 0x202F))} - {"\n", "\t"}
    return not bad & set(text)


HOSTILE = [
    ["explain", "last"],
    ["explain", "last", "t"],
    ["retry", "last"],
    ["retry", "last", EVIL],
    ["story", "last"],
    ["story", "last", "t"],
    ["joblog", "last"],
    ["show", "last", "t"],
    ["cleanup", "-y"],
]


@pytest.mark.parametrize("arguments", HOSTILE, ids=" ".join)
def test_nothing_hostile_reaches_a_pipe(evil, br, arguments):
    result = br(*arguments)
    assert result.exit_code == 0, result.output
    assert is_harmless(result.output), result.output
    own_lines = [line for line in result.stdout.splitlines() if line.startswith("second")]
    assert not own_lines


@pytest.mark.parametrize("columns", [40, 200])
@pytest.mark.parametrize("arguments", [*HOSTILE, ["show", "last", "t", "--result"]], ids=" ".join)
def test_nothing_hostile_reaches_a_terminal(evil, terminal, arguments, columns):
    result = terminal(*arguments, columns=columns)
    assert result.exit_code == 0, result.output
    assert is_harmless(result.output), result.output


@pytest.mark.parametrize("arguments", [one for one in HOSTILE if one[0] != "joblog"], ids=" ".join)
def test_json_is_one_document_of_plain_letters(evil, br_json, br, arguments):
    assert br_json(*arguments)
    assert br(*arguments, "--json").stdout.isascii()


@pytest.fixture
def queued(build):
    """The session has a task `t` that waits."""
    build.full_tasks["t"] = Task(TaskSummary("a3f2e1d9", "t"), TaskSpec(task_id="t"))
    return build


@pytest.mark.parametrize(("call", "arguments"), CALLS)
def test_an_interruption_is_130_and_one_line(queued, br, call, arguments):
    queued.failing[call] = KeyboardInterrupt()
    result = br(*arguments)
    assert result.exit_code == 130, result.output
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(("call", "arguments"), CALLS)
def test_a_coordinator_that_is_gone_is_3_and_one_line(queued, br, call, arguments):
    queued.failing[call] = UnreachableError("no coordinator answers at unix:/x; check that it runs")
    result = br(*arguments)
    assert (result.exit_code, result.stdout) == (3, ""), result.output
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [["explain", "last"], ["retry", "last"], ["story", "last"], ["joblog", "last"], ["show", "last", "t"]],
)
def test_where_nothing_was_ever_started_nothing_is_found(build, br, arguments):
    build.has_state = False
    result = br(*arguments)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "nothing was started" in result.stderr
    assert not build.started


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain"],
        ["explain", "last", "t", "more"],
        ["explain", "last", "--limit", "0"],
        ["retry"],
        ["story"],
        ["story", "last", "t", "--limit", "x"],
        ["joblog"],
        ["show", "last"],
        ["cleanup", "extra"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(build, br, arguments):
    assert br(*arguments).exit_code == 2
    assert not build.calls


SCRIPT = """
import sys
from buildrunner_parallel.cli import app, invocation
from buildrunner_parallel.records import Attempt, EndedAttempt, Session, TaskSpec

class Endless:
    def __enter__(self): return self
    def __exit__(self, *_): return None
    def get_session(self, _): return Session("a3f2e1d9")
    def iter_attempts(self, *_, **__):
        while True:
            yield EndedAttempt("t", 1, Attempt("f1"), TaskSpec(argv=("true",)))

invocation.open_client = lambda *_, **__: Endless()
sys.argv = ["br", "parallel", "joblog", "last", *sys.argv[1:]]
app.main()
"""


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_has_seen_enough_ends_it_silently(options):
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_errors_are_told_apart_from_a_workspace_without_state(build, br):
    build.failing["delete_sessions"] = NoStateError("nothing")
    assert br("cleanup", "-y").exit_code == 4


def test_an_id_of_many_digits_is_passed_on_whole(build, br):
    build.sessions[0] = replace(build.sessions[0], session_id="a3f2e1d9" * 2)
    assert "a3f2e1d9a3f2e1d9" in br("explain", "a3f2").stdout


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (["show", "last", "unit"], "failed\n"),
        (["explain", "last"], "w1\nw2\n"),
        (["explain", "last", "unit"], ""),
        (["story", "last"], ""),
        (["retry", "last"], ""),
        (["cleanup", "-y"], "b7c8d9e0\n"),
    ],
)
def test_quiet_gives_a_word_or_ids_or_nothing(build, br, events, arguments, written):
    wait = (Wait(WaitKind.NEEDS, "needs unit", ("unit",)),)
    build.explanations = [TaskExplanation(name, TaskStatus.BLOCKED, wait) for name in ("w1", "w2")]
    build.history = [HistoryEvent(1, events.at(0), "started", "a3f2e1d9")]
    result = br(*arguments, "--quiet")
    assert (result.exit_code, result.stdout) == (0, written)
