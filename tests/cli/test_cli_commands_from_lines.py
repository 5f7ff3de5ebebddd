"""start and submit with --commands and --args: what the coordinator is asked, what is said, how it ends."""

from __future__ import annotations

import json
import os

import pytest

from buildrunner_parallel.cli import feeding
from buildrunner_parallel.errors import LimitError, RefusedError, WrongStateError
from buildrunner_parallel.records import Session, SessionStatus, TaskCounts, TaskSpec


def names(fake):
    return [call[0] for call in fake.calls]


def batches(fake):
    return [call[2] for call in fake.calls if call[0] == "submit_tasks"]


def specs(fake):
    return [spec for batch in batches(fake) for spec in batch]


@pytest.fixture
def written(tmp_path):
    """A file of lines in the working directory."""

    def write(text, name="jobs.txt"):
        (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return name

    return write


def test_every_line_of_a_file_is_a_task_for_the_shell(fake, br, written):
    result = br("start", "--commands", written("echo a | wc\n\n# no\nfalse\n"))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "Session c0ffee01 (jobs) is running: 2 tasks, 3 workers\n2 tasks were submitted\n"
    )
    assert [(one.task_id, one.shell_line) for one in specs(fake)] == [("1", "echo a | wc"), ("2", "false")]
    changes = [name for name in names(fake) if name != "get_session"]
    assert changes == ["create_session", "start_session", "submit_tasks", "close_session"]
    assert fake.calls[0] == ("create_session", "jobs", {"declared_tasks": 2, "wanted_workers": 3})


def test_standard_input_has_no_count_beforehand(fake, br):
    result = br("start", "n", "--commands", "-", "-w", "1", input="true\n")
    assert result.stdout.splitlines() == [
        "Session c0ffee01 (n) is running: tasks from standard input, 1 worker", "1 task was submitted",
    ]  # fmt: skip
    assert fake.calls[0] == ("create_session", "n", {"wanted_workers": 1})


def test_arguments_fill_a_template(fake, br):
    result = br("start", "--args", "-", "--", "sh", "-x", "{}.out", "{}", input="a b\nc\n")
    assert result.stdout.startswith("Session c0ffee01 (sh) is running")
    assert [one.argv for one in specs(fake)] == [
        ("sh", "-x", "a b.out", "a b"), ("sh", "-x", "c.out", "c"),
    ]  # fmt: skip


def test_a_template_with_braces_reads_standard_input(fake, br):
    assert br("start", "n", "--", "sh", "{}", input="a\n").exit_code == 0
    assert specs(fake)[0].argv == ("sh", "a")


def test_the_name_may_be_left_out_before_a_template(fake, br):
    br("start", "--", "/bin/sh", "--wait", "{}", input="a\n")
    assert fake.calls[0][1] == "sh"
    assert specs(fake)[0].argv == ("/bin/sh", "--wait", "a")


def test_lines_may_end_with_nul(fake, br):
    br("start", "-0", "--args", "-", "--", "sh", input="a\nb\0c\0")
    assert [one.argv for one in specs(fake)] == [("sh", "a\nb"), ("sh", "c")]


