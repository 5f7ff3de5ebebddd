"""The shared page: adding an entry, and finding one that was lost or tampered with."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest
from wheelhouse_steps import index
from wheelhouse_steps.errors import StepError
from wheelhouse_steps.files import sha256_of, write_record
from wheelhouse_steps.index_page import Entry, missing_and_unknown, parse, problems_of, render, with_entry
from wheelhouse_steps.manifest import Package, Pin
from wheelhouse_steps.places import Places
from wheelhouse_steps.wheel_record import problems_of_wheel


def recorded(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def make_wheel(
    folder: Path, name: str, content: bytes = b"x = 1\n", recorded_content: bytes | None = None
) -> Path:
    """A wheel with one module, whose RECORD says that the module has `recorded_content`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    record = f"{name}-1.0.dist-info/RECORD"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", content)
        listed = content if recorded_content is None else recorded_content
        wheel.writestr(record, f"{name}.py,{recorded(listed)},{len(listed)}\n{record},,\n")
    return path


def make_entry(wheel: Path) -> Entry:
    name = wheel.name.partition("-")[0]
    return Entry(name, "1.0", wheel.name, sha256_of(wheel), wheel.stat().st_size, tests=2)


def make_package(name: str) -> Package:
    return Package(Pin(name, "1.0", "0" * 64), name, ("tests",), "1", "1")


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """An output folder with the wheels a, b and c built and tested; pip is not asked."""
    monkeypatch.setattr(index, "check_installable", lambda places, entries, page: None)
    places = Places(tmp_path / "the output")
    for name in "abc":
        entry = make_entry(make_wheel(places.wheels, name))
        fields = {key: getattr(entry, key) for key in ("name", "version", "file", "sha256", "size_bytes")}
        write_record(places.built(name), fields)
        for number, test in ((1, "t::one"), (2, "t::two")):
            report = {"shard": f"{number}of2", "suite": ["t::one", "t::two"], "outcomes": {test: "passed"}}
            write_record(places.shards(name) / f"{number}of2.json", report)
    return places


def test_a_page_is_read_back_as_it_was_written():
    entries = [Entry("b", "2", "b&<2>.whl", "f" * 64, 7, 1), Entry("a", "1", "a-1.whl", "0" * 64, 5, 3)]
    assert parse(render(entries)) == sorted(entries)
    assert parse(render([])) == []


def test_adding_one_keeps_the_others_and_replaces_its_own():
    a, b = Entry("a", "1", "a.whl", "0" * 64, 5, 3), Entry("b", "2", "b.whl", "f" * 64, 7, 1)
    newer = Entry("a", "2", "a2.whl", "1" * 64, 6, 3)
    assert with_entry(with_entry([], b), a) == [a, b]
    assert with_entry([a, b], newer) == [newer, b]


def test_added_in_turn_all_are_listed_and_verified(places: Places):
    for name in "cab":
        index.add_to_index(places, make_package(name))
    assert [entry.name for entry in index.read_index(places)] == ["a", "b", "c"]
    said = index.verify_index(places, ["a", "b", "c"])
    assert "3 wheels, 6 tests, every hash right" in said
    assert [path.name for path in places.out.iterdir() if "next" in path.name] == []


def test_two_that_add_at_once_lose_an_entry_and_verify_names_it(
    places: Places, monkeypatch: pytest.MonkeyPatch
):
    def another_adds_meanwhile(*arguments: object) -> None:
        monkeypatch.setattr(index, "check_installable", lambda *arguments: None)
        index.add_to_index(places, make_package("b"))

    monkeypatch.setattr(index, "check_installable", another_adds_meanwhile)
    index.add_to_index(places, make_package("a"))
    assert [entry.name for entry in index.read_index(places)] == ["a"]
    with pytest.raises(StepError, match="b is not listed"):
        index.verify_index(places, ["a", "b"])


def test_a_row_that_was_changed_by_hand_is_found(places: Places):
    index.add_to_index(places, make_package("a"))
    page = places.index.read_text()
    places.index.write_text(page.replace('data-tests="2"', 'data-tests="3"'))
    with pytest.raises(StepError, match="damaged"):
        index.verify_index(places, ["a"])


def test_a_row_that_was_cut_out_by_hand_is_found(places: Places):
    for name in "ab":
        index.add_to_index(places, make_package(name))
    lines = places.index.read_text().splitlines(keepends=True)
    places.index.write_text("".join(line for line in lines if 'data-name="a"' not in line))
    with pytest.raises(StepError, match="damaged"):
        index.verify_index(places, ["a", "b"])


def test_a_wheel_that_was_changed_after_listing_is_found(places: Places):
    index.add_to_index(places, make_package("a"))
    make_wheel(places.wheels, "a", b"x = 2\n")
    with pytest.raises(StepError, match=r"a-1\.0-py3-none-any\.whl is not the file that was listed"):
        index.verify_index(places, ["a"])


def test_a_wheel_that_is_gone_is_found(places: Places):
    index.add_to_index(places, make_package("a"))
    (places.wheels / "a-1.0-py3-none-any.whl").unlink()
    assert problems_of(index.read_index(places), places.wheels) == [
        "a-1.0-py3-none-any.whl is listed, but it is not there"
    ]


def test_a_package_whose_tests_are_not_all_proven_is_not_listed(places: Places):
    (places.shards("a") / "2of2.json").unlink()
    with pytest.raises(StepError, match="the tests of a are not proven"):
        index.add_to_index(places, make_package("a"))
    assert not places.index.exists()


def test_a_page_that_pip_cannot_use_does_not_replace_the_last_good_one(
    places: Places, monkeypatch: pytest.MonkeyPatch
):
    index.add_to_index(places, make_package("a"))

    def refuse(*arguments: object) -> None:
        raise StepError("pip says no")

    monkeypatch.setattr(index, "check_installable", refuse)
    with pytest.raises(StepError, match="pip says no"):
        index.add_to_index(places, make_package("b"))
    assert [entry.name for entry in index.read_index(places)] == ["a"]


def test_missing_unknown_and_repeated_packages_are_named():
    a, b = Entry("a", "1", "a.whl", "0" * 64, 5, 3), Entry("b", "2", "b.whl", "f" * 64, 7, 1)
    assert missing_and_unknown([a, b], ["a", "b"]) == []
    assert missing_and_unknown([a], ["a", "b"]) == ["b is not listed"]
    assert missing_and_unknown([a, b], ["a"]) == ["b is listed and should not be"]
    assert missing_and_unknown([a, a], ["a"]) == ["a is listed twice"]


def test_a_wheel_that_is_what_its_record_says_has_no_problems(tmp_path: Path):
    assert problems_of_wheel(make_wheel(tmp_path, "a")) == []


def test_a_wheel_that_is_not_what_its_record_says_is_found(tmp_path: Path):
    wheel = make_wheel(tmp_path, "a", b"x = 1\n", recorded_content=b"x = 2\n")
    assert problems_of_wheel(wheel) == [f"{wheel.name}: a.py is not what its RECORD says"]
    with zipfile.ZipFile(wheel, "a") as more:
        more.writestr("stowaway.py", b"")
    assert f"{wheel.name}: stowaway.py is not in its RECORD" in problems_of_wheel(wheel)


def test_a_wheel_that_is_no_zip_file_is_found(tmp_path: Path):
    path = tmp_path / "a-1.0-py3-none-any.whl"
    path.write_bytes(b"not a wheel")
    assert "cannot be read" in problems_of_wheel(path)[0]
