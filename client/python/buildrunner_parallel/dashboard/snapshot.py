"""The board of one moment, for those who do not stay: everything is asked for, one after the other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .desk import Desk
from .fold import Board
from .reading import read_change

if TYPE_CHECKING:
    from buildrunner_parallel.client import Client


class Observer:
    """Follows the feed without a loop: `refresh` brings its board up to date."""

    def __init__(self, client: Client) -> None:
        self.board = Board()
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
        self._desk.look_at_all(self.board)
        return self.board
