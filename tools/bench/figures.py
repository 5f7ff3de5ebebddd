"""Figures beside their targets: how they are compared, printed and written. Measures nothing."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tools.bench.plain import loop_millions

WIDTH = 100
HEAD = f"{'what':42} {'figure':>9} {'unit':6} {'target':>7} {'stretch':>7} {'% of target':>11}  {'loop':>5}"


class RowError(Exception):
    """A row cannot be measured, or what it counted is wrong. The text says which."""


@dataclass(frozen=True)
class Figure:
    """One line. Without a target it stands there for comparison; `lower` tells that less is better."""

    what: str
    value: float
    unit: str
    target: float | None = None
    stretch: float | None = None
    lower: bool = False
    note: str = ""
    loop: float = field(default_factory=loop_millions)
    """Millions of rounds a second of a plain Python loop at that time: how fast the machine was."""

    @property
    def percent(self) -> float | None:
        """Of the target; 100 and above is reached, whichever way is better."""
        if self.target is None:
            return None
        ratio = self.target / self.value if self.lower else self.value / self.target
        return 100 * ratio

    def line(self) -> str:
        percent = "" if self.percent is None else f"{self.percent:.0f} %"
        text = (
            f"{self.what:42} {short(self.value):>9} {self.unit:6} {short(self.target):>7} "
            f"{short(self.stretch):>7} {percent:>11}  {self.loop:5.1f}"
        )
        return text + (f"\n    {self.note[: WIDTH - 4]}" if self.note else "")


def short(value: float | None) -> str:
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def share(values: Sequence[float], part: float) -> float:
    """The value that `part` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


class Report:
    """Runs rows one after the other and prints their figures as they come."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []
        self.failures: dict[str, str] = {}
        self._started = time.strftime("%Y-%m-%d %H:%M")
        print(f"{self._started}, {os.cpu_count()} processors, Python {platform.python_version()}; medians.")
        print("loop: millions of rounds of an empty Python loop a second, right after the row.\n")
        print(HEAD, flush=True)

    def run(self, name: str, measure: Callable[[], list[Figure]]) -> None:
        try:
            figures = measure()
        except RowError as error:
            self.failures[name] = str(error)
            print(f"{name}: FAILED: {error}", flush=True)
            return
        for figure in figures:
            print(figure.line(), flush=True)
        self.figures += figures

    def finish(self, path: Path | None) -> None:
        """The summary, and the file."""
        aimed = [figure for figure in self.figures if figure.percent is not None]
        missed = [figure for figure in aimed if (figure.percent or 0) < 100]
        print(f"\n{len(aimed) - len(missed)} of {len(aimed)} targets reached", end="")
        print(f"; {len(self.failures)} rows FAILED" if self.failures else "", end=".\n", flush=True)
        if path is not None:
            path.write_text(json.dumps(self._document(), indent=1) + "\n", encoding="utf-8")

    def _document(self) -> dict[str, object]:
        return {
            "started": self._started,
            "processors": os.cpu_count(),
            "python": sys.version.split()[0],
            "figures": [asdict(figure) | {"percent_of_target": figure.percent} for figure in self.figures],
            "failures": self.failures,
        }
