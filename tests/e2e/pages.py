"""Pages of the documentation as scripts: their blocks are carried out, and what they show is compared.

A `console` block holds commands behind `$ ` (continued by `> `) and below each what it writes to a terminal
of 100 columns; where nothing is shown nothing is compared. A command must end with 0, unless the next one is
`echo $?`. A block whose first comment names a file (`# plan.yaml`, `# run.sh: what it does`) is that file;
other Python is a program, and the `text` block behind it what it prints. All of a page runs in one shell.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fcntl import ioctl
from pathlib import Path

from .pages_matching import Matcher

COLUMNS, ROWS = 100, 40
GIVE_UP_S = 300
FENCE = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
FILE_NAME = re.compile(r"(?:#!.*\n)?# (?P<name>[\w./-]+\.\w+)(?::.*)?\n")


@dataclass
class Step:
    """One thing to do, and what the page shows of it (None: nothing)."""

    command: str
    shown: str | None
    line: int
    file: str = ""
    text: str = field(default="", repr=False)


def steps_of(page: str) -> Iterator[Step]:
    """The steps of a page, in its order. Blocks of other kinds than the docstring's are for reading only."""
    blocks = list(FENCE.finditer(page))
    for number, block in enumerate(blocks):
        line = page.count("\n", 0, block.start()) + 2
        named = FILE_NAME.match(block["text"])
        if block["kind"] == "console":
            yield from _commands(block["text"], line)
        elif named and block["kind"] != "text":
            yield Step("", None, line, named["name"], block["text"])
        elif block["kind"] == "python":
            told = blocks[number + 1] if number + 1 < len(blocks) else None
            shown = told["text"] if told and told["kind"] == "text" else None
            yield Step("", None, line, "program.py", block["text"])
            yield Step("python program.py", shown, line)


def _commands(block: str, line: int) -> Iterator[Step]:
    parts = re.split(r"^\$ ", block, flags=re.M)
    assert not parts[0].strip(), f"line {line}: a console block begins with a command"
    for part in parts[1:]:
        lines = part.splitlines()
        length = 1 + next(
            (i for i, text in enumerate(lines[1:]) if not text.startswith("> ")), len(lines) - 1
        )
        command = "\n".join([lines[0], *(text[2:] for text in lines[1:length])])
        shown = "\n".join(lines[length:])
        yield Step(command, shown if shown.strip() else None, line)
        line += len(lines)


class Shell:
    """A bash on a terminal of its own, which is asked for one command after the other."""

    def __init__(self, folder: Path, environment: dict[str, str], starting_in: Path | None = None) -> None:
        self._ours, theirs = os.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        settings = termios.tcgetattr(theirs)
        settings[1] &= ~termios.OPOST
        termios.tcsetattr(theirs, termios.TCSANOW, settings)
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"], cwd=starting_in or folder,
            env=environment | {"TERM": "xterm-256color"}, stdin=subprocess.PIPE, stdout=theirs, stderr=theirs,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self._script = folder.parent / f"{folder.name}.command"
        self._code = 0

    def run(self, command: str) -> tuple[int, str]:
        """The exit code of the command, and what stands on the terminal after it."""
        assert self._bash.stdin is not None
        self._script.write_text(command + "\n")
        where = shlex.quote(str(self._script))
        line = f"(exit {self._code}); . {where} </dev/null; printf '\\n\\036%d\\036' $?\n"
        self._bash.stdin.write(line.encode())
        self._bash.stdin.flush()
        written, deadline = b"", time.monotonic() + GIVE_UP_S
        while not (done := re.search(rb"\n\x1e(\d+)\x1e$", written)):
            ready, _, _ = select.select([self._ours], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"not over after {GIVE_UP_S} s: {command}\n{written.decode(errors='replace')}"
            written += os.read(self._ours, 65536)
        self._code = int(done[1])
        return self._code, settled(written[: done.start()].decode())

    def close(self) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        self._bash.wait(30)
        os.close(self._ours)
        self._script.unlink(missing_ok=True)


def settled(written: str) -> str:
    """What is left to read after lines were rubbed out and written again, without colours."""
    lines = [""]
    for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r?\n|\r|[^\x1b\r\n]+", written):
        if piece.endswith("\n"):
            lines.append("")
        elif piece in ("\r", "\x1b[2K"):
            lines[-1] = ""
        elif re.fullmatch(r"\x1b\[\d*A", piece):
            del lines[-1 - int(piece[2:-1] or 1) :]
            lines.append("")
        elif not piece.startswith("\x1b"):
            lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def environment_for(folder: Path, environment: dict[str, str]) -> dict[str, str]:
    """`environment` with a `br`, a `br-parallel` and a `python` that are those of the tests."""
    programs = folder.parent / f"{folder.name}.bin"
    programs.mkdir(exist_ok=True)
    modules = {
        "br": " -m buildrunner_parallel.cli", "br-parallel": " -m buildrunner_parallel.cli parallel",
        "python": "", "python3": "", "pytest": " -m pytest",
    }  # fmt: skip
    for name, module in modules.items():
        program = programs / name
        # What plugins pytest happens to have here is not the page's business.
        command = f'PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 exec {shlex.quote(sys.executable)}{module} "$@"'
        program.write_text(f"#!/bin/sh\n{command}\n")
        program.chmod(0o755)
    git = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
           for what, value in (("NAME", "A Reader"), ("EMAIL", "reader@localhost"))}  # fmt: skip
    return environment | git | {"PATH": f"{programs}:{environment['PATH']}"}


def carry_out(page: Path, folder: Path, environment: dict[str, str], starting_in: Path | None = None) -> int:
    """Does all that the page says, in `folder`; returns the number of its commands. Raises AssertionError.

    `starting_in` is where its shell begins, if not there.
    """
    steps = list(steps_of(page.read_text()))
    shell = Shell(folder, environment_for(folder, environment), starting_in)
    matcher, count = Matcher(), 0
    try:
        for number, step in enumerate(steps):
            if step.file:
                folder_of_it, file = shlex.quote(str(Path(step.file).parent)), shlex.quote(step.file)
                written = f"cat > {file} <<'BR_END_OF_FILE'\n{step.text}BR_END_OF_FILE"
                code, told = shell.run(f"mkdir -p {folder_of_it} && {written}")
                assert code == 0, told
                continue
            code, told = shell.run(matcher.filled_in(step.command))
            count += 1
            asked = number + 1 < len(steps) and steps[number + 1].command.startswith("echo $?")
            where = f"{page.name}:{step.line}: {step.command}"
            assert code == 0 or asked, f"{where}\nexit code {code}:\n{told}"
            if step.shown is not None:
                fault = matcher.fault(step.shown, told)
                assert not fault, f"{where}\n{fault}\n--- the page shows\n{step.shown}\n--- it wrote\n{told}"
    finally:
        shell.close()
    return count
