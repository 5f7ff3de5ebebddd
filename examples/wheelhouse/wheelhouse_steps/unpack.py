"""Unpacks a source archive: plain files in one folder, and nothing that could reach out of it."""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath

from .errors import StepError
from .fetch import find_archive
from .files import fresh_folder, remove
from .manifest import Package
from .places import Places

_OLDEST_ZIP_TIME_S = 315_532_800  # 1980-01-01: a wheel is a zip file, which cannot say anything earlier


def check_members(members: list[tarfile.TarInfo]) -> str:
    """The one folder that everything is in. Raises StepError for links, devices, paths that lead out."""
    tops = set()
    for member in members:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise StepError(f'the archive has a path that leads out of it: "{member.name}"')
        if not (member.isreg() or member.isdir()):
            raise StepError(f'the archive has something that is no plain file: "{member.name}"')
        tops.add(path.parts[0])
    if len(tops) != 1:
        raise StepError(f"expected one folder in the archive, found {len(tops)}")
    return str(tops.pop())


def extract(archive: Path, target: Path) -> int:
    """Extracts the archive's one folder as `target`; returns the number of its files."""
    beside = fresh_folder(target.with_name(f".{target.name}"))
    with tarfile.open(archive, "r:gz") as tar:
        members = tar.getmembers()
        top = check_members(members)
        if hasattr(tarfile, "data_filter"):
            tar.extractall(beside, filter="data")
        else:  # Python before 3.11.4; the members were checked above
            tar.extractall(beside)
    remove(target)
    (beside / top).replace(target)
    remove(beside)
    return sum(member.isreg() for member in members)


def newest_change_s(archive: Path) -> int:
    """When the newest file in the archive was changed, in seconds since 1970: dates a repeatable build."""
    with tarfile.open(archive, "r:gz") as tar:
        return max(_OLDEST_ZIP_TIME_S, *(int(member.mtime) for member in tar.getmembers()))


def unpack(places: Places, package: Package) -> str:
    archive = find_archive(places.archive_folder(package.name), package.pin)
    count = extract(archive, places.source(package.name))
    return f"unpacked {count} files of {archive.name}"
