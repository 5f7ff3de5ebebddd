"""The command line: durations, addresses, and intervals that fit together."""

from __future__ import annotations

import argparse

import pytest

from buildrunner_coordinator.config import parse, parse_address, parse_duration_ms


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("10s", 10_000), ("500ms", 500), ("1h30m", 5_400_000), ("2", 2000), ("0.5s", 500), ("7d", 604_800_000)],
)
def test_durations_are_read_as_people_write_them(text, milliseconds):
    assert parse_duration_ms(text) == milliseconds


@pytest.mark.parametrize("text", ["", "s", "10x", "1h30", "-1s", "1 0s x"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        parse_duration_ms(text)


@pytest.mark.parametrize("text", ["127.0.0.1:0", "localhost:99", "[::1]:5"])
def test_loopback_addresses_are_taken(text):
    assert parse_address(text) == text


@pytest.mark.parametrize("text", ["0.0.0.0:1", "example.com:1", ":1", "127.0.0.1", "127.0.0.1:99999"])
def test_other_addresses_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        parse_address(text)


def test_intervals_follow_from_the_lease_and_the_lock_delay():
    usual = parse(["--data", "x"]).settings
    assert (usual.stop_after_ms, usual.kill_after_ms, usual.heartbeat_interval_ms) == (28_000, 36_000, 10_000)
    short = parse(["--data", "x", "--lease", "3s", "--lock-delay", "1s"]).settings
    assert (short.lease_ms, short.heartbeat_interval_ms) == (3000, 1000)
    assert (short.stop_after_ms, short.kill_after_ms) == (2800, 3600)


@pytest.mark.parametrize(
    "options",
    [
        ["--lease", "1s", "--heartbeat-interval", "1s"],
        ["--kill-after", "41s"],
        ["--stop-after", "37s"],
        ["--heartbeat-interval", "1ms"],
        ["--nonsense"],
        ["--plan-tasks", "0"],
    ],
)
def test_intervals_that_cannot_hold_together_are_wrong_usage(options, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(["--data", "x", *options])
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
