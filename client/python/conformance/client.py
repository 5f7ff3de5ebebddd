"""The Python client, as the conformance kit drives it: a request a line in, an answer a line out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from conformance.following import Following

from buildrunner_parallel import Client, PathRequest, Payload, TaskSpec, errors
from buildrunner_parallel.enums import OutputChannel
from buildrunner_parallel.records import Grant, LockConflict, Session, Task

_PATIENCE_S = 30.0
_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (errors.LockConflictError, "conflict"),
    (errors.StaleError, "stale"),
    (errors.WrongStateError, "wrong_state"),
    (errors.LimitError, "limit"),
    (errors.UnsupportedError, "unsupported"),
    (errors.NotFoundError, "not_found"),
    (errors.AuthenticationError, "unauthenticated"),
    (errors.UnreachableError, "unavailable"),
    (errors.DeadlineError, "timeout"),
    (errors.RefusedError, "invalid"),
    (KeyError, "invalid"),
    (TypeError, "invalid"),
    (ValueError, "invalid"),
)

Answer = dict[str, Any]


class Program:
    """Answers requests with one client, made when it is first needed."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._watches: list[Following] = []

    @property
    def client(self) -> Client:
        if self._client is None:
            self._client = Client.connect(start=False, timeout_s=_PATIENCE_S)
        return self._client

    def close(self) -> None:
        for watch in self._watches:
            watch.close()
        if self._client is not None:
            self._client.close()

    def info(self) -> Answer:
        told = self.client.info()
        return {
            "version": told.version,
            "store_id": told.store_id,
            "epoch": told.epoch,
            "capabilities": list(told.capabilities),
        }

    def create_session(self, name: str, metadata: dict[str, Any] | None = None) -> Answer:
        return {"session_id": self.client.create_session(name, metadata=metadata or {}).session_id}

    def start_session(self, session_id: str) -> Answer:
        return _status(self.client.start_session(session_id))

    def pause_session(self, session_id: str) -> Answer:
        return _status(self.client.pause_session(session_id))

    def resume_session(self, session_id: str) -> Answer:
        return _status(self.client.resume_session(session_id))

    def cancel_session(self, session_id: str) -> Answer:
        return _status(self.client.cancel_session(session_id))

    def close_session(self, session_id: str) -> Answer:
        return _status(self.client.close_session(session_id))

    def submit(self, session_id: str, tasks: list[dict[str, Any]], request_id: str = "") -> Answer:
        made = self.client.submit_tasks(session_id, map(_spec, tasks), request_id=request_id)
        return {"task_ids": [task.task_id for task in made]}

    def get_task(self, session_id: str, task_id: str) -> Answer:
        return _task(self.client.get_task(session_id, task_id))

    def cancel_task(self, session_id: str, task_id: str) -> Answer:
        return {"status": self.client.cancel_task(session_id, task_id).status.value}

    def wait_session(self, session_id: str, timeout_s: float) -> Answer:
        session = self.client.wait_session(session_id, timeout_s=timeout_s)
        counts = session.counts
        return {"status": session.status.value, "succeeded": counts.succeeded, "failed": counts.failed}

    def lock(
        self,
        session_id: str,
        paths: list[str],
        shared: bool = False,
        wait_s: float = 0,
        lease_s: float | None = None,
    ) -> Answer:
        grant = self.client.acquire_locks(
            session_id,
            paths,
            mode="shared" if shared else "exclusive",
            wait=True if wait_s < 0 else wait_s or None,
            lease=lease_s,
        )
        return {"grant_id": grant.grant_id, "fence": grant.fence, "paths": list(grant.paths)}

    def renew(self, grant_id: str, fence: int) -> Answer:
        return {"lease_s": self.client.renew_lease(Grant(grant_id, fence))}

    def unlock(
        self, session_id: str, grant_id: str = "", fence: int = 0, paths: list[str] | None = None
    ) -> Answer:
        freed = self.client.release_locks(session_id, paths or (), grant_id=grant_id, fence=fence)
        return {"paths": [lock.path for lock in freed]}

    def logs(self, session_id: str, task_id: str) -> Answer:
        parts: dict[OutputChannel, bytearray] = {
            OutputChannel.STDOUT: bytearray(),
            OutputChannel.STDERR: bytearray(),
        }
        for piece in self.client.read_output(session_id, task_id):
            parts[piece.chunk.channel] += piece.chunk.data
        return {channel.value: bytes(data).decode("utf-8", "replace") for channel, data in parts.items()}

    def watch(self, session_id: str, since: int | None = None, store_id: str = "") -> Answer:
        self._watches.append(Following(self.client, session_id, since, store_id))
        return {"watch": len(self._watches) - 1}

    def watch_until(self, watch: int, task_id: str, status: str, timeout_s: float) -> Answer:
        return self._watches[watch].until(task_id, status, timeout_s)

    def watch_close(self, watch: int) -> Answer:
        self._watches[watch].close()
        return {}


