"""Where output waits, how fast it is sent, and what a spool does to memory and disk."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from buildrunner_parallel.worker import attempt as states
from buildrunner_parallel.worker import output_spool, output_stream
from buildrunner_parallel.worker.output_buffer import PAUSE_ABOVE_BYTES, OutputBuffer

KIB, MIB = 1 << 10, 1 << 20


def talk(buffer: OutputBuffer, size: int, piece: int = 64 * KIB, channel: int = 1) -> None:
    for _ in range(0, size, piece):
        buffer.append(channel, b"x" * piece, 0.0)


def open_files(folder: Path) -> list[Path]:
    """Files of this process that lie in the folder, named or not."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += [link] if str(folder) in str(link.readlink()) else []
    return found


@pytest.fixture
def spooled(tmp_path: Path) -> Iterator[OutputBuffer]:
    """The usual caps, and a folder for what does not fit into memory."""
    buffer = OutputBuffer(8 * MIB, 2 * MIB, str(tmp_path))
    yield buffer
    buffer.close()


def taken_bytes(buffer: OutputBuffer, now_s: float) -> int:
    total = 0
    while pieces := buffer.take(256 * KIB, now_s):
        total += sum(len(piece.data) for piece in pieces)
    return total


# Memory and disk


def test_little_unacknowledged_output_never_touches_the_disk(tmp_path: Path) -> None:
    buffer = OutputBuffer(8 * MIB, 2 * MIB, str(tmp_path / "is-not-there"))
    for _ in range(100):
        talk(buffer, 256 * KIB)
        taken_bytes(buffer, 0.0)
        buffer.acknowledge(buffer.total_bytes)
    assert buffer.held_bytes == 0


def test_memory_stays_small_however_much_waits(spooled: OutputBuffer, tmp_path: Path) -> None:
    largest = 0
    for _ in range(500):
        talk(spooled, 64 * KIB)
        largest = max(largest, spooled.held_bytes)
    assert largest <= output_spool.MEMORY_BYTES + 64 * KIB
    (spool,) = open_files(tmp_path)
    assert spool.stat().st_size <= 10 * MIB
    assert spool.stat().st_mode & 0o777 == 0o600


def test_the_file_has_no_name_and_goes_when_all_is_acknowledged(
    spooled: OutputBuffer, tmp_path: Path
) -> None:
    talk(spooled, MIB)
    assert (len(open_files(tmp_path)), list(tmp_path.iterdir())) == (1, [])
    taken_bytes(spooled, 0.0)
    spooled.acknowledge(MIB)
    assert open_files(tmp_path) == []


def test_the_file_goes_with_an_attempt_that_nobody_wants(spooled: OutputBuffer, tmp_path: Path) -> None:
    talk(spooled, MIB)
    spooled.close()
    assert open_files(tmp_path) == []


def test_while_the_disk_refuses_memory_grows_and_the_log_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    buffer = OutputBuffer(8 * MIB, 2 * MIB, str(tmp_path / "is-not-there"))
    talk(buffer, 3 * MIB)
    assert buffer.held_bytes == 3 * MIB > PAUSE_ABOVE_BYTES
    assert [record.getMessage() for record in caplog.records] == [
        f"cannot keep output in {tmp_path}/is-not-there: No such file or directory; "
        "tasks wait while the coordinator is slow or away"
    ]
    (tmp_path / "is-not-there").mkdir()
    talk(buffer, 64 * KIB)
    assert buffer.held_bytes == 0
    assert taken_bytes(buffer, 0.0) == 3 * MIB + 64 * KIB
    buffer.close()


def test_beyond_the_beginning_a_refusing_disk_costs_no_more_memory_than_the_end() -> None:
    buffer = OutputBuffer(MIB, MIB, "/proc/is-not-there")
    talk(buffer, MIB)
    taken_bytes(buffer, 0.0)
    buffer.acknowledge(MIB)
    talk(buffer, 20 * MIB)
    assert buffer.held_bytes == MIB


def test_what_the_disk_has_lost_is_a_gap_that_is_logged(
    spooled: OutputBuffer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    talk(spooled, 320 * KIB)
    talk(spooled, 10, 1)

    def fail(*_: Any) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    pieces = spooled.take(MIB)
    assert [(one.offset, one.data, one.dropped_bytes) for one in pieces] == [
        (320 * KIB, b"x" * 10, 320 * KIB)
    ]
    assert spooled.dropped_bytes == 320 * KIB
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_where_nothing_is_capped_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_spool, "_UNLIMITED_FILE_BYTES", MIB)
    buffer = OutputBuffer(0, 0, str(tmp_path))
    talk(buffer, 4 * MIB)
    assert buffer.held_bytes > PAUSE_ABOVE_BYTES
    assert taken_bytes(buffer, 0.0) == 4 * MIB
    buffer.close()


