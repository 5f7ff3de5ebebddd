"""The small pure parts of a worker: frames, output buffers, leases, credit, environments, recalls."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildrunner_parallel.v1 import types_pb2, worker_service_pb2
from buildrunner_parallel.worker import host_messages, lease_clock
from buildrunner_parallel.worker.credit import CreditGauge
from buildrunner_parallel.worker.framing import Decoder, encode
from buildrunner_parallel.worker.host_link import HandlerJob, HostLink
from buildrunner_parallel.worker.lease import Lease
from buildrunner_parallel.worker.lease_clock import KILL, TERMINATE, VALID, LeaseClock
from buildrunner_parallel.worker.output_buffer import OutputBuffer
from buildrunner_parallel.worker.task_environment import (
    base_environment,
    own_environment,
    working_directory,
)

SECOND_NS = 1_000_000_000


@given(st.lists(st.lists(st.tuples(st.text(), st.binary(), st.integers()))), st.integers(1, 50))
def test_frames_survive_any_cutting(batches: list[list[tuple[str, bytes, int]]], step: int) -> None:
    stream = b"".join(encode(batch) for batch in batches)
    decoder = Decoder()
    seen = [one for at in range(0, len(stream), step) for one in decoder.feed(stream[at : at + step])]
    assert seen == [one for batch in batches for one in batch]


# Output


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1, max_size=40)), max_size=30),
    st.integers(1, 60),
    st.lists(st.integers(0, 300), max_size=8),
)
def test_output_arrives_whole_through_any_breaks(
    writes: list[tuple[int, bytes]], limit: int, breaks: list[int]
) -> None:
    buffer, received = OutputBuffer(), bytearray()
    for channel, data in writes:
        buffer.append(channel, data, 0.0)
    buffer.finish()
    rounds = 0
    while not buffer.is_acknowledged:
        for piece in buffer.take(limit):
            if piece.offset + len(piece.data) > len(received):
                received += piece.data[len(received) - piece.offset :]
        rounds += 1
        if rounds in breaks:
            buffer.rewind()
        buffer.acknowledge(len(received))
    assert bytes(received) == b"".join(data for _, data in writes)
    assert buffer.held_bytes == 0


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=40), st.integers(1, 100), st.integers(0, 100))
def test_only_head_and_tail_are_kept_and_the_gap_is_counted(
    writes: list[bytes], head_bytes: int, tail_bytes: int
) -> None:
    buffer = OutputBuffer(head_bytes, tail_bytes)
    for data in writes:
        buffer.append(1, data, 0.0)
    buffer.finish()
    whole = b"".join(writes)
    pieces = buffer.all_pieces()
    position, kept = 0, b""
    for piece in pieces:
        assert piece.offset == position + piece.dropped_bytes
        position = piece.offset + len(piece.data)
        kept += piece.data
    dropped = max(0, len(whole) - head_bytes - tail_bytes)
    assert position == buffer.total_bytes == len(whole)
    assert (buffer.dropped_bytes, sum(piece.dropped_bytes for piece in pieces)) == (dropped, dropped)
    assert kept == (whole if not dropped else whole[:head_bytes] + whole[len(whole) - tail_bytes :])


def test_small_output_fits_inline_until_some_of_it_was_streamed() -> None:
    buffer = OutputBuffer()
    buffer.append(1, b"small", 0.0)
    assert buffer.fits_inline
    buffer.take(100)
    assert not buffer.fits_inline


# Leases


class Clock:
    def __init__(self) -> None:
        self.now_ns = 1000 * SECOND_NS

    def __call__(self, clock: int) -> int:
        return self.now_ns

    def forward(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND_NS)


def test_a_lease_asks_first_and_kills_later() -> None:
    clock = Clock()
    lease = LeaseClock(clock)
    assert lease.state() == VALID
    lease.renew("boottime", clock.now_ns + 28 * SECOND_NS, clock.now_ns + 36 * SECOND_NS, "")
    clock.forward(27.9)
    assert lease.state() == VALID
    clock.forward(0.2)
    assert lease.state() == TERMINATE
    clock.forward(8)
    assert lease.state() == KILL
    lease.renew("boottime", clock.now_ns + 1, clock.now_ns + 2, "")
    assert lease.state() == VALID


def test_the_clock_stands_still_while_the_lock_is_free_and_runs_while_it_is_held() -> None:
    clock, free = Clock(), [True]
    lease = LeaseClock(clock, lambda path: free[0])
    lease.renew("boottime", clock.now_ns + 28 * SECOND_NS, clock.now_ns + 36 * SECOND_NS, "lock")
    for _ in range(600):
        clock.forward(0.5)
        assert lease.state() == VALID
    free[0] = False
    for _ in range(36):
        clock.forward(0.5)
    assert lease.state() == TERMINATE


def test_a_long_gap_between_two_looks_counts_as_held() -> None:
    clock = Clock()
    lease = LeaseClock(clock, lambda path: True)
    lease.renew("boottime", clock.now_ns + 28 * SECOND_NS, clock.now_ns + 36 * SECOND_NS, "lock")
    clock.forward(3600)
    assert lease.state() == KILL


def test_a_missing_lock_file_is_held_by_nobody(tmp_path: Path) -> None:
    assert lease_clock.nobody_holds(str(tmp_path / "none"))


def test_a_lease_counts_from_the_sending_of_the_heartbeat_that_was_answered() -> None:
    lease = Lease("lock")
    welcome = worker_service_pb2.Welcome(stop_after_ms=28_000, kill_after_ms=36_000)
    hello_ns = 5 * SECOND_NS
    assert lease.begin(welcome, hello_ns, is_new=True) == [
        ("lease", "boottime", 33 * SECOND_NS, 41 * SECOND_NS, "lock")
    ]
    assert (lease.next_heartbeat(10 * SECOND_NS), lease.next_heartbeat(20 * SECOND_NS)) == (1, 2)
    assert lease.answered(1)[0][2:4] == (38 * SECOND_NS, 46 * SECOND_NS)
    assert lease.answered(1) == []
    assert lease.answered(7) == []
    assert lease.begin(welcome, hello_ns, is_new=False) == []
    assert lease.next_heartbeat(30 * SECOND_NS) == 1


# Credit


def test_credit_is_large_for_short_tasks_and_none_is_held_ahead_of_long_ones() -> None:
    gauge = CreditGauge(slots=2)
    assert gauge.change() == 0
    for _ in range(50):
        gauge.ran(10)
    assert gauge.change() > 100
    for _ in range(100):
        gauge.ran(60_000_000)
    assert gauge.change() == 2
    assert gauge.change() == 0


@pytest.mark.parametrize("slots", [1, 2, 3, 8, 64])
def test_nothing_is_held_ahead_of_long_tasks_however_many_slots_there_are(slots: int) -> None:
    gauge = CreditGauge(slots)
    gauge.ran(60_000_000)
    assert gauge.change() == slots
    for _ in range(100):
        gauge.ran(100_000)
    assert gauge.change() > slots


def test_a_fixed_credit_never_changes() -> None:
    gauge = CreditGauge(slots=2, fixed=1)
    gauge.ran(1)
    assert (gauge.initial, gauge.change()) == (1, 0)


# Environment


def test_the_workers_own_environment_is_passed_by_allow_list_only() -> None:
    mine = {"PATH": "/bin", "LC_ALL": "C", "XDG_DATA_HOME": "/x", "https_proxy": "p", "HTTP_PROXY": "q"}
    refused = {"BR_TOKEN": "t", "AWS_SECRET": "s", "PYTHONPATH": "/y", "LANGUAGE": "de"}
    expected = mine | {"BR_WORKER_ID": "aaaa0001", "BR_COORDINATOR": "unix:/s"}
    assert base_environment(mine | refused, "aaaa0001", "unix:/s") == expected


def test_a_tasks_settings_win_over_passed_ones_and_ours_over_both() -> None:
    assignment = worker_service_pb2.Assignment(
        attempt_id="a1", fence=9, number=2, session_id="s", session_name="n"
    )
    assignment.spec.task_id = "t"
    assignment.spec.passed_environment.update({"A": "passed", "B": "passed", "BR_TOKEN": "x"})
    assignment.spec.environment.update({"B": "set", "BR_FENCE": "1", "BR_TOKEN_FILE": "y"})
    assert own_environment(assignment) == {
        "A": "passed", "B": "set", "BR_SESSION_ID": "s", "BR_SESSION_NAME": "n", "BR_TASK_ID": "t",
        "BR_ATTEMPT": "2", "BR_ATTEMPT_ID": "a1", "BR_FENCE": "9",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("worktree", "path", "expected"),
    [
        ("", "", "/home"),
        ("/repo", "", "/repo"),
        ("/repo/", "a/b", "/repo/a/b"),
        ("/repo", "/abs", "/abs"),
        ("", "a", "/home/a"),
    ],
)
def test_a_task_runs_in_its_worktree(worktree: str, path: str, expected: str) -> None:
    directory = types_pb2.WorkingDirectory(worktree=worktree, path=path)
    assert working_directory(directory, "/home") == expected


# Recalls


def job(key: str) -> HandlerJob:
    return HandlerJob(key, "x", b"", "", ("", "", "", 1, 1, ""), "/", {}, 1, 0, 0)


@pytest.fixture
def link() -> HostLink:
    link = HostLink("host-1", 0)
    for key in ("first", "second", "third"):
        link.add(job(key))
    return link


def close(link: HostLink) -> None:
    link.close_fds_for_child()
    link.close()


def test_a_recall_takes_back_what_the_host_has_not_begun(link: HostLink) -> None:
    link._page[host_messages.CURRENT] = 1
    link.begin_recall(5)
    assert link._page[host_messages.LIMIT] == 1
    assert [key for _, key in link.settle_recall()] == ["second", "third"]
    assert not link.takes_more(10)
    link.on_skipped(2)
    assert link._page[host_messages.LIMIT] == 1
    link.on_skipped(3)
    assert link._page[host_messages.LIMIT] == host_messages.NO_LIMIT
    assert link.takes_more(10)
    close(link)


def test_a_task_begun_while_the_recall_was_on_its_way_is_left_to_the_host(link: HostLink) -> None:
    link._page[host_messages.CURRENT] = 1
    link.begin_recall(5)
    link._page[host_messages.CURRENT] = 2
    assert [key for _, key in link.settle_recall()] == ["third"]
    close(link)


def test_what_the_host_skipped_before_the_settling_is_taken_back_once(link: HostLink) -> None:
    link._page[host_messages.CURRENT] = 1
    link.begin_recall(5)
    link._page[host_messages.CURRENT] = 3
    assert link.on_skipped(2) is None
    assert link.on_skipped(3) is None
    assert [key for _, key in link.settle_recall()] == ["second", "third"]
    assert link._page[host_messages.LIMIT] == host_messages.NO_LIMIT
    close(link)


def test_a_closed_link_leaves_no_descriptor_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    close(HostLink("host-2", 0))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
