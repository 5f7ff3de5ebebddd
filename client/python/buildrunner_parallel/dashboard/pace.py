"""How fast a session gets on and how long it will take. Pure: times come in as arguments, in seconds."""

from __future__ import annotations

from collections import deque

from buildrunner_parallel.durations import format_duration
from buildrunner_parallel.records import Session

WINDOW_S = 30.0
STALLED_AFTER_S = 5.0
SAMPLE_S = 0.25
"""States that come closer together are one sample, so that a quick session takes no more memory."""


class Pace:
    """Fed with a session's states as they come; its phrases may be asked for at any later time."""

    def __init__(self, session: Session, now_s: float) -> None:
        self._samples: deque[tuple[float, int]] = deque([(now_s, session.done_tasks)])
        self._changed_at_s = now_s
        self.session = session
        # What of it ran to its end, for the figures of the session alone; fed by whoever counts that.
        self.throughput = Throughput()

    def see(self, session: Session, now_s: float) -> None:
        """Takes in a new state. After a retry fewer may be done than before: then it begins anew."""
        if session.done_tasks < self.session.done_tasks:
            self._samples.clear()
        if session.counts != self.session.counts:
            self._changed_at_s = now_s
        self.session = session
        if len(self._samples) > 1 and now_s - self._samples[-2][0] < SAMPLE_S:
            self._samples.pop()
        self._samples.append((now_s, session.done_tasks))
        self._forget(now_s)

    def _forget(self, now_s: float) -> None:
        # The last one before the window stays: from there the window is counted.
        while len(self._samples) > 1 and self._samples[1][0] <= now_s - WINDOW_S:
            self._samples.popleft()

    def rate(self, now_s: float) -> float:
        """Tasks a second over the last half minute; it falls while nothing ends."""
        self._forget(now_s)
        began_s, done_before = self._samples[0]
        # At the beginning of a wait a task that ends at once says nothing yet.
        spent_s = max(now_s - began_s, 1.0)
        return (self.session.done_tasks - done_before) / spent_s

    def is_growing(self) -> bool:
        """Whether nobody has said how many tasks there will be."""
        return self.session.open and not self.session.declared_tasks

    def amount(self) -> str:
        """Such as `12/50`, and `12/50+` while more may come."""
        session = self.session
        return f"{session.done_tasks}/{session.total_tasks}" + ("+" if self.is_growing() else "")

    def phrase(self, now_s: float) -> str:
        """Such as `3.2/s, 12s to go`; what holds the session up where something does; may be empty."""
        session, counts = self.session, self.session.counts
        if session.cancelling:
            return "cancelling"
        if session.status.value == "paused":
            return "paused" + (f", {counts.running} still running" if counts.running else "")
        if not session.total_tasks:
            return "no tasks yet"
        at_work = counts.assigned + counts.running + counts.cancelling
        left = session.total_tasks - session.done_tasks
        if not at_work and now_s - self._changed_at_s >= STALLED_AFTER_S:
            if left:
                return "nothing runs"
            if session.open:
                return "not closed yet"
        return self._speed(now_s, left)

    def _speed(self, now_s: float, left: int) -> str:
        rate = self.rate(now_s)
        if rate <= 0:
            return ""
        told = f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min"
        if not left:
            return told
        least = "at least " if self.is_growing() else ""
        seconds = max(1, round(left / rate))
        return f"{told}, {least}{f'{seconds}s' if seconds < 60 else format_duration(seconds)} to go"


class Throughput:
    """How many tasks ended in each of the last seconds, over all sessions."""

    SECONDS = 120

    def __init__(self) -> None:
        self._ended: deque[tuple[int, int]] = deque(maxlen=self.SECONDS)

    def add(self, count: int, now_s: float) -> None:
        """Takes in that `count` more have ended; fewer after a retry, which counts as none."""
        if count <= 0:
            return
        second = int(now_s)
        if self._ended and self._ended[-1][0] == second:
            count += self._ended.pop()[1]
        self._ended.append((second, count))

    def rate(self, now_s: float, window_s: float = 10.0) -> float:
        """Tasks a second over the last `window_s` seconds."""
        return sum(count for second, count in self._ended if second >= now_s - window_s) / window_s

    def series(self, now_s: float, width: int) -> list[float]:
        """Of the last `width` whole seconds, the latest last."""
        known = dict(self._ended)
        last = int(now_s) - 1
        return [float(known.get(second, 0)) for second in range(last - width + 1, last + 1)]
