"""What of the output of an attempt becomes rows, and what is taken away again beyond the cap."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.changes import OutputTrim
from buildrunner_coordinator.domain.model import Outcome
from buildrunner_coordinator.domain.replies import Disposition


@pytest.fixture
def capped(stage_with, task):
    """A running attempt of which 10 bytes of the beginning and 8 of the end are kept."""
    stage = stage_with(output_head_bytes=10, output_tail_bytes=8)
    session_id = stage.session()
    stage.worker()
    stage.submit(session_id, task("t"))
    assign = stage.one()
    stage.start(assign)
    return stage, assign


def write(stage, assign, offset: int, data: bytes, dropped_bytes: int = 0) -> int:
    chunk = c.Chunk(offset, 1, data, dropped_bytes)
    worker_id = stage.worker_of(assign)
    return stage.do(c.AppendOutput(worker_id, assign.attempt_id, assign.fence, (chunk,))).offset


def rows(stage) -> list[tuple[int, bytes]]:
    return [(row.offset, row.data) for one in stage.changes for row in one.outputs]


def trims(stage) -> list[OutputTrim]:
    return [trim for one in stage.changes for trim in one.output_trims]


def test_no_row_reaches_over_the_end_of_the_kept_beginning(capped):
    stage, assign = capped
    assert write(stage, assign, 0, b"0123456789abcde") == 15
    assert rows(stage) == [(0, b"0123456789"), (10, b"abcde")]
    assert trims(stage) == []


def test_of_a_piece_that_is_longer_than_the_kept_end_its_own_end_is_stored(capped):
    stage, assign = capped
    assert write(stage, assign, 0, b"x" * 10 + b"y" * 40 + b"z" * 8) == 58
    assert rows(stage) == [(0, b"x" * 10), (50, b"z" * 8)]
    assert stage.changes[-1].outputs[-1].dropped_bytes == 40


def test_older_pieces_are_trimmed_once_a_quarter_too_much_is_kept(capped):
    stage, assign = capped
    write(stage, assign, 0, b"x" * 10)
    assert write(stage, assign, 10, b"y" * 8) == 18
    write(stage, assign, 18, b"zz")
    assert trims(stage) == []
    write(stage, assign, 20, b"z")
    assert [(one.start, one.until) for one in trims(stage)] == [(10, 13)]
    write(stage, assign, 21, b"zz")
    assert len(trims(stage)) == 1


@pytest.mark.parametrize(("total", "until"), [(18, None), (19, 11), (20, 12)])
def test_at_the_end_of_the_attempt_exactly_the_end_is_kept(capped, total, until):
    stage, assign = capped
    write(stage, assign, 0, b"x" * 10)
    for offset in range(10, total):
        write(stage, assign, offset, b"y")
    stage.finish(assign, output_bytes=total)
    assert [one.until for one in trims(stage)] == ([] if until is None else [until])
    row = stage.changes[-1].attempts[0]
    assert (row.output_bytes, row.output_dropped_bytes) == (total, total - 18)


def test_a_lost_attempt_is_trimmed_and_counted_too(capped):
    stage, assign = capped
    write(stage, assign, 0, b"x" * 19)
    stage.finish(assign, Outcome.LOST)
    assert [one.until for one in trims(stage)] == [11]
    lost = next(row for one in stage.changes for row in one.attempts)
    assert (lost.output_bytes, lost.output_dropped_bytes) == (19, 1)


def test_what_a_worker_left_out_is_accepted_and_its_repetition_passed_over(capped):
    stage, assign = capped
    write(stage, assign, 0, b"x" * 10)
    assert write(stage, assign, 110, b"later", 100) == 115
    assert write(stage, assign, 110, b"later", 100) == 115
    assert rows(stage)[1:] == [(110, b"later")]


def test_a_gap_that_grew_since_its_first_telling_counts_only_what_is_missing(capped):
    stage, assign = capped
    write(stage, assign, 0, b"x" * 10)
    write(stage, assign, 110, b"later", 100)
    assert write(stage, assign, 200, b"much later", 190) == 210
    assert stage.changes[-1].outputs[0].dropped_bytes == 202 - 115


def test_with_no_end_kept_the_last_offset_is_still_known(stage_with, task):
    stage = stage_with(output_head_bytes=4, output_tail_bytes=0)
    session_id = stage.session()
    stage.worker()
    stage.submit(session_id, task("t"))
    assign = stage.one()
    stage.start(assign)
    assert write(stage, assign, 0, b"123456789") == 9
    assert rows(stage) == [(0, b"1234"), (9, b"")]
    ack = stage.finish(assign, output_bytes=9)
    assert ack.disposition is Disposition.ACCEPTED


def test_without_caps_everything_is_kept(stage_with, task):
    stage = stage_with(output_head_bytes=0, output_tail_bytes=0)
    session_id = stage.session()
    stage.worker()
    stage.submit(session_id, task("t"))
    assign = stage.one()
    stage.start(assign)
    write(stage, assign, 0, b"x" * 1000)
    stage.finish(assign, output_bytes=1000)
    assert (rows(stage), trims(stage)) == ([(0, b"x" * 1000)], [])
