"""Tries the installed package: does it import from its environment, say its version, and do its work?"""

from __future__ import annotations

from .files import clean_environment, run
from .manifest import Package
from .places import Places

# Runs in the package's own environment, where these steps cannot be imported.
_CHECK = """
import importlib, importlib.metadata, pathlib, sys
name, version, module_name, call, gives = sys.argv[1:]
module = importlib.import_module(module_name)
home = pathlib.Path(sys.prefix).resolve()
if home not in pathlib.Path(module.__file__).resolve().parents:
    sys.exit(f"{module_name} was imported from {module.__file__}, which is not in {home}")
if (found := importlib.metadata.version(name)) != version:
    sys.exit(f"expected version {version}, found {found}")
top = module_name.partition(".")[0]
if (result := repr(eval(call, {top: sys.modules[top]}))) != gives:
    sys.exit(f"{call}: expected {gives}, found {result}")
"""


def smoke(places: Places, package: Package) -> str:
    """Raises StepError when anything is not as it should be; the output says what."""
    arguments = (package.name, package.pin.version, package.module, package.call, package.gives)
    python = places.environment(package.name) / "bin" / "python"
    settings = clean_environment(places.temporary)
    what = f"trying {package.name}"
    run([python, "-I", "-X", "utf8", "-c", _CHECK, *arguments], what, settings, places.temporary)
    return f"{package.name} {package.pin.version} works: {package.call} gives {package.gives}"
