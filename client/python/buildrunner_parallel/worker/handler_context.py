"""What a handler is given: its task's data, a way to tell its progress, and whether it was asked to stop.

Knows neither hosts nor wires, so that a handler can be called in a test of its own.
"""

from __future__ import annotations

import json
import os
import select
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

_MS_PER_S = 1000
_LONGEST_MESSAGE = 256
_NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


def wire_text(text: str) -> str:
    """Itself, without the lone surrogates that undecodable file names bring and UTF-8 does not have."""
    return text.encode("utf-8", "backslashreplace").decode()


class Cancellation:
    """Set once, by a signal handler too; every waiting thread wakes up."""

    def __init__(self) -> None:
        self.is_set = False
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __del__(self) -> None:
        os.close(self._fd)

    def set(self) -> None:
        """Never blocks and takes no lock."""
        self.is_set = True
        os.eventfd_write(self._fd, 1)

    def wait(self, timeout_s: float) -> bool:
        """Waits at most `timeout_s` seconds; whether it is set."""
        if not self.is_set:
            waiting = select.poll()
            waiting.register(self._fd, select.POLLIN)
            waiting.poll(max(timeout_s, 0.0) * _MS_PER_S)
        return self.is_set


class HandlerContext:
    """One task, as its handler sees it. All arguments have defaults, for tests.

    `attempt` counts from 1; `fence` is larger than that of any earlier attempt at anything. `environment`
    is what the task itself adds, and is in os.environ while the handler runs.
    """

    __slots__ = (
        "_cancellation", "_report", "attempt", "content_type", "environment", "fence", "payload",
        "session_id", "session_name", "task_id",
    )  # fmt: skip

    def __init__(
        self,
        payload: bytes = b"",
        content_type: str = "",
        session_id: str = "",
        session_name: str = "",
        task_id: str = "",
        attempt: int = 1,
        fence: int = 0,
        environment: Mapping[str, str] = _NO_ENVIRONMENT,
        report: Callable[[float, str], None] | None = None,
        cancellation: Cancellation | None = None,
    ) -> None:
        self.payload = payload
        self.content_type = content_type
        self.session_id = session_id
        self.session_name = session_name
        self.task_id = task_id
        self.attempt = attempt
        self.fence = fence
        self.environment = environment
        self._report = report
        self._cancellation = cancellation

    def json(self) -> Any:
        """The payload, parsed; raises ValueError when it is not JSON."""
        return json.loads(self.payload)

    def text(self) -> str:
        """The payload as UTF-8; raises UnicodeDecodeError."""
        return self.payload.decode()

    def progress(self, percent: float, message: str = "") -> None:
        """Shows how far the task is, 0 to 100, and one line of at most 256 characters.

        Cheap: of many in quick succession only the last is sent.
        """
        if self._report is not None:
            clean = " ".join(message[: 4 * _LONGEST_MESSAGE].split())[:_LONGEST_MESSAGE]
            self._report(min(100.0, max(0.0, float(percent))), wire_text(clean))

    @property
    def cancelled(self) -> bool:
        """Whether the task has been asked to end: cancelled, out of time, or its worker stops.

        Its grace (10 s unless the task says otherwise) has begun by then; the process is killed at its end.
        """
        return self._cancellation is not None and self._cancellation.is_set

    def sleep(self, duration_s: float) -> bool:
        """Sleeps `duration_s` seconds, or until the task is asked to end; whether that is so."""
        if self._cancellation is None:
            self._cancellation = Cancellation()
        return self._cancellation.wait(duration_s)
