"""The calls of path locks on the wire: what is asked, what is read, and waits that outlive restarts."""

from __future__ import annotations

import threading
import time

import grpc
import pytest

from buildrunner_parallel import errors
from buildrunner_parallel.connection import Patience
from buildrunner_parallel.records import Grant, LockKind, LockMode
from buildrunner_parallel.v1 import lock_service_pb2 as wire
from buildrunner_parallel.v1 import types_pb2
from tests.client.instant import Gone
from tests.client.lock_scripts import Granting


@pytest.fixture(autouse=True)
def below_a_repository(tmp_path, monkeypatch):
    root = tmp_path / "repo"
    (root / ".git").mkdir(parents=True)
    (root / "src").mkdir()
    monkeypatch.chdir(root)
    for name in ("BR_SESSION_ID", "BR_ATTEMPT_ID", "BR_FENCE", "BR_LOCK_GRANT_ID"):
        monkeypatch.delenv(name, raising=False)


def test_acquiring_says_all_that_was_asked_and_tells_all_that_was_given(client, coordinator):
    Granting(coordinator)
    grant = client.acquire_locks(
        "a3f2", ["src", ("a.py", "shared")], mode="exclusive", wait="1m30s", lease=2.5
    )
    (request,) = coordinator.seen["AcquireLocks"]
    assert request.request_id and request.session_id == "a3f2"
    assert (request.wait_ms, request.lease_ms) == (90_000, 2500)
    assert [(one.path, one.mode, one.kind) for one in request.paths] == [
        ("src", types_pb2.LOCK_MODE_EXCLUSIVE, types_pb2.LOCK_KIND_TREE),
        ("a.py", types_pb2.LOCK_MODE_SHARED, types_pb2.LOCK_KIND_FILE),
    ]
    assert (grant.grant_id, grant.fence, grant.session_id, grant.lease_ms) == ("ab01", 101, "a3f2e1d9", 2500)
    assert grant.paths == ("src", "a.py")
    assert (grant.locks[1].mode, grant.locks[0].kind) == (LockMode.SHARED, LockKind.TREE)


@pytest.mark.parametrize(
    ("wait", "wait_ms"), [(None, 0), (False, 0), (0, 0), (True, -1), ("30s", 30_000), (0.25, 250)]
)
def test_each_way_of_saying_how_long_to_wait(client, coordinator, wait, wait_ms):
    Granting(coordinator)
    client.acquire_locks("a3f2", ["a.py"], wait=wait)
    assert coordinator.seen["AcquireLocks"][0].wait_ms == wait_ms


def test_without_a_lease_it_is_the_sessions_own(client, coordinator):
    Granting(coordinator)
    client.acquire_locks("a3f2", ["a.py"])
    assert not coordinator.seen["AcquireLocks"][0].HasField("lease_ms")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mode": "exklusive"}, "'exklusive' is no LockMode; use one of exclusive, shared"),
        ({"wait": "soon"}, "wait: expected a duration"),
        ({"wait": -1}, "wait: expected a duration"),
        ({"lease": "1 fortnight"}, "lease: expected a duration"),
        ({"lease": True}, "lease: expected a duration"),
        ({"lease": []}, "lease: expected a duration"),
    ],
)
def test_nonsense_reaches_nobody(client, coordinator, options, told):
    with pytest.raises(errors.InvalidRequestError, match=told):
        client.acquire_locks("a3f2", ["a.py"], **options)
    with pytest.raises(errors.InvalidRequestError, match="must be a list"):
        client.acquire_locks("a3f2", "a.py")
    with pytest.raises(errors.InvalidRequestError, match="must be a list"):
        client.release_locks("a3f2", "")
    with pytest.raises(errors.InvalidRequestError, match="expected a session or its id, found 7"):
        client.acquire_locks(7, ["a.py"])
    assert coordinator.seen == {}


def test_a_session_may_be_given_as_its_record(client, coordinator):
    Granting(coordinator)
    client.release_locks(Grant("x", session_id="a3f2e1d9"))
    assert coordinator.seen["ReleaseLocks"][0].session_id == "a3f2e1d9"


def test_a_task_asks_in_the_name_of_its_attempt(client, coordinator, monkeypatch):
    Granting(coordinator)
    coordinator.on("PreviewLocks", wire.PreviewLocksResponse())
    for name, value in (("BR_SESSION_ID", "a3f2e1d9"), ("BR_ATTEMPT_ID", "beef"), ("BR_FENCE", "17")):
        monkeypatch.setenv(name, value)
    client.acquire_locks("a3f2", ["a.py"])
    client.preview_locks(["a.py"])
    asked, previewed = coordinator.seen["AcquireLocks"][0], coordinator.seen["PreviewLocks"][0]
    assert (asked.attempt_id, asked.fence) == (previewed.attempt_id, previewed.fence) == ("beef", 17)


