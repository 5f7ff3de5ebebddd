"""Plans from text, and the lines that refuse them."""

from __future__ import annotations

from typing import Any

import pytest

from buildrunner_parallel.plan import Plan, PlanError, load_plan


@pytest.fixture
def load(tmp_path):
    """Loads text as a plan file of the given ending, submitted from an empty directory."""

    def load_text(text: str | bytes, ending: str = "yaml", **options: Any) -> Plan:
        path = tmp_path / f"plan.{ending}"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        options.setdefault("directory", tmp_path)
        return load_plan(str(path), **options)

    return load_text


@pytest.fixture
def refusal(load, tmp_path):
    """The lines that a bad plan gets, without the temporary directory in them."""

    def lines(text: str | bytes, ending: str = "yaml", **options: Any) -> list[str]:
        with pytest.raises(PlanError) as caught:
            load(text, ending, **options)
        return [line.replace(f"{tmp_path}/", "") for line in caught.value.lines]

    return lines
