"""Running a program as `python PROGRAM` does, with core.parallel there to be imported."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType, TracebackType

from ..errors import BuildRunnerError
from .modules import install

_USAGE = "usage: python -m buildrunner_parallel.compat PROGRAM [ARGUMENT...]"
_LIBRARIES = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "purelib", "platlib"))
_OURS = str(Path(__file__).resolve().parent.parent) + os.sep


def main(arguments: Sequence[str]) -> int:
    """The exit code: 2 for wrong usage, 1 when the program ended with an exception."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE, file=sys.stderr if not arguments else sys.stdout)
        return 2 if not arguments else 0
    path = arguments[0]
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        print(f"buildrunner_parallel.compat: cannot run {path}: {reason}", file=sys.stderr)
        return 2
    path = os.path.abspath(path)
    module = _become(path, arguments)
    try:
        install()
        exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        return _tell(error)
    return 0


def _become(path: str, arguments: Sequence[str]) -> ModuleType:
    """Arguments, import path and __main__ as they are for a program that Python was started with."""
    sys.argv[:] = arguments
    if not sys.flags.safe_path:
        sys.path[0] = str(Path(path).resolve().parent)
    module = ModuleType("__main__")
    loader = SourceFileLoader("__main__", path)
    module.__dict__.update(
        __file__=path, __builtins__=__builtins__, __cached__=None, __loader__=loader, __annotations__={}
    )
    sys.modules["__main__"] = module
    return module


def _tell(error: BaseException) -> int:
    """What Python would print, of the program's own frames."""
    for one in _chain(error):
        one.__traceback__ = _without_ours(one.__traceback__)
        if isinstance(one, BuildRunnerError):
            # What lies below it is not the program's.
            one.__cause__, one.__suppress_context__ = None, True
    sys.excepthook(type(error), error, error.__traceback__)
    if isinstance(error, KeyboardInterrupt):
        # Python ends in order and then by the signal, so that who started it sees that; it has been told.
        sys.excepthook = lambda *_: None
        raise error
    return 1


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            left += [one.__cause__, one.__context__]


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    """Without the frames of this package, and those of libraries that it called."""
    kept: list[TracebackType] = []
    below_ours = False
    while trace is not None:
        name = os.path.abspath(trace.tb_frame.f_code.co_filename)
        below_ours = name.startswith(_OURS) or (below_ours and name.startswith(_LIBRARIES))
        if not below_ours:
            kept.append(trace)
        trace = trace.tb_next
    rest: TracebackType | None = None
    for one in reversed(kept):
        rest = TracebackType(rest, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return rest
