"""Of tasks that could go next the one that most hangs on goes first; paths pass along edges of needs."""

from __future__ import annotations

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.chains import LONGEST


def order_of(stage):
    """Runs everything to its end on one slot; the ids in the order of their starts."""
    found = []
    for assign in iter(lambda: next(iter(stage.assigned()), None), None):
        found.append(assign.spec.decode())
        stage.start(assign)
        stage.finish(assign)
    return found


def test_the_longest_remaining_chain_goes_first(stage, task):
    session = stage.session()
    stage.submit(
        session, task("single"), task("short"), task("s2", needs=("short",)), task("long"),
        task("l2", needs=("long",)), task("l3", needs=("l2",)),
    )  # fmt: skip
    stage.worker()
    assert order_of(stage) == ["long", "short", "l2", "single", "s2", "l3"]


def test_a_priority_outweighs_a_chain(stage, task):
    session = stage.session()
    stage.submit(session, task("long"), task("l2", needs=("long",)), task("urgent", priority=1))
    stage.worker()
    assert order_of(stage) == ["urgent", "long", "l2"]


def test_a_chain_that_grows_later_moves_its_head_forward(stage, task):
    session = stage.session(start=False)
    stage.submit(session, task("a"), task("b"))
    stage.submit(session, task("b2", needs=("b",)))
    stage.worker()
    stage.do(c.StartSession(session))
    assert order_of(stage) == ["b", "a", "b2"]


def test_chains_are_known_behind_a_restart(stage, task):
    session = stage.session(start=False)
    stage.submit(session, task("a"), task("b"), task("b2", needs=("b",)))
    stage.restart()
    stage.worker()
    stage.do(c.StartSession(session))
    assert order_of(stage) == ["b", "a", "b2"]


def test_a_chain_of_many_submissions_costs_a_bounded_step_each(stage, task):
    session = stage.session(start=False)
    for i in range(LONGEST + 500):
        stage.core.apply(
            c.SubmitTasks(session, (task(f"t{i}", needs=(f"t{i - 1}",) if i else ()),)), stage.now
        )
    assert stage.core.tasks[session]["t0"].chain == LONGEST


def test_who_has_waited_longer_is_not_passed_by_an_heir(stage, task):
    session = stage.session()
    other = stage.session("other")
    stage.worker(slots=2)
    stage.submit(session, task("build", files=("out/",)), task("heir", needs=("build",), files=("out/",)))
    build = stage.one()
    stage.submit(other, task("stranger", files=("out/",)))
    # It has asked for them, with a slot free, before the heir could: first come, first served.
    stage.finish(build)
    assert stage.one().spec == b"stranger"


def test_who_asks_in_the_commit_of_the_hand_over_comes_after_the_heir(stage, task):
    session, other = stage.session(), stage.session("other")
    stage.worker(slots=1)
    stage.submit(session, task("build", files=("out/",)), task("heir", needs=("build",), files=("out/",)))
    build = stage.one()
    stage.submit(other, task("stranger", files=("out/",)))
    # The only slot is taken: the stranger has not asked for its paths yet.
    assert stage.core.queue.waiters.waiting == set()
    stage.finish(build)
    assert stage.one().spec == b"heir"
