"""From what `submit` and `map` are given to task specs: commands, handlers, payloads. Pure."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, TypedDict

from .errors import InvalidRequestError
from .specs import ExternalWork, PathRequest, Payload, TaskSpec

PLACEHOLDER = "{}"

Template: TypeAlias = "Sequence[str | os.PathLike[str]] | str | Callable[[Any], TaskSpec]"


class TaskOptions(TypedDict, total=False):
    """What may be said of a task besides its work; as in TaskSpec."""

    env: Mapping[str, str]
    passed_env: Mapping[str, str]
    worktree: str
    cwd: str
    timeout_s: float | None
    grace_s: float | None
    needs: Sequence[str]
    files: Sequence[PathRequest]
    priority: int
    retries: int
    backoff_s: float | None
    backoff_max_s: float | None
    labels: Sequence[str]
    worker_id: str
    slots: int
    metadata: Mapping[str, Any]
    audit: str


class WorkOptions(TaskOptions, total=False):
    """The same, and ways to say what runs."""

    task_id: str
    shell_line: str
    handler: str
    payload: Any
    external: ExternalWork


def task_of(work: TaskSpec | Sequence[str | os.PathLike[str]] | None, options: Mapping[str, Any]) -> TaskSpec:
    """One task: a spec, whose fields `options` replace, or the words of a command, or what `options` say.

    Raises InvalidRequestError for a lone string.
    """
    changes = dict(options)
    if changes.get("payload") is not None:
        changes["payload"] = to_payload(changes["payload"])
    if isinstance(work, TaskSpec):
        return dataclasses.replace(work, **changes)
    if isinstance(work, str | bytes):
        raise InvalidRequestError(
            f"{work!r} is no list of words; give a list, or shell_line=..., or handler=...", reason="INVALID"
        )
    if work is not None:
        changes["argv"] = tuple(os.fspath(word) for word in work)
    return TaskSpec(**changes)


def task_maker(template: Template, options: Mapping[str, Any]) -> Callable[[Any], TaskSpec]:
    """What makes the task of an item: words in which `{}` stands for the item, the name of a handler that
    gets it as its payload, or a function. Raises InvalidRequestError for a template that has no place for the
    item."""
    fixed = dict(options)
    if callable(template):
        return partial(_made, template, fixed)
    if isinstance(template, str):
        if not template or PLACEHOLDER in template or any(letter.isspace() for letter in template):
            raise InvalidRequestError(
                f"{template!r} is no name of a handler; a command is a list of words", reason="INVALID"
            )
        return lambda item: TaskSpec(handler=template, payload=to_payload(item), **fixed)
    words = tuple(os.fspath(word) for word in template)
    if not any(PLACEHOLDER in word for word in words):
        raise InvalidRequestError(
            f"no word of {list(words)} contains {PLACEHOLDER}, the place of the item", reason="INVALID"
        )
    return lambda item: TaskSpec(argv=filled(words, item), **fixed)


def _made(make: Callable[[Any], TaskSpec], fixed: Mapping[str, Any], item: Any) -> TaskSpec:
    task = make(item)
    if not isinstance(task, TaskSpec):
        raise InvalidRequestError(
            f"the function given to map must return a TaskSpec, not {type(task).__name__}; "
            "functions that do the work itself are handlers, and go by their name",
            reason="INVALID",
        )
    return dataclasses.replace(task, **fixed) if fixed else task


def filled(words: Sequence[str], item: Any) -> tuple[str, ...]:
    """`words` with the item's text in each place."""
    text = os.fspath(item) if isinstance(item, os.PathLike) else str(item)
    return tuple(word.replace(PLACEHOLDER, text) for word in words)


def to_payload(value: Any) -> Payload | None:
    """Bytes as they are, text as UTF-8, a Payload with its own type, None as none, anything else as JSON.

    The counterpart of what a handler's result becomes. Raises InvalidRequestError when it cannot be JSON.
    """
    if value is None or isinstance(value, Payload):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return Payload(bytes(value), "application/octet-stream")
    if isinstance(value, str):
        return Payload(value.encode(), "text/plain; charset=utf-8")
    try:
        return Payload(json.dumps(value).encode(), "application/json")
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"the payload is not JSON: {error}", reason="INVALID") from error
