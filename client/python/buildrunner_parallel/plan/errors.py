"""What is wrong with a plan: problems with their places, and the one error that carries them.

PlanError(ValueError) holds one or more problems, each a line: where, what was expected, what was found.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from buildrunner_parallel.text import sanitize, shorten

Path = tuple[str | int, ...]
MAX_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: its path in the document, what is wrong, and its line (1-based) if already known."""

    path: Path
    message: str
    line: int | None = None


class PlanError(ValueError):
    """The plan cannot be used. `lines` has one line a problem, at most ten, then how many more there are."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        assert self.problems, "a PlanError without a problem"
        super().__init__("\n".join(self.lines))

    @property
    def lines(self) -> list[str]:
        """Each problem as `file:line: path: what`, fit for a terminal."""
        shown = [_line(self.source, problem) for problem in self.problems[:MAX_SHOWN]]
        hidden = len(self.problems) - len(shown)
        return shown + ([f"{sanitize(self.source)}: and {hidden} more problems"] if hidden else [])


def _line(source: str, problem: Problem) -> str:
    where = sanitize(source) + (f":{problem.line}" if problem.line is not None else "")
    path = format_path(problem.path)
    return f"{where}: {path}: {problem.message}" if path else f"{where}: {problem.message}"


def format_path(path: Path) -> str:
    """`("tasks", 3, "needs", 0)` as `tasks[3].needs[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = sanitize(part, 60)
            text += f".{name}" if text else name
    return text


def describe(value: object) -> str:
    """What was found, in a few words: `the number 3`, `the text "abc"`, `a list of 2`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"the number {shorten(str(value), 40)}" if abs(value) < 1e300 else "an enormous number"
    if isinstance(value, str):
        return f'the text "{sanitize(value, 60)}"'
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "a mapping"
    return f"a {type(value).__name__}"
