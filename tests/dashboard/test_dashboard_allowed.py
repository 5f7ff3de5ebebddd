"""What a state does not allow is told in the status line, without a question and without an order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildrunner_parallel.dashboard.allowed import refusal
from buildrunner_parallel.dashboard.lists import Listing
from buildrunner_parallel.dashboard.ui import Action, Page, Ui
from buildrunner_parallel.records import SessionStatus, TaskCounts, TaskStatus

from . import scenes
from .conftest import session, task
from .test_dashboard_ui import BUILD, Hand

ID = "a3f2e1d9"
NAME = f"Session {ID} (Build)"


def one(status, **more):
    return session(ID, name="Build", status=SessionStatus(status), **more)


@pytest.mark.parametrize(
    ("verb", "status", "said"),
    [
        ("pause", "running", ""),
        ("pause", "paused", f"{NAME} is paused already; r resumes it"),
        ("pause", "created", f"{NAME} is not started yet"),
        ("pause", "completed", f"{NAME} has already completed"),
        ("resume", "paused", ""),
        ("resume", "created", ""),
        ("resume", "running", f"{NAME} is running already"),
        ("resume", "failed", f"{NAME} has already failed; t runs again what did not succeed"),
        ("cancel", "created", ""),
        ("cancel", "running", ""),
        ("cancel", "paused", ""),
        ("cancel", "completed", f"{NAME} has already completed"),
        ("cancel", "cancelled", f"{NAME} was already cancelled"),
        ("retry", "failed", ""),
        ("retry", "running", ""),
        ("retry", "cancelled", f"{NAME} was cancelled: nothing of it can run again"),
    ],
)
def test_of_a_session(verb, status, said):
    assert refusal(verb, one(status, counts=TaskCounts(failed=1, running=1)), None) == said


@pytest.mark.parametrize("verb", ["pause", "resume", "retry", "cancel"])
def test_of_a_session_that_is_being_cancelled(verb):
    assert refusal(verb, one("running", cancelling=True), None).startswith(f"{NAME} is being cancelled")


def test_of_a_session_of_which_all_went_well():
    assert refusal("retry", one("completed", counts=TaskCounts(succeeded=3)), None) == (
        f"{NAME} has nothing to run again: only what failed, was cancelled or was skipped can run again"
    )


@pytest.mark.parametrize(
    ("verb", "status", "said"),
    [
        ("cancel", "succeeded", "Task t has already succeeded"),
        ("cancel", "failed", "Task t has already failed; t tries it again"),
        ("cancel", "cancelled", "Task t was already cancelled"),
        ("cancel", "skipped", "Task t was already skipped"),
        ("cancel", "cancelling", "Task t is being stopped already"),
        ("retry", "succeeded", "Task t has already succeeded: only what failed"),
        ("retry", "running", "Task t is running: only what failed"),
        ("retry", "cancelling", "Task t is being stopped: only what failed"),
        ("retry", "blocked", "Task t is blocked: only what failed"),
    ],
)
def test_of_a_task(verb, status, said):
    assert refusal(verb, one("running"), task("t", status)).startswith(said)


@pytest.mark.parametrize(
    ("verb", "status"),
    [("cancel", "queued"), ("cancel", "blocked"), ("cancel", "assigned"), ("cancel", "running"),
     ("retry", "failed"), ("retry", "cancelled"), ("retry", "skipped")],
)  # fmt: skip
def test_what_a_task_allows(verb, status):
    present = one("running", counts=TaskCounts(failed=1))
    assert refusal(verb, present, task("t", status)) == ""
    assert refusal(verb, None, task("t", status)) == ""


def test_of_what_is_not_known_nothing_is_refused():
    assert refusal("cancel", None, None) == ""


def on_task(status, **known):
    """On the page of a task that was read in this state."""
    read = task("odd", status, session_id=BUILD)
    return Hand(scenes.afternoon(), Ui(pages=(Page(), Page("task", BUILD, "odd"))), task=read, **known)


def test_a_cancel_of_what_is_over_asks_nothing():
    hand = on_task("succeeded").press("c")
    assert (hand.ui.question, hand.effects) == (None, [])
    assert (hand.ui.notice, hand.ui.notice_style) == ("Task odd has already succeeded", "warn")
    assert on_task("queued").press("c", "y").effects == [Action("cancel", BUILD, "odd")]


def test_the_feed_is_newer_than_what_was_read():
    hand = on_task("running")
    done = task("odd", "failed", session_id=BUILD)
    hand.known.board.failures[BUILD, "odd"] = done
    assert hand.press("c").ui.notice == "Task odd has already failed; t tries it again"
    assert hand.press("t").effects == [Action("retry", BUILD, "odd")]


def test_a_listed_task_is_known_by_its_listing():
    board = scenes.afternoon()
    page = Ui(pages=(Page(), Page("session", BUILD)))
    hand = Hand(board, page, listing=Listing(BUILD, page.filter, (task("zzz", "skipped", session_id=BUILD),)))
    hand.press("G", "c")
    assert hand.selected == "zzz"
    assert (hand.ui.question, hand.ui.notice) == (None, "Task zzz was already skipped")


def test_while_the_coordinator_is_away_what_is_shown_is_old_and_nothing_is_refused():
    hand = on_task("succeeded")
    hand.known.board.connected = False
    assert hand.press("c").ui.question is not None


def test_a_session_that_is_paused_is_not_paused_again():
    hand = Hand(scenes.afternoon()).press("down", "p")
    assert hand.effects == []
    assert "is paused already" in hand.ui.notice
    assert [effect.verb for effect in hand.press("r").effects] == ["resume"]


def test_with_a_hostile_name_the_line_stays_one():
    named = replace(one("completed"), name="a\x1b[31m\nb")
    assert "\n" not in refusal("cancel", named, None)
    odd = task("x\ny", "succeeded")
    assert odd.status == TaskStatus.SUCCEEDED
    assert "\n" not in refusal("cancel", named, odd)
