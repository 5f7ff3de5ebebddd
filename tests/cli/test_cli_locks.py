"""locks: who holds what and who waits, and what was waited for in the past."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildrunner_parallel.cli.lock_phrases import obstacles_phrase
from buildrunner_parallel.records import (
    LockConflict,
    LockHolder,
    LockKind,
    LockListing,
    LockMode,
    LockPeriodStatistics,
    LockReport,
    LockSessionStatistics,
    LockStatistics,
    LockWaiter,
    LockWaitFigures,
    PathRequest,
    Session,
    SessionStatus,
    Task,
    TaskExplanation,
    TaskSpec,
    TaskStatus,
    TaskSummary,
    Wait,
    WaitKind,
)
from tests.cli.fake_locks import lock_of
from tests.cli.test_cli_golden import compare

DOCS = LockHolder("b7c8d9e0", "Docs", "pages", "a1a1a1a1b2b2b2b2", "d4e5f6a7", "box")
LINT = LockHolder("ffffffff", "Lint", "ruff")
BY_HAND = LockHolder("a3f2e1d9", "Build v3.1", host="box", grant_id="c0c0c0c0d1d1d1d1")


@pytest.fixture
def held(build, events):
    """Locks of every kind of holder, and waiters behind them."""
    src = replace(lock_of("src/"), acquired_at=events.at(-300), fence=1795899034172844)
    leased = replace(
        lock_of("lib/core/engine.py", grant_id="beefbeefbeefbeef"),
        acquired_at=events.at(-12), lease_ends_at=events.at(23), fence=1795899034172850,
    )  # fmt: skip
    of_task = replace(
        lock_of("docs/**/*.md", "shared"),
        lock_id="a1a1a1a1b2b2b2b2-0", kind=LockKind.GLOB, holder=DOCS, acquired_at=events.at(-65),
        grant_id="",
    )  # fmt: skip
    lapsed = replace(of_task, lock_id="dead0000-0", path="res:db", kind=LockKind.RESOURCE,
                     holder=replace(DOCS, task_id="dump"), freed_at=events.at(8))  # fmt: skip
    behind_src = LockConflict("src/app.py", "src", LockMode.EXCLUSIVE, lock_of("src/").holder, 300_000,
                              held_kind=LockKind.TREE, lock_id=src.lock_id)  # fmt: skip
    before = LockConflict("src/a.py", "src/app.py", holder=LINT, held_ms=9000, queue_position=1)
    build.listing = LockListing(
        (src, leased, of_task, lapsed),
        (
            LockWaiter(LINT, (PathRequest("src/app.py", "exclusive", "file"),), 9000, 1, (behind_src,)),
            LockWaiter(BY_HAND, (PathRequest("src/a.py", "shared"), PathRequest("", "exclusive", "tree")),
                       450, 2, (behind_src, before)),
            LockWaiter(replace(LINT, task_id="mypy"), (PathRequest("res:mypy"),), 100, 3),
        ),
    )  # fmt: skip
    return build


def figures(waits, given_up=0, scale=1):
    return LockWaitFigures(waits, given_up, 1200 * scale, 9500 * scale, 31_000 * scale, 2400 * waits * scale)


@pytest.fixture
def waited(build, events):
    """A past of many waits."""
    build.report = LockReport(
        (
            LockStatistics("src", figures(40, 3), 61_000, DOCS),
            LockStatistics("", figures(2), 900, BY_HAND),
            LockStatistics("a/rather/long/path/to/some/generated/file/of/the/build.lock", figures(1)),
        ),
        (
            LockSessionStatistics("a3f2e1d9", "Build v3.1", figures(30, 3), 61_000, "src"),
            LockSessionStatistics("ffffffff", "Lint", figures(13)),
        ),
        tuple(LockPeriodStatistics(events.at(-3600 + 60 * n), figures(n % 9 + 1)) for n in range(35)),
        figures(43, 3),
        60_000,
    )
    return build


COMMANDS = {
    "locks": ["locks"],
    "locks-waiting": ["locks", "--waiting"],
    "locks-stats": ["locks", "--stats"],
}


@pytest.fixture
def both(held, waited):
    return held


@pytest.mark.parametrize("name", COMMANDS)
def test_in_a_pipe_it_is_plain_and_whole(both, br, name):
    result = br(*COMMANDS[name])
    assert (result.exit_code, result.stderr) == (0, "")
    compare(f"{name}-pipe", result.stdout)


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("name", COMMANDS)
def test_on_a_terminal_it_is_as_wide_as_that(both, terminal, name, columns):
    result = terminal(*COMMANDS[name], columns=columns)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= columns
    compare(f"{name}-{columns}", result.stdout)


@pytest.mark.parametrize(
    ("name", "essential"),
    [
        ("locks", ["src/", "a3f2e1d9", "b7c8d9e0/pages"]),
        ("locks-waiting", ["ffffffff/ruff", "src/app.py"]),
        ("locks-stats", ["src", "40", "1.2s", "9.5s", "a3f2e1d9"]),
    ],
)
def test_forty_columns_have_what_matters(both, terminal, name, essential):
    result = terminal(*COMMANDS[name], columns=40)
    # A command to be copied is left to the terminal to break.
    lines = [line for line in result.stdout.splitlines() if not line.startswith("Take one away")]
    assert max(map(len, lines)) <= 40
    whole = "".join(result.stdout.split())
    assert [text for text in essential if text not in whole] == []


def test_a_path_and_a_session_narrow_it(held, br):
    assert br("locks", "src/", "--session", "a3f2").exit_code == 0
    assert ("list_locks", "src/", {"session": "a3f2e1d9"}) in held.calls


def test_quiet_gives_ids_of_locks_or_names_of_waiters(held, br):
    ids = br("locks", "--quiet").stdout.splitlines()
    assert ids == [lock.lock_id for lock in held.listing.locks]
    assert br("locks", "--waiting", "--quiet").stdout.split() == [
        "ffffffff/ruff",
        "a3f2e1d9",
        "ffffffff/mypy",
    ]


def test_json_has_locks_and_waiters_with_what_is_in_their_way(held, br_json):
    document = br_json("locks")
    assert [lock["kind"] for lock in document["locks"]] == ["tree", "file", "glob", "resource"]
    waiter = document["waiters"][0]
    assert (waiter["waiter"]["task_id"], waiter["position"]) == ("ruff", 1)
    assert waiter["conflicts"][0]["held_path"] == "src"
    assert "locks" not in br_json("locks", "--waiting")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["locks"], "No path is held\n"),
        (["locks", "--waiting"], "Nobody waits for a path\n"),
        (["locks", "--stats"], "No wait for a path has ended\n"),
        (["locks", "--stats", "--since", "90m"], "No wait for a path has ended in the last 1h30m\n"),
    ],
)
@pytest.mark.parametrize("has_state", [True, False])
def test_nothing_is_said_to_be_nothing(build, br, arguments, told, has_state):
    build.has_state = has_state
    result = br(*arguments)
    assert (result.exit_code, result.stdout, build.started) == (0, told, False)


def test_statistics_are_asked_for_as_told(waited, br, br_json):
    assert br("locks", "--stats", "--session", "a3f2", "--since", "1h", "-l", "5").exit_code == 0
    options = {"session": "a3f2e1d9", "since": 3600.0, "limit": 5}
    assert ("lock_statistics", options) in waited.calls
    document = br_json("locks", "--stats")["lock_statistics"]
    assert document["total"]["wait_p95_ms"] == 9500
    assert document["statistics"][0]["longest_holder"]["task_id"] == "pages"
    assert len(document["periods"]) == 35


@pytest.mark.parametrize(
    "arguments",
    [["--since", "1h"], ["src", "--stats"], ["--stats", "--waiting"], ["--stats", "--since", "x"]],
)
def test_wrong_usage_is_2(build, br, arguments):
    result = br("locks", *arguments)
    assert (result.exit_code, len(result.stderr.splitlines()), build.calls) == (2, 1, [])


@pytest.mark.parametrize("columns", [40, 200])
@pytest.mark.parametrize("name", COMMANDS)
def test_hostile_names_are_harmless(both, br, terminal, name, columns):
    evil = "\x1b]0;owned\x07[red]\u202e\nsecond\t"
    holder = LockHolder("b7c8d9e0", evil, evil, evil, evil, evil)
    lock = replace(lock_of("x"), path=evil, holder=holder, lock_id=evil)
    conflict = LockConflict(evil, evil, holder=holder, lock_id=evil)
    both.listing = LockListing((lock,), (LockWaiter(holder, (PathRequest(evil),), 1, 1, (conflict,)),))
    both.report = LockReport(
        (LockStatistics(evil, figures(1), 1, holder),),
        (LockSessionStatistics("b7c8d9e0", evil, figures(1), 1, evil),),
        (),
        figures(1),
    )
    piped, drawn = br(*COMMANDS[name]), terminal(*COMMANDS[name], columns=columns)
    assert (piped.exit_code, drawn.exit_code) == (0, 0)
    assert not {"\x1b", "\x07", "\u202e"} & set(piped.output + drawn.output)
    assert not [line for line in piped.stdout.splitlines() if line.startswith("second")]


# ---------------------------------------------------------------- elsewhere


def test_explain_follows_a_holder_by_hand_to_what_he_waits_for_himself(held, br):
    message = (
        "waits for src, held by session a3f2e1d9 (Build v3.1) for 5 min; that waits for src, which x holds"
    )
    wait = Wait(WaitKind.LOCKS, message, ("src",), (BY_HAND,))
    summary = TaskSummary("b7c8d9e0", "ship", TaskStatus.QUEUED)
    held.full_tasks["ship"] = Task(summary, TaskSpec(task_id="ship"))
    held.explanations = [
        TaskExplanation("ship", TaskStatus.QUEUED, (wait,)),
        TaskExplanation("ruff", TaskStatus.QUEUED, ()),
    ]
    assert br("explain", "b7c8", "ship").stdout.splitlines()[1:] == [
        "- waits for src, held by session a3f2e1d9 (Build v3.1) for 5 min",
        "  session a3f2e1d9, by hand: has waited 450ms for src/a.py (shared), ./, 2nd in the queue: src/ "
        "held by a3f2e1d9 (Build v3.1) for 5m00s; src/app.py asked for before by ffffffff/ruff (Lint)",
        "    ffffffff/ruff: is queued",
    ]  # fmt: skip


def test_what_the_coordinator_tells_of_a_holder_stays_where_nothing_stands_below(held, br):
    held.listing = LockListing(held.listing.locks)
    message = "waits for src, held by session a3f2e1d9 (Build v3.1); that waits for lib, which y holds"
    wait = Wait(WaitKind.LOCKS, message, ("src",), (BY_HAND,))
    held.full_tasks["ship"] = Task(
        TaskSummary("b7c8d9e0", "ship", TaskStatus.QUEUED), TaskSpec(task_id="ship")
    )
    held.explanations = [TaskExplanation("ship", TaskStatus.QUEUED, (wait,))]
    assert br("explain", "b7c8", "ship").stdout.splitlines()[1:] == [f"- {message}"]


def test_explain_tells_what_a_running_task_asked_for_by_hand(held, br):
    asker = replace(BY_HAND, session_id="b7c8d9e0", task_id="ship", attempt_id="a1")
    (behind_src,) = held.listing.waiters[0].conflicts
    waiter = LockWaiter(asker, (PathRequest("src/app.py", "exclusive", "file"),), 2000, 1, (behind_src,))
    held.listing = LockListing(held.listing.locks, (waiter,))
    summary = TaskSummary("b7c8d9e0", "ship", TaskStatus.RUNNING, worker_id="w1")
    held.full_tasks["ship"] = Task(summary, TaskSpec(task_id="ship"))
    held.explanations = [TaskExplanation("ship", TaskStatus.RUNNING, ())]
    assert br("explain", "b7c8", "ship").stdout.splitlines() == [
        "Task ship of session b7c8d9e0 (Docs) runs on worker w1",
        "- has waited 2.0s for src/app.py, 1st in the queue: src/ held by a3f2e1d9 (Build v3.1) for 5m00s",
    ]


def test_explain_tells_what_a_session_waits_for_by_hand(held, br, br_json):
    lines = br("explain", "a3f2").stdout.splitlines()
    assert lines[-1].startswith(
        "By hand it has waited 450ms for src/a.py (shared), ./, 2nd in the queue: src/"
    )
    assert [wait["names"] for wait in br_json("explain", "a3f2")["by_hand"]] == [["src/a.py", ""]]


def test_verbose_status_has_what_is_waited_for_by_hand(held, br, br_json):
    lines = br("status", "a3f2", "-v").stdout.splitlines()
    assert "src/\texclusive\tthe session\t1795899034172844\t5m ago" in lines
    assert "lib/core/engine.py\texclusive\ta lease of it\t1795899034172850\t12s ago" in lines
    (by_hand,) = (line for line in lines if line.startswith("by hand\t"))
    assert by_hand.startswith("by hand\thas waited 450ms for src/a.py (shared), ./, 2nd in the queue: src/")
    assert [one["position"] for one in br_json("status", "a3f2", "-v")["lock_waiters"]] == [2]


def test_verbose_status_did_not_tell_who_else_waits_for_the_locks_of_a_session(held, br, br_json):
    lines = br("status", "a3f2", "-v").stdout.splitlines()
    assert lines[-2:] == ["WAITS BEHIND IT\tFOR\tPLACE\tSINCE", "ffffffff/ruff (Lint)\tsrc/app.py\t1\t9.0s"]
    (other,) = br_json("status", "a3f2", "-v")["blocked_waiters"]
    assert (other["waiter"]["session_id"], other["position"]) == ("ffffffff", 1)
    assert "WAITS BEHIND IT" not in br("status", "b7c8", "-v").stdout


def test_the_end_of_a_watched_session_tells_how_long_it_waited(waited, br, events, monkeypatch):
    over = Session("c0ffee01", "Demo", status=SessionStatus.COMPLETED)
    for name in ("get_session", "start_session"):
        monkeypatch.setattr(type(waited), name, lambda self, id_: over)
    waited.events = [events.snapshot(over)]
    told = br("start", "Demo", "--watch").stdout
    assert (
        "\n43 waits for paths, 3 of them in vain: half within 1.2s, 95 of 100 within 9.5s, the longest "
        in told
    )
    assert ("lock_statistics", {"session": "c0ffee01", "limit": 1}) in waited.calls


def test_all_who_asked_for_a_path_before_are_told_together():
    def before(holder, path, place):
        return LockConflict("src/a.py", path, holder=holder, held_ms=9000, queue_position=place)

    first = LockConflict("src/a.py", "src", holder=BY_HAND, held_ms=3000, held_kind=LockKind.TREE)
    conflicts = (first, before(LINT, "src/a.py", 1), before(DOCS, "src/b.py", 2), before(DOCS, "src/a.py", 3))
    waiter = LockWaiter(LINT, conflicts=conflicts)
    assert obstacles_phrase(waiter) == (
        "src/ held by a3f2e1d9 (Build v3.1) for 3.0s; "
        "src/a.py asked for before by ffffffff/ruff (Lint), b7c8d9e0/pages (Docs); "
        "src/b.py asked for before by b7c8d9e0/pages (Docs)"
    )
