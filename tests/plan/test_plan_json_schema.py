"""The schema for editors accepts what the loader accepts, and refuses what it refuses by its form.

The few words of JSON Schema that it uses are evaluated here, by the letter of draft 2020-12.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from buildrunner_parallel.plan.json_schema import DIALECT, plan_schema
from buildrunner_parallel.plan.schema import FileSpec, Options, PlanSpec, TaskSpec
from buildrunner_parallel.plan.validate import validate

SCHEMA = plan_schema()
NO_MEANING = {"title", "description", "examples", "default", "$schema", "$defs"}
TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: is_number(value) and float(value).is_integer(),
    "number": lambda value: is_number(value),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def fits(value: Any, schema: dict[str, Any]) -> bool:
    return all(
        fits_word(value, word, told, schema) for word, told in schema.items() if word not in NO_MEANING
    )


def fits_word(value: Any, word: str, told: Any, schema: dict[str, Any]) -> bool:
    if word in ("properties", "additionalProperties", "propertyNames", "required", "minProperties",
                "dependentSchemas"):  # fmt: skip
        return not isinstance(value, dict) or fits_object(value, word, told, schema)
    if word in ("items", "prefixItems", "minItems"):
        return not isinstance(value, list) or fits_list(value, word, told, schema)
    if word in ("pattern", "maxLength"):
        return not isinstance(value, str) or fits_text(value, word, told)
    if word in ("minimum", "maximum", "exclusiveMinimum"):
        return not is_number(value) or {
            "minimum": value >= told, "maximum": value <= told, "exclusiveMinimum": value > told,
        }[word]  # fmt: skip
    return WORDS[word](value, told)


WORDS: dict[str, Callable[[Any, Any], bool]] = {
    "$ref": lambda value, told: fits(value, SCHEMA["$defs"][told.removeprefix("#/$defs/")]),
    "anyOf": lambda value, told: any(fits(value, one) for one in told),
    "oneOf": lambda value, told: sum(fits(value, one) for one in told) == 1,
    "not": lambda value, told: not fits(value, told),
    "enum": lambda value, told: any(type(value) is type(one) and value == one for one in told),
    "type": lambda value, told: any(TYPES[one](value) for one in ([told] if isinstance(told, str) else told)),
}


def fits_object(value: dict[str, Any], word: str, told: Any, schema: dict[str, Any]) -> bool:
    if word == "properties":
        return all(fits(value[key], one) for key, one in told.items() if key in value)
    if word == "propertyNames":
        return all(fits(key, told) for key in value)
    if word == "dependentSchemas":
        return all(fits(value, one) for key, one in told.items() if key in value)
    if word == "required":
        return all(key in value for key in told)
    if word == "minProperties":
        return len(value) >= int(told)
    rest = [item for key, item in value.items() if key not in schema.get("properties", {})]
    return not rest if told is False else all(fits(item, told) for item in rest)


def fits_list(value: list[Any], word: str, told: Any, schema: dict[str, Any]) -> bool:
    if word == "minItems":
        return len(value) >= int(told)
    if word == "prefixItems":
        return all(fits(item, one) for item, one in zip(value, told, strict=False))
    return all(fits(item, told) for item in value[len(schema.get("prefixItems", [])) :])


def fits_text(value: str, word: str, told: Any) -> bool:
    # In JSON Schema $ is the end of the text, in Python also the place before a last newline.
    return len(value) <= told if word == "maxLength" else bool(re.search(told.replace("$", r"\Z"), value))


def task(**keys: Any) -> dict[str, Any]:
    return {"tasks": [{"run": "x", **keys}]}


GOOD: list[Any] = [
    {"tasks": [{"run": "x"}]},
    {"$schema": "plan.json", "name": "Build v3.1", "workers": 3, "on_failure": "continue", "max_parallel": 4,
     "defaults": {"timeout": "10m", "env": {"CI": "1"}}, "tasks": [{"argv": ["a", "", "b"]}]},
    {"name": None, "workers": None, "on_failure": None, "max_parallel": None, "tasks": [{"handler": "h"}]},
    {"workers": 0, "on_failure": "finish-running", "tasks": [{"handler": "h", "payload": {"a": [1, None]}}]},
    {"workers": 1000, "on_failure": "stop-now:7", "tasks": [{"handler": "h", "payload": None}]},
    task(id="überprüfen 漢字"), task(id=None), task(argv=None, handler=None),
    {"tasks": [{"run": None, "argv": ["x"]}]},
    *(task(timeout=value) for value in ("90s", "10m", "1h30m", "500ms", "2d", "1.5h", "90", " 5 m ", "1H", 90,
                                        0.5, 31_622_400, None)),
    *(task(grace=value) for value in (0, "0", "0s", "20s", None)),
    task(retries=0, priority=-1000, slots=1), task(retries=1000, priority=1000, slots=1024),
    task(labels=[], needs=[], files=[], pass_env=[], env={}, metadata={}),
    task(labels=["linux", "gpu"], needs=["a", "b-*"], pass_env=["A_*"], worker="d4e5"),
    task(files=["src/", "a b", {"path": "x"}, {"literal": "[a]", "mode": "shared"}, {"glob": "*"}]),
    task(env={"A": "", "B": 1, "C": True, "D E": "x=y"}),
    *(task(audit=value) for value in (True, False, "on", "off", "auto", None)),
    *(task(isolate="worktree", merge=value) for value in (True, False, "on", "off", None)),
    task(isolate="none"), task(isolate="worktree"), task(isolate=None), task(cwd="a", worker=None),
    task(id="a{n}", matrix={"n": [1, "x", True]}), task(matrix=None),
    task(metadata={"anything": [1, {"deep": None}]}),
]  # fmt: skip

BAD: list[Any] = [
    {}, {"tasks": []}, {"tasks": None}, {"tasks": {}}, {"tasks": ["x"]}, {"tasks": [{}]}, [], "x", 3, None,
    {"tasks": [{"run": "x"}], "worker": 3}, {"tasks": [{"run": "x"}], "$schema": 3},
    {"name": "", "tasks": [{"run": "x"}]}, {"name": " x", "tasks": [{"run": "x"}]},
    {"name": 3, "tasks": [{"run": "x"}]}, {"workers": -1, "tasks": [{"run": "x"}]},
    {"workers": 1001, "tasks": [{"run": "x"}]}, {"workers": "3", "tasks": [{"run": "x"}]},
    {"max_parallel": 0, "tasks": [{"run": "x"}]}, {"defaults": None, "tasks": [{"run": "x"}]},
    {"defaults": {"run": "x"}, "tasks": [{"run": "x"}]}, {"defaults": {"id": "x"}, "tasks": [{"run": "x"}]},
    *({"on_failure": value, "tasks": [{"run": "x"}]}
      for value in ("explode", "stop-now:0", "continue:2", "stop-now:", "finish-running:1234567890", 3)),
    {"tasks": [{"run": ""}]}, {"tasks": [{"run": " "}]}, {"tasks": [{"run": 3}]},
    {"tasks": [{"run": "a\0b"}]},
    {"tasks": [{"run": "x", "argv": ["x"]}]}, {"tasks": [{"argv": []}]}, {"tasks": [{"argv": [""]}]},
    {"tasks": [{"argv": ["sleep", 1]}]}, {"tasks": [{"argv": "sleep 1"}]}, {"tasks": [{"handler": ""}]},
    task(payload=1), task(payload=None), task(nedes=["a"]),
    task(id=3), task(id=""), task(id="a\nb"), task(id="a\x1b[2J"), task(id="x" * 257), task(id="a\u202eb"),
    *(task(timeout=value) for value in (0, "0", "0s", "0m 0s", -1, "soon", "", "5 parsecs", True, ["1s"],
                                        31_622_401)),
    *(task(grace=value) for value in (-1, "-1", "now")),
    task(retries=-1), task(retries=1001), task(retries="2"), task(retries=1.5), task(retries=None),
    task(retries=True), task(priority=1001), task(slots=0), task(slots=1025),
    task(labels="linux"), task(labels=[1]), task(labels=None), task(needs="a"), task(needs=[""]),
    task(files="a"), task(files=[{}]), task(files=[{"path": "a", "glob": "b"}]), task(files=[""]),
    task(files=[{"path": "a", "mode": "read"}]), task(files=[{"path": "a", "mod": "shared"}]),
    task(files=[3]),
    task(env={"A=B": "x"}), task(env={"": "x"}), task(env={"A": 1.5}), task(env={"A": None}),
    task(env=["A=b"]), task(env=None), task(pass_env=[""]), task(metadata=[1]), task(cwd=""),
    task(audit="maybe"), task(audit=1), task(merge="maybe"), task(merge=1),
    task(isolate="yes"), task(worker=""),
    task(matrix={}), task(matrix={"n": []}), task(matrix={"n": "x"}), task(matrix={"n": [1.5]}),
    task(matrix={"": [1]}),
]  # fmt: skip


@pytest.mark.parametrize("plan", GOOD, ids=json.dumps)
def test_what_the_loader_takes_the_schema_takes(plan: Any) -> None:
    assert validate(plan)[1] == []
    assert fits(plan, SCHEMA)


@pytest.mark.parametrize("plan", BAD, ids=json.dumps)
def test_what_the_loader_refuses_the_schema_refuses(plan: Any) -> None:
    assert validate(plan)[0] is None
    assert not fits(plan, SCHEMA)


def test_it_knows_every_key_and_no_other() -> None:
    parts = SCHEMA["$defs"]
    assert set(SCHEMA["properties"]) == {*PlanSpec.model_fields, "$schema"}
    assert set(parts["options"]["properties"]) == set(Options.model_fields)
    assert set(parts["task"]["properties"]) == set(TaskSpec.model_fields)
    assert set(parts["file"]["anyOf"][1]["properties"]) == set(FileSpec.model_fields)


def test_every_key_is_explained_and_every_example_is_right() -> None:
    explained = [*SCHEMA["properties"].items(), *SCHEMA["$defs"]["task"]["properties"].items()]
    for name, one in explained:
        assert len(one["description"]) > 10, name
        for example in one.get("examples", []):
            assert fits(example, one), (name, example)


def test_it_is_json_of_draft_2020_12_whose_references_all_lead_somewhere() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert SCHEMA["$schema"] == DIALECT
    found = set(references(SCHEMA))
    assert found == {f"#/$defs/{name}" for name in SCHEMA["$defs"]}


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from [item] if key == "$ref" else references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)
