"""An embedded worker whose process dies gets another one, though that should fail for a while."""

from __future__ import annotations

import queue
from typing import Any

from buildrunner_parallel.worker import embedded
from buildrunner_parallel.worker import embedded_messages as say
from buildrunner_parallel.worker.embedded import EmbeddedWorker


class _Link:
    """A process that says what it is given; told to leave, it does."""

    def __init__(self) -> None:
        self.said: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def messages(self):
        while (message := self.said.get()) is not None:
            yield message

    def leave(self, _reason, _within_s):
        self.said.put((say.LEFT, 0, ""))
        self.said.put(None)


class _Here:
    """The coordinator is always found at once."""

    def fill_in(self, options, *, start):
        return options


def test_a_process_that_cannot_be_made_is_tried_again_until_it_can(monkeypatch, caplog):
    first, second = _Link(), _Link()
    outcomes = [first, OSError(11, "Resource temporarily unavailable"), OSError(12, "Out of memory"), second]

    def launch(_options):
        outcome = outcomes.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    monkeypatch.setattr(embedded, "EmbeddedLink", launch)
    monkeypatch.setattr(embedded, "_FIRST_PAUSE_S", 0.001)
    worker = EmbeddedWorker(commands=True)
    monkeypatch.setattr(worker, "_where", _Here())
    first.said.put((say.SERVING, "first"))
    worker.start()
    second.said.put((say.SERVING, "second"))
    first.said.put(None)
    with worker._changed:
        assert worker._changed.wait_for(lambda: worker.worker_id == "second", 60)
    assert "cannot be started: [Errno 11]" in caplog.text
    assert "cannot be started: [Errno 12]" in caplog.text
    worker.stop()
    assert not worker.is_running
    assert not outcomes
