"""Examples of every command, as its help and the reference show them. Data only.

Each is what it does and a line to type; a test runs every one of them.
"""

from __future__ import annotations

from typing import NamedTuple

PROGRAM = "br parallel"


class Example(NamedTuple):
    """What it does, and how it is typed where the program is called `br parallel`."""

    told: str
    line: str


def _examples(*pairs: tuple[str, str]) -> tuple[Example, ...]:
    return tuple(Example(*pair) for pair in pairs)


EXAMPLES: dict[str, tuple[Example, ...]] = {
    "start": _examples(
        ("The tasks of a plan, with the dashboard until the end",
         "br parallel start --plan plan.yaml --watch"),
        ("Every line of a file is a task; wait for all of them",
         "br parallel start --commands jobs.txt --workers 5 --wait"),
        ("One task a file, each holding the lock of its file",
         "find . -name '*.py' -print0 | br parallel start -0 --file {} -- black {}"),
        ("An open session, to be filled with `submit`",
         'br parallel start "Build v3.1" --tasks 50 --workers 3'),
    ),
    "preview": _examples(
        ("Shape, conflicts and waits of a plan", "br parallel preview --plan plan.yaml"),
        ("The same, as an addition to a session", "br parallel preview --plan more.yaml --session a3f2e1d9"),
    ),
    "list": _examples(
        ("The newest 20 sessions", "br parallel list"),
        ("Those that run", "br parallel list --status running"),
        ("Ids of those that failed", "br parallel list --status failed --quiet"),
    ),
    "status": _examples(
        ("The newest session", "br parallel status"),
        ("One session with workers, locks and what waits", "br parallel status a3f2e1d9 --verbose"),
    ),
    "pause": _examples(
        ("Let running tasks finish, start nothing new", "br parallel pause a3f2e1d9"),
        ("Stop running tasks too, and give up the session's locks",
         "br parallel pause a3f2e1d9 --now --release-locks"),
        ("Everything that runs", "br parallel pause --all"),
    ),
    "resume": _examples(
        ("Go on", "br parallel resume a3f2e1d9"),
        ("Give the session a worker, and start or resume it",
         "br parallel resume a3f2e1d9 --worker d4e5f6a7"),
    ),
    "cancel": _examples(
        ("Ask, then stop everything of a session", "br parallel cancel a3f2e1d9"),
        ("Without asking, for scripts", "br parallel cancel a3f2e1d9 --force"),
        ("One task alone", "br parallel cancel a3f2e1d9 --task unit"),
    ),
    "close": _examples(
        ("Let the newest session end with its last task", "br parallel close last"),
        ("The session as it is then, for scripts", "br parallel close a3f2e1d9 --json"),
    ),
    "wait": _examples(
        ("Until the newest session is over", "br parallel wait last"),
        ("One task, at most ten minutes", "br parallel wait a3f2e1d9 unit --timeout 10m"),
    ),
    "retry": _examples(
        ("All that did not succeed", "br parallel retry last"),
        ("One task and what was skipped because of it; wait for the end",
         "br parallel retry a3f2e1d9 unit --wait"),
    ),
    "cleanup": _examples(
        ("What would go, without deleting it", "br parallel cleanup --dry-run"),
        ("Sessions that ended more than 30 days ago, without asking", "br parallel cleanup --days 30 --yes"),
    ),
    "submit": _examples(
        ("A command", "br parallel submit last --retries 2 --timeout 10m -- make docs"),
        ("One that needs another and holds a directory",
         "br parallel submit last --id ship --needs unit --file dist/ -- ./ship.sh"),
        ("A Python handler with a payload from a file",
         "br parallel submit last --handler compile --payload job.json"),
        ("A task for each line of standard input",
         "ls *.log | br parallel submit last --args - -- gzip -9 {}"),
    ),
    "tasks": _examples(
        ("Of the newest session", "br parallel tasks"),
        ("Those that failed", "br parallel tasks a3f2e1d9 --state failed"),
    ),
    "show": _examples(
        ("Attempts, exit codes, CPU and memory of a task", "br parallel show last unit"),
        ("Its result into a file", "br parallel show last unit --result > result.json"),
    ),
    "logs": _examples(
        ("What a task wrote", "br parallel logs last unit"),
        ("All tasks of a session as they write, each line with its task",
         "br parallel logs last --follow --tag"),
        ("The end of an earlier attempt's standard error",
         "br parallel logs last unit --attempt 1 --stderr --tail 20"),
    ),
    "explain": _examples(
        ("Why anything of the session does not run", "br parallel explain last"),
        ("One task, down to whoever is in its way", "br parallel explain last unit"),
    ),
    "story": _examples(
        ("What happened to a session", "br parallel story last"),
        ("To one of its tasks", "br parallel story last unit"),
        ("To a worker", "br parallel story d4e5f6a7"),
    ),
    "joblog": _examples(
        ("Into a file, as GNU parallel writes it", "br parallel joblog last > joblog.tsv"),
        ("Exit codes and commands alone", "br parallel joblog a3f2e1d9 | cut -f 7,9"),
    ),
    "dashboard": _examples(
        ("Until Ctrl+C", "br parallel dashboard"),
        ("For a minute", "br parallel dashboard --duration 60"),
        ("Compact, drawn once a second", "br parallel dashboard --compact --refresh 1.0"),
    ),
    "summary": _examples(
        ("Workers, sessions and tasks", "br parallel summary"),
        ("For scripts", "br parallel summary --json"),
    ),
    "watch": _examples(
        ("Everything from now on", "br parallel watch"),
        ("Tasks and locks of one session, as JSON lines",
         "br parallel watch a3f2e1d9 --kind task --kind lock --json"),
        ("What came behind a revision that was handled", "br parallel watch --since 1042 --json"),
    ),
    "lock": _examples(
        ("Two paths for a session, until `unlock`", "br parallel lock a3f2e1d9 src/app.py tests/"),
        ("Beside others that read, in line for at most a minute",
         "br parallel lock a3f2e1d9 'src/**/*.py' --shared --wait 1m"),
        ("As long as a command runs", "br parallel lock last src/app.py --wait -- true"),
    ),
    "unlock": _examples(
        ("One path", "br parallel unlock a3f2e1d9 src/app.py"),
        ("All that the session holds itself", "br parallel unlock a3f2e1d9"),
        ("Away from its holder", 'br parallel unlock --force ab12cd34 --reason "its owner is gone"'),
    ),
    "locks": _examples(
        ("Who holds what, and who waits", "br parallel locks"),
        ("What would be in the way of a path", "br parallel locks src/app.py"),
        ("What was waited for in the last hour", "br parallel locks --stats --since 1h"),
    ),
    "guard": (),
    "guard install": _examples(
        ("Warn people, refuse tasks", "br parallel guard install"),
        ("Refuse people too", "br parallel guard install --strict"),
    ),
    "guard remove": _examples(("Put back what was there before", "br parallel guard remove")),
    "guard status": _examples(("Which hooks are there", "br parallel guard status")),
    "workers": _examples(
        ("All of them, and how busy they are", "br parallel workers"),
        ("Those with nothing to do", "br parallel workers --status idle --limit 20"),
    ),
    "worker": _examples(
        ("One that runs four tasks at once", "br parallel worker --slots 4 --label linux"),
        ("With Python handlers, for one session",
         "br parallel worker --handlers jobs.handlers --session a3f2e1d9"),
    ),
    "scale": _examples(
        ("Four workers for all sessions", "br parallel scale 4"),
        ("Two for one session; stay until they are up", "br parallel scale 2 --session a3f2e1d9 --wait"),
        ("None any more", "br parallel scale 0"),
    ),
    "drain": _examples(
        ("One worker", "br parallel drain d4e5f6a7"),
        ("All, until they have left", "br parallel drain --all --wait --timeout 10m"),
    ),
    "info": _examples(
        ("Where it is and how it does", "br parallel info"),
        ("Its process, for scripts", "br parallel info --json | jq .coordinator.pid"),
    ),
    "serve": _examples(
        ("For this workspace, on a port too", "br parallel serve --listen 127.0.0.1:7420"),
        ("With sessions kept for 30 days", "br parallel serve --data /srv/br --retention 30d"),
    ),
    "stop": _examples(
        ("Now; running tasks run again later", "br parallel stop"),
        ("Once nothing runs any more", "br parallel stop --drain"),
    ),
    "backup": _examples(
        ("A copy that SQLite can open", "br parallel backup copy.db"),
        ("Of a coordinator elsewhere",
         "br parallel backup copy.db --coordinator 127.0.0.1:7420 --token-file token"),
    ),
    "completion": _examples(
        ("In ~/.bashrc", 'eval "$(br parallel completion bash)"'),
        ("In ~/.zshrc", 'eval "$(br parallel completion zsh)"'),
        ("In ~/.config/fish/config.fish", "br parallel completion fish | source"),
    ),
    "schema": _examples(
        ("Of a plan, for an editor", "br parallel schema plan > plan.schema.json"),
        ("Of what a command writes with --json", "br parallel schema status"),
    ),
}  # fmt: skip
