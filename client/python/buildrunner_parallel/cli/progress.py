"""The progress bar of `wait` and `start --wait`: drawn on terminals only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from buildrunner_parallel.text import one_line

from .invocation import Invocation

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import ProgressColumn

    from buildrunner_parallel.dashboard.pace import Pace
    from buildrunner_parallel.records import Session

WIDE_COLUMNS = 60
NAME_LENGTH = 30


@contextmanager
def progress(run: Invocation, session: Session) -> Iterator[Callable[[Session], None] | None]:
    """Gives what to call with each new state of the session; None where no bar is wanted."""
    if not run.out.is_terminal or run.settings.quiet or session.is_over:
        yield None
        return
    from rich.progress import Progress

    from buildrunner_parallel.dashboard.pace import Pace

    pace = Pace(session, time.monotonic())
    bar = Progress(*_columns(run.out.console.width, pace, session), console=run.out.console, transient=True)
    with bar:
        line = bar.add_task("", total=_total(session), completed=session.done_tasks)

        def update(present: Session) -> None:
            pace.see(present, time.monotonic())
            bar.update(line, total=_total(present), completed=present.done_tasks)

        yield update


def _total(session: Session) -> int | None:
    """None, which makes the bar swing, while there is nothing to measure by."""
    return session.total_tasks or None


def _columns(width: int, pace: Pace, session: Session) -> list[ProgressColumn]:
    from rich.progress import BarColumn, ProgressColumn, Task, TimeElapsedColumn
    from rich.text import Text

    class Told(ProgressColumn):
        """Text that is asked for at each drawing."""

        def __init__(self, tell: Callable[[], str]) -> None:
            super().__init__()
            self._tell = tell

        def render(self, task: Task) -> RenderableType:
            return Text(self._tell(), no_wrap=True, overflow="ellipsis")

    amount = Told(pace.amount)
    phrase = Told(lambda: pace.phrase(time.monotonic()))
    if width < WIDE_COLUMNS:
        return [BarColumn(bar_width=max(6, width - 32)), amount, phrase]
    name = Told(lambda: one_line(session.name, NAME_LENGTH))
    return [name, BarColumn(bar_width=min(40, width // 4)), amount, TimeElapsedColumn(), phrase]
