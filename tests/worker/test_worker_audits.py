"""What of a task is looked at, and when its patch is worth making."""

from __future__ import annotations

import pytest

from buildrunner_parallel.v1 import types_pb2
from buildrunner_parallel.worker.audits import wants_patch

DONE = types_pb2.OUTCOME_SUCCEEDED


@pytest.mark.parametrize(
    ("declared", "changed", "wanted"),
    [
        ("src/app.py", ("src/app.py",), False),
        ("src/", ("src/app.py", "src/a/b"), False),
        ("./src//a/../", ("src/app.py",), False),
        (".", ("anything",), False),
        ("src", ("src.py",), True),
        ("src/app.py", ("src/app.py", "README"), True),
        ("src/*.py", ("src/app.py",), True),
        ("res:src", ("src",), True),
    ],
)
def test_a_success_that_changed_plainly_what_it_declared_needs_no_patch(
    declared: str, changed: tuple[str, ...], wanted: bool
) -> None:
    spec = types_pb2.TaskSpec(files=[types_pb2.PathRequest(path=declared)])
    assert wants_patch(spec, DONE, changed) is wanted


def test_a_failure_always_needs_one() -> None:
    spec = types_pb2.TaskSpec(files=[types_pb2.PathRequest(path="src/")])
    assert wants_patch(spec, types_pb2.OUTCOME_FAILED, ("src/app.py",))


def test_wildcards_that_are_meant_as_they_are_are_plain() -> None:
    request = types_pb2.PathRequest(path="app/[id]/page.tsx", kind=types_pb2.LOCK_KIND_FILE)
    spec = types_pb2.TaskSpec(files=[request])
    assert not wants_patch(spec, DONE, ("app/[id]/page.tsx",))
