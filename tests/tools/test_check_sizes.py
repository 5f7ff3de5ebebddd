"""What tools/check_sizes accepts and refuses, on small made-up projects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


def check_sizes(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "tools/check_sizes"), "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def function(name: str, lines: int) -> str:
    return f"def {name}():\n" + "    pass\n" * (lines - 1)


def test_short_files_and_functions_pass(tmp_path: Path) -> None:
    write(tmp_path, "service/one.py", function("short", 5))
    result = check_sizes(tmp_path)
    assert result.returncode == 0, result.stderr
    assert "1 functions: median 5 lines, longest 5" in result.stdout


def test_a_function_of_sixty_lines_passes_among_short_ones_and_one_more_line_fails(tmp_path: Path) -> None:
    short_ones = "".join(function(f"short_{number}", 3) for number in range(20))
    write(tmp_path, "client/python/long.py", short_ones + function("long", 60))
    assert check_sizes(tmp_path).returncode == 0
    write(tmp_path, "client/python/long.py", short_ones + function("long", 61))
    result = check_sizes(tmp_path)
    assert result.returncode == 1
    assert "client/python/long.py:61 long has 61 lines, more than 60" in result.stderr


def test_an_async_method_counts_as_a_function(tmp_path: Path) -> None:
    body = "        pass\n" * 70
    write(tmp_path, "tests/test_it.py", f"class Holder:\n    async def method(self):\n{body}")
    result = check_sizes(tmp_path)
    assert result.returncode == 1
    assert "tests/test_it.py:2 method has 71 lines" in result.stderr


def test_more_than_one_in_ten_functions_over_twenty_five_lines_fail(tmp_path: Path) -> None:
    write(tmp_path, "service/many.py", "".join(function(f"f{number}", 2) for number in range(9)))
    write(tmp_path, "service/long.py", function("long", 26))
    assert check_sizes(tmp_path).returncode == 0
    write(tmp_path, "service/longer.py", function("longer", 26))
    result = check_sizes(tmp_path)
    assert result.returncode == 1
    assert "2 of 11 functions have more than 25 lines" in result.stderr


def test_a_file_over_five_hundred_lines_fails_unless_it_is_generated(tmp_path: Path) -> None:
    long_text = function("short", 2) + "value = 1\n" * 500
    for number in range(20):
        write(tmp_path, f"service/short_{number}.py", function("short", 2))
    write(tmp_path, "client/python/buildrunner_parallel/v1/types_pb2.py", long_text)
    assert check_sizes(tmp_path).returncode == 0
    write(tmp_path, "client/python/buildrunner_parallel/types.py", long_text)
    result = check_sizes(tmp_path)
    assert result.returncode == 1
    assert "client/python/buildrunner_parallel/types.py has 502 lines, more than 500" in result.stderr


def test_scripts_without_an_ending_are_measured(tmp_path: Path) -> None:
    write(tmp_path, "tools/script", "#!/usr/bin/env python3\n" + function("long", 61))
    write(tmp_path, "tools/shell", "#!/usr/bin/env bash\nnot python (\n")
    result = check_sizes(tmp_path)
    assert result.returncode == 1
    assert "tools/script:2 long has 61 lines" in result.stderr


def test_an_empty_project_is_not_mistaken_for_a_good_one(tmp_path: Path) -> None:
    result = check_sizes(tmp_path)
    assert result.returncode == 1
    assert "found no files to measure" in result.stderr


@pytest.mark.parametrize(
    "name",
    [
        "client/typescript/src/long.ts", "client/go/worker/long.go", "client/rust/src/long.rs",
        "client/java/src/main/java/Long.java", "client/cpp/src/long.cpp", "client/cpp/include/long.hpp",
        "client/rust/stubs/src/main.rs", "examples/ruby/long.rb",
    ],
)  # fmt: skip
def test_files_of_other_languages_are_bounded_too(tmp_path: Path, name: str) -> None:
    write(tmp_path, "service/one.py", function("short", 5))
    write(tmp_path, name, "// a line\n" * 500)
    assert check_sizes(tmp_path).returncode == 0
    write(tmp_path, name, "// a line\n" * 501)
    result = check_sizes(tmp_path)
    assert result.returncode == 1
    assert f"{name} has 501 lines, more than 500" in result.stderr


@pytest.mark.parametrize(
    "name",
    [
        "client/typescript/src/gen/types_pb.ts", "client/typescript/node_modules/a/index.ts",
        "client/go/v1/types.pb.go", "client/rust/src/gen/v1.rs", "client/rust/target/debug/made.rs",
        "client/cpp/third_party/library.h", "client/cpp/build/types.pb.cc",
        "examples/ruby/stubs/v1/types_pb.rb",
    ],
)  # fmt: skip
def test_what_is_generated_or_of_others_is_left_out(tmp_path: Path, name: str) -> None:
    write(tmp_path, "service/one.py", function("short", 5))
    write(tmp_path, name, "// a line\n" * 5000)
    assert check_sizes(tmp_path).returncode == 0
