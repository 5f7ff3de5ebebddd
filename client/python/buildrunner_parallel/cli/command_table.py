"""What the program knows of its commands without loading them: name, module, and what they do in a sentence.

The help stands with each command; tests/cli/test_cli_lazy_commands.py holds this table to it, and prints the row
that belongs here.
"""

from __future__ import annotations

# Name -> module in this package, first paragraph of its docstring. In the order of `br parallel --help`.
# fmt: off
PARALLEL = {
    "start": ("start", "Start a session: its workers, and its tasks if there are any."),
    "list": ("sessions", "List sessions, newest first."),
    "status": ("sessions", "Show a session: its state, progress and failures."),
    "pause": ("sessions", "Pause a running session: nothing new starts."),
    "resume": ("sessions", "Resume a paused session, or start one that was only created."),
    "cancel": ("sessions", "Cancel a session, or one of its tasks."),
    "close": ("sessions", "Say that no more tasks will come to a session."),
    "tasks": ("tasks", "List the tasks of a session."),
    "show": ("show", "Show one task: its conditions, attempts, resources and result."),
    "logs": ("logs", "Show what a task, or every task of a session, wrote."),
    "explain": ("explain", "Say why a task, or what is left of a session, is not running."),
    "retry": ("retry", "Run again what failed, was cancelled or was skipped."),
    "story": ("story", "Tell what happened to a session, a task or a worker, in order."),
    "joblog": ("joblog", "Print ended attempts in the columns of GNU parallel's --joblog."),
    "wait": ("waiting", "Wait for a session or a task to end, and tell what failed."),
    "dashboard": ("dashboard", "Show sessions, workers, tasks, locks and failures live, until q."),
    "watch": ("watch", "Follow what happens, one line an event, until Ctrl+C."),
    "submit": ("submit", "Add a task, or many, to a session."),
    "preview": ("preview", "Show what a plan would do, before anything is submitted."),
    "lock": ("lock", "Take paths for a session: all of them or none."),
    "unlock": ("unlock", "Give paths back, or with --force take a lock away."),
    "locks": ("locks", "Show which paths are held by whom, and who waits for which."),
    "schema": ("schema", "Print the JSON Schema of a plan, or of what a command writes."),
    "cleanup": ("cleanup", "Delete old sessions that are over, with their tasks and output."),
    "workers": ("workers", "List workers, and how busy they are in all."),
    "worker": ("workers", "Run one worker in the foreground, on any machine."),
    "scale": ("scale", "Set how many worker processes there are."),
    "drain": ("scale", "Have workers finish what they run, take nothing new, and leave."),
    "summary": ("coordinator", "Show workers, sessions and tasks in three lines."),
    "info": ("coordinator", "Describe the coordinator: version, address, data, uptime."),
    "serve": ("coordinator", "Run the coordinator in the foreground, until SIGTERM or Ctrl+C."),
    "stop": ("coordinator", "Stop the coordinator, its keeper and the local workers."),
    "backup": ("coordinator", "Write a consistent copy of the database."),
    "completion": ("completion", "Print a script that completes commands and ids in your shell."),
}
GUARD = {
    "install": ("guard", "Put the hooks into this repository, for all of its worktrees."),
    "remove": ("guard", "Take the hooks out again, and put back what was there before."),
    "status": ("guard", "Show which hooks are installed, and where."),
}
# fmt: on
