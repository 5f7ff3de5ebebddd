"""Wrong usage of every command: one line on standard error, exit code 2, nothing done, nobody asked.

Bad values are tried for every option that there is, found by walking over the parser. What the lines say
stands in golden/errors.txt.
"""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from typer.main import get_command

from buildrunner_coordinator.rpc.convert import sessions, specs, workers
from buildrunner_parallel import bounds
from buildrunner_parallel.cli import app as program
from buildrunner_parallel.cli.help_page import SHARED_NAMES
from tests.cli.scene import set_scene
from tests.cli.test_cli_every_command import ASKING, HANDS_ON
from tests.cli.test_cli_golden import compare

# By the name of an option's value in the help.
BAD_VALUES = {
    "N": ["x", "1.5", ""],
    "DURATION": ["soon", "-1s", ""],
    "SECONDS": ["soon", "-1"],
    "STATUS": ["sleeping"],
    "STATE": ["sleeping"],
    "KIND": ["thing"],
    "POLICY": ["explode", "stop-now:0"],
    "WHEN": ["sometimes"],
    "HOW": ["container"],
    "K=V": ["novalue", "=x"],
    "PATH[:shared]": ["", ":shared"],
    "REV": ["x", "-1"],
    "[DURATION]": [],
}
# Any text may be one of these; whether it is one that exists is seen later.
TEXTS = {
    "ID", "FILE", "DIR", "NAME", "GLOB", "L", "MODULE", "LOCK", "TEXT", "HOST:PORT", "ADDRESS", None,
}  # fmt: skip
BELOW = {"limit": "0", "slots": "0", "tail": "0", "attempt": "0", "fence": "0", "max_parallel": "0",
         "retries": "-1", "priority": "-1001", "workers": "-1", "tasks": "-1", "days": "-1"}  # fmt: skip
# What no message could carry. Of limits and the like any number will do.
HUGE = "99999999999999999999"
ENDLESS = {"limit", "tail", "attempt"}
# Contradictions, what is missing, what is too much: each command's own.
WRONG = [
    "", "lost", "list extra", "status a b", "pause", "pause a3f2 --all", "resume", "cancel",
    "cancel a3f2", "cancel --all", "cancel --task unit", "cancel --all --task unit", "close",
    "close a b", "wait", "wait a b c", "start", "start a b", "start x --plan plan.yaml --tasks 3",
    "start --plan plan.yaml --commands jobs.txt", "start --commands jobs.txt --args jobs.txt -- x {}",
    "start --args jobs.txt", "start x -- echo no-placeholder", "start x -0", "start x --dry-run",
    "start x --retries 3", "start --plan plan.yaml --label linux", "start --commands jobs.txt --merge",
    "submit", "submit a3f2", "submit a3f2 --handler h -- ls", "submit a3f2 --payload job.json -- ls",
    "submit a3f2 --plan plan.yaml --id x", "submit a3f2 --plan plan.yaml --timeout 3s", "show",
    "show a3f2", "show a3f2 unit --result --patch", "show a3f2 unit --json --result",
    "show a3f2 unit --json --patch", "logs", "logs a3f2 --tail 3", "logs a3f2 --attempt 1",
    "logs a3f2 unit --stdout --stderr", "explain", "story", "joblog", "joblog a b", "retry", "preview",
    "cleanup", "cleanup --json", "lock", "lock a3f2", "lock a3f2 -- true", "lock a3f2 src --",
    "lock a3f2 src --json -- true", "unlock", "unlock --grant ab12", "unlock --fence 3 a3f2",
    "unlock --force ab12", "unlock a3f2 --force ab12 --reason x", "unlock a3f2 --reason x",
    "locks --since 1h", "locks src --stats", "locks --stats --waiting", "workers extra", "worker extra",
    "scale", "scale x", "scale -- -1", "scale 1001", "scale 1 --timeout 3s", "drain", "drain d4e5 --all",
    "drain d4e5 --timeout 3s", "summary extra", "info extra", "stop extra", "backup", "backup a b",
    "schema", "schema lost", "guard", "guard lost", "guard install extra", "guard status extra",
    "guard remove extra", "watch a b",
]  # fmt: skip
SHOWS_HELP = {"", "guard"}


@pytest.fixture
def scene(fake, tmp_path, monkeypatch):
    set_scene(fake, tmp_path, monkeypatch)
    (tmp_path / "p.yaml").write_text("tasks: [{id: a, run: 'true'}]\n")
    return fake


def options():
    """Every option of every command: its name on the command line, the name of its value, the command."""
    group: Any = get_command(program.parallel_app)
    top = group.make_context("br parallel", [], resilient_parsing=True)
    for name in group.list_commands(top):
        command = group.get_command(top, name)
        context = command.make_context(name, [], parent=top, resilient_parsing=True)
        for one in context.command.get_params(context):
            if one.param_type_name == "option" and not one.is_flag and one.name not in SHARED_NAMES:
                yield name, max(one.opts, key=len), one.metavar, one.name


OPTIONS = [found for found in options() if found[0] not in HANDS_ON]


def with_option(name, option, value):
    """A call that is right but for this value."""
    arguments = ASKING.get(name, [])
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return [
        name,
        *arguments[:at],
        f"{option}={value}" if option.startswith("--") else option,
        *arguments[at:],
    ]


BAD = [
    with_option(name, option, value)
    for name, option, metavar, key in OPTIONS
    for value in [
        *BAD_VALUES.get(metavar, []),
        *([BELOW[key]] if key in BELOW else []),
        *([HUGE] if metavar in ("N", "REV") and key not in ENDLESS else []),
    ]
]


def test_every_option_s_value_is_known_here():
    assert {metavar for _, _, metavar, _ in OPTIONS} - BAD_VALUES.keys() <= TEXTS


@pytest.mark.parametrize("words", BAD, ids=" ".join)
def test_a_bad_value_is_2_in_one_line_that_names_the_option(scene, br, words):
    result = br(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1
    (option,) = (word.partition("=")[0] for word in words if word.startswith("--") and "=" in word)
    assert option in result.stderr
    assert result.stderr.endswith(f"(see br parallel {words[0]} --help)\n")
    assert scene.calls == []


@pytest.mark.parametrize("line", WRONG)
def test_wrong_usage_is_2_in_one_line_and_asks_nobody(scene, br, line):
    result = br(*shlex.split(line))
    assert result.exit_code == 2, result.output
    assert scene.calls == [] and not scene.started
    if line in SHOWS_HELP:
        assert "Usage: br parallel" in result.output
        return
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1
    assert " --help)" in result.stderr and "Traceback" not in result.output


def test_what_the_lines_say(scene, br):
    page = []
    for line in [line for line in WRONG if line not in SHOWS_HELP]:
        page.append(f"$ br parallel {line}\n{br(*shlex.split(line)).stderr}")
    for words in BAD:
        if words[0] in ("start", "list", "submit", "watch", "wait", "lock"):
            page.append(f"$ br parallel {shlex.join(words)}\n{br(*words).stderr}")
    compare("errors", "\n".join(page))


def test_options_and_plans_know_the_bounds_that_the_coordinator_has():
    assert (bounds.MOST_WORKERS, bounds.MOST_SLOTS) == (sessions.MAX_WORKERS, specs.MAX_SLOTS)
    assert (bounds.MOST_SLOTS, bounds.MOST_CREDIT) == (workers.MAX_SLOTS, workers.MAX_CREDIT)
