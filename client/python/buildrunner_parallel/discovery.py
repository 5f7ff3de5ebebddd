"""Where the coordinator is and with which token: given, from the environment, or the workspace's own.

Reads files and asks for health. Starting one is in starting.py.
"""

from __future__ import annotations

import enum
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import AuthenticationError, InvalidRequestError, NoStateError, UnreachableError
from .workspace import Workspace, find_workspace

COORDINATOR_FILE = "coordinator.json"
COORDINATOR_LOCK = "coordinator.lock"
TOKEN_FILE = "token"


@dataclass(frozen=True, slots=True)
class Target:
    """An address as gRPC takes it (`unix:PATH` or `HOST:PORT`), and the token to present there."""

    address: str
    token: str = ""


class Health(enum.Enum):
    SERVING = "serving"
    NOT_SERVING = "not serving"
    UNREACHABLE = "unreachable"


def explicit_address(coordinator: str | None) -> str | None:
    """The address asked for by argument or BR_COORDINATOR, normalised; None when neither is given.

    Raises InvalidRequestError for text that is no address.
    """
    text = (coordinator or os.environ.get("BR_COORDINATOR") or "").strip()
    if not text:
        return None
    if text.startswith("/"):
        return f"unix:{text}"
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = "/" + path.lstrip("/") if path.startswith("//") else os.path.abspath(path)
        return f"unix:{path}"
    host, _, port = text.rpartition(":")
    if host and port.isdigit() and 0 < int(port) < 65536:
        return text
    raise InvalidRequestError(
        f"{text!r} is no coordinator address; give unix:PATH or HOST:PORT", reason="INVALID"
    )


def locate(
    coordinator: str | None = None,
    token: str | None = None,
    token_file: Path | None = None,
    workspace: Workspace | None = None,
) -> Target:
    """The coordinator to talk to, without asking whether it is alive.

    Raises NoStateError when the workspace has none, UnreachableError when it has one that never said
    where it is, AuthenticationError for a token file that cannot be read.
    """
    address = explicit_address(coordinator)
    given = _given_token(token, token_file)
    if address is not None:
        return Target(address, given if given is not None else _token_beside(address, workspace))
    workspace = workspace or find_workspace()
    if not workspace.has_state:
        raise NoStateError(f"nothing has been started in {workspace.root} yet; `br parallel start` does")
    target = local_target(workspace.state_dir)
    if target is None:
        raise UnreachableError(f"no coordinator runs for {workspace.root}")
    return target if given is None else Target(target.address, given)


def local_target(state_dir: Path) -> Target | None:
    """Where the state directory's coordinator last said that it is; None when it never did."""
    address = str(read_coordinator_file(state_dir).get("address") or "")
    return Target(address, read_token(state_dir / TOKEN_FILE) or "") if address else None


def read_coordinator_file(state_dir: Path) -> dict[str, Any]:
    """What coordinator.json says; empty when there is none or it makes no sense."""
    try:
        value = json.loads((state_dir / COORDINATOR_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def read_token(file: Path) -> str | None:
    """The token in a file; None when it cannot be read."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _given_token(token: str | None, token_file: Path | None) -> str | None:
    if token:
        return token
    name = token_file or os.environ.get("BR_TOKEN_FILE")
    if token_file is None and os.environ.get("BR_TOKEN"):
        return os.environ["BR_TOKEN"]
    if not name:
        return None
    found = read_token(Path(name))
    if not found:
        raise AuthenticationError(f"no token can be read from {name}; check the path and its permissions")
    return found


def _token_beside(address: str, workspace: Workspace | None) -> str:
    """The token of the local coordinator when `address` is its own; a stranger never gets one."""
    workspace = workspace or find_workspace()
    target = local_target(workspace.state_dir)
    if target is not None and target.address == address:
        return target.token
    if address.startswith("unix:"):
        folder = Path(address.removeprefix("unix:")).parent
        found = local_target(folder)
        if found is not None and found.address == address:
            return found.token
    return ""


def probe(target: Target, timeout_s: float = 2.0) -> Health:
    """Asks for health once. A coordinator that drains or still loads is NOT_SERVING."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from .channel import open_channel

    with open_channel(target.address, target.token) as channel:
        try:
            request = health_pb2.HealthCheckRequest()
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout_s)
        except grpc.RpcError as error:
            silent = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            return Health.UNREACHABLE if error.code() in silent else Health.NOT_SERVING
    serving = answer.status == health_pb2.HealthCheckResponse.SERVING
    return Health.SERVING if serving else Health.NOT_SERVING


def start_local(workspace: Workspace, timeout_s: float = 20.0) -> Target:
    """The workspace's running coordinator, started if need be; see starting.start_local."""
    # Most calls find one at work and never need what starting takes.
    from . import starting

    return starting.start_local(workspace, timeout_s)
