"""Row 7: a real build, a task a C file, against xargs -P2 doing the same."""

from __future__ import annotations

import shutil
from pathlib import Path

from buildrunner_parallel.specs import TaskSpec
from tools.bench.figures import Figure, RowError, median
from tools.bench.load import run_session
from tools.bench.plain import xargs_seconds
from tools.bench.rig import Rig
from tools.bench.sizes import Sizes

COMPILE = ["gcc", "-O2", "-c"]
FUNCTIONS = 60


def measure_build(sizes: Sizes) -> list[Figure]:
    """Nothing where there is no compiler."""
    if shutil.which(COMPILE[0]) is None:
        return []
    with Rig(profile=sizes.profile) as rig:
        names = write_sources(rig.folder, sizes.sources)
        tasks = [TaskSpec(task_id=name, argv=[*COMPILE, name], cwd=str(rig.folder)) for name in names]
        ours, theirs = [], []
        for _ in range(sizes.rounds):
            theirs.append(xargs_seconds(COMPILE, names, str(rig.folder)))
            remove_objects(rig.folder, len(names))
            ours.append(run_session(rig.client, "build", tasks).seconds)
            remove_objects(rig.folder, len(names))
    ratio = median([mine / other for mine, other in zip(ours, theirs, strict=True)])
    note = f"{len(names)} files: ours {median(ours):.2f} s, xargs -P2 {median(theirs):.2f} s, alternating"
    return [Figure("a build, its time against xargs -P2", ratio, "x", 1.05, 1.0, lower=True, note=note)]


def write_sources(folder: Path, count: int) -> list[str]:
    names = [f"part{number}.c" for number in range(count)]
    for number, name in enumerate(names):
        (folder / name).write_text(
            "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
            + "".join(function(number * FUNCTIONS + index) for index in range(FUNCTIONS))
        )
    return names


def function(number: int) -> str:
    return (
        f"int work{number}(int n, const char *text) {{\n"
        f"    int total = {number};\n"
        "    for (int i = 0; i < n; i++) {\n"
        "        total += (int) strlen(text) * i ^ (total << 3);\n"
        '        if (total % 7 == 3) printf("%d %s\\n", total, text);\n'
        "    }\n"
        "    return total;\n"
        "}\n"
    )


def remove_objects(folder: Path, count: int) -> None:
    """For the next round; they also show that everything was built."""
    objects = list(folder.glob("part*.o"))
    if len(objects) != count:
        raise RowError(f"{len(objects)} of {count} files were compiled")
    for path in objects:
        path.unlink()
