"""Bad plans: each gets one line with file, line, path, what was expected and what was found."""

from __future__ import annotations

import json

import pytest

from buildrunner_parallel.plan import PlanError, load_plan, source

ONE = "name: x\ntasks:\n  - id: a\n    run: x\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("tasks: []", ":1: tasks: expected at least one entry, found a list of 0"),
        ("name: x", ":1: tasks: is required and missing"),
        ("", ": expected a plan with a list of tasks, found nothing"),
        ("- run: x", ":1: expected a plan with a list of tasks, found a list of 1"),
        (ONE + "    nedes: [b]\n", ':5: T.nedes: unknown key, did you mean "needs"?'),
        (ONE + "worker: 3\n", ':5: worker: unknown key, did you mean "workers"?'),
        ("defaults: {timeot: 3}\n" + ONE, ':1: defaults.timeot: unknown key, did you mean "timeout"?'),
        (
            "defaults: {run: x}\n" + ONE,
            ":1: defaults.run: unknown key; known are timeout, grace, "
            "retries, labels, priority, slots, cwd, env, pass_env, audit, isolate, merge, worker, metadata",
        ),
        (ONE + "    files: [{pth: a}]\n", ":5: T.files[0]: expected one of path, literal and glob"),
        (ONE + "    files: [{path: a, glob: b}]\n", ":5: T.files[0]: expected one of path, literal and glob"),
        (
            ONE + "    files: [{path: a, mode: read}]\n",
            ':5: T.files[0].mode: expected exclusive or shared, found the text "read"',
        ),
        (ONE + "    files: src/app.py\n", ':5: T.files: expected a list, found the text "src/app.py"'),
        (
            ONE + "    needs: [lint]\n",
            ':5: T.needs[0]: expected the id of a task, found the text "lint": no task has this id',
        ),
        (
            ONE + "  - {id: b, run: x, needs: [a,\n      aa]}\n",
            ':6: tasks[1].needs[1]: expected the id of a task, found the text "aa": did you mean "a"?',
        ),
        (
            ONE + "    needs: ['z*']\n",
            ':5: T.needs[0]: expected the id of a task, found the text "z*": no task\'s id matches it',
        ),
        (ONE + "    needs: [a]\n", ":5: T.needs: expected needs without a cycle, found a -> a"),
        (
            "tasks:\n- {id: a, run: x, needs: [c]}\n- {id: b, run: x, needs: [a]}\n"
            "- {id: c, run: x, needs: [b]}\n",
            ":2: T.needs: expected needs without a cycle, found a -> c -> b -> a",
        ),
        (
            ONE + "  - {id: a, run: y}\n",
            ':5: tasks[1].id: expected ids that are there once, found "a" that tasks[0] has too',
        ),
        (ONE + "    run: y\n", ':5: T.run: the key "run" is there twice'),
        (ONE + "    retries: two\n", ':5: T.retries: expected a whole number, found the text "two"'),
        (ONE + "    retries: 1.5\n", ":5: T.retries: expected a whole number, found the number 1.5"),
        (ONE + "    retries: true\n", ":5: T.retries: expected a whole number, found true"),
        (ONE + "    retries: -1\n", ":5: T.retries: expected a number of at least 0, found the number -1"),
        (ONE + "    slots: 0\n", ":5: T.slots: expected a number of at least 1, found the number 0"),
        (
            ONE + "    priority: 5000\n",
            ":5: T.priority: expected a number of at most 1000, found the number 5000",
        ),
        (
            ONE + "    timeout: soon\n",
            ":5: T.timeout: expected a duration such as 90s, 10m, 1h30m or a "
            'number of seconds, found the text "soon"',
        ),
        (
            ONE + "    timeout: 400d\n",
            ':5: T.timeout: expected a duration of at most 366 days, found the text "400d"',
        ),
        (
            ONE + "    timeout: 0\n",
            ":5: T.timeout: expected a duration of more than nothing, found the number 0",
        ),
        (ONE + "    audit: maybe\n", ':5: T.audit: expected on, off or auto, found the text "maybe"'),
        (ONE + "    merge: maybe\n", ':5: T.merge: expected on or off, found the text "maybe"'),
        (ONE + "    merge: on\n", ":5: T.merge: expected off, or isolate: worktree beside it, found on"),
        (ONE + "    isolate: yes\n", ':5: T.isolate: expected worktree or none, found the text "yes"'),
        (ONE + "    env: {A: 1.10}\n", ":5: T.env.A: expected text (put it in quotes), found the number 1.1"),
        (ONE + "    env: {A: [x]}\n", ":5: T.env.A: expected text, found a list of 1"),
        (
            ONE + "    env: {'A=B': x}\n",
            ':5: T.env.A=B: expected the name of a variable, found the text "A=B"',
        ),
        (ONE + "    env: [A=b]\n", ":5: T.env: expected a mapping, found a list of 1"),
        (ONE + "    argv: [x]\n", ":3: T: expected one of run, argv and handler, found run and argv"),
        ("tasks:\n  - id: a\n", ":2: T: expected one of run, argv and handler, found none of them"),
        (ONE + "    payload: x\n", ":3: T: a payload goes to a handler; this task has none"),
        ("tasks: [{argv: []}]", ":1: T.argv: expected at least one entry, found a list of 0"),
        ("tasks: [{argv: ['']}]", ":1: T: expected a program as the first entry of argv, found nothing"),
        (
            "tasks: [{argv: [sleep, 1]}]",
            ":1: T.argv[1]: expected text (put it in quotes), found the number 1",
        ),
        ('tasks: [{run: "a\\0b"}]', ':1: T.run: expected text without a NUL character, found the text "a␀b"'),
        ("tasks: [{run: ' '}]", ':1: T.run: expected text that is not empty, found the text " "'),
        ("tasks: [{id: 1, run: x}]", ":1: T.id: expected text (put it in quotes), found the number 1"),
        (
            'tasks: [{id: "a\\e[2J", run: x}]',
            ':1: T.id: expected a name without control characters, found the text "a␛[2J"',
        ),
        ("tasks: [x]", ':1: T: expected a mapping, found the text "x"'),
        (
            "tasks: [{id: a, run: x, matrix: {t: [1, 2]}}]",
            ':1: T.id: expected an id with every key of the matrix ({t}), found "a"',
        ),
        (
            "tasks: [{id: 'a{t}', run: x, matrix: {t: []}}]",
            ":1: T.matrix.t: expected at least one entry, found a list of 0",
        ),
        (
            "tasks: [{id: 'a{t}', run: x, matrix: {t: x}}]",
            ':1: T.matrix.t: expected a list, found the text "x"',
        ),
        (
            "on_failure: explode\n" + ONE,
            ':1: on_failure: expected continue, finish-running[:N] or stop-now[:N], found the text "explode"',
        ),
        (
            "on_failure: stop-now:0\n" + ONE,
            ":1: on_failure: expected continue, finish-running[:N] or "
            'stop-now[:N], found the text "stop-now:0"',
        ),
        ("max_parallel: 0\n" + ONE, ":1: max_parallel: expected a number of at least 1, found the number 0"),
    ],
)
def test_a_fault_is_one_line_with_its_place(refusal, text, line):
    assert refusal(text) == [f"plan.yaml{line}".replace(": T", ": tasks[0]")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("tasks: [{run: x}", ":1: not valid YAML: did not find expected ',' or ']'"),
        ("a: b: c", ":1: not valid YAML: mapping values are not allowed in this context"),
        ("a: \x07", ":1: not valid YAML: control characters are not allowed"),
        ("tasks: 1\n---\ntasks: 2", ":2: expected one document, found a second (after ---)"),
        (
            "tasks: !!python/object:os.system {}",
            ":1: tasks: expected plain YAML, found the tag tag:yaml.org,2002:python/object:os.system",
        ),
        ("tasks: [{run: !secret x}]", ":1: T.run: expected plain YAML, found the tag !secret"),
        ("tasks: *nowhere", ":1: tasks: the alias *nowhere is not defined"),
        ("tasks: &a [*a]", ":1: T: the alias *a contains itself"),
        ("1: x", ":1: expected a key that is text (put it in quotes)"),
        ("a: {<<: 3}", ":1: a: expected a mapping, or a list of them, after <<"),
    ],
)
def test_malformed_yaml_is_one_line_with_its_place(refusal, text, line):
    assert refusal(text) == [f"plan.yaml{line}".replace(": T", ": tasks[0]")]


