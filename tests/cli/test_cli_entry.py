"""Ctrl+C while the program is still being loaded: as everywhere one line and 130, and no traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

from buildrunner_parallel.cli import app, entry, exit_codes

INTERRUPTED_WHILE_LOADING = """
import sys

class Finder:
    @staticmethod
    def find_spec(name, *_):
        if name == {module!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Finder)
from buildrunner_parallel.cli.entry import main_parallel
main_parallel()
"""


@pytest.mark.parametrize(
    "module", ["typer", "buildrunner_parallel.cli.command", "buildrunner_parallel.cli.sessions"]
)
def test_an_interruption_while_the_program_was_loaded_was_a_traceback(module, tmp_path):
    code = INTERRUPTED_WHILE_LOADING.format(module=module)
    done = subprocess.run(
        [sys.executable, "-c", code, "list"],
        cwd=tmp_path, env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


def test_both_programs_begin_here(monkeypatch):
    begun = []
    for name in ("main", "main_parallel"):
        monkeypatch.setattr(app, name, lambda name=name: begun.append(name))
    entry.main()
    entry.main_parallel()
    assert begun == ["main", "main_parallel"]
    assert entry.INTERRUPTED == exit_codes.INTERRUPTED