def test_options_of_submit_are_for_all_tasks(fake, br, written, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "k")
    (tmp_path / "sub").mkdir()
    result = br(
        "start", "--args", written("a\nb\n"), "--timeout", "5m", "--grace", "3s", "--retries", "2",
        "--priority", "7", "--slots", "2", "--label", "linux", "--env", "N={#}", "--file", "{}:shared",
        "--cwd", "sub", "--pass-env", "MY_*", "--max-parallel", "4", "--on-failure", "stop-now:3", "--", "sh",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    one, two = specs(fake)
    assert (one.timeout_s, one.grace_s, one.retries, one.priority, one.slots) == (300.0, 3.0, 2, 7, 2)
    assert (one.labels, one.cwd, one.passed_env) == (("linux",), "sub", {"MY_KEY": "k"})
    assert (one.env, two.env) == ({"N": "1"}, {"N": "2"})
    assert [(file.path, file.mode) for file in (*one.files, *two.files)] == [("a", "shared"), ("b", "shared")]
    create = fake.calls[0][2]
    assert (create["max_parallel"], create["on_failure"].action, create["on_failure"].limit) == (
        4, "stop-now", 3,
    )  # fmt: skip


def test_many_lines_go_in_batches_of_a_thousand(fake, br, written):
    br("start", "--commands", written("true\n" * 2500))
    assert [len(batch) for batch in batches(fake)] == [1000, 1000, 500]
    assert specs(fake)[-1].task_id == "2500"


def test_a_pause_of_the_producer_sends_what_is_there():
    one, two, three = (TaskSpec(task_id=name) for name in "123")
    assert list(feeding.batches([one, two, None, None, three])) == [[one, two], [three]]


def test_nothing_to_run_ends_at_once(fake, br, written):
    result = br("start", "--commands", written("# nothing\n"))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].startswith("Nothing to run, there were no lines")
    assert fake.calls[0] == ("create_session", "jobs", {})
    assert "close_session" in names(fake)
    assert "submit_tasks" not in names(fake)


def test_quiet_and_json(fake, br, written):
    file = written("true\n")
    assert br("start", "--commands", file, "--quiet").stdout == "c0ffee01\n"
    (line,) = br("start", "--commands", file, "--json").stdout.splitlines()
    document = json.loads(line)
    assert (document["schema_version"], document["session"]["counts"]["total"]) == (1, 1)


def test_waiting_ends_with_the_session(fake, br, written, monkeypatch):
    ended = Session("c0ffee01", "jobs", status=SessionStatus.FAILED, counts=TaskCounts(failed=1))
    monkeypatch.setattr(type(fake), "wait_session", lambda self, *a, **k: ended)
    result = br("start", "--commands", written("false\n"), "--wait")
    assert result.exit_code == 6
    assert result.stdout.splitlines()[-1] == "Session c0ffee01 (jobs) failed: 1 failed"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"true\n\xff\n", "jobs.txt:2: expected UTF-8, found the byte 0xff"),
        (b"a\0b\n", "jobs.txt:1: expected text, found a NUL byte; -0 is for lines that end with one"),
        (b"x" * 200_000, "jobs.txt:1: expected a line of less than 128 KiB, found a longer one"),
    ],
)
def test_a_bad_line_of_a_file_starts_nothing(fake, br, written, content, told):
    result = br("start", "--commands", written(content))
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", told + "\n")
    assert fake.calls == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--commands", "gone"], "gone cannot be used: No such file or directory"),
        (["--commands", "."], ". cannot be used: Is a directory"),
        (["--args", "jobs.txt", "--", "no-such-program", "{}"], 'found the text "no-such-program"'),
        (["--commands", "jobs.txt", "--cwd", "gone"], 'Expected a directory, found the text "gone"'),
    ],
)
def test_what_cannot_run_starts_nothing(fake, br, written, arguments, told):
    written("true\n")
    result = br("start", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert fake.calls == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--commands", "f", "--plan", "p"], "tasks come from one place"),
        (["--commands", "f", "--args", "g", "--", "x"], "its lines are commands already"),
        (["--commands", "f", "--", "x"], "its lines are commands already"),
        (["--args", "f"], "say what to run for each line"),
        (["--", "make"], "say where the arguments of CMD come from"),
        (["make"], "found 'make' after the name; put -- before a command"),
        (["--commands", "f", "--tasks", "3"], "leave --tasks out"),
        (["--plan", "p", "--tasks", "3"], "leave --tasks out"),
        (["--timeout", "5m"], "Invalid value for --timeout"),
        (["--plan", "p", "--env", "A=b"], "Invalid value for --env"),
        (["-0"], "Invalid value for --null"),
        (["--dry-run"], "Invalid value for --dry-run"),
        (["--commands", "f", "--env", "A"], "expected K=V"),
        (["--commands", "f", "--on-failure", "explode"], "expected continue"),
    ],
)
def test_options_that_contradict_are_wrong_usage(fake, br, written, arguments, told):
    for name in ("f", "g"):
        written("true\n", name)
    result = br("start", "n", *arguments)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())
    assert fake.calls == []