def test_an_alias_bomb_is_refused_quickly(refusal):
    levels = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    levels += [
        f"{b}: &{b} [" + ", ".join([f"*{a}"] * 10) + "]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    (line,) = refusal("\n".join(levels))
    assert "aliases expand to more than 2,000,000 items" in line


@pytest.mark.parametrize("ending", ["yaml", "json", "toml"])
def test_nesting_without_end_is_refused_and_does_not_crash(refusal, ending):
    text = {"yaml": "[" * 100_000, "json": "[" * 100_000, "toml": "a=" + "[" * 100_000}[ending]
    (line,) = refusal(text, ending)
    assert "deep" in line


def test_nesting_by_indentation_is_bounded_too(refusal):
    assert "nested more than 100 levels deep" in refusal("- " * 5000)[0]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"tasks": [{"run": "x"}],}', "plan.json:1: not valid JSON: "),
        ('{\n"tasks": [}', "plan.json:2: not valid JSON: Expecting value at column 11"),
        ('{"tasks": [\n{"run": "x", "run": "y"}]}',
         'plan.json:2: tasks[0].run: the key "run" is there twice'),
        ('{"tasks": [{"run": NaN}]}', "plan.json: not valid JSON: expected a number, found NaN"),
        ('{"tasks": [\n {"run": "x",\n  "retries": "1"}]}',
         'plan.json:3: tasks[0].retries: expected a whole number, found the text "1"'),
    ],
)  # fmt: skip
def test_json_faults_have_their_line(refusal, text, line):
    (found,) = refusal(text, "json")
    assert found.startswith(line)


