"""What becomes of a template for each line."""

from __future__ import annotations

import pytest

from buildrunner_parallel.cli.line_tasks import LineTasks, fill
from buildrunner_parallel.cli.submission import Submitter
from buildrunner_parallel.errors import InvalidRequestError
from buildrunner_parallel.plan import PlanFile, PlanTask
from buildrunner_parallel.specs import PathRequest


@pytest.fixture
def made(tmp_path):
    """Tasks of lines in an empty repository."""

    def make(lines, *words, prefix="", **common):
        submitter = Submitter(tmp_path, tmp_path, {"SECRET": "s"})
        tasks = LineTasks(submitter, words, PlanTask("", index=0, **common), prefix)
        return [tasks.spec(line, number) for number, line in enumerate(lines, start=1)]

    return make


@pytest.mark.parametrize(
    ("text", "argument", "filled"),
    [
        ("{}", "a b", "a b"),
        ("-i={}/{}", "x", "-i=x/x"),
        ("{#}-{}", "x", "7-x"),
        ("{.}", "a/b.tar.gz", "a/b.tar"),
        ("{.}", "a.d/b", "a.d/b"),
        ("{.}", ".profile", ".profile"),
        ("{/}", "a/b.c", "b.c"),
        ("{/}", "a/b/", "b"),
        ("{//}", "a/b.c", "a"),
        ("{//}", "b.c", "."),
        ("{//}", "/b.c", "/"),
        ("{/.}", "a/b.c", "b"),
        ("{other} ${x} { }", "a", "{other} ${x} { }"),
        ("{}", "{}{#}", "{}{#}"),
    ],
)
def test_placeholders(text, argument, filled):
    assert fill(text, argument, 7) == filled


def test_without_words_a_line_is_for_the_shell(made):
    one, two = made(["echo {} | wc", "true"], cwd="sub")
    assert (one.task_id, one.shell_line, one.argv) == ("1", "echo {} | wc", ())
    assert (two.task_id, two.shell_line, two.cwd) == ("2", "true", "sub")


def test_an_argument_is_never_read_by_a_shell(made):
    (one,) = made(["$(rm -rf /); 'x"], "cp", "{}", "to/{}")
    assert one.argv == ("cp", "$(rm -rf /); 'x", "to/$(rm -rf /); 'x")
    assert one.shell_line == ""


def test_a_template_without_a_place_gets_the_argument_at_its_end(made):
    assert made(["a"], "gzip", "-k")[0].argv == ("gzip", "-k", "a")
    assert made(["a"], "touch", "{#}")[0].argv == ("touch", "1")


def test_paths_variables_and_directory_are_filled_in_too(made, tmp_path):
    (tmp_path / "dir").mkdir()
    (one,) = made(
        ["dir/a.c"],
        "cc",
        "{}",
        files=(PlanFile("{}", "shared"), PlanFile("{.}.o"), PlanFile("res:{#}")),
        env={"NAME": "{/}"},
        cwd="{//}",
        pass_env=("SEC*",),
    )
    assert one.files == (
        PathRequest("dir/a.c", "shared", "file"),
        PathRequest("dir/a.o", "exclusive", "file"),
        PathRequest("res:1", "exclusive", "resource"),
    )
    assert (one.env, one.cwd, one.passed_env) == (
        {"NAME": "dir/a.c".rpartition("/")[2]},
        "dir",
        {"SECRET": "s"},
    )


def test_commands_leave_braces_in_paths_alone(made):
    (one,) = made(["true"], files=(PlanFile("{}", form="literal"),))
    assert one.files == (PathRequest("{}", "exclusive", "file"),)


def test_a_prefix_begins_every_id(made):
    assert [one.task_id for one in made(["a", "b"], "x", prefix="lint-")] == ["lint-1", "lint-2"]


@pytest.mark.parametrize(
    ("words", "common", "line", "told"),
    [
        (("{}", "x"), {}, " ", "task 1: its program is empty"),
        (("x",), {"files": (PlanFile("{}"),)}, "", "task 1: a path to lock is empty"),
        (("x",), {"files": (PlanFile("{}"),)}, "/etc/passwd", 'The task 1 wants to lock "/etc/passwd"'),
    ],
)
def test_what_cannot_run_is_refused(made, words, common, line, told):
    with pytest.raises(InvalidRequestError, match=told):
        made([line], *words, **common)
