"""A plan that is only looked at: refused as if submitted, told its shape and conflicts, and nothing kept."""

from __future__ import annotations

import random
import time

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain import graphs
from buildrunner_coordinator.domain.model import TaskStatus
from buildrunner_coordinator.domain.previews import COUNTED_CONFLICTS, conflicts_of, shape_of
from buildrunner_coordinator.domain.refusals import Refusal


def pairs(plan):
    shown, count = conflicts_of(plan)
    assert count == len(shown)
    return [(one.task_id, one.other_task_id) for one in shown]


@pytest.mark.parametrize(
    "make",
    [
        lambda task: [task("a"), task("a")],
        lambda task: [task("a", needs=("nobody",))],
        lambda task: [task("a", needs=("b",)), task("b", needs=("a",))],
        lambda task: [task("there")],
    ],
)
def test_faults_are_refused_in_the_words_of_a_submission(stage, task, make):
    session = stage.session()
    stage.submit(session, task("there"))
    plan = tuple(make(task))
    submitted = stage.try_(c.SubmitPlan(plan, session, start=False))
    looked_at = stage.try_(c.PreviewPlan(plan, session))
    assert isinstance(looked_at, Refusal)
    assert (looked_at.reason, looked_at.message, looked_at.details) == (
        submitted.reason, submitted.message, submitted.details
    )  # fmt: skip


def test_a_closed_session_and_one_that_is_not_there_are_refused(stage, task):
    session = stage.session(start=False)
    stage.do(c.CloseSession(session))
    for name in (session, "feedbeef"):
        plan = (task("a"),)
        submitted = stage.try_(c.SubmitPlan(plan, name))
        assert stage.try_(c.PreviewPlan(plan, name)).message == submitted.message


def test_nothing_is_kept(stage, task):
    session = stage.session()
    stage.worker()
    before = stage.core.snapshot()
    stage.do(c.PreviewPlan((task("a", files=("x",)), task("b", needs=("a",))), session))
    stage.do(c.PreviewPlan((task("a", files=("x",)),)))
    assert stage.core.snapshot() == before
    assert not stage.changes[-1].tasks
    stage.nothing_is_sent()


def test_paths_that_others_have_or_asked_for_are_told(stage, task):
    session = stage.session("busy")
    worker = stage.worker(slots=4, credit=4)
    stage.submit(session, task("holder", files=("src/", "log:shared")), task("next", files=("src/a", "b")))
    stage.one()
    look = stage.do(c.PreviewPlan((task("free", files=("c",)), task("held", files=("src/z",)),
                                   task("reader", files=("log:shared",)),
                                   task("behind", needs=("held",), files=("b",)))))  # fmt: skip
    assert [(name, status) for name, status, _ in look.waits] == [
        ("held", TaskStatus.QUEUED), ("behind", TaskStatus.BLOCKED)
    ]  # fmt: skip
    ((_, _, (held,)), (_, _, (behind,))) = look.waits
    assert held.message == f"waits for src, held by busy/holder on worker {worker} for 0 ms"
    assert [one.task_id for one in held.holders] == ["holder"]
    assert behind.message == "waits for b, asked for before it by busy/next"


def test_shape_of_a_diamond_with_a_tail(task):
    plan = [task("d", needs=("b", "c")), task("a"), task("b", needs=("a",)), task("c", needs=("a", "a")),
            task("e", needs=("d",)), task("lone"), task("old", needs=("in-the-session",))]  # fmt: skip
    shape = shape_of(plan)
    assert shape.need_count == 6
    assert shape.longest_chain in (["a", "b", "d", "e"], ["a", "c", "d", "e"])
    assert shape.level_widths == [3, 2, 1, 1]
    assert shape_of([]) == (0, [], [])


def test_conflicts_are_pairs_that_needs_do_not_order(task):
    plan = [
        task("a", files=("src/",)),
        task("b", files=("src/b",), needs=("a",)),
        task("c", files=("src/c", "src/b")),
        task("d", files=("src/d:shared",), needs=("b",)),
        task("e", files=("docs/:shared", "src/d:shared")),
        task("f", files=("docs/x:shared",)),
        task("g", files=("res:db",)),
        task("h", files=("res:db",)),
    ]
    assert pairs(plan) == [("a", "c"), ("a", "e"), ("b", "c"), ("g", "h")]
    first = conflicts_of(plan)[0][0]
    assert (first.path.path, first.other_path.path) in (("src", "src/b"), ("src", "src/c"))


def test_conflicts_agree_with_a_look_at_all_pairs(task):
    rng = random.Random(11)
    for _ in range(40):
        plan = []
        for i in range(25):
            paths = {"/".join(rng.choice("xyz") for _ in range(rng.randint(1, 3))) for _ in range(2)}
            files = tuple(path + rng.choice(("", ":shared")) for path in sorted(paths))
            needs = tuple(sorted({f"t{rng.randrange(i)}" for _ in range(rng.randint(0, 2))})) if i else ()
            plan.append(task(f"t{i}", files=files, needs=needs))
        rng.shuffle(plan)
        assert pairs(plan) == slow_pairs(plan)


def slow_pairs(plan):
    needs = {one.task_id: one.needs for one in plan}
    before = {one: graphs.reachable(one, needs) for one in needs}
    found = []
    for i, one in enumerate(plan):
        for other in plan[i + 1 :]:
            clash = any(
                "exclusive" in (a.mode, b.mode) and overlap(a.path.split("/"), b.path.split("/"))
                for a in one.files for b in other.files
            )  # fmt: skip
            is_ordered = one.task_id in before[other.task_id] or other.task_id in before[one.task_id]
            if clash and not is_ordered:
                found.append((one.task_id, other.task_id))
    return found


def overlap(one, other):
    return all(a == b for a, b in zip(one, other, strict=False))


def test_a_plan_of_disjoint_paths_is_looked_at_in_linear_time(task):
    """Twice the tasks may take no more than about twice the steps: 10,000 would be 50 million pairs."""
    shared = ("include/:shared",)
    plan = [task(f"t{i}", files=(f"src/{i % 100}/f{i}.o", *shared), needs=(f"t{i - 1}",) if i % 7 else ())
            for i in range(10_000)]  # fmt: skip
    began_s = time.process_time()
    assert conflicts_of(plan) == ([], 0)
    assert shape_of(plan).level_widths == [1429] * 4 + [1428] * 3
    assert time.process_time() - began_s < 10, "seconds of a busy machine; one second on an idle one"


def test_counting_ends_at_a_million(task):
    plan = [task(f"t{i}", files=("res:db",)) for i in range(1_600)]
    shown, count = conflicts_of(plan)
    assert count == COUNTED_CONFLICTS
    assert len(shown) == 1000
    assert [one.other_task_id for one in shown[:2]] == ["t1", "t2"]


def test_a_long_chain_on_one_path_has_no_conflicts_and_takes_no_for_ever(task):
    plan = [task(f"t{i}", files=("res:db",), needs=(f"t{i - 1}",) if i else ()) for i in range(1_200)]
    assert conflicts_of(plan) == ([], 0)
    assert len(shape_of(plan).longest_chain) == 1_200
