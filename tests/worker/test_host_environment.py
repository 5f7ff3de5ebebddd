"""The environment of a handler host, in a process of its own: it changes the process for good."""

from __future__ import annotations

import subprocess
import sys

BEGIN = """
import os, subprocess, sys
from buildrunner_parallel.worker.host_environment import reuse_memory
reuse_memory()
def seen(name):
    code = f"import os; print(ascii(os.environ.get({name!r})))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.rstrip()
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_children_see_what_was_set_last_however_long_it_was_before() -> None:
    values = ("a", "b" * 5000, "", "ü\udcff", "c=d")
    code = f"""
for value in {values!r}:
    os.environ["BR_TASK_ID"] = value
    print(seen("BR_TASK_ID"))
del os.environ["BR_TASK_ID"]
print(seen("BR_TASK_ID"))
os.environ["BR_TASK_ID"] = "again"
print(seen("BR_TASK_ID"))
"""
    assert run(code).split("\n")[:-1] == [
        *(ascii(value) for value in values), "None", "'again'",
    ]  # fmt: skip


def test_a_hundred_thousand_values_leave_the_process_as_large_as_it_was() -> None:
    code = """
def pages(): return int(open("/proc/self/statm").read().split()[1])
def change(first, count):
    for number in range(first, first + count):
        os.environ["BR_TASK_ID"] = f"task-{number}-{'x' * (number % 150)}"
change(0, 1000)
before = pages()
change(1000, 100_000)
print((pages() - before) * os.sysconf("SC_PAGESIZE"))
"""
    assert int(run(code)) < 1 << 20


def test_what_no_environment_can_have_is_refused_and_changes_nothing() -> None:
    code = """
os.environ["GOOD"] = "1"
for name, value in (("A=B", "1"), ("GOOD", "a\\0b")):
    try:
        os.environ[name] = value
    except ValueError:
        print("refused", os.environ["GOOD"], seen("GOOD"))
"""
    assert run(code) == "refused 1 '1'\n" * 2
