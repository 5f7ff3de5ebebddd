"""How a test suite is cut into shards, and how the shards' reports prove that together they are the whole.

Pure functions; also loaded inside pytest by `shard_plugin`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from .errors import StepError

Item = TypeVar("Item")
_FORM = re.compile(r"([1-9][0-9]*)of([1-9][0-9]*)")


@dataclass(frozen=True)
class Shard:
    """The `number`-th (from 1) of `count` parts."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}of{self.count}"


def parse_shard(text: str) -> Shard:
    """Reads `2of3`. Raises StepError for anything else."""
    match = _FORM.fullmatch(text)
    if match is None or int(match[1]) > int(match[2]):
        raise StepError(f'expected a shard such as 2of3, found "{text}"')
    return Shard(int(match[1]), int(match[2]))


def part_of(items: Sequence[Item], shard: Shard) -> list[Item]:
    """Every `count`-th item: neighbours, which tend to be equally slow, go to different shards."""
    return list(items[shard.number - 1 :: shard.count])


def problems_of(reports: Sequence[dict[str, Any]]) -> list[str]:
    """What is wrong with a suite's reports, in words; nothing when every test ran in exactly one shard."""
    if not reports:
        return ["no shard has reported"]
    expected = [str(Shard(number + 1, len(reports))) for number in range(len(reports))]
    if (found := sorted(report["shard"] for report in reports)) != expected:
        return [f"expected the shards {', '.join(expected)}, found {', '.join(found)}"]
    if any(report["suite"] != reports[0]["suite"] for report in reports):
        return ["the shards did not collect the same tests"]
    problems = [f"shard {report['shard']} ran no test" for report in reports if not report["outcomes"]]
    times = Counter(test for report in reports for test in report["outcomes"])
    suite = set(reports[0]["suite"])
    problems += [f"{test} ran in no shard" for test in sorted(suite - times.keys())]
    problems += [f"{test} is not in the suite" for test in sorted(times.keys() - suite)]
    problems += [f"{test} ran in {count} shards" for test, count in times.items() if count > 1]
    failed = [test for report in reports for test, how in report["outcomes"].items() if how == "failed"]
    return problems + [f"{test} failed" for test in failed]
