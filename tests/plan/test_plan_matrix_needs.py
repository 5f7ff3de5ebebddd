"""Matrix, needs and their patterns."""

from __future__ import annotations

import time

from buildrunner_parallel.plan.needs import find_cycle


def test_a_matrix_makes_one_task_a_combination_in_order(load):
    plan = load("tasks: [{id: 'b-{os}-{py}', run: 'make {os} {py}', matrix: {os: [linux, mac], py: [3, 4]}}]")
    assert [task.task_id for task in plan.tasks] == ["b-linux-3", "b-linux-4", "b-mac-3", "b-mac-4"]
    assert plan.tasks[2].run == "make mac 3"
    assert {task.index for task in plan.tasks} == {0}


def test_only_declared_keys_are_filled_in(load):
    (task,) = load("tasks: [{id: '{t}', run: 'x {t} {} {u} ${t} ${HOME} {{t}}', matrix: {t: [a]}}]").tasks
    assert task.run == "x a {} {u} ${t} ${HOME} {a}"


def test_without_a_matrix_nothing_is_filled_in(load):
    (task,) = load("tasks: [{id: '{t}', run: 'x {t}'}]").tasks
    assert (task.task_id, task.run) == ("{t}", "x {t}")


def test_a_matrix_reaches_every_text_of_the_task(load):
    task = load("""
tasks:
  - {id: base-a, run: x}
  - id: t-{k}
    handler: h-{k}
    payload: {file: "{k}.c", n: [1, "{k}"]}
    needs: ["base-{k}"]
    files: ["src/{k}", {glob: "{k}*"}]
    labels: ["l-{k}"]
    env: {V: "{k}"}
    metadata: {m: "{k}"}
    matrix: {k: [a]}
""").tasks[1]
    assert (task.handler, task.needs, task.labels, task.env, task.metadata) == (
        "h-a", ("base-a",), ("l-a",), {"V": "a"}, {"m": "a"},
    )  # fmt: skip
    assert [file.path for file in task.files] == ["src/a", "a*"]
    assert task.payload == b'{"file": "a.c", "n": [1, "a"]}'


def test_a_pattern_needs_all_that_match_but_never_the_task_itself(load):
    plan = load("""
tasks:
  - {id: "build-{t}", run: x, matrix: {t: [app, docs]}}
  - {id: build-all, run: x, needs: ["build-*"]}
  - {id: one, run: x, needs: [build-app, "build-[ad]*", "build-app"]}
""")
    assert plan.tasks[2].needs == ("build-app", "build-docs")
    assert plan.tasks[3].needs == ("build-app", "build-all", "build-docs")


def test_an_id_with_wildcard_characters_means_itself_first(load):
    plan = load("tasks: [{id: 'a[1]', run: x}, {id: a1, run: x}, {id: c, run: x, needs: ['a[1]']}]")
    assert plan.tasks[2].needs == ("a[1]",)


def test_cycles_are_found_in_deep_graphs_without_recursion():
    chain = {str(i): (str(i + 1),) for i in range(50_000)} | {"50000": ()}
    assert find_cycle(chain) == []
    assert find_cycle(chain | {"50000": ("49999",)}) == ["49999", "50000", "49999"]
    assert find_cycle({"a": ("b", "c"), "b": ("d",), "c": ("d",), "d": ()}) == []


def test_twenty_thousand_tasks_that_need_patterns_load_in_a_few_seconds(load):
    entries = "\n".join(f"  - {{id: t{i}, run: x, needs: ['t{i // 2}']}}" for i in range(1, 20_000))
    began = time.process_time()
    plan = load("tasks:\n  - {id: t0, run: x}\n" + entries.replace("['t0']", "['t0*']"))
    assert len(plan.tasks) == 20_000
    assert time.process_time() - began < 20
