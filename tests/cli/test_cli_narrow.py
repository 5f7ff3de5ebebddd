"""Terminals of 40 columns: every command that prints shows the essential, in lines that fit."""

from __future__ import annotations

import pytest

ESSENTIAL = {
    ("list",): ["a3f2e1d9", "Build v3.1", "running"],
    ("status",): ["a3f2e1d9", "running", "7/12 (58%)", "1 failed", "unit", "exit code 1"],
    ("status", "a3f2", "-v"): ["7/12", "d4e5f6a7", "docs"],
    ("tasks",): ["lint", "succeeded", "unit", "failed", "exit code 1", "docs"],
    ("workers",): ["d4e5f6a7", "idle", "busy (draining)", "docs", "60.0%"],
    ("summary",): ["2 idle / 3 busy", "2 active / 5 total", "127 completed"],
    ("info",): ["0.1.0", "4711", "2 active of 5"],
}


@pytest.mark.parametrize("arguments", ESSENTIAL, ids=" ".join)
def test_forty_columns_show_the_essential(build, terminal, arguments):
    result = terminal(*arguments, columns=40)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 40
    words = " ".join(result.stdout.split())
    assert [text for text in ESSENTIAL[arguments] if text not in words] == []


@pytest.mark.parametrize("arguments", ESSENTIAL, ids=" ".join)
def test_a_pipe_loses_nothing_whatever_the_width(build, br, monkeypatch, arguments):
    whole = br(*arguments).stdout
    monkeypatch.setenv("COLUMNS", "40")
    assert br(*arguments).stdout == whole


def test_columns_come_back_with_the_room(build, terminal):
    headings = {
        columns: terminal("workers", columns=columns).stdout.split("\n")[0].split()
        for columns in (40, 60, 80)
    }
    assert headings[40] == ["Worker", "Status", "Slots", "Runs"]
    assert headings[60] == ["Worker", "Status", "Slots", "Runs", "Seen", "Serves"]
    assert headings[80][2:4] == ["Host", "Pid"]


def test_an_id_is_never_broken_and_never_cut(build, terminal):
    for columns in (20, 30, 40):
        assert "a3f2e1d9" in terminal("list", columns=columns).stdout
