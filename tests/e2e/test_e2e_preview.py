"""preview for real: the shape of a plan, and who is in its way now."""

from __future__ import annotations

import pytest

from .conftest import Town, eventually

pytestmark = pytest.mark.e2e

HOLDER = "{name: Holder, tasks: [{id: hold, run: sleep 60, files: [src/]}]}"
PLAN = """
name: Next
tasks:
  - {id: a, run: "true", files: [src/a.py]}
  - {id: b, run: "true", files: [src/a.py], needs: [a]}
  - {id: c, run: "true", files: [docs/], needs: [a]}
  - {id: d, run: "true", files: [docs/index.md]}
"""


def test_a_plan_is_seen_before_it_is_submitted(town: Town) -> None:
    town.write("plan.yaml", PLAN)
    calm = town.br("parallel", "preview", "--plan", "plan.yaml").stdout
    assert "longest chain\t2: a → b\n" in calm
    assert "LEVEL\tTASKS\n1\t2\n2\t2\n" in calm
    assert "1 pair of tasks" in calm
    assert "c\tdocs/\td\tdocs/index.md\n" in calm
    assert "Nothing that runs now is in the way" in calm
    town.write("holder.yaml", HOLDER)
    town.br("parallel", "start", "--plan", "holder.yaml", "-w", "1")
    held = eventually(
        lambda: town.json("parallel", "tasks", "last", "-s", "running")["tasks"], "it holds src/"
    )
    preview = town.json("parallel", "preview", "--plan", "plan.yaml")["preview"]
    (holder,) = preview["waits"][0]["waits"][0]["holders"]
    assert (holder["session_id"], holder["session_name"], holder["task_id"]) == (
        held[0]["session_id"], "Holder", "hold",
    )  # fmt: skip
    busy = town.br("parallel", "preview", "--plan", "plan.yaml").stdout
    assert f"{held[0]['session_id']}/hold" in busy
    assert len(town.json("parallel", "list")["sessions"]) == 1, "nothing of a preview is kept"
    town.br("parallel", "cancel", held[0]["session_id"], "--force")
