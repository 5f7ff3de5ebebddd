"""The kit runs against any program: here the example in Ruby, told by its conformance.json alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conformance.programs import ROOT, read_programs
from tests.conformance.running import NOT_APPLICABLE, OK, run
from tests.conformance.scenarios import all_scenarios

FILE = ROOT / "examples" / "ruby" / "conformance.json"
GENERATOR = shutil.which("grpc_tools_ruby_protoc")
NAMES = {
    "hello": OK,
    "failure-of-a-command": OK,
    "one-session": OK,
    "timeout": OK,
    "duplicate-assignment": OK,
    "work-of-an-unknown-kind": OK,
    "coordinator-restarted-in-order": OK,
    "progress": NOT_APPLICABLE,
    "slots": NOT_APPLICABLE,
    "output-while-it-runs": NOT_APPLICABLE,
}
installed = pytest.mark.skipif(
    not shutil.which("ruby") or not GENERATOR,
    reason="ruby, ruby-grpc and ruby-grpc-tools are not installed",
)


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stubs")
    protos = sorted((ROOT / "proto/buildrunner_parallel/v1").glob("*.proto"))
    subprocess.run(
        [str(GENERATOR), "-I", ROOT / "proto", f"--ruby_out={folder}", f"--grpc_out={folder}", *protos],
        check=True,
    )
    return folder


def test_what_it_does_without_is_named_as_the_kit_names_it() -> None:
    told = json.loads(FILE.read_text(encoding="utf-8"))
    assert set(told["not_applicable"]) <= set(all_scenarios())
    assert set(read_programs(FILE).lacks) == {"handlers", "slots"}


@installed
@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_the_worker_in_ruby_passes(name: str, stubs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUBYLIB", str(stubs))
    result = run(read_programs(FILE), all_scenarios()[f"worker/{name}"])
    assert result.state == NAMES[name], f"{result.reason}\n{result.evidence}"
