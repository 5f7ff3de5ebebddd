"""docs/classes.md: its program prints what it says, and it names every class and setting."""

from __future__ import annotations

import re
from pathlib import Path

from buildrunner_parallel import compat

PAGE = (Path(__file__).parents[2] / "docs/classes.md").read_text()


def test_the_program_of_the_page_prints_what_it_says(place, tmp_path):
    ((text, told),) = re.findall(r"^```python\n(.*?)^```\n```text\n(.*?)^```\n", PAGE, re.M | re.S)
    program = tmp_path / "program.py"
    program.write_text(text)
    assert place.run(str(program)).stdout == told


def test_the_page_names_the_classes_that_programs_begin_with():
    begin = {"SessionManager", "WorkerCoordinator", "LiveDashboard", "Orchestrator", "install"}
    assert begin <= set(compat.__all__) and all(name in PAGE for name in begin)
