"""The plan file as a JSON Schema (draft 2020-12), for editors: what `schema plan` prints.

Shaped by hand for good help while typing; a test holds it against the loader. What only the whole plan can
tell (ids that are there once, needs that exist, cycles, a matrix's ids) is left to the loader.
"""

from __future__ import annotations

from typing import Any

from buildrunner_parallel.bounds import MOST_SLOTS, MOST_WORKERS

from .schema import (
    MAX_COMMAND_BYTES,
    MAX_DURATION_S,
    MAX_NAME_BYTES,
    MAX_PARALLEL,
    MAX_PRIORITY,
    MAX_RETRIES,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

# Characters that `text.sanitize` makes visible: none of them may be in a name.
_HIDDEN = (
    r"\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
)
_NAME = rf"^[^\s{_HIDDEN}](?:[^{_HIDDEN}]*[^\s{_HIDDEN}])?$"
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_SPAN = "".join(rf"(?:{_NUMBER} *{unit} *)?" for unit in ("[dD]", "[hH]", "[mM](?![sS])", "[sS]", "[mM][sS]"))
_DURATION = rf"^ *(?=[0-9])(?:{_NUMBER}|{_SPAN}) *$"


def plan_schema() -> Schema:
    """The schema, as a JSON object."""
    return {
        "$schema": DIALECT,
        "title": "BuildRunner plan",
        "description": "Tasks that run side by side, what each needs and which files it works on.",
        "type": "object",
        "required": ["tasks"],
        "additionalProperties": False,
        "properties": {
            "$schema": {"type": "string", "description": "Where this schema is; for editors only."},
            **_PLAN,
        },
        "$defs": _PARTS_OF_A_PLAN,
    }


def _ref(name: str, description: str, **more: Any) -> Schema:
    return {"$ref": f"#/$defs/{name}", "description": description, **more}


def _or_null(schema: Schema, description: str, **more: Any) -> Schema:
    """Left empty, a key counts as left out."""
    return {"anyOf": [schema, {"type": "null"}], "description": description, **more}


def _list(name: str, description: str, **more: Any) -> Schema:
    return {"type": "array", "items": {"$ref": f"#/$defs/{name}"}, "description": description, **more}


def _number(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def _named(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _one_of(*names: str) -> list[Schema]:
    """Exactly one of the keys, with a value."""
    return [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in names]


_PLAN: Schema = {
    "name": _or_null(
        _named("name"), "Name of the session; the one on the command line wins.", examples=["Build v3.1"]
    ),
    "workers": _or_null(
        _number(0, MOST_WORKERS),
        "Worker processes for this session alone; 0 starts none. Else 3.",
        examples=[3],
    ),
    "on_failure": _or_null(
        {
            "type": "string",
            "pattern": "^(?:continue|(?:finish-running|stop-now)(?::(?=[0-9]{1,9}$)0*[1-9][0-9]*)?)$",
        },
        "What a failed task means for the others: continue; finish-running starts nothing new; stop-now "
        "stops what runs, too. A number after a colon: only from that many failed tasks on.",
        default="continue",
        examples=["continue", "finish-running", "stop-now", "finish-running:3"],
    ),
    "max_parallel": _or_null(_number(1, MAX_PARALLEL), "Most tasks of the session at once.", examples=[8]),
    "defaults": _ref("options", "Options of every task that does not say otherwise."),
    "tasks": _list("task", "The tasks, in any order.", minItems=1),
}

_OPTIONS: Schema = {
    "timeout": _or_null(
        _named("timeout"), "Running time until it is stopped.", examples=["10m", "1h30m", 90]
    ),
    "grace": _or_null(
        _named("duration"), "Time between SIGTERM and SIGKILL. Else 10 s.", examples=["20s", 0]
    ),
    "retries": {
        **_number(0, MAX_RETRIES),
        "description": "How often to try again after a failure.",
        "default": 0,
        "examples": [1],
    },
    "labels": _list("name", "Labels that its worker must have, all of them.", examples=[["linux"]]),
    "priority": {
        **_number(-MAX_PRIORITY, MAX_PRIORITY),
        "description": "Higher goes first, over all sessions.",
        "default": 0,
        "examples": [10],
    },
    "slots": {
        **_number(1, MOST_SLOTS),
        "description": "How many of its worker's slots it takes.",
        "default": 1,
        "examples": [2],
    },
    "cwd": _or_null(
        _named("text"), "Working directory, seen from where the plan is submitted.", examples=["web"]
    ),
    "env": _ref("variables", "Variables to set, merged with those of `defaults`.", examples=[{"CI": "1"}]),
    "pass_env": _list("text", "Patterns; variables of yours that match are passed on.", examples=[["PIP_*"]]),
    "audit": _or_null(
        {"enum": [True, False, "on", "off", "auto"]},
        "Whether what it changes is compared with its files; auto: when it has any.",
        default="auto",
    ),
    "isolate": _or_null(
        {"enum": ["worktree", "none"]}, "Whether it runs in a git worktree of its own.", default="none"
    ),
    "merge": _or_null(
        {"enum": [True, False, "on", "off"]},
        "Whether the branch of its own worktree is merged into the session's when it has succeeded.",
        default="off",
    ),
    "worker": _or_null(_named("name"), "Id of the one worker that may run it.", examples=["d4e5f6a7"]),
    "metadata": {"type": "object", "description": "Anything of your own, merged with that of `defaults`."},
}

_TASK: Schema = {
    "id": _or_null(
        _named("name"), "Unique in the session. Else task-1, task-2, ... by position.", examples=["unit"]
    ),
    "run": _or_null(
        _named("text"), "A line for /bin/sh: pipes, variables and redirections work.", examples=["make all"]
    ),
    "argv": _or_null(
        {
            "type": "array",
            "minItems": 1,
            "items": _named("argument"),
            "prefixItems": [_named("text")],
        },
        "A program and its arguments, without a shell in between.",
        examples=[["pytest", "-q", "tests/unit"]],
    ),
    "handler": _or_null(
        _named("name"), "Name of a Python handler that a worker has loaded.", examples=["compile"]
    ),
    "payload": {"description": "What the handler gets: text as it is, anything else as JSON."},
    "needs": _list(
        "name",
        "Tasks that must have succeeded before: ids, or patterns with *, ? and [...].",
        examples=[["lint"], ["build-*"]],
    ),
    "files": _list(
        "file",
        "Paths that it works on: it starts when all are free, and holds them until it has ended.",
        examples=[["src/app.py"], [{"path": "src/", "mode": "shared"}]],
    ),
    "matrix": _or_null(
        {
            "type": "object",
            "minProperties": 1,
            "propertyNames": _named("name"),
            "additionalProperties": {"type": "array", "minItems": 1, "items": _named("value")},
        },
        "Lists of values: one task for each combination, {key} filled in wherever the task has text.",
        examples=[{"target": ["app", "docs"]}],
    ),
}

_PARTS_OF_A_PLAN: Schema = {
    "options": {"type": "object", "additionalProperties": False, "properties": _OPTIONS},
    "task": {
        "title": "Task",
        "type": "object",
        "additionalProperties": False,
        "properties": {**_TASK, **_OPTIONS},
        "oneOf": _one_of("run", "argv", "handler"),
        "dependentSchemas": {"payload": {"required": ["handler"]}},
    },
    "file": {
        "title": "Path",
        "anyOf": [
            {**_named("text"), "description": "A file; with / at the end, a directory; or a pattern."},
            {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "path": {**_named("text"), "description": "As plain text would be meant."},
                    "literal": {**_named("text"), "description": "A path whose *, ? and [ are just that."},
                    "glob": {**_named("text"), "description": "A pattern, whatever exists."},
                    "mode": {
                        "enum": ["exclusive", "shared"],
                        "description": "Shared excludes only exclusive holders.",
                        "default": "exclusive",
                    },
                },
                "oneOf": [{"required": [name]} for name in ("path", "literal", "glob")],
            },
        ],
    },
    "name": {"type": "string", "maxLength": MAX_NAME_BYTES, "pattern": _NAME},
    "argument": {"type": "string", "maxLength": MAX_COMMAND_BYTES, "pattern": r"^[^\u0000]*$"},
    "text": {"$ref": "#/$defs/argument", "pattern": r"\S"},
    "value": {"anyOf": [_named("argument"), {"type": ["integer", "boolean"]}]},
    "variables": {
        "type": "object",
        "propertyNames": {"pattern": r"^(?=.*\S)[^=\u0000]+$", "maxLength": MAX_COMMAND_BYTES},
        "additionalProperties": _named("value"),
    },
    "duration": {
        "description": "90s, 10m, 1h30m, 500ms, 2d, or a number of seconds.",
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": MAX_DURATION_S},
            {"type": "string", "pattern": _DURATION, "maxLength": 40},
        ],
    },
    "timeout": {
        **_named("duration"),
        "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": "[1-9]"}],
    },
}
