"""Keys: moving, opening, filtering, asking before a cancel, and what they have done."""

from __future__ import annotations

from typing import Any

import pytest

from buildrunner_parallel.dashboard import ui as pure
from buildrunner_parallel.dashboard.lists import SESSIONS, TASKS, WORKERS, Filter, Listing
from buildrunner_parallel.dashboard.ui import Action, Known, Leave, Page, Ui, marked, press

from . import scenes

BUILD, DOCS, AGENTS = "a3f2e1d9", "b7c8d9e0", "c0ffee01"


def entries(ui, known) -> Any:
    return pure.entries(ui, known)


class Hand:
    """Presses keys and remembers what they asked for."""

    def __init__(self, board, ui=None, **known):
        self.known = Known(board, now_s=1000.0, **known)
        self.ui = ui or Ui()
        self.effects = []

    def press(self, *keys):
        for key in keys:
            self.ui, effects = press(self.ui, key, self.known)
            self.effects += effects
        return self

    @property
    def selected(self):
        found = entries(self.ui, self.known)
        entry = found[marked(self.ui, found)]
        return getattr(entry, "task_id", "") or getattr(entry, "worker_id", "") or entry.session_id


@pytest.fixture
def hand():
    return Hand(scenes.afternoon())


def test_arrows_and_letters_move_and_stop_at_the_ends(hand):
    assert hand.selected == BUILD
    assert hand.press("down").selected == DOCS
    assert hand.press("j", "j", "j", "j").selected == "dead0000"
    assert hand.press("k").selected == AGENTS
    assert hand.press("home").selected == BUILD
    assert hand.press("G").selected == "dead0000"
    assert hand.press("pageup").selected == BUILD


def test_tab_goes_round_the_panels_and_each_keeps_its_place(hand):
    assert hand.press("down", "tab").ui.focus == WORKERS
    assert hand.press("down").selected == "e5f6a7b8"
    assert hand.press("tab").ui.focus == TASKS
    assert hand.press("tab").selected == DOCS
    assert hand.press("backtab", "backtab").selected == "e5f6a7b8"


def test_a_selection_stays_with_its_entry_and_near_its_place_when_that_is_gone(hand, make):
    hand.press("down")
    board = hand.known.board
    board.fold(make.change(make.session("00000001", created_at=make.at(-500))), 1.0)
    assert hand.selected == DOCS
    del board.sessions[DOCS]
    assert hand.selected == BUILD


def test_enter_opens_sessions_tasks_and_what_a_worker_runs(hand):
    assert hand.press("enter").ui.page == Page("session", BUILD)
    assert hand.press("enter").ui.page == Page("task", BUILD, "index-idna")
    assert hand.press("enter").ui.page.kind == "task"
    assert hand.press("escape", "q").ui.page == Page()
    assert hand.press("tab", "enter").ui.page == Page("task", BUILD, "index-idna")
    hand.press("q", "j", "j", "enter")
    assert hand.ui.page == Page()
    assert hand.ui.notice == "Worker f6a7b8c9 runs nothing"


def test_q_leaves_from_the_first_page_only_and_escape_never_does(hand):
    hand.press("enter", "q")
    assert hand.effects == []
    hand.press("escape", "left", "q")
    assert hand.effects == [Leave()]


def test_from_a_session_that_was_asked_for_escape_goes_to_its_surroundings():
    hand = Hand(scenes.afternoon(), Ui(pages=(Page("session", DOCS),)))
    assert hand.press("escape").ui.page == Page()
    other = Hand(scenes.afternoon(), Ui(pages=(Page("session", DOCS),)))
    assert other.press("q").effects == [Leave()]


def test_pause_and_resume_are_for_the_session_retry_for_what_is_selected(hand):
    hand.press("p", "t", "down", "r")
    assert hand.effects == [Action("pause", BUILD), Action("retry", BUILD), Action("resume", DOCS)]
    hand.effects.clear()
    hand.press("up", "enter", "/", *"unpack-toolz", "enter", "p", "t", "T")
    assert hand.effects == [
        Action("pause", BUILD), Action("retry", BUILD, "unpack-toolz"), Action("retry", BUILD),
    ]  # fmt: skip


