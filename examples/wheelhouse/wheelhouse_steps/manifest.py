"""The packages of the wheelhouse: their pins (sources.txt) and what is known of them (packages.toml)."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from .errors import StepError
from .places import EXAMPLE

_PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[A-Za-z0-9.]+) --hash=sha256:(?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True)
class Pin:
    """One exact version, and the SHA-256 (hex) of its only accepted file."""

    name: str
    version: str
    sha256: str

    @property
    def requirement(self) -> str:
        """The line by which pip accepts this file and no other."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n"


@dataclass(frozen=True)
class Package:
    """A package of the wheelhouse; `tests` are relative to its unpacked source."""

    pin: Pin
    module: str
    tests: tuple[str, ...]
    call: str
    gives: str

    @property
    def name(self) -> str:
        return self.pin.name


def read_pins(path: Path) -> dict[str, Pin]:
    """The pins of a requirements file by name. Raises StepError at a line that is no pin with one hash."""
    joined = path.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [" ".join(line.split()) for line in joined.splitlines()]
    pins: dict[str, Pin] = {}
    for line in lines:
        if not line or line.startswith("#"):
            continue
        match = _PIN.fullmatch(line)
        if match is None:
            raise StepError(f'{path.name}: expected NAME==VERSION --hash=sha256:HEX, found "{line}"')
        pins[match["name"]] = Pin(**match.groupdict())
    return pins


def read_packages(folder: Path = EXAMPLE) -> dict[str, Package]:
    """Every package by name. Raises StepError when sources.txt and packages.toml name different ones."""
    pins = read_pins(folder / "sources.txt")
    known = tomllib.loads((folder / "packages.toml").read_text(encoding="utf-8"))
    if pins.keys() != known.keys():
        names = ", ".join(sorted(pins.keys() ^ known.keys()))
        raise StepError(f"sources.txt and packages.toml must name the same packages; only one has: {names}")
    return {
        name: Package(pins[name], about["import"], tuple(about["tests"]), about["call"], about["gives"])
        for name, about in known.items()
    }
