"""The promises of the project's own files: pinned requirements, make's targets, the package's lazy names."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
REQUIREMENTS = ["requirements/run.txt", "requirements/dev.txt"]
GOOD = f"one==1.0 \\\n    --hash=sha256:{'a' * 64}\n"


def check_requirements(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [PROJECT / "tools/check_requirements", *files]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (PROJECT / name).read_text(), re.MULTILINE))


def test_the_committed_requirements_pass_their_check() -> None:
    result = check_requirements()
    assert result.returncode == 0, result.stderr


def test_good_requirements_pass(tmp_path: Path) -> None:
    file = tmp_path / "good.txt"
    file.write_text("# a comment\n" + GOOD * 2)
    assert check_requirements(file).returncode == 0


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(GOOD + "two==2.0\n", id="no hash at the end"),
        pytest.param("two==2.0 \\\n" + GOOD, id="no hash before another"),
        pytest.param(GOOD.replace("==", ">="), id="no exact version"),
        pytest.param("", id="empty"),
    ],
)
def test_a_requirement_without_hash_or_version_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.txt"
    file.write_text(text)
    result = check_requirements(file)
    assert result.returncode == 1
    assert "without version or hash" in result.stderr


@pytest.mark.parametrize("line", ["--find-links wheels", "# from https://packages.example.org/simple"])
def test_an_address_is_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / "bad.txt"
    file.write_text(f"{line}\n{GOOD}")
    result = check_requirements(file)
    assert result.returncode == 1
    assert "names an address" in result.stderr


def test_what_the_product_needs_is_pinned_alike_for_use_and_for_development() -> None:
    run, dev = (pins(name) for name in REQUIREMENTS)
    assert run.items() <= dev.items()


def test_every_declared_dependency_is_pinned() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[<>=;]", entry)[0].strip() for entry in project["dependencies"]}
    tools = {re.split(r"[<>=;]", entry)[0].strip() for entry in project["optional-dependencies"]["dev"]}
    assert declared <= pins("requirements/run.txt").keys()
    assert tools <= pins("requirements/dev.txt").keys()
    assert tools.isdisjoint(pins("requirements/run.txt"))


def test_the_floor_of_protobuf_is_the_version_that_made_the_stubs() -> None:
    stub = (PROJECT / "client/python/buildrunner_parallel/v1/types_pb2.py").read_text()
    (generated_with,) = re.findall(r"^# Protobuf Python Version: (\S+)", stub, re.MULTILINE)
    assert f'"protobuf>={generated_with},<8"' in (PROJECT / "pyproject.toml").read_text()


def test_the_floor_of_grpcio_is_the_version_that_made_the_stubs() -> None:
    stub = (PROJECT / "client/python/buildrunner_parallel/v1/worker_service_pb2_grpc.py").read_text()
    (generated_with,) = re.findall(r"^GRPC_GENERATED_VERSION = '(\S+)'", stub, re.MULTILINE)
    assert f'"grpcio>={generated_with},<2"' in (PROJECT / "pyproject.toml").read_text()


def test_make_help_lists_every_target_within_eighty_columns() -> None:
    result = subprocess.run(["make", "help"], cwd=PROJECT, capture_output=True, text=True, check=True)
    phony = set(re.findall(r"^\.PHONY: (\S+)", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^  make (\S+) +\S", result.stdout, re.MULTILINE)) == phony
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"grpc", "typer", "rich", "google"}
    code = f"import sys, buildrunner_parallel; print(sorted({heavy} & set(sys.modules)))"
    environment = {"PYTHONPATH": str(PROJECT / "client/python")}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert result.stdout == "[]\n"


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    import buildrunner_parallel

    with pytest.raises(AttributeError, match="no attribute 'Cleint'"):
        _ = buildrunner_parallel.Cleint
