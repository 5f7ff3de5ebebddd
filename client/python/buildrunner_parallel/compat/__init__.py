"""The Python classes of the guide of BuildRunner 3.1, on top of a coordinator: docs/classes.md.

    from buildrunner_parallel.compat import install; install()
    from core.parallel import SessionManager, WorkerCoordinator

Nothing is kept in these objects: another process sees every change, and each attribute shows the present.
"""

from __future__ import annotations

from .config import DashboardConfig
from .live_dashboard import LiveDashboard
from .modules import install
from .orchestrator import Orchestrator
from .session import Session
from .session_manager import SessionManager
from .statuses import SessionStatus, WorkerStatus
from .worker import Worker
from .worker_coordinator import WorkerCoordinator

__all__ = [
    "DashboardConfig",
    "LiveDashboard",
    "Orchestrator",
    "Session",
    "SessionManager",
    "SessionStatus",
    "Worker",
    "WorkerCoordinator",
    "WorkerStatus",
    "install",
]
