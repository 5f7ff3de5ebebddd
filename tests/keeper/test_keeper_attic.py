"""When the keeper looks for worktrees that nobody uses: now and then, one look at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from buildrunner_parallel.keeper.attic import Attic


class RecordingChores:
    """Keeps what is to be done until the test does it."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []

    def add(self, work: Callable[[], Any], on_done: Callable[[Any], None]) -> None:
        self.waiting.append((work, on_done))

    def do(self) -> None:
        work, on_done = self.waiting.pop()
        on_done(work())


def test_one_look_at_a_time_with_a_pause_between(tmp_path: Path) -> None:
    (tmp_path / "worktrees/s-1").mkdir(parents=True)
    asked: list[str] = []
    chores = RecordingChores()

    def is_gone(session_id: str) -> bool:
        asked.append(session_id)
        return False

    attic = Attic(tmp_path, is_gone, chores)  # type: ignore[arg-type]
    attic.step(100.0)
    attic.step(101.0)
    assert len(chores.waiting) == 1
    chores.do()
    assert asked == ["s-1"]
    attic.step(104.0)
    assert not chores.waiting
    attic.step(106.0)
    chores.do()
    assert asked == ["s-1"], "the coordinator is asked more seldom"
    attic.step(161.0)
    chores.do()
    assert asked == ["s-1", "s-1"]


def test_without_worktrees_nobody_is_asked(tmp_path: Path) -> None:
    chores = RecordingChores()
    Attic(tmp_path, lambda _: True, chores).step(0.0)  # type: ignore[arg-type]
    assert not chores.waiting
