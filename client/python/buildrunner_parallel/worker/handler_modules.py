"""Which modules have a program's handlers, and loading them in another process.

A module goes by its name, `package.module`, or by its file, `path/to/file.py`; a program's own main file is
`__main__=FILE` and is loaded as multiprocessing does it: under another name, so that what stands below
`if __name__ == "__main__"` does not run again.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType

from .handlers import Handler, HandlerLoadError, describe, no_operation, registered

MAIN_PREFIX = "__main__="
_MAIN_AGAIN = "__mp_main__"

# The module that ran as __main__ before another took its place: its functions still run.
_replaced: list[ModuleType] = []


class _Process:
    """Whether this process loads other programs' modules to run their handlers."""

    is_host = False


def become_host() -> None:
    """From now on this process is a handler host, in which no program may begin to work by itself."""
    _Process.is_host = True


def refuse_in_host(what: str) -> None:
    """Raises HandlerLoadError in a handler host: the module was not written to be loaded twice."""
    if _Process.is_host:
        raise HandlerLoadError(
            f"{what} while the module was loaded to run its handlers; put that below "
            'if __name__ == "__main__":'
        )


def modules_of_this_program() -> list[str]:
    """Where the handlers registered in this process can be loaded from.

    Raises HandlerLoadError when some were defined where no other process can find them.
    """
    names = {entry.function.__module__ for entry in registered().values()} - {no_operation.__module__}
    return [_main_module() if name == "__main__" else name for name in sorted(names)]


def _main_module() -> str:
    main = sys.modules["__main__"]
    spec: ModuleSpec | None = getattr(main, "__spec__", None)
    if spec is not None and spec.name != "__main__":
        return spec.name
    file: str | None = getattr(main, "__file__", None)
    if spec is not None or not file or not os.path.isfile(file):
        raise HandlerLoadError(
            "handlers that were typed in, or are in the main file of an archive, cannot be loaded by the "
            "processes that run them; put them into a module"
        )
    return MAIN_PREFIX + os.path.abspath(file)


def load(modules: Iterable[str]) -> dict[str, Handler]:
    """Loads the modules and returns all handlers by name; raises HandlerLoadError with one line."""
    for module in modules:
        try:
            _load_one(module)
        except HandlerLoadError as error:
            raise HandlerLoadError(f"cannot load handlers from {_shown(module)}: {error}") from error
        except (Exception, SystemExit) as error:
            # whatever user code raises while it is imported is its load error
            raise HandlerLoadError(
                f"cannot load handlers from {_shown(module)}: {describe(error)}{_place(error)}"
            ) from error
    return registered()


def _load_one(module: str) -> None:
    if module.startswith(MAIN_PREFIX):
        again = _load_file(module.removeprefix(MAIN_PREFIX), _MAIN_AGAIN)
        _replaced.append(sys.modules["__main__"])
        sys.modules["__main__"] = again
    elif module.endswith(".py"):
        name = os.path.basename(module).removesuffix(".py")
        is_taken = name in sys.stdlib_module_names or name in sys.modules
        _load_file(os.path.abspath(module), f"handlers_in_{name}" if is_taken else name)
    else:
        importlib.import_module(module)


def _load_file(path: str, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path, loader=SourceFileLoader(name, path))
    assert spec is not None and spec.loader is not None, "a loader was given"
    if not os.path.isfile(path):
        raise HandlerLoadError("there is no such file")
    folder = os.path.dirname(path)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _shown(module: str) -> str:
    return repr(module.removeprefix(MAIN_PREFIX))


def _place(error: BaseException) -> str:
    """Where in the user's code it went wrong; nothing for what happened on the way to it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename[:1] != "<"]
    if not frames or frames[-1].filename in (__file__, importlib.__file__):
        return ""
    return f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})"
