"""Calls pip. Where packages come from is left to the user's own pip settings; where they go is not."""

from __future__ import annotations

from pathlib import Path

from .files import clean_environment, run
from .places import Places

# Settings that would send packages somewhere else than the step says.
_REDIRECTIONS = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_REQUIREMENT", "PIP_EDITABLE")
_OVERRULED = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DRY_RUN": "0"}


def run_pip(places: Places, what: str, *arguments: str | Path, **environment: str) -> None:
    """Runs the pip of the tools environment. Raises StepError, which begins with `what`, when it fails."""
    settings = clean_environment(places.temporary, **_OVERRULED, **environment)
    for name in _REDIRECTIONS:
        settings.pop(name, None)
    always = ("--quiet", "--no-input", "--no-cache-dir", "--disable-pip-version-check")
    run([places.tools_python, "-m", "pip", *always, *arguments], what, settings)


def write_requirements(places: Places, name: str, lines: list[str]) -> Path:
    """A requirements file for one call of pip."""
    path = places.temporary / f"requirements-{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")
    return path
