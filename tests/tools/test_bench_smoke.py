"""The benchmark measures what it says: each row at a tiny size, for its counts; times are not looked at."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tools.bench.builds import measure_build
from tools.bench.commands import measure_commands
from tools.bench.dashboard import measure_dashboard
from tools.bench.figures import Figure, Report, RowError, share
from tools.bench.fleet import measure_fleet
from tools.bench.guide import measure_guide
from tools.bench.latency import measure_latency
from tools.bench.ledger import Counts, check_counts, read_counts
from tools.bench.lock_agents import AGENTS, HOT_AGENTS, measure_agents
from tools.bench.lock_calls import measure_pairs
from tools.bench.lock_checks import measure_checks
from tools.bench.memory import measure_memory
from tools.bench.peers import measure_peers
from tools.bench.sizes import Sizes
from tools.bench.terminal import measure_command_line
from tools.bench.throughput import measure_credit_one, measure_throughput

PROJECT = Path(__file__).resolve().parent.parent.parent
TINY = Sizes(
    rounds=1, noop=30, credit_one=10, commands=10, latency=3, queued=50, startups=1, sources=2, fleet=3,
    fleet_seconds=0.1, held=2_000, lock_pairs=3, agent_steps=2, frames=3,
    guide=5,
    watched=1_000,
)  # fmt: skip

pytestmark = pytest.mark.e2e


def test_what_the_guide_gave_figures_for_is_measured_and_counted(nothing_left) -> None:
    figures = {figure.what: figure for figure in measure_guide(TINY)}
    told = ("create session", "update progress", "register worker", "complete task", "render snapshot")
    assert all(
        figures[what].value > 0 and figures[what].target and "p99" in figures[what].note for what in told
    )
    assert figures["size of a session"].value > 0.1


@pytest.mark.parametrize("measure", [measure_throughput, measure_credit_one])
def test_tasks_that_do_nothing_are_counted_in_the_reopened_database(measure, nothing_left) -> None:
    (figure,) = measure(TINY)
    assert figure.value > 0 and figure.percent > 0
    assert "coordinator" in figure.note


def test_commands_run_in_three_ways_and_their_output_is_found_again(nothing_left) -> None:
    argv, shell, printing = measure_commands(TINY)
    assert "xargs" in argv.note and argv.value > 0 and printing.value > 0
    assert shell.unit == "/s"


def test_frames_and_a_huge_session_are_made() -> None:
    small, large, memory, change = measure_dashboard(TINY)
    assert 0 < small.value < large.value and large.target == 20.0
    assert memory.value > 0 and change.value > 0


def test_single_tasks_are_followed_to_their_end(nothing_left) -> None:
    median, worst, *commands = measure_latency(TINY)
    assert 0 < median.value <= worst.value and median.lower
    assert len(commands) == 2


def test_queued_tasks_are_there_again_after_a_restart(nothing_left) -> None:
    memory, start = measure_memory(TINY)
    assert "50 tasks" in memory.note and start.value > 0


def test_the_same_work_is_given_to_other_programs(nothing_left) -> None:
    figures = measure_peers(TINY)
    assert {"true by xargs -P2", "true by subprocess.run in 2 threads"} <= {one.what for one in figures}
    assert all(one.value > 0 and one.percent is None for one in figures)


def test_idle_workers_are_all_connected_while_they_are_measured(nothing_left) -> None:
    memory, processor = measure_fleet(TINY)
    assert "3 connected" in memory.what and "3 idle" in processor.what and processor.value >= 0


def test_the_command_line_is_timed_against_a_running_coordinator(nothing_left) -> None:
    figures = measure_command_line(TINY)
    assert [one.target for one in figures] == [150, 150, 300, None, None, 150, 200]
    assert all(one.value > 0 and one.lower and "python -c pass" in one.note for one in figures)


def test_checks_of_locks_are_timed_as_more_and_more_is_held() -> None:
    figures = measure_checks(TINY)
    assert [one.target for one in figures] == [3.0, 5.0, 400.0, None]
    assert all("100: " in one.note and "2,000: " in one.note and "100 globs" in one.note for one in figures)


def test_locks_are_taken_and_given_back_over_grpc(nothing_left) -> None:
    pairs, calls = measure_pairs(TINY)
    assert (pairs.target, pairs.unit) == (800, "/s") and calls.value > 0


def test_agents_at_work_wait_for_the_hot_file_alone(nothing_left) -> None:
    locks, loose, hot, audited = measure_agents(TINY)
    assert locks.target == loose.target == 0.9 and min(one.value for one in (hot, audited)) > 0
    assert f"{AGENTS} agents" in locks.what and f"of the {HOT_AGENTS} who use it, 0 of the" in hot.note


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
def test_a_build_leaves_every_object_file_in_both_ways(nothing_left) -> None:
    (figure,) = measure_build(TINY)
    assert "2 files" in figure.note and figure.lower


def test_a_count_that_differs_from_what_was_submitted_fails_the_row(tmp_path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE tasks (session_id, status)")
        connection.execute("CREATE TABLE attempts (session_id, outcome)")
        connection.execute("CREATE TABLE outputs (session_id, data)")
        connection.executemany(
            "INSERT INTO tasks VALUES (?, ?)", [("a", "succeeded"), ("a", "failed"), ("b", "succeeded")]
        )
        connection.execute("INSERT INTO attempts VALUES ('a', 'succeeded')")
        connection.execute("INSERT INTO outputs VALUES ('a', x'0102')")
    connection.close()
    assert read_counts(path, ["a"]) == Counts(1, 1, 2)
    check_counts(read_counts(path, ["a"]), 1, 2)
    with pytest.raises(RowError, match="succeeded=2"):
        check_counts(read_counts(path), 1, 2)


def test_percent_of_target_tells_which_way_is_better() -> None:
    assert Figure("rate", 500, "/s", target=1_000).percent == 50
    assert Figure("delay", 2, "ms", target=1, lower=True).percent == 50
    assert Figure("beside", 2, "ms").percent is None


def test_every_line_fits_a_hundred_columns() -> None:
    figure = Figure("x" * 42, 123_456_789, "bytes", 12_345, 123_456, note="y" * 300)
    assert max(map(len, figure.line().splitlines())) <= 100


def test_the_share_of_values_is_one_of_them() -> None:
    assert share([4, 1, 3, 2], 0.5) == 3
    assert share([1], 0.99) == 1


def test_a_failed_row_is_reported_and_the_others_stand(tmp_path, capsys) -> None:
    def fail() -> list[Figure]:
        raise RowError("the counts differ")

    report = Report()
    report.run("bad", fail)
    report.run("good", lambda: [Figure("rate", 5, "/s", target=10)])
    report.finish(tmp_path / "figures.json")
    document = json.loads((tmp_path / "figures.json").read_text())
    assert document["failures"] == {"bad": "the counts differ"}
    assert document["figures"][0]["percent_of_target"] == 50
    assert "bad: FAILED: the counts differ" in capsys.readouterr().out


def test_an_unknown_row_is_a_usage_error() -> None:
    done = subprocess.run(
        [sys.executable, str(PROJECT / "tools" / "bench"), "--rows", "speed"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "speed is none of" in done.stderr


def _command_line(process: psutil.Process) -> str:
    """Empty for one that is over, whether it has been waited for or not."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def _our_processes() -> dict[psutil.Process, str]:
    children = psutil.Process(os.getpid()).children(recursive=True)
    lines = {process: _command_line(process) for process in children}
    return {process: line for process, line in lines.items() if "buildrunner" in line}


@pytest.fixture
def nothing_left(monkeypatch, tmp_path):
    """After the row no process of ours is left that was not there before, and no folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    # Coordinators that other tests share live until the last of them.
    before = _our_processes()
    yield
    assert [line for process, line in _our_processes().items() if process not in before] == []
    assert list(tmp_path.glob("br-bench-*")) == []