def test_a_cancel_asks_first_and_only_y_means_yes(hand):
    hand.press("c")
    assert hand.ui.question_text == "Cancel session a3f2e1d9 (Build v3.1), 19 of 62 tasks left, 2 running?"
    hand.press("j", "x", "c", "down")
    assert hand.effects == [] and hand.ui.question is not None
    hand.press("n")
    assert hand.effects == [] and hand.ui.question is None and hand.ui.notice == "Nothing was cancelled"
    hand.press("c", "escape", "c", "enter")
    assert hand.effects == []
    hand.press("c", "y")
    assert hand.effects == [Action("cancel", BUILD)]


def test_on_tasks_it_cancels_the_task_and_with_a_capital_the_session(hand):
    hand.press("enter", "j", "c")
    assert hand.ui.question_text == "Cancel task test-rich?"
    hand.press("y", "C", "y")
    assert hand.effects == [Action("cancel", BUILD, "test-rich"), Action("cancel", BUILD)]


def test_of_a_worker_its_task_is_meant_and_of_an_idle_one_nothing(hand):
    hand.press("tab", "c", "y", "j", "j", "c")
    assert hand.effects == [Action("cancel", BUILD, "index-idna")]
    assert hand.ui.question is None and hand.ui.notice == "Nothing to cancel is selected"


def test_nothing_happens_where_nothing_is(make):
    hand = Hand(make.board())
    hand.press("down", "enter", "c", "p", "tab", "G", "enter", "t", "f", "pagedown")
    assert hand.effects == [] and hand.ui.page == Page()


def test_a_text_filters_as_it_is_typed_and_escape_takes_it_back(hand):
    hand.press("/", "D", "o", "c")
    assert [one.session_id for one in entries(hand.ui, hand.known)] == [DOCS]
    # Letters are text now.
    hand.press("q", "backspace", "enter")
    assert hand.ui.typing is None and hand.ui.filter == Filter("Doc")
    assert hand.press("escape").ui.filter == Filter()
    assert hand.effects == []
    hand.press("/", "z", "z", "escape")
    assert hand.ui.filter == Filter() and hand.ui.typing is None


def test_a_filter_never_holds_a_control_character_and_is_bounded(hand):
    hand.press("/", *("x" * 200), "\u202e")
    assert len(hand.ui.filter.text) == 60
    assert hand.press("clear").ui.filter.text == ""


def test_f_goes_through_the_states(hand):
    seen = [hand.press("f").ui.filter.state for _ in range(4)]
    assert seen == ["active", "failed", "ended", "all"]
    assert hand.press("f").ui.filter_of(WORKERS).state == "all"
    hand.press("tab", "f", "f", "f")
    assert [one.worker_id for one in entries(hand.ui, hand.known)] == ["9f8e7d6c"]


def test_filters_of_a_session_page_are_its_own(hand):
    hand.press("enter", "f", "f", "f")
    assert hand.ui.filter.state == "failed"
    assert [one.task_id for one in entries(hand.ui, hand.known)] == ["unpack-toolz"]
    hand.press("escape", "escape", "tab", "tab")
    assert hand.ui.filter == Filter()


def test_help_goes_away_with_any_key(hand):
    assert hand.press("?").ui.helping
    assert not hand.press("q").ui.helping
    assert hand.effects == []


def test_in_a_task_arrows_scroll_its_output_within_what_there_is():
    ui = Ui(pages=(Page(), Page("task", BUILD, "x")))
    hand = Hand(scenes.afternoon(), ui, log_lines=30, page_rows=10)
    assert hand.press("up", "up").ui.back == 2
    assert hand.press("pageup").ui.back == 11
    assert hand.press("home").ui.back == 30
    assert hand.press("down", "end").ui.back == 0
    assert hand.press("/", "f").ui.typing is None


def test_listed_tasks_count_only_for_the_session_and_filter_they_were_listed_for(make):
    board = scenes.afternoon()
    listed = (make.task("old-1", "succeeded"), make.task("test-rich", "queued"))
    ui = Ui(pages=(Page("session", BUILD),))
    hand = Hand(board, ui, listing=Listing(BUILD, Filter(), listed))
    names = [one.task_id for one in entries(hand.ui, hand.known)]
    assert names[-1] == "old-1" and names.count("test-rich") == 1
    hand.press("f")
    assert "old-1" not in [one.task_id for one in entries(hand.ui, hand.known)]
    assert hand.ui.list_name == TASKS and Ui().list_name == SESSIONS
