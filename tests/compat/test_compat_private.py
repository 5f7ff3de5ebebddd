"""States of a program's own: isolated, started when needed, gone with the last program that uses them."""

from __future__ import annotations

import pytest

from tests.compat.conftest import Place, eventually

pytestmark = pytest.mark.timeout(400)  # each program brings up a coordinator
OPEN = "from pathlib import Path\nm = SessionManager(storage_path=Path('{}'))\n"


@pytest.fixture
def bare(tmp_path):
    """A directory without git, in which nothing runs. At its end nothing may be left; nobody stops it."""
    folder = tmp_path / "bare"
    folder.mkdir()
    place = Place(folder)
    yield place
    place.nothing_is_left()


def program(place, text, path="one/sessions.json"):
    return place.python(OPEN.format(path) + text)


def test_two_paths_know_nothing_of_each_other_and_a_path_keeps_what_it_has(bare):
    program(bare, "m.start_session(m.create_session('kept', metadata={'n': 1}).session_id)")
    assert program(bare, "print([s.name for s in m.list_sessions()])", "two/sessions.json") == "[]\n"
    seen = program(bare, "print([(s.name, s.status.value, s.metadata) for s in m.list_sessions()])")
    assert seen == "[('kept', 'running', {'n': 1})]\n"
    assert not (bare.folder / ".buildrunner").exists()


def test_it_ends_by_itself_when_its_program_ends(bare):
    """With what runs commands for it, and although a session runs."""
    text = (
        "c = WorkerCoordinator(m); s = m.create_session('x')\n"
        "c.register_worker(); c.assign_task('data', {}, s.session_id)\n"
        "c.assign_task('run', {'run': 'echo done > done.txt; sleep 600'}, s.session_id)\n"
        "import os, time\nwhile not os.path.exists('done.txt'): time.sleep(0.02)\n"
    )
    program(bare, text)
    bare.nothing_is_left()


def test_it_ends_by_itself_when_its_program_is_killed(bare):
    text = "m.create_session('x')\nprint('made', flush=True)\nimport os; os.kill(os.getpid(), 9)"
    prelude = "from buildrunner_parallel.compat import *\n" + OPEN.format("s.json")
    assert bare.run("-c", prelude + text, check=-9).stdout == "made\n"
    bare.nothing_is_left()
    assert program(bare, "print(len(m.sessions))", "s.json") == "1\n"


def test_programs_share_it_and_the_last_one_ends_it(bare):
    first = bare.start("-c", "from buildrunner_parallel.compat import *\n" + OPEN.format("s.json") + (
        "s = m.create_session('shared')\nprint(s.session_id, flush=True)\n"
        "import time\nwhile s.status != 'paused': time.sleep(0.02)\n"
        "m.complete_session(s.session_id)"
    ))  # fmt: skip
    assert first.stdout is not None
    try:
        session_id = first.stdout.readline().strip()
        program(bare, f"m.pause_session('{session_id}')", "s.json")
        assert first.wait(90) == 0
    finally:
        first.kill()
        first.communicate()
    bare.nothing_is_left()
    assert program(bare, f"print(m.get_session('{session_id}').status.value)", "s.json") == "completed\n"


def test_its_coordinator_is_started_again_when_it_dies(bare):
    text = (
        "import json, os, signal\ns = m.create_session('x')\n"
        "c = WorkerCoordinator(m); w = c.register_worker()\n"
        "info = json.load(open('.s.json.buildrunner/coordinator.json'))\n"
        "os.kill(info['pid'], signal.SIGKILL)\n"
        "print(m.start_session(s.session_id).status.value, c.assign_task('a', {}) == w.worker_id)"
    )
    assert program(bare, text, "s.json") == "running True\n"


def test_a_directory_is_a_place_too(bare):
    (bare.folder / "dir").mkdir()
    program(bare, "m.create_session('x')", "dir")
    assert [one.name for one in (bare.folder / "dir").iterdir()] == [".sessions.json.buildrunner"]
    assert program(bare, "print(len(m.sessions))", "dir/sessions.json") == "1\n"


def test_a_place_where_nothing_can_be_kept_is_one_line(bare):
    (bare.folder / "file").write_text("")
    done = bare.run("-c", "from buildrunner_parallel.compat import *\n" + OPEN.format("file/s.json")
                    + "m.create_session('x')", check=1)  # fmt: skip
    last = done.stderr.strip().splitlines()[-1]
    assert "cannot keep state in" in last and "give another storage_path" in last


def test_what_nobody_used_leaves_no_process(bare):
    program(bare, "print(m.storage_path)")
    assert bare.processes() == []
    eventually(lambda: not bare.processes(), "nothing runs")
