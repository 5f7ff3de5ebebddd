"""How far a long submission is, on terminals: a bar where the end is known, a count where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .invocation import Invocation
from .line_source import LineSource


@contextmanager
def submission_bar(run: Invocation, source: LineSource) -> Iterator[Callable[[int], None]]:
    """Gives what to call with the number of tasks submitted so far."""
    total = source.count
    if source.is_terminal:
        run.out.hint("Type a line and press Enter; Ctrl+D ends them")
    if not run.out.is_terminal or run.settings.quiet or source.is_terminal:
        yield lambda count: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("submitted"), TextColumn("{task.fields[told]}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=run.out.console, transient=True) as bar:
        line = bar.add_task("", total=total, told="")

        def show(count: int) -> None:
            bar.update(line, completed=count, told=f"{count:,}" + (f" of {total:,}" if total else ""))

        yield show
