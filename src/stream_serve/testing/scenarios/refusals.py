"""Scenarios in which the response is not a stream, but mostly an error.

Codes and messages follow Alibaba Cloud Model Studio's page "Error messages" and OpenAI's "Error
codes", in their OpenAI-compatible format.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

from stream_serve.testing.chunks import dump, failure
from stream_serve.testing.scenarios.answers import speak
from stream_serve.testing.script import scenario
from stream_serve.testing.speech import TEXT, Speech

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_serve.testing.reply import Reply
    from stream_serve.testing.script import Ask

_PAGE: Final = """\
<!doctype html>
<html><head><title>Gateway login</title></head>
<body><h1>Please sign in</h1><p>data: {"choices": []}</p><script>location="/login"</script></body>
</html>
"""
REDIRECTED: Final = "/v1/redirected/chat/completions"
REFUSED: Final = "The prompt is longer than the model's context."
_FIELD: Final = {"type": "value_error", "loc": ["body", "messages", 0], "msg": REFUSED}
_RAW: Final = dump({"error": {"message": REFUSED}}).decode()
BODIES: Final[dict[str, object]] = {
    "openai": failure(REFUSED, code="context_length_exceeded"),
    "detail": {"detail": REFUSED},
    "detail-list": {"detail": [_FIELD]},
    "message": {"message": {"detail": [_FIELD]}, "type": "invalid_request_error"},
    "text": REFUSED,
    "string": f'"{REFUSED}"',
    "list": [{"error": {"code": 400, "message": REFUSED, "status": "INVALID_ARGUMENT"}}],
    "page": f"<!doctype html><html><head><title>{REFUSED}</title></head><body>no</body></html>",
    "problem": {"type": "https://x.example/long", "title": "Bad Request", "detail": REFUSED},
    "validation": {"title": "Bad Request", "status": 400, "errors": {"messages": [REFUSED]}},
    "errors": {"success": False, "errors": [{"code": 7003, "message": REFUSED}], "result": None},
    "innererror": {"error": {"code": "x", "message": "", "innererror": {"message": REFUSED}}},
    "error": {"error": REFUSED},
    "error-type": {"error": REFUSED, "error_type": "validation"},
    "object": {"object": "error", "message": REFUSED, "type": "BadRequestError", "code": 400},
    "anthropic": {"type": "error", "error": {"type": "invalid_request_error", "message": REFUSED}},
    "raw": {"error": {"message": "Provider returned error", "metadata": {"raw": _RAW}}},
    "string-in-string": {"error": {"message": _RAW}},
    "event": f"event:error\ndata:{_RAW}\n\n",
    "xml": f"<Error><Code>TooLong</Code><Message>{REFUSED}</Message></Error>",
    "cut": f'{{"error": {{"message": "{REFUSED}", "param": "mess',
    "escapes": {
        "error": {"message": f"\x1b[31m{REFUSED}\x1b]0;owned\x07\u202e\r\n", "code": "\x1b[1mc"}
    },
    "path": "404 page not found",
    "path-json": {"detail": "Not Found"},
    "path-empty": "",
}


@scenario("unauthorized", "401 invalid_api_key; the message repeats part of the caller's key")
async def unauthorized(reply: Reply, ask: Ask) -> None:
    """A rejected key, whose start and end the provider repeats in its message."""
    key = ask.credential
    shown = f"{key[:7]}***{key[-4:]}" if key else "(none)"
    message = f"Incorrect API key provided: {shown}."
    await reply.json(401, failure(message, code="invalid_api_key"))


@scenario("forbidden", "403 access_denied: the key may not use this model")
async def forbidden(reply: Reply, ask: Ask) -> None:
    """A key without the right to a model."""
    message = f"Access denied: your account may not use the model {ask.model}."
    await reply.json(403, failure(message, code="access_denied", type_="permission_error"))


@scenario("unknown-model", "404 model_not_found")
async def unknown_model(reply: Reply, ask: Ask) -> None:
    """A model that the provider does not have."""
    message = f"The model `{ask.model}` does not exist or you do not have access to it."
    await reply.json(404, failure(message, code="model_not_found"))


@scenario("bad-request", "400 invalid_parameter_error, with a request id")
async def bad_request(reply: Reply, ask: Ask) -> None:
    """A parameter out of its range."""
    del ask
    message = "Range of max_tokens should be [1, 8192]"
    body = failure(message, code="invalid_parameter_error", param="max_tokens")
    await reply.json(400, body)


@scenario(
    "rate-limited",
    "429 Throttling.RateQuota with Retry-After; date=1 gives it as an HTTP date; times=0: always",
    after=7,
    date=False,
    times=0,
    **TEXT,
)
async def rate_limited(reply: Reply, ask: Ask) -> None:
    """Too many requests a minute."""
    after = ask.integer("after")
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=after), usegmt=True)
    headers = {"Retry-After": date if ask.flag("date") else str(after)}
    message = "Requests rate limit exceeded, please try again later."
    body = failure(message, code="Throttling.RateQuota", type_="Throttling.RateQuota")
    await _fail(reply, ask, 429, body, headers)


@scenario("quota", "429 insufficient_quota, without Retry-After")
async def quota(reply: Reply, ask: Ask) -> None:
    """An account whose quota is used up."""
    del ask
    message = "You exceeded your current quota, please check your plan and billing details."
    await reply.json(429, failure(message, code="insufficient_quota", type_="insufficient_quota"))


@scenario("arrearage", "400 Arrearage: the account owes money")
async def arrearage(reply: Reply, ask: Ask) -> None:
    """An account with an unpaid bill."""
    del ask
    message = "Access denied, please make sure your account is in good standing."
    await reply.json(400, failure(message, code="Arrearage", type_="Arrearage"))


@scenario("inspection", "400 DataInspectionFailed: the input was found inappropriate")
async def inspection(reply: Reply, ask: Ask) -> None:
    """Content inspection of the input."""
    del ask
    message = "Input data may contain inappropriate content."
    body = failure(message, code="DataInspectionFailed", type_="DataInspectionFailed")
    await reply.json(400, body)


@scenario(
    "http-500", "500 with an error body; times=N: only the first N, 0: always", times=0, **TEXT
)
async def internal_error(reply: Reply, ask: Ask) -> None:
    """An internal error of the provider."""
    body = failure("An internal error occurred.", code="internal_error", type_="server_error")
    await _fail(reply, ask, 500, body)


@scenario(
    "http-503",
    "503 with an error body; times=N: only the first N, 0: always; retry-after in seconds, 0: none",
    times=0,
    retry_after=0,
    **TEXT,
)
async def unavailable(reply: Reply, ask: Ask) -> None:
    """The provider is overloaded."""
    after = ask.integer("retry-after")
    body = failure("The service is overloaded.", code="ServiceUnavailable", type_="server_error")
    await _fail(reply, ask, 503, body, {"Retry-After": str(after)} if after else None)


@scenario(
    "refused",
    f"a status other than 200, with a body as {'|'.join(BODIES)}",
    status=400,
    shape="openai",
)
async def refused(reply: Reply, ask: Ask) -> None:
    """A refusal in the words of some server or gateway."""
    body = BODIES[ask.string("shape")]
    if isinstance(body, str):
        await reply.whole(ask.integer("status"), body.encode(), content_type="text/plain")
    else:
        await reply.json(ask.integer("status"), body)


@scenario("big-error-body", "500 with a body of many megabytes", megabytes=16)
async def big_error_body(reply: Reply, ask: Ask) -> None:
    """An error with a body that is too large to keep."""
    await reply.open(500, content_type="text/plain; charset=utf-8")
    block = b"stack frame, stack frame; " * 2521
    for _ in range(ask.integer("megabytes") * 16):
        await reply.write(block)
        await reply.pause(0)


@scenario("html", "200 with an HTML page, as a login wall gives it")
async def html(reply: Reply, ask: Ask) -> None:
    """An HTML page of a gateway instead of the provider."""
    del ask
    await reply.whole(200, _PAGE.encode(), content_type="text/html; charset=utf-8")


@scenario("json", "200 with a whole completion as JSON though a stream was asked for", **TEXT)
async def whole_json(reply: Reply, ask: Ask) -> None:
    """A server that does not know `stream`."""
    speech = Speech(reply, ask)
    message = {"content": speech.whole()}
    totals = speech.totals()
    await reply.json(200, speech.chunks.completion(message, finish="stop", totals=totals))


@scenario("json-error-200", "200 with a JSON error body")
async def json_error(reply: Reply, ask: Ask) -> None:
    """An error with status 200."""
    del ask
    await reply.json(200, failure("Model not exist.", code="model_not_found"))


@scenario("redirect", "307 to another path, which records whether it was followed")
async def redirect(reply: Reply, ask: Ask) -> None:
    """A redirect, which must not be followed because the key would be sent along."""
    del ask
    body = dump(failure("Moved.", code="moved"))
    await reply.whole(307, body, headers={"Location": REDIRECTED})


async def _fail(
    reply: Reply, ask: Ask, status: int, body: object, headers: Mapping[str, str] | None = None
) -> None:
    times = ask.integer("times")
    if times and ask.attempt > times:
        await speak(reply, ask)
    else:
        await reply.json(status, body, headers=headers)
