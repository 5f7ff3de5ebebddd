"""explain: why it does not run, equal reasons once, and what the reasons wait for themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildrunner_parallel.cli.explaining import EXPLAINED_TASKS, MOST_LINKS, reasons
from buildrunner_parallel.records import (
    LockHolder,
    Session,
    SessionStatus,
    Task,
    TaskCounts,
    TaskExplanation,
    TaskSpec,
    TaskStatus,
    TaskSummary,
    Wait,
    WaitKind,
)

NEEDS_UNIT = Wait(WaitKind.NEEDS, "needs unit", ("unit",))
NO_SLOT = Wait(WaitKind.NO_SLOT, "all 3 workers that could take it are busy")


def blocked(task_id, *waits, status=TaskStatus.BLOCKED):
    return TaskExplanation(task_id, status, waits)


@pytest.fixture
def waiting(build, events):
    """A session with tasks that wait, and the records of some of them."""
    counts = TaskCounts(running=2, queued=3, blocked=412, failed=1)
    build.sessions[0] = replace(build.sessions[0], counts=counts)
    build.explanations = [blocked(f"t{number}", NEEDS_UNIT) for number in range(412)]
    build.explanations += [blocked(f"q{number}", NO_SLOT, status=TaskStatus.QUEUED) for number in range(3)]
    for one in build.explanations:
        summary = TaskSummary("a3f2e1d9", one.task_id, one.status)
        build.full_tasks[one.task_id] = Task(summary, TaskSpec(task_id=one.task_id))
    return build


def add_task(build, task_id, status, *waits, session_id="a3f2e1d9", **more):
    summary = TaskSummary(session_id, task_id, status, **more)
    build.full_tasks[task_id] = Task(summary, TaskSpec(task_id=task_id))
    build.explanations.append(TaskExplanation(task_id, status, waits))


# ---------------------------------------------------------------- a whole session


def test_equal_reasons_are_told_once(waiting, br):
    assert br("explain", "last").stdout.splitlines() == [
        "Session a3f2e1d9 (Build v3.1) is running: 2 running, 3 queued, 412 blocked, 1 failed",
        "TASKS\tWHY\tSUCH AS",
        "412\tneeds unit\tt0, t1, t2 and 409 more",
        "3\tall 3 workers that could take it are busy\tq0, q1, q2",
    ]


def test_reasons_beyond_the_limit_are_counted(build, br):
    build.explanations = [
        blocked(f"t{number}", Wait(WaitKind.NEEDS, f"needs n{number % 30}")) for number in range(60)
    ]
    lines = br("explain", "last", "--limit", "10").stdout.splitlines()
    assert len(lines) == 13
    assert lines[-1] == "and 20 other reasons of 40 tasks; --limit 200 shows more"


def test_queued_tasks_that_nothing_keeps_are_counted_too(waiting, br):
    waiting.explanations += [blocked("r1", status=TaskStatus.QUEUED), blocked("r2", status=TaskStatus.QUEUED)]
    waiting.explanations += [blocked("busy", status=TaskStatus.RUNNING)]
    assert br("explain", "last").stdout.splitlines()[-1] == "2 queued tasks start as slots get free"


def test_no_more_tasks_are_asked_for_than_anybody_reads(waiting, br):
    tally = TaskCounts(blocked=EXPLAINED_TASKS + 500)
    waiting.sessions[0] = replace(waiting.sessions[0], counts=tally)
    waiting.explanations = [blocked(f"t{number}", NEEDS_UNIT) for number in range(EXPLAINED_TASKS + 500)]
    assert br("explain", "last").stdout.endswith("\n500 more tasks that are not over were not looked at\n")
    assert ("explain_tasks", "a3f2e1d9", "", {"limit": EXPLAINED_TASKS}) in waiting.calls


def test_pauses_behind_failures_are_one_reason_with_the_earliest_end(events):
    def pause(number, seconds):
        message = f"failed {number} times: it is tried again in {seconds} s"
        return Wait(WaitKind.BACKOFF, message, until=events.at(seconds))

    (reason,) = reasons(
        [blocked("a", pause(1, 40)), blocked("b", pause(2, 12.4)), blocked("c", pause(1, 90))]
    )
    assert reason.task_ids == ["a", "b", "c"]
    assert reason.sentence() == "failed 2 times: it is tried again in 12.4 s"


def locked(path, *tasks):
    holders = tuple(LockHolder("b7c8d9e0", "Docs", task) for task in tasks)
    return Wait(WaitKind.LOCKS, f"waits for {path}, held by Docs/{tasks[0]} for 3 s", (path,), holders)


def test_paths_kept_by_the_same_holder_are_one_reason(build, br):
    build.explanations = [blocked(f"t{n}", locked(f"src/{n}.py", "pages")) for n in range(300)]
    build.explanations += [blocked("other", locked("lib/", "index"))]
    assert br("explain", "last").stdout.splitlines()[2:] == [
        "300\twaits for src/0.py, src/1.py, src/2.py and 297 more, held by Docs/pages"
        "\tt0, t1, t2 and 297 more",
        "1\twaits for lib/, held by Docs/index for 3 s\tother",
    ]


def test_sentences_that_differ_only_by_the_moment_are_one_reason(build, events):
    one, two = (Wait(WaitKind.NEEDS, f"needs unit, which runs since {n} s", ("unit",)) for n in (1, 2))
    assert [reason.task_ids for reason in reasons([blocked("a", one), blocked("b", two)])] == [["a", "b"]]


@pytest.mark.parametrize(
    ("status", "counts", "told"),
    [
        (SessionStatus.COMPLETED, TaskCounts(succeeded=2), "completed: 2 succeeded\nIt is over: nothing"),
        (SessionStatus.CANCELLED, TaskCounts(cancelled=2), "was cancelled: 2 cancelled\nIt is over"),
        (SessionStatus.RUNNING, TaskCounts(running=2), "Nothing waits: all that is left runs"),
        (
            SessionStatus.RUNNING,
            TaskCounts(),
            "is running: no tasks\nNothing waits: it has no tasks yet. More "
            "may come; without, it ends with: br parallel close a3f2e1d9\n",
        ),
    ],
)
def test_where_nothing_waits_that_is_said(build, br, status, counts, told):
    build.sessions = [Session("a3f2e1d9", "x", status=status, counts=counts, open=not counts.total)]
    build.explanations = [TaskExplanation("r", TaskStatus.RUNNING)] * counts.running
    result = br("explain", "last")
    assert result.exit_code == 0
    assert told in result.stdout


def test_an_ended_session_says_what_to_look_at(build, br):
    ended = replace(build.sessions[0], status=SessionStatus.FAILED, reason="2 tasks failed")
    build.sessions[0] = ended
    assert br("explain", "last").stdout.splitlines()[1:] == [
        "It is over: nothing of it waits",
        "It ended because: 2 tasks failed",
        "What failed: br parallel tasks a3f2e1d9 -s failed",
    ]


def test_json_of_a_session_has_every_reason_with_its_tasks(waiting, br_json):
    document = br_json("explain", "last", "--limit", "1")
    assert document["session"]["session_id"] == "a3f2e1d9"
    assert document["explained_tasks"] == 415
    first, second = document["reasons"]
    assert (first["kind"], first["names"], first["task_count"]) == ("needs", ["unit"], 412)
    assert len(first["task_ids"]) == 412
    assert second["task_ids"] == ["q0", "q1", "q2"]


# ---------------------------------------------------------------- one task


def test_the_chain_is_followed_to_what_really_holds_it_up(build, br, events):
    locks = Wait(
        WaitKind.LOCKS, "waits for src/, held by Docs/pages", ("src/",),
        (LockHolder("b7c8d9e0", "Docs", "pages"),),
    )  # fmt: skip
    add_task(build, "ship", TaskStatus.BLOCKED, Wait(WaitKind.NEEDS, "needs app", ("app",)))
    add_task(build, "app", TaskStatus.QUEUED, locks)
    add_task(build, "pages", TaskStatus.RUNNING, session_id="b7c8d9e0")
    assert br("explain", "last", "ship").stdout.splitlines() == [
        "Task ship of session a3f2e1d9 (Build v3.1) is blocked, and does not run because:",
        "- needs app",
        "  app: waits for src/, held by Docs/pages",
        "    b7c8d9e0/pages: is running",
    ]


def test_what_stands_below_a_need_is_not_said_beside_it(build, br):
    """The coordinator's sentence ends with the root of it all, which the lines below lead to."""
    long = "needs app (queued) and 1 more; it hangs on lint, which is queued"
    add_task(build, "ship", TaskStatus.BLOCKED, Wait(WaitKind.NEEDS, long, ("app", "lint")))
    add_task(build, "app", TaskStatus.QUEUED, NO_SLOT)
    assert br("explain", "last", "ship").stdout.splitlines()[1:] == [
        "- needs app, lint", "  app: all 3 workers that could take it are busy",
    ]  # fmt: skip
    assert long in br("explain", "last").stdout


