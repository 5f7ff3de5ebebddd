"""What was released stays: every field, enum value and call of a frozen protocol is still what it was.

buf's rules say the same and more (`make proto-breaking`); this needs nothing but Python.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

PROJECT = Path(__file__).parents[2]
RELEASED = sorted((PROJECT / "proto/released").glob("*.binpb"))
FREEZE = PROJECT / "tools/freeze_protocol"


def freeze(version: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FREEZE), version, "--output", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def facts(image: bytes) -> dict[str, str]:
    """Everything that others rely on, by name: numbers and types of fields, values, messages of calls."""
    found = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(image).file:
        for name, message in messages(file.package, file.message_type):
            for field in message.field:
                oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
                kind = f"{field.label} {field.type} {field.type_name} {oneof} {field.proto3_optional}"
                found[f"{name}.{field.name}"] = f"{field.number} {kind}"
            found |= {
                f"{name}.{enum.name}.{v.name}": str(v.number)
                for enum in message.enum_type
                for v in enum.value
            }
        found |= {
            f"{file.package}.{enum.name}.{v.name}": str(v.number)
            for enum in file.enum_type
            for v in enum.value
        }
        for service in file.service:
            for call in service.method:
                streams = f"{call.client_streaming} {call.server_streaming}"
                found[f"{service.name}/{call.name}"] = f"{call.input_type} {call.output_type} {streams}"
    return found


def messages(prefix: str, some: object) -> Iterator[tuple[str, descriptor_pb2.DescriptorProto]]:
    for message in some:  # type: ignore[attr-defined]
        yield f"{prefix}.{message.name}", message
        yield from messages(f"{prefix}.{message.name}", message.nested_type)


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("today")
    done = freeze("9.9", folder)
    assert done.returncode == 0, done.stderr
    return facts((folder / "9.9.binpb").read_bytes())


def test_a_protocol_has_been_frozen() -> None:
    assert RELEASED, "proto/released has none: make proto-freeze VERSION=0.1"


@pytest.mark.parametrize("image", RELEASED, ids=lambda image: image.stem)
def test_nothing_of_a_released_protocol_is_gone_or_has_changed(image: Path, today: dict[str, str]) -> None:
    released = facts(image.read_bytes())
    assert len(released) > 500
    assert {name: what for name, what in released.items() if today.get(name) != what} == {}


def test_the_comparison_sees_a_changed_field(today: dict[str, str], tmp_path: Path) -> None:
    freeze("1.0", tmp_path)
    image = descriptor_pb2.FileDescriptorSet.FromString((tmp_path / "1.0.binpb").read_bytes())
    protos = {file.name: file for file in image.file}
    hello = next(
        m for m in protos["buildrunner_parallel/v1/worker_service.proto"].message_type if m.name == "Hello"
    )
    hello.field[0].number = 99
    changed = facts(image.SerializeToString())
    assert [name for name in changed if changed[name] != today[name]] == [
        "buildrunner_parallel.v1.Hello.worker_id"
    ]


def test_what_was_frozen_is_not_written_again(tmp_path: Path) -> None:
    (tmp_path / "1.0.binpb").write_bytes(b"as released")
    done = freeze("1.0", tmp_path)
    assert (done.returncode, (tmp_path / "1.0.binpb").read_bytes()) == (1, b"as released")
    assert "stays as it is" in done.stderr


@pytest.mark.parametrize("version", ["", "one", "../0.1", "v1"])
def test_a_version_that_is_none_is_refused(version: str, tmp_path: Path) -> None:
    done = freeze(version, tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
