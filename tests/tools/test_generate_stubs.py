"""What tools/generate_stubs makes from a small protocol, and which drift `--check` finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGE = Path("buildrunner_parallel/v1")

THING = """\
syntax = "proto3";
package buildrunner_parallel.v1;
message Thing { string name = 1; }
"""
SERVICE = """\
syntax = "proto3";
package buildrunner_parallel.v1;
import "buildrunner_parallel/v1/thing.proto";
message GetThingRequest { string name = 1; }
message GetThingResponse { Thing thing = 1; }
service ThingService { rpc GetThing(GetThingRequest) returns (GetThingResponse); }
"""


class Scratch:
    """A protocol of two files, and a folder for its stubs."""

    def __init__(self, root: Path) -> None:
        self.proto, self.output = root / "proto", root / "stubs"
        self.protos, self.stubs = self.proto / PACKAGE, self.output / PACKAGE
        self.protos.mkdir(parents=True)
        (self.protos / "thing.proto").write_text(THING)
        (self.protos / "thing_service.proto").write_text(SERVICE)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        tool = PROJECT / "tools/generate_stubs"
        places = ["--proto", str(self.proto), "--output", str(self.output)]
        command = [sys.executable, str(tool), *places, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return Scratch(tmp_path)


@pytest.fixture
def generated(scratch: Scratch) -> Scratch:
    result = scratch.run()
    assert result.returncode == 0, result.stderr
    return scratch


def test_stubs_are_typed_and_services_only_where_there_are_some(generated: Scratch) -> None:
    assert {path.name for path in generated.stubs.iterdir()} == {
        "__init__.py",
        "thing_pb2.py",
        "thing_pb2.pyi",
        "thing_service_pb2.py",
        "thing_service_pb2.pyi",
        "thing_service_pb2_grpc.py",
        "thing_service_pb2_grpc.pyi",
    }


def test_stubs_import_each_other_by_the_path_of_their_proto(generated: Scratch) -> None:
    text = (generated.stubs / "thing_service_pb2.py").read_text()
    assert "from buildrunner_parallel.v1 import thing_pb2" in text


def test_fresh_stubs_are_current(generated: Scratch) -> None:
    result = generated.run("--check")
    assert (result.returncode, result.stdout) == (0, "stubs: current\n")


def test_a_changed_proto_makes_its_stubs_stale_and_check_changes_nothing(generated: Scratch) -> None:
    before = (generated.stubs / "thing_pb2.py").read_bytes()
    (generated.protos / "thing.proto").write_text(THING.replace("name = 1", "title = 1"))
    result = generated.run("--check")
    assert result.returncode == 1
    assert "buildrunner_parallel/v1/thing_pb2.py differs" in result.stderr
    assert "thing_service" not in result.stderr
    assert "run: make stubs" in result.stderr
    assert (generated.stubs / "thing_pb2.py").read_bytes() == before


def test_a_missing_and_a_left_over_stub_are_found_and_mended(generated: Scratch) -> None:
    (generated.stubs / "thing_pb2.pyi").unlink()
    (generated.stubs / "gone_pb2.py").write_text("")
    result = generated.run("--check")
    assert result.returncode == 1
    assert "thing_pb2.pyi is missing" in result.stderr
    assert "gone_pb2.py has no proto" in result.stderr
    assert generated.run().returncode == 0
    assert generated.run("--check").returncode == 0


def test_a_proto_that_does_not_compile_fails_with_its_place_and_leaves_the_stubs(generated: Scratch) -> None:
    before = (generated.stubs / "thing_pb2.py").read_bytes()
    (generated.protos / "thing.proto").write_text(THING.replace("string", "strong"))
    result = generated.run()
    assert result.returncode == 1
    assert "thing.proto:3" in result.stderr
    assert (generated.stubs / "thing_pb2.py").read_bytes() == before


def test_no_protos_at_all_are_an_error(scratch: Scratch) -> None:
    for proto in scratch.protos.iterdir():
        proto.unlink()
    result = scratch.run("--check")
    assert result.returncode == 1
    assert "no protos" in result.stderr


def test_the_committed_stubs_follow_from_the_protos() -> None:
    tool = PROJECT / "tools/generate_stubs"
    result = subprocess.run([sys.executable, tool, "--check"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
