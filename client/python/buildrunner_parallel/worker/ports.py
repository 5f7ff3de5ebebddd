"""What the attempt book needs of those who carry its instructions out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from buildrunner_parallel.v1 import worker_service_pb2

from .attempt import Attempt


class Executor(Protocol):
    """What can be done with an attempt; everything is answered by events."""

    def reserve(self, attempt: Attempt) -> bool:
        """Room for one that is to be prepared first; False when there is none now."""

    def release(self, attempt: Attempt) -> None:
        """It is prepared, or will not be."""

    def start(self, attempt: Attempt) -> bool:
        """Hands it on; False when there is no room for it now."""

    def stop(self, attempt: Attempt, grace_ns: int, cause: str) -> None:
        """Ends it, or takes it back."""

    def take_back(self, attempt: Attempt) -> None:
        """Takes it back unless it has started."""

    def over(self, attempt: Attempt) -> None:
        """It was handed on and is over now."""

    def pause_output(self, attempt: Attempt, paused: bool) -> None:
        """Stops or goes on reading what it prints."""


class Preparer(Protocol):
    """What is done for some attempts before their start and after their end; answered by events."""

    def is_needed(self, attempt: Attempt) -> bool:
        """Whether it must be prepared."""

    def prepare(self, attempt: Attempt) -> None:
        """PREPARED comes."""

    def close(
        self, attempt: Attempt, report: worker_service_pb2.TaskReport, is_wanted: Callable[[], bool]
    ) -> None:
        """CLOSED comes with the report completed."""

    def abandon(self, attempt: Attempt) -> None:
        """Clears up after one that never ran, or that nobody wants to hear of."""