def test_toml_faults_say_where(refusal):
    assert refusal("tasks = [", "toml")[0].startswith("plan.toml: not valid TOML: ")
    assert refusal("[[tasks]]\nrun=1", "toml") == [
        "plan.toml:2: tasks[0].run: expected text (put it in quotes), found the number 1"
    ]
    assert "found a date" in refusal("[[tasks]]\nrun=1979-05-27", "toml")[0]


def test_bytes_that_are_not_utf_8_have_a_line(refusal):
    assert refusal(b"name: x\ntasks: \xff\n") == ["plan.yaml:2: expected UTF-8, found byte 0xff"]


def test_a_file_that_is_not_there_or_of_another_kind(tmp_path):
    with pytest.raises(PlanError, match=r"gone.yaml: cannot be read: No such file or directory"):
        load_plan(str(tmp_path / "gone.yaml"))
    with pytest.raises(
        PlanError, match=r"expected a file ending in .yaml, .yml, .json or .toml, found the ending .txt"
    ):
        load_plan("plan.txt")
    (tmp_path / "d.yaml").mkdir()
    with pytest.raises(PlanError, match="cannot be read: Is a directory"):
        load_plan(str(tmp_path / "d.yaml"))
    with pytest.raises(PlanError, match="cannot be read"):
        load_plan("nul\0.yaml")


def test_a_file_over_the_size_limit_is_refused(refusal, monkeypatch):
    monkeypatch.setattr(source, "MAX_SIZE_BYTES", 10)
    assert refusal("name: 1234567890") == [
        "plan.yaml: is larger than 64 MiB; split it, or submit it in parts"
    ]


def test_several_faults_are_shown_up_to_ten(refusal):
    lines = refusal(json.dumps({"tasks": [{"run": i} for i in range(30)]}), "json")
    assert len(lines) == 11
    assert lines[9].startswith("plan.json:1: tasks[9].run: ")
    assert lines[10] == "plan.json: and 20 more problems"


def test_a_hostile_file_name_is_made_harmless(tmp_path):
    with pytest.raises(PlanError) as caught:
        load_plan("evil\x1b[2J.yaml")
    assert "\x1b" not in str(caught.value)


def test_too_many_combinations_are_refused_before_they_are_made(refusal):
    values = ", ".join(map(str, range(1001)))
    (line,) = refusal(f"tasks: [{{id: '{{a}}{{b}}', run: x, matrix: {{a: [{values}], b: [{values}]}}}}]")
    assert line == "plan.yaml:1: tasks[0].matrix: expected at most 1,000,000 tasks in a plan, found more"


def test_names_over_256_bytes_are_refused(refusal):
    (line,) = refusal(f"tasks: [{{id: {'ü' * 200}, run: x}}]")
    assert "expected a name of at most 256 bytes" in line
