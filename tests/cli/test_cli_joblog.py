"""joblog: GNU parallel's columns, one line an attempt, in bounded memory."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from buildrunner_parallel.cli.joblog import exit_value
from buildrunner_parallel.errors import UnsupportedError
from buildrunner_parallel.records import Attempt, EndedAttempt, Outcome, Payload, TaskSpec

BEGIN = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
# How GNU parallel reads its own file when it resumes.
GNU = re.compile(r"^(\d+)(?:\t[^\t]+){5}\t(\d+)\t(\d+)\t(.+)$")
HEADING = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand"


def ended(number=1, outcome=Outcome.SUCCEEDED, seconds=1.5, spec=None, task_id="unit", **more):
    attempt = Attempt(
        "f1f1f1f1", 1, host=more.pop("host", "box"), outcome=outcome, started_at=BEGIN,
        ended_at=BEGIN + timedelta(seconds=seconds), **more,
    )  # fmt: skip
    return EndedAttempt(task_id, number, attempt, spec or TaskSpec(argv=("true",)))


def test_the_columns_are_those_of_gnu_parallel(build, br):
    build.ended_attempts = [
        ended(1, exit_code=0),
        ended(2, Outcome.FAILED, 70.0004, TaskSpec(argv=("sh", "-c", "exit 3")), exit_code=3),
        ended(3, Outcome.FAILED, 0.0124, TaskSpec(shell_line="kill -9 $$"), signal=9),
    ]
    result = br("joblog", "last")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        HEADING,
        "1\tbox\t1795435200.250\t     1.500\t0\t0\t0\t0\ttrue",
        "2\tbox\t1795435200.250\t    70.000\t0\t0\t3\t0\tsh -c 'exit 3'",
        "3\tbox\t1795435200.250\t     0.012\t0\t0\t0\t9\tkill -9 $$",
    ]


def test_it_is_asked_for_without_results_and_with_commands(build, br):
    br("joblog", "a3f2")
    assert build.calls[-1] == ("iter_attempts", "a3f2e1d9", {"with_specs": True})


@pytest.mark.parametrize(
    "spec",
    [
        TaskSpec(argv=("printf", "a\tb\nc\x1b[2J")),
        TaskSpec(shell_line="one\ntwo\tthree"),
        TaskSpec(handler="na\tme\n"),
        TaskSpec(),
    ],
)
def test_a_line_stays_a_line_whatever_ran(build, br, spec):
    build.ended_attempts = [ended(7, host="b\to\nx", spec=spec, task_id="a\nb\tc")]
    _, line = br("joblog", "last").stdout.splitlines()
    found = GNU.match(line)
    assert found and found.groups()[:3] == ("7", "0", "0")
    assert line.count("\t") == 8


@pytest.mark.parametrize(
    ("outcome", "code", "signal", "value"),
    [
        (Outcome.SUCCEEDED, 0, 0, 0),
        (Outcome.SUCCEEDED, None, 0, 0),
        (Outcome.FAILED, 7, 0, 7),
        (Outcome.FAILED, None, 0, 1),
        (Outcome.FAILED, None, 15, 0),
        (Outcome.TIMED_OUT, 0, 0, 124),
        (Outcome.TIMED_OUT, None, 9, 0),
        (Outcome.NOT_STARTED, None, 0, 127),
        (Outcome.LOST, None, 0, 255),
        (Outcome.CANCELLED, 0, 0, 1),
    ],
)
def test_what_did_not_succeed_never_looks_as_if_it_did(outcome, code, signal, value):
    assert exit_value(Attempt("f1", outcome=outcome, exit_code=code, signal=signal)) == value
    if outcome is not Outcome.SUCCEEDED:
        assert value or signal


def test_an_attempt_without_host_or_start_has_all_its_columns(build, br):
    attempt = Attempt("f1", outcome=Outcome.NOT_STARTED, assigned_at=BEGIN)
    build.ended_attempts = [EndedAttempt("t", 1, attempt, TaskSpec(argv=("nope",)))]
    line = br("joblog", "last").stdout.splitlines()[1]
    assert line == "1\t:\t1795435200.250\t     0.000\t0\t0\t127\t0\tnope"


def test_json_is_an_object_a_line_without_a_result_that_was_not_asked_for(build, br):
    build.ended_attempts = [ended(1, exit_code=0, result=Payload(b"x")), ended(2, exit_code=0)]
    first, second = map(json.loads, br("joblog", "last", "--json").stdout.splitlines())
    assert (first["schema_version"], first["session_id"], first["task_id"]) == (1, "a3f2e1d9", "unit")
    assert (first["task_number"], second["task_number"], first["command"]) == (1, 2, "true")
    assert first["attempt"]["outcome"] == "succeeded"
    assert "result" not in first["attempt"]


def test_a_session_without_ends_has_the_heading_alone(build, br):
    assert br("joblog", "last").stdout == HEADING + "\n"


def test_a_refusal_leaves_nothing_on_standard_output(build, br):
    build.failing["iter_attempts"] = UnsupportedError("This coordinator is too old.")
    result = br("joblog", "last")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "This coordinator is too old.\n"


def test_it_writes_while_it_reads(build, br):
    """The first lines are out before the last attempt is fetched: nothing is gathered."""
    alive = 0
    most = 0

    def attempts(*_, **__):
        nonlocal alive, most
        for number in range(20_000):
            alive += 1
            most = max(most, alive)
            yield Counted(number)

    class Counted(EndedAttempt):
        def __init__(self, number):
            super().__init__("t", number, ended().attempt, TaskSpec(argv=("true",)))

        def __del__(self):
            nonlocal alive
            alive -= 1

    build.iter_attempts = attempts
    result = br("joblog", "last")
    assert result.stdout.count("\n") == 20_001
    assert most < 10
