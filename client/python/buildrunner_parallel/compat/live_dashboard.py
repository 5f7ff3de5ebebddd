"""The dashboard of the guide's classes, drawn with rich: parts, whole, once or live, and as data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ..errors import UnreachableError
from . import picture, tables
from .config import DashboardConfig
from .picture import Picture

if TYPE_CHECKING:
    from .session_manager import SessionManager
    from .worker_coordinator import WorkerCoordinator

_QUICKEST_S = 0.05


class LiveDashboard:
    """With a `worker_coordinator` its workers and tasks, without one those of everybody.

    Methods raise UnreachableError when no coordinator can be had; the live view says so and waits.
    """

    def __init__(
        self,
        session_manager: SessionManager,
        worker_coordinator: WorkerCoordinator | None = None,
        config: DashboardConfig | None = None,
    ) -> None:
        self.session_manager = session_manager
        self.worker_coordinator = worker_coordinator
        self.config = config or DashboardConfig()
        self.console = Console()

    # ----------------------------------------------------------------- drawings

    def render_sessions_table(self) -> Table:
        return tables.sessions_table(self._picture(), self.config)

    def render_workers_table(self) -> Table:
        return tables.workers_table(self._picture(), self.config)

    def render_statistics_panel(self) -> Panel:
        return tables.statistics_panel(self._picture())

    def render_tasks_panel(self) -> Panel:
        return tables.tasks_panel(self._picture())

    def render_layout(self) -> Layout:
        """All that the configuration wants shown, as it fills a terminal."""
        return tables.layout(self._picture(), self.config)

    def render_snapshot(self) -> None:
        """Prints the same once, as long as it is."""
        self.console.print(tables.snapshot(self._picture(), self.config))

    def print_summary(self) -> None:
        """Prints the numbers alone."""
        self.console.print("Parallel Orchestration Summary\n", highlight=False)
        for line in tables.summary_lines(self._picture()):
            self.console.print(line, highlight=False)

    def start_live(self, duration: float | None = None) -> None:
        """Shows the present again and again for `duration` seconds, None until Ctrl+C; returns then. Where it
        is no terminal it shows how it is at the end."""
        end_s = None if duration is None else time.monotonic() + duration
        try:
            if self.console.is_terminal:
                with Live(self._frame(), console=self.console, auto_refresh=False) as live:
                    for _ in self._ticks(end_s):
                        live.update(self._frame(), refresh=True)
                return
            for _ in self._ticks(end_s):
                pass
        except KeyboardInterrupt:
            if self.console.is_terminal:
                return
        self.console.print(self._frame())

    def _ticks(self, end_s: float | None) -> Iterator[None]:
        pause_s = max(_QUICKEST_S, self.config.refresh_rate)
        while (left_s := pause_s if end_s is None else end_s - time.monotonic()) > 0:
            time.sleep(min(pause_s, left_s))
            yield

    def _frame(self) -> RenderableType:
        try:
            return tables.snapshot(self._picture(), self.config)
        except UnreachableError as error:
            return Group(Text("The coordinator is away; waiting for it", style="yellow"), Text(str(error)))

    # ----------------------------------------------------------------- data

    def get_summary(self) -> dict[str, Any]:
        return picture.summary(self._picture())

    def get_dashboard_data(self) -> dict[str, Any]:
        """Everything as plain data; `timeline` is what has happened to the newest sessions, oldest first."""
        now = self._picture()
        sessions = self.session_manager._records()
        newest = sessions[: self.config.max_sessions_display]
        return {
            "sessions": picture.session_rows(sessions),
            "workers": picture.worker_rows(now),
            "stats": picture.summary(now),
            "timeline": picture.timeline(self.session_manager, newest, now.at),
        }

    def _picture(self) -> Picture:
        return picture.take(self.session_manager, self.worker_coordinator)
