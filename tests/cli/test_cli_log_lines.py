"""logs on a terminal and with --tag: whole lines of each channel, under the right name."""

from __future__ import annotations

import hashlib
import json
import random

import pytest

from buildrunner_parallel.records import OutputChannel, OutputChunk, TaskOutput

OUT, ERR = OutputChannel.STDOUT, OutputChannel.STDERR


def piece(data, channel=OUT, task="unit", attempt=1, dropped=0):
    return TaskOutput(task, attempt, OutputChunk(0, channel, data, dropped))


def test_half_a_line_of_one_channel_is_not_joined_with_the_other_s(build, br):
    build.outputs = [piece(b"compiling "), piece(b"warning: x\n", ERR), piece(b"done\n")]
    assert br("logs", "last", "unit", "--tag").stdout == "unit\twarning: x\nunit\tcompiling done\n"


def test_the_end_of_one_task_without_a_newline_is_written_under_the_next(build, terminal):
    build.outputs = [piece(b"first", task="a"), piece(b"second", task="b")]
    assert terminal("logs", "last").stdout.splitlines() == [
        "==> a (attempt 1) <==", "first", "==> b (attempt 1) <==", "second",
    ]  # fmt: skip


def test_a_followed_task_that_runs_again_says_so(build, terminal):
    build.outputs = [piece(b"one\n"), piece(b"two\n", attempt=2)]
    assert terminal("logs", "last", "unit", "-f").stdout.splitlines() == [
        "one", "==> unit (attempt 2) <==", "two",
    ]  # fmt: skip


def test_a_gap_ends_the_line_before_it(build, br):
    build.outputs = [piece(b"half a li"), piece(b"ine\n", dropped=70)]
    assert br("logs", "last", "unit", "--tag").stdout.splitlines() == [
        "unit\thalf a li", "unit\t[... 70 bytes left out here ...]", "unit\tine",
    ]  # fmt: skip
    assert br("logs", "last", "unit").stdout == "half a li\n[... 70 bytes left out here ...]\nine\n"


def test_a_gap_behind_a_whole_line_adds_no_empty_one(build, br):
    build.outputs = [piece(b"whole\n"), piece(b"tail\n", dropped=70)]
    assert br("logs", "last", "unit").stdout == "whole\n[... 70 bytes left out here ...]\ntail\n"


def test_nothing_written_is_said_on_a_terminal_only(build, br, terminal):
    assert br("logs", "last", "unit").stdout == ""
    assert terminal("logs", "last", "unit").stdout == "No output\n"


@pytest.mark.parametrize(("option", "channel"), [("--stdout", OUT), ("--stderr", ERR)])
def test_one_channel_alone_can_be_asked_for(build, br, option, channel):
    br("logs", "last", "unit", option)
    assert build.calls[-1][-1] == {"channel": channel}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--stdout", "--stderr"],
        ["--tail", "0"],
        ["--tail", "-1"],
        ["--attempt", "0"],
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(build, br, arguments):
    assert br("logs", "last", "unit", *arguments).exit_code == 2
    assert not build.calls


def test_a_pipe_gets_every_byte_however_it_is_cut(build, br):
    rng = random.Random(7)
    data = rng.randbytes(300_000)
    at, pieces = 0, []
    while at < len(data):
        step = rng.randint(1, 9000)
        pieces.append(piece(data[at : at + step], rng.choice([OUT, ERR])))
        at += step
    build.outputs = pieces
    written = br("logs", "last", "unit").stdout_bytes
    assert hashlib.sha256(written).hexdigest() == hashlib.sha256(data).hexdigest()


def test_an_attempt_that_never_was_is_not_found(build, br):
    result = br("logs", "last", "unit", "--attempt", "3")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == "Task unit has no attempt 3: its last is 2.\n"


def test_an_interruption_says_how_to_go_on(build, br):
    build.failing["read_output"] = KeyboardInterrupt()
    result = br("logs", "last", "unit", "-f")
    assert result.exit_code == 130
    assert result.stderr == "Interrupted. Go on reading with: br parallel logs a3f2e1d9 unit -f\n"


END = TaskOutput("unit", 1, OutputChunk(), True)


def test_who_follows_a_session_gets_the_lines_of_tasks_that_write_at_once_whole(build, br, terminal):
    other, more = piece(b"other\n", task="docs"), piece(b"more\n", task="docs")
    build.outputs = [piece(b"one "), other, piece(b"line\nlast"), END, more]
    assert br("logs", "last", "-f").stdout == "other\none line\nlast\nmore\n"
    assert br("logs", "last", "-f", "--tag").stdout.splitlines() == [
        "docs\tother", "unit\tone line", "unit\tlast", "docs\tmore"
    ]  # fmt: skip
    shown = terminal("logs", "last", "-f").stdout
    assert shown.index("==> unit") < shown.index("one line") < shown.index("last") < shown.index("more")


def test_json_tells_the_end_of_a_followed_attempt(build, br):
    build.outputs = [piece(b"x"), END]
    lines = br("logs", "last", "-f", "--json").stdout.splitlines()
    assert json.loads(lines[-1]) == {
        "schema_version": 1, "task_id": "unit", "attempt": 1, "attempt_ended": True
    }  # fmt: skip
