"""Why a task does not run: one good sentence for every reason there is, and the root of it."""

from __future__ import annotations

import time

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import Kinds, Outcome, TaskKind
from tests.domain.loads import many


def explain(stage, session, task_id):
    ((view, waits),) = stage.do(c.ExplainTasks(session, task_id))
    assert view.row.task_id == task_id
    return waits


def only(stage, session, task_id):
    waits = explain(stage, session, task_id)
    assert len(waits) == 1, waits
    return waits[0]


def test_needs_are_told_with_their_states(stage, task):
    session = stage.session()
    worker = stage.worker(slots=1, credit=1)
    stage.submit(session, task("gen"), task("link"), task("ship", needs=("gen", "link")))
    stage.start(stage.one())
    stage.wait(5)
    wait = only(stage, session, "ship")
    assert (wait.kind, wait.names) == ("needs", ("gen", "link"))
    assert wait.message == (
        f"needs gen (running on worker {worker} for 5 s) and link (queued); "
        f"it hangs on link, which is queued: the only slot that could run it is busy with a task of build"
    )


def test_the_root_cause_is_found_along_a_chain(stage, task):
    session = stage.session()
    stage.worker()
    stage.submit(session, task("a", labels=("gpu",)), task("b", needs=("a",)), task("c", needs=("b",)),
                 task("d", needs=("c",)))  # fmt: skip
    wait = only(stage, session, "d")
    assert wait.message.startswith("needs c (waiting for its own needs); it hangs on a, which is queued: "
                                   "no connected worker runs commands and has label gpu")  # fmt: skip


def test_a_root_that_runs_is_named_too(stage, task):
    session = stage.session()
    stage.worker()
    stage.submit(session, task("a"), task("b", needs=("a",)), task("c", needs=("b",)))
    stage.start(stage.one())
    assert "the first of them waits for a (running on worker " in only(stage, session, "c").message


def test_locks_name_their_holders_and_since_when(stage, task):
    first, second = stage.session("first"), stage.session("second")
    worker = stage.worker(slots=2, credit=2)
    stage.submit(first, task("compile", files=("src/",)))
    stage.start(stage.one())
    stage.wait(3)
    stage.submit(second, task("test", files=("src/a.py", "docs")))
    wait = only(stage, second, "test")
    assert wait.kind == "locks"
    assert wait.names == ("src",)
    assert [(one.session_name, one.task_id, one.worker_id) for one in wait.holders] == [
        ("first", "compile", worker)
    ]
    assert wait.message == f"waits for src, held by first/compile on worker {worker} for 3 s"


def test_who_asked_for_the_paths_before_is_told_apart_from_who_holds_them(stage, task):
    session = stage.session()
    stage.worker(slots=4, credit=4)
    stage.submit(session, task("a", files=("x",)), task("b", files=("x", "y")), task("c", files=("y",)))
    wait = only(stage, session, "c")
    assert wait.message == (
        "waits for y, asked for before it by b of its own session; that waits for x, which build/a holds"
    )


def test_paths_that_nobody_asked_for_yet_are_looked_up(stage, task):
    """The worker is full, so the task was never tried; its paths are taken all the same."""
    session = stage.session()
    worker = stage.worker(slots=1, credit=1)
    stage.submit(session, task("a", files=("x",)), task("b", files=("x",)))
    wait = only(stage, session, "b")
    assert wait.message == f"waits for x, held by a of its own session on worker {worker} for 0 ms"


def test_a_woken_waiter_does_not_claim_to_wait_for_paths(stage, task):
    session = stage.session()
    stage.worker(slots=2, credit=2)
    stage.submit(session, task("a", files=("x",)), task("b", files=("x",)))
    holder = stage.one()
    stage.submit(session, task("first", priority=5), task("second", priority=5))
    stage.assigned()
    stage.finish(holder)
    stage.assigned()
    assert [wait.kind for wait in explain(stage, session, "b")] == ["no_slot"]


