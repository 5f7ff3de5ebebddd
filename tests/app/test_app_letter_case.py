"""Whether a checkout ignores case: as its file system shows, or as git was told."""

from __future__ import annotations

import pytest

from buildrunner_coordinator.app.letter_case import ignores_case


@pytest.mark.parametrize(
    ("config", "answer"),
    [
        ("[core]\n\tignorecase = true\n", True),
        ("[core]\n\tIgnoreCase=YES ; said\n", True),
        ("[core]\n\tignorecase\n", True),
        ("[core]\n\tignorecase = false\n", False),
        ("[core]\n\tignorecase = true\n\tignorecase = off\n", False),
        ('[core]\n\tbare = false\n[remote "core"]\n\tignorecase = true\n', False),
        ("", False),
    ],
)
def test_git_configuration_counts(tmp_path, config, answer):
    state = tmp_path / ".buildrunner"
    state.mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text(config)
    assert ignores_case(tmp_path, state) is answer


def test_without_git_the_file_system_is_asked(tmp_path):
    state = tmp_path / ".buildrunner"
    state.mkdir()
    assert not ignores_case(tmp_path, state)
    # As a file system that ignores case would have it: the other spelling is the same folder.
    (tmp_path / ".BUILDRUNNER").symlink_to(state)
    assert ignores_case(tmp_path, state)
