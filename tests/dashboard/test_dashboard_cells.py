"""Text in cells: cleaned, cut, and set in columns that fit their room."""

from __future__ import annotations

import pytest

from buildrunner_parallel.dashboard.cells import Column, clean, cut, fit, fitted, padded, row
from buildrunner_parallel.dashboard.phrases import bar, sparkline

COLUMNS = (
    Column("name", 8, 60, share=3),
    Column("state", 10, 10),
    Column("bar", 10, 10, rank=2),
    Column("what", 6, 99, share=1, rank=1),
)


def test_wide_characters_are_never_cut_in_the_middle():
    assert cut("漢字漢字", 5) == "漢字…"
    assert cut("漢字漢字", 4) == "漢…"
    assert padded("漢字漢字", 4) == "漢… "
    assert cut("abc", 1) == "…" and cut("abc", 0) == ""


def test_what_terminals_disagree_about_is_left_out():
    assert clean("e\u0301\u0301 a\ufe0f \u200d") == "e a "
    assert clean("👩\u200d👧") == "👩👧"
    assert clean("\x1b[31mred") == "␛[31mred"
    assert clean("x" * 10_000) == "x" * 600


@pytest.mark.parametrize("room", range(20, 120, 7))
def test_columns_fit_their_room_and_the_first_always_stays(room):
    widths = fitted(COLUMNS, [20, 9, 10, 50], room)
    kept = [width for width in widths if width]
    assert sum(kept) + 2 * (len(kept) - 1) <= room
    assert widths[0] >= 8


def test_columns_of_the_highest_rank_go_first():
    assert [bool(width) for width in fitted(COLUMNS, [20, 9, 10, 50], 200)] == [True] * 4
    assert [bool(width) for width in fitted(COLUMNS, [20, 9, 10, 50], 32)] == [True, True, False, True]
    assert [bool(width) for width in fitted(COLUMNS, [20, 9, 10, 50], 22)] == [True, True, False, False]


def test_what_is_left_over_goes_to_those_who_need_it():
    assert fitted(COLUMNS, [20, 9, 10, 50], 200) == [20, 10, 10, 50]
    name, _, _, what = fitted(COLUMNS, [100, 9, 10, 100], 76)
    assert name + what == 50 and name > what


def test_a_row_cuts_its_cells():
    line = row(
        [("a name that is long", "bold"), ("ok", ""), ((("━━━━━", "ok"),)), ("x", "")], COLUMNS, [8, 4, 7, 0]
    )
    assert "".join(text for text, _ in line) == "a name …  ok    ━━━━━  "


def test_a_line_is_fit_exactly():
    assert fit((("abc", ""), ("def", "bold")), 4) == (("abc", ""), ("…", "bold"))
    assert fit((("abc", ""),), 5) == (("abc", ""), ("  ", ""))


def test_a_bar_is_full_only_when_all_is_done_and_shows_what_is_at_work():
    assert bar(1.0, 0.0, 4, "ok") == (("━━━━", "ok"),)
    assert bar(0.99, 0.01, 4, "ok") == (("━━━", "ok"), ("╍", "run"))
    assert bar(0.0, 0.001, 4, "ok") == (("╍", "run"), ("───", "dim"))
    assert bar(0.5, 0.5, 4, "ok") == (("━━", "ok"), ("╍╍", "run"))


def test_a_sparkline_shows_what_is_most_as_the_tallest():
    assert sparkline([0, 1, 4, 8]) == " ▁▄█"
    assert sparkline([0, 0]) == "  "
    assert sparkline([]) == ""
