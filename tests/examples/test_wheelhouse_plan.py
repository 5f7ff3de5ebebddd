"""The plan and the files beside it: complete, consistent, pinned, and free of addresses."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from wheelhouse_steps.command import main
from wheelhouse_steps.errors import StepError
from wheelhouse_steps.manifest import read_packages, read_pins
from wheelhouse_steps.places import EXAMPLE, ROOT, Places
from wheelhouse_steps.shards import parse_shard

from buildrunner_parallel.plan import Plan, load_plan

SHARDS = ("1of3", "2of3", "3of3")
PAGE = "build/wheelhouse/index.html"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(str(EXAMPLE / "plan.yaml"), directory=ROOT)


def test_the_plan_has_every_step_of_every_package(plan: Plan):
    steps = ("fetch", "unpack", "build", "install", "smoke", "index")
    expected = {"tools", "verify"}
    for name in read_packages():
        expected |= {f"{step}-{name}" for step in steps} | {f"test-{name}-{shard}" for shard in SHARDS}
    assert {task.task_id for task in plan.tasks} == expected
    assert len(plan.tasks) == len(expected) == 56


def test_every_need_is_a_task_and_a_package_needs_only_its_own(plan: Plan):
    ids = {task.task_id for task in plan.tasks}
    for task in plan.tasks:
        needed = {known for need in task.needs for known in ids if fnmatchcase(known, need)}
        assert all(any(fnmatchcase(known, need) for known in ids) for need in task.needs)
        for name in read_packages():
            if task.task_id.endswith(f"-{name}"):
                assert all(name in need or need == "tools" for need in needed), task.task_id


def test_a_package_is_listed_only_after_all_its_shards_and_its_smoke_test(plan: Plan):
    tasks = {task.task_id: task for task in plan.tasks}
    for name in read_packages():
        wanted = {f"smoke-{name}", *(f"test-{name}-{shard}" for shard in SHARDS)}
        needs = tasks[f"index-{name}"].needs
        assert all(any(fnmatchcase(task_id, need) for need in needs) for task_id in wanted)


def test_whoever_writes_the_page_locks_it_exclusively_and_the_reader_shares(plan: Plan):
    modes = {task.task_id: (file.path, file.mode) for task in plan.tasks for file in task.files}
    writers = {f"index-{name}": (PAGE, "exclusive") for name in read_packages()}
    assert modes == writers | {"verify": (PAGE, "shared"), "tools": ("build/wheelhouse/", "exclusive")}
    assert Places().index == ROOT / PAGE


def test_only_the_tasks_that_use_the_network_get_its_settings(plan: Plan):
    for task in plan.tasks:
        networked = task.task_id == "tools" or task.task_id.startswith("fetch-")
        assert bool(task.pass_env) == networked == bool(task.retries)
        assert task.timeout_s == 300


def test_every_command_is_one_that_the_steps_know(plan: Plan, tmp_path: Path):
    for task in plan.tasks:
        assert task.run is not None
        python, script, step, *arguments = task.run.split()
        assert (python, ROOT / script) == ("python3", EXAMPLE / "step.py")
        assert "-".join([step, *arguments]) == task.task_id
        if step == "test":
            assert str(parse_shard(arguments[1])) == arguments[1]


@pytest.mark.parametrize("name", ["sources.txt", "tools.txt"])
def test_requirements_are_exact_and_hashed_and_name_no_address(name: str):
    text = (EXAMPLE / name).read_text(encoding="utf-8")
    assert read_pins(EXAMPLE / name)
    assert not re.search(r"https?:|//|@|--index|-i |--find-links|\w+\.(org|com|io|net)\b", text)


def test_a_requirement_without_a_hash_is_refused(tmp_path: Path):
    (tmp_path / "some.txt").write_text("toolz==1.0.0\n")
    with pytest.raises(StepError, match=r"some\.txt: expected NAME==VERSION --hash"):
        read_pins(tmp_path / "some.txt")


def test_a_package_without_a_pin_is_refused(tmp_path: Path):
    (tmp_path / "sources.txt").write_text("")
    (tmp_path / "packages.toml").write_text("[toolz]\n")
    with pytest.raises(StepError, match="only one has: toolz"):
        read_packages(tmp_path)


@pytest.mark.parametrize(
    "arguments", [[], ["fetch"], ["fetch", "nosuch"], ["test", "toolz"], ["dance", "toolz"]]
)
def test_an_unknown_step_or_package_is_said_on_stderr_and_in_the_error_file(
    arguments: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("BR_ERROR_FILE", str(tmp_path / "error"))
    monkeypatch.setattr("os.umask", lambda mask: 0)
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: usage: step.py ")
    assert "usage: step.py" in (tmp_path / "error").read_text()
