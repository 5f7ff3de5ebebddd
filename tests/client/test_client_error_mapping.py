"""Statuses become errors: by reason where there is one, else by code; details are kept."""

from __future__ import annotations

import grpc
import pytest

from buildrunner_parallel import errors
from buildrunner_parallel.error_mapping import BY_CODE, BY_REASON
from buildrunner_parallel.v1 import types_pb2

EXIT_CODES = {
    errors.BuildRunnerError: 1,
    errors.RefusedError: 1,
    errors.InvalidRequestError: 1,
    errors.WrongStateError: 1,
    errors.LimitError: 1,
    errors.UnsupportedError: 1,
    errors.LockConflictError: 5,
    errors.DeadlockError: 5,
    errors.StaleError: 5,
    errors.LockLostError: 5,
    errors.NotFoundError: 4,
    errors.AmbiguousIdError: 4,
    errors.AuthenticationError: 3,
    errors.UnreachableError: 3,
    errors.NoStateError: 3,
    errors.CoordinatorStartError: 3,
    errors.TaskFailedError: 6,
    errors.DeadlineError: 124,
}


def test_every_error_has_its_exit_code():
    found = {
        value: value.exit_code
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.BuildRunnerError)
    }
    assert found == EXIT_CODES


@pytest.mark.parametrize("reason", sorted(BY_REASON))
def test_a_reason_decides_whatever_the_code(client, coordinator, refusal, reason):
    coordinator.on("GetInfo", refusal(grpc.StatusCode.INTERNAL, reason, "why and what to do"))
    with pytest.raises(errors.BuildRunnerError) as caught:
        client.info()
    assert type(caught.value) is BY_REASON[reason]
    assert (caught.value.reason, caught.value.message) == (reason, "why and what to do")


@pytest.mark.parametrize("code", [code for code in BY_CODE if code.name != "UNAVAILABLE"])
def test_without_a_reason_the_code_decides(client, coordinator, code):
    coordinator.on("GetInfo", code)
    with pytest.raises(errors.BuildRunnerError) as caught:
        client.info()
    assert type(caught.value) is BY_CODE[code]
    assert caught.value.reason == ""


def test_an_unknown_reason_falls_back_to_the_code(client, coordinator, refusal):
    coordinator.on("GetInfo", refusal(grpc.StatusCode.FAILED_PRECONDITION, "NEW_IN_2030"))
    with pytest.raises(errors.RefusedError) as caught:
        client.info()
    assert caught.value.reason == "NEW_IN_2030"


def test_a_lock_conflict_is_a_value_error_with_every_clash(client, coordinator, refusal):
    clash = types_pb2.LockConflict(
        asked_path="src/a.py",
        held_path="src",
        held_mode=types_pb2.LOCK_MODE_SHARED,
        holder=types_pb2.LockHolder(session_id="a3f2e1d9", session_name="build"),
        held_ms=1500,
    )
    text = "Files already locked by session a3f2e1d9: src/a.py"
    coordinator.on("ResumeSession", refusal(grpc.StatusCode.ABORTED, "LOCK_CONFLICT", text, clash, clash))
    with pytest.raises(ValueError, match="already locked by session a3f2e1d9") as caught:
        client.resume_session("a3f2e1d9")
    assert isinstance(caught.value, errors.LockConflictError)
    assert len(caught.value.conflicts) == 2
    assert caught.value.conflicts[0].holder.session_name == "build"
    assert caught.value.conflicts[0].held_mode == "shared"


def test_an_ambiguous_prefix_lists_its_candidates(client, coordinator, refusal):
    status = refusal(grpc.StatusCode.NOT_FOUND, "AMBIGUOUS_ID", "two", candidates="a3f2e1d9,a3f2ffff")
    coordinator.on("GetSession", status)
    with pytest.raises(errors.AmbiguousIdError) as caught:
        client.get_session("a3f2")
    assert caught.value.candidates == ["a3f2e1d9", "a3f2ffff"]
