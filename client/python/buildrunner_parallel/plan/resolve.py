"""From the file's form to the `Plan`: defaults and matrix applied, ids unique, needs resolved, no cycles.

Pure: looks at no file and no environment.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .errors import Path, Problem, describe
from .matrix import Filler, combination_count, combinations
from .model import Plan, PlanFile, PlanTask
from .needs import MAX_EDGES, IdIndex, find_cycle
from .schema import MAX_NAME_BYTES, FileSpec, Options, PlanSpec, TaskSpec

MAX_TASKS = 1_000_000
MAX_PROBLEMS = 100
_OPTIONS = tuple(Options.model_fields)
_MERGED = ("env", "metadata")


def resolve(spec: PlanSpec, source: str) -> tuple[Plan | None, list[Problem]]:
    """The plan that `spec` describes, or what is wrong with it."""
    tasks, problems = _tasks(spec)
    if not problems:
        problems = _duplicates(tasks)
    if not problems:
        tasks, problems = _with_needs(tasks)
    if problems:
        return None, problems
    return Plan(tuple(tasks), spec.name, spec.workers, spec.on_failure, spec.max_parallel, source), []


def _tasks(spec: PlanSpec) -> tuple[list[PlanTask], list[Problem]]:
    taken: set[str | None] = {task.id for task in spec.tasks if task.id is not None}
    tasks: list[PlanTask] = []
    for index, entry in enumerate(spec.tasks):
        options = _options(entry, spec.defaults)
        if entry.merge and options["isolate"] != "worktree":
            message = "expected off, or isolate: worktree beside it, found on"
            return [], [Problem(("tasks", index, "merge"), message)]
        task_id = entry.id or _free_id(index, taken)
        if entry.matrix is None:
            tasks.append(_task(entry, options, task_id, index, None))
            continue
        if len(tasks) + combination_count(entry.matrix) > MAX_TASKS:
            message = f"expected at most {MAX_TASKS:,} tasks in a plan, found more"
            return [], [Problem(("tasks", index, "matrix"), message)]
        fillers = [Filler(combination) for combination in combinations(entry.matrix)]
        made = [_task(entry, options, task_id, index, filler.fill) for filler in fillers]
        problem = _bad_matrix_id(entry, task_id, made)
        if problem:
            return [], [Problem(("tasks", index, "id"), problem)]
        tasks += made
    return tasks, []


def _free_id(index: int, taken: set[str | None]) -> str:
    task_id = f"task-{index + 1}"
    while task_id in taken:
        task_id += "x"
    taken.add(task_id)
    return task_id


def _bad_matrix_id(entry: TaskSpec, task_id: str, made: list[PlanTask]) -> str:
    if len({task.task_id for task in made}) < len(made):
        keys = " ".join(f"{{{key}}}" for key in entry.matrix or ())
        return f'expected an id with every key of the matrix ({keys}), found "{task_id}"'
    if any(len(task.task_id.encode()) > MAX_NAME_BYTES or not task.task_id.strip() for task in made):
        return f"expected ids of 1 to {MAX_NAME_BYTES} bytes, found others once the matrix is filled in"
    return ""


def _options(entry: TaskSpec, defaults: Options) -> dict[str, Any]:
    """The task's own value of each option, else the default's; `env` and `metadata` are merged."""
    own = entry.model_fields_set
    options = {name: getattr(entry if name in own else defaults, name) for name in _OPTIONS}
    for name in _MERGED:
        if getattr(defaults, name) and name in own:
            options[name] = {**getattr(defaults, name), **getattr(entry, name)}
    # Of `defaults` it is meant for those that have a worktree to merge.
    options["merge"] = bool(options["merge"]) and options["isolate"] == "worktree"
    return options


def _task(
    entry: TaskSpec, options: dict[str, Any], task_id: str, index: int, fill: Callable[[Any], Any] | None
) -> PlanTask:
    part = fill if fill is not None else _as_it_is
    filled = {name: part(value) for name, value in options.items()}
    payload, content_type = _payload(part(entry.payload)) if entry.handler is not None else (b"", "")
    return PlanTask(
        task_id=part(task_id),
        index=index,
        run=part(entry.run),
        argv=tuple(part(entry.argv or [])),
        handler=part(entry.handler),
        payload=payload,
        content_type=content_type,
        needs=tuple(part(entry.needs)),
        files=tuple(_file(file, part) for file in entry.files),
        timeout_s=filled.pop("timeout"),
        grace_s=filled.pop("grace"),
        labels=tuple(filled.pop("labels")),
        pass_env=tuple(filled.pop("pass_env")),
        **filled,
    )


def _as_it_is(value: Any) -> Any:
    return value


def _payload(value: Any) -> tuple[bytes, str]:
    if value is None:
        return b"", ""
    if isinstance(value, str):
        return value.encode(), "text/plain; charset=utf-8"
    return json.dumps(value, ensure_ascii=False, default=str).encode(), "application/json"


def _file(file: FileSpec, part: Callable[[Any], Any]) -> PlanFile:
    if file.literal is not None:
        return PlanFile(part(file.literal), file.mode, "literal")
    if file.glob is not None:
        return PlanFile(part(file.glob), file.mode, "glob")
    return PlanFile(part(file.path), file.mode)


def _duplicates(tasks: list[PlanTask]) -> list[Problem]:
    first: dict[str, int] = {}
    problems: list[Problem] = []
    for task in tasks:
        if task.task_id in first and len(problems) < MAX_PROBLEMS:
            where = f"tasks[{first[task.task_id]}]"
            message = f'expected ids that are there once, found "{task.task_id}" that {where} has too'
            problems.append(Problem(("tasks", task.index, "id"), message))
        first.setdefault(task.task_id, task.index)
    return problems


def _with_needs(tasks: list[PlanTask]) -> tuple[list[PlanTask], list[Problem]]:
    index = IdIndex(task.task_id for task in tasks)
    problems: list[Problem] = []
    resolved: list[PlanTask] = []
    edges = 0
    for task in tasks:
        needs = _needs_of(task, index, problems) if task.needs else ()
        edges += len(needs)
        if edges > MAX_EDGES:
            message = f"expected at most {MAX_EDGES:,} needs in a plan, found more"
            return [], [Problem(("tasks", task.index, "needs"), message)]
        resolved.append(replace(task, needs=needs) if needs else task)
    return resolved, problems or _cycle(resolved)


def _needs_of(task: PlanTask, index: IdIndex, problems: list[Problem]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for position, name in enumerate(task.needs):
        matches = index.match(name)
        if not matches and len(problems) < MAX_PROBLEMS:
            path: Path = ("tasks", task.index, "needs", position)
            message = f"expected the id of a task, found {describe(name)}: {index.suggestion(name)}"
            problems.append(Problem(path, message))
        for task_id in matches:
            # A pattern that happens to match the task itself means the others.
            if task_id != task.task_id or name == task_id:
                found[task_id] = None
    return tuple(found)


def _cycle(tasks: list[PlanTask]) -> list[Problem]:
    cycle = find_cycle({task.task_id: task.needs for task in tasks})
    if not cycle:
        return []
    at = next(task.index for task in tasks if task.task_id == cycle[0])
    shown = [*cycle[:8], "…", *cycle[-2:]] if len(cycle) > 11 else cycle
    message = f"expected needs without a cycle, found {' -> '.join(shown)}"
    return [Problem(("tasks", at, "needs"), message)]
