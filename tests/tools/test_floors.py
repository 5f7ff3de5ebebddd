"""Rules about imports that import-linter cannot express, read from the sources without importing them."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SERVICE = PROJECT / "service/buildrunner_coordinator"
DOMAIN_MAY_NOT = {
    *("asyncio", "threading", "subprocess", "socket", "sqlite3", "os", "io"),
    *("time", "random", "secrets", "uuid", "logging"),
}
# What each floor may import of the coordinator: itself, and these.
MAY_IMPORT = {
    "rpc": ("engine", "domain"),
    "engine": ("store.base", "domain"),
    "store": ("domain",),
    "domain": (),
}
STUBS, DOMAIN = "buildrunner_parallel.v1", "buildrunner_coordinator.domain"


def imported_modules(path: Path) -> set[str]:
    return find_imports(path.read_text(), path.relative_to(PROJECT / "service").parent.parts)


def find_imports(source: str, package: tuple[str, ...]) -> set[str]:
    """The absolute names of all that a module in `package` imports, lazy imports included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def imports_from(path: Path, package: str) -> bool:
    return any(is_below(name, package) for name in imported_modules(path))


def is_below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("path", sorted((SERVICE / "domain").rglob("*.py")), ids=lambda path: path.name)
def test_the_domain_uses_only_the_pure_part_of_the_standard_library(path: Path) -> None:
    own = "buildrunner_coordinator"
    allowed = (sys.stdlib_module_names | {own}) - DOMAIN_MAY_NOT
    assert {name.split(".")[0] for name in imported_modules(path)} <= allowed


@pytest.mark.parametrize("floor", MAY_IMPORT)
def test_a_floor_imports_only_what_it_may(floor: str) -> None:
    allowed = [f"buildrunner_coordinator.{name}" for name in (floor, *MAY_IMPORT[floor])]
    for path in sorted((SERVICE / floor).rglob("*.py")):
        own = {name for name in imported_modules(path) if name.startswith("buildrunner_coordinator.")}
        strays = {name for name in own if not any(is_below(name, package) for package in allowed)}
        assert not strays, f"{path.relative_to(PROJECT)} may not import {sorted(strays)}"


def test_only_rpc_knows_both_the_stubs_and_the_domain() -> None:
    """Its services name a message and a command in one breath; whose fields are whose is in rpc/convert."""
    both = {
        path.relative_to(SERVICE).parts[0]
        for path in sorted(SERVICE.rglob("*.py"))
        if imports_from(path, STUBS) and imports_from(path, DOMAIN)
    }
    assert both == {"rpc"}


def test_imports_are_read_whether_relative_absolute_or_lazy() -> None:
    source = "import a.b\nfrom ..domain import core\nfrom . import status\ndef late():\n    from c import d\n"
    assert find_imports(source, ("buildrunner_coordinator", "rpc")) == {
        "a.b",
        "buildrunner_coordinator.domain.core",
        "buildrunner_coordinator.rpc.status",
        "c.d",
    }
