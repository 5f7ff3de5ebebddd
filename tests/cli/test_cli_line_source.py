"""Lines as they are read: ends, encodings, comments, sizes, pauses; never more in memory than one of them."""

from __future__ import annotations

import os
import threading
import tracemalloc

import pytest

from buildrunner_parallel.cli.line_source import LineForm, open_source, split
from buildrunner_parallel.errors import InvalidRequestError

COMMANDS, ARGUMENTS = LineForm(comments=True), LineForm()
NUL_COMMANDS, NUL_ARGUMENTS = LineForm(null=True, comments=True), LineForm(null=True)


def lines_of(*blocks, form=COMMANDS):
    return list(split(blocks, form, "f"))


@pytest.mark.parametrize(
    ("form", "text", "lines"),
    [
        (COMMANDS, b"", []),
        (COMMANDS, b"a", ["a"]),
        (COMMANDS, b"a\nb\n", ["a", "b"]),
        (COMMANDS, b"a\r\n\r\nb\r\n", ["a", "b"]),
        (COMMANDS, b"\n  \n\t\n", []),
        (COMMANDS, b"#!/bin/sh\na # b\n  # c\n", ["a # b"]),
        (COMMANDS, b"  a  b ", ["  a  b "]),
        (COMMANDS, b"\xef\xbb\xbfa\n", ["a"]),
        (ARGUMENTS, b"#1\n\n#2", ["#1", "#2"]),
        (ARGUMENTS, b" a \n", [" a "]),
        (ARGUMENTS, "ä 漢\n".encode(), ["ä 漢"]),
        (NUL_COMMANDS, b"# c\na\nb\0 \0d\0", ["# c\na\nb", "d"]),
        (NUL_ARGUMENTS, b"a\n\0\0b\r", ["a\n", "", "b\r"]),
    ],
)
def test_which_lines_count(form, text, lines):
    assert lines_of(text, form=form) == lines
    assert lines_of(*(bytes([byte]) for byte in text), form=form) == lines


def test_a_pause_is_passed_on_and_does_not_end_a_line():
    assert lines_of(b"a\nb", None, b"c\n") == ["a", None, "bc"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"a\n# x\n\xffb\n", "f:3: expected UTF-8, found the byte 0xff"),
        (b"a\nb\0c\n", "f:2: expected text, found a NUL byte; -0 is for lines that end with one"),
        (b"a\n" + b"x" * 131072 + b"\n", "f:2: expected a line of less than 128 KiB, found a longer one"),
    ],
)
def test_a_bad_line_is_told_by_its_number(text, told):
    with pytest.raises(InvalidRequestError) as caught:
        lines_of(text)
    assert caught.value.message == told


def test_the_longest_line_is_one_byte_short_of_what_linux_runs():
    assert lines_of(b"x" * 131071) == ["x" * 131071]


def test_a_line_without_an_end_is_refused_long_before_it_fills_the_memory():
    def endless():
        for number in range(1000):
            assert number < 10, "it went on reading"
            yield b"x" * 65536

    with pytest.raises(InvalidRequestError, match=r"^f:1: expected a line of less than 128 KiB"):
        list(split(endless(), COMMANDS, "f"))


def test_many_lines_take_the_memory_of_one_block():
    blocks = (b"echo some words\n" * 4000 for _ in range(20))
    tracemalloc.start()
    count = sum(1 for _ in split(blocks, COMMANDS, "f"))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 80_000
    assert peak_bytes < 1 << 20


def test_a_file_is_counted_before_it_is_read(tmp_path):
    (tmp_path / "f").write_bytes(b"a\n\n# c\nb\n")
    source = open_source(str(tmp_path / "f"), COMMANDS)
    source.measure()
    assert source.count == 2
    assert list(source.lines()) == ["a", "b"]
    source.close()


def test_what_is_no_file_has_no_count(tmp_path):
    os.mkfifo(tmp_path / "f")
    writer = threading.Thread(target=lambda: (tmp_path / "f").write_bytes(b"a\nb\n"))
    writer.start()
    source = open_source(str(tmp_path / "f"), COMMANDS)
    source.measure()
    assert source.count is None
    assert [line for line in source.lines() if line is not None] == ["a", "b"]
    source.close()
    writer.join()


def test_reading_that_waits_for_lines_can_be_stopped(tmp_path):
    os.mkfifo(tmp_path / "f")
    # Read and write: so that it neither blocks nor ends.
    keeper = os.open(tmp_path / "f", os.O_RDWR)
    os.write(keeper, b"a\n")
    source = open_source(str(tmp_path / "f"), COMMANDS)
    lines = source.lines()
    assert next(lines) == "a"
    # Nothing more is there; from now on it is asked to stop.
    assert next(lines) is None
    source.stop = lambda: True
    assert list(lines) == []
    source.close()
    os.close(keeper)


def test_a_folder_is_no_file_of_lines(tmp_path):
    with pytest.raises(IsADirectoryError):
        open_source(str(tmp_path), COMMANDS)