def test_spools_lie_on_disk_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    assert os.access(output_spool.default_folder(), os.W_OK)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert output_spool.default_folder() == str(tmp_path)


# The rate


def test_the_beginning_is_sent_as_fast_as_it_comes() -> None:
    buffer = OutputBuffer(8 * MIB, 2 * MIB)
    talk(buffer, 8 * MIB)
    assert taken_bytes(buffer, 0.0) == 8 * MIB


def test_behind_it_the_whole_end_is_sent_once_a_second() -> None:
    buffer = OutputBuffer(MIB, 512 * KIB)
    sent = 0
    for tenth in range(50):
        talk(buffer, 5 * MIB)
        sent += taken_bytes(buffer, 100 + tenth / 10)
    assert 5 * 512 * KIB <= sent - MIB <= 7 * 512 * KIB


def test_who_says_little_behind_it_is_sent_whole() -> None:
    buffer = OutputBuffer(MIB, 512 * KIB)
    talk(buffer, MIB)
    sent = taken_bytes(buffer, 100.0)
    for tenth in range(50):
        talk(buffer, 16 * KIB, KIB)
        sent += taken_bytes(buffer, 100 + tenth / 10)
    buffer.finish()
    assert sent + taken_bytes(buffer, 105.0) == buffer.total_bytes


def test_what_is_sent_while_it_runs_is_no_older_than_the_kept_end() -> None:
    buffer = OutputBuffer(MIB, 512 * KIB)
    talk(buffer, MIB)
    taken_bytes(buffer, 100.0)
    talk(buffer, 30 * MIB)
    (first, *_) = buffer.take(64 * KIB, 101.0)
    assert first.offset == buffer.total_bytes - 512 * KIB
    assert first.dropped_bytes == first.offset - MIB


def test_at_the_end_nothing_is_rationed() -> None:
    buffer = OutputBuffer(MIB, 512 * KIB)
    talk(buffer, 10 * MIB)
    buffer.finish()
    assert taken_bytes(buffer, 0.0) == MIB + 512 * KIB


# Messages


class Book:
    """Attempts with output, as far as sending has to do with them."""

    def __init__(self, count: int, head_bytes: int = 0, tail_bytes: int = 0) -> None:
        self.attempts = {
            f"a{index}": self._attempt(f"a{index}", head_bytes, tail_bytes) for index in range(count)
        }

    @staticmethod
    def _attempt(attempt_id: str, head_bytes: int, tail_bytes: int) -> Any:
        return SimpleNamespace(
            attempt_id=attempt_id,
            fence=1,
            state=states.RUNNING,
            is_disowned=False,
            output=OutputBuffer(head_bytes, tail_bytes),
        )

    @property
    def with_output(self) -> list[Any]:
        return list(self.attempts.values())

    def had_a_turn(self, attempt: Any) -> None:
        self.attempts[attempt.attempt_id] = self.attempts.pop(attempt.attempt_id)


def messages(book: Any, count: int) -> list[Any]:
    made = [output_stream.next_request(book, "w", 100.0) for _ in range(count)]
    return [one for one in made if one is not None]


def test_nobody_waits_behind_one_who_never_stops() -> None:
    book = Book(3)
    for attempt in book.with_output:
        talk(attempt.output, 2 * MIB)
    served = [message.outputs[0].attempt_id for message in messages(book, 6)]
    assert served == ["a0", "a1", "a2"] * 2


def test_a_message_stays_small_when_channels_change_with_each_byte() -> None:
    book = Book(1)
    for index in range(40_000):
        book.attempts["a0"].output.append(1 + index % 2, b"x", 0.0)
    made = messages(book, 100)
    assert all(message.ByteSize() <= 256 * KIB for message in made)
    assert sum(len(message.outputs[0].chunks) for message in made) == 40_000


def test_nothing_is_said_when_nothing_is_due() -> None:
    book = Book(1, MIB, 64 * KIB)
    talk(book.attempts["a0"].output, 3 * MIB)
    assert len(messages(book, 100)) < 10
    assert output_stream.next_request(book, "w", 100.0) is None  # type: ignore[arg-type]
