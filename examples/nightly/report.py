"""Reads `br parallel tasks SESSION --json` and writes a page to be mailed or shown by CI."""

import json
import sys
from datetime import datetime

tasks = json.load(sys.stdin)["tasks"]
print("| task | ended | attempts | took | |\n|---|---|---|---|---|")
for task in tasks:
    took = ""
    if task["started_at"] and task["ended_at"]:
        began, ended = (datetime.fromisoformat(task[key]) for key in ("started_at", "ended_at"))
        took = f"{(ended - began).total_seconds():.1f} s"
    print(f"| {task['task_id']} | {task['status']} | {task['attempt']} | {took} | {task['error']} |")
