"""One batch: commands applied, tasks placed, changes collected, and afterwards everything released.

Synchronous and without a clock, so that the simulator drives this very code in virtual time. What
happens between `run_batch` and `Batch.release` (the commit) is the caller's part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from buildrunner_coordinator.domain.changes import Changes
from buildrunner_coordinator.domain.model import Time
from buildrunner_coordinator.domain.refusals import Refusal
from buildrunner_coordinator.domain.replies import Event, Send
from buildrunner_coordinator.engine.ports import CorePort, EventSink, SendSink

_CHANGE_LISTS = tuple(one.name for one in fields(Changes) if one.name not in ("revision", "meta"))


class RequestInfo(NamedTuple):
    """Makes one command safe to repeat: the same id and digest are answered as the first time."""

    client_id: str
    request_id: str
    digest: bytes
    encode: Callable[[object], bytes]
    """The command's reply as it is kept."""
    decode: Callable[[bytes], object]
    """The kept reply as it is handed to the caller of a repetition."""


Done = Callable[[list[object], int], None]
"""Called with the replies (refusals among them) and the revision, once the batch is durable."""


@dataclass(slots=True)
class Item:
    """What one caller asks in one go. With a `request` it has exactly one command."""

    commands: Sequence[object]
    done: Done | None = None
    request: RequestInfo | None = None
    failed: Callable[[BaseException], None] | None = None
    """Called instead of `done` when nothing will ever be known."""


@dataclass(slots=True)
class Batch:
    """A batch that has been applied and may not be told to anyone before its changes are durable."""

    items: Sequence[Item]
    replies: list[list[object]]
    now: Time
    changes: Changes = field(default_factory=Changes)
    events: list[Event] = field(default_factory=list)
    sends: list[tuple[str, Send]] = field(default_factory=list)
    revision: int = 0

    @property
    def has_changes(self) -> bool:
        """False: there is nothing to commit."""
        changes = self.changes
        return changes.meta is not None or any(getattr(changes, name) for name in _CHANGE_LISTS)

    def release(self, outboxes: SendSink, feed: EventSink) -> None:
        """Tells everyone. Watchers that a reply attaches come after this batch's events."""
        if self.events or self.has_changes:
            feed.publish(self.revision, self.events)
        for item, replies in zip(self.items, self.replies, strict=True):
            if item.done is not None:
                item.done(replies, self.revision)
        if self.sends:
            outboxes.deliver(self.sends)


def run_batch(
    core: CorePort, items: Sequence[Item], now: Time, stalled_us: int = 0, wants_events: bool = True
) -> Batch:
    """Applies `items` in order and places tasks once. `stalled_us`: how long nothing could be heard."""
    if stalled_us:
        core.extend_leases(stalled_us)
    core.tick(now)
    replies: list[list[object]] = []
    repeats = _Repeats(core, now)
    for item in items:
        if item.request is None:
            replies.append([core.apply(command, now) for command in item.commands])
        else:
            replies.append([repeats.apply(item.commands[0], item.request)])
    core.place(now)
    for answers in replies:
        for index, answer in enumerate(answers):
            if callable(answer):
                answers[index] = answer()
    repeats.finish(replies)
    changes = core.collect()
    events = core.take_events() if wants_events else []
    return Batch(items, replies, now, changes, events, core.take_sends(), core.revision)


class _Later:
    """Stands for the reply to a request that an earlier item of the same batch has made."""

    __slots__ = ("request",)

    def __init__(self, request: RequestInfo) -> None:
        self.request = request


class _Repeats:
    """The request ids of one batch."""

    def __init__(self, core: CorePort, now: Time) -> None:
        self._core = core
        self._now = now
        self._first: dict[tuple[str, str], RequestInfo] = {}
        self._refusals: dict[tuple[str, str], Refusal] = {}

    def apply(self, command: object, request: RequestInfo) -> object:
        key = (request.client_id, request.request_id)
        if key in self._first:
            return _Later(request)
        try:
            kept = self._core.requests.lookup(request.client_id, request.request_id, request.digest)
        except Refusal as refusal:
            return refusal
        if kept is not None:
            return request.decode(kept)
        self._first[key] = request
        return _Fresh(self._core.apply(command, self._now), request)

    def finish(self, replies: list[list[object]]) -> None:
        """Keeps the new answers, in order, and answers what repeated them."""
        if not self._first:
            return
        for answers in replies:
            answer = answers[0] if answers else None
            if isinstance(answer, _Fresh):
                answers[0] = self._keep(answer)
            elif isinstance(answer, _Later):
                answers[0] = self._answer_again(answer.request)

    def _keep(self, fresh: _Fresh) -> object:
        request = fresh.request
        reply = fresh.reply() if callable(fresh.reply) else fresh.reply
        if isinstance(reply, Refusal):
            self._refusals[request.client_id, request.request_id] = reply
        else:
            encoded = request.encode(reply)
            self._core.requests.remember(
                request.client_id, request.request_id, request.digest, encoded, self._now
            )
        return reply

    def _answer_again(self, request: RequestInfo) -> object:
        refusal = self._refusals.get((request.client_id, request.request_id))
        if refusal is not None:
            return refusal
        try:
            kept = self._core.requests.lookup(request.client_id, request.request_id, request.digest)
        except Refusal as reused:
            return reused
        assert kept is not None, "the first of two equal requests was neither refused nor kept"
        return request.decode(kept)


class _Fresh:
    """A reply that is to be kept under its request id."""

    __slots__ = ("reply", "request")

    def __init__(self, reply: object, request: RequestInfo) -> None:
        self.reply = reply
        self.request = request
