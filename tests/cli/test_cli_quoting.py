"""A task's command as one line: exact for a shell, and a line for every reader."""

from __future__ import annotations

import subprocess

import pytest

from buildrunner_parallel.cli.quoting import quote, work_line
from buildrunner_parallel.records import ExternalWork, TaskSpec
from buildrunner_parallel.text import sanitize

WORDS = [
    "plain",
    "",
    "two words",
    "it's",
    '$HOME `x` "y" \\',
    "line\nbreak",
    "tab\there",
    "carriage\rreturn",
    "\x1b[31mred\x1b[0m",
    "quote' and \\ and \n newline",
    "bidi \u202e and \U000e0001",
    "\x01\x7f\x80",
    "*?[a]",
    "-n",
    "größer 漢字",
]


@pytest.mark.parametrize("word", WORDS)
def test_a_quoted_word_is_one_harmless_line(word):
    quoted = quote(word)
    assert sanitize(quoted) == quoted


def test_bash_reads_back_what_was_quoted():
    script = "printf '%s\\0' " + " ".join(map(quote, WORDS))
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, check=True, timeout=30, env={"LC_ALL": "C.UTF-8"}
    )
    assert done.stdout.decode().split("\0")[:-1] == WORDS


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        (TaskSpec(argv=("pytest", "-q", "a b")), "pytest -q 'a b'"),
        (TaskSpec(shell_line="make x && echo $HOME"), "make x && echo $HOME"),
        (TaskSpec(shell_line="make x\n"), "make x"),
        (TaskSpec(shell_line="a\nb"), "sh -c $'a\\nb'"),
        (TaskSpec(handler="train"), "handler train"),
        (TaskSpec(external=ExternalWork("gpu")), "external gpu"),
        (TaskSpec(external=ExternalWork()), "external"),
        (TaskSpec(), "ti␛tle"),
    ],
)
def test_every_kind_of_work_has_its_line(spec, line):
    assert work_line(spec, "ti\x1btle") == line
