"""What follows from a worker's death: its leftovers are killed, then the coordinator is told.

Two kinds of chores, since the calls may have to wait for a coordinator and the cleaning must not.
"""

from __future__ import annotations

import time

from .chores import Chores
from .clean_up import clean_up
from .link import CoordinatorLink
from .registry import Entry


class Deaths:
    """Sees to deaths one after the other; used by the loop alone."""

    def __init__(self, link: CoordinatorLink, calls: Chores, cleaning: Chores) -> None:
        self._link = link
        self._calls = calls
        self._cleaning = cleaning

    def see_to(self, entry: Entry, reason: str, lived_s: float | None = None) -> None:
        """`lived_s` is for how long it ran, None when nobody knows; then only a known id is reported."""
        death = _Death(self._link, entry, reason, lived_s)

        def clean(worker_id: str | None) -> None:
            self._cleaning.add(lambda: death.clean(worker_id or ""), report)

        def report(_: None) -> None:
            if death.worker_id:
                self._calls.add(death.report, lambda _: None)

        if entry.worker_id:
            clean(entry.worker_id)
        else:
            # Whose tasks they are has to be asked first.
            self._calls.add(death.find, clean)


class _Death:
    """One death; its methods run on chore threads, one after the other."""

    def __init__(self, link: CoordinatorLink, entry: Entry, reason: str, lived_s: float | None) -> None:
        self._link = link
        self._entry = entry
        self._reason = reason
        self._born_at_s = None if lived_s is None else time.monotonic() - lived_s
        self._gone = False
        self.worker_id = ""

    def find(self) -> str:
        """The id under which the coordinator knows the process; empty when it does not."""
        if self._born_at_s is None:
            return ""
        return self._link.find_worker(self._entry.pid, time.monotonic() - self._born_at_s)

    def clean(self, worker_id: str) -> None:
        self.worker_id = worker_id
        self._gone = clean_up(self._entry.mark, worker_id)

    def report(self) -> None:
        if self._link.report_death(self.worker_id, self._entry.pid, self._gone, self._reason):
            return
        # It may have registered anew since it was asked for, under another id.
        other_id = self.find()
        if other_id and other_id != self.worker_id:
            self.clean(other_id)
            self._link.report_death(other_id, self._entry.pid, self._gone, self._reason)
