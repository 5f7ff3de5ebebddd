"""The programs under test: a language's client and worker, and how they are started. Runs nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ROOT / "client"
KINDS = ("stream", "polling")
_INTERPRETER = "python"


@dataclass(frozen=True, slots=True)
class Programs:
    """`client` and `worker` are command lines, empty for what there is not; `folder` is that of the language.

    `not_applicable` maps scenarios to the reason why these programs do not have them.
    """

    language: str
    folder: Path
    client: tuple[str, ...] = ()
    worker: tuple[str, ...] = ()
    worker_kind: str = "stream"
    not_applicable: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> str:
        """Which part of them is not there yet; empty when all is built."""
        for argument in (*self.client, *self.worker):
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
            client=command_line(told["client"], file.parent),
            worker=command_line(told["worker"], file.parent),
            worker_kind=_kind(told),
            not_applicable=dict(told.get("not_applicable", {})),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{file}: {error!r} is missing or of the wrong type; see README.md") from error


def command_line(words: Sequence[str], folder: Path) -> tuple[str, ...]:
    """`words` with paths below `folder` made whole; a first `python` is the interpreter that runs the kit."""
    whole = [str(folder / word) if _is_below(word) else word for word in words]
    if whole and whole[0] == _INTERPRETER:
        whole[0] = sys.executable
    return tuple(whole)


def _is_below(word: str) -> bool:
    return "/" in word and not word.startswith(("/", "-"))


def _text(told: Mapping[str, Any], name: str) -> str:
    if not isinstance(told[name], str) or not told[name]:
        raise TypeError(name)
    return str(told[name])


def _kind(told: Mapping[str, Any]) -> str:
    kind = _text(told, "worker_kind")
    if kind not in KINDS:
        raise ValueError(f"worker_kind is {kind!r} and must be one of {', '.join(KINDS)}")
    return kind
