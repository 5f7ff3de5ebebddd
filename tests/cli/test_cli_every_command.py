"""Every command that there is, under every way to go wrong: the exit codes that the help promises."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from buildrunner_parallel.cli import app as program
from buildrunner_parallel.cli import invocation
from buildrunner_parallel.errors import AmbiguousIdError, NotFoundError, UnreachableError

# How each command is called so that it asks the coordinator for something; None: it asks for nothing.
CALLS: dict[str, list[str] | None] = {
    "start": ["x"],
    "list": [],
    "status": ["a3f2"],
    "pause": ["a3f2"],
    "resume": ["a3f2"],
    "cancel": ["a3f2", "-f"],
    "close": ["a3f2"],
    "tasks": ["a3f2"],
    "show": ["a3f2", "unit"],
    "logs": ["a3f2"],
    "explain": ["a3f2"],
    "retry": ["a3f2"],
    "story": ["a3f2"],
    "joblog": ["a3f2"],
    "wait": ["a3f2"],
    "watch": ["a3f2"],
    "dashboard": ["a3f2"],
    "submit": ["a3f2", "--", "true"],
    "cleanup": ["-y"],
    "workers": [],
    "worker": ["--session", "a3f2"],
    "scale": ["1", "--session", "a3f2"],
    "drain": ["d4e5"],
    "summary": [],
    "info": [],
    "backup": ["copy.db"],
    "lock": ["a3f2", "src"],
    "unlock": ["a3f2"],
    "locks": ["--session", "a3f2"],
    "preview": ["--plan", "p.yaml"],
    "stop": None,
    "serve": None,
    "schema": None,
    "completion": None,
}
ASKING = {name: arguments for name, arguments in CALLS.items() if arguments is not None}
OF_A_SESSION = [name for name, arguments in ASKING.items() if "a3f2" in arguments]
# The coordinator made of lists answers these whatever the id; the real one does not.
ANSWERED_AT_ONCE = {"logs", "story"}
# Options that a command hands on to another program, which is the one to refuse them.
HANDS_ON = {"serve"}


@pytest.fixture
def call(br, tmp_path):
    """Runs a command as CALLS has it, in a directory with a plan."""
    (tmp_path / "p.yaml").write_text("tasks: [{id: a, run: 'true'}]\n")

    def run(name, *more):
        arguments = ASKING[name]
        at = arguments.index("--") if "--" in arguments else len(arguments)
        return br(name, *arguments[:at], *more, *arguments[at:])

    return run


@pytest.fixture
def broken(monkeypatch):
    """Makes the way to the coordinator fail."""

    def with_error(error):
        def fail(*_, **__):
            raise error

        monkeypatch.setattr(invocation, "open_client", fail)

    return with_error


def only_line(result):
    (line,) = result.stderr.splitlines()
    assert "Traceback" not in result.output
    return line


def test_no_command_is_left_out_here():
    names = {command.name for command in program.parallel_app.registered_commands}
    assert names <= set(CALLS), "add what is missing to CALLS"


@pytest.mark.parametrize("name", ASKING)
def test_a_coordinator_that_cannot_be_reached_is_3(build, call, broken, name):
    broken(UnreachableError("nobody answers at unix:/x; is it running?"))
    result = call(name)
    assert result.exit_code == 3, result.output
    assert only_line(result) == "nobody answers at unix:/x; is it running?"
    assert result.stdout == ""


@pytest.mark.parametrize("name", [name for name in OF_A_SESSION if name not in ANSWERED_AT_ONCE])
def test_an_unknown_session_is_4(fake, call, name):
    result = call(name)
    assert result.exit_code == 4, result.output
    assert "a3f2" in only_line(result)


@pytest.mark.parametrize("name", OF_A_SESSION)
def test_a_prefix_of_several_is_4_and_names_them(build, call, broken, name):
    broken(AmbiguousIdError("'a3f2' fits several.", candidates=["a3f2e1d9", "a3f2ffff"]))
    result = call(name)
    assert result.exit_code == 4
    assert "a3f2e1d9, a3f2ffff" in result.stderr


@pytest.mark.parametrize("name", [name for name in CALLS if name not in HANDS_ON])
def test_an_unknown_option_is_2_and_one_line(build, br, name):
    result = br(name, "--xyzzy")
    assert result.exit_code == 2, result.output
    assert only_line(result) == (
        f"br parallel {name}: No such option: --xyzzy (see br parallel {name} --help)"
    )
    assert build.calls == []


@pytest.mark.parametrize("name", CALLS)
def test_every_command_has_help(br, name):
    result = br(name, "--help")
    assert result.exit_code == 0
    assert f"br parallel {name}" in result.stdout and result.stderr == ""


@pytest.mark.parametrize("name", ASKING)
def test_an_interruption_is_130_and_one_line(build, call, broken, name):
    broken(KeyboardInterrupt())
    result = call(name)
    assert result.exit_code == 130, result.output
    assert only_line(result).startswith("Interrupted.")


@pytest.mark.parametrize("name", ASKING)
def test_with_json_an_error_leaves_standard_output_empty(build, call, broken, name):
    broken(NotFoundError("gone"))
    result = call(name, "--json")
    assert (result.exit_code, result.stdout, result.stderr) == (4, "", "gone\n")


@pytest.mark.parametrize("name", ["list", "status", "workers", "tasks", "watch", "summary", "info"])
def test_without_any_state_those_that_only_look_say_so_and_create_nothing(fake, br, tmp_path, name):
    fake.has_state = False
    result = br(name)
    assert (result.exit_code, result.stderr, fake.started) == (0, "", False)
    assert result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [["lost"], ["list", "--limit", "0"], ["scale"], ["wait", "a", "--timeout", "x"]]
)
def test_wrong_usage_says_what_to_look_at(build, br, arguments):
    result = br(*arguments)
    assert result.exit_code == 2
    assert only_line(result).endswith(" --help)")


def test_the_bare_program_shows_its_help(br):
    result = br()
    assert result.exit_code == 2
    assert "Sessions:" in result.output


@pytest.mark.parametrize(
    "arguments", [["--help"], ["parallel", "list", "--help"], ["parallel", "schema", "plan"]]
)
def test_a_reader_that_leaves_hears_no_complaint(arguments, tmp_path):
    """As in `br ... | head -0`: the pipe is closed before the first byte."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "buildrunner_parallel.cli", *arguments],
            stdout=writing, stderr=subprocess.PIPE, cwd=tmp_path, timeout=60, check=False,
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
        )  # fmt: skip
    finally:
        os.close(writing)
    assert done.stderr == b""
    assert done.returncode in (0, 1)
