"""Bytes of a terminal as keys, however they are cut."""

from __future__ import annotations

import pytest

from buildrunner_parallel.dashboard.keys import KeyDecoder


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"jk?", ["j", "k", "?"]),
        (b"\x1b[A\x1b[B\x1bOC\x1b[D", ["up", "down", "right", "left"]),
        (b"\x1b[5~\x1b[6~\x1b[H\x1b[4~\x1b[Z", ["pageup", "pagedown", "home", "end", "backtab"]),
        (b"\r\n\t\x7f\x08\x15", ["enter", "enter", "tab", "backspace", "backspace", "clear"]),
        ("ü漢".encode(), ["ü", "漢"]),
        (b"\x01\x02\x00", []),
        (b"\x1b[200~x\x1b[201~", ["x"]),
        (b"\x1b[1;5A\x1b[99;1Rq", ["q"]),
        (b"\x1bj", ["escape", "j"]),
        (b"\x1b\x1b[A", ["escape", "up"]),
        (b"\xff\xfe", ["\ufffd", "\ufffd"]),
    ],
)
def test_bytes_become_keys(data, keys):
    assert KeyDecoder().feed(data) == keys
    one_by_one = KeyDecoder()
    assert [key for byte in data for key in one_by_one.feed(bytes([byte]))] == keys


def test_an_escape_alone_is_a_key_once_nothing_follows():
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b") == [] and decoder.is_waiting
    assert decoder.flush() == ["escape"]
    assert not decoder.is_waiting and decoder.flush() == []


def test_a_sequence_without_an_end_is_not_waited_for_for_ever():
    decoder = KeyDecoder()
    keys = decoder.feed(b"\x1b[" + b"1;" * 100)
    assert "1" in keys
