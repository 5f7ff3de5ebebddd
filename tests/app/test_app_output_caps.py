"""The command line says how much of an output is kept."""

from __future__ import annotations

import argparse

import pytest

from buildrunner_coordinator.config import parse, parse_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("0", 0), ("65536", 65_536), ("64K", 65_536), ("8m", 8 << 20), ("1GiB", 1 << 30), ("5kb", 5 << 10)],
)
def test_sizes_are_read_as_people_write_them(text, size_bytes):
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "M", "-1", "1.5M", "8T", "8 M x", "1" * 16])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        parse_size(text)


def test_beginning_and_end_are_capped_as_the_options_say():
    usual = parse(["--data", "x"]).settings
    assert (usual.output_head_bytes, usual.output_tail_bytes) == (8 << 20, 2 << 20)
    given = parse(["--data", "x", "--output-head", "1M", "--output-tail", "0"]).settings
    assert (given.output_head_bytes, given.output_tail_bytes) == (1 << 20, 0)


def test_a_wrong_size_is_wrong_usage_in_one_line(capsys):
    with pytest.raises(SystemExit) as caught:
        parse(["--data", "x", "--output-head", "much"])
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
