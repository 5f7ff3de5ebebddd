"""The board of one moment, for those who do not stay: everything is asked for, one after the other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .desk import Desk
from .fold import Board
from .lists import Listing
from .reading import read_change

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client


class Observer:
    """Follows the feed without a loop: `refresh` brings its board up to date.

    A session that is named is on it however long ago it ended, with its failures and the list of its tasks.
    """

    def __init__(self, client: Client, session_id: str = "") -> None:
        self.board = Board()
        self._client = client
        self._session_id = session_id
        self._watcher = client.watch(read=read_change)
        self._desk = Desk(client, lambda: None, threads=False)

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the feed."""
        self._watcher.close()
        self._desk.close()

    def refresh(self, wait_s: float = 0.0) -> Board:
        """Takes in what there is, at first a whole snapshot, and for `wait_s` seconds what comes.

        Raises the errors of errors.py: UnreachableError when the coordinator stays away.
        """
        deadline_s = time.monotonic() + wait_s
        while not self._watcher.ended:
            left_s = deadline_s - time.monotonic()
            event = self._watcher.poll(None if not self.board.loaded else max(0.0, left_s))
            if event is not None:
                self.board.fold(event, time.monotonic())
            elif self.board.loaded and left_s <= 0:
                break
        time.sleep(max(0.0, deadline_s - time.monotonic()))
        if self._session_id:
            self._see_to(self._session_id)
        self._desk.look_at_all(self.board, self._session_id)
        return self.board

    def _see_to(self, session_id: str) -> None:
        if session_id not in self.board.sessions:
            self.board.take_sessions([self._client.get_session(session_id)], time.monotonic())
        if self._desk.listing is None:
            # Of sessions that are over the feed's snapshot has no failures.
            self.board.unread.add(session_id)

    @property
    def listing(self) -> Listing | None:
        """The tasks of the session that was named."""
        return self._desk.listing
