"""Channels by offset, in eight bytes a change."""

from __future__ import annotations

from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from buildrunner_parallel.worker import output_runs
from buildrunner_parallel.worker.output_runs import ChannelRuns

WRITES = st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(1, 9)), min_size=1, max_size=30)


@settings(deadline=None)
@given(WRITES, st.lists(st.floats(0, 1), max_size=5))
def test_whatever_is_forgotten_the_rest_keeps_its_channels(
    writes: list[tuple[int, int]], forgets: list[float]
) -> None:
    runs = ChannelRuns()
    channels: list[int] = []
    for channel, size in writes:
        runs.add(len(channels), channel)
        channels += [channel] * size
    with mock.patch.object(output_runs, "_COMPACT_ABOVE", 0):
        for share in sorted([0.0, *forgets]):
            first = int(share * (len(channels) - 1))
            runs.forget_before(first)
            assert read(runs, first, len(channels)) == channels[first:]


def read(runs: ChannelRuns, offset: int, end: int) -> list[int]:
    found: list[int] = []
    while offset < end:
        channel, behind = runs.run_at(offset, end)
        assert offset < behind <= end
        found += [channel] * (behind - offset)
        offset = behind
    return found


def test_a_run_goes_on_however_often_it_is_added_to() -> None:
    runs = ChannelRuns()
    for offset in range(0, 1000, 10):
        runs.add(offset, 1)
    assert runs.run_at(5, 1000) == (1, 1000)
