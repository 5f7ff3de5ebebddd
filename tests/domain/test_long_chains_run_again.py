"""A named task runs again with all that was skipped because of it, however long that chain is."""

from __future__ import annotations

import time

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.model import Outcome

LENGTH = 6000


def stored(stage, session_id):
    specs = {row.task_id: row for one in stage.changes for row in one.specs}
    tasks = {row.task_id: row for one in stage.changes for row in one.tasks}
    return tuple((specs[key], row) for key, row in tasks.items() if row.session_id == session_id)


def test_a_chain_is_revived_whole_in_one_walk_and_what_others_broke_is_left(stage, task):
    stage.worker(slots=2)
    session_id = stage.session()
    chain = [task(f"c{i}", needs=(f"c{i - 1}",)) for i in range(1, LENGTH)]
    stage.submit(session_id, task("c0"), task("other"), *chain, task("of-other", needs=("other",)), seal=True)
    first, other = stage.assigned()
    stage.finish(first, Outcome.FAILED)
    stage.finish(other, Outcome.FAILED)
    while not stage.core.sessions[session_id].is_over:
        stage.wait(0.001)
    rows = stored(stage, session_id)
    began_s = time.process_time()
    reply = stage.do(c.RetryTasks(session_id, rows, ("c0",)))
    assert reply.revived == LENGTH
    # Level by level over all rows it would be ten seconds at least.
    assert time.process_time() - began_s < 5
    while session_id in stage.core.reviving:
        stage.wait(0.001)
    assert stage.one().spec == b"c0"
    assert stage.status(session_id, f"c{LENGTH - 1}") == "blocked"
    assert stage.status(session_id, "of-other") == "skipped"
