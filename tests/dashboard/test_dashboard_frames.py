"""Whole frames against the golden ones.

`BLESS=1 pytest tests/dashboard/test_dashboard_frames.py` records the present frames anew; read the difference
before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType

import pytest

from buildrunner_parallel.dashboard.fold import Board
from buildrunner_parallel.dashboard.lists import TASKS, WORKERS, Filter, Listing
from buildrunner_parallel.dashboard.pages import Detail
from buildrunner_parallel.dashboard.ui import Action, Mark, Page, Ui
from buildrunner_parallel.dashboard.view import Scene, frame, snapshot
from buildrunner_parallel.records import Wait, WaitKind
from buildrunner_parallel.watch import WatchEvent

from . import scenes
from .conftest import NOW, NOW_S, at, session, task

GOLDEN = Path(__file__).parent / "golden"
BUILD = "a3f2e1d9"
SIZES = {"60x15": (60, 15), "80x24": (80, 24), "200x50": (200, 50)}


def scene(board, width, height, **changes):
    return Scene(board, NOW, NOW_S, width, height, title="repository", **changes)


def compare(name: str, picture: str) -> None:
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("BLESS"):
        file.write_text(picture + "\n", encoding="utf-8")
    assert picture + "\n" == file.read_text(encoding="utf-8"), f"{file} differs; BLESS=1 records it anew"


def session_page(**changes):
    return Ui(pages=(Page(), Page("session", BUILD)), **changes)


def task_page(task_id="test-rich", **changes):
    return Ui(pages=(Page(), Page("session", BUILD), Page("task", BUILD, task_id)), **changes)


@pytest.mark.parametrize("size", SIZES)
def test_the_overview(size):
    compare(f"overview-{size}", frame(scene(scenes.afternoon(), *SIZES[size])).plain())


@pytest.mark.parametrize("size", SIZES)
def test_the_compact_overview(size):
    compare(f"compact-{size}", frame(scene(scenes.afternoon(), *SIZES[size], ui=Ui(compact=True))).plain())


@pytest.mark.parametrize("size", SIZES)
def test_an_empty_coordinator(size):
    board = Board()
    board.fold(WatchEvent(revision=1, snapshot=True, reset=True), NOW_S)
    compare(f"empty-{size}", frame(scene(board, *SIZES[size])).plain())


@pytest.mark.parametrize("size", SIZES)
def test_fifty_sessions_and_a_thousand_workers(size):
    compare(f"huge-{size}", frame(scene(scenes.huge(), *SIZES[size])).plain())


@pytest.mark.parametrize("size", SIZES)
def test_hostile_names(size):
    compare(f"hostile-{size}", frame(scene(scenes.hostile(), *SIZES[size])).plain())


@pytest.mark.parametrize("size", SIZES)
def test_the_page_of_a_session(size):
    listed = tuple(
        task(f"ok-{number}", "succeeded", attempt=1, started_at=at(-60), ended_at=at(-50), title="true")
        for number in range(40)
    )
    listing = Listing(BUILD, Filter(), listed)
    picture = frame(scene(scenes.afternoon(), *SIZES[size], ui=session_page(), listing=listing))
    compare(f"session-{size}", picture.plain())


@pytest.mark.parametrize("size", SIZES)
def test_the_page_of_a_task(size):
    lines = tuple(f"line {number} of the output" for number in range(100))
    needs = Wait(WaitKind.NEEDS, names=("lint",))
    full = scenes.full_task(BUILD, "test-rich", needs=("lint", "unpack"))
    detail = Detail(BUILD, "test-rich", full, (needs,), lines)
    picture = frame(scene(scenes.afternoon(), *SIZES[size], ui=task_page(back=5), detail=detail))
    compare(f"task-{size}", picture.plain())


def test_a_failed_task_that_wrote_nothing():
    full = scenes.full_task(BUILD, "other", error="exit code 2\nerror: no rule to make target")
    picture = frame(
        scene(scenes.afternoon(), 80, 24, ui=task_page("other"), detail=Detail(BUILD, "other", full))
    )
    compare("task-failed-80x24", picture.plain())


def test_the_keys():
    compare("help-80x24", frame(scene(scenes.afternoon(), 80, 24, ui=Ui(helping=True))).plain())


def test_a_coordinator_that_is_away_is_told_with_the_age_of_what_is_shown():
    board = scenes.afternoon()
    board.fold(WatchEvent(connection="lost"), NOW_S - 12)
    first, *_ = frame(scene(board, 80, 24)).plain().splitlines()
    assert "✗ coordinator away, data 12s old" in first
    board.closing = True
    assert "coordinator stopped" in frame(scene(board, 60, 15)).plain().splitlines()[0]


@pytest.mark.parametrize(("width", "height"), [(59, 24), (80, 14), (20, 5), (8, 3), (1, 1)])
def test_below_60x15_it_says_what_it_needs_within_what_there_is(width, height):
    picture = frame(scene(scenes.afternoon(), width, height))
    assert len(picture.lines) == height
    lines = picture.plain().splitlines()
    assert max(map(len, lines), default=0) <= width
    if width >= 20:
        assert "60x15" in " ".join(lines) and f"{width}x{height}" in " ".join(lines)


def test_what_is_selected_is_seen_and_marked():
    board = scenes.huge()
    ui = Ui(focus=WORKERS, marks=MappingProxyType({WORKERS: Mark("000001f4", 500)}))
    picture = frame(scene(board, 80, 24, ui=ui))
    (marked,) = [line for line in picture.lines if line[0][0] == "› "]
    assert "000001f4" in "".join(text for text, _ in marked)
    assert {style for _, style in marked} == {"mark"}


def test_a_filter_is_told_beside_the_title():
    ui = Ui(filters=MappingProxyType({TASKS: Filter("index", "waiting")}))
    picture = frame(scene(scenes.afternoon(), 80, 24, ui=ui)).plain()
    assert "only /index waiting" in picture
    assert "index-rich" in picture and "refactor" not in picture.split("Tasks")[1].split("Locks")[0]


def test_the_status_bar_asks_types_tells_or_lists_the_keys():
    board = scenes.afternoon()

    def bar(width=80, **changes):
        return frame(scene(board, width, 24, ui=Ui(**changes))).plain().splitlines()[-1].strip()

    question = bar(question=Action("cancel", BUILD), question_text="Cancel session " + "x" * 100)
    assert question.endswith("… y/n")
    assert bar(typing="ind").startswith("/ ind")
    assert bar(notice="Session a3f2e1d9 is paused", notice_until_s=NOW_S + 1) == "Session a3f2e1d9 is paused"
    assert bar(notice="old", notice_until_s=NOW_S - 1).endswith("? help  q quit")
    assert "p pause" in bar(width=200)


def test_a_long_notice_was_cut_before_it_said_what_to_do():
    board = scenes.afternoon()
    notice = (
        f"Task 'z' of session {BUILD} cannot run again: only failed, skipped and cancelled tasks can. "
        "Wait until it is over."
    )
    for width in (60, 80):
        ui = Ui(notice=notice, notice_until_s=NOW_S + 1)
        lines = frame(scene(board, width, 24, ui=ui)).plain().splitlines()
        assert len(lines) == 24
        told = " ".join(" ".join(lines[-3:]).split())
        assert notice in told and told.endswith(notice)
    endless = Ui(notice="word " * 200, notice_until_s=NOW_S + 1)
    lines = frame(scene(board, 80, 24, ui=endless)).plain().splitlines()
    assert len(lines) == 24 and lines[-1].rstrip().endswith("…") and "word" not in lines[-4]


def test_states_are_told_by_words_and_signs_and_not_by_colour_alone():
    picture = frame(scene(scenes.afternoon(), 200, 50)).plain()
    for told in ("● running", "‖ paused", "✗ failed", "○ idle", "↓ draining", "✗ offline", "◇ waiting"):
        assert told in picture, told


def test_a_deleted_session_says_so():
    picture = frame(scene(scenes.afternoon(), 80, 24, ui=Ui(pages=(Page("session", "12345678"),)))).plain()
    assert "This session is not here any more" in picture


def test_a_snapshot_is_as_high_as_it_needs_to_be_and_has_no_keys():
    picture = snapshot(scenes.afternoon(), NOW, NOW_S, 100)
    text = picture.plain()
    assert "quit" not in text and "›" not in text
    assert 20 < picture.height < 60
    assert "unpack-toolz" in text.splitlines()[-2] + text.splitlines()[-1]


def test_a_frame_can_be_drawn_by_rich_in_its_colours():
    from rich.console import Console

    console = Console(width=80, height=24, record=True, force_terminal=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    picture = frame(scene(scenes.afternoon(), 80, 24))
    console.print(picture.rich())
    svg = console.export_svg(title="dashboard", clear=False)
    assert "Build" in svg and "<svg" in svg
    text = [line.rstrip() for line in console.export_text(styles=False).splitlines()]
    assert text == picture.plain().splitlines()
    console.file.close()


def test_without_colour_only_bold_dim_and_reverse_are_left():
    picture = frame(scene(scenes.afternoon(), 80, 24))
    colored, plain = "".join(picture.encoded()), "".join(picture.encoded(color=False))
    assert "\x1b[36m" in colored and "\x1b[1;31m" in colored
    assert not any(f"{number}m" in plain for number in range(30, 48))
    assert "\x1b[1m" in plain


def test_a_terminal_without_these_signs_gets_ascii_of_the_same_width():
    picture = frame(scene(scenes.hostile(), 80, 24))
    for line, whole in zip(picture.encoded(color=False, unicode=False), picture.lines, strict=True):
        assert line.isascii(), line
        text = line.replace("\x1b[K", "")
        for sequence in ("\x1b[1m", "\x1b[2m", "\x1b[7m", "\x1b[0m"):
            text = text.replace(sequence, "")
        assert len(text) <= 80
        assert whole
    assert picture.rich(unicode=False).plain.isascii()


def test_the_counts_of_a_session_are_on_its_page():
    text = frame(scene(scenes.afternoon(), 80, 24, ui=session_page())).plain()
    assert "● 2 running" in text and "✓ 42 succeeded" in text and "✗ 1 failed" in text
    assert session().session_id in text
