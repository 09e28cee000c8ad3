"""What happens when the provider fails: each row of the promises, over real sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from stream_serve.testing import ANSWER, ScriptedUpstream, blackhole, unused_port
from stream_serve.testing.scenarios.endings import SHAPES, WORDS
from stream_serve.testing.scenarios.refusals import BODIES, REFUSED
from support.client import ask, stop, text
from support.ended import run
from support.service import UPSTREAM_KEY, Service
from support.tls import Authority
from support.waiting import until

if TYPE_CHECKING:
    import aiohttp


ERRORS: dict[str, dict[str, Any]] = {
    "unauthorized": {"code": "upstream_auth", "retryable": False},
    "forbidden": {"code": "upstream_auth", "retryable": False},
    "bad-request": {
        "code": "upstream_rejected",
        "retryable": False,
        "providerCode": "invalid_parameter_error",
    },
    "arrearage": {"code": "upstream_rejected", "retryable": False, "providerCode": "Arrearage"},
    "inspection": {
        "code": "upstream_rejected",
        "retryable": False,
        "providerCode": "DataInspectionFailed",
    },
    "rate-limited?after=7": {
        "code": "upstream_rate_limited",
        "retryable": True,
        "retryAfter": 7.0,
        "providerCode": "Throttling.RateQuota",
    },
    "quota": {
        "code": "upstream_rate_limited",
        "retryable": False,
        "providerCode": "insufficient_quota",
    },
    "http-500": {"code": "upstream_error", "retryable": True},
    "http-503": {"code": "upstream_error", "retryable": True},
    "big-error-body": {"code": "upstream_error", "retryable": True},
    "html": {"code": "upstream_protocol", "retryable": False},
    "json-other": {"code": "upstream_protocol", "retryable": False},
    "redirect": {"code": "upstream_protocol", "retryable": False},
    "bad-status-line": {"code": "upstream_protocol", "retryable": False},
    "json-error-200": {},
    "error-first": {},
    "empty": {"code": "upstream_incomplete"},
    "only-done": {"code": "upstream_incomplete"},
    "reset-early?times=2": {"code": "upstream_disconnected", "retryable": True},
    "close-early?times=2": {"code": "upstream_disconnected", "retryable": True},
}


@pytest.mark.parametrize("model", ERRORS)
async def test_a_failure_before_any_text_is_an_error_event_that_says_what_happened(
    service: Service, client: aiohttp.ClientSession, model: str
) -> None:
    events = await run(client, service, model)
    error = events[-1]
    assert error["type"] == "error"
    assert error["error"] == "服务器内部错误"
    assert error["message"]
    assert {name: error.get(name) for name in ERRORS[model]} == ERRORS[model]
    assert [event["type"] for event in events] == ["start", "error"]


MIDDLE: dict[str, str] = {
    "error-mid": "upstream_error",
    "error-string": "upstream_error",
    "inspection-mid": "upstream_rejected",
    "reset-mid": "upstream_disconnected",
    "close-mid": "upstream_disconnected",
    "incomplete": "upstream_incomplete",
    "half-event": "upstream_incomplete",
    "done-without-finish?tokens=3": "upstream_incomplete",
    "done-cut": "upstream_incomplete",
    "finish-every-cut": "upstream_disconnected",
    "answer?tokens=3&finish=abort": "upstream_error",
    "answer?tokens=3&finish=error": "upstream_error",
    "answer?tokens=3&finish=insufficient_system_resource": "upstream_error",
}


@pytest.mark.parametrize("model", MIDDLE)
async def test_a_failure_in_the_middle_keeps_the_text_so_far(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, model: str
) -> None:
    events = await run(client, service, model)
    assert events[-1]["code"] == MIDDLE[model]
    assert ANSWER.startswith(text(events))
    assert text(events)
    assert len(upstream.requests) == 1, "after the first token nothing is asked again"


@pytest.mark.parametrize(
    "model",
    ["error-choice", "error-with-text", *(f"error-shape?shape={shape}" for shape in SHAPES)],
)
async def test_an_error_in_any_shape_is_an_error_with_the_providers_words(
    service: Service, client: aiohttp.ClientSession, model: str
) -> None:
    events = await run(client, service, model)
    assert (events[-1]["type"], events[-1]["retryable"]) == ("error", True)
    assert WORDS in events[-1]["message"]
    assert text(events).removesuffix("LAST") == ANSWER[:12]
    assert text(events).endswith("LAST") is (model == "error-with-text")
    if model.endswith("dashscope"):
        assert (events[-1]["providerCode"], events[-1]["requestId"]) == ("InternalError", "req-7")


@pytest.mark.parametrize("data", [0, 1])
async def test_an_error_event_that_does_not_come_whole_is_an_error_after_a_whole_answer(
    service: Service, client: aiohttp.ClientSession, data: int
) -> None:
    events = await run(client, service, f"error-event-cut?data={data}")
    assert (events[-1]["type"], events[-1]["code"]) == ("error", "upstream_error")
    assert text(events) == ANSWER
    assert ("the engine is gone" in events[-1]["message"]) is bool(data)


@pytest.mark.parametrize("each", [1, 100, 50_000])
async def test_a_flood_of_tiny_values_ends_the_answer_and_closes_the_connection(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, each: int
) -> None:
    events = await run(client, service, f"tiny-values?each={each}")
    assert (events[-1]["type"], events[-1]["code"]) == ("error", "upstream_protocol")
    assert text(events) == ANSWER[:12]
    await until(lambda: upstream.requests[-1].closed_by is not None)


@pytest.mark.parametrize("shape", [shape for shape in BODIES if not shape.startswith("path")])
async def test_a_refusal_in_any_shape_keeps_the_providers_words(
    service: Service, client: aiohttp.ClientSession, shape: str
) -> None:
    error = (await run(client, service, f"refused?shape={shape}"))[-1]
    assert error["code"] == "upstream_context_exceeded"
    assert REFUSED in error["message"]
    assert error["message"].isprintable()
    assert not {"<", "\x1b", "\u202e"} & set(error["message"] + error.get("providerCode", ""))


@pytest.mark.parametrize("shape", [shape for shape in BODIES if shape.startswith("path")])
@pytest.mark.parametrize("status", [404, 405])
async def test_a_path_that_the_provider_does_not_know_is_named_and_the_model_is_not_blamed(
    service: Service,
    client: aiohttp.ClientSession,
    upstream: ScriptedUpstream,
    *,
    status: int,
    shape: str,
) -> None:
    error = (await run(client, service, f"refused?status={status}&shape={shape}"))[-1]
    assert error["code"] == "upstream_protocol"
    assert upstream.origin not in error["message"]
    assert "STREAM_SERVE_UPSTREAM_URL" in error["message"]
    error = (await run(client, service, f"refused?status={status}&shape=openai"))[-1]
    assert error["code"] == "upstream_context_exceeded"


async def test_a_finish_reason_in_every_chunk_does_not_cut_the_answer(
    service: Service, client: aiohttp.ClientSession
) -> None:
    models = (
        "finish-every?interval=0.25&tokens=11",
        "finish-every?interval=0.25&tokens=11&hang=1",
        "finish-first?interval=0.25&tokens=11",
        "finish-first?wait=2.5&tokens=11",
    )
    answers = await asyncio.gather(*(run(client, service, model) for model in models))
    for events in answers:
        assert text(events) == ANSWER[:44]
        assert (events[-1]["type"], events[-1].get("finishReason")) == ("end", "stop")


async def test_only_documented_words_reach_a_caller_and_another_is_kept_beside_them(
    service: Service, client: aiohttp.ClientSession
) -> None:
    for word, reason, kept in (
        ("stop", "stop", None),
        ("eos_token", "stop", "eos_token"),
        ("MAX_TOKENS", "length", "MAX_TOKENS"),
        ("function_call", "tool_calls", "function_call"),
        ("SAFETY", "content_filter", "SAFETY"),
        ("stopped", "stop", "stopped"),
        ("stand%1B_by", "stop", "stand_by"),
        ("y" * 150, "stop", "y" * 100),
    ):
        end = (await run(client, service, f"answer?tokens=1&finish={word}"))[-1]
        assert (end["type"], end["finishReason"]) == ("end", reason)
        assert end.get("providerFinishReason") == kept
        assert ("providerFinishReason" in end) is (kept is not None)


async def test_a_provider_that_never_sends_a_finish_reason_has_a_setting(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with Service(upstream_url=upstream.url, require_finish=False) as service:
        events = await run(client, service, "done-without-finish")
        assert (text(events), events[-1]["finishReason"]) == (ANSWER, "unknown")
        for model in ("incomplete", "only-done"):
            assert (await run(client, service, model))[-1]["code"] == "upstream_incomplete"


async def test_the_providers_own_message_code_and_request_id_are_passed_on(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    error = (await run(client, service, "inspection-mid"))[-1]
    assert "inappropriate content" in error["message"]
    assert error["providerCode"] == "data_inspection_failed"
    error = (await run(client, service, "bad-request"))[-1]
    assert error["requestId"]


async def test_a_refused_key_names_the_setting_and_never_the_key(
    service: Service, client: aiohttp.ClientSession
) -> None:
    error = (await run(client, service, "unauthorized"))[-1]
    assert "STREAM_SERVE_UPSTREAM_API_KEY" in error["message"]
    assert UPSTREAM_KEY[-6:] not in str(error)
    assert UPSTREAM_KEY[:10] not in str(error)


@pytest.mark.parametrize("dummy", ["x", "e", "EMPTY", "context"])
async def test_a_dummy_key_is_not_cut_out_of_the_providers_words(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, dummy: str
) -> None:
    async with Service(upstream_url=upstream.url, upstream_api_key=dummy) as service:
        error = (await run(client, service, "refused"))[-1]
    assert REFUSED in error["message"]


async def test_a_rate_limit_is_not_answered_with_a_storm_of_retries(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    await run(client, service, "rate-limited")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "model", ["http-500?times=1", "http-503?times=1", "reset-early?times=1", "close-early?times=1"]
)
async def test_one_retry_before_the_first_byte_makes_a_short_failure_invisible(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream, model: str
) -> None:
    events = await run(client, service, model)
    assert text(events) == ANSWER
    assert len(upstream.requests) == 2


async def test_there_is_never_a_second_retry(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    assert (await run(client, service, "http-500"))[-1]["code"] == "upstream_error"
    assert len(upstream.requests) == 2


async def test_a_kept_connection_that_the_provider_closed_meanwhile_is_no_failure(
    service: Service, client: aiohttp.ClientSession
) -> None:
    for _ in range(3):
        assert text(await run(client, service, "stale")) == ANSWER


async def test_a_redirect_is_not_followed(
    service: Service, client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    await run(client, service, "redirect")
    assert [record.scenario for record in upstream.requests] == ["redirect"]


async def test_a_refused_connection_is_unreachable(client: aiohttp.ClientSession) -> None:
    async with Service(upstream_url=f"http://127.0.0.1:{unused_port()}/v1") as service:
        async with ask(client, service.url) as stream:
            error = (await stream.rest())[-1]
        assert (error["code"], error["retryable"]) == ("upstream_unreachable", True)
        receipt = await stop(client, service.url, stream.run_id)
        assert receipt["upstreamClosed"] is True


async def test_a_name_that_cannot_be_resolved_is_unreachable(
    client: aiohttp.ClientSession,
) -> None:
    async with (
        Service(upstream_url="http://provider.invalid/v1") as service,
        ask(client, service.url) as stream,
    ):
        error = (await stream.rest())[-1]
    assert error["code"] == "upstream_unreachable"
    assert "name cannot be resolved" in error["message"]
    assert "provider.invalid" not in error["message"]


async def test_a_certificate_that_is_not_trusted_is_unreachable_and_says_why(
    client: aiohttp.ClientSession,
) -> None:
    upstream = ScriptedUpstream()
    await upstream.start(ssl=Authority().server())
    try:
        url = upstream.url.replace("127.0.0.1", "localhost")
        async with Service(upstream_url=url) as service, ask(client, service.url) as stream:
            error = (await stream.rest())[-1]
    finally:
        await upstream.stop()
    assert (error["code"], error["retryable"]) == ("upstream_unreachable", False)
    assert "certificate" in error["message"]


async def test_a_connection_that_never_completes_is_given_up(
    client: aiohttp.ClientSession,
) -> None:
    with blackhole() as port:
        async with (
            Service(upstream_url=f"http://127.0.0.1:{port}/v1", connect_timeout=0.2) as service,
            ask(client, service.url) as stream,
        ):
            error = (await stream.rest())[-1]
    assert error["code"] == "upstream_unreachable"
    assert "STREAM_SERVE_CONNECT_TIMEOUT" in error["message"]


@pytest.mark.parametrize("model", ["silent", "silent-after-headers"])
async def test_silence_before_the_first_token_is_cut(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, model: str
) -> None:
    async with Service(upstream_url=upstream.url, first_token_timeout=0.3) as service:
        error = (await run(client, service, model))[-1]
    assert error["code"] == "upstream_timeout"
    assert "STREAM_SERVE_FIRST_TOKEN_TIMEOUT" in error["message"]
    await upstream.until(lambda: upstream.open_connections == 0)


async def test_silence_between_two_tokens_is_cut_and_the_text_stays(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with Service(upstream_url=upstream.url, idle_timeout=0.3) as service:
        events = await run(client, service, "hang-mid")
    assert events[-1]["code"] == "upstream_timeout"
    assert "STREAM_SERVE_IDLE_TIMEOUT" in events[-1]["message"]
    assert text(events)
    await upstream.until(lambda: upstream.open_connections == 0)


async def test_an_answer_that_never_ends_is_cut_by_time(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with Service(upstream_url=upstream.url, run_timeout=0.5) as service:
        events = await run(client, service, "forever?interval=0.01")
    assert events[-1]["code"] == "run_timeout"
    assert text(events)
    await upstream.until(lambda: upstream.open_connections == 0)


async def test_an_answer_that_never_ends_is_cut_by_size(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream
) -> None:
    async with Service(upstream_url=upstream.url, max_run_bytes=100_000) as service:
        events = await run(client, service, "forever?interval=0&size=40")
    assert events[-1]["code"] == "upstream_too_large"
    assert "STREAM_SERVE_MAX_RUN_BYTES" in events[-1]["message"]
    await upstream.until(lambda: upstream.open_connections == 0)


@pytest.mark.parametrize("model", ["endless-line", "endless-event", "huge-event"])
async def test_an_event_that_never_ends_is_cut(
    client: aiohttp.ClientSession, upstream: ScriptedUpstream, model: str
) -> None:
    async with Service(upstream_url=upstream.url, max_event_bytes=65_536) as service:
        events = await run(client, service, model)
    assert events[-1]["code"] == "upstream_too_large"
    assert "STREAM_SERVE_MAX_EVENT_BYTES" in events[-1]["message"]
    await upstream.until(lambda: upstream.open_connections == 0)


SAME_TEXT = [
    "text-with-finish",
    "choices-null",
    "usage-null",
    "usage-with-finish",
    "key-order",
    "no-done",
    "index-counts",
    *(f"other-place?place={place}" for place in ("delta-text", "choice-content", "twice")),
    "finish-every",
    "finish-first",
    "after-done",
    "no-space",
    "crlf",
    "cr",
    "crlf-split",
    "bom",
    "comments",
    "named-events",
    "keep-alive-after-done",
    "empty-deltas",
    "ascii-json",
    "gzip",
]


@pytest.mark.parametrize("model", SAME_TEXT)
async def test_a_providers_quirks_do_not_change_the_text(
    service: Service, client: aiohttp.ClientSession, model: str
) -> None:
    events = await run(client, service, model)
    assert events[-1]["type"] == "end", events[-1]
    assert text(events) == ANSWER


async def test_one_byte_at_a_time_is_the_same_text(
    service: Service, client: aiohttp.ClientSession
) -> None:
    slow = await run(client, service, "byte-by-byte?tokens=40")
    assert text(slow) == text(await run(client, service, "answer?tokens=40"))


async def test_a_megabyte_at_once_is_the_same_text(
    service: Service, client: aiohttp.ClientSession
) -> None:
    events = await run(client, service, "one-write?megabytes=1")
    tokens = len(events) - 2
    assert tokens > 1000
    assert text(events) == text(await run(client, service, f"answer?tokens={tokens}"))


async def test_an_error_body_that_never_ends_is_judged_by_its_status(
    service: Service, client: aiohttp.ClientSession
) -> None:
    events = await run(client, service, "big-error-body")
    assert events[-1]["code"] == "upstream_error"


async def test_half_characters_and_nul_arrive_whole_or_replaced_and_never_break_the_stream(
    service: Service, client: aiohttp.ClientSession
) -> None:
    events = await run(client, service, "surrogates")
    assert events[-1]["type"] == "end"
    whole = text(events)
    whole.encode()
    assert "😀" in whole or "🙂" in whole or "�" in whole
    assert "\x00" in whole


async def test_line_ends_and_forged_events_in_the_text_stay_inside_one_event(
    service: Service, client: aiohttp.ClientSession
) -> None:
    events = await run(client, service, "line-separators")
    whole = text(events)
    assert events[-1]["finishReason"] == "stop"
    assert "data: " in whole
    assert "\u2028" in whole


async def test_markup_is_passed_on_as_the_text_that_it_is(
    service: Service, client: aiohttp.ClientSession
) -> None:
    assert "<script>" in text(await run(client, service, "markup"))


async def test_the_worker_lives_after_every_kind_of_rubbish(
    service: Service, client: aiohttp.ClientSession
) -> None:
    for model in ("bad-status-line", "not-json", "unknown-shape", "deep-json", "reset-mid"):
        await run(client, service, model)
    assert text(await run(client, service, "answer")) == ANSWER
