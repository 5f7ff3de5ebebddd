"""What each command writes with `--json`, as JSON Schemas (draft 2020-12): `schema NAME` prints one.

A command that writes one document has one schema with a form for each way to call it; of a stream it is the
schema of a line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from buildrunner_parallel.plan.json_schema import DIALECT, plan_schema

from .record_schemas import BASE64, TEXT, RecordSchemas, Schema, or_null
from .render import SCHEMA_VERSION

COUNT: Schema = {"type": "integer", "minimum": 0}
STRING: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
NULL: Schema = {"type": "null"}


@dataclass(frozen=True)
class Form:
    """One way to call a command, and the members that its document has then."""

    told: str
    members: dict[str, Schema]
    optional: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Document:
    """All that a command writes; `stream`: one such document a line."""

    command: str
    forms: tuple[Form, ...]
    stream: bool = False


Maker = Callable[["Makers"], Document]


class Makers:
    """Short words for the parts of documents."""

    def __init__(self) -> None:
        self.records = RecordSchemas()

    def one(self, name: str) -> Schema:
        """A record by the name of its class."""
        from buildrunner_parallel import records

        return self.records.reference(getattr(records, name))

    def many(self, name: str) -> Schema:
        return {"type": "array", "items": self.one(name)}

    def session(self, told: str, **more: Schema) -> Form:
        return Form(told, {"session": self.one("Session"), **more})

    def sessions(self, told: str, **more: Schema) -> Form:
        return Form(told, {"sessions": self.many("Session"), **more})


def document_names() -> tuple[str, ...]:
    """The commands that write JSON, in the order of the reference."""
    return tuple(_DOCUMENTS)


def schema_names() -> tuple[str, ...]:
    """All names that `schema` takes."""
    return ("plan", *_DOCUMENTS)


def named_schema(name: str) -> Schema:
    """The schema of that name. Raises KeyError when there is none."""
    return plan_schema() if name == "plan" else document_schema(name)


def document_schema(name: str) -> Schema:
    """The schema of what the command `name` writes with --json. Raises KeyError."""
    makers = Makers()
    document = _DOCUMENTS[name](makers)
    what = "A line" if document.stream else "What"
    head = (
        f"{what} {'of what ' if document.stream else ''}`br parallel {document.command}` writes with --json"
    )
    forms = [_form(form) for form in document.forms]
    schema: Schema = {"$schema": DIALECT, "title": head}
    schema |= forms[0] if len(forms) == 1 else {"anyOf": forms}
    if makers.records.definitions:
        schema["$defs"] = dict(sorted(makers.records.definitions.items()))
    return schema


def document_of(name: str) -> Document:
    """Its forms, for those who describe them. Raises KeyError."""
    return _DOCUMENTS[name](Makers())


def _form(form: Form) -> Schema:
    members = {"schema_version": {"const": SCHEMA_VERSION}, **form.members}
    required = [name for name in members if name not in form.optional]
    return {"description": form.told, "type": "object", "required": required, "properties": members}


def _object(**members: Schema) -> Schema:
    return {"type": "object", "required": list(members), "properties": members}


# ---------------------------------------------------------------- sessions


def _start(make: Makers) -> Document:
    spec: Any = {"allOf": [make.one("TaskSpec")], "description": "Of passed_env there are only the names."}
    make.records.definitions["TaskSpec"]["properties"]["passed_env"] = _names_or_values()
    return Document(
        "start",
        (
            make.session("The session: as it began; with --wait and --watch, at its end."),
            Form("With --watch, before that: a task that changed.", {
                "revision": COUNT, "task": make.one("TaskSummary"),
            }),
            Form("With --dry-run: what a task would be submitted as.", {"task": spec}),
        ),
        stream=True,
    )  # fmt: skip


def _names_or_values() -> Schema:
    names: Schema = {"type": "array", "items": STRING}
    return {"anyOf": [names, {"type": "object", "additionalProperties": STRING}]}


def _status(make: Makers) -> Document:
    plain = {"session": make.one("Session"), "failed_tasks": make.many("TaskSummary")}
    return Document(
        "status",
        (
            Form("One session, with the first of its failed tasks.", plain),
            Form("With --verbose: what surrounds it, too.", {
                **plain,
                "workers": make.many("Worker"),
                "locks": make.many("PathLock"),
                "lock_waiters": make.many("LockWaiter"),
                "waiting_tasks": make.many("TaskSummary"),
                "blocked_waiters": make.many("LockWaiter"),
            }),
            Form("Where there is no session.", {"session": NULL}),
        ),
    )  # fmt: skip


def _one_or_all(command: str) -> Maker:
    def make_it(make: Makers) -> Document:
        return Document(command, (
            make.session("One session, as it is then."),
            make.sessions("With --all: those that it applied to."),
        ))  # fmt: skip

    return make_it


def _cancel(make: Makers) -> Document:
    forms = _one_or_all("cancel")(make).forms
    return Document("cancel", (*forms, Form("With --task.", {"task": make.one("TaskSummary")})))


def _wait(make: Makers) -> Document:
    return Document("wait", (
        make.session("A session at its end."),
        Form("With TASK: the task at its end.", {"task": make.one("Task")}),
    ))  # fmt: skip


def _retry(make: Makers) -> Document:
    return Document("retry", (
        make.session("The session, and how many of its tasks run again.", retried_tasks=COUNT),
        make.session("With --wait: the session at its end."),
    ))  # fmt: skip


def _cleanup(make: Makers) -> Document:
    return Document(
        "cleanup", (make.sessions("Those that went; with --dry-run, that would.", dry_run=BOOLEAN),)
    )


def _preview(make: Makers) -> Document:
    return Document("preview", (Form("The shape of the plan, and what would wait for whom.", {
        "preview": make.one("PlanPreview"),
    }),))  # fmt: skip


# ---------------------------------------------------------------- tasks


def _submit(make: Makers) -> Document:
    return Document("submit", (
        Form("One task.", {"task": make.one("TaskSummary")}),
        Form("With --plan: all that were added.", {"tasks": make.many("TaskSummary")}),
        Form("With --commands and --args.", {"submitted": _object(session_id=STRING, task_count=COUNT)}),
    ))  # fmt: skip


def _tasks(make: Makers) -> Document:
    return Document("tasks", (Form("Tasks of a session; its id is null where there is none.", {
        "session_id": or_null(STRING), "tasks": make.many("TaskSummary"),
    }),))  # fmt: skip


def _show(make: Makers) -> Document:
    return Document("show", (Form("The task with its attempts, oldest first.", {"task": make.one("Task")}),))


def _logs(make: Makers) -> Document:
    from buildrunner_parallel.enums import OutputChannel

    from .record_schemas import words

    place: dict[str, Schema] = {"task_id": STRING, "attempt": COUNT}
    piece = {
        **place,
        "offset": {**COUNT, "description": "In bytes, those left out counted."},
        "channel": words(OutputChannel),
        "text": TEXT,
        "base64": BASE64,
        "dropped_bytes": {**COUNT, "description": "Left out right before this piece."},
    }
    return Document(
        "logs",
        (
            Form("A piece of output, with text or base64.", piece, frozenset({"text", "base64"})),
            Form("With --follow, of a session: no more comes of that attempt.", {
                **place, "attempt_ended": {"const": True},
            }),
        ),
        stream=True,
    )  # fmt: skip


def _explain(make: Makers) -> Document:
    reason = _object(
        task_count=COUNT,
        task_ids={"type": "array", "items": STRING},
        **make.records.definitions[make.one("Wait")["$ref"].rpartition("/")[2]]["properties"],
    )
    return Document("explain", (
        make.session(
            "A session: each reason once, those of most tasks first; by_hand: what it waits for with `lock`.",
            reasons={"type": "array", "items": reason},
            explained_tasks=COUNT,
            by_hand=make.many("Wait"),
        ),
        Form("With TASK: all that keeps it from running, the most telling first.", {
            "task": make.one("Task"), "waits": make.many("Wait"),
        }),
    ))  # fmt: skip


def _story(make: Makers) -> Document:
    return Document("story", (Form("What happened, oldest first; more: --limit left some out.", {
        "events": make.many("HistoryEvent"), "more": BOOLEAN,
    }),))  # fmt: skip


def _joblog(make: Makers) -> Document:
    make.one("Attempt")
    attempt = make.records.definitions["Attempt"]
    del attempt["properties"]["result"]
    attempt["required"].remove("result")
    return Document("joblog", (Form("An attempt that is over, without its result.", {
        "session_id": STRING, "task_id": STRING, "task_number": COUNT, "command": STRING,
        "attempt": make.one("Attempt"),
    }),), stream=True)  # fmt: skip


# ---------------------------------------------------------------- overview


def _summary(make: Makers) -> Document:
    plain = make.records.definitions[make.one("Summary")["$ref"].rpartition("/")[2]]
    del make.records.definitions["Summary"]
    whole = {**plain, "properties": {**plain["properties"], "workers": _statistics()}}
    return Document("summary", (Form("Counts over everything that the coordinator keeps.", {
        "summary": {**whole, "required": [*plain["required"], "workers"]},
    }),))  # fmt: skip


def _statistics() -> Schema:
    percent: Schema = {"type": "number", "minimum": 0, "maximum": 100, "description": "Busy of all workers."}
    return _object(
        total=COUNT, idle=COUNT, busy=COUNT, offline=COUNT, error=COUNT, utilization_percent=percent
    )


def _dashboard(make: Makers) -> Document:
    from buildrunner_parallel.dashboard.fold import Board
    from buildrunner_parallel.dashboard.plain import statistics_data

    number: Schema = {"type": "number", "minimum": 0}
    figures = dict.fromkeys(statistics_data(Board(), 0.0), COUNT)
    figures |= {"tasks_per_second": number, "utilization_percent": {**number, "maximum": 100}}
    holders = make.many("LockHolder")
    contended = _object(
        path=STRING,
        since=or_null({"type": "string", "format": "date-time"}),
        holders=holders,
        waiters=holders,
    )
    return Document("dashboard", (Form("A snapshot; with --duration one a line.", {
        "dashboard": _object(
            statistics=_object(**figures),
            sessions=make.many("Session"),
            workers=make.many("Worker"),
            tasks=make.many("TaskSummary"),
            contended={"type": "array", "items": contended},
            failures=make.many("TaskSummary"),
        ),
    }),))  # fmt: skip


def _watch(make: Makers) -> Document:
    kinds = {
        "session": "Session", "task": "TaskSummary", "worker": "Worker", "lock": "PathLock", "pool": "Pool",
        "removed": "Removed",
    }  # fmt: skip
    revision: Schema = {**COUNT, "description": "`--since` this revision goes on behind it."}
    changed = (
        Form(f"A {name} as it is now." if name != "removed" else "Something is gone.", {
            "revision": revision,
            "snapshot": {**BOOLEAN, "description": "It was there when the stream began."},
            name: make.one(kind),
        })
        for name, kind in kinds.items()
    )  # fmt: skip
    true: Schema = {"const": True}
    return Document(
        "watch",
        (
            Form("What follows replaces all that was told; compacted: changes in between are gone.", {
                "revision": revision, "reset": true, "compacted": BOOLEAN,
            }),
            Form("The snapshot is whole.", {"revision": revision, "snapshot": true, "complete": true}),
            *changed,
        ),
        stream=True,
    )  # fmt: skip


# ---------------------------------------------------------------- locks, workers, the coordinator


def _lock(make: Makers) -> Document:
    locks = {"locks": make.many("PathLock")}
    return Document("lock", (
        Form("What was taken, a lock for each path, in their order.", locks),
        Form("Refused (exit code 5): nothing was taken, and who is in the way.", {
            **locks, "conflicts": make.many("LockConflict"),
        }),
    ))  # fmt: skip


def _unlock(make: Makers) -> Document:
    return Document(
        "unlock", (Form("What was given back, or taken away.", {"locks": make.many("PathLock")}),)
    )


def _locks(make: Makers) -> Document:
    waiters = {"waiters": make.many("LockWaiter")}
    return Document("locks", (
        Form("What is held, and who waits; with --waiting without locks.", {
            "locks": make.many("PathLock"), **waiters,
        }, frozenset({"locks"})),
        Form("With --stats.", {"lock_statistics": make.one("LockReport")}),
    ))  # fmt: skip


def _guard(_make: Makers) -> Document:
    hook = _object(
        name=STRING,
        path=STRING,
        status={"enum": ["absent", "installed", "changed", "foreign"]},
        strict=BOOLEAN,
        chained={**BOOLEAN, "description": "A hook from before runs first."},
    )
    return Document(
        "guard", (Form("The hooks, after the command.", {"hooks": {"type": "array", "items": hook}}),)
    )


def _workers(make: Makers) -> Document:
    return Document("workers", (Form("Workers, and how busy all of them are.", {
        "workers": make.many("Worker"), "statistics": _statistics(),
    }),))  # fmt: skip


def _scale(make: Makers) -> Document:
    return Document("scale", (Form("What is wanted, and the workers that the keeper runs for it.", {
        "pool": make.one("Pool"), "workers": make.many("Worker"),
    }),))  # fmt: skip


def _drain(make: Makers) -> Document:
    return Document("drain", (Form("The workers that were told.", {"workers": make.many("Worker")}),))


def _info(make: Makers) -> Document:
    return Document("info", (Form("The coordinator; null where none was ever started.", {
        "coordinator": or_null(make.one("CoordinatorInfo")),
    }),))  # fmt: skip


def _stop(_make: Makers) -> Document:
    return Document("stop", (Form("Whether there was one to stop.", {"stopped": BOOLEAN}),))


def _backup(_make: Makers) -> Document:
    return Document("backup", (Form("The copy.", {"backup": _object(file=STRING, size_bytes=COUNT)}),))


_DOCUMENTS: dict[str, Maker] = {
    "start": _start,
    "preview": _preview,
    "list": lambda make: Document("list", (make.sessions("Sessions, newest first."),)),
    "status": _status,
    "pause": _one_or_all("pause"),
    "resume": _one_or_all("resume"),
    "cancel": _cancel,
    "close": lambda make: Document("close", (make.session("The session, as it is then."),)),
    "wait": _wait,
    "retry": _retry,
    "cleanup": _cleanup,
    "submit": _submit,
    "tasks": _tasks,
    "show": _show,
    "logs": _logs,
    "explain": _explain,
    "story": _story,
    "joblog": _joblog,
    "summary": _summary,
    "dashboard": _dashboard,
    "watch": _watch,
    "lock": _lock,
    "unlock": _unlock,
    "locks": _locks,
    "guard": _guard,
    "workers": _workers,
    "scale": _scale,
    "drain": _drain,
    "info": _info,
    "stop": _stop,
    "backup": _backup,
}
