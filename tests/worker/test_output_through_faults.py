"""Output from a worker's buffer to a coordinator's rows, through breaks, restarts and full disks.

Against plain bytes: whatever happens on the way, what is kept at the end is the exact beginning and end.
"""

from __future__ import annotations

import errno
import os
import tempfile
from types import SimpleNamespace
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from buildrunner_coordinator.domain import outputs
from buildrunner_coordinator.domain.changes import Changes
from buildrunner_coordinator.domain.commands import Chunk
from buildrunner_coordinator.domain.journal import Journal
from buildrunner_coordinator.domain.model import Attempt, Settings
from buildrunner_coordinator.store.memory import MemoryRows
from buildrunner_parallel.worker import output_buffer, output_runs, output_spool
from buildrunner_parallel.worker.output_buffer import OutputBuffer, Piece

write_at = os.pwrite


class Disk:
    """Writes half of what it is given while there is room, nothing while it is full."""

    def __init__(self) -> None:
        self.is_full = False

    def write(self, fd: int, data: Any, position: int) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_at(fd, data[: len(data) // 2 + 1], position)


class Coordinator:
    """The real rules of the core over the real rows of the store in memory."""

    def __init__(self, head_bytes: int, tail_bytes: int) -> None:
        self.settings = Settings(output_head_bytes=head_bytes, output_tail_bytes=tail_bytes)
        self.rows = MemoryRows()
        self.epoch = self.rows.take_over(1, "w").epoch
        self.restart()

    def restart(self) -> None:
        rows = self.stored()
        self.attempt = Attempt("a", "s", "t", 1, 1, "w", "h", 1, 0, 0)
        self.attempt.output_bytes = rows[-1].offset + len(rows[-1].data) if rows else 0

    def receive(self, pieces: list[Piece]) -> int:
        core: Any = SimpleNamespace(settings=self.settings, journal=Journal())
        chunks = tuple(Chunk(one.offset, one.channel, one.data, one.dropped_bytes) for one in pieces)
        outputs.append(core, self.attempt, chunks)
        self._commit(core)
        return self.attempt.output_bytes

    def close(self) -> int:
        core: Any = SimpleNamespace(settings=self.settings, journal=Journal())
        outputs.close(core, self.attempt)
        self._commit(core)
        return self.attempt.output_dropped_bytes

    def _commit(self, core: Any) -> None:
        trims = list(core.journal.output_trims.values())
        self.rows.apply(self.epoch, Changes(outputs=core.journal.outputs, output_trims=trims))

    def stored(self, offset: int = 0) -> list[Any]:
        return self.rows.read_output("s", "t", 1, offset, 1 << 40)

    def held(self) -> dict[int, tuple[int, int]]:
        """Channel and byte, by offset."""
        return {
            row.offset + index: (row.channel, byte)
            for row in self.stored()
            for index, byte in enumerate(row.data)
        }


class Way:
    """A worker's buffer, a connection that loses what is on it, and the other end."""

    def __init__(self, head_bytes: int, tail_bytes: int, folder: str) -> None:
        self.buffer = OutputBuffer(head_bytes, tail_bytes, folder)
        self.coordinator = Coordinator(head_bytes, tail_bytes)
        self.disk = Disk()
        self.written: list[tuple[int, int]] = []
        self.on_the_way: list[list[Piece]] = []
        self.acknowledged: list[int] = []
        self.now_s = 0.0
        self.followed: dict[int, tuple[int, int]] = {}
        self.follower_at = 0

    def write(self, channel: int, size: int) -> None:
        data = bytes((len(self.written) + index) * 7 % 251 for index in range(size))
        self.written += [(channel, byte) for byte in data]
        self.buffer.append(channel, data, self.now_s)

    def send(self, limit: int) -> None:
        self.now_s += 0.1
        if pieces := self.buffer.take(limit, self.now_s):
            self.on_the_way.append(pieces)

    def arrive(self, count: int) -> None:
        arrived, self.on_the_way = self.on_the_way[:count], self.on_the_way[count:]
        self.acknowledged += [self.coordinator.receive(pieces) for pieces in arrived]

    def acknowledge(self, count: int) -> None:
        heard, self.acknowledged = self.acknowledged[:count], self.acknowledged[count:]
        for offset in heard:
            self.buffer.acknowledge(offset)

    def break_off(self, arrived: int) -> None:
        self.arrive(arrived)
        self.on_the_way, self.acknowledged = [], []
        self.coordinator.restart()
        self.buffer.rewind()

    def follow(self, _: int) -> None:
        for row in self.coordinator.stored(self.follower_at):
            for index, byte in enumerate(row.data):
                if row.offset + index >= self.follower_at:
                    self.followed[row.offset + index] = (row.channel, byte)
            self.follower_at = max(self.follower_at, row.offset + len(row.data))

    def fill_disk(self, is_full: int) -> None:
        self.disk.is_full = bool(is_full % 2)

    def finish(self) -> None:
        self.buffer.finish()
        for _ in range(10_000):
            self.send(64)
            self.arrive(1)
            self.acknowledge(1)
            if self.buffer.is_acknowledged:
                return
        raise AssertionError("it never gets through")


STEPS = st.lists(
    st.tuples(st.just("write"), st.tuples(st.sampled_from([1, 2]), st.integers(1, 60)))
    | st.tuples(st.sampled_from(["send"]), st.tuples(st.integers(1, 300)))
    | st.tuples(
        st.sampled_from(["arrive", "acknowledge", "break_off", "follow", "fill_disk"]),
        st.tuples(st.integers(0, 4)),
    ),
    max_size=80,
)
CAPS = st.one_of(
    st.just((0, 0)),
    st.tuples(st.integers(0, 120), st.integers(1, 90)),
    st.tuples(st.integers(1, 90), st.just(0)),
)


def taken_through(steps: list[tuple[str, tuple[int, ...]]], caps: tuple[int, int], folder: str) -> Way:
    way = Way(*caps, folder)
    with (
        mock.patch.object(output_spool, "MEMORY_BYTES", 32),
        mock.patch.object(output_runs, "_COMPACT_ABOVE", 0),
        mock.patch.object(output_buffer, "_PIECE_BYTES", 16),
        mock.patch.object(output_buffer, "PIECE_COST_BYTES", 2),
        mock.patch.object(os, "pwrite", way.disk.write),
    ):
        for name, arguments in steps:
            getattr(way, name)(*arguments)
        way.finish()
    way.buffer.close()
    return way


@settings(max_examples=400, deadline=None)
@given(STEPS, CAPS, st.booleans())
def test_beginning_and_end_arrive_exactly_through_any_faults(
    steps: list[tuple[str, tuple[int, ...]]], caps: tuple[int, int], has_folder: bool
) -> None:
    head_bytes, tail_bytes = caps
    way = taken_through(steps, caps, tempfile.gettempdir() if has_folder else "")
    dropped_bytes = way.coordinator.close()
    total = len(way.written)
    gap_until = max(total - tail_bytes, head_bytes) if any(caps) else 0
    gap_from = min(head_bytes, gap_until)
    expected = {at: one for at, one in enumerate(way.written) if not gap_from <= at < gap_until}
    expected = {at: one for at, one in expected.items() if at < total}
    assert way.coordinator.held() == expected
    assert dropped_bytes == way.buffer.dropped_bytes == total - len(expected)
    assert (way.coordinator.attempt.output_bytes, way.buffer.held_bytes) == (total, 0)


@settings(max_examples=200, deadline=None)
@given(STEPS, CAPS)
def test_a_follower_sees_each_byte_at_its_offset_and_nothing_else(
    steps: list[tuple[str, tuple[int, ...]]], caps: tuple[int, int]
) -> None:
    way = taken_through(steps, caps, tempfile.gettempdir())
    way.follow(0)
    assert all(way.written[at] == one for at, one in way.followed.items())
    if not any(caps):
        assert len(way.followed) == len(way.written)


@settings(max_examples=200, deadline=None)
@given(STEPS, CAPS)
def test_a_running_attempt_keeps_little_more_than_beginning_and_end(
    steps: list[tuple[str, tuple[int, ...]]], caps: tuple[int, int]
) -> None:
    head_bytes, tail_bytes = caps
    way = taken_through([one for one in steps if one[0] != "break_off"], caps, tempfile.gettempdir())
    if any(caps):
        slack_bytes = tail_bytes // 4 + 1
        assert len(way.coordinator.held()) <= head_bytes + tail_bytes + slack_bytes
