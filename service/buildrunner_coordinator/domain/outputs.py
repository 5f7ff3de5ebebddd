"""The output of live attempts: which pieces follow on what is there, and what is kept beyond the cap.

Only offsets are remembered here; the bytes go straight into rows.
"""

from __future__ import annotations

from collections.abc import Iterator

from buildrunner_coordinator.domain.changes import OutputRow, OutputTrim
from buildrunner_coordinator.domain.commands import Chunk
from buildrunner_coordinator.domain.model import Attempt, Settings
from buildrunner_coordinator.domain.state import State

_SLACK_SHARE = 4
"""While an attempt runs, a quarter more than the kept end is let stand, so that trims are few."""
_HIGHEST_OFFSET = 1 << 62
"""A worker that tells of more is wrong, and a store that had to write the number down would break."""


def append(core: State, attempt: Attempt, chunks: tuple[Chunk, ...]) -> None:
    """Takes the pieces that follow on what is there; what is there already is cut off.

    A piece says how much was left out before it; one that leaves an unexplained gap ends it.
    """
    for chunk in chunks:
        start = max(chunk.offset, attempt.output_bytes)
        data = chunk.data[start - chunk.offset :]
        end = chunk.offset + len(chunk.data)
        if end <= attempt.output_bytes:
            continue
        if chunk.offset - chunk.dropped_bytes > attempt.output_bytes or end > _HIGHEST_OFFSET:
            break
        for offset, part in _kept(core.settings, start, data):
            core.journal.outputs.append(OutputRow(
                attempt.session_id, attempt.task_id, attempt.number, offset, chunk.channel,
                offset - attempt.output_bytes, part,
            ))  # fmt: skip
            attempt.output_bytes = offset + len(part)
    _trim(core, attempt, core.settings.output_tail_bytes // _SLACK_SHARE)


def close(core: State, attempt: Attempt) -> None:
    """The attempt is over: what is kept is exact from now on, and what is not is counted."""
    _trim(core, attempt, 0)
    kept_bytes = core.settings.output_head_bytes + core.settings.output_tail_bytes
    if kept_bytes:
        attempt.output_dropped_bytes = max(attempt.output_bytes - kept_bytes, 0)


def _kept(settings: Settings, start: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Cut where the head ends, so that no row reaches over it; no row is longer than the whole tail.

    The last row of all always stands at the end of the output, be it empty: the offset is found there.
    """
    head_bytes, tail_bytes = settings.output_head_bytes, settings.output_tail_bytes
    end = start + len(data)
    if not (head_bytes or tail_bytes) or end <= head_bytes or not data:
        yield start, data
        return
    if start < head_bytes:
        yield start, data[: head_bytes - start]
    kept_from = max(start, head_bytes, end - tail_bytes)
    yield kept_from, data[kept_from - start :]


def _trim(core: State, attempt: Attempt, slack_bytes: int) -> None:
    head_bytes, tail_bytes = core.settings.output_head_bytes, core.settings.output_tail_bytes
    until = attempt.output_bytes - tail_bytes
    if (head_bytes or tail_bytes) and until - max(head_bytes, attempt.output_trimmed) > slack_bytes:
        key = (attempt.session_id, attempt.task_id, attempt.number)
        core.journal.output_trims[key] = OutputTrim(*key, head_bytes, until)
        attempt.output_trimmed = until
