"""Every command in every form that it has, as words to type: for tests that go over all of them.

They run against the scene of scene.py, in a directory laid out by its `lay_out`.
"""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """Words behind `br parallel`, what comes on standard input, the exit code, whether --json is for it."""

    words: str
    code: int = 0
    has_json: bool = True
    given: str | None = None

    @property
    def command(self) -> str:
        return self.words.partition(" ")[0]


SHAPES: dict[str, Shape] = {
    "start": Shape("start Mine --tasks 50"),
    "start-plan": Shape("start --plan plan.yaml"),
    "start-dry-run": Shape("start --plan plan.yaml --dry-run"),
    "start-commands": Shape("start --commands jobs.txt"),
    "start-args": Shape("start Pack --args - -- gzip -9 {}", given="a.log\nb c.log\n"),
    "start-wait": Shape("start --plan plan.yaml --wait", 6),
    "start-watch": Shape("start --plan plan.yaml --watch"),
    "preview": Shape("preview --plan plan.yaml"),
    "preview-session": Shape("preview --plan more.yaml --session a3f2"),
    "list": Shape("list"),
    "list-failed": Shape("list --status failed --limit 1"),
    "list-none": Shape("list --status cancelled"),
    "status": Shape("status"),
    "status-verbose": Shape("status a3f2 --verbose"),
    "status-ended": Shape("status d0e1"),
    "status-created": Shape("status e1f2"),
    "pause": Shape("pause a3f2"),
    "pause-already": Shape("pause c9d0 --now --release-locks"),
    "pause-all": Shape("pause --all"),
    "resume": Shape("resume c9d0"),
    "resume-worker": Shape("resume e1f2 --worker d4e5"),
    "resume-all": Shape("resume --all"),
    "cancel": Shape("cancel a3f2 --force"),
    "cancel-all": Shape("cancel --all -f"),
    "cancel-task": Shape("cancel a3f2 --task unit"),
    "close": Shape("close last"),
    "wait": Shape("wait a3f2", 6),
    "wait-task": Shape("wait a3f2 unit", 6),
    "wait-done": Shape("wait b7c8 --timeout 90s"),
    "retry": Shape("retry d0e1"),
    "retry-task": Shape("retry d0e1 unit"),
    "retry-nothing": Shape("retry b7c8"),
    "retry-wait": Shape("retry d0e1 --wait", 6),
    "cleanup": Shape("cleanup --days 0 --yes"),
    "cleanup-dry-run": Shape("cleanup --dry-run"),
    "submit": Shape("submit a3f2 --id ship --timeout 10m -- make docs"),
    "submit-handler": Shape("submit a3f2 --id ship --handler compile --payload job.json"),
    "submit-plan": Shape("submit a3f2 --plan more.yaml"),
    "submit-commands": Shape("submit a3f2 --commands jobs.txt"),
    "tasks": Shape("tasks"),
    "tasks-failed": Shape("tasks a3f2 --state failed --limit 1"),
    "tasks-none": Shape("tasks b7c8"),
    "show": Shape("show a3f2 unit"),
    "show-running": Shape("show a3f2 docs"),
    "show-result": Shape("show a3f2 unit --result", has_json=False),
    "show-patch": Shape("show a3f2 unit --patch", has_json=False),
    "logs": Shape("logs a3f2 unit"),
    "logs-session": Shape("logs a3f2"),
    "logs-tag": Shape("logs a3f2 --tag --follow"),
    "explain": Shape("explain a3f2"),
    "explain-ended": Shape("explain d0e1"),
    "explain-task": Shape("explain a3f2 docs"),
    "explain-waiting": Shape("explain a3f2 pack"),
    "story": Shape("story a3f2"),
    "story-task": Shape("story a3f2 unit"),
    "story-limit": Shape("story a3f2 --limit 2"),
    "story-worker": Shape("story d4e5"),
    "joblog": Shape("joblog a3f2"),
    "summary": Shape("summary"),
    "dashboard": Shape("dashboard --once"),
    "dashboard-session": Shape("dashboard a3f2 --once --compact"),
    "watch": Shape("watch"),
    "watch-session": Shape("watch a3f2 --kind task --since 9"),
    "lock": Shape("lock a3f2 src/app.py tests/"),
    "lock-lease": Shape("lock a3f2 src/app.py --shared --wait 1m --lease 90s"),
    "lock-command": Shape("lock a3f2 src/app.py -- sh -c 'exit 3'", 3, has_json=False),
    "unlock": Shape("unlock a3f2"),
    "unlock-nothing": Shape("unlock e1f2"),
    "unlock-grant": Shape("unlock --grant ab12cd34ef56ab78 --fence 101"),
    "unlock-force": Shape("unlock --force a1a1 --reason stuck"),
    "locks": Shape("locks"),
    "locks-session": Shape("locks src --session a3f2"),
    "locks-waiting": Shape("locks --waiting"),
    "locks-stats": Shape("locks --stats --since 1h"),
    "guard-install": Shape("guard install --strict"),
    "guard-remove": Shape("guard remove"),
    "guard-status": Shape("guard status"),
    "workers": Shape("workers"),
    "workers-idle": Shape("workers --status idle --limit 1"),
    "workers-none": Shape("workers --status offline --limit 5"),
    "scale": Shape("scale 4"),
    "scale-session": Shape("scale 2 --session a3f2 --slots 2 --label gpu"),
    "drain": Shape("drain d4e5"),
    "drain-wait": Shape("drain --all --wait"),
    "info": Shape("info"),
    "stop": Shape("stop"),
    "backup": Shape("backup copy.db"),
    "schema-stop": Shape("schema stop", has_json=False),
    "worker": Shape("worker --session a3f2", has_json=False),
    "serve": Shape("serve --data state", has_json=False),
}
# What only looks, with its exit code where nothing was ever started.
WITHOUT_STATE: dict[str, int] = {
    "list": 0, "status": 0, "tasks": 0, "summary": 0, "workers": 0, "info": 0, "watch": 0, "locks": 0,
    "dashboard": 0,
    "locks-waiting": 0, "locks-stats": 0, "cleanup": 0, "stop": 0, "status-verbose": 4, "show": 4, "pause": 4,
}  # fmt: skip
