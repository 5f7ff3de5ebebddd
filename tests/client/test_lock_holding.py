"""On whose account paths are asked for: a task's, a surrounding lock's, or the session's own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from contextvars import ContextVar
from dataclasses import dataclass

import pytest

from buildrunner_parallel import lock_holding
from buildrunner_parallel.lock_holding import Asker, asker_for, enter, leave, stands_for

SESSION = "a3f2e1d9"
TASK = {"BR_SESSION_ID": SESSION, "BR_ATTEMPT_ID": "beef0001", "BR_FENCE": "17"}
BELOW_LOCK = {"BR_LOCK_SESSION_ID": SESSION, "BR_LOCK_GRANT_ID": "cafe0001", "BR_LOCK_FENCE": "9"}
ATTEMPT = Asker(attempt_id="beef0001", fence=17)


@dataclass
class Block:
    session_id: str = SESSION
    grant_id: str = "ab12"
    fence: int = 5
    is_open: bool = True


@pytest.fixture(autouse=True)
def leaves_no_block_behind(monkeypatch):
    """What a test enters must not be entered for the next one."""
    monkeypatch.setattr(lock_holding, "_entered", ContextVar("entered_in_a_test", default=()))


def test_a_program_of_nobody_asks_for_the_session_itself():
    assert asker_for(SESSION, {}) == Asker()


@pytest.mark.parametrize("session_id", [SESSION, "a3f2", ""])
def test_a_task_asks_in_the_name_of_its_attempt(session_id):
    assert asker_for(session_id, TASK) == ATTEMPT


@pytest.mark.parametrize("session_id", ["ffff0000", "a3f", "last"])
def test_a_task_that_asks_for_another_session_asks_as_anybody_would(session_id):
    assert asker_for(session_id, TASK) == Asker()


@pytest.mark.parametrize(
    "broken", [{"BR_FENCE": ""}, {"BR_FENCE": "x"}, {"BR_FENCE": "-1"}, {"BR_ATTEMPT_ID": ""}]
)
def test_half_an_identity_is_none(broken):
    assert asker_for(SESSION, TASK | broken) == Asker()


def test_what_runs_below_a_lock_command_asks_from_within_its_grant():
    assert asker_for(SESSION, BELOW_LOCK) == Asker(held_grant_id="cafe0001", held_fence=9)
    assert asker_for("ffff0000", BELOW_LOCK) == Asker()


def test_a_task_below_a_lock_command_is_a_task_all_the_same():
    assert asker_for(SESSION, TASK | BELOW_LOCK) == ATTEMPT


def test_the_innermost_open_block_of_the_session_counts():
    outer, inner, elsewhere = Block(grant_id="outer"), Block(grant_id="inner"), Block("ffff0000", "else")
    for block in (outer, inner, elsewhere):
        enter(block)
    assert asker_for(SESSION, BELOW_LOCK).held_grant_id == "inner"
    inner.is_open = False
    assert asker_for(SESSION, {}).held_grant_id == "outer"
    leave(outer)
    assert asker_for(SESSION, {}) == Asker()
    assert asker_for("", {}).held_grant_id == "else"


def test_another_thread_is_not_within_the_block_even_with_its_context():
    enter(Block())
    context = contextvars.copy_context()
    found: list[Asker] = []
    thread = threading.Thread(target=lambda: found.append(context.run(asker_for, SESSION, {})))
    thread.start()
    thread.join()
    assert found == [Asker()]


async def test_tasks_begun_within_a_block_are_not_within_it_and_so_exclude_each_other():
    async def ask() -> Asker:
        return asker_for(SESSION, {})

    enter(Block())
    assert (await ask()).held_grant_id == "ab12"
    assert list(await asyncio.gather(ask(), ask())) == [Asker(), Asker()]


def test_leaving_in_a_context_that_never_entered_does_no_harm():
    block = Block()
    contextvars.copy_context().run(enter, block)
    leave(block)
    assert asker_for(SESSION, {}) == Asker()


@pytest.mark.parametrize(
    ("asked", "session_id", "fits"),
    [
        (SESSION, SESSION, True),
        ("a3f2", SESSION, True),
        ("a3f", SESSION, False),
        ("", SESSION, True),
        ("x", "", False),
    ],
)
def test_a_prefix_stands_for_a_session_from_four_letters_on(asked, session_id, fits):
    assert stands_for(asked, session_id) is fits
