"""Who calls what: workers get their tasks by Connect alone, a watcher makes one Watch call."""

from __future__ import annotations

import json

import pytest

from .conftest import Town

pytestmark = pytest.mark.e2e

SERVICE = "/buildrunner_parallel.v1."
PLAN = json.dumps({
    "name": "counted",
    "tasks": [{"id": f"t{i}", "run": f"echo {i}"} for i in range(40)] + [{"id": "big", "run": "seq 1 40000"}],
})  # fmt: skip


def _calls(town: Town) -> dict[str, int]:
    """RPCs that the coordinator has served, as it logs them when it ends."""
    lines = [json.loads(line) for line in (town.state / "coordinator.log").read_text().splitlines()]
    counts = [line["calls"] for line in lines if "calls" in line]
    assert counts, "the coordinator has logged its calls"
    return {name.removeprefix(SERVICE): count for name, count in counts[-1].items()}


def test_tasks_come_by_connect_alone_and_a_watcher_watches_once(town: Town) -> None:
    town.write("plan.json", PLAN)
    done = town.br("parallel", "start", "--plan", "plan.json", "--workers", "2", "--watch")
    assert "big" in done.stdout
    town.br("parallel", "stop")
    calls = _calls(town)
    assert calls["WorkerService/Connect"] == 2
    twins = ("Register", "Heartbeat", "ClaimTasks", "ReportTasks")
    assert [calls.get(f"WorkerService/{name}", 0) for name in twins] == [0, 0, 0, 0]
    keepers_own = 1
    assert calls["EventService/Watch"] == 1 + keepers_own
    assert calls["TaskService/SubmitPlan"] == 1
