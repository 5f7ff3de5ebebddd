"""`python -m buildrunner_parallel.worker`: runs one worker in the foreground.

Options only; the program is in runtime.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from buildrunner_parallel.bounds import MOST_CREDIT, MOST_SLOTS

from .options import WorkerOptions


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m buildrunner_parallel.worker", description="Runs one worker."
    )
    add = parser.add_argument
    add("--coordinator", default=os.environ.get("BR_COORDINATOR", ""), help="unix:PATH or HOST:PORT")
    add("--token-file", default=os.environ.get("BR_TOKEN_FILE", ""), help="file with the token to present")
    add("--slots", type=int, default=1, help="tasks of one slot that run at a time")
    add("--label", action="append", default=[], help="a label that tasks may require; repeatable")
    add("--handlers", action="append", default=[], help="MODULE[,MODULE...] with handlers; repeatable")
    add("--session", default="", help="serve this session alone")
    add("--workspace", default="", help="id of the workspace, where the coordinator asks for one")
    add("--credit", type=int, default=0, help="attempts held at a time; by default it follows their length")
    add("--state-dir", default="", help="the coordinator's state directory, on its host only")
    add("--directory", default=os.getcwd(), help="where tasks run that do not say where")
    add("--metadata", default="", help="a JSON object shown with the worker")
    add(
        "--unreachable",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="leave after so long without contact",
    )
    add(
        "--drain",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="what runs may take so long after SIGTERM",
    )
    return parser


def _options(arguments: argparse.Namespace) -> WorkerOptions:
    token = os.environ.get("BR_TOKEN", "")
    if arguments.token_file:
        token = Path(arguments.token_file).read_text(encoding="utf-8").strip()
    return WorkerOptions(
        coordinator=arguments.coordinator,
        token=token,
        slots=arguments.slots,
        labels=arguments.label,
        handler_modules=[name for text in arguments.handlers for name in text.split(",") if name],
        session_id=arguments.session,
        workspace_id=arguments.workspace,
        credit=arguments.credit,
        lock_file=_lock_file_in(arguments.state_dir),
        directory=arguments.directory,
        metadata_json=arguments.metadata,
        unreachable_s=arguments.unreachable,
        drain_s=arguments.drain,
    )


def _lock_file_in(state_directory: str) -> str:
    from ..discovery import COORDINATOR_LOCK

    return str(Path(state_directory) / COORDINATOR_LOCK) if state_directory else ""


def run_worker(options: WorkerOptions) -> int:
    """Runs a worker on an event loop of its own until it leaves; its exit code (see runtime)."""
    import uvloop

    from .runtime import WorkerRuntime, keep_what_is_loaded

    async def serve() -> int:
        keep_what_is_loaded()
        return await WorkerRuntime(options).run()

    return uvloop.run(serve())


def main() -> int:
    """Parses the command line and runs; 2 for wrong usage."""
    parser = _parser()
    arguments = parser.parse_args()
    if not arguments.coordinator:
        parser.error("give --coordinator or set BR_COORDINATOR")
    if not 1 <= arguments.slots <= MOST_SLOTS:
        parser.error(f"--slots must be from 1 to {MOST_SLOTS}")
    if not 0 <= arguments.credit <= MOST_CREDIT:
        parser.error(f"--credit must be from 0 to {MOST_CREDIT}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        options = _options(arguments)
    except OSError as error:
        print(f"cannot read the token: {error}", file=sys.stderr)
        return 1
    return run_worker(options)


if __name__ == "__main__":
    sys.exit(main())
