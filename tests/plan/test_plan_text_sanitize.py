"""What sanitize() makes of text that means harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildrunner_parallel.text import last_line, one_line, output_line, sanitize, shorten, whole_percent


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode 漢字 🚀", "plain ünïcode 漢字 🚀"),
        ("a\x1b[31mred", "a␛[31mred"),
        ("line\nbreak\r", "line␊break␍"),
        ("tab\there", "tab␉here"),
        ("nul\0 del\x7f", "nul␀ del␡"),
        ("c1 \x9b31m", "c1 <U+009B>31m"),
        ("\u202egnp.exe", "<U+202E>gnp.exe"),
        ("\u2066isolate\u2069", "<U+2066>isolate<U+2069>"),
        ("zero\u200bwidth", "zero<U+200B>width"),
        ("line\u2028sep", "line<U+2028>sep"),
        ("lone\ud800", "lone<U+D800>"),
        ("tag\U000e0041", "tag<U+E0041>"),
    ],
)
def test_what_could_steer_a_terminal_becomes_visible(text, shown):
    assert sanitize(text) == shown


def test_the_length_bound_holds_after_the_replacement_too():
    assert sanitize("\u202e" * 50, 10) == "<U+202E><…"
    assert sanitize("abcdef", 6) == "abcdef"
    assert sanitize("abcdefg", 6) == "abcde…"


@given(st.text())
def test_nothing_sanitized_has_a_control_character_and_a_second_pass_changes_nothing(text):
    once = sanitize(text)
    assert not [c for c in once if ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E]
    assert sanitize(once) == once
    once.encode()


def test_one_line_folds_blanks_into_one_space():
    assert one_line("  a\n\n b\t c\x1b ") == "a b c␛"


def test_a_line_of_output_loses_colours_and_overwritten_parts_and_keeps_columns():
    assert output_line("\x1b[1;31mFAILED\x1b[0m\ttest\n") == "FAILED  test"
    assert output_line("10%\r50%\r100%\n") == "100%"
    assert output_line("\x1b]0;title\x07x") == "␛]0;title␇x"


def test_the_last_line_is_the_last_one_that_is_not_blank():
    assert last_line("one\ntwo\n\n  \n") == "two"
    assert last_line("\n \n") == ""
    assert last_line("x" * 50, 10) == "xxxxxxxxx…"


def test_shorten_leaves_what_fits():
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "ab…"


def test_what_is_not_complete_is_never_said_to_be():
    assert [whole_percent(100.0 * done / 1000) for done in (0, 9, 995, 999, 1000)] == [0, 0, 99, 99, 100]
