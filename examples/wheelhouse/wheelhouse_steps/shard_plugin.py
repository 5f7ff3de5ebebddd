"""A pytest plugin: runs one shard of the collected tests and writes down what was collected and what ran."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .shards import parse_shard, part_of


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shard", required=True, help="which part to run, such as 2of3")
    parser.addoption("--shard-report", required=True, help="the JSON file to write")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_ShardRun(config), "wheelhouse-shard-run")


class _ShardRun:
    """Chooses the tests of this shard, and collects their outcomes."""

    def __init__(self, config: pytest.Config) -> None:
        self._shard = parse_shard(config.getoption("--shard"))
        self._report = Path(config.getoption("--shard-report"))
        self._suite: list[str] = []
        self._outcomes: dict[str, str] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        self._suite = [item.nodeid for item in items]
        chosen = part_of(items, self._shard)
        kept = {item.nodeid for item in chosen}
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in kept])
        items[:] = chosen

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            worse = report.failed or report.nodeid not in self._outcomes
            if worse:
                self._outcomes[report.nodeid] = report.outcome

    def pytest_sessionfinish(self) -> None:
        record = {"shard": str(self._shard), "suite": self._suite, "outcomes": self._outcomes}
        self._report.write_text(json.dumps(record, indent=1), encoding="utf-8")
