"""A task of a matrix, once for each combination: `{key}` filled in wherever the task has text."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def combination_count(matrix: Mapping[str, Sequence[str]]) -> int:
    """How many tasks the matrix makes."""
    return math.prod(len(values) for values in matrix.values())


def combinations(matrix: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Each combination as key to value, the last key changing fastest."""
    for values in itertools.product(*matrix.values()):
        yield dict(zip(matrix, values, strict=True))


class Filler:
    """Fills one combination in. Only its keys are touched: `{}`, `{other}` and `${key}` stay as they are."""

    def __init__(self, combination: Mapping[str, str]) -> None:
        self._values = combination
        names = "|".join(re.escape(name) for name in combination)
        self._key = re.compile(r"(?<!\$)\{(" + names + r")\}")

    def fill(self, value: Any) -> Any:
        """`value` with its text filled in, through lists and the values of mappings."""
        if isinstance(value, str):
            return self._key.sub(lambda match: self._values[match.group(1)], value)
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        return value
