"""Durations as written and as shown."""

from __future__ import annotations

import pytest

from buildrunner_parallel.durations import format_age, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("500ms", 0.5), ("1m500ms", 60.5), ("2d", 172800),
     ("45", 45),     (45, 45), (0.25, 0.25), ("1.5h", 5400), (" 5 m ", 300), ("0", 0), ("1H", 3600)],
)  # fmt: skip
def test_durations_are_read_as_people_write_them(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "m", "10x", "-5", -5, "1m1h", "ten", True, float("nan"), float("inf"), "9" * 30, 10**30, "1h-5m"],
)
def test_what_is_no_duration_is_refused_with_examples(text):
    with pytest.raises(ValueError, match="90s, 10m, 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0ms"), (0.04, "40ms"), (0.9996, "1.0s"), (3.21, "3.2s"), (9.97, "10s"), (59.4, "59s"),
     (59.6, "1m00s"), (185, "3m05s"), (3599.7, "1h00m"), (7620, "2h07m"), (273600, "3d04h"), (-1, "0ms"),
     (float("nan"), "-")],
)  # fmt: skip
def test_durations_are_shown_in_at_most_two_units(seconds, shown):
    assert format_duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.2, "now"),
        (42, "42s ago"),
        (60, "1m ago"),
        (7100, "118m ago"),
        (7200, "2h ago"),
        (900000, "10d ago"),
    ],
)
def test_ages_are_coarse(seconds, shown):
    assert format_age(seconds) == shown
