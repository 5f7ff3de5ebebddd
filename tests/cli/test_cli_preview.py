"""preview and schema: what would happen to a plan, and its form for editors."""

from __future__ import annotations

import json

import pytest

from buildrunner_parallel.enums import TaskStatus, WaitKind
from buildrunner_parallel.errors import InvalidRequestError
from buildrunner_parallel.plan.json_schema import plan_schema
from buildrunner_parallel.records import (
    LockHolder,
    PlanConflict,
    PlanPreview,
    TaskExplanation,
    Wait,
)
from buildrunner_parallel.specs import PathRequest


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "plan.yaml").write_text(
        "name: Build\ntasks: [{id: a, run: x, files: [src/]}, {id: b, run: y}]"
    )
    return "plan.yaml"


@pytest.fixture
def told(build):
    """What the coordinator says: two pairs exclude each other, three tasks would wait for one holder."""
    holder = LockHolder("a3f2e1d9", "Build v3.1", "docs", "f1f1f1f1", "e5f6a7b8", "box")
    sentence = "waits for src, held by Build v3.1/docs for 3m20s"
    wait = Wait(WaitKind.LOCKS, sentence, ("src/",), (holder,))
    build.preview = PlanPreview(
        task_count=8,
        need_count=9,
        longest_chain=("lint", "unit", "build-app", "publish"),
        level_widths=(4, 2, 1, 1),
        conflicts=(
            PlanConflict(
                "lint", "unit", PathRequest("src", kind="tree"), PathRequest("src/a.py", "shared", "file")
            ),
            PlanConflict("docs", "site", PathRequest("res:web", kind="resource"), PathRequest("res:web")),
        ),
        conflict_count=2,
        waits=tuple(TaskExplanation(name, TaskStatus.BLOCKED, (wait,)) for name in ("lint", "unit", "docs")),
    )
    return build


PIPE = """\
plan\tplan.yaml
name\tBuild
tasks\t8
needs\t9
levels\t4
widest level\t4 tasks
longest chain\t4: lint → unit → build-app → publish

LEVEL\tTASKS
1\t4
2\t2
3\t1
4\t1

2 pairs of tasks cannot run at the same time, since they work on the same paths:
TASK\tPATH\tOTHER\tITS PATH
lint\tsrc/\tunit\tsrc/a.py (shared)
docs\tres:web\tsite\tres:web

3 tasks would have to wait now:
TASKS\tWHY\tIN THE WAY
lint and 2 others\twaits for src, held by Build v3.1/docs for 3m20s\ta3f2e1d9/docs
"""


def test_in_a_pipe_it_is_all_there(told, br, plan):
    result = br("preview", "--plan", plan)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == PIPE
    (call,) = [call for call in told.calls if call[0] == "preview_plan"]
    assert [spec.task_id for spec in call[1]] == ["a", "b"]
    assert call[2] == {}
    assert told.started


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_on_a_terminal_it_fits_its_width(told, terminal, plan, columns):
    result = terminal("preview", "--plan", plan, columns=columns)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= columns
    assert "█" * 24 in result.stdout
    for word in ("longest chain", "lint", "docs", "src/a.py", "a3f2e1d9", "3m20s"):
        assert word in result.stdout, word


def test_a_long_plan_is_cut_on_a_terminal_and_whole_in_a_pipe(told, br, terminal, plan):
    names = tuple(f"t{number}" for number in range(50))
    conflicts = tuple(
        PlanConflict(name, "x", PathRequest("a", kind="file"), PathRequest("a", kind="file"))
        for name in names
    )
    told.preview = PlanPreview(50, 49, names, (1,) * 50, conflicts, 1_000_000)
    whole = br("preview", "--plan", plan).stdout
    assert "t49\ta\tx\ta" in whole
    assert "\n50\t1\n" in whole
    assert "and 999,950 more" in whole
    assert "t47 → t48 → t49" in whole
    shown = terminal("preview", "--plan", plan).stdout
    assert "t0 → t1 → t2 → t3 → … → t49" in " ".join(shown.split())
    assert "and 30 more" in shown
    assert "and 999,980 more" in shown


