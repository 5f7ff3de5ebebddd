"""Runs one shard of a package's own tests, against its unpacked source, with the tools' pytest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .errors import StepError
from .files import clean_environment, fresh_folder, read_record, remove, run
from .manifest import Package
from .places import EXAMPLE, Places
from .shards import Shard, problems_of


def run_shard(places: Places, package: Package, shard: Shard) -> str:
    """Raises StepError when a test fails, and when none ran."""
    source = places.source(package.name)
    report = places.shards(package.name) / f"{shard}.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    remove(report)
    temporary = fresh_folder(places.temporary / f"test-{package.name}-{shard}")
    environment = clean_environment(
        temporary,
        PYTHONPATH=os.pathsep.join((str(source), str(EXAMPLE))),
        PYTHONHASHSEED="0",  # all shards must collect the same tests in the same order
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
    )
    settings = ("-c", EXAMPLE / "pytest.ini", "--rootdir", source, "-p", "no:cacheprovider", "--quiet")
    ours = ("-p", "wheelhouse_steps.shard_plugin", "--shard", str(shard), "--shard-report", report)
    command: list[str | Path] = [places.tools_python, "-m", "pytest", *settings, *ours, *package.tests]
    run(command, f"shard {shard} of the tests of {package.name}", environment, source)
    remove(temporary)
    record = read_record(report)
    if not record["outcomes"]:
        raise StepError(f"shard {shard} of {package.name} ran no test")
    return f"{package.name}: shard {shard} ran {len(record['outcomes'])} of {len(record['suite'])} tests"


def whole_suite(places: Places, package: Package) -> int:
    """The number of tests of the package. Raises StepError unless each has run in exactly one shard."""
    folder = places.shards(package.name)
    reports: list[dict[str, Any]] = [read_record(path) for path in sorted(folder.glob("*.json"))]
    if problems := problems_of(reports):
        raise StepError(f"the tests of {package.name} are not proven: {'; '.join(problems[:5])}")
    return len(reports[0]["suite"])
