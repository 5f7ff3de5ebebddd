"""What of a task's doings is looked at, and what the worker says of it. Pure functions over the messages."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from buildrunner_parallel.v1 import types_pb2
from buildrunner_parallel.v1 import worker_service_pb2 as pb

from .pictures import Difference
from .reports import one_line

_RESOURCE = "res:"
_WILD = frozenset("*?[{\\")


def is_isolated(spec: types_pb2.TaskSpec) -> bool:
    """Whether it runs in a worktree of its own."""
    return spec.isolation == types_pb2.ISOLATION_MODE_WORKTREE


def is_audited(spec: types_pb2.TaskSpec) -> bool:
    """Whether what changes in its worktree is looked at: when it declares paths, or says so itself."""
    if spec.audit == types_pb2.AUDIT_MODE_OFF:
        return False
    return must_tell(spec) or any(not one.path.startswith(_RESOURCE) for one in spec.files)


def must_tell(spec: types_pb2.TaskSpec) -> bool:
    """Whether it wants to hear why there was nothing to look at."""
    return spec.audit == types_pb2.AUDIT_MODE_ON


def wants_patch(
    spec: types_pb2.TaskSpec, outcome: types_pb2.Outcome.ValueType, files: tuple[str, ...]
) -> bool:
    """Whether the coordinator may keep a patch: not of a success that changed plainly what it declared."""
    return outcome != types_pb2.OUTCOME_SUCCEEDED or bool(not_plainly_declared(spec, files))


def not_plainly_declared(spec: types_pb2.TaskSpec, files: Iterable[str]) -> list[str]:
    """Those of `files` that are no path of the task's and lie in no directory of its."""
    roots = [posixpath.normpath(one.path) for one in spec.files if _is_plain(one)]
    if "." in roots:
        return []
    return [name for name in files if not any(name == root or name.startswith(f"{root}/") for root in roots)]


def _is_plain(request: types_pb2.PathRequest) -> bool:
    """A file or a directory; what may be a pattern is the coordinator's to read."""
    if request.kind in (types_pb2.LOCK_KIND_FILE, types_pb2.LOCK_KIND_TREE):
        return True
    is_auto = request.kind in (types_pb2.LOCK_KIND_UNSPECIFIED, types_pb2.LOCK_KIND_AUTO)
    return is_auto and not request.path.startswith((_RESOURCE, "!")) and not _WILD & set(request.path)


def add_difference(report: pb.TaskReport, difference: Difference) -> None:
    """What changed while it ran."""
    report.modified_files.extend(difference.files)
    report.audit.more_files = difference.more_files
    report.audit.patch = difference.patch
    report.audit.patch_dropped_bytes = difference.patch_dropped_bytes


def add_failure(report: pb.TaskReport, failure: str) -> None:
    """Why there is nothing to tell, or not all of it."""
    report.audit.failure = one_line(failure)


def add_loss(report: pb.TaskReport, error: str) -> None:
    """What it did is not on its branch: that is no success."""
    add_failure(report, error)
    if report.outcome == types_pb2.OUTCOME_SUCCEEDED:
        add_merge(report, pb.MERGE_OUTCOME_FAILED, error)


def add_merge(report: pb.TaskReport, outcome: pb.MergeOutcome.ValueType, error: str) -> None:
    """What became of the merge; one that did not work makes the attempt fail."""
    report.audit.merge = outcome
    if error:
        report.audit.merge_error = one_line(error)
        report.outcome = types_pb2.OUTCOME_FAILED
        report.error = one_line(error)
