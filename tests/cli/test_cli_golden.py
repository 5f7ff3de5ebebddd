"""What every command prints, whole, in all shapes: a page of golden/ for each call of shapes.py.

A page has the call as it looks in a pipe, on a terminal of 80 columns with colours (␛ stands for the escape
character), on one of 200, with --quiet, with --json, and where nothing was ever started. `make golden`
records what is printed now; read the difference before you keep it. What the guide shows was typed in by
hand.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.cli.scene import set_scene
from tests.cli.shapes import SHAPES, WITHOUT_STATE

GOLDEN = Path(__file__).parent / "golden"
# A bar is gone when what it waits for is there, and tells of seconds that differ.
BAR = re.compile("\x1b\\[\\?25l.*?\x1b\\[\\?25h(?:\r|\x1b\\[\\d?[A-Z])*", re.DOTALL)
COLOUR = re.compile("\x1b\\[[0-9;]*m")
# Redraws itself as long as it runs: the frames have goldens of their own.
LIVE = {"start-watch", "dashboard", "dashboard-session"}
# Lines that the terminal may break where it likes.
STREAMS = {"watch", "logs", "joblog", "schema"}
GUIDE = """\
Parallel Orchestration Summary

Workers: 2 idle / 3 busy / 0 offline (Total: 5, Utilization: 60.0%)
Sessions: 2 active / 5 total
Tasks: 127 completed / 8 failed / 4 queued
"""


def compare(name: str, output: str) -> None:
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("BLESS"):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(output.encode())
    assert output == file.read_bytes().decode(), "if it is meant to be so: make golden"


@pytest.fixture
def view(fake, br, terminal, tmp_path, monkeypatch):
    """Runs a shape in one way, in a scene of its own."""
    monkeypatch.setenv("TERM", "xterm-256color")
    made: list[Path] = []

    def show(shape, *options, columns=0, color=False, state=True):
        place = tmp_path / str(len(made))
        place.mkdir()
        made.append(place)
        monkeypatch.chdir(place)
        set_scene(fake, place, monkeypatch)
        fake.has_state = state
        words = [*options, *shlex.split(shape.words)]
        with monkeypatch.context() as patched:
            patched.delenv("NO_COLOR", raising=False)
            if columns:
                return terminal(*words, columns=columns, color=color, input=shape.given, patch=patched)
            return br(*words, input=shape.given)

    return show


def settled(result):
    """What a terminal shows once bars are gone."""
    return BAR.sub("", result.stdout)


def told(title, result, text=None):
    """A part of a page: its title, what was printed, and how it ended unless well."""
    parts = [f"==== {title}", (result.stdout if text is None else text).rstrip("\n")]
    if result.stderr:
        parts += ["-- standard error", result.stderr.rstrip("\n")]
    if result.exit_code:
        parts.append(f"-- exit code {result.exit_code}")
    return "\n".join(parts) + "\n"


@pytest.mark.parametrize("name", SHAPES)
def test_every_call_prints_what_its_page_shows(view, monkeypatch, name):
    shape = SHAPES[name]
    piped = view(shape)
    assert piped.exit_code == shape.code, piped.output
    assert "\x1b" not in piped.stdout
    with monkeypatch.context() as patched:
        patched.setenv("COLUMNS", "40")
        assert view(shape).stdout == piped.stdout, "a pipe does not care how wide the terminal beside it is"
    page = [f"$ br parallel {shape.words}\n", told("in a pipe", piped)]
    if name not in LIVE:
        narrow, wide = view(shape, columns=80, color=True), view(shape, columns=200)
        fits(narrow, 80, name)
        fits(wide, 200, name)
        page.append(told("80 columns, colour", narrow, settled(narrow).replace("\x1b", "␛")))
        page.append(told("200 columns, no colour", wide, settled(wide)))
        assert "\x1b" not in settled(wide)
        assert settled(view(shape, "--no-color", columns=80, color=True)) == COLOUR.sub("", settled(narrow))
    page.append(told("--quiet", view(shape, "--quiet")))
    if shape.has_json and name == shape.command:
        documents = map(json.loads, view(shape, "--json").stdout.splitlines())
        page.append(told("--json", piped, "\n".join(json.dumps(one, indent=1) for one in documents)))
    if name in WITHOUT_STATE:
        page.append(told("where nothing was ever started", view(shape, state=False)))
    compare(name, "\n".join(page))


def fits(result, columns, name):
    """No line is longer than the terminal, but for those that are meant to be copied whole or that go on."""
    lines = COLOUR.sub("", settled(result)).splitlines()
    long = [line for line in lines if cell_len(line) > columns and "br parallel " not in line]
    assert not long or name.partition("-")[0] in STREAMS, long


@pytest.mark.parametrize("options", [{}, {"columns": 80}, {"columns": 200}])
def test_the_summary_reads_as_in_the_guide(view, options):
    assert view(SHAPES["summary"], **options).stdout == GUIDE


def test_the_guide_s_text_stands_in_the_page_of_the_summary():
    assert GUIDE.rstrip("\n") in (GOLDEN / "summary.txt").read_text()


def test_colour_is_for_terminals_that_want_it(view):
    assert "\x1b[" in view(SHAPES["list"], columns=80, color=True).stdout


def test_no_page_is_left_over():
    ours = {page.stem for page in GOLDEN.glob("*.txt") if not re.search(r"-(80|200|pipe)$", page.stem)}
    assert ours == set(SHAPES) | {"errors"}
