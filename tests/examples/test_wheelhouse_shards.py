"""Shards: a partition of the suite, and reports that prove it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wheelhouse_steps.errors import StepError
from wheelhouse_steps.places import EXAMPLE
from wheelhouse_steps.shards import Shard, parse_shard, part_of, problems_of


@given(st.lists(st.integers(), max_size=60), st.integers(1, 9))
def test_the_shards_of_a_suite_are_a_partition_of_nearly_equal_parts(items: list[int], count: int):
    suite = list(enumerate(items))
    parts = [part_of(suite, Shard(number, count)) for number in range(1, count + 1)]
    assert sorted(item for part in parts for item in part) == suite
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["", "0of3", "4of3", "1of0", "1/3", "-1of3", "1of3x"])
def test_what_is_no_shard_is_refused(text: str):
    with pytest.raises(StepError, match="expected a shard such as 2of3"):
        parse_shard(text)


def reports() -> list[dict[str, Any]]:
    suite = ["t::a", "t::b", "t::c", "t::d", "t::e"]
    return [
        {
            "shard": str(shard),
            "suite": suite,
            "outcomes": dict.fromkeys(part_of(suite, shard), "passed"),
        }
        for shard in (Shard(1, 3), Shard(2, 3), Shard(3, 3))
    ]


def test_reports_that_cover_the_suite_once_have_no_problems():
    assert problems_of(reports()) == []


def test_no_report_at_all_is_a_problem():
    assert problems_of([]) == ["no shard has reported"]


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_shard_that_did_not_report_is_a_problem(lost: int):
    found = reports()
    del found[lost]
    assert "expected the shards" in problems_of(found)[0]


def test_a_test_that_ran_nowhere_is_named():
    found = reports()
    del found[0]["outcomes"]["t::d"]
    assert problems_of(found) == ["t::d ran in no shard"]


def test_a_test_that_ran_twice_is_named():
    found = reports()
    found[1]["outcomes"]["t::a"] = "passed"
    assert problems_of(found) == ["t::a ran in 2 shards"]


def test_a_failed_test_is_named():
    found = reports()
    found[2]["outcomes"]["t::c"] = "failed"
    assert problems_of(found) == ["t::c failed"]


def test_an_empty_shard_is_a_problem():
    found = reports()
    found[2]["outcomes"] = {}
    assert "shard 3of3 ran no test" in problems_of(found)


def test_shards_that_collected_different_tests_are_a_problem():
    found = reports()
    found[1]["suite"] = ["t::a"]
    assert problems_of(found) == ["the shards did not collect the same tests"]


SUITE = """
import pytest, unittest

@pytest.mark.parametrize("n", range(4))
def test_number(n):
    assert n >= 0

def test_left_out():
    pytest.skip("not here")

class TestOld(unittest.TestCase):
    def test_parts(self):
        for n in range(3):
            with self.subTest(n=n):
                self.assertLess(n, WRONG)
"""


def run_shard(folder: Path, shard: str) -> tuple[int, dict[str, Any]]:
    report = folder / f"{shard}.json"
    plugin = ["-p", "wheelhouse_steps.shard_plugin", "--shard", shard, "--shard-report", str(report)]
    command = [sys.executable, "-m", "pytest", "-c", str(EXAMPLE / "pytest.ini"), "--rootdir", str(folder)]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", *plugin, "test_some.py"],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(EXAMPLE),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
    )
    return done.returncode, json.loads(report.read_text())


def test_pytest_runs_a_suite_in_shards_and_their_reports_prove_it(tmp_path: Path):
    (tmp_path / "test_some.py").write_text(SUITE.replace("WRONG", "3"))
    results = [run_shard(tmp_path, shard) for shard in ("1of2", "2of2")]
    assert [code for code, _ in results] == [0, 0]
    found = [report for _, report in results]
    assert problems_of(found) == []
    assert len(found[0]["suite"]) == 6
    assert [len(report["outcomes"]) for report in found] == [3, 3]
    assert "skipped" in found[0]["outcomes"].values()


def test_a_failing_part_of_a_test_fails_its_shard_and_its_report(tmp_path: Path):
    (tmp_path / "test_some.py").write_text(SUITE.replace("WRONG", "2"))
    code, report = run_shard(tmp_path, "1of1")
    assert code == 1
    assert problems_of([report]) == ["test_some.py::TestOld::test_parts failed"]