def test_a_bad_line_of_a_stream_says_what_was_submitted(fake, br, monkeypatch):
    monkeypatch.setattr(feeding, "BATCH_TASKS", 2)
    result = br("start", "n", "--commands", "-", input=b"a\nb\nc\n\xff\n")
    assert result.exit_code == 1
    assert result.stderr == (
        "standard input:4: expected UTF-8, found the byte 0xff. "
        "2 tasks were submitted to session c0ffee01 (n), which stays open for more: "
        "`br parallel close c0ffee01` lets it end with them, "
        "`br parallel cancel c0ffee01` stops it.\n"
    )
    assert "close_session" not in names(fake)


def test_a_session_that_got_no_task_is_not_left_behind(fake, br):
    result = br("start", "n", "--commands", "-", input=b"\xff\n")
    assert result.exit_code == 1
    assert "No task was submitted; session c0ffee01 (n) is cancelled." in result.stderr
    assert fake.sessions[0].status == SessionStatus.CANCELLED


def test_a_refusal_while_waiting_ends_the_wait(fake, br, monkeypatch):
    fake.failing["submit_tasks"] = LimitError("The disk is full.")

    def wait_session(self, *_, **__):
        eventually_closed(self)
        raise RefusedError("the client was closed")

    monkeypatch.setattr(type(fake), "wait_session", wait_session)
    result = br("start", "n", "--commands", "-", "--wait", input="true\n")
    assert (result.exit_code, result.stderr) == (
        1, "The disk is full. No task was submitted; session c0ffee01 (n) is cancelled.\n",
    )  # fmt: skip


def eventually_closed(fake):
    while "close" not in names(fake):
        pass


def test_a_session_that_ended_early_decides_how_a_wait_ends(fake, br, monkeypatch):
    refused = {"reason": "SESSION_CLOSED"}
    fake.failing["submit_tasks"] = WrongStateError("Session c0ffee01 is failed.", **refused)
    ended = Session("c0ffee01", "n", status=SessionStatus.FAILED)
    monkeypatch.setattr(type(fake), "wait_session", lambda self, *a, **k: ended)
    result = br("start", "n", "--commands", "-", "--wait", input="true\n")
    assert result.exit_code == 6
    assert result.stdout.splitlines()[-1].startswith("Session c0ffee01 (n) failed")
    assert result.stderr == "Session c0ffee01 is failed. No task was submitted before.\n"
    fake.failing["submit_tasks"] = WrongStateError("Session c0ffee01 is failed.", **refused)
    result = br("start", "n", "--commands", "-", input="true\n")
    assert (result.exit_code, result.stderr) == (
        1, "Session c0ffee01 is failed. No task was submitted before.\n",
    )  # fmt: skip


