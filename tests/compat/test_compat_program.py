"""install() and `python -m buildrunner_parallel.compat`: as if core.parallel had been there all along."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.compat.conftest import Place


@pytest.fixture
def bare(tmp_path):
    place = Place(tmp_path)
    yield place
    place.nothing_is_left()


def write(place, name, text) -> Path:
    file = place.folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


SEEN = """
import sys
print(sys.argv, sys.path[0], __name__, __file__, __package__, __spec__, sorted(vars())[:9])
print(sys.modules["__main__"].__dict__ is globals())
class Kept: pass
import pickle
print(pickle.loads(pickle.dumps(Kept())).__class__ is Kept)
"""


def test_a_program_sees_what_it_sees_under_python_itself(bare):
    write(bare, "sub/program.py", SEEN)
    (bare.folder / "link.py").symlink_to("sub/program.py")
    for program in ("sub/program.py", str(bare.folder / "sub" / "program.py"), "link.py"):
        plain = bare.run(program, "a", "--b")
        ours = bare.run("-m", "buildrunner_parallel.compat", program, "a", "--b")
        assert ours.stdout == plain.stdout


def test_the_modules_beside_a_program_are_found(bare):
    write(bare, "sub/helper.py", "WORD = 'found'")
    program = write(bare, "sub/program.py", "import helper; print(helper.WORD)")
    assert bare.compat(program).stdout == "found\n"


@pytest.mark.parametrize(
    ("text", "code"), [("", 0), ("import sys; sys.exit(7)", 7), ("raise SystemExit('no')", 1)]
)
def test_exit_codes_are_the_programs(bare, text, code):
    assert bare.compat(write(bare, "p.py", text), check=None).returncode == code


def test_tracebacks_show_only_the_users_frames(bare):
    program = write(
        bare,
        "p.py",
        "from core.parallel import Session\ndef mine():\n"
        "    Session.from_dict({'session_id': 1, 'name': 2, 'status': 'x'})\n"
        "try:\n    mine()\nexcept ValueError as error:\n    raise KeyError('late') from error\n",
    )
    told = bare.compat(program, check=1).stderr
    assert told.count("File ") == 4 - 1 and "p.py" in told
    assert "buildrunner_parallel" not in told and "runpy" not in told and "enum.py" not in told
    assert "ValueError" in told and told.rstrip().endswith("KeyError: 'late'")


def test_a_syntax_error_is_shown_as_python_shows_it(bare):
    program = write(bare, "p.py", "x = (\n")
    plain, ours = bare.run(str(program), check=1).stderr, bare.compat(program, check=1).stderr
    assert ours == plain


def test_an_interrupted_program_ends_by_the_signal(bare):
    text = "import atexit, time\natexit.register(print, 'bye')\nprint('on', flush=True)\ntime.sleep(600)"
    running = bare.start("-m", "buildrunner_parallel.compat", str(write(bare, "p.py", text)))
    assert running.stdout is not None and running.stdout.readline() == "on\n"
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=90)
    assert running.returncode == -signal.SIGINT
    assert out == "bye\n" and err.rstrip().endswith("KeyboardInterrupt") and "buildrunner_parallel" not in err


@pytest.mark.parametrize("arguments", [[], ["missing.py"], ["."]])
def test_wrong_usage_is_one_line(bare, arguments):
    done = bare.run("-m", "buildrunner_parallel.compat", *arguments, check=2)
    assert len(done.stderr.splitlines()) == 1 and done.stdout == ""


def test_help(bare):
    assert "PROGRAM" in bare.run("-m", "buildrunner_parallel.compat", "--help").stdout


# --------------------------------------------------------------------------- install()


def test_one_line_makes_core_parallel(bare):
    program = write(
        bare,
        "p.py",
        "from buildrunner_parallel.compat import install; install(); install()\n"
        "import core.parallel\nfrom core.parallel import (DashboardConfig, LiveDashboard, Session,\n"
        "    SessionManager, SessionStatus, Worker, WorkerCoordinator, WorkerStatus)\n"
        "from core.orchestrator import Orchestrator\n"
        "import core; print(core.parallel.SessionManager is SessionManager, sorted(core.parallel.__all__))\n",
    )
    assert bare.run(str(program)).stdout == (
        "True ['DashboardConfig', 'LiveDashboard', 'Session', 'SessionManager', 'SessionStatus', 'Worker', "
        "'WorkerCoordinator', 'WorkerStatus']\n"
    )


def test_a_package_core_of_the_programs_own_stays(bare):
    write(bare, "core/__init__.py", "from core.parallel import SessionManager\nMINE = 1")
    write(bare, "core/parallel.py", "raise AssertionError('the old one')")
    write(bare, "core/orchestrator.py", "class Orchestrator:\n    mine = True\n")
    write(bare, "core/other.py", "OTHER = 2")
    program = write(
        bare, "p.py",
        "import core, core.other\nfrom core.orchestrator import Orchestrator\n"
        "from core.parallel import SessionManager\nis_ours = core.parallel.SessionManager is SessionManager\n"
        "print(core.MINE, core.other.OTHER, Orchestrator.mine, is_ours)\n",
    )  # fmt: skip
    assert bare.compat(program).stdout == "1 2 True True\n"


def test_a_core_without_an_orchestrator_gets_one(bare):
    write(bare, "core/__init__.py", "")
    program = write(
        bare,
        "p.py",
        "from core.orchestrator import Orchestrator; print(Orchestrator.wait_for_session.__name__)",
    )
    assert bare.compat(program).stdout == "wait_for_session\n"
    write(bare, "core/orchestrator.py", "class Other: pass")
    again = write(
        bare, "q.py", "from core.orchestrator import Other, Orchestrator; print(Orchestrator.__module__)"
    )
    assert bare.compat(again).stdout == "buildrunner_parallel.compat.orchestrator\n"


def test_what_is_wrong_within_a_core_is_not_hidden(bare):
    write(bare, "core/__init__.py", "import does_not_exist")
    told = bare.compat(write(bare, "p.py", ""), check=1).stderr
    assert told.rstrip().endswith("No module named 'does_not_exist'")


def test_nothing_named_core_is_shipped():
    root = Path(sys.modules["buildrunner_parallel"].__file__ or "").resolve().parent.parent
    assert not (root / "core").exists() and not (root / "core.py").exists()
