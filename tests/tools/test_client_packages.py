"""The packages of the clients: each carries the project's licence, and says so in its own words."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
CLIENT = PROJECT / "client"


@pytest.mark.parametrize("language", ["go", "rust", "typescript"])
def test_a_package_carries_the_licence(language: str) -> None:
    assert (CLIENT / language / "LICENSE").read_bytes() == (PROJECT / "LICENSE").read_bytes()


def test_the_manifests_name_the_same_licence() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    rust = tomllib.loads((CLIENT / "rust/Cargo.toml").read_text())["package"]
    typescript = json.loads((CLIENT / "typescript/package.json").read_text())
    assert project["license"] == rust["license"] == typescript["license"]
