"""The programs under test: a language's client and worker, and how they are started. Runs nothing."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "client"
KINDS = ("stream", "polling")
_INTERPRETER = "python"
CAPABILITIES = ("handlers", "slots")
"""What a worker may lack: named functions, and running more than one task at a time."""


@dataclass(frozen=True, slots=True)
class Programs:
    """`client` and `worker` are command lines, empty for what there is not; `folder` is that of the language.

    `not_applicable` maps scenarios to the reason why these programs do not have them, `lacks` capabilities of
    a worker to the reason why it does without. Of what somebody `typed` only the program must be there.
    """

    language: str
    folder: Path
    client: tuple[str, ...] = ()
    worker: tuple[str, ...] = ()
    worker_kind: str = "stream"
    not_applicable: Mapping[str, str] = field(default_factory=dict)
    lacks: Mapping[str, str] = field(default_factory=dict)
    typed: bool = False

    @property
    def missing(self) -> str:
        """Which part of them is not there yet; empty when all is built."""
        count = 1 if self.typed else None
        for argument in (*self.client[:count], *self.worker[:count]):
            is_path = "/" in argument and not argument.startswith("-")
            if is_path and not Path(argument).exists():
                return f"{Path(argument).name} is not built"
        return ""


def find_programs(clients: Path = CLIENTS) -> list[Programs]:
    """Of every language that has a conformance.json, Python first, built or not.

    Raises ValueError for a file that breaks the contract.
    """
    found = [read_programs(file) for file in sorted(clients.glob("*/conformance.json"))]
    return sorted(found, key=lambda programs: (programs.language != "Python", programs.language.lower()))


def read_programs(file: Path) -> Programs:
    """What a conformance.json says. Raises ValueError."""
    told = json.loads(file.read_text(encoding="utf-8"))
    try:
        return Programs(
            language=_text(told, "language"),
            folder=file.parent,
            client=command_line(_words(told, "client"), file.parent),
            worker=command_line(_words(told, "worker"), file.parent),
            worker_kind=_kind(told),
            not_applicable=dict(told.get("not_applicable", {})),
            lacks=_lacks(told),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{file}: {error!r} is missing or of the wrong type; see README.md") from error


def command_line(words: Sequence[str], folder: Path) -> tuple[str, ...]:
    """`words` with paths below `folder` made whole; a first `python` is the interpreter that runs the kit."""
    whole = [str(folder / word) if _is_below(word) else word for word in words]
    if whole and whole[0] == _INTERPRETER:
        whole[0] = sys.executable
    return tuple(whole)


def typed_line(text: str, folder: Path) -> tuple[str, ...]:
    """What somebody typed in `folder`, as it can be started from anywhere; empty for nothing.

    The program and words that name a file of `folder` get whole paths, and all other words stay: `a/b` may be
    a label. Raises ValueError with one line that says what to do.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no command line ({str(error).lower()})") from error
    if not words:
        return ()
    rest = [str(folder / word) if _is_file(folder / word) else word for word in words[1:]]
    return (_program(words[0], folder), *rest)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False  # such as a script of one word, too long for a name


def _program(word: str, folder: Path) -> str:
    if word == _INTERPRETER:
        return sys.executable
    file = folder / word
    if "/" not in word:
        if shutil.which(word):
            return word
        hint = f"; write ./{word} for the file of this folder" if file.is_file() else "; give its path"
        raise ValueError(f"there is no program {word} on PATH{hint}")
    if not file.is_file():
        raise ValueError(f"there is no file {word}; paths count from {folder}")
    if not os.access(file, os.X_OK):
        raise ValueError(f"{word} is not executable; chmod +x it, or name its interpreter in front of it")
    return str(file)


def _is_below(word: str) -> bool:
    return "/" in word and not word.startswith(("/", "-"))


def _text(told: Mapping[str, Any], name: str) -> str:
    if not isinstance(told[name], str) or not told[name]:
        raise TypeError(name)
    return str(told[name])


def _words(told: Mapping[str, Any], name: str) -> list[str]:
    """A command line; none, and the other of the two, may be left out."""
    if name not in told and ("client" in told or "worker" in told):
        return []
    words = told[name]
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise TypeError(name)
    return words


def _lacks(told: Mapping[str, Any]) -> dict[str, str]:
    lacks = dict(told.get("lacks", {}))
    for name in lacks:
        check_capability(name)
    return lacks


def check_capability(name: str) -> None:
    """Raises ValueError unless a worker can lack it."""
    if name not in CAPABILITIES:
        raise ValueError(f"a worker cannot lack {name!r}, only {' or '.join(CAPABILITIES)}")


def _kind(told: Mapping[str, Any]) -> str:
    kind = _text(told, "worker_kind")
    if kind not in KINDS:
        raise ValueError(f"worker_kind is {kind!r} and must be one of {', '.join(KINDS)}")
    return kind
