"""`python -m tests.conformance`: the kit as a program, for this checkout's languages or any third program."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import specs
from .ending import Ended, signals_raise
from .probing import probe
from .programs import (
    CAPABILITIES,
    KINDS,
    ROOT,
    Programs,
    find_programs,
    read_programs,
    typed_line,
)
from .running import FAILED, OK, Result, run
from .scenarios import Scenario, all_scenarios
from .stage import cut_all_short
from .table import draw, write_page

PAGE = ROOT / "docs" / "clients.md"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance",
        description="Runs clients and workers through the conformance scenarios. Exit code 1 if one fails.",
        epilog="Without --client, --worker and --programs: those of client/*/conformance.json.",
    )
    add = parser.add_argument
    add("--client", default="", metavar="CMD", help="command line of a client under test")
    add("--worker", default="", metavar="CMD", help="command line of a worker under test")
    add("--kind", choices=KINDS, default="stream", help="how that worker talks (default stream)")
    add(
        "--without", action="append", default=[], choices=CAPABILITIES,
        help="what that worker does not have, so that its scenarios are n/a; repeatable",
    )  # fmt: skip
    add("--programs", default="", metavar="FILE", help="a conformance.json that says all this")
    add(
        "--ready-within", type=float, default=specs.READY_S, metavar="SECONDS",
        help="how long a program may take to start (default %(default)g)",
    )  # fmt: skip
    add("--name", default="yours", help="what to call it in the table")
    add("--language", action="append", default=[], metavar="LANG", help="only this one; repeatable")
    add(
        "--scenario",
        action="append",
        default=[],
        metavar="NAME",
        help="only those whose name has this; repeatable",
    )
    add("--jobs", type=int, default=1, metavar="N", help="scenarios at a time (default 1)")
    add("--list", action="store_true", help="name the scenarios, and run nothing")
    add(
        "--write",
        action="store_true",
        help="keep the results in docs/clients.md, beside those of what is not run now",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 all well, 1 a scenario failed, 2 wrong usage, 128+n ended by signal n."""
    parser = _parser()
    given = parser.parse_args(arguments)
    chosen = [
        one for one in all_scenarios().values()
        if not given.scenario or any(word in one.name for word in given.scenario)
    ]  # fmt: skip
    if not chosen:
        parser.error(f"no scenario is named {' or '.join(given.scenario)}; --list names them")
    if given.list:
        print("\n".join(f"{one.name:<44} {one.about}" for one in chosen))
        return 0
    specs.READY_S = given.ready_within
    languages = _languages(given, parser)
    ready = [one for one in languages if not one.missing]
    for one in languages:
        if one.missing:
            print(f"{one.language}: not run: {one.missing}; make -C {one.folder} build", file=sys.stderr)
    is_third = bool(given.client or given.worker or given.programs)
    try:
        with signals_raise():
            fault = probe(languages[0], {one.side for one in chosen}) if is_third and ready else ""
            if fault:
                print(f"tests.conformance: {fault}", file=sys.stderr)
                return 1
            results = _run_all(ready, chosen, given.jobs)
    except Ended as ended:
        print(f"tests.conformance: {ended}; nothing that it started is left", file=sys.stderr)
        return ended.exit_code
    print(draw(results, languages, chosen))
    if given.write:
        write_page(PAGE, results, find_programs(), list(all_scenarios().values()))
    return 1 if any(result.state == FAILED for result in results) else 0


def _languages(given: argparse.Namespace, parser: argparse.ArgumentParser) -> list[Programs]:
    if given.client or given.worker or given.programs:
        return [_third_programs(given, parser)]
    found = find_programs()
    wanted = {name.lower() for name in given.language}
    chosen = [one for one in found if not wanted or {one.language.lower(), one.folder.name} & wanted]
    if not chosen:
        parser.error(
            f"there is none of {', '.join(given.language)}; found: {', '.join(o.language for o in found)}"
        )
    return chosen


def _third_programs(given: argparse.Namespace, parser: argparse.ArgumentParser) -> Programs:
    here = Path.cwd()
    option = "--programs"
    try:
        if given.programs:
            if given.client or given.worker:
                raise ValueError("the file says which they are; leave out --client and --worker")
            return read_programs(here / given.programs)
        option = "--client"
        client = typed_line(given.client, here)
        option = "--worker"
        worker = typed_line(given.worker, here)
    except (OSError, ValueError) as error:
        parser.error(f"{option}: {error}")
    lacks = {name: f"it has no {name}, says --without" for name in given.without}
    return Programs(given.name, here, client, worker, given.kind, lacks=lacks, typed=True)


def _run_all(languages: list[Programs], chosen: list[Scenario], jobs: int) -> list[Result]:
    with ThreadPoolExecutor(max(jobs, 1)) as pool:
        pairs = [(language, one) for language in languages for one in chosen]
        results = []
        try:
            for result in pool.map(lambda pair: run(*pair), pairs):
                _tell(result)
                results.append(result)
        except Ended:
            print("tests.conformance: ending what is under way", file=sys.stderr)
            pool.shutdown(wait=False, cancel_futures=True)
            cut_all_short()
            raise  # once the scenarios have ended
        return results


def _tell(result: Result) -> None:
    """What became of a scenario, for who watches."""
    print(f"{result.language} {result.scenario}: {result.state} ({result.seconds:.1f} s)", file=sys.stderr)
    if result.state != OK and result.reason:
        print(f"  {result.reason}", file=sys.stderr)
    if result.evidence:
        print("\n".join(f"    {line}" for line in result.evidence.splitlines()), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
