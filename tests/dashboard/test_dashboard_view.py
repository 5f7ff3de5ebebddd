"""The picture: fits its room, names what waits for whom, and keeps hostile text harmless."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from buildrunner_parallel.dashboard.fold import Model
from buildrunner_parallel.dashboard.lines import change_line
from buildrunner_parallel.dashboard.view import draw, holders_phrase
from buildrunner_parallel.records import (
    LockHolder,
    PathLock,
    TaskCounts,
    Wait,
    WaitKind,
    Worker,
    WorkerStatus,
)
from buildrunner_parallel.watch import WatchEvent


def drawn(model, make, columns=80, height=40) -> list[str]:
    written = io.StringIO()
    console = Console(file=written, width=columns, color_system=None, force_terminal=False)
    console.print(draw(model, make.now, height, columns))
    return written.getvalue().splitlines()


@pytest.fixture
def model(make):
    holder = LockHolder("a3f2e1d9", "Build", "index-idna", worker_id="d4e5f6a7")
    model = Model()
    model.fold(
        make.snapshot(
            make.session(counts=TaskCounts(running=2, queued=1, succeeded=5, failed=1)),
            make.task("index-idna", "running", attempt=1, worker_id="d4e5f6a7", started_at=make.at(-75)),
            make.task(
                "test-rich",
                "running",
                attempt=3,
                worker_id="e5f6a7b8",
                started_at=make.at(-3),
                progress_percent=40.0,
                progress_message="shard 2",
            ),
            make.task("index-rich", wait=Wait(WaitKind.LOCKS, names=("index.html",), holders=(holder,))),
            make.task("unpack", "failed", error="exit code 2: no such archive"),
            Worker("d4e5f6a7", WorkerStatus.BUSY),
            Worker("e5f6a7b8"),
            Worker("f0", WorkerStatus.OFFLINE),
        )
    )
    return model


@pytest.mark.parametrize("columns", [80, 200])
def test_it_shows_progress_work_waits_and_failures_within_its_width(model, make, columns):
    lines = drawn(model, make, columns)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= columns
    assert "Build a3f2e1d9" in lines[0] and "running" in lines[0] and "6/9  1m00s" in lines[0]
    assert lines[1].strip() == "2 running  1 queued  5 succeeded  1 failed"
    assert "Running (2)" in text
    assert any(line.split()[:3] == ["index-idna", "1m15s", "d4e5f6a7"] for line in lines)
    assert "test-rich (try 3)" in text and "40% shard 2" in text
    assert "Waiting for a lock (1)" in text
    (waiting,) = [line for line in lines if line.startswith("index.html")]
    assert "index-rich" in waiting and "held by index-idna on worker d4e5f6a7" in waiting
    assert "exit code 2: no such archive" in text
    assert "Workers: 1 busy of 2" in text


def test_a_path_that_many_wait_for_is_one_line_with_its_queue_and_since_when_it_is_held(model, make):
    holder = LockHolder("a3f2e1d9", "Build", "index-idna", worker_id="d4e5f6a7")
    wait = Wait(WaitKind.LOCKS, names=("index.html",), holders=(holder,))
    lock = PathLock("l1", path="index.html", holder=holder, acquired_at=make.at(-65))
    model.fold(make.change(lock, make.task("index-idle", wait=wait)))
    lines = drawn(model, make, 200)
    assert "Waiting for a lock (2)" in "\n".join(lines)
    (row,) = [" ".join(line.split()) for line in lines if line.startswith("index.html")]
    assert row == "index.html 2: index-rich, index-idle held by index-idna on worker d4e5f6a7 for 1m05s"


def test_it_says_when_the_coordinator_is_away(model, make):
    model.fold(WatchEvent(connection="lost"))
    assert "The coordinator is away; waiting for it" in drawn(model, make)[-1]


def test_a_thousand_tasks_stay_within_the_height(make):
    model = Model()
    model.fold(
        make.snapshot(
            make.session(),
            *(make.task(f"r{i}", "running", started_at=make.at(-i)) for i in range(500)),
            *(make.task(f"w{i}", wait=Wait(WaitKind.LOCKS, names=("x",))) for i in range(500)),
            *(make.task(f"f{i}", "failed", error="no") for i in range(500)),
        )
    )
    lines = drawn(model, make, height=40)
    assert len(lines) <= 40
    assert any(line.startswith("and ") for line in lines)


def test_hostile_text_is_harmless_and_markup_is_text(make):
    evil = "\x1b[2J[red]x\n\u202e"
    model = Model()
    holder = LockHolder("s", evil, "", worker_id=evil)
    model.fold(
        make.snapshot(
            make.session(name=evil),
            make.task(evil, "running", title=evil, worker_id=evil),
            make.task("w", wait=Wait(WaitKind.LOCKS, names=(evil,), holders=(holder,))),
            make.task("f", "failed", error=evil),
        )
    )
    text = "\n".join(drawn(model, make, 200))
    assert "\x1b" not in text and "\u202e" not in text
    assert "[red]x" in text


def test_holders_are_told_by_task_or_session():
    assert holders_phrase(()) == "held by another"
    assert holders_phrase((LockHolder("s1", "Docs"),)) == "held by session Docs"
    two = (LockHolder("s1", task_id="a", worker_id="w"), LockHolder("s2"))
    assert holders_phrase(two) == "held by a on worker w, session s2"


def test_a_line_a_change_is_plain_and_one_line(make, monkeypatch):
    task = make.task(
        "t\n\x1b",
        "failed",
        attempt=2,
        worker_id="w",
        started_at=make.at(-3),
        ended_at=make.now,
        error="first\nsecond",
    )
    line = change_line(task, make.now)
    assert line.endswith("failed      t ␛  3.0s  worker w  attempt 2  first second")
    queued = make.task("q", error="exit code 1", attempt=1)
    assert change_line(queued, make.now).endswith("queued      q  exit code 1")


def test_a_wide_screen_shows_long_task_names_whole(make):
    name = "compile-1-with-quite-a-long-task-name-to-see-what-is-cut"
    model = Model()
    task = make.task(name, "running", attempt=1, worker_id="d4e5f6a7", started_at=make.at(-3))
    model.fold(make.snapshot(make.session(), task))
    assert name in "\n".join(drawn(model, make, columns=200))
    assert name not in "\n".join(drawn(model, make, columns=80))
