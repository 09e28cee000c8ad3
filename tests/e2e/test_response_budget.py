"""What a question makes of kept responses has a limit, however small its body is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from openai import BadRequestError

from support.responses import serving

if TYPE_CHECKING:
    from pathlib import Path

    from openai import AsyncOpenAI

    from stream_serve.testing import ScriptedUpstream

CAP = 20_000
TOO_MUCH = rf"more than {CAP} bytes \(STREAM_SERVE_MAX_BODY_BYTES\): send the part of the history"
LARGE = "answer?tokens=90&size=40"
"""A question whose answer has about 5,700 bytes."""


async def chain_of(openai: AsyncOpenAI, links: int) -> list[str]:
    """Return the ids of responses of which each goes on from the one before."""
    found: list[str] = []
    for _ in range(links):
        response = await openai.responses.create(
            model=LARGE, input="x" * 3000, previous_response_id=found[-1] if found else None
        )
        found.append(response.id)
    return found


async def test_a_chain_may_be_as_large_as_a_body_also_when_its_runs_are_forgotten(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    async with serving(upstream, tmp_path / "a.db", max_body_bytes=CAP) as openai:
        chain = await chain_of(openai, 3)
        items = openai.responses.input_items.list(chain[-1], order="asc")
        assert len([item async for item in items]) == 5
    for _ in range(2):
        async with serving(upstream, tmp_path / "a.db", max_body_bytes=CAP) as openai:
            before = len(upstream.requests)
            with pytest.raises(BadRequestError, match=TOO_MUCH) as raised:
                await openai.responses.create(
                    model="answer", input="x", previous_response_id=chain[-1]
                )
            assert raised.value.param == "previous_response_id"
            assert len(upstream.requests) == before
            again = await openai.responses.create(
                model="answer?tokens=3", input="x", previous_response_id=chain[0]
            )
            assert again.output_text
    async with serving(upstream, tmp_path / "a.db", max_body_bytes=2 * CAP) as openai:
        await openai.responses.create(model="answer", input="x", previous_response_id=chain[-1])


async def test_items_that_are_named_may_be_as_large_as_a_body_together(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    async with serving(upstream, tmp_path / "a.db", max_body_bytes=CAP) as openai:
        found = [await openai.responses.create(model=LARGE, input="hi") for _ in range(4)]
        named: list[Any] = [{"type": "item_reference", "id": one.output[0].id} for one in found]
        question: Any = {"role": "user", "content": "and?"}
        with pytest.raises(BadRequestError, match=TOO_MUCH) as raised:
            await openai.responses.create(model="answer?tokens=3", input=[*named, question])
        assert raised.value.param == "input"
        assert len(upstream.requests) == 4
        few: list[Any] = [*named[:2], question]
        await openai.responses.create(model="answer?tokens=3", input=few)
        with pytest.raises(BadRequestError, match=TOO_MUCH):
            await openai.responses.create(
                model="answer", input=[*named[1:], question], previous_response_id=found[0].id
            )