def test_a_lost_holder_is_told_with_the_time_that_is_left(stage, task):
    session = stage.session()
    stage.worker()
    stage.submit(session, task("a", files=("x",)), task("b", files=("x",)))
    stage.start(stage.one())
    stage.wait(33)
    stage.worker()
    assert "whose worker" in only(stage, session, "b").message
    wait = only(stage, session, "a")
    assert wait.kind == "lock_delay"
    assert wait.until_us == stage.now.wall_us + 10 * 1_000_000
    assert wait.message.endswith(
        "was lost: it can run again in 10 s, when what still ran there must have ended"
    )


def test_no_worker_names_the_closest_and_what_it_lacks(stage, task):
    session, other = stage.session(), stage.session("other")
    near = stage.worker(slots=4, labels=("linux",))
    far = stage.worker(slots=1, session_id=other, kinds=Kinds(external=True))
    stage.submit(session, task("t", labels=("gpu", "linux"), slots=2))
    wait = only(stage, session, "t")
    assert wait.kind == "no_worker"
    assert wait.names == ("label gpu", "label linux", "command", "2 slots")
    assert wait.message == (
        f"no connected worker runs commands and has label gpu, label linux and 2 slots; closest are {near} "
        f"(lacks label gpu) and {far} (serves session {other} only, runs no commands, has 1 slot and lacks "
        f"label gpu and linux)"
    )


def test_workers_that_lack_the_same_are_told_together(stage, task):
    session = stage.session()
    ids = [stage.worker() for _ in range(3)]
    stage.submit(session, task("t", labels=("gpu",)))
    message = only(stage, session, "t").message
    assert message.endswith(f"; closest are {ids[0]}, {ids[1]} and {ids[2]} (each lacks label gpu)")


def test_no_worker_at_all_says_so(stage, task):
    session = stage.session()
    stage.submit(session, task("t"))
    assert only(stage, session, "t").message == "there is no worker at all; it needs one that runs commands"


@pytest.mark.parametrize(
    ("options", "demand"),
    [
        ({"kind": TaskKind.HANDLER, "target": "compile"}, "runs handler compile"),
        ({"kind": TaskKind.EXTERNAL, "target": "web"}, "takes external tasks of pool web"),
        ({"kind": TaskKind.EXTERNAL}, "takes external tasks"),
    ],
)
def test_no_worker_of_the_kind_says_what_it_would_have_to_do(stage, task, options, demand):
    session = stage.session()
    worker = stage.worker()
    stage.submit(session, task("t", **options))
    verb, what = demand.split(" ", 1)
    assert only(stage, session, "t").message == (
        f"no connected worker {demand}; closest is {worker} ({verb} no {what})"
    )


def test_a_wanted_worker_that_is_gone_is_told(stage, task):
    session = stage.session()
    stage.worker()
    stage.submit(session, task("t", wanted_worker_id="deadbeef"))
    wait = only(stage, session, "t")
    assert "id deadbeef" in wait.names
    assert wait.message.startswith("no connected worker is deadbeef and runs commands; closest is ")
    assert "is another one" in wait.message


def test_slots_are_told_with_those_who_have_them(stage, task):
    mine, other = stage.session("mine"), stage.session("other")
    stage.worker(slots=2, credit=2)
    stage.worker(slots=1, credit=1)
    stage.submit(other, *many(task, 1))
    stage.submit(mine, *many(task, 5))
    assert [wait.message for wait in explain(stage, mine, "t4")] == [
        "all 3 slots that could run it (on 2 workers) are busy: mine has 2 and other 1; 2 tasks of its own "
        "session go before it"
    ]


def test_what_was_sent_ahead_is_counted_apart(stage, task):
    session = stage.session()
    stage.worker(slots=2, credit=3)
    stage.submit(session, *many(task, 4))
    assert only(stage, session, "t3").message == (
        "all 2 slots that could run it are busy: build has 2; 1 task sent there before it is next"
    )


def test_a_share_names_the_sessions_that_go_first(stage, task):
    low, busy, high = stage.session("low"), stage.session("busy"), stage.session("high")
    stage.worker(slots=3, credit=3)
    stage.submit(busy, *many(task, 1))
    stage.submit(low, *many(task, 9))
    stage.submit(busy, *many(task, 9, "more"))
    stage.submit(high, *many(task, 2, priority=7))
    no_slot, share = explain(stage, low, "t5")
    assert no_slot.kind == "no_slot"
    assert (share.kind, share.names) == ("share", (busy, high))
    assert share.message == (
        "the next free slot goes to busy (which has 1 of the slots, and low 2) or high (which has priority 7)"
    )


