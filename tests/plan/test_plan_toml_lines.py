"""Faults of TOML plans have their line, as those of YAML and JSON have."""

from __future__ import annotations

import pytest

from buildrunner_parallel.plan.toml_lines import TomlLines, located_fault

TEXT = '''\
name = "x"  # [[tasks]] here is a remark

defaults.env.CI = "1"
[defaults."a.b"]
"c d" = 1

[[tasks]]
run = """
[[tasks]]
id = "not a key"
"""
needs = [
  "a",  # id = 3
  "]",
]
  [tasks.env]
  A = \'[x]\'

[[tasks]]
files = [{path = "a"}, {path = "b"}]
[[tasks.deep.list]]
k = 1
[[tasks.deep.list]]
k = 2
[last]
z = {a = 1}'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 1),
        (("defaults",), 3),
        (("defaults", "env", "CI"), 3),
        (("defaults", "a.b"), 4),
        (("defaults", "a.b", "c d"), 5),
        (("tasks",), 7),
        (("tasks", 0), 7),
        (("tasks", 0, "run"), 8),
        (("tasks", 0, "id"), 7),
        (("tasks", 0, "needs", 1), 12),
        (("tasks", 0, "env", "A"), 17),
        (("tasks", 1), 19),
        (("tasks", 1, "files", 1, "path"), 20),
        (("tasks", 1, "deep", "list", 0, "k"), 22),
        (("tasks", 1, "deep", "list", 1, "k"), 24),
        (("last", "z", "a"), 26),
        (("gone",), None),
        ((), None),
    ],
)
def test_every_key_has_its_line(path, line):
    assert TomlLines(TEXT).line_of(path) == line
    assert TomlLines(TEXT.replace("\n", "\r\n")).line_of(path) == line


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('name = "x"\n[[tasks]]\nrun = "x"\nfoo =\n', "plan.toml:4: not valid TOML: Invalid value"),
        ("a = 1\na = 2\n", "plan.toml:2: not valid TOML: Cannot overwrite a value"),
        ('[[tasks]]\nrun = "x"\n\n[[tasks]]\nrun = "y"\ntimout = "3s"\n',
         'plan.toml:6: tasks[1].timout: unknown key, did you mean "timeout"?'),
        ('[[tasks]]\nid = "a"\nrun = "x"\n[[tasks]]\nrun = "y"\nneeds = ["b"]\n',
         'plan.toml:6: tasks[1].needs[0]: expected the id of a task, found the text "b"'),
        ('[[tasks]]\nid = "a"\n', "plan.toml:1: tasks[0]: expected one of run, argv and handler"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line_with_its_place(refusal, text, told):
    (line,) = refusal(text, "toml")
    assert line.startswith(told)
    assert "(at line" not in line


def test_a_fault_without_a_line_is_told_as_it_is():
    assert located_fault("Unclosed array (at end of document)") == (
        "Unclosed array (at end of document)",
        None,
    )
    assert located_fault("odd") == ("odd", None)
