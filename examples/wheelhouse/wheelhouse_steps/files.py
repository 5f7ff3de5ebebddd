"""Small things about files and processes that several steps need: hashes, clean folders, records, running."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import StepError


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fresh_folder(path: Path) -> Path:
    """`path` as an empty folder, whatever was there before."""
    remove(path)
    path.mkdir(parents=True)
    return path


def remove(path: Path) -> None:
    """Removes a file or a folder with all that is in it; it need not be there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Readers see the old content or the new one, never a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    write_whole(path, json.dumps(record, indent=1) + "\n")


def read_record(path: Path) -> dict[str, Any]:
    """Raises StepError when the step that writes the record has not done so."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StepError(f"{path} is missing: run the step before this one first") from None
    return record


def clean_environment(temporary: Path, **more: str) -> dict[str, str]:
    """Our environment without its Python settings, with temporary files below the output folder."""
    temporary.mkdir(parents=True, exist_ok=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return kept | {"TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"} | more


def run(
    command: Sequence[str | Path], what: str, environment: dict[str, str], folder: Path | None = None
) -> None:
    """Runs a command to its end, with our output streams. Raises StepError unless it exits with 0."""
    code = subprocess.run(list(command), env=environment, cwd=folder, stdin=subprocess.DEVNULL).returncode
    if code:
        raise StepError(f"{what} failed with exit code {code}; its output is above")