_OPERATIONS: dict[str, Callable[..., Answer]] = {
    name: getattr(Program, name)
    for name in (
        "info", "create_session", "start_session", "pause_session", "resume_session", "cancel_session",
        "close_session", "submit", "get_task", "cancel_task", "wait_session", "lock", "renew", "unlock",
        "logs", "watch", "watch_until", "watch_close",
    )
}  # fmt: skip


def _status(session: Session) -> Answer:
    return {"status": session.status.value}


def _task(task: Task) -> Answer:
    last = task.attempts[-1] if task.attempts else None
    summary = task.summary
    return {
        "status": summary.status.value,
        "attempts": len(task.attempts),
        "exit_code": summary.exit_code,
        "error": summary.error,
        "result": last.result.data.decode() if last is not None and last.result is not None else "",
    }


def _spec(task: dict[str, Any]) -> TaskSpec:
    handler = task.get("handler", "")
    return TaskSpec(
        task_id=task["task_id"],
        argv=task.get("argv", ()),
        shell_line=task.get("run", ""),
        handler=handler,
        payload=Payload(task.get("payload", "").encode(), "application/json") if handler else None,
        needs=task.get("needs", ()),
        files=[
            PathRequest(file["path"], "shared" if file.get("shared") else "exclusive")
            for file in task.get("files", ())
        ],
        timeout_s=task.get("timeout_s"),
        grace_s=task.get("grace_s"),
        retries=task.get("retries", 0),
        labels=task.get("labels", ()),
        priority=task.get("priority", 0),
    )


def _conflict(conflict: LockConflict) -> Answer:
    return {
        "path": conflict.asked_path,
        "held_path": conflict.held_path,
        "session_id": conflict.holder.session_id,
        "session_name": conflict.holder.session_name,
    }


def _told(error: Exception) -> Answer:
    kind = next((word for known, word in _KINDS if isinstance(error, known)), "internal")
    message = str(error) if isinstance(error, errors.BuildRunnerError) else f"{type(error).__name__}: {error}"
    answer: Answer = {"kind": kind, "reason": getattr(error, "reason", ""), "message": message}
    if isinstance(error, errors.LockConflictError):
        answer["conflicts"] = [_conflict(conflict) for conflict in error.conflicts]
    return answer


def _answer(program: Program, line: str) -> Answer:
    try:
        request = json.loads(line)
        number = request.pop("id", None)
        operation = _OPERATIONS[request.pop("op")]
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        return {"id": None, "error": {"kind": "invalid", "reason": "", "message": f"not understood: {error}"}}
    try:
        return {"id": number, "ok": operation(program, **request)}
    except Exception as error:  # whatever it is, it is this request's answer
        return {"id": number, "error": _told(error)}


def main() -> int:
    """Answers until the input ends."""
    program = Program()
    try:
        for line in sys.stdin:
            print(json.dumps(_answer(program, line)), flush=True)
    finally:
        program.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