def test_an_interrupted_wait_says_that_lines_were_left(fake, br, monkeypatch, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    # For reading and writing: it has one line, and no end.
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    os.write(writer, b"true\n")

    def wait_session(self, *_, **__):
        while "submit_tasks" not in names(self):
            pass
        raise KeyboardInterrupt

    monkeypatch.setattr(type(fake), "wait_session", wait_session)
    result = br("start", "n", "--commands", "pipe", "--wait")
    os.close(writer)
    assert result.exit_code == 130
    assert result.stderr.startswith(
        "Interrupted. 1 task was submitted to session c0ffee01 (n), which stays open"
    )
    assert "close_session" not in names(fake)


def test_a_producer_without_an_end_waits_for_the_tasks(fake, br, monkeypatch):
    monkeypatch.setattr(feeding, "BATCH_TASKS", 2)
    monkeypatch.setattr(feeding, "BACKLOG_TASKS", 4)
    monkeypatch.setattr(feeding, "_BACKLOG_LOOK_S", 0)
    looks = []

    def get_session(self, session_id):
        looks.append(len(specs(self)))
        done = 0 if len(looks) % 3 else len(specs(self))
        return Session("c0ffee01", "n", counts=TaskCounts(succeeded=done))

    made = type(fake).get_session
    monkeypatch.setattr(
        type(fake),
        "get_session",
        lambda self, key: get_session(self, key) if specs(self) else made(self, key),
    )
    monkeypatch.setattr(type(fake), "submit_tasks", lambda self, *a, **k: self._call("submit_tasks", *a, **k))
    result = br("start", "n", "--commands", "-", input="true\n" * 10)
    assert result.exit_code == 0, result.stderr
    assert looks[:6] == [4, 4, 4, 8, 8, 8]


def test_a_dry_run_shows_the_tasks_and_reaches_nobody(fake, br, terminal, written):
    arguments = ("start", "--args", written("a b\nc\n"), "--dry-run", "--", "gzip", "{}")
    assert br(*arguments).stdout == "1\tgzip 'a b'\n2\tgzip c\n"
    assert br(*arguments[:4], "--quiet", *arguments[4:]).stdout == "1\n2\n"
    assert terminal(*arguments).stdout == "1  gzip 'a b'\n2  gzip c\n"
    assert (fake.calls, fake.started) == ([], False)


def test_a_dry_run_of_a_plan_shows_its_tasks(fake, br, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_SECRET", "hunter2")
    (tmp_path / "p.yaml").write_text(
        "tasks: [{id: 'x{n}', run: 'echo {n} | wc', matrix: {n: [1, 2]}, pass_env: [MY_*]}, {handler: h}]"
    )
    assert br("start", "--plan", "p.yaml", "--dry-run").stdout == (
        "x1\techo 1 | wc\nx2\techo 2 | wc\ntask-2\thandler h\n"
    )
    output = br("start", "--plan", "p.yaml", "--dry-run", "--json").stdout
    first = json.loads(output.splitlines()[0])
    assert (first["task"]["shell_line"], first["task"]["passed_env"]) == ("echo 1 | wc", ["MY_SECRET"])
    assert "hunter2" not in output
    assert (fake.calls, fake.started) == ([], False)


def test_submit_adds_lines_and_leaves_the_session_open(build, br, written):
    result = br(
        "submit", "a3f2", "--commands", written("true\nfalse\n"), "--needs", "lint", "--timeout", "9s"
    )
    assert result.stdout == "2 tasks submitted to session a3f2e1d9\n"
    assert [(one.task_id, one.needs, one.timeout_s) for one in specs(build)] == [
        ("13", ("lint",), 9.0), ("14", ("lint",), 9.0),
    ]  # fmt: skip
    assert "close_session" not in names(build)


def test_submit_numbers_the_tasks_of_an_id_from_one(build, br):
    result = br("submit", "a3f2", "--id", "zip", "--args", "-", "--json", "--", "sh", "{}", input="a\nb\n")
    assert json.loads(result.stdout)["submitted"] == {"session_id": "a3f2e1d9", "task_count": 2}
    assert [one.task_id for one in specs(build)] == ["zip-1", "zip-2"]


def test_submit_takes_braces_of_a_single_command_as_they_are(build, br):
    assert br("submit", "a3f2", "--", "sh", "{}").exit_code == 0
    assert specs(build)[0].argv == ("sh", "{}")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--commands", "f", "--plan", "p"], "give one of"),
        (["--commands", "f", "--handler", "h"], "give one of"),
        (["--args", "f"], "say what to run"),
        (["--plan", "p", "--timeout", "3s"], "Invalid value for --timeout"),
        (["--plan", "p", "--needs", "x"], "a plan says it for each task"),
        (["-0", "--", "x"], "Invalid value for --null"),
    ],
)
def test_submit_options_that_contradict_are_wrong_usage(build, br, written, arguments, told):
    written("true\n", "f")
    result = br("submit", "a3f2", *arguments)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())
    assert batches(build) == []


def test_the_usage_line_reads_as_people_type_it(fake, br):
    text = br("start", "--help").stdout
    assert "start [OPTIONS] [NAME] [-- CMD ARGS...]" in text