def test_only_what_has_a_lease_is_part_of_what_a_lock_command_holds(client, coordinator, monkeypatch):
    Granting(coordinator)
    below = {"BR_LOCK_SESSION_ID": "a3f2e1d9", "BR_LOCK_GRANT_ID": "cafe", "BR_LOCK_FENCE": "9"}
    for name, value in below.items():
        monkeypatch.setenv(name, value)
    client.acquire_locks("a3f2", ["a.py"])
    client.acquire_locks("a3f2", ["a.py"], lease="5s")
    own, leased = coordinator.seen["AcquireLocks"]
    assert (own.held_grant_id, own.held_fence) == ("", 0)
    assert (leased.held_grant_id, leased.held_fence) == ("cafe", 9)


def test_a_conflict_tells_who_has_what_in_full(client, coordinator, refusal):
    clash = types_pb2.LockConflict(
        asked_path="src/a.py", asked_mode=types_pb2.LOCK_MODE_SHARED, held_path="src",
        held_kind=types_pb2.LOCK_KIND_TREE, held_mode=types_pb2.LOCK_MODE_EXCLUSIVE, held_ms=1500,
        silent_ms=900, lock_id="ab01-1", queue_position=2,
        holder=types_pb2.LockHolder(
            session_id="ffff", session_name="other", task_id="t", attempt_id="beef", worker_id="w",
            host="h", grant_id="ab01",
        ),
    )  # fmt: skip
    text = "Files already locked by session ffff: src/a.py"
    coordinator.on("AcquireLocks", refusal(grpc.StatusCode.ABORTED, "LOCK_CONFLICT", text, clash))
    with pytest.raises(ValueError, match=text) as caught:
        client.acquire_locks("a3f2", ["src/a.py"])
    assert isinstance(caught.value, errors.LockConflictError)
    (found,) = caught.value.conflicts
    assert (found.asked_path, found.asked_mode, found.held_path) == ("src/a.py", "shared", "src")
    assert (found.held_kind, found.held_mode, found.held_ms) == ("tree", "exclusive", 1500)
    assert (found.silent_ms, found.lock_id, found.queue_position) == (900, "ab01-1", 2)
    holder = found.holder
    assert (holder.session_name, holder.task_id, holder.worker_id) == ("other", "t", "w")
    assert (holder.host, holder.grant_id, holder.attempt_id) == ("h", "ab01", "beef")


def test_the_list_has_the_locks_and_waiters_of_every_page(client, coordinator):
    def page(request, _context):
        number = int(request.page_token or 0)
        return wire.ListLocksResponse(
            locks=[types_pb2.PathLock(lock_id=str(number))],
            waiters=[wire.LockWaiter(position=1)] if number == 0 else [],
            next_page_token=str(number + 1) if number < 2 else "",
        )

    coordinator.on("ListLocks", page)
    found = client.list_locks()
    assert [lock.lock_id for lock in found.locks] == ["0", "1", "2"]
    assert [waiter.position for waiter in found.waiters] == [1]


@pytest.mark.parametrize(
    ("path", "text"),
    [("", ""), ("src", "src/"), ("a[1].py", "a[1].py"), ("b[1].py", "b[[]1].py"), ("res:db", "res:db")],
)
def test_a_path_to_look_for_is_told_so_that_it_is_not_taken_for_something_else(
    client, coordinator, path, text, tmp_path
):
    (tmp_path / "repo" / "b[1].py").write_text("")
    coordinator.on("ListLocks", wire.ListLocksResponse())
    client.list_locks(path, session="a3f2")
    (request,) = coordinator.seen["ListLocks"]
    assert (request.path, request.session_id) == (text, "a3f2")


def test_a_renewal_tells_how_long_it_lasts_and_statistics_are_of_the_time_asked_for(client, coordinator):
    coordinator.on("RenewLease", wire.RenewLeaseResponse(lease_ms=2500))
    assert client.renew_lease(Grant("ab01", 7)) == 2.5
    figures = wire.LockWaitFigures(waits=3, wait_p95_ms=40)
    coordinator.on(
        "GetLockStatistics",
        wire.GetLockStatisticsResponse(
            statistics=[wire.LockStatistics(path="src/a.py", figures=figures)],
            total=figures,
            period_ms=60_000,
        ),
    )
    report = client.lock_statistics(session="a3f2", since="1h")
    assert coordinator.seen["GetLockStatistics"][0].since_ms == 3_600_000
    assert (report.statistics[0].path, report.statistics[0].figures.wait_p95_ms) == ("src/a.py", 40)
    assert (report.total.waits, report.period_ms) == (3, 60_000)


