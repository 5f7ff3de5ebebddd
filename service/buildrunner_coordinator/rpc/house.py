"""What all services share: the engine, what the coordinator knows of itself, limits, request ids."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from google.protobuf.message import Message

from buildrunner_coordinator.domain import commands
from buildrunner_coordinator.domain.model import Settings
from buildrunner_coordinator.domain.refusals import Reason, Refusal
from buildrunner_coordinator.engine.batch import RequestInfo
from buildrunner_coordinator.engine.engine import Engine
from buildrunner_coordinator.rpc.convert.basics import check_name
from buildrunner_coordinator.rpc.interceptors import Context

CLIENT_KEY = "br-client-id"
MAX_ID_BYTES = 128

Response = TypeVar("Response", bound=Message)


class Limits(NamedTuple):
    """Of plans, as collected before they are validated."""

    plan_tasks: int = 1_000_000
    plan_bytes: int = 1 << 30


class Identity(NamedTuple):
    """What the coordinator says of itself."""

    version: str
    address: str
    pid: int
    host: str
    data_directory: str
    workspace_root: str
    store: str
    started_at_us: int


@dataclass(slots=True)
class House:
    """Handed to every service."""

    engine: Engine
    identity: Identity
    settings: Settings
    limits: Limits = Limits()
    draining: bool = False
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the coordinator is to end."""

    def refuse_when_draining(self) -> None:
        if self.draining:
            raise Refusal(
                Reason.DRAINING, "The coordinator takes no new work: it ends once nothing runs any more."
            )

    def digest_if_named(self, request: Any) -> bytes | None:
        """For requests that conversion completes: the digest is of what came."""
        return digest_of(request) if request.request_id else None

    async def mutate(
        self,
        context: Context,
        request: Any,
        command: object,
        response_type: type[Response],
        respond: Callable[[Any], Response],
        digest: bytes | None = None,
    ) -> Response:
        """The response to a call that changes something, the first one again for a repeated request id."""
        made: list[Response] = []

        def encode(reply: object) -> bytes:
            made.append(respond(reply))
            return made[0].SerializeToString()

        info = None
        if request.request_id:
            key = _request_key(context, request)
            info = RequestInfo(*key, digest or digest_of(request), encode, response_type.FromString)
        reply = await self.engine.execute(command, info)
        if isinstance(reply, response_type):
            return reply
        return made[0] if made else respond(reply)

    async def answered(
        self, context: Context, request: Any, response_type: type[Response]
    ) -> Response | None:
        """The response that this request id got before. Raises Refusal (REQUEST_ID_REUSED)."""
        if not request.request_id:
            return None
        command = commands.FindAnswer(*_request_key(context, request), digest_of(request))
        kept: bytes = await self.engine.execute(command)
        return response_type.FromString(kept) if kept else None


def _request_key(context: Context, request: Any) -> tuple[str, str]:
    """Whose request it is, and its id."""
    request_id = check_name(request.request_id, "request id", max_bytes=MAX_ID_BYTES)
    return client_of(context), request_id


def digest_of(*requests: Message) -> bytes:
    """The same for the same messages, and for no others."""
    digest = hashlib.blake2b(digest_size=16)
    for request in requests:
        encoded = request.SerializeToString(deterministic=True)
        digest.update(b"%s %d:" % (type(request).__name__.encode(), len(encoded)))
        digest.update(encoded)
    return digest.digest()


def client_of(context: Context) -> str:
    """The caller's name for itself; empty when it gives none."""
    for key, value in context.invocation_metadata() or ():
        if key == CLIENT_KEY:
            text = value if isinstance(value, str) else value.decode(errors="replace")
            return check_name(text, "client id", max_bytes=MAX_ID_BYTES)
    return ""
