"""What is known of a lease as time passes: when it is certain, renewed, late, lost."""

from __future__ import annotations

import pytest

from buildrunner_parallel.errors import (
    LockLostError,
    NotFoundError,
    StaleError,
    UnreachableError,
    WrongStateError,
)
from buildrunner_parallel.lock_leases import HeldGrant, LeaseState, end_of_block, lease_clock
from buildrunner_parallel.records import Grant, PathLock

GRANT = Grant("ab12", 7, (PathLock("ab12-1", path="src/a.py"),), "a3f2e1d9", lease_ms=30_000)
AWAY = UnreachableError("nobody answers")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def state(clock):
    return LeaseState(GRANT, 1000.0, clock)


def test_a_lease_is_renewed_after_a_third_of_it_and_certain_to_its_end(state, clock):
    assert (state.is_certain, state.next_renewal_s) == (True, 10.0)
    clock.now_s = 1029.9
    assert (state.is_certain, state.next_renewal_s) == (True, 0.0)
    clock.now_s = 1030.0
    assert (state.is_certain, state.is_open) == (False, True)


def test_it_counts_from_when_the_renewal_was_sent(state, clock):
    clock.now_s = 1012.0
    state.renewed(1010.0, 30.0)
    assert state.next_renewal_s == 8.0
    clock.now_s = 1039.9
    assert state.is_certain


def test_what_was_waited_for_is_dated_by_a_first_renewal(clock):
    """How long it stood in the queue is no measure: core time may have jumped over a restart."""
    clock.now_s = 1600.0
    waited = LeaseState(Grant("ab12", 7, lease_ms=30_000, waited_ms=3_600_000), 1000.0, clock)
    assert not waited.is_dated
    clock.now_s = 1602.0
    waited.renewed(1601.0, 30.0)
    assert (waited.is_dated, waited.is_certain, waited.next_renewal_s) == (True, True, 9.0)
    at_once = LeaseState(Grant("ab12", 7, lease_ms=30_000), 1600.0, clock)
    assert at_once.is_dated


def test_nobody_that_answers_is_asked_again_until_the_lease_is_over(state, clock):
    clock.now_s = 1029.9
    assert not state.not_renewed(AWAY)
    clock.now_s = 1030.0
    assert state.not_renewed(AWAY)
    assert isinstance(state.error, LockLostError) and not state.is_open
    assert str(state.error) == (
        "the lock of src/a.py was lost while it was needed: its lease of 30s could not be renewed in time: "
        "nobody answers"
    )


def test_a_renewal_that_comes_late_and_is_answered_lost_nothing(state, clock):
    clock.now_s = 1100.0
    assert not state.is_certain
    state.renewed(1100.0, 30.0)
    assert state.is_certain and state.is_open


@pytest.mark.parametrize("kind", [StaleError, NotFoundError, WrongStateError])
def test_a_refused_renewal_ends_it_at_once(state, kind):
    assert state.not_renewed(kind("not held any more"))
    assert "lost while it was needed: not held any more" in str(state.error)
    assert state.error.grant_id == "ab12"
    assert not state.is_certain


def test_a_closed_client_ends_it_at_once(state):
    assert state.not_renewed(AWAY, for_good=True)


def test_the_first_reason_for_a_loss_is_the_one_that_is_told(state):
    state.lose("taken away")
    state.lose("and again")
    assert str(state.error).endswith("taken away")


def test_renewals_are_asked_in_time_to_ask_again(state, clock):
    def limits() -> tuple[float | None, float | None]:
        call = state.renewal(None)
        return call.timeout_s, call.patience_s

    clock.now_s = 1010.0
    assert limits() == (10.0, 20.0)
    clock.now_s = 1024.0
    assert limits() == (3.0, 6.0)
    clock.now_s = 1100.0
    assert limits() == (1.0, 0.0)


def test_a_release_that_is_refused_tells_of_a_loss_that_nobody_had_noticed(state):
    told = state.not_released(StaleError("another holder has it"))
    assert told is state.error and "another holder has it" in str(told)


def test_a_release_that_nobody_answers_is_no_loss(state):
    assert state.not_released(AWAY) is AWAY
    assert state.error is None


@pytest.mark.parametrize("grant", [Grant("", 17), Grant("ab12", 17)])
def test_what_has_no_lease_of_its_own_is_neither_renewed_nor_given_back(grant, clock):
    state = LeaseState(grant, 0.0, clock)
    assert not state.renews and state.is_certain


def test_the_grant_of_the_program_that_started_this_one_is_not_ours_to_give_back(clock, monkeypatch):
    monkeypatch.setenv("BR_LOCK_GRANT_ID", "ab12")
    assert not LeaseState(GRANT, 1000.0, clock).renews


def test_many_paths_are_told_in_short(clock):
    locks = tuple(PathLock(str(number), path=f"{number}\n.py") for number in range(10))
    state = LeaseState(Grant("ab12", 7, locks, lease_ms=1000), 1000.0, clock)
    state.lose("gone")
    assert "the lock of 0␊.py, 1␊.py, 2␊.py and 7 more was lost" in str(state.error)


def test_a_held_grant_says_what_is_so(state, clock):
    held = HeldGrant(GRANT, state)
    assert (held.held, held.is_open) == (True, True)
    assert repr(held) == "<HeldGrant ab12 of session a3f2e1d9: held>"
    held.check()
    clock.now_s = 1030.0
    assert (held.held, held.is_open) == (False, True)
    held.check()
    state.lose("gone")
    assert (held.held, held.is_open) == (False, False)
    assert repr(held) == "<HeldGrant ab12 of session a3f2e1d9: lost>"
    with pytest.raises(LockLostError, match="gone"):
        held.check()


def test_the_end_of_a_block_raises_its_trouble_only_where_nothing_else_is_raised():
    trouble, own = LockLostError("lost"), KeyError("own")
    end_of_block(None, None)
    end_of_block(own, None)
    assert not hasattr(own, "__notes__")
    with pytest.raises(LockLostError):
        end_of_block(None, trouble)
    end_of_block(own, trouble)
    assert own.__notes__ == ["lost"]
    end_of_block(trouble, trouble)
    assert not hasattr(trouble, "__notes__")


def test_the_clock_of_leases_goes_forward():
    first = lease_clock()
    assert lease_clock() >= first
