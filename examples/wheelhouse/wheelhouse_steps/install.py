"""Installs a wheel into an environment of its own, in which nothing else is, not even pip."""

from __future__ import annotations

from .files import clean_environment, read_record, run
from .manifest import Package, Pin
from .pip import run_pip, write_requirements
from .places import Places


def install(places: Places, package: Package) -> str:
    """pip takes the wheel by the hash that `build` wrote down, so it installs that very file."""
    built = read_record(places.built(package.name))
    environment = places.environment(package.name)
    make = (places.tools_python, "-m", "venv", "--clear", "--without-pip", environment)
    run(make, "making a clean environment", clean_environment(places.temporary))
    pin = Pin(package.name, built["version"], built["sha256"])
    requirements = write_requirements(places, f"install-{package.name}", [pin.requirement])
    into = ("--python", environment / "bin" / "python")
    from_wheels = ("--no-index", "--find-links", places.wheels, "--no-deps", "--require-hashes")
    run_pip(
        places, f"installing {package.name}", *into, "install", *from_wheels, "--requirement", requirements
    )
    return f"installed {built['file']} into a clean environment"
