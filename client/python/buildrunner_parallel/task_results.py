"""How a task of a running session ended, as futures, `as_completed` and `map` give it. No I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .errors import TaskFailedError
from .records import Attempt, TaskStatus, TaskSummary
from .specs import Payload


@dataclass(frozen=True, slots=True)
class TaskResult:
    """How a task ended.

    `attempt` is its last one, None when it never ran. `error` is one line, empty for one that succeeded.
    `item` is what `map` made the task of.
    """

    task_id: str
    status: TaskStatus
    session_id: str = ""
    exit_code: int | None = None
    error: str = ""
    attempt: Attempt | None = None
    item: Any = None

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.status == TaskStatus.SUCCEEDED

    @property
    def payload(self) -> Payload | None:
        """What its handler returned, or its command wrote to the file BR_RESULT_FILE."""
        return self.attempt.result if self.attempt is not None else None

    @property
    def value(self) -> Any:
        """The payload, decoded by its content type: JSON to Python, text to str, anything else to bytes.

        None without a payload. Raises ValueError when it is not what its content type says.
        """
        payload = self.payload
        if payload is None:
            return None
        kind = payload.content_type.partition(";")[0].strip().lower()
        if kind == "application/json" or kind.endswith("+json"):
            return json.loads(payload.data)
        return payload.data.decode() if kind.startswith("text/") else payload.data

    def check(self) -> TaskResult:
        """Itself; raises TaskFailedError unless it succeeded."""
        if self.ok:
            return self
        how = _WORDS.get(self.status, self.status.value)
        why = f": {self.error}" if self.error and self.error != "CANCELLED" else ""
        see = f"; `br parallel logs {self.session_id} {self.task_id}` has its output" if self.attempt else ""
        raise TaskFailedError(f"task {self.task_id} {how}{why}{see}", result=self)


_WORDS = {TaskStatus.CANCELLED: "was cancelled", TaskStatus.SKIPPED: "was skipped"}


def result_of(summary: TaskSummary, attempt: Attempt | None, item: Any) -> TaskResult:
    return TaskResult(
        task_id=summary.task_id,
        status=summary.status,
        session_id=summary.session_id,
        exit_code=summary.exit_code,
        error=summary.error or summary.reason if summary.status != TaskStatus.SUCCEEDED else "",
        attempt=attempt,
        item=item,
    )