def test_a_wide_graph_is_not_followed_for_ever(build, br):
    names = tuple(f"n{number}" for number in range(500))
    add_task(build, "ship", TaskStatus.BLOCKED, Wait(WaitKind.NEEDS, "needs 500 tasks", names))
    for name in names:
        add_task(build, name, TaskStatus.QUEUED, NO_SLOT)
    assert len(br("explain", "last", "ship").stdout.splitlines()) == MOST_LINKS + 1


def test_two_that_wait_for_each_other_are_told_once(build, br):
    add_task(build, "a", TaskStatus.QUEUED, Wait(WaitKind.NEEDS, "needs b", ("b",)))
    add_task(build, "b", TaskStatus.QUEUED, Wait(WaitKind.NEEDS, "needs a", ("a",)))
    assert br("explain", "last", "a").stdout.splitlines()[1:] == ["- needs b", "  b: needs a"]


def test_what_ended_while_it_was_asked_about_is_left_out(build, br, monkeypatch):
    from buildrunner_parallel.errors import NotFoundError

    add_task(build, "ship", TaskStatus.BLOCKED, Wait(WaitKind.NEEDS, "needs app", ("app",)))
    real = build.explain_tasks

    def explain(session_id, task_id="", **options):
        if task_id == "app":
            raise NotFoundError("gone")
        return real(session_id, task_id, **options)

    build.explain_tasks = explain
    result = br("explain", "last", "ship")
    assert (result.exit_code, result.stdout.splitlines()[1:]) == (0, ["- needs app"])


