"""Checks a wheel against the list of hashes that it carries in its RECORD. Reads, never writes."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from pathlib import Path


def problems_of_wheel(path: Path) -> list[str]:
    """What is wrong inside the wheel, in words: files that its RECORD does not list, or lists differently."""
    try:
        with zipfile.ZipFile(path) as wheel:
            contents = {name: wheel.read(name) for name in wheel.namelist() if not name.endswith("/")}
    except (zipfile.BadZipFile, OSError) as error:
        return [f"{path.name} cannot be read: {error}"]
    records = [name for name in contents if name.endswith(".dist-info/RECORD")]
    if len(records) != 1:
        return [f"{path.name} has {len(records)} RECORD files"]
    rows = csv.reader(io.StringIO(contents[records[0]].decode("utf-8")))
    listed = {row[0]: row[1] for row in rows if row}
    problems = [f"{path.name}: {name} is not in its RECORD" for name in contents if name not in listed]
    problems += [f"{path.name}: {name} is missing" for name in listed if name not in contents]
    for name, data in contents.items():
        if name != records[0] and name in listed and listed[name] != _recorded_form(data):
            problems.append(f"{path.name}: {name} is not what its RECORD says")
    return problems


def _recorded_form(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return "sha256=" + digest.rstrip(b"=").decode("ascii")