def test_a_plan_that_is_in_nobodys_way_says_so(build, br, plan):
    build.preview = PlanPreview(task_count=2, longest_chain=("a",), level_widths=(2,))
    lines = br("preview", "--plan", plan).stdout.splitlines()
    assert "No two tasks exclude each other over paths" in lines
    assert lines[-1] == "Nothing that runs now is in the way"
    assert "LEVEL\tTASKS" not in lines


def test_it_can_be_looked_at_as_part_of_a_session(told, br, plan):
    assert br("preview", "--plan", plan, "--session", "a3f2").exit_code == 0
    (call,) = [call for call in told.calls if call[0] == "preview_plan"]
    assert call[2] == {"session_id": "a3f2e1d9"}
    assert not told.started
    assert br("preview", "--plan", plan, "--session", "beef").exit_code == 4


def test_json_has_everything(told, br_json, plan):
    preview = br_json("preview", "--plan", plan)["preview"]
    assert (preview["task_count"], preview["level_widths"], preview["conflict_count"]) == (8, [4, 2, 1, 1], 2)
    assert preview["conflicts"][0]["other_path"] == {"path": "src/a.py", "mode": "shared", "kind": "file"}
    assert preview["waits"][0]["waits"][0]["holders"][0]["task_id"] == "docs"


def test_hostile_names_are_harmless(told, terminal, plan):
    evil = "x\x1b[2J[bold]"
    told.preview = PlanPreview(1, 0, (evil,), (1,), (PlanConflict(evil, evil, PathRequest(evil)),), 1)
    shown = terminal("preview", "--plan", plan).stdout
    assert "\x1b" not in shown
    assert "[bold]" in shown


@pytest.mark.parametrize(
    ("text", "told_error", "code"),
    [
        ("tasks: [{run: x, needs: [y]}]", "plan.yaml:1: tasks[0].needs[0]: expected the id of a task", 1),
        ("tasks: [{run: x, files: [../y]}]", "outside the repository", 1),
    ],
)
def test_a_bad_plan_is_one_line(build, br, tmp_path, text, told_error, code):
    (tmp_path / "plan.yaml").write_text(text)
    result = br("preview", "--plan", "plan.yaml")
    assert result.exit_code == code
    assert told_error in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not [call for call in build.calls if call[0] == "preview_plan"]


def test_what_the_coordinator_refuses_is_one_line(build, br, plan):
    build.failing["preview_plan"] = InvalidRequestError("Task 'a': its wish cannot be.")
    result = br("preview", "--plan", plan)
    assert (result.exit_code, result.stderr) == (1, "Task 'a': its wish cannot be.\n")


def test_a_plan_must_be_named(build, br):
    assert br("preview").exit_code == 2


def test_the_schema_is_the_whole_output(fake, br):
    for options in ((), ("--json",)):
        result = br("schema", "plan", *options)
        assert result.exit_code == 0
        assert json.loads(result.stdout) == plan_schema()
    assert (fake.calls, fake.started) == ([], False)


def test_there_is_no_other_schema(fake, br):
    assert br("schema", "serve").exit_code == 2
    assert br("schema").exit_code == 2


def test_who_holds_a_path_by_hand_is_named_by_his_session(build, br, plan):
    holders = (LockHolder("b7c8d9e0", "Docs", grant_id="ab12"),)
    wait = Wait(WaitKind.LOCKS, "waits for src, held by session b7c8d9e0 (Docs)", ("src",), holders)
    build.preview = PlanPreview(1, waits=(TaskExplanation("a", TaskStatus.QUEUED, (wait,)),))
    lines = br("preview", "--plan", plan).stdout.splitlines()
    assert lines[-1] == "a\twaits for src, held by session b7c8d9e0 (Docs)\tb7c8d9e0 (by hand)"
