"""How a dashboard looks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class DashboardConfig:
    """`refresh_rate` is the pause between two frames in seconds. `compact_mode` leaves bars and tasks out."""

    refresh_rate: float = 0.5
    show_workers: bool = True
    show_sessions: bool = True
    show_tasks: bool = True
    compact_mode: bool = False
    max_sessions_display: int = 10
    max_workers_display: int = 20
