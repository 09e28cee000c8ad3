"""A provider's error responses, mapped to our errors.

The sources are OpenAI's error object (`{"error": {"message", "type", "param", "code"}}`) and the page
"Error codes" of Alibaba Cloud Model Studio. Our messages never contain the API key: the error for a
rejected key repeats nothing of the provider's text, and in all other texts `***` replaces the key.
"""

from __future__ import annotations

import json
import math
import re
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, cast

from msgspec import Struct

from stream_serve.errors import (
    UpstreamAuth,
    UpstreamError,
    UpstreamFailed,
    UpstreamProtocol,
    UpstreamRateLimited,
    UpstreamRejected,
)
from stream_serve.producers.openai import reports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_TEXT: Final = 500
_STATUS: Final = re.compile("[45][0-9][0-9]")  # some servers use the status as the code
_QUOTA_CODES: Final = ("insufficient_quota", "AllocationQuota")
_RATE_CODES: Final = ("Throttling", "rate_limit", "limit_requests", "limit_burst_rate")
_AUTH_CODES: Final = frozenset(
    {"invalid_api_key", "InvalidApiKey", "access_denied", "authentication_error"}
)
_REJECTED_CODES: Final = (
    "invalid_parameter",
    "invalid_request",
    "DataInspectionFailed",
    "data_inspection_failed",
    "model_not_found",
    "context_length_exceeded",
    "content_filter",
    "Arrearage",
)


class ErrorDetails(Struct, frozen=True):
    """An error in the provider's own words: its message, its code, and its request id."""

    message: str = ""
    code: str | None = None
    request_id: str | None = None


def read(error: object, *, request_id: str | None = None, key: str = "") -> ErrorDetails:
    """Return the details of an error object or text, in any server's format, with `key` removed.

    `request_id` is the one from the headers; one in the error object wins.
    """
    if isinstance(error, dict):
        fields = cast("dict[str, object]", error)
        code = fields.get("code") or fields.get("type")
        own_id = fields.get("request_id")
        return ErrorDetails(
            _clean(reports.said(fields), key),
            _clean(str(code), key) if code else None,
            _clean(own_id if isinstance(own_id, str) else request_id or "", key) or None,
        )
    text = error if isinstance(error, str) else ""
    return ErrorDetails(_clean(text, key), None, _clean(request_id or "", key) or None)


def read_body(body: bytes, *, request_id: str | None = None, key: str = "") -> ErrorDetails | None:
    """Return the details in the body of an error response; None if it has none in a known format."""
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict):
        return None
    fields = cast("dict[str, object]", parsed)
    own_id = fields.get("request_id")
    request_id = own_id if isinstance(own_id, str) else request_id
    if "error" in fields:
        return read(fields["error"], request_id=request_id, key=key)
    if "code" in fields or "message" in fields:
        return read(fields, request_id=request_id, key=key)
    return None


def from_status(
    status: int,
    details: ErrorDetails | None,
    *,
    headers: Mapping[str, str],
    key: str = "",
    key_name: str,
) -> UpstreamError:
    """Return the error for a response whose status is not 200.

    `headers` may have Retry-After and X-Request-Id; `key_name` is what the key is called where it is set.
    """
    said = details or ErrorDetails(
        request_id=_clean(headers.get("x-request-id") or "", key) or None
    )
    wait = retry_after(headers.get("retry-after"))
    limited = _begins(said.code, _RATE_CODES + _QUOTA_CODES)
    if status in {401, 403} and not limited and not _begins(said.code, _REJECTED_CODES):
        return _auth(said, status, key_name)
    if status == 429 or limited:
        return _rate_limited(said, wait)
    parameters: Sequence[str] = ()
    if status >= 500 or status == 408:
        kind: type[UpstreamError] = UpstreamFailed
        what = f"the provider failed with status {status}"
    elif status >= 400:
        kind = UpstreamRejected
        what = f"the provider refused the request with status {status}"
    else:
        kind = UpstreamProtocol
        hint = "redirects are not followed: " if 300 <= status < 400 else ""
        what = (
            f"the provider answered with status {status} instead of a stream; {hint}check its URL"
        )
        parameters = ["Endpoint.url"]
    return kind(
        _sentence(what, said),
        retry_after=wait,
        parameters=parameters,
        provider_code=said.code,
        request_id=said.request_id,
    )


def from_error(said: ErrorDetails, *, key_name: str) -> UpstreamError:
    """Return the error for an error object in a response with status 200, mostly in its stream."""
    code = said.code or ""
    if _STATUS.fullmatch(code):
        return from_status(int(code), said, headers={}, key_name=key_name)
    if code in _AUTH_CODES:
        return _auth(said, None, key_name)
    if _begins(code, _RATE_CODES + _QUOTA_CODES):
        return _rate_limited(said, None)
    kind = UpstreamRejected if _begins(code, _REJECTED_CODES) else UpstreamFailed
    return kind(
        _sentence("the provider reported an error", said),
        provider_code=said.code,
        request_id=said.request_id,
    )


def from_ending(word: str, *, key: str = "", key_name: str) -> UpstreamError:
    """Return the error for a finish_reason that means a failure, such as `abort` or `error`.

    It is retryable unless the word is also a code for a request that would fail again.
    """
    said = f"it broke the answer off (finish_reason {word})"
    return from_error(ErrorDetails(_clean(said, key), _clean(word, key)), key_name=key_name)


def shown(word: str | None, key: str) -> str | None:
    """Return a word of the provider's with the key removed; None for None."""
    return _clean(word, key) if word is not None else None


def retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date (RFC 9110, 10.2.3).

    None for a missing or invalid header; 0 for a date in the past.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)
    try:
        when = parsedate_to_datetime(value)
        return float(max(0, math.ceil(when.timestamp() - time.time())))
    except (ValueError, OverflowError):
        return None


def _auth(said: ErrorDetails, status: int | None, key_name: str) -> UpstreamAuth:
    with_status = f" (status {status})" if status else ""
    return UpstreamAuth(
        f"the provider refused the API key{with_status}: check the key, and that it belongs to the "
        "region and server of the URL",
        parameters=[key_name or "Endpoint.key"],
        provider_code=said.code,
        request_id=said.request_id,
    )


def _rate_limited(said: ErrorDetails, wait: float | None) -> UpstreamRateLimited:
    used_up = _begins(said.code, _QUOTA_CODES)
    what = "the provider's quota is used up" if used_up else "the provider limits the rate"
    return UpstreamRateLimited(
        _sentence(what, said),
        retryable=not used_up,
        retry_after=wait,
        provider_code=said.code,
        request_id=said.request_id,
    )


def _begins(code: str | None, words: tuple[str, ...]) -> bool:
    return code is not None and code.startswith(words)


def _sentence(what: str, said: ErrorDetails) -> str:
    return f"{what}: {said.message}" if said.message else what


def _clean(text: str, key: str) -> str:
    """Return at most 500 characters of a text, without the key and without lone surrogates."""
    if key:
        text = text.replace(key, "***")
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"
