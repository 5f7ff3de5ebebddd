"""Builds the wheel of a package, twice and without a network, and keeps it when both are the same."""

from __future__ import annotations

import shutil
from pathlib import Path

from .errors import StepError
from .fetch import find_archive
from .files import fresh_folder, remove, sha256_of, write_record
from .manifest import Package
from .pip import run_pip
from .places import Places
from .unpack import newest_change_s


def build(places: Places, package: Package) -> str:
    """Puts the wheel among the others and writes down its name, size and hash."""
    archive = find_archive(places.archive_folder(package.name), package.pin)
    folder = fresh_folder(places.building(package.name))
    date_s = newest_change_s(archive)
    first, second = (_build_once(places, package, folder / turn, date_s) for turn in ("1", "2"))
    sha256 = sha256_of(first)
    if first.name != second.name or sha256 != sha256_of(second):
        raise StepError(f"building {package.name} twice gave two different wheels")
    places.wheels.mkdir(parents=True, exist_ok=True)
    wheel = first.replace(places.wheels / first.name)
    remove(folder)
    size_bytes = wheel.stat().st_size
    record = {"version": package.pin.version, "file": wheel.name, "sha256": sha256, "size_bytes": size_bytes}
    write_record(places.built(package.name), {"name": package.name} | record)
    return f"built {wheel.name} twice, equal both times, {size_bytes:,} bytes"


def _build_once(places: Places, package: Package, folder: Path, date_s: int) -> Path:
    source, wheels = folder / package.name, folder / "wheel"
    shutil.copytree(places.source(package.name), source)
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--check-build-dependencies")
    what = f"building {package.name}"
    run_pip(places, what, "wheel", *offline, "--wheel-dir", wheels, source, SOURCE_DATE_EPOCH=str(date_s))
    (wheel,) = wheels.iterdir()
    return wheel
