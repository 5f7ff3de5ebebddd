"""JSON Schemas: what every command really writes with --json is what its schema says, no more and no less."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import jsonschema
import pytest

from buildrunner_parallel.cli import document_schemas
from buildrunner_parallel.cli import schema as schema_command
from buildrunner_parallel.plan.json_schema import plan_schema
from tests.cli.scene import Scene, set_scene
from tests.cli.shapes import SHAPES, WITHOUT_STATE

PAGES = Path(__file__).parents[2] / "docs" / "schemas"
JSON = {name: shape for name, shape in SHAPES.items() if shape.has_json}
COMMANDS = document_schemas.document_names()


@pytest.fixture
def scene(fake, tmp_path, monkeypatch):
    set_scene(fake, tmp_path, monkeypatch)
    return fake


def closed(schema):
    """The schema without its promise that more members may come: nothing goes untold today."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    whole = {key: closed(value) for key, value in schema.items()}
    if "properties" in whole and isinstance(whole["properties"], dict) and "type" in whole:
        whole.setdefault("additionalProperties", False)
    return whole


def validator(name):
    schema = document_schemas.named_schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(
        closed(schema), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


def documents(result, name):
    """The documents that were written: one, unless the command writes a stream."""
    lines = result.stdout.splitlines()
    assert len(lines) <= 1 or document_schemas.document_of(name).stream
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("name", JSON)
def test_what_every_command_writes_follows_its_schema(scene, br, name):
    shape = JSON[name]
    result = br("--json", *shlex.split(shape.words), input=shape.given)
    assert result.exit_code == shape.code, result.output
    found = documents(result, shape.command)
    assert found, "nothing was written"
    for document in found:
        validator(shape.command).validate(document)


@pytest.mark.parametrize("name", WITHOUT_STATE)
def test_so_it_does_where_nothing_was_ever_started(scene, br, name):
    scene.has_state = False
    shape = SHAPES[name]
    result = br("--json", *shlex.split(shape.words))
    assert result.exit_code == WITHOUT_STATE[name], result.output
    for document in documents(result, shape.command):
        validator(shape.command).validate(document)
    assert bool(result.stdout) == (result.exit_code == 0 and shape.command != "watch")


def test_a_refused_lock_follows_its_schema(scene, br):
    from buildrunner_parallel.errors import LockConflictError

    conflicts = scene.listing.waiters[0].conflicts
    scene.failing["acquire_locks"] = LockConflictError("Files already locked", conflicts=conflicts)
    result = br("lock", "a3f2", "src/app.py", "--json")
    assert result.exit_code == 5
    (document,) = documents(result, "lock")
    assert document["conflicts"]
    validator("lock").validate(document)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_document_of_nothing_follows_no_schema(name):
    with pytest.raises(jsonschema.ValidationError):
        validator(name).validate({"schema_version": 1})
    with pytest.raises(jsonschema.ValidationError):
        validator(name).validate([])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_form_of_a_schema_is_met_by_some_call(scene, br, name):
    """A form that nothing writes is a promise of nothing."""
    from buildrunner_parallel.errors import LockConflictError

    written = []
    calls = [shape for shape in JSON.values() if shape.command == name]
    for shape in calls:
        Scene(scene)
        written += documents(br("--json", *shlex.split(shape.words), input=shape.given), name)
    if name == "lock":
        scene.failing["acquire_locks"] = LockConflictError("no", conflicts=scene.listing.waiters[0].conflicts)
        written += documents(br("lock", "a3f2", "src", "--json"), name)
    scene.has_state = False
    if name in WITHOUT_STATE:
        written += documents(br(name, "--json"), name)
    schema = closed(document_schemas.named_schema(name))
    for form in schema.get("anyOf", [schema]):
        alone = jsonschema.Draft202012Validator({**form, "$defs": schema.get("$defs", {})})
        assert any(alone.is_valid(document) for document in written), form["description"]


def test_every_command_that_takes_part_has_a_schema():
    assert document_schemas.schema_names() == schema_command.NAMES
    commands = {shape.command for shape in SHAPES.values() if shape.has_json}
    assert commands == set(COMMANDS)


@pytest.mark.parametrize("name", schema_command.NAMES)
def test_the_command_prints_it_and_the_documentation_keeps_it(br, name):
    printed = br("schema", name)
    assert (printed.exit_code, printed.stderr) == (0, "")
    assert json.loads(printed.stdout) == document_schemas.named_schema(name)
    assert json.loads(br("schema", name, "--json").stdout) == json.loads(printed.stdout)
    assert (PAGES / f"{name}.json").read_text() == printed.stdout, "run: make reference"


def test_there_is_no_page_of_a_schema_that_is_gone():
    assert {page.stem for page in PAGES.iterdir()} == set(schema_command.NAMES)


def test_the_plan_s_is_the_one_for_editors(br):
    assert json.loads(br("schema", "plan").stdout) == plan_schema()


def test_an_unknown_name_is_wrong_usage(br):
    result = br("schema", "lost")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no schema of 'lost'" in result.stderr


def test_a_published_schema_lets_later_fields_pass():
    schema = document_schemas.named_schema("list")
    document = {"schema_version": 1, "sessions": [], "later": True}
    jsonschema.Draft202012Validator(schema).validate(document)