@pytest.mark.parametrize(
    ("status", "more", "told"),
    [
        (
            TaskStatus.RUNNING,
            {"started_at": -15, "attempt": 2},
            "runs on worker w1, started 15s ago (attempt 2)",
        ),
        (
            TaskStatus.ASSIGNED,
            {"attempt": 1},
            "was given to worker w1, which starts it with its next free slot",
        ),
        (TaskStatus.CANCELLING, {"started_at": -15}, "is being stopped on worker w1, started 15s ago"),
        (TaskStatus.SUCCEEDED, {"ended_at": -60}, "succeeded 1m ago"),
        (TaskStatus.FAILED, {"ended_at": -60, "error": "exit code 3"}, "failed 1m ago: exit code 3"),
        (
            TaskStatus.SKIPPED,
            {"error": "needs unit, which did not succeed"},
            "was skipped: needs unit, which",
        ),
        (TaskStatus.CANCELLED, {"error": "CANCELLED"}, "was cancelled: it was cancelled"),
        (TaskStatus.QUEUED, {}, "- nothing in particular: it starts with the next free slot"),
    ],
)
def test_every_state_has_its_sentence(build, br, events, status, more, told):
    times = {name: events.at(value) if name.endswith("_at") else value for name, value in more.items()}
    add_task(build, "t", status, worker_id="w1", **times)
    result = br("explain", "last", "t")
    assert result.exit_code == 0
    assert told in result.stdout


def test_a_terminal_is_told_where_to_look_next(build, terminal):
    add_task(build, "t", TaskStatus.RUNNING, worker_id="w1")
    text = terminal("explain", "last", "t").stdout
    assert "br parallel logs a3f2e1d9 t -f" in text
    assert "br parallel show a3f2e1d9 t" in text


def test_json_of_a_task_has_its_waits(waiting, br_json):
    document = br_json("explain", "last", "t7")
    assert document["task"]["task_id"] == "t7"
    assert document["waits"] == [
        {"kind": "needs", "message": "needs unit", "names": ["unit"], "holders": [], "until": None}
    ]


def test_a_task_that_there_is_not_is_not_found(build, br):
    result = br("explain", "last", "nope")
    assert (result.exit_code, result.stdout) == (4, "")


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_it_fits_its_terminal(waiting, terminal, columns):
    lines = terminal("explain", "last", columns=columns).stdout.splitlines()
    table = [line for line in lines if not line.startswith(("Session", "One of"))]
    assert max(map(len, table)) <= columns
    assert any(line.lstrip().startswith("412") for line in table)


def test_hostile_names_are_made_harmless(build, terminal):
    evil = "\x1b]0;x\x07 [red]x[/red] \u202e"
    add_task(build, "t", TaskStatus.BLOCKED, Wait(WaitKind.NEEDS, f"needs {evil}", (evil,)))
    text = terminal("explain", "last", "t", columns=200).stdout + terminal("explain", "last").stdout
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[red]x[/red]" in text
