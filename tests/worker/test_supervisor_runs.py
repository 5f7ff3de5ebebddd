"""What the supervisor reports about processes that simply run: exits, output, resources, refusals."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from buildrunner_parallel.worker import spawning
from buildrunner_parallel.worker import supervisor_messages as say


def test_exit_codes_and_signals_are_told_apart(supervisor: Any) -> None:
    supervisor.shell("three", "exit 3")
    supervisor.shell("killed", "kill -KILL $$")
    three, killed = supervisor.ended("three"), supervisor.ended("killed")
    assert (three.exit_code, three.signal, three.cause) == (3, 0, "")
    assert (killed.exit_code, killed.signal, killed.cause) == (0, 9, "")


def test_a_start_names_pid_and_slot_before_the_end(supervisor: Any) -> None:
    supervisor.shell("one", "echo $$ $BR_SLOT")
    supervisor.ended("one")
    ((_, _, pid, slot, started_at_us),) = supervisor.of(say.STARTED, "one")
    assert supervisor.output("one") == f"{pid} {slot}\n".encode()
    assert started_at_us > 1_700_000_000_000_000


def test_output_of_ten_megabytes_arrives_byte_for_byte(supervisor: Any) -> None:
    size = 10 * 1024 * 1024
    code = f"import sys,random; sys.stdout.buffer.write(random.Random(7).randbytes({size}))"
    supervisor.run("big", sys.executable, "-c", code)
    assert supervisor.ended("big").exit_code == 0
    assert supervisor.output("big") == random.Random(7).randbytes(size)


def test_stdout_and_stderr_are_marked_and_in_the_order_written(supervisor: Any) -> None:
    # Each word waits for the one before to have been read, as a person at a terminal would see it.
    supervisor.shell("two", "for i in 1 2 3; do echo out$i; sleep 0.05; echo err$i >&2; sleep 0.05; done")
    supervisor.ended("two")
    seen = [(event[2], event[3]) for event in supervisor.of(say.OUTPUT, "two")]
    assert seen == [(s, f"{name}{i}\n".encode()) for i in (1, 2, 3) for s, name in ((1, "out"), (2, "err"))]


def test_the_last_words_before_the_exit_are_not_lost(supervisor: Any) -> None:
    for number in range(50):
        supervisor.shell(f"word-{number}", f"printf last-{number}")
    for number in range(50):
        supervisor.ended(f"word-{number}")
        assert supervisor.output(f"word-{number}") == f"last-{number}".encode()


def test_stdin_is_empty(supervisor: Any) -> None:
    supervisor.run("cat", "cat")
    assert supervisor.ended("cat").exit_code == 0


def test_two_hundred_at_once_all_end(tmp_path: Path, supervisor: Any) -> None:
    supervisor.send((say.CONFIGURE, 200, str(tmp_path / "many"), supervisor.base_env))
    keys = [f"task-{number}" for number in range(200)]
    supervisor.send(*(supervisor.request(key, "sleep", "0.2") for key in keys))
    assert {supervisor.ended(key).exit_code for key in keys} == {0}
    assert {supervisor.of(say.STARTED, key)[0][3] for key in keys} == set(range(200))


def test_no_more_run_than_there_are_slots(supervisor: Any) -> None:
    for number in range(12):
        supervisor.run(f"task-{number}", "sleep", "0.02")
    for number in range(12):
        supervisor.ended(f"task-{number}")
    running = highest = 0
    for event in supervisor.events:
        running += {say.STARTED: 1, say.ENDED: -1}.get(event[0], 0)
        highest = max(highest, running)
    assert highest == 4


def test_a_task_of_several_slots_waits_until_so_many_are_free(supervisor: Any) -> None:
    supervisor.run("small", "sleep", "0.2")
    supervisor.run("wide", "true", slots=4)
    supervisor.ended("wide")
    names = [(event[0], event[1]) for event in supervisor.events if event[0] in (say.STARTED, say.ENDED)]
    assert names.index((say.ENDED, "small")) < names.index((say.STARTED, "wide"))


def test_processor_time_and_memory_are_the_kernels(supervisor: Any) -> None:
    code = "x = bytearray(80_000_000)\nimport time\nwhile time.process_time() < 0.2: pass"
    supervisor.run("busy", sys.executable, "-c", code)
    ended = supervisor.ended("busy")
    assert ended.user_cpu_us + ended.system_cpu_us >= 200_000
    assert 80_000_000 < ended.peak_memory_bytes < 500_000_000
    assert ended.wall_us >= 200_000


def test_result_and_error_files_are_read_and_removed(supervisor: Any) -> None:
    line = 'printf %s "$DATA" > $BR_RESULT_FILE; printf "first\\nlast word\\n" > $BR_ERROR_FILE'
    supervisor.shell("talker", line, env={"DATA": "42"}, slots=4)
    supervisor.run("silent", "true", slots=4)
    talker, silent = supervisor.ended("talker"), supervisor.ended("silent")
    assert (talker.result, talker.error) == (b"42", "last word")
    assert (silent.result, silent.error) == (None, "")


def test_a_result_that_is_too_large_is_dropped_and_said_so(supervisor: Any) -> None:
    supervisor.shell("large", "head -c 1048577 /dev/zero > $BR_RESULT_FILE")
    ended = supervisor.ended("large")
    assert ended.result is None
    assert "larger than 1048576 bytes" in ended.error


def test_a_missing_program_is_refused_by_name(supervisor: Any) -> None:
    supervisor.run("none", "no-such-program-anywhere")
    kind, message = supervisor.refused("none")
    assert kind == spawning.NOT_FOUND
    assert "no-such-program-anywhere" in message
    assert "\n" not in message


def test_a_missing_directory_is_refused_by_name(supervisor: Any) -> None:
    supervisor.run("none", "true", cwd="/no/such/folder")
    assert supervisor.refused("none") == (
        spawning.BAD_DIRECTORY,
        "working directory '/no/such/folder': No such file or directory",
    )


@pytest.mark.parametrize(
    ("content", "mode", "kind"),
    [
        ("#!/no/such/interpreter\n", 0o755, spawning.NOT_EXECUTABLE),
        ("#!/bin/sh\n", 0o644, spawning.NOT_PERMITTED),
        ("\0\0\0\0", 0o755, spawning.NOT_EXECUTABLE),
    ],
)
def test_a_file_that_cannot_be_executed_is_refused(
    supervisor: Any, content: str, mode: int, kind: str
) -> None:
    program = supervisor.folder / "program"
    program.write_text(content)
    program.chmod(mode)
    supervisor.run("bad", str(program))
    assert supervisor.refused("bad")[0] == kind


def test_oversize_arguments_and_null_bytes_are_refused_and_the_next_task_runs(supervisor: Any) -> None:
    supervisor.run("huge", "true", "x" * (1 << 20))
    supervisor.run("null", "true", "a\0b")
    supervisor.run("empty")
    supervisor.run("fine", "true")
    assert supervisor.refused("huge")[0] == spawning.TOO_BIG
    assert supervisor.refused("null")[0] == spawning.INVALID
    assert supervisor.refused("empty")[0] == spawning.INVALID
    assert supervisor.ended("fine").exit_code == 0


def test_programs_are_looked_up_on_the_tasks_own_path_and_run_in_its_directory(supervisor: Any) -> None:
    tool = supervisor.folder / "bin" / "tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\npwd\n")
    tool.chmod(0o755)
    place = supervisor.folder / "place"
    place.mkdir()
    supervisor.run("tool", "tool", cwd=str(place), env={"PATH": f"{tool.parent}:/usr/bin:/bin"})
    supervisor.run("relative", "./bin/tool")
    assert supervisor.ended("tool").exit_code == 0
    assert supervisor.ended("relative").exit_code == 0
    assert supervisor.output("tool") == f"{os.path.realpath(place)}\n".encode()


def test_the_environment_is_the_shared_part_and_the_tasks_own(supervisor: Any) -> None:
    supervisor.run("env", "env", env={"MINE": "1"})
    supervisor.ended("env")
    names = {line.split(b"=")[0].decode() for line in supervisor.output("env").splitlines()}
    assert names == {
        "PATH", "BR_WORKER_ID", "BR_FENCE", "MINE", "BR_SLOT", "BR_RESULT_FILE", "BR_ERROR_FILE",
    }  # fmt: skip


def test_a_paused_run_keeps_its_output_until_it_is_resumed(supervisor: Any) -> None:
    os.mkfifo(supervisor.folder / "fifo")
    supervisor.shell("talk", "echo first; read line < fifo; head -c 300000 /dev/zero; echo done >&2")
    supervisor.wait_for_output("talk", b"first\n")
    supervisor.send((say.PAUSE, "talk"))
    # Orders are followed in turn: once a later one has been, this one has been too.
    supervisor.run("later", "true")
    supervisor.ended("later")
    (supervisor.folder / "fifo").write_text("go\n")
    supervisor.run("other", "sleep", "0.1")
    supervisor.ended("other")
    assert not supervisor.of(say.ENDED, "talk")
    assert supervisor.output("talk") == b"first\n"
    supervisor.send((say.RESUME, "talk"))
    supervisor.ended("talk")
    assert supervisor.output("talk") == b"first\n" + bytes(300000)


def test_what_has_not_started_can_be_taken_back(supervisor: Any) -> None:
    supervisor.run("first", "sleep", "0.3", slots=4)
    supervisor.wait(lambda _: bool(supervisor.of(say.STARTED, "first")))
    supervisor.run("second", "true")
    supervisor.send((say.REVOKE, "second"), (say.REVOKE, "first"))
    supervisor.ended("first")
    assert supervisor.of(say.REVOKED, "second")
    assert not supervisor.of(say.STARTED, "second")
    assert not supervisor.of(say.REVOKED, "first")
