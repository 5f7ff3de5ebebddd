"""Fetches the pinned source archive of a package from the package index; only its hash makes it accepted."""

from __future__ import annotations

from pathlib import Path

from .errors import StepError
from .files import fresh_folder, sha256_of
from .manifest import Package, Pin
from .pip import run_pip, write_requirements
from .places import Places


def find_archive(folder: Path, pin: Pin) -> Path:
    """The archive in `folder`. Raises StepError unless there is exactly one, with the pinned hash."""
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    if len(found) != 1 or not found[0].name.endswith(".tar.gz"):
        names = ", ".join(path.name for path in found) or "nothing"
        raise StepError(f"expected one source archive (.tar.gz) in {folder}, found {names}")
    if (sha256 := sha256_of(found[0])) != pin.sha256:
        raise StepError(f"{found[0].name} has the hash {sha256}, but sources.txt pins {pin.sha256}")
    return found[0]


def fetch(places: Places, package: Package) -> str:
    """Downloads the archive unless it is there already. pip runs the build backend to read its metadata."""
    folder = places.archive_folder(package.name)
    try:
        archive = find_archive(folder, package.pin)
        return f"{archive.name} is there already, hash verified"
    except StepError:
        fresh_folder(folder)
    requirements = write_requirements(places, f"fetch-{package.name}", [package.pin.requirement])
    source_only = ("--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes")
    what = f"fetching {package.name} {package.pin.version}"
    run_pip(places, what, "download", *source_only, "--dest", folder, "--requirement", requirements)
    archive = find_archive(folder, package.pin)
    return f"fetched {archive.name}, {archive.stat().st_size:,} bytes, hash verified"
