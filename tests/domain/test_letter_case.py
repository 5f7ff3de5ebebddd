"""Paths are compared without regard to case from the moment on at which somebody's checkout ignores it."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.domain import commands as c
from buildrunner_coordinator.domain.refusals import Refusal


@pytest.mark.parametrize("told", ["by the coordinator's checkout", "by a worker"])
def test_spellings_meet_from_then_on_and_over_restarts(stage, told):
    alpha, beta = stage.session("alpha"), stage.session("beta")
    stage.acquire(alpha, "README.md")
    stage.acquire(beta, "readme.md")
    stage.do(c.ReleaseLocks(beta))
    if told == "by a worker":
        stage.worker(capabilities=("ignores-case",))
    else:
        stage.do(c.FoldCase())
    for _ in range(2):
        with pytest.raises(Refusal):
            stage.acquire(beta, "readme.MD")
        stage.restart()
    assert stage.core.meta.folds_case == 1
    stage.acquire(beta, "readme.txt")


def test_it_is_written_down_at_once(stage):
    stage.do(c.FoldCase())
    assert stage.changes[-1].meta is not None
    assert stage.changes[-1].meta.folds_case == 1
    stage.do(c.FoldCase())
    assert stage.changes[-1].meta is None


def test_the_shown_spelling_is_the_askers(stage):
    stage.do(c.FoldCase())
    alpha = stage.session()
    assert stage.acquire(alpha, "Src/App.PY").locks[0].path == "Src/App.PY"
