"""What a plan needs of the machine is looked for before anything is submitted."""

from __future__ import annotations

import pytest


def executable(path, text="#!/bin/sh\n"):
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_program_that_is_not_on_the_path_is_refused(refusal):
    assert refusal("tasks:\n- run: x\n- argv: [no-such-program-anywhere, x]") == [
        'plan.yaml:3: tasks[1].argv[0]: expected a program, found the text "no-such-program-anywhere", '
        "which is not on PATH"
    ]


def test_the_path_of_the_task_counts(load, refusal, tmp_path):
    (tmp_path / "bin").mkdir()
    executable(tmp_path / "bin" / "mytool")
    assert load(f"tasks: [{{argv: [mytool], env: {{PATH: {tmp_path}/bin}}}}]").tasks
    assert refusal("tasks: [{argv: [mytool]}]", environ={"PATH": "/nowhere"})


def test_a_program_with_a_directory_is_looked_for_from_the_working_directory(load, refusal, tmp_path):
    (tmp_path / "sub").mkdir()
    executable(tmp_path / "sub" / "go")
    assert load("tasks: [{argv: [./go], cwd: sub}]").tasks
    assert refusal("tasks: [{argv: [./go]}]") == [
        'plan.yaml:1: tasks[0].argv[0]: expected a program, found the text "./go", which is not there '
        f"(looked in {tmp_path})"
    ]


def test_a_program_that_cannot_be_run_is_refused(refusal, tmp_path):
    (tmp_path / "data").write_text("x")
    (tmp_path / "dir").mkdir()
    assert "which is not executable (chmod +x)" in refusal("tasks: [{argv: [./data]}]")[0]
    assert "which is a directory" in refusal("tasks: [{argv: [./dir]}]")[0]


@pytest.mark.parametrize(("name", "fault"), [("gone", "is not there"), ("file", "is not a directory")])
def test_a_working_directory_that_is_not_there_is_refused(refusal, tmp_path, name, fault):
    (tmp_path / "file").write_text("x")
    assert refusal(f"tasks: [{{run: x, cwd: {name}}}]") == [
        f'plan.yaml:1: tasks[0].cwd: expected a directory, found the text "{name}", which {fault}'
    ]


def test_what_a_needed_task_may_still_make_is_left_to_the_worker(load):
    plan = load("tasks: [{id: a, run: x}, {argv: [out/tool], needs: [a]}, {run: y, cwd: out, needs: [a]}]")
    assert len(plan.tasks) == 3


def test_shell_lines_and_handlers_are_not_looked_into(load):
    assert load("tasks: [{run: no-such-program}, {handler: anything}]").tasks


def test_without_the_check_nothing_is_looked_for(load):
    assert load("tasks: [{argv: [no-such-program-anywhere], cwd: gone}]", check_machine=False).tasks


def test_a_thousand_tasks_of_one_program_look_once(load, monkeypatch):
    looked: list[str] = []

    def look(name: str, path: str) -> str:
        looked.append(name)
        return "/bin/x"

    monkeypatch.setattr("shutil.which", look)
    load("tasks:\n" + "\n".join("- argv: [tool]" for _ in range(1000)))
    assert looked == ["tool"]
