"""What is offered at each place of a command line; where nothing is, nothing is said and nothing left."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from enum import Enum
from typing import Any

import pytest
from typer.main import get_command

from buildrunner_parallel.cli.app import br_app, parallel_app
from buildrunner_parallel.cli.completing import candidates, ids
from buildrunner_parallel.cli.completing.kinds import KINDS, SESSIONS_FOR, TASKS_FOR
from buildrunner_parallel.cli.completing.shells import reply
from buildrunner_parallel.cli.completing.typed import understand
from buildrunner_parallel.cli.options import SessionState, TaskState
from buildrunner_parallel.cli.plain_values import declared_type

BR: Any = get_command(br_app)
BREAKS = " \t\n\"'@><=;|&(:"
ONE_TAB, TWO_TABS = "9", "63"


def leaves(group, path=()):
    for name, command in group.commands.items():
        yield from leaves(command, (*path, name)) if hasattr(command, "commands") else [(path, command)]


class Known:
    """A coordinator with a session, and ids as bad as they come."""

    def __init__(self):
        self.asked: list[tuple[Any, ...]] = []
        self.places: list[tuple[str, ...]] = []

    def sessions(self, states):
        self.asked.append(("sessions", states))
        yield "last", "the newest: Build \x1b[31m$(id)\nv3, running"
        yield "a3f2e1d9", "Build \x1b[31m$(id)\nv3, running"
        yield "b7c8d9e0", "Docs, completed"

    def tasks(self, session, states, beginning):
        self.asked.append(("tasks", session, states, beginning))
        for name in ("lint", "my task", "a$(id);b", "-rf", "unit\u202etxt", "unit"):
            yield name, "failed: make"

    def workers(self):
        yield "d4e5f6a7", "idle, on box"

    def locks(self):
        yield "10c4", "src/app.py, held by unit of Build"

    def grants(self, session):
        yield "9a9a", f"of {session}"

    def held_paths(self, session):
        yield "src/a b.py", f"lock 10c4 of {session}"


@pytest.fixture
def known(monkeypatch):
    here = Known()

    def coordinator(*place):
        here.places.append(place)
        return here

    monkeypatch.setattr(ids, "coordinator", coordinator)
    return here


def offered(*words):
    """What fish is told: the kind, and value to description."""
    kind, *lines = reply(BR, "fish", ["parallel", *words])
    pairs = [line.partition("\t") for line in lines]
    return kind, {value: told for value, _, told in pairs}


def values(*words):
    kind, found = offered(*words)
    assert kind == "values"
    return list(found)


def test_each_parameter_of_each_command_has_a_kind_or_words_of_its_own():
    missing = []
    for path, command in leaves(BR):
        declared = inspect.signature(command.callback, eval_str=True).parameters
        for one in command.params:
            kind = declared_type(declared[one.name].annotation)
            has_words = isinstance(kind, type) and issubclass(kind, Enum)
            if not (
                getattr(one, "is_flag", False)
                or has_words
                or {one.name, f"{command.name} {one.name}"} & {*KINDS}
            ):
                missing.append((*path, command.name, one.name))
    assert missing == [], "add them to completing/kinds.py"


def test_no_kind_is_left_that_no_command_has():
    names = {one.name for _, command in leaves(BR) for one in command.params}
    names |= {f"{command.name} {one.name}" for _, command in leaves(BR) for one in command.params}
    assert set(KINDS) <= names
    assert {*SESSIONS_FOR, *TASKS_FOR} <= {command.name for _, command in leaves(BR)}


def test_the_states_that_ids_are_chosen_by_are_states():
    assert {state for states in SESSIONS_FOR.values() for state in states} <= set(SessionState)
    assert {state for states in TASKS_FOR.values() for state in states} <= set(TaskState)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["st"], ["start", "status", "story", "stop"]),
        (["--json", "--coordinator", "unix:/x", "gu"], ["guard"]),
        (["guard", "in"], ["install"]),
        (["--q"], ["--quiet"]),
        (["list", "--s"], ["--status"]),
        (["list", "--status", "r"], ["running"]),
        (["list", "-s", "c"], ["created", "completed", "cancelled"]),
        (["list", "--status=pa"], ["--status=paused"]),
        (["watch", "-k", "task", "--kind", "w"], ["worker"]),
        (["list", "--status", "running", "--st"], []),
        (["watch", "--kind", "task", "--ki"], ["--kind"]),
        (["schema", "pl"], ["plan"]),
        (["schema", "back"], ["backup"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["start", "--on-failure", "s"], ["stop-now"]),
        (["submit", "last", "--isolate=w"], ["--isolate=worktree"]),
        (["submit", "last", "--id", ""], []),
        (["list", "--limit", ""], []),
        (["nonsense", ""], []),
        (["list", "--nonsense=", ""], []),
        (["list", "--nonsense="], []),
        (["list", ""], []),
    ],
)
def test_names_options_and_words_are_offered(words, found):
    assert values(*words) == found


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["start", "--plan", ""], "files"),
        (["start", "--plan=b"], "files"),
        (["start", "--file", "src/"], "files"),
        (["lock", "last", "src/a", ""], "files"),
        (["locks", ""], "files"),
        (["--token-file", ""], "files"),
        (["serve", "--data", ""], "directories"),
        (["start", "--cwd=", ""], "values"),
        (["start", "x", "--", ""], "command 5"),
        (["submit", "last", "--", "make", "-"], "command 5"),
        (["lock", "last", "src", "--wait", "--", "vi"], "command 7"),
        (["submit", "last", ""], "values"),
    ],
)
def test_files_directories_and_programs_are_left_to_the_shell(words, kind):
    assert offered(*words) == (kind, {})


def test_sessions_come_with_name_and_state_and_only_those_that_the_command_is_for(known):
    kind, found = offered("pause", "")
    assert kind == "values"
    assert found["a3f2e1d9"] == "Build ␛[31m$(id) v3, running"
    assert known.asked == [("sessions", ("running",))]
    assert values("status", "a") == ["a3f2e1d9"]
    assert known.asked[-1] == ("sessions", ())


def test_tasks_are_those_of_the_session_that_was_typed(known):
    assert values("show", "a3f2", "l") == ["lint"]
    assert values("cancel", "b7", "--task", "u") == ["unit"]
    assert values("submit", "c1", "--needs=l") == ["--needs=lint"]
    assert known.asked == [
        ("tasks", "a3f2", (), "l"),
        ("tasks", "b7", TASKS_FOR["cancel"], "u"),
        ("tasks", "c1", (), "l"),
    ]


def test_what_was_named_already_is_not_offered_again(known):
    assert "lint" not in values("retry", "a3f2", "lint", "")
    assert "my task" in values("retry", "a3f2", "lint", "")


def test_ids_that_would_be_options_or_cannot_be_seen_for_what_they_are_are_left_out(known):
    found = values("logs", "a3f2", "")
    assert found == ["lint", "my task", "a$(id);b", "unit"]
    assert values("logs", "a3f2", "--", "-") == ["-rf"]


def test_workers_locks_and_grants(known):
    assert values("drain", "") == ["d4e5f6a7"]
    assert values("story", "") == ["last", "a3f2e1d9", "b7c8d9e0", "d4e5f6a7"]
    assert values("unlock", "--force", "") == ["10c4"]
    assert offered("unlock", "a3f2", "--grant", "") == ("values", {"9a9a": "of a3f2"})
    assert values("unlock", "a3f2", "src") == ["src/a b.py"]


def test_the_coordinator_that_was_typed_is_the_one_that_is_asked(known):
    values("--token-file", "t", "status", "--coordinator", "unix:/there", "")
    values("status", "")
    assert known.places == [("unix:/there", "t"), ("", "")]


def test_zsh_gets_a_line_to_show_with_each_value(known):
    assert reply(BR, "zsh", ["parallel", "status", "b"]) == [
        "values",
        "b7c8d9e0\tb7c8d9e0  -- Docs, completed",
    ]


def bash(line, kind=ONE_TAB):
    head, *found = reply(BR, "bash", [line, kind, BREAKS])
    assert head == "values"
    return found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("br parallel list --sta", ["--status"]),
        ("br parallel list --status=r", ["running"]),
        ("A=1 B='x y' br parallel list -s r", ["running"]),
        ("br parallel logs last my", ["my\\ task"]),
        ("br parallel logs last my\\ t", ["my\\ task"]),
        ('br parallel logs last "my', ["my task"]),
        ("br parallel logs last 'my t", ["my task"]),
        ("br parallel logs last a", ["a\\$\\(id\\)\\;b"]),
        ('br parallel logs last "a', ["a\\$(id);b"]),
        ("br parallel logs last 'a", ["a$(id);b"]),
        ("br parallel logs last m'y 't", ["task"]),
    ],
)
def test_bash_gets_what_belongs_behind_its_break_in_the_quotes_that_are_open(known, line, found):
    assert bash(line) == found


def test_bash_shows_what_ids_are_in_lists_alone(known):
    assert bash("br parallel status ") == ["last", "a3f2e1d9", "b7c8d9e0"]
    assert bash("br parallel status ", TWO_TABS)[2] == "b7c8d9e0  (Docs, completed)"
    assert bash("br parallel status a", TWO_TABS) == ["a3f2e1d9"]


def test_no_more_candidates_are_given_than_can_be_looked_at(monkeypatch):
    class Endless:
        def tasks(self, *_):
            number = 0
            while True:
                number += 1
                yield f"task-{number}", ""

    monkeypatch.setattr(ids, "coordinator", lambda *_: Endless())
    assert len(values("show", "last", "")) == candidates.MOST


def test_the_group_alone_is_completed_too():
    assert reply(get_command(parallel_app), "fish", ["guard", "rem"])[1].startswith("remove\t")


@pytest.mark.parametrize(
    "line", [[], ["a"], ["a", "--", "b"], ["--wait"], ["--wait", "a"], ["-x"], ["--nothing", "a"]]
)
def test_any_words_are_understood_somehow(line):
    for path, command in leaves(BR):
        typed = understand(BR, [*path, command.name, *line])
        assert typed is not None and typed.path[-1] == command.name


# ---------------------------------------------------------------- the whole program


def ask(folder, shell, *question, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BR_")}
    done = subprocess.run(
        [sys.executable, "-m", "buildrunner_parallel.cli", *question],
        env={**kept, "PYTHONPATH": ":".join(sys.path), "_BR_COMPLETE": shell, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_where_nothing_was_started_no_id_is_known_and_nothing_is_made(tmp_path):
    assert ask(tmp_path, "fish", "parallel", "status", "") == ""
    assert list(tmp_path.iterdir()) == []
    assert ask(tmp_path, "fish", "parallel", "stat").startswith("values\nstatus\t")


@pytest.mark.parametrize("shell", ["tcsh", "bash", "../bash", "\x1b"])
def test_a_question_in_no_known_form_is_not_answered(tmp_path, shell):
    assert ask(tmp_path, shell, "parallel") == ""


def test_a_coordinator_that_is_gone_is_not_missed(tmp_path):
    state = tmp_path / ".buildrunner"
    state.mkdir()
    (state / "coordinator.json").write_text(json.dumps({"address": f"unix:{state}/s", "pid": 1}))
    (state / "state.db").touch()
    before = sorted(tmp_path.rglob("*"))
    assert ask(tmp_path, "zsh", "parallel", "status", "") == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_a_coordinator_that_never_answers_holds_nobody_up(tmp_path, silent_coordinator):
    assert ask(tmp_path, "fish", "parallel", "status", "", BR_COORDINATOR=silent_coordinator) == ""
    assert ask(tmp_path, "fish", "parallel", "list", "-s", "r", BR_COORDINATOR=silent_coordinator)


@pytest.fixture
def silent_coordinator(tmp_path):
    """An address where connections are taken, and nothing is said."""
    import socket

    with socket.socket(socket.AF_UNIX) as listener:
        path = f"/tmp/br-silent-{os.getpid()}.sock"
        listener.bind(path)
        listener.listen(8)
        yield f"unix:{path}"
    os.unlink(path)  # noqa: PTH108


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_says_where_it_belongs(br, shell):
    script = br("completion", shell).stdout
    assert f"br parallel completion {shell}" in script.partition("\n\n")[0]
    assert br("completion", shell, "--json").exit_code == 2
