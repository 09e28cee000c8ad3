"""The receipt of a stop, as the service gives it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from stream_serve.client import failures
from stream_serve.errors import ServiceProtocol, StreamServeError
from stream_serve.events.types import Usage  # noqa: TC001 - msgspec reads the annotation


class Receipt(Struct, frozen=True, rename="camel"):
    """What a stop did.

    `outcome` is "stopped", "already_finished", "unreachable" (another process has the run and does not
    answer, and the stop waits for it), or "not_started" (the service has not seen the start).
    `upstream_closed` says whether every socket of the run to the provider is closed; it is None where
    there was none, or nobody knows. `latency_ms` is the service's own measure. `finish_reason` is None
    for a run that failed.
    """

    run_id: str
    outcome: str
    upstream_closed: bool | None = None
    latency_ms: float = 0.0
    finish_reason: str | None = None
    usage: Usage | None = None


R = TypeVar("R")
Read = Callable[[int, Mapping[str, str], bytes], R | StreamServeError]
"""What makes a receipt of an answer, or the error after which a stop may be asked for again."""

_decode: Final = msgspec.json.Decoder(Receipt).decode


def of_answer(status: int, headers: Mapping[str, str], body: bytes) -> Receipt | StreamServeError:
    """Return the receipt that an answer is, or an error after which a stop may be asked for again.

    Raises any other error.
    """
    if status in {200, 202}:
        try:
            return _decode(body)
        except failures.UNREADABLE as error:
            raise ServiceProtocol(f"the answer to a stop is no receipt: {error}") from error
    failure = failures.of_answer(status, headers, body)
    if not failure.retryable:
        raise failure
    return failure
