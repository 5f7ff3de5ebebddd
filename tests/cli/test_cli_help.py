"""Help: what each command is for in one sentence, examples that work, lines that fit; in sections."""

from __future__ import annotations

import re
import shlex

import pytest

from buildrunner_parallel.cli import app as program
from buildrunner_parallel.cli import examples, exit_codes, help_page, sections
from tests.cli.scene import set_scene

NAMES = [str(info.name) for info in program.parallel_app.registered_commands]
GUARD = [name for name in examples.EXAMPLES if name.startswith("guard ")]
SINGLE = {"guard remove", "guard status"}
# As the scene has it: the session that is waited for fails.
ENDS_WITH = {
    "br parallel wait last": 6,
    "br parallel wait a3f2e1d9 unit --timeout 10m": 6,
    "br parallel retry a3f2e1d9 unit --wait": 6,
    "br parallel start --commands jobs.txt --workers 5 --wait": 6,
}


def example_lines(name):
    return [(name, example.line) for example in examples.EXAMPLES[name]]


ALL = [pair for name in [*NAMES, *GUARD] for pair in example_lines(name)]


@pytest.fixture
def scene(fake, tmp_path, monkeypatch):
    set_scene(fake, tmp_path, monkeypatch)
    return fake


def typed(line):
    """The words for the program itself, of a line that may have pipes around it, or be evaluated."""
    before, _, after = line.rpartition("br parallel ")
    words = shlex.split(after.removesuffix(')"'))
    ends = [words.index(mark) for mark in ("|", ">") if mark in words]
    return words[: min(ends, default=len(words))], "one.log\ntwo.log\n" if "|" in before else None


@pytest.mark.parametrize(("name", "line"), ALL)
def test_every_example_of_every_help_works(scene, br, name, line):
    words, given = typed(line)
    if "--wait" in words and name == "scale":
        scene.workers = []
        words[words.index("2")] = "0"
    if "-0" in words:
        given = "one.py\0two.py\0"
    if name == "cancel" and "--force" not in words and "--task" not in words:
        # Asks; there is nobody to answer here.
        assert br(*words).exit_code == 2
        return
    result = br(*words, input=given)
    assert result.exit_code == ENDS_WITH.get(line, 0), result.output
    assert "Traceback" not in result.output


def test_every_command_has_examples_and_they_begin_with_its_name():
    assert set(examples.EXAMPLES) - {"guard", "dashboard"} >= set(NAMES) - {"guard", "dashboard"}
    for name in [*NAMES, *GUARD]:
        lines = [line for _, line in example_lines(name)]
        assert len(lines) in ((1, 2) if name in SINGLE else (2, 3, 4)), name
        assert all(f"br parallel {name}" in line for line in lines), name


@pytest.mark.parametrize("name", [*NAMES, *GUARD])
def test_help_fits_and_shows_the_examples_unbroken(br, name):
    result = br(*name.split(), "--help")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    for example in examples.EXAMPLES[name]:
        assert f"  # {example.told}" in lines
        assert f"  {example.line}" in lines


@pytest.mark.parametrize("name", [*NAMES, *GUARD])
def test_help_speaks_of_values_and_not_of_types(br, name):
    text = br(*name.split(), "--help").stdout
    assert not re.search(r"<\w+|int range|x>=|x<=|\[required\]|\{[A-Z]+\}", text), text


def test_the_group_lists_all_commands_in_sections_with_whole_sentences(br):
    text = br("--help").stdout
    assert "..." not in text.partition("Sessions:")[2]
    for name in NAMES:
        assert re.search(rf"^  {name} +[A-Z].*\.$", text, re.MULTILINE), name
    assert max(map(len, text.splitlines())) <= 80


def test_no_command_stands_outside_of_the_sections():
    listed = dict(sections.in_sections([*NAMES, "guard"]))
    assert sections.OTHERS not in listed
    assert sum(map(len, listed.values())) == len(NAMES) + 1


def test_a_command_of_no_section_comes_last():
    assert list(sections.in_sections(["start", "brand-new"])) == [
        ("Sessions", ["start"]),
        (sections.OTHERS, ["brand-new"]),
    ]


def test_examples_are_shown_as_the_program_was_called(br):
    from typer.testing import CliRunner

    text = CliRunner().invoke(program.parallel_app, ["list", "--help"], prog_name="br-parallel").stdout
    assert "  br-parallel list --status running" in text.splitlines()
    assert "br parallel" not in text


@pytest.mark.parametrize("name", exit_codes.OF_COMMAND)
def test_codes_of_single_commands_stand_in_their_help(br, name):
    text = br(*name.split(), "--help").stdout
    _, _, block = text.partition("Exit codes:")
    for code, meaning in exit_codes.OF_COMMAND[name].items():
        assert re.search(rf"^  {re.escape(code)} +{re.escape(meaning)}$", block, re.MULTILINE)
    assert name in [*NAMES, *GUARD]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("At most so many.  [default: 20; x>=1]", "At most so many. (default 20; at least 1)"),
        ("Goes first.  [default: 0; -1000<=x<=1000]", "Goes first. (default 0; -1000 to 1000)"),
        ("Worker processes.  [default: (3, or the plan's)]", "Worker processes. (default 3, or the plan's)"),
        ("The plan.  [required]", "The plan. (required)"),
        ("finish-running[:N] or stop-now[:N].", "finish-running[:N] or stop-now[:N]."),
        ("Plain.", "Plain."),
    ],
)
def test_marks_become_words(text, shown):
    assert help_page.mended(text) == shown


def test_what_must_be_given_is_told_once(br):
    assert "(required)" in br("preview", "--help").stdout
    text = br("show", "--help").stdout
    assert "Usage: br parallel show [OPTIONS] SESSION TASK" in text and "required" not in text