def test_a_heavy_task_is_told_where_room_is_kept_and_the_others_why_it_is(stage, task):
    light, heavy = stage.session("light"), stage.session("heavy")
    worker = stage.worker(slots=2, credit=2)
    stage.submit(light, *many(task, 9))
    first, second = stage.assigned()
    stage.submit(heavy, task("whole", slots=2))
    stage.finish(first)
    stage.one()
    stage.wait(3)
    stage.finish(second)
    assert only(stage, heavy, "whole").message == (
        f"it needs 2 slots of one worker at once, and at most 1 is free, on {worker}; "
        f"what comes free on {worker} is kept for it"
    )
    wait = explain(stage, light, "t5")[0]
    assert (wait.kind, wait.names) == ("share", (heavy,))
    assert wait.message.startswith(f"what is free on worker {worker} is kept for heavy/whole")


def test_a_cap_a_pause_and_a_start_that_never_came(stage, task):
    capped = stage.session("capped", max_parallel=1)
    stage.worker(slots=4, credit=4)
    stage.submit(capped, *many(task, 2))
    assert only(stage, capped, "t1").message == "its session capped runs 1 task, as many as it may at once"
    stage.do(c.PauseSession(capped))
    assert explain(stage, capped, "t1")[0].message == "its session capped is paused"
    made = stage.session("made", start=False)
    stage.submit(made, *many(task, 1), task("behind", needs=("t0",)))
    assert only(stage, made, "t0").message == "its session made has not been started"
    assert [wait.kind for wait in explain(stage, made, "behind")] == ["session", "needs"]


def test_a_backoff_is_told_with_its_end(stage, task):
    session = stage.session()
    stage.worker()
    stage.submit(session, task("t", max_retries=3, backoff_ms=4000))
    stage.finish(stage.one(), Outcome.FAILED, exit_code=1)
    wait = only(stage, session, "t")
    assert wait.kind == "backoff"
    assert 3_200_000 <= wait.until_us - stage.now.wall_us <= 4_800_000
    assert wait.message.startswith("failed once: it is tried again in ")


def test_a_task_that_runs_or_is_over_waits_for_nothing(stage, task):
    session = stage.session()
    stage.worker(slots=2, credit=2)
    stage.submit(session, *many(task, 2))
    assigns = stage.assigned()
    stage.start(assigns[0])
    stage.finish(assigns[1])
    assert explain(stage, session, "t0") == []
    assert stage.do(c.ExplainTasks(session, "t1")) == []


def test_thousands_of_tasks_are_explained_in_quick_pages(stage, task):
    """A page looks at each task once; what all have in common is worked out once."""
    session = stage.session()
    stage.worker(slots=1, credit=1)
    chain = [task("c0", labels=("gpu",))] + [task(f"c{i}", needs=(f"c{i - 1}",)) for i in range(1, 8_000)]
    flat = [task(f"f{i}", files=("res:db",) if i % 2 else ()) for i in range(8_000)]
    stage.core.apply(c.SubmitTasks(session, (*flat, *chain), summaries=False), stage.now)
    for _ in range(20):
        stage.core.tick(stage.now)
        stage.core.place(stage.now)
    after, seen, longest_s = 0, 0, 0.0
    while True:
        began_s = time.process_time()
        page = stage.core.apply(c.ExplainTasks(session, after=after), stage.now)()
        longest_s = max(longest_s, time.process_time() - began_s)
        seen += len(page)
        assert all(waits for view, waits in page if view.row.status in ("queued", "blocked"))
        if len(page) < 1000:
            break
        after = page[-1][0].row.ordinal
    assert seen == 16_000
    assert longest_s < 1, "the slowest page, with much to spare for a busy machine"


def test_an_only_need_that_is_queued_is_named_once(stage, task):
    session = stage.session()
    stage.worker()
    stage.submit(session, task("a", labels=("gpu",)), task("b", needs=("a",)))
    message = only(stage, session, "b").message
    assert message.startswith("needs a, which is queued: no connected worker runs commands and has label gpu")
