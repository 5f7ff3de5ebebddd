"""Sessions, tasks and events for the dashboard's tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from buildrunner_parallel.records import Session, SessionStatus, TaskCounts, TaskStatus, TaskSummary
from buildrunner_parallel.watch import WatchEvent

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def session(**changes):
    changes.setdefault("status", SessionStatus.RUNNING)
    changes.setdefault("counts", TaskCounts(running=1, queued=2, succeeded=3))
    return Session("a3f2e1d9", changes.pop("name", "Build"), started_at=at(-60), **changes)


def task(name: str, status: str = "queued", **changes) -> TaskSummary:
    return TaskSummary("a3f2e1d9", name, TaskStatus(status), **changes)


def snapshot(*changes, revision=10, reset=True):
    return WatchEvent(revision=revision, snapshot=True, reset=reset, complete=revision > 0, changes=changes)


def change(*changes, revision=11):
    return WatchEvent(revision=revision, changes=changes)


@pytest.fixture
def make():
    """Makers of records and events, and the tests' present."""
    return SimpleNamespace(now=NOW, at=at, session=session, task=task, snapshot=snapshot, change=change)
