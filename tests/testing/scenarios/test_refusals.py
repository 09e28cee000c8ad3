"""The answers that are something else than a stream."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

from stream_serve.testing import ANSWER

if TYPE_CHECKING:
    from testing.client import Client

pytestmark = pytest.mark.both_loops


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("unauthorized", 401, "invalid_api_key"),
        ("forbidden", 403, "access_denied"),
        ("bad-request", 400, "invalid_parameter_error"),
        ("rate-limited", 429, "Throttling.RateQuota"),
        ("quota", 429, "insufficient_quota"),
        ("arrearage", 400, "Arrearage"),
        ("inspection", 400, "DataInspectionFailed"),
        ("http-500", 500, "internal_error"),
        ("http-503", 503, "ServiceUnavailable"),
        ("json-error-200", 200, "model_not_found"),
    ],
)
async def test_a_refusal_has_its_status_code_and_request_id(
    client: Client, name: str, status: int, code: str
) -> None:
    answer = await client.ask(name)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json["error"]["code"] == code
    assert set(answer.json["error"]) == {"message", "type", "param", "code"}
    assert answer.json["request_id"]


async def test_a_refused_key_is_shown_in_part(client: Client) -> None:
    message = (await client.ask("unauthorized")).json["error"]["message"]
    assert "sk-cana***tail" in message


async def test_retry_after_is_seconds_or_a_date_or_absent(client: Client) -> None:
    assert (await client.ask("rate-limited")).headers["Retry-After"] == "7"
    assert (await client.ask("rate-limited?after=3")).headers["Retry-After"] == "3"
    dated = (await client.ask("rate-limited?date=1&after=60")).headers
    gap = parsedate_to_datetime(dated["Retry-After"]) - parsedate_to_datetime(dated["Date"])
    assert 58 <= gap.total_seconds() <= 62
    assert "Retry-After" not in (await client.ask("quota")).headers
    assert "Retry-After" not in (await client.ask("http-503")).headers
    assert (await client.ask("http-503?retry-after=2")).headers["Retry-After"] == "2"


@pytest.mark.parametrize("name", ["http-500", "http-503", "rate-limited"])
async def test_a_refusal_can_end_after_so_many_times(client: Client, name: str) -> None:
    statuses = [(await client.ask(f"{name}?times=2")).status for _ in range(4)]
    assert statuses[:2] == [int(statuses[0])] * 2
    assert statuses[0] >= 429
    assert statuses[2:] == [200, 200]
    client.upstream.clear()
    assert (await client.ask(f"{name}?times=2")).status == statuses[0]


async def test_a_page_and_a_whole_completion_come_under_200(client: Client) -> None:
    page = await client.ask("html")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    whole = await client.ask("json")
    assert whole.headers["Content-Type"] == "application/json"
    assert whole.json["choices"][0]["message"]["content"] == ANSWER


async def test_a_redirect_that_is_followed_is_recorded(client: Client) -> None:
    answer = await client.ask("redirect")
    assert (answer.status, len(client.upstream.requests)) == (307, 1)
    url = client.upstream.origin + answer.headers["Location"]
    body = client.upstream.requests[0].body
    async with client.session.post(url, json=body) as response:
        assert response.status == 200
    assert client.upstream.requests[1].scenario == "redirected"


async def test_an_error_body_can_be_big(client: Client) -> None:
    answer = await client.ask("big-error-body?megabytes=2")
    assert answer.status == 500
    assert len(answer.body) > 2_000_000