def test_taking_a_lock_away_says_why(client, coordinator):
    coordinator.on("ForceRelease", wire.ForceReleaseResponse(lock=types_pb2.PathLock(lock_id="ab01-1")))
    assert client.force_release("ab01-1", "its owner left").lock_id == "ab01-1"
    assert coordinator.seen["ForceRelease"][0].reason == "its owner left"


@pytest.mark.parametrize(
    ("reason", "kind"), [("STALE", errors.StaleError), ("LOCK_NOT_HELD", errors.NotFoundError)]
)
def test_giving_back_what_is_not_ours_is_refused(client, coordinator, refusal, reason, kind):
    coordinator.on("ReleaseLocks", refusal(grpc.StatusCode.ABORTED, reason, "not yours"))
    with pytest.raises(kind, match="not yours"):
        client.release_locks("a3f2", ["a.py"])


# ------------------------------------------------------------------------------ waits


@pytest.mark.parametrize("ended", ["killed", "stopping"])
def test_a_wait_goes_on_behind_a_restart_under_the_same_request_id(client, coordinator, refusal, ended):
    granting = Granting(coordinator)
    stopping = refusal(grpc.StatusCode.UNAVAILABLE, "STOPPING", "the coordinator ends")
    loss = grpc.StatusCode.UNAVAILABLE if ended == "killed" else stopping
    coordinator.on("AcquireLocks", loss, loss, granting.acquire)
    assert client.acquire_locks("a3f2", ["a.py"], wait=True).grant_id == "ab01"
    assert len({request.request_id for request in granting.seen("AcquireLocks")}) == 1


def test_a_call_that_does_not_wait_is_told_that_the_coordinator_stops(client, coordinator, refusal):
    coordinator.on("AcquireLocks", refusal(grpc.StatusCode.UNAVAILABLE, "STOPPING", "the coordinator ends"))
    with pytest.raises(errors.UnreachableError) as caught:
        client.acquire_locks("a3f2", ["a.py"])
    assert caught.value.reason == "STOPPING"


def test_closing_the_client_ends_a_wait_and_the_coordinator_hears_of_it(client, coordinator):
    began, hung_up = threading.Event(), threading.Event()

    def wait(_request, context):
        context.add_callback(hung_up.set)
        began.set()
        hung_up.wait(20)
        return wire.AcquireLocksResponse()

    coordinator.on("AcquireLocks", wait)

    def close() -> None:
        began.wait(20)
        client.close()

    closing = threading.Thread(target=close)
    closing.start()
    with pytest.raises(errors.UnreachableError):
        client.acquire_locks("a3f2", ["a.py"], wait=True)
    closing.join()
    assert hung_up.wait(20)


def test_patience_counts_from_the_loss_and_not_from_when_the_call_began(monkeypatch):
    now_s = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    patience = Patience(30.0)
    patience.begin()
    now_s[0] = 5000.0
    assert patience.is_loss(Gone()) and not patience.is_over
    for now_s[0] in (5010.0, 5029.9):
        patience.begin()
        assert patience.is_loss(Gone()) and not patience.is_over
    now_s[0] = 5030.0
    assert patience.is_loss(Gone()) and patience.is_over


def test_another_loss_after_a_long_connection_is_borne_anew(monkeypatch):
    now_s = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    patience = Patience(30.0)
    patience.begin()
    patience.is_loss(Gone())
    patience.begin()
    now_s[0] = 1026.0
    assert patience.is_loss(Gone())
    assert patience.deadline_s == 1056.0


def test_a_coordinator_that_was_ended_in_order_is_not_started_by_who_waits(refusal):
    def stopping() -> grpc.RpcError:
        status = refusal(grpc.StatusCode.UNAVAILABLE, "STOPPING", "it ends")
        error = Gone()
        details = ("grpc-status-details-bin", status.SerializeToString())
        error.trailing_metadata = lambda: (details,)  # type: ignore[method-assign]
        error.details = lambda: "it ends"  # type: ignore[method-assign]
        return error

    waiting, other = Patience(30.0, waits=True), Patience(30.0)
    assert waiting.starts and waiting.is_loss(stopping()) and not waiting.starts
    assert not other.is_loss(stopping()) and other.starts
