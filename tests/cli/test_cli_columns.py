"""Which columns stay when the terminal is narrow, and which go first."""

from __future__ import annotations

from buildrunner_parallel.cli.columns import columns_of, fitting, heading, needed


def names(headings, widths, room):
    return [column.name for column in fitting(columns_of(headings, widths), room)]


def test_a_heading_is_what_stands_behind_the_manners():
    assert [heading(text) for text in ("id", "~name", "?3>pid", ">?failed", "? odd")] == [
        "id", "name", "pid", "failed", " odd",
    ]  # fmt: skip


def test_all_stay_where_there_is_room():
    assert names(("id", "?1b", "?2c"), (8, 8, 8), 28) == ["id", "b", "c"]


def test_the_most_expendable_goes_first_and_of_equals_the_last():
    headings = ("id", "?1b", "?2c", "?2d", "?e")
    assert names(headings, (8, 8, 8, 8, 8), 40) == ["id", "b", "c", "e"]
    assert names(headings, (8, 8, 8, 8, 8), 37) == ["id", "b", "e"]
    assert names(headings, (8, 8, 8, 8, 8), 20) == ["id", "b"]


def test_an_empty_column_goes_before_all_others():
    assert names(("id", "?1empty", "?2full"), (8, 0, 8), 20) == ["id", "full"]


def test_what_cannot_be_spared_stays_however_narrow_the_line():
    assert names(("id", "status", "?x"), (8, 9, 4), 5) == ["id", "status"]


def test_text_that_folds_asks_for_little_room():
    columns = columns_of(("id", "~error"), (8, 300))
    assert needed(columns) == 8 + 2 + 14
    assert columns[1].folds


def test_long_ids_fold_and_short_ones_never():
    assert columns_of(("id",), (31,))[0].folds
    assert not columns_of(("id",), (30,))[0].folds


def test_a_heading_wider_than_its_cells_counts():
    assert columns_of(("attempt",), (1,))[0].width == 7
