"""The registry of scenarios: all of them can be played."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from stream_serve.testing import SCENARIOS

if TYPE_CHECKING:
    from testing.client import Client

pytestmark = pytest.mark.both_loops


# The scenarios after which the peer waits for ever, reads for ever, or finds the connection cut.
ENDLESS: Final = {
    "silent", "silent-after-headers", "hang-mid", "hang-end", "keep-alive-after-done",
    "hang-after-finish", "forever", "comments-forever", "endless-line", "endless-event",
    "usage-as-it-goes", "usage-early",
}  # fmt: skip
CUT: Final = {
    "reset-early", "close-early", "reset-mid", "close-mid", "bad-status-line", "odd-head",
    "finish-every-cut", "done-cut", "tool-call-cut",
}  # fmt: skip


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - ENDLESS - CUT))
async def test_every_scenario_with_an_end_ends_properly(
    client: Client, caplog: pytest.LogCaptureFixture, name: str, stream: bool
) -> None:
    answer = await client.ask(name, stream=stream, usage=stream)
    record = client.upstream.requests[0]
    assert (record.scenario, record.phase, record.closed_by) == (name, "done", "script")
    assert record.bytes_sent == len(answer.body)
    assert caplog.records == []


@pytest.mark.parametrize("name", ["json", "whole", "only-thinks"])
async def test_text_that_is_no_stream_of_tokens_is_counted_too(client: Client, name: str) -> None:
    answer = await client.ask(name, usage=True)
    last = answer.chunks[-1] if name == "only-thinks" else answer.json
    assert last["usage"]["completion_tokens"] > 3
