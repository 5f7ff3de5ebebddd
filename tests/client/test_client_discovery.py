"""Which coordinator and which token: given, from the environment, or the workspace's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from buildrunner_parallel import errors
from buildrunner_parallel.channel import channel_options, is_on_this_machine
from buildrunner_parallel.client import Client
from buildrunner_parallel.discovery import (
    Health,
    Target,
    explicit_address,
    local_target,
    locate,
    probe,
    read_coordinator_file,
)
from buildrunner_parallel.v1 import coordinator_service_pb2
from buildrunner_parallel.workspace import Workspace, find_workspace


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("BR_COORDINATOR", "BR_TOKEN", "BR_TOKEN_FILE", "BR_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def workspace(tmp_path):
    state = tmp_path / ".buildrunner"
    state.mkdir()
    return Workspace(tmp_path, tmp_path, state)


def put_state(workspace: Workspace, address: str = "unix:/run/c.sock", token: str = "mine") -> None:
    (workspace.state_dir / "coordinator.json").write_text(json.dumps({"address": address, "pid": 1}))
    (workspace.state_dir / "token").write_text(token + "\n")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("unix:/run/x.sock", "unix:/run/x.sock"),
        ("unix:///run/x.sock", "unix:/run/x.sock"),
        ("/run/x.sock", "unix:/run/x.sock"),
        ("build.example:7000", "build.example:7000"),
        ("[::1]:7000", "[::1]:7000"),
        (" 127.0.0.1:1 ", "127.0.0.1:1"),
    ],
)
def test_addresses_are_normalised(given, address):
    assert explicit_address(given) == address


@pytest.mark.parametrize("given", ["host", "host:", ":7000", "host:0", "host:70000", "http://x/y"])
def test_what_is_no_address_is_refused(given):
    with pytest.raises(errors.InvalidRequestError, match="give unix:PATH or HOST:PORT"):
        explicit_address(given)


def test_a_relative_socket_path_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert explicit_address("unix:c.sock") == f"unix:{tmp_path}/c.sock"


def test_the_environment_stands_in_for_the_option(monkeypatch, workspace):
    monkeypatch.setenv("BR_COORDINATOR", "host:1")
    monkeypatch.setenv("BR_TOKEN", "t")
    assert locate(workspace=workspace) == Target("host:1", "t")
    assert locate("other:2", "u", workspace=workspace) == Target("other:2", "u")


def test_a_token_file_wins_over_the_environment_and_must_be_readable(monkeypatch, workspace, tmp_path):
    monkeypatch.setenv("BR_TOKEN", "t")
    (tmp_path / "tok").write_text("from file\n")
    assert locate("h:1", token_file=tmp_path / "tok", workspace=workspace).token == "from file"
    with pytest.raises(errors.AuthenticationError, match="no token can be read"):
        locate("h:1", token_file=tmp_path / "none", workspace=workspace)


def test_the_workspaces_own_coordinator_comes_with_its_token(workspace):
    put_state(workspace)
    assert locate(workspace=workspace) == Target("unix:/run/c.sock", "mine")
    assert locate("unix:/run/c.sock", workspace=workspace).token == "mine"


def test_a_stranger_never_gets_the_local_token(workspace):
    put_state(workspace)
    assert locate("evil.example:7000", workspace=workspace).token == ""
    assert locate("unix:/run/other.sock", workspace=workspace).token == ""


def test_a_socket_beside_its_state_brings_its_token(workspace, tmp_path):
    other = Workspace(tmp_path / "o", tmp_path / "o", tmp_path / "o")
    other.state_dir.mkdir()
    address = f"unix:{other.state_dir}/coordinator.sock"
    put_state(other, address, "theirs")
    assert locate(address, workspace=workspace).token == "theirs"


def test_without_state_there_is_nothing_to_talk_to(workspace):
    with pytest.raises(errors.NoStateError):
        locate(workspace=workspace)
    with pytest.raises(errors.NoStateError):
        Client.connect(cwd=workspace.root, start=False)
    assert list(workspace.state_dir.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"address": 0}'])
def test_a_file_that_makes_no_sense_names_no_coordinator(workspace, text):
    (workspace.state_dir / "coordinator.json").write_text(text)
    assert local_target(workspace.state_dir) is None
    assert read_coordinator_file(workspace.state_dir).get("address") in (None, 0)


def test_health_is_asked_for(coordinator, tmp_path):
    assert probe(Target(coordinator.address)) == Health.SERVING
    assert probe(Target(f"unix:{tmp_path}/none")) == Health.UNREACHABLE


def test_connecting_to_a_given_address_needs_no_workspace(coordinator, tmp_path):
    coordinator.on("GetInfo", coordinator_service_pb2.GetInfoResponse(version="1"))
    with Client.connect(coordinator.address, token="t", cwd=tmp_path) as client:
        assert client.info().version == "1"
        assert client.address == coordinator.address


def test_an_address_where_nobody_answers_is_named(tmp_path):
    with pytest.raises(errors.UnreachableError, match="no coordinator answers at unix:"):
        Client.connect(f"unix:{tmp_path}/none", cwd=tmp_path, timeout_s=0.3)


def test_a_proxy_is_only_ignored_where_it_would_be_in_the_way():
    local = ["unix:/x", "127.0.0.1:1", "localhost:1", "[::1]:1", "ipv4:127.0.0.1:1"]
    assert all(is_on_this_machine(address) for address in local)
    assert not is_on_this_machine("build.example:1")
    assert ("grpc.enable_http_proxy", 0) in channel_options("unix:/x")
    assert ("grpc.enable_http_proxy", 0) not in channel_options("build.example:1")


# ---------------------------------------------------------------- workspaces


def make_repository(root: Path) -> None:
    (root / ".git").mkdir(parents=True)


def link_worktree(worktree: Path, common: Path) -> None:
    git_directory = common / "worktrees" / worktree.name
    git_directory.mkdir(parents=True)
    (git_directory / "commondir").write_text("../..\n")
    worktree.mkdir(parents=True)
    (worktree / ".git").write_text(f"gitdir: {git_directory}\n")


def test_a_directory_below_a_repository_belongs_to_its_root(tmp_path):
    make_repository(tmp_path / "r")
    below = tmp_path / "r" / "a" / "b"
    below.mkdir(parents=True)
    found = find_workspace(below)
    assert found == Workspace(tmp_path / "r", tmp_path / "r", tmp_path / "r" / ".buildrunner", "a/b")
    assert not found.has_state


def test_worktrees_share_the_main_ones_state(tmp_path):
    make_repository(tmp_path / "main")
    link_worktree(tmp_path / "other", tmp_path / "main" / ".git")
    found = find_workspace(tmp_path / "other")
    assert (found.root, found.worktree) == (tmp_path / "main", tmp_path / "other")


def test_worktrees_of_a_bare_repository_share_that_repositorys_directory(tmp_path):
    link_worktree(tmp_path / "w", tmp_path / "r.git")
    assert find_workspace(tmp_path / "w").root == tmp_path / "r.git"


def test_a_submodule_is_a_workspace_of_its_own(tmp_path):
    make_repository(tmp_path / "outer")
    (tmp_path / "outer" / ".git" / "modules" / "sub").mkdir(parents=True)
    (tmp_path / "outer" / "sub").mkdir()
    (tmp_path / "outer" / "sub" / ".git").write_text("gitdir: ../.git/modules/sub\n")
    assert find_workspace(tmp_path / "outer" / "sub").root == tmp_path / "outer" / "sub"


def test_without_git_the_nearest_state_above_counts_else_the_directory(tmp_path):
    below = tmp_path / "p" / "a"
    below.mkdir(parents=True)
    assert find_workspace(below).root == below
    (tmp_path / "p" / ".buildrunner").mkdir()
    assert find_workspace(below).root == tmp_path / "p"


def test_a_link_to_a_checkout_is_that_checkout(tmp_path):
    make_repository(tmp_path / "r")
    (tmp_path / "link").symlink_to(tmp_path / "r")
    assert find_workspace(tmp_path / "link").root == tmp_path / "r"


def test_the_state_directory_can_be_told(tmp_path, monkeypatch):
    monkeypatch.setenv("BR_STATE_DIR", str(tmp_path / "elsewhere"))
    assert find_workspace(tmp_path).state_dir == tmp_path / "elsewhere"
