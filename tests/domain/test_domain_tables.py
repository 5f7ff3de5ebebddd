"""The state tables: complete, and in agreement with what the rest relies on."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain import tables
from buildrunner_coordinator.domain.graphs import find_cycle
from buildrunner_coordinator.domain.ids import attempt_id, fresh_id, mix, resolve
from buildrunner_coordinator.domain.model import (
    SESSION_OVER,
    TASK_OVER,
    SessionStatus,
    TaskStatus,
    WorkerStatus,
)
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.domain.tables import SESSION_CELLS, SESSION_EVENTS, TASK_CELLS, TASK_EVENTS


def test_nothing_leads_out_of_an_ended_task_but_a_retry():
    for status in TASK_OVER:
        leads = {event for event in TASK_EVENTS if TASK_CELLS[status, event] in set(TaskStatus)}
        assert leads <= {"revive"}, status


def test_nothing_leads_out_of_an_ended_session_but_the_retry_of_a_failed_one():
    leads = {
        (status, event)
        for status in SESSION_OVER
        for event in SESSION_EVENTS
        if SESSION_CELLS[status, event] in set(SessionStatus)
    }
    assert leads == {(SessionStatus.FAILED, "retry")}


def test_a_cancelled_task_never_starts():
    assert TASK_CELLS[TaskStatus.CANCELLED, "start"] is tables.NEVER
    assert TASK_CELLS[TaskStatus.CANCELLED, "assign"] is tables.NEVER


def test_a_missing_cell_is_found_at_import():
    rows: dict[str, tuple[str, ...]] = {status.value: ("stay",) for status in WorkerStatus}
    with pytest.raises(AssertionError):
        tables._index(rows, WorkerStatus, ("one", "two"))
    with pytest.raises(AssertionError):
        tables._index({}, WorkerStatus, ("one",))


def test_fences_give_different_attempt_ids():
    ids = {attempt_id(fence) for fence in range(10_000)}
    assert len(ids) == 10_000
    assert all(len(one) == 16 for one in ids)


def test_an_id_that_is_taken_is_not_given_again():
    first = fresh_id(1, ())
    assert fresh_id(1, {first}) != first


def test_an_ambiguous_prefix_lists_its_candidates():
    known = ["abcd1111", "abcd2222", "ffff0000"]
    assert resolve("ffff", known, Reason.SESSION_NOT_FOUND, "session") == "ffff0000"
    with pytest.raises(Refusal) as refused:
        resolve("abcd", known, Reason.SESSION_NOT_FOUND, "session")
    assert refused.value.reason is Reason.AMBIGUOUS_ID
    assert refused.value.details["candidates"] == "abcd1111,abcd2222"


@pytest.mark.parametrize(
    ("needs", "cycle"),
    [
        ({"a": (), "b": ("a",)}, []),
        ({"a": ("a",)}, ["a", "a"]),
        ({"a": ("b",), "b": ("c",), "c": ("b",)}, ["b", "c", "b"]),
        ({"a": ("outside",)}, []),
    ],
)
def test_circles_are_found_and_named(needs, cycle):
    assert find_cycle(needs) == cycle


def test_a_chain_of_100_000_needs_is_no_circle():
    assert find_cycle({str(i): (str(i - 1),) if i else () for i in range(100_000)}) == []


def test_mixing_keeps_different_numbers_different():
    assert len({mix(one) for one in range(100_000)}) == 100_000
