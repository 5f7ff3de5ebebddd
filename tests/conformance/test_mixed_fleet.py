"""One session, shared by workers of every language that is built; one of each is killed in the middle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from buildrunner_parallel.v1 import types_pb2 as types
from tests.conformance.choosing import chosen_programs
from tests.conformance.processes import Process
from tests.conformance.programs import Programs
from tests.conformance.specs import OVER, call, shell, until
from tests.conformance.stage import Stage, outcome_word, status_word

READY = [programs for programs in chosen_programs() if not programs.missing and programs.worker]
SHARED_EACH = 24
PATIENCE_S = 240.0
OPTIONS = ("--lease", "8s", "--lock-delay", "2s", "--heartbeat-interval", "500ms")


@pytest.fixture
def stage() -> Iterator[Stage]:
    here = Stage(READY[0], OPTIONS)
    try:
        yield here.open()
    finally:
        left = here.close()
    assert left == []


@pytest.mark.e2e
@pytest.mark.timeout(900)
@pytest.mark.skipif(not READY, reason="no language is both asked for and built")
def test_every_task_ends_once_though_one_worker_of_each_language_is_killed(stage: Stage) -> None:
    session = stage.observer.begin("mixed fleet")
    fleet = {programs.language: _worker(stage, programs) for programs in READY}
    stage.observer.submit(session, *_tasks(stage))

    _await_load(stage, session, fleet)
    for process, _ in fleet.values():
        process.kill()
    for programs in READY:
        fleet[programs.language] = _worker(stage, programs)
    stage.observer.seal(session)

    until(lambda: _is_over(stage, session), "all tasks are over", PATIENCE_S)
    _everything_ended_once(stage, session)
    _every_language_had_its_share(stage, session, {name: worker for name, (_, worker) in fleet.items()})


def _worker(stage: Stage, programs: Programs) -> tuple[Process, str]:
    process, record = stage.worker("--slots", "2", "--label", _label(programs), programs=programs)
    return process, record.worker_id


def _label(programs: Programs) -> str:
    return f"language-{programs.folder.name}"


def _tasks(stage: Stage) -> list[types.TaskSpec]:
    """For each language one that stays with its worker until it is killed, and many that anybody may run."""
    writes = "echo began $BR_ATTEMPT >>{0}; {1}; echo done $BR_ATTEMPT >>{0}"
    stays = "test $BR_ATTEMPT -gt 1 || sleep 600"
    made = [
        stage.marked(shell(f"stays-{one.folder.name}", "", labels=[_label(one)], priority=10))
        for one in READY
    ]
    for task in made:
        task.command.shell_line = writes.format(stage.path(task.task_id), stays)
    for number in range(SHARED_EACH * len(READY)):
        name = f"shared-{number}"
        if number % 2:
            made.append(call(name, "echo", {"number": number}))
        else:
            made.append(stage.marked(shell(name, writes.format(stage.path(name), "sleep 0.3"))))
    return made


def _await_load(stage: Stage, session: str, fleet: dict[str, tuple[Process, str]]) -> None:
    """Until every language runs the task that stays with it, and others beside these have ended."""

    def loaded() -> bool:
        statuses = {one.task_id: one for one in stage.observer.all_tasks(session)}
        staying = [one for name, one in statuses.items() if name.startswith("stays-")]
        ended = sum(one.status == types.TASK_STATUS_SUCCEEDED for one in statuses.values())
        return all(one.status == types.TASK_STATUS_RUNNING for one in staying) and ended >= 2 * len(READY)

    until(loaded, "each language has its task, and some others have ended", PATIENCE_S)
    for language, (_, worker_id) in fleet.items():
        record = stage.worker_record(worker_id)
        assert record is not None, f"{language}'s worker is not known when it is to be killed"
        assert record.tasks, f"{language}'s worker runs nothing when it is to be killed"
    over = [one for one in stage.observer.all_tasks(session) if one.status in OVER]
    assert len(over) < SHARED_EACH * len(READY), "all was done before anybody was killed"


def _is_over(stage: Stage, session: str) -> bool:
    return all(one.status in OVER for one in stage.observer.all_tasks(session))


def _everything_ended_once(stage: Stage, session: str) -> None:
    tasks = [stage.task(session, one.task_id) for one in stage.observer.all_tasks(session)]
    assert len(tasks) == (SHARED_EACH + 1) * len(READY)
    for task in tasks:
        name = task.summary.task_id
        outcomes = [outcome_word(one.outcome) for one in task.attempts]
        assert status_word(task.summary.status) == "succeeded", f"{name}: {outcomes}"
        assert outcomes.count("succeeded") == 1, f"{name}: {outcomes}"
        assert set(outcomes) <= {"succeeded", "lost"}, f"{name}: {outcomes}"
        assert stage.observer.kinds(session, name).count("ended") == 1, f"{name} ended more than once"
        _ran_as_recorded(stage, task)


def _ran_as_recorded(stage: Stage, task: types.Task) -> None:
    """What it left behind, or gave as its result, is that of one run of each attempt."""
    name, last = task.summary.task_id, task.attempts[-1]
    if task.spec.WhichOneof("work") == "handler":
        assert last.result.data == task.spec.handler.payload.data, name
        return
    lines = Counter(stage.lines(name))
    assert lines[f"began {last.number}"] == 1, f"{name}: {lines}"
    assert lines[f"done {last.number}"] == 1, f"{name}: {lines}"
    assert max(lines.values()) == 1, f"{name}: {lines}"


def _every_language_had_its_share(stage: Stage, session: str, replacements: dict[str, str]) -> None:
    for programs in READY:
        attempts = stage.task(session, f"stays-{programs.folder.name}").attempts
        assert [outcome_word(one.outcome) for one in attempts] == ["lost", "succeeded"], programs.language
        assert attempts[-1].worker_id == replacements[programs.language], programs.language
