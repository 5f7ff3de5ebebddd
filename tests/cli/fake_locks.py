"""The part of the coordinator made of lists that is about path locks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from buildrunner_parallel.records import Grant, LockHolder, LockKind, LockMode, PathLock

GRANT_ID = "ab12cd34ef56ab78"
FENCE = 101


def lock_of(path, mode="exclusive", session_id="a3f2e1d9", grant_id=GRANT_ID):
    """A lock held by hand; a path that ends in a slash is a directory."""
    kind = LockKind.TREE if path.endswith("/") else LockKind.FILE
    holder = LockHolder(session_id, "Build v3.1", host="box", grant_id=grant_id)
    return PathLock(
        f"{grant_id}-{path.strip('/')}", "local", path.rstrip("/"), LockMode(mode), kind, holder, FENCE,
        grant_id=grant_id,
    )  # fmt: skip


class FakeBlock:
    """What `lock` gives: enters unless `lock` fails, and ends with what `lock_end` fails with."""

    def __init__(self, client, session_id, on_lost):
        self._client = client
        self._on_lost = on_lost
        self.grant = SimpleNamespace(grant_id=GRANT_ID, fence=FENCE, session_id=session_id)

    def __enter__(self):
        return self.grant

    def __exit__(self, *_):
        self._client.calls.append(("released", {}))
        if "lock_end" in self._client.failing:
            raise self._client.failing["lock_end"]


class FakeLocks:
    """Grants everything; what is held and who waits is in `listing`, what was waited for in `report`."""

    listing: Any
    report: Any
    _call: Any

    def acquire_locks(self, session, paths, *, mode="exclusive", wait=None, lease=None):
        self._call("acquire_locks", session, list(paths), mode=mode, wait=wait, lease=lease)
        locks = tuple(lock_of(path, mode, session) for path in paths)
        return Grant(GRANT_ID, FENCE, locks, session, int((lease or 0) * 1000))

    def lock(self, session, paths, *, mode="exclusive", wait=None, lease="30s", on_lost=None):
        self._call("lock", session, list(paths), mode=mode, wait=wait, lease=lease)
        return FakeBlock(self, session, on_lost)

    def release_locks(self, session, paths=(), *, grant_id="", fence=0):
        self._call("release_locks", session, tuple(paths), grant_id=grant_id, fence=fence)
        wanted = {path.rstrip("/") for path in paths}
        return [
            one
            for one in self.listing.locks
            if not one.holder.task_id
            and (one.grant_id == grant_id or one.holder.session_id == session)
            and (not wanted or one.path in wanted)
        ]

    def list_locks(self, path="", *, session=""):
        self._call("list_locks", path, session=session)
        locks, waiters = self.listing.locks, self.listing.waiters
        if session:
            locks = tuple(one for one in locks if one.holder.session_id == session)
            waiters = tuple(one for one in waiters if one.waiter.session_id == session)
        return type(self.listing)(locks, waiters)

    def force_release(self, lock_id, reason):
        self._call("force_release", lock_id, reason)
        return next(one for one in self.listing.locks if one.lock_id == lock_id)

    def lock_statistics(self, *, session="", since=None, limit=20):
        self._call("lock_statistics", session=session, since=since, limit=limit)
        return self.report
