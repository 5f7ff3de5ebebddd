"""What a running session remembers between submitting and handing out results, for both clients. No I/O, no
waiting.

Under threads everything but `deliver` is called with the session's lock held.
"""

from __future__ import annotations

import itertools
import uuid
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Protocol

from .calls import Scope
from .errors import BuildRunnerError, WrongStateError
from .map_window import MapWindow
from .records import Session
from .specs import TaskSpec
from .task_results import TaskResult
from .tracking import Awaited, Tracking


class Promise(Protocol):
    """A future of either kind, as this side sees it."""

    @property
    def task_id(self) -> str: ...

    def deliver(self, result: TaskResult) -> None: ...

    def fail(self, error: BuildRunnerError) -> None: ...


class SessionBook:
    """Tasks under way, and results that `as_completed` has not taken yet; `failure` is why nothing more
    comes."""

    def __init__(self, scope: Scope, session: Session) -> None:
        self.tracking = Tracking(scope, session)
        self.failure: BuildRunnerError | None = None
        self._prefix = uuid.uuid4().hex[:6]
        self._numbers = itertools.count(1)
        self._finished: deque[TaskResult] = deque()
        self._untaken = 0

    @property
    def session(self) -> Session:
        """The newest state that is known."""
        return self.tracking.session

    @property
    def is_idle(self) -> bool:
        """Whether every task that was submitted is over and its result delivered."""
        return not self.tracking.awaited

    @property
    def has_finished(self) -> bool:
        """Whether `as_completed` can go on: there is a result, or there will be none."""
        return bool(self._finished) or self._untaken <= 0

    def id_of(self, spec: TaskSpec) -> str:
        """The task's id; one without gets the next of this block's own."""
        return spec.task_id or f"{self._prefix}-{next(self._numbers)}"

    def expect(self, promises: Sequence[Promise]) -> None:
        """These will be submitted; their results are for `as_completed` too."""
        self._untaken += len(promises)
        for promise in promises:
            self.tracking.expect(promise.task_id, Awaited(partial(self._finish, promise), promise.fail))

    def expect_items(
        self, window: MapWindow, task_ids: Sequence[str], items: Sequence[object], live: dict[str, None]
    ) -> None:
        """These will be submitted for a map; `live` has the ids of those whose results are not there yet, in
        the order of the items."""
        live.update(dict.fromkeys(task_ids))
        for task_id, item in zip(task_ids, items, strict=True):
            deliver = partial(_put, window, window.admit(), live)
            self.tracking.expect(task_id, Awaited(deliver, _ignore, item))

    def refused(self, task_ids: Iterable[str], *, untaken: int) -> None:
        """These were not submitted after all; `untaken` of them would have been for `as_completed`."""
        self.tracking.forget(task_ids)
        self._untaken -= untaken

    def next_finished(self) -> TaskResult | None:
        """A result that nobody has taken yet."""
        if not self._finished:
            return None
        self._untaken -= 1
        return self._finished.popleft()

    def deliver(self, ends: Iterable[tuple[Awaited, TaskResult]]) -> None:
        """Tells whoever waits; futures run their callbacks here."""
        for awaited, result in ends:
            awaited.deliver(result)

    def give_up(self, error: BuildRunnerError) -> list[Awaited]:
        """Nothing more will be heard, because of `error`; those who have to be told."""
        self.failure = self.failure or error
        return self.tracking.give_up()

    def _finish(self, promise: Promise, result: TaskResult) -> None:
        self._finished.append(result)
        promise.deliver(result)


def _put(window: MapWindow, place: int, live: dict[str, None], result: TaskResult) -> None:
    live.pop(result.task_id, None)
    window.put(place, result)


def _ignore(_error: BuildRunnerError) -> None:
    """A map looks at the session's failure by itself."""


class OpenedSession:
    """What a session block of either kind can say of its session once it was entered."""

    _opened: SessionBook | None = None

    @property
    def _book(self) -> SessionBook:
        if self._opened is None:
            raise WrongStateError(
                "the session begins with its block: `with client.session(...) as session:`, or `async with`",
                reason="NOT_ENTERED",
            )
        return self._opened

    @property
    def session_id(self) -> str:
        return self._book.session.session_id

    @property
    def record(self) -> Session:
        """The session as it was last heard of; after the block as it ended."""
        return self._book.session
