"""The example of docs/plan-file.md is a plan that loads and means what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from buildrunner_parallel.plan import Plan, load_plan
from buildrunner_parallel.plan.schema import Options, PlanSpec, TaskSpec

PAGE = Path(__file__).parents[2] / "docs/plan-file.md"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    file = tmp_path / "plan.yaml"
    file.write_text(block)
    return load_plan(str(file), directory=tmp_path)


def test_the_documented_example_loads(plan: Plan) -> None:
    assert (plan.name, plan.workers, plan.max_parallel) == ("Build 3.1", 3, 8)
    assert [task.task_id for task in plan.tasks] == ["lint", "unit", "build-app", "build-docs", "publish"]


def test_defaults_patterns_and_matrix_mean_what_the_page_says(plan: Plan) -> None:
    lint, unit, app, docs, publish = plan.tasks
    assert (lint.timeout_s, lint.retries, unit.timeout_s, unit.retries) == (600, 1, 300, 2)
    assert dict(unit.env) == {"CI": "1", "DEBUG": "0"}
    assert publish.needs == (app.task_id, docs.task_id)
    assert (docs.run, docs.files[0].path) == ('echo "making docs"', "out/docs/")
    assert [file.mode for file in unit.files] == ["exclusive", "shared"]


def test_the_example_of_the_page_on_worktrees_means_what_it_says(tmp_path: Path) -> None:
    page = PAGE.with_name("worktrees.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "plan.yaml").write_text(block)
    tasks = load_plan(str(tmp_path / "plan.yaml"), directory=tmp_path, check_machine=False).tasks
    assert [(task.task_id, task.isolate, task.merge) for task in tasks] == [
        ("parser", "worktree", True), ("printer", "worktree", True), ("tests", "worktree", True),
    ]  # fmt: skip


def test_every_key_of_the_file_is_documented() -> None:
    documented = set(
        re.findall(r"`([a-z_]+)`", " ".join(re.findall(r"^\| ([^|]*) \|", PAGE.read_text(), re.MULTILINE)))
    )
    keys = {*PlanSpec.model_fields, *TaskSpec.model_fields, *Options.model_fields}
    assert keys <= documented, f"not in the tables of the page: {sorted(keys - documented)}"
