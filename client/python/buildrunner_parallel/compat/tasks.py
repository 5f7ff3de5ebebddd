"""Tasks as programs of the guide assign them, and as the coordinator has them: data for external workers, or
something to run for real ones. No calls are made here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..specs import ExternalWork, Payload, TaskSpec

_JSON = "application/json"
_SESSION = "session_id"
_AGAIN = re.compile(r" \[run (\d+)\]$")


def task_spec(task_id: str, data: Any, pool: str, *, given_session: str | None, worker_id: str) -> TaskSpec:
    """With `argv` (a list of texts), `run` (a line) or `handler` (a name) it is something to run; anything
    else is data for the external workers of `pool`. Raises ValueError for data that is not JSON."""
    text = _json(given_id(task_id), data)
    metadata = {_SESSION: given_session} if given_session else {}
    work = _work(data)
    if work is None:
        external = ExternalWork(pool, Payload(text, _JSON))
        return TaskSpec(task_id=task_id, external=external, worker_id=worker_id, metadata=metadata)
    return TaskSpec(task_id=task_id, worker_id=worker_id, metadata={**metadata, "task_data": data}, **work)


def is_to_run(data: Any) -> bool:
    """It goes to a worker that runs commands or handlers."""
    return _work(data) is not None


def _work(data: Any) -> dict[str, Any] | None:
    if not isinstance(data, Mapping):
        return None
    argv, run, handler = (data.get(name) for name in ("argv", "run", "handler"))
    if isinstance(argv, (list, tuple)) and argv and all(isinstance(one, str) for one in argv):
        return {"argv": list(argv)}
    if isinstance(run, str) and run:
        return {"shell_line": run}
    if isinstance(handler, str) and handler:
        given = data.get("payload")
        payload = None if given is None else Payload(json.dumps(given).encode(), _JSON)
        return {"handler": handler, "payload": payload}
    return None


def data_of(spec: TaskSpec) -> Any:
    """What was assigned."""
    if spec.external is None:
        return spec.metadata.get("task_data")
    payload = spec.external.payload
    if payload is None or not payload.data:
        return {}
    try:
        return json.loads(payload.data)
    except ValueError:
        # Another program put it into the pool, and means something else by it.
        return {"data": payload.data.decode("utf-8", "replace"), "content_type": payload.content_type}


def given_session_of(spec: TaskSpec) -> str | None:
    """The session that was named for a task which no session of that id could have."""
    given = spec.metadata.get(_SESSION)
    return None if given is None else str(given)


def given_id(task_id: str) -> str:
    """The id under which the program knows it."""
    return _AGAIN.sub("", task_id)


def is_given_id(task_id: object) -> bool:
    """It can be one: the coordinator would make one up where there is none."""
    return isinstance(task_id, str) and task_id != ""


def id_of_run(task_id: str, run: int) -> str:
    """A task's id is unique in its session; programs assign one again."""
    return task_id if run == 1 else f"{task_id} [run {run}]"


def number_of_run(name: str) -> int:
    found = _AGAIN.search(name)
    return int(found[1]) if found else 1


def _json(task_id: str, data: Any) -> bytes:
    try:
        return json.dumps(data, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the data of task {task_id!r} must be JSON: {error}") from None
