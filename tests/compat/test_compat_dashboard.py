"""LiveDashboard: its parts at several widths, hostile names, its data, and how it ends."""

from __future__ import annotations

import io
import json
import time
from datetime import datetime

import pytest
from rich.console import Console
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table

from buildrunner_parallel.compat import DashboardConfig, LiveDashboard, SessionManager, WorkerCoordinator

HOSTILE = "\x1b[31m\x1b]8;;http://x\x07[bold]evil[/bold]\u202e\n" + "x" * 10_000


@pytest.fixture
def dashboard(manager, coordinator):
    """Two sessions, three workers of which two are busy, one task that waits."""
    first, second = manager.create_session("Frontend", total_tasks=4), manager.create_session("Backend")
    for _ in range(2):
        coordinator.register_worker()
    for name in ("one", "two", "three"):
        coordinator.assign_task(name, {}, first.session_id)
    coordinator.complete_task(next(iter(coordinator.workers)), "one")
    manager.pause_session(second.session_id)
    made = LiveDashboard(manager, coordinator)
    yield made
    for session in (first, second):
        manager.cancel_session(session.session_id)


def drawn(what, width=80):
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=False, color_system=None).print(what)
    return file.getvalue()


def test_the_configuration_is_the_guides():
    assert vars(DashboardConfig()) == {
        "refresh_rate": 0.5, "show_workers": True, "show_sessions": True, "show_tasks": True,
        "compact_mode": False, "max_sessions_display": 10, "max_workers_display": 20,
    }  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_parts_have_their_titles_and_what_belongs_in_them(dashboard, width):
    dashboard.config.max_sessions_display = 2  # those of other tests are older
    sessions, workers = dashboard.render_sessions_table(), dashboard.render_workers_table()
    statistics, tasks = dashboard.render_statistics_panel(), dashboard.render_tasks_panel()
    assert isinstance(sessions, Table) and sessions.title == "Active Sessions"
    assert isinstance(workers, Table) and workers.title == "Worker Pool"
    assert isinstance(statistics, Panel) and statistics.title == "System Statistics"
    assert isinstance(tasks, Panel) and tasks.title == "Active Tasks"
    shown = drawn(sessions, width)
    assert "Frontend" in shown and "running" in shown and "1/4  25%" in shown and "paused" in shown
    for worker_id in dashboard.worker_coordinator.workers:
        assert worker_id in drawn(workers, width)
    assert "Utilization: 100.0%" in drawn(statistics, width)
    assert "two  on worker " in drawn(tasks, width) and "three" in drawn(tasks, width)
    assert all(len(line) <= width for part in (sessions, workers, statistics, tasks)
               for line in drawn(part, width).splitlines())  # fmt: skip


def test_the_whole_shows_what_the_configuration_wants(dashboard):
    assert isinstance(dashboard.render_layout(), Layout)
    dashboard.config = DashboardConfig(show_workers=False, show_tasks=False)
    names = [one.name for one in dashboard.render_layout().children]
    assert names == ["statistics", "sessions", "rest"]
    dashboard.config = DashboardConfig(compact_mode=True)
    compact = drawn(dashboard.render_sessions_table())
    assert "Progress" not in compact and "Frontend" in compact
    dashboard.config = DashboardConfig(max_sessions_display=1, max_workers_display=1)
    assert "more" in drawn(dashboard.render_sessions_table())
    assert "and 1 more" in drawn(dashboard.render_workers_table())


def test_hostile_names_do_no_harm(manager, coordinator, dashboard):
    with pytest.raises(ValueError):
        manager.create_session(HOSTILE)  # the coordinator takes no control characters
    session = manager.create_session("[bold red]\u202emarkup[/] [link=http://x]y[/link]")
    coordinator.assign_task("[bold]task[/]\u202e", {}, session.session_id)
    worker = coordinator.register_worker()
    worker.current_task = HOSTILE
    shown = drawn(dashboard.render_layout(), 120) + drawn(dashboard.render_tasks_panel(), 120)
    assert "[bold red]<U+202E>markup[/]" in shown and "[bold]task[/]" in shown
    assert "\x1b" not in shown and "\u202e" not in shown
    manager.cancel_session(session.session_id)


