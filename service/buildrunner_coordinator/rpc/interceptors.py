"""What every call goes through: the token, and the one place where errors become statuses."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import Message

from buildrunner_coordinator.domain.refusals import Refusal
from buildrunner_coordinator.engine.engine import EngineStoppedError
from buildrunner_coordinator.rpc.convert.basics import cut
from buildrunner_coordinator.rpc.convert.locks import conflict_message
from buildrunner_coordinator.rpc.status import CODES, DETAILS_KEY, MAX_MESSAGE_BYTES, encode_details

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
else:
    Context = grpc.aio.ServicerContext
Handler = Any
"""grpc.RpcMethodHandler, whose stubs know less than it has."""

_OPEN_PREFIX = "/grpc.health.v1.Health/"
_STOPPED = "The coordinator is ending; whether this took effect is not known. Try again when it is back."
_INTERNAL = "The coordinator failed at this call by a fault of its own; its log says more."
_NO_TOKEN = "No valid token came with this call. Give the one in the coordinator's token file."


class RpcError(Exception):
    """An error that the core knows nothing of, with its status."""

    def __init__(self, code: grpc.StatusCode, reason: str, message: str, **details: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details


async def end_with(
    context: Context,
    code: grpc.StatusCode,
    reason: str,
    message: str,
    details: Mapping[str, str],
    extra: Iterable[Message] = (),
) -> NoReturn:
    """Ends the call with a status and its details."""
    message = cut(message, MAX_MESSAGE_BYTES)
    trailing = ((DETAILS_KEY, encode_details(code, reason, message, details, extra)),)
    await context.abort(code, message, trailing)
    raise AssertionError("abort returned")


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Lets in who has the token; health checks need none."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith(_OPEN_PREFIX):
            return handler
        for key, value in handler_call_details.invocation_metadata:
            if key == "authorization":
                given = value.encode() if isinstance(value, str) else value
                if hmac.compare_digest(given, self._expected):
                    return handler
        return _refusing(handler)


def _refusing(handler: Handler) -> Handler:
    """A handler of the same kind that says nothing but no."""

    async def refuse(_request: Any, context: Context) -> Any:
        await end_with(context, grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", _NO_TOKEN, {})

    return _maker(handler)(refuse, handler.request_deserializer, handler.response_serializer)


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns what handlers raise into statuses. Unforeseen errors are logged and told without their text.

    Every call passes here, so here they are counted too, by method.
    """

    def __init__(self, calls: Counter[str]) -> None:
        self._calls = calls
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        method = handler_call_details.method
        self._calls[method] += 1
        known = self._wrapped.get(method)
        if known is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None or method.startswith("/grpc."):
            return handler
        wrapped = self._wrapped[method] = _guarded(handler, method)
        return wrapped


def _guarded(handler: Handler, method: str) -> Handler:
    behaviour = _behaviour(handler)

    async def guarded(request: Any, context: Context) -> Any:
        try:
            return await behaviour(request, context)
        except (asyncio.CancelledError, grpc.aio.AbortError):
            raise
        except BaseException as error:
            await _answer(context, error, method)

    return _maker(handler)(guarded, handler.request_deserializer, handler.response_serializer)


async def _answer(context: Context, error: BaseException, method: str) -> NoReturn:
    if isinstance(error, Refusal):
        code, conflicts = CODES[error.reason], map(conflict_message, error.conflicts)
        await end_with(context, code, error.reason.value, error.message, error.details, conflicts)
    if isinstance(error, RpcError):
        await end_with(context, error.code, error.reason, error.message, error.details)
    if isinstance(error, EngineStoppedError):
        await end_with(context, grpc.StatusCode.UNAVAILABLE, "STOPPING", _STOPPED, {})
    log.error("unexpected error in %s", method, exc_info=error)
    await end_with(context, grpc.StatusCode.INTERNAL, "INTERNAL", _INTERNAL, {})


def _behaviour(handler: Handler) -> Any:
    return handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream


def _maker(handler: Handler) -> Any:
    makers = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return makers[bool(handler.request_streaming), bool(handler.response_streaming)]
