"""Splits test files into shards of equal length, runs one of them with pytest, joins what they report.

python3 shards.py split COUNT     which files are in which shard, into build/shards.json
python3 shards.py run N           the tests of shard N, from 1
python3 shards.py join            build/junit-*.xml become junit.xml there; times are kept for the next split
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

TESTS, BUILD = Path("tests"), Path("build")
TIMES, SHARDS = BUILD / "times.json", BUILD / "shards.json"


def split(files: list[str], times: dict[str, float], count: int) -> list[list[str]]:
    """The longest file first, each to the shard that has least to do. New ones count as the median."""
    usual = statistics.median(times.values()) if times else 1.0
    shards: list[list[str]] = [[] for _ in range(count)]
    loads = [0.0] * count
    for file in sorted(files, key=lambda name: (-times.get(name, usual), name)):
        least = loads.index(min(loads))
        shards[least].append(file)
        loads[least] += times.get(file, usual)
    return shards


def write_split(count: int) -> int:
    """Once for a session, so that a shard that runs again is the same."""
    for report in BUILD.glob("junit*.xml"):
        report.unlink()
    times = json.loads(TIMES.read_text()) if TIMES.exists() else {}
    shards = split([str(file) for file in TESTS.glob("**/test_*.py")], times, count)
    SHARDS.write_text(json.dumps([[[file, times.get(file, 0.0)] for file in shard] for shard in shards]))
    return 0


def run(number: int) -> int:
    mine = dict(json.loads(SHARDS.read_text())[number - 1])
    print(f"shard {number}: {len(mine)} files, {sum(mine.values()):.1f} s last time", flush=True)
    if not mine:
        return 0
    report = BUILD / f"junit-{number}.xml"
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *mine]
    return subprocess.run(pytest, check=False).returncode


def join() -> int:
    whole = ET.Element("testsuites")
    times: dict[str, float] = {}
    for report in sorted(BUILD.glob("junit-*.xml")):
        for suite in ET.parse(report).getroot().iter("testsuite"):
            whole.append(suite)
            for case in suite.iter("testcase"):
                file = str(Path(*case.get("classname", "").split("."))) + ".py"
                times[file] = times.get(file, 0.0) + float(case.get("time", 0))
    ET.ElementTree(whole).write(BUILD / "junit.xml", encoding="utf-8", xml_declaration=True)
    TIMES.write_text(json.dumps(times, indent=1))
    cases = list(whole.iter("testcase"))
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    print(f"build/junit.xml: {len(cases)} tests, {len(bad)} failed")
    for case in bad:
        print(f"  {case.get('classname')}.{case.get('name')}")
    return 0


if __name__ == "__main__":
    BUILD.mkdir(exist_ok=True)
    match sys.argv[1:]:
        case ["split", count]:
            sys.exit(write_split(int(count)))
        case ["run", number]:
            sys.exit(run(int(number)))
        case ["join"]:
            sys.exit(join())
        case _:
            sys.exit(__doc__)
