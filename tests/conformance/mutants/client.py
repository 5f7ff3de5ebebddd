"""The Python client with one fault: `client.py FAULT`. Each function plants the fault of its name."""

from __future__ import annotations

import dataclasses
import sys
import time
import uuid
from typing import Any

from buildrunner_parallel import calls, channel, connection, feed
from buildrunner_parallel.errors import DeadlineError
from conformance import client, following

# Any: what is planted need not fit.
program: Any = client
Program = client.Program


def loses_the_names() -> None:
    conflict = program._conflict
    program._conflict = lambda one: conflict(one) | {"session_id": "", "session_name": ""}


def tells_one_conflict() -> None:
    told = program._told

    def first(error: Exception) -> dict[str, Any]:
        answer = told(error)
        answer["conflicts"] = answer.get("conflicts", [])[:1]
        return answer

    program._told = first


def loses_reasons() -> None:
    told = program._told
    program._told = lambda error: told(error) | {"reason": ""}


def calls_everything_invalid() -> None:
    told = program._told
    program._told = lambda error: told(error) | {"kind": "invalid"}


def renews_its_request_ids() -> None:
    """Each try of a call has a request id of its own, and gRPC's own retries do not hide it."""
    channel._RETRY_POLICY["retryableStatusCodes"] = ["DATA_LOSS"]
    begin = calls.Call.begin

    def anew(self: Any, stubs: Any, default_timeout_s: float) -> Any:
        if not self.streamed and getattr(self.request, "request_id", None):
            self.request.request_id = uuid.uuid4().hex
        return begin(self, stubs, default_timeout_s)

    calls.Call.begin = anew  # type: ignore[method-assign]


def gives_up_at_once() -> None:
    patience: Any = connection.Patience
    patience.is_loss = lambda *_: False


def asks_again_and_again() -> None:
    """Waits for a session by polling."""

    def poll(self: Any, session_id: str, timeout_s: float) -> dict[str, Any]:
        deadline_s = time.monotonic() + timeout_s
        next(self.client.watch(session_ids=[session_id]))
        while not (session := self.client.get_session(session_id)).is_over:
            if time.monotonic() > deadline_s:
                raise DeadlineError("too late")
            time.sleep(0.05)
        counts = session.counts
        return {"status": session.status.value, "succeeded": counts.succeeded, "failed": counts.failed}

    program._OPERATIONS["wait_session"] = poll


def watches_without_resuming() -> None:
    """After a break it begins with a snapshot, and tells nothing of what went by."""
    begin = feed.Feed.begin

    def from_scratch(self: Any) -> Any:
        self.cursor.revision = None
        return begin(self)

    feed.Feed.begin = from_scratch  # type: ignore[method-assign]


def drops_changes() -> None:
    take = following.Following._take

    def most(self: Any, event: Any) -> None:
        kept = [one for one in event.changes if getattr(one, "status", "") != "assigned"]
        take(self, dataclasses.replace(event, changes=tuple(kept)))

    following.Following._take = most  # type: ignore[method-assign]


def tells_changes_twice() -> None:
    take = following.Following._take

    def twice(self: Any, event: Any) -> None:
        take(self, event)
        take(self, event)

    following.Following._take = twice  # type: ignore[method-assign]


def ignores_the_end_of_its_patience() -> None:
    """A lock that is waited for only so long is waited for without an end."""
    lock = Program.lock
    program._OPERATIONS["lock"] = lambda self, **fields: lock(self, **fields | {"wait_s": -1})


def cuts_logs() -> None:
    logs = Program.logs
    program._OPERATIONS["logs"] = lambda self, **fields: {
        name: text[: 256 << 10] for name, text in logs(self, **fields).items()
    }


def submits_without_conditions() -> None:
    spec = program._spec
    program._spec = lambda task: spec({k: v for k, v in task.items() if k not in ("needs", "labels")})


def dies_of_an_unknown_state() -> None:
    take = following.Following._take

    def picky(self: Any, event: Any) -> None:
        if any(getattr(one, "task_id", "") == "of-a-later-version" for one in event.changes):
            raise SystemExit("a task in a state that nobody knows")
        take(self, event)

    following.Following._take = picky  # type: ignore[method-assign]


if __name__ == "__main__":
    globals()[sys.argv.pop(1)]()
    sys.exit(client.main())
