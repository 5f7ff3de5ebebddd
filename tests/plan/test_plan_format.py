"""Every key of a plan file, in its three formats."""

from __future__ import annotations

import io
import json

import pytest

from buildrunner_parallel.plan import FailurePolicy, PlanError, PlanFile, load_plan

WHOLE = """
name: Build v3.1
workers: 3
on_failure: stop-now:2
max_parallel: 4
defaults: {timeout: 10m, retries: 1, env: {CI: "1", LEVEL: low}}
tasks:
  - id: lint
    run: ruff check .
  - id: unit
    argv: [sh, -c, "true"]
    needs: [lint]
    files: [tests/unit/, {path: src/**, mode: shared}, {literal: "a[1].py"}, {glob: "*.c"}]
    timeout: 5m
    retries: 2
    labels: [linux]
    priority: 10
    slots: 2
    cwd: .
    env: {LEVEL: high, DEBUG: 0, ON: yes, FLAG: true}
    pass_env: ["ANTHROPIC_*"]
    grace: 20s
    audit: on
    isolate: worktree
    worker: b2c4d5e6
    metadata: {owner: me, sizes: [1, 2.5, null, {deep: true}]}
  - id: call
    handler: compile
    payload: {file: a.c, flags: [-O2]}
"""


def test_every_key_arrives(load):
    plan = load(WHOLE)
    assert (plan.name, plan.workers, plan.max_parallel) == ("Build v3.1", 3, 4)
    assert plan.on_failure == FailurePolicy("stop-now", 2)
    lint, unit, call = plan.tasks
    assert (lint.run, lint.timeout_s, lint.retries, lint.env) == (
        "ruff check .", 600.0, 1, {"CI": "1", "LEVEL": "low"},
    )  # fmt: skip
    assert unit.argv == ("sh", "-c", "true")
    assert unit.needs == ("lint",)
    assert unit.files == (
        PlanFile("tests/unit/"),
        PlanFile("src/**", "shared"),
        PlanFile("a[1].py", form="literal"),
        PlanFile("*.c", form="glob"),
    )
    assert (unit.timeout_s, unit.grace_s, unit.retries, unit.priority, unit.slots) == (300.0, 20.0, 2, 10, 2)
    assert unit.env == {"CI": "1", "LEVEL": "high", "DEBUG": "0", "ON": "yes", "FLAG": "true"}
    assert (unit.labels, unit.pass_env, unit.cwd) == (("linux",), ("ANTHROPIC_*",), ".")
    assert (unit.audit, unit.isolate, unit.worker) == (True, "worktree", "b2c4d5e6")
    assert unit.metadata == {"owner": "me", "sizes": [1, 2.5, None, {"deep": True}]}
    assert (call.handler, call.content_type) == ("compile", "application/json")
    assert json.loads(call.payload) == {"file": "a.c", "flags": ["-O2"]}


def test_the_three_formats_give_the_same_plan(load):
    tasks = [
        {"id": "a", "run": "true"},
        {"id": "b", "argv": ["sh"], "needs": ["a"], "timeout": "5m", "slots": 2},
    ]
    from_json = load(json.dumps({"name": "n", "tasks": tasks}), "json").tasks
    from_yaml = load(
        "name: n\ntasks:\n- {id: a, run: 'true'}\n- {id: b, argv: [sh], needs: [a], timeout: 5m, slots: 2}"
    )
    from_toml = load(
        'name="n"\n[[tasks]]\nid="a"\nrun="true"\n[[tasks]]\nid="b"\nargv=["sh"]\nneeds=["a"]\ntimeout="5m"\nslots=2\n',
        "toml",
    )
    assert from_json == from_yaml.tasks == from_toml.tasks


def test_a_dash_reads_yaml_from_standard_input():
    plan = load_plan("-", stdin=io.BytesIO(b"tasks: [{run: 'true'}]"))
    assert (plan.source, plan.tasks[0].task_id) == ("<stdin>", "task-1")
    with pytest.raises(PlanError, match=r"^<stdin>:1: tasks: expected a list, found the number 3$"):
        load_plan("-", stdin=io.BytesIO(b"tasks: 3"))


def test_ids_are_made_where_there_is_none_and_never_collide(load):
    plan = load("tasks: [{run: a}, {id: task-1, run: b}, {run: c}]")
    assert [task.task_id for task in plan.tasks] == ["task-1x", "task-1", "task-3"]


@pytest.mark.parametrize(
    ("written", "audit"), [("on", True), ("off", False), ("true", True), ("'off'", False)]
)
def test_audit_on_is_no_trap(load, written, audit):
    assert load(f"tasks: [{{run: x, audit: {written}}}]").tasks[0].audit is audit


def test_auto_undoes_what_the_defaults_say(load):
    plan = load("defaults: {audit: on}\ntasks: [{run: x}, {run: y, audit: auto}, {run: z, audit: null}]")
    assert [task.audit for task in plan.tasks] == [True, None, None]


def test_merge_of_the_defaults_is_for_those_with_a_worktree(load):
    plan = load(
        "defaults: {merge: on, isolate: worktree}\n"
        "tasks: [{run: x}, {run: y, isolate: none}, {run: z, merge: off}]"
    )
    assert [(task.isolate, task.merge) for task in plan.tasks] == [
        ("worktree", True), ("none", False), ("worktree", False),
    ]  # fmt: skip


def test_the_words_of_yaml_1_1_are_text(load):
    plan = load("tasks: [{run: x, env: {A: no, B: y, C: off, D: 010, E: 1:30, F: 2020-01-01, G: 1_000}}]")
    assert plan.tasks[0].env == {
        "A": "no", "B": "y", "C": "off", "D": "010", "E": "1:30", "F": "2020-01-01", "G": "1_000",
    }  # fmt: skip


def test_anchors_and_merge_keys_work(load):
    plan = load("""
tasks:
  - &base {id: a, run: make, env: &env {X: "1"}, labels: [linux]}
  - {<<: *base, id: b}
  - {id: c, run: z, env: *env}
""")
    assert [(t.task_id, t.run, dict(t.env)) for t in plan.tasks] == [
        ("a", "make", {"X": "1"}), ("b", "make", {"X": "1"}), ("c", "z", {"X": "1"}),
    ]  # fmt: skip


def test_a_byte_order_mark_and_text_in_any_script_are_fine(load):
    plan = load("\ufefftasks: [{id: überprüfen, run: echo 漢字}]")
    assert plan.tasks[0].task_id == "überprüfen"


@pytest.mark.parametrize(
    ("written", "policy"),
    [
        ("continue", ("continue", 1)),
        ("finish-running", ("finish-running", 1)),
        ("stop-now:7", ("stop-now", 7)),
    ],
)
def test_failure_policies(load, written, policy):
    assert load(f"on_failure: {written}\ntasks: [{{run: x}}]").on_failure == FailurePolicy(*policy)


def test_a_text_payload_goes_as_text(load):
    task = load("tasks: [{handler: h, payload: hello}, {handler: h}]").tasks
    assert (task[0].payload, task[0].content_type) == (b"hello", "text/plain; charset=utf-8")
    assert (task[1].payload, task[1].content_type) == (b"", "")
