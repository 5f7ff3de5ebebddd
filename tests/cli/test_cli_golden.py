"""What the main commands print, whole: in a pipe and on terminals of 80 and 200 columns.

`BLESS=1 pytest tests/cli/test_cli_golden.py` records the present output anew; read the difference before you
keep it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

COMMANDS = {
    "list": ["list"],
    "status": ["status"],
    "status-verbose": ["status", "a3f2", "--verbose"],
    "tasks": ["tasks"],
    "show": ["show", "a3f2", "unit"],
    "workers": ["workers"],
    "summary": ["summary"],
    "info": ["info"],
}
GOLDEN = Path(__file__).parent / "golden"


def compare(name: str, output: str) -> None:
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("BLESS"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(output, encoding="utf-8")
    assert output == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COMMANDS)
def test_in_a_pipe_lines_are_plain_and_whole(build, br, name):
    result = br(*COMMANDS[name])
    assert (result.exit_code, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    compare(f"{name}-pipe", result.stdout)


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("name", COMMANDS)
def test_on_a_terminal_it_fits_its_width(build, terminal, name, columns):
    result = terminal(*COMMANDS[name], columns=columns)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= columns
    compare(f"{name}-{columns}", result.stdout)


def test_the_summary_reads_as_in_the_guide(build, br):
    assert br("summary").stdout == (
        "Parallel Orchestration Summary\n\n"
        "Workers: 2 idle / 3 busy / 0 offline (Total: 5, Utilization: 60.0%)\n"
        "Sessions: 2 active / 5 total\n"
        "Tasks: 127 completed / 8 failed / 4 queued\n"
    )


def test_colour_is_for_terminals_that_want_it(build, terminal, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[" in terminal("list", color=True).stdout
    assert "\x1b[" not in terminal("list", "--no-color", color=True).stdout
    assert "\x1b[" not in terminal("list").stdout


def test_quiet_gives_ids_alone(build, br):
    assert br("list", "--quiet").stdout == "a3f2e1d9\nb7c8d9e0\n"
    assert br("--quiet", "tasks").stdout == "lint\nunit\ndocs\n"
    assert br("status", "--quiet").stdout == "running\n"
