"""What is given back by name costs as much as it has paths, however many of them one grant holds."""

from __future__ import annotations

from typing import Any

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.locks import LockTable
from buildrunner_coordinator.domain.model import LockKind, LockMode, PathRequest

MANY = 60


class _Counted(tuple):
    """The paths of a grant; tells how often they were gone through."""

    walks = 0

    def __iter__(self) -> Any:
        type(self).walks += 1
        return super().__iter__()


def _files(*numbers: int) -> tuple[PathRequest, ...]:
    return tuple(PathRequest(f"src/f{one}.py", LockMode.EXCLUSIVE, LockKind.FILE) for one in numbers)


@pytest.fixture
def entered(monkeypatch) -> list[int]:
    """How many paths were put into the lock table, each time."""
    counts: list[int] = []
    add = LockTable.add

    def counting(table: LockTable, owner: str, requests: tuple[PathRequest, ...], *more: Any) -> None:
        counts.append(len(requests))
        add(table, owner, requests, *more)

    monkeypatch.setattr(LockTable, "add", counting)
    return counts


@pytest.mark.parametrize("lease_s", [0, 60])
def test_named_paths_of_one_grant_are_given_back_in_one_go(stage, entered, lease_s):
    alpha = stage.session()
    got = stage.acquire(alpha, *(one.path for one in _files(*range(MANY))), lease_s=lease_s)
    grant = stage.core.grants[got.grant_id]
    grant.files, _Counted.walks = _Counted(grant.files), 0
    entered.clear()
    who = {"grant_id": got.grant_id, "fence": got.fence} if lease_s else {}
    freed = stage.do(c.ReleaseLocks("" if lease_s else alpha, _files(*range(1, MANY)), **who))
    assert [one.path for one in freed] == [one.path for one in _files(*range(1, MANY))]
    assert stage.holders() == {"src/f0.py": alpha}
    assert entered == []
    assert _Counted.walks <= 10


def test_paths_of_several_grants_and_kinds_are_given_back_in_one_go(stage):
    alpha, beta = stage.session(), stage.session()
    stage.acquire(alpha, "src/f0.py", "src/f1.py")
    stage.acquire(alpha, "src/f2.py", "src/f3.py", "docs/")
    tree = PathRequest("docs", LockMode.SHARED, LockKind.TREE)
    freed = stage.do(c.ReleaseLocks(alpha, (*_files(3, 0), tree)))
    assert [(one.path, one.kind, one.mode) for one in freed] == [
        ("src/f3.py", "file", "exclusive"), ("src/f0.py", "file", "exclusive"), ("docs", "tree", "exclusive"),
    ]  # fmt: skip
    assert stage.holders() == {"src/f1.py": alpha, "src/f2.py": alpha}
    stage.acquire(beta, "src/f0.py", "src/f3.py", "docs/x.md")


def test_many_shared_paths_become_exclusive_in_one_go(stage, entered):
    alpha, beta = stage.session(), stage.session()
    got = stage.acquire(alpha, *(f"{one.path}:shared" for one in _files(*range(MANY))))
    grant = stage.core.grants[got.grant_id]
    grant.files, _Counted.walks = _Counted(grant.files), 0
    entered.clear()
    stage.acquire(alpha, *(one.path for one in _files(*range(1, MANY))))
    assert entered == [MANY - 1]
    assert _Counted.walks <= 10
    stage.refused(beta, "src/f1.py:shared")
    stage.acquire(beta, "src/f0.py:shared")