def test_the_snapshot_is_printed_whole(dashboard):
    dashboard.console = Console(file=io.StringIO(), width=100, height=10)
    dashboard.render_snapshot()
    shown = dashboard.console.file.getvalue()
    for title in ("System Statistics", "Active Sessions", "Worker Pool", "Active Tasks"):
        assert title in shown


def test_the_summary_is_printed_as_in_the_guide(dashboard):
    dashboard.console = Console(file=io.StringIO(), width=100)
    dashboard.print_summary()
    head, empty, workers, sessions, tasks = dashboard.console.file.getvalue().splitlines()
    assert (head, empty) == ("Parallel Orchestration Summary", "")
    assert workers == "Workers: 0 idle / 2 busy / 0 offline (Total: 2, Utilization: 100.0%)"
    assert sessions.startswith("Sessions: ") and " active / " in sessions
    assert tasks == "Tasks: 1 completed / 0 failed / 0 queued"


def test_data_is_plain(dashboard):
    summary = dashboard.get_summary()
    assert summary["workers"] == {"total": 2, "idle": 0, "busy": 2, "offline": 0, "utilization": 100.0}
    assert summary["tasks"] == {"queued": 0, "completed": 1, "failed": 0}
    assert summary["sessions"]["active"] >= 2 and summary["sessions"]["total"] >= 2
    datetime.fromisoformat(summary["timestamp"])
    data = json.loads(json.dumps(dashboard.get_dashboard_data()))
    assert set(data) == {"sessions", "workers", "stats", "timeline"}
    (frontend,) = [
        one for one in data["sessions"] if one["name"] == "Frontend" and one["status"] == "running"
    ]
    assert frontend == {
        "session_id": frontend["session_id"], "name": "Frontend", "status": "running",
        "progress_percent": 25.0, "total_tasks": 4, "completed_tasks": 1, "failed_tasks": 0,
    }  # fmt: skip
    assert data["workers"][0] == {
        "worker_id": data["workers"][0]["worker_id"], "status": "busy",
        "current_session": frontend["session_id"], "tasks_completed": 1, "tasks_failed": 0,
    }  # fmt: skip
    mine = [one["event"] for one in data["timeline"] if one["session_id"] == frontend["session_id"]]
    assert mine == ["created", "started"]
    assert [one["timestamp"] for one in data["timeline"]] == sorted(
        one["timestamp"] for one in data["timeline"]
    )


def test_without_a_coordinator_it_shows_all_workers(manager, dashboard):
    alone = LiveDashboard(manager)
    assert alone.get_summary()["workers"]["busy"] >= 2
    assert set(dashboard.worker_coordinator.workers) <= {
        one["worker_id"] for one in alone.get_dashboard_data()["workers"]
    }


def test_where_it_is_no_terminal_it_shows_how_it_ended(dashboard):
    dashboard.console = Console(file=io.StringIO(), width=100)
    dashboard.config.refresh_rate = 0.05
    dashboard.start_live(duration=0.2)
    assert dashboard.console.file.getvalue().count("System Statistics") == 1


def test_on_a_terminal_it_draws_again_and_again_and_leaves_it_clean(dashboard):
    dashboard.console = Console(file=io.StringIO(), width=100, force_terminal=True)
    dashboard.config.refresh_rate = 0.05
    dashboard.start_live(duration=0.5)
    shown = dashboard.console.file.getvalue()
    assert shown.count("System Statistics") >= 2
    assert shown.endswith("\x1b[?25h")  # the cursor is back


def test_it_outlives_its_coordinator(own_place, monkeypatch):
    """And says meanwhile that it is away."""
    monkeypatch.chdir(own_place.folder)
    process = own_place.serve()
    manager = SessionManager()
    dashboard = LiveDashboard(manager, WorkerCoordinator(manager))
    dashboard._frame()
    client = manager._home.client
    client._connection.patience_s = 0.1
    monkeypatch.setattr(client._connection, "_relocate", None)
    process.kill()
    process.wait()
    assert "The coordinator is away" in drawn(dashboard._frame())
    again = own_place.serve()
    deadline_s = time.monotonic() + 60
    while "System Statistics" not in drawn(dashboard._frame()):
        assert time.monotonic() < deadline_s
    again.terminate()
    again.wait()
