"""The dashboard in a pipe: lines with tabs, and data."""

from __future__ import annotations

import json

from buildrunner_parallel.dashboard.plain import data, plain_rows, statistics_data

from . import scenes


def tables(board, make):
    found: list[list[list[str]]] = [[]]
    for row in plain_rows(board, make.now, make.now_s):
        if row:
            found[-1].append(list(row))
        else:
            found.append([])
    return {table[0][0]: table for table in found}


def test_each_panel_is_a_table(make):
    found = tables(scenes.afternoon(), make)
    assert list(found) == ["STATISTIC", "SESSION", "WORKER", "TASK", "PATH", "FAILED"]
    assert found["SESSION"][1] == [
        "a3f2e1d9", "Build v3.1", "running", "43", "62", "69", "1", "1m35s", "12.0/s, 2s to go",
    ]  # fmt: skip
    assert found["WORKER"][2][:4] == ["e5f6a7b8", "busy", "1/1", "a3f2e1d9/test-rich,a3f2e1d9/next"]
    assert found["TASK"][4] == ["index-rich", "waiting", "a3f2e1d9", "", "",
                                "build/index.html, held by index-idna on worker d4e5f6a7"]  # fmt: skip
    assert found["PATH"][2] == ["src/app.py", "session Agents by hand", "2m10s", "session Docs by hand"]
    assert found["FAILED"][1] == ["unpack-toolz", "a3f2e1d9", "20s", "exit code 2: tar: no such archive"]


def test_nothing_is_cut(make):
    cells = [cell for row in plain_rows(scenes.hostile(), make.now, make.now_s) for cell in row]
    assert "x" * 10_000 in cells


def test_an_empty_board_has_figures_and_no_rows(make):
    found = tables(make.board(), make)
    assert list(found) == ["STATISTIC", "SESSION"]
    assert len(found["SESSION"]) == 1


def test_the_data_is_json_with_the_figures_as_numbers(make):
    board = scenes.afternoon()
    document = json.loads(json.dumps(data(board, make.now_s)))
    assert set(document) == {"statistics", "sessions", "workers", "tasks", "contended", "failures"}
    assert document["sessions"][0]["session_id"] == "a3f2e1d9"
    assert document["contended"][1]["waiters"][0]["grant_id"] == "g2"
    assert document["contended"][0]["since"] == "2026-11-23T11:59:48Z"
    figures = statistics_data(board, make.now_s)
    assert (figures["slots"], figures["slots_taken"], figures["utilization_percent"]) == (5, 3, 60.0)
    assert (figures["tasks_running"], figures["tasks_waiting"], figures["tasks_failed"]) == (3, 21, 3)
    assert (figures["locks_held"], figures["lock_waiters"]) == (2, 3)


def test_of_one_session_stands_what_belongs_to_it(make):
    found = tables(scenes.afternoon(), make)
    board = scenes.afternoon()
    mine: list[list[list[str]]] = [[]]
    for row in plain_rows(board, make.now, make.now_s, "a3f2e1d9"):
        if row:
            mine[-1].append(list(row))
        else:
            mine.append([])
    alone = {table[0][0]: table for table in mine}
    assert [row[0] for row in alone["SESSION"][1:]] == ["a3f2e1d9"]
    assert alone["TASK"][1:] == [row for row in found["TASK"][1:] if row[2] == "a3f2e1d9"]
    assert alone["FAILED"][1:] == [row for row in found["FAILED"][1:] if row[1] == "a3f2e1d9"]
    assert alone["PATH"][1:] == [row for row in found["PATH"][1:] if row[0] != "src/app.py"]
    figures = dict(alone["STATISTIC"][1:])
    assert int(figures["tasks_failed"]) == 1 and int(figures["locks_held"]) >= 1
    # What was narrowed for the picture is whole in the board.
    assert len(board.sessions) == len(found["SESSION"]) - 1


def test_compact_has_neither_workers_nor_tasks(make):
    rows = list(plain_rows(scenes.afternoon(), make.now, make.now_s, compact=True))
    assert [row[0] for row in rows if row and row[0].isupper() and row[0].isalpha()] == [
        "STATISTIC", "SESSION", "PATH", "FAILED",
    ]  # fmt: skip
